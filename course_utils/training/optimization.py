"""AdamW as BERT wants it: which parameters decay, who learns how fast,
and the rate's rise and fall.
"""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from course_utils.config import TrainConfig


def parameter_groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Parameters for AdamW, grouped by learning rate and decay.

    Biases and LayerNorm weights (all one-dimensional) do not decay: pulling them to zero only harms
    (Devlin et al.'s own optimizer leaves them out). With `layer_learning_rate_decay` d, a parameter
    k layers below the top head learns at d**k of the rate; the embeddings are the lowest layer
    (Howard & Ruder, 2018, section 3.2).
    """
    trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    depths = {name: _depth(name) for name, _ in trainable}
    top = max((depth for depth in depths.values() if depth is not None), default=0) + 1
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in trainable:
        depth = depths[name] if depths[name] is not None else top
        rate = config.learning_rate * config.layer_learning_rate_decay ** (top - depth)
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": params, "lr": rate, "peak": rate, "weight_decay": decay}
        for (rate, decay), params in groups.items()
    ]


def _depth(name: str) -> int | None:
    """0 for the embeddings, i + 1 for layer i, None for all that lies above the encoder."""
    layer = re.search(r"\blayers?\.(\d+)\.", name)
    return int(layer[1]) + 1 if layer else (0 if "embeddings." in name else None)


def linear_schedule(step: int, num_updates: int, num_warmup: int) -> float:
    """Share of the peak learning rate for update `step` (from 0): up over the warm-up,
    then straight down to 0.
    """
    if step < num_warmup:
        return (step + 1) / (num_warmup + 1)
    return (num_updates - step) / max(1, num_updates - num_warmup)
