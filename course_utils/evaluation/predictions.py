"""The logits of a model for many examples, computed now or read from a record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn
from tqdm.auto import tqdm

from course_utils.data import Features

Collate = Callable[[Sequence[Features]], dict[str, torch.Tensor]]

# --- answers that are stored ----------------------------------------------------------------------


def answer_key(text: str, max_length: int) -> str:
    """The key under which the answer to a text is stored, if it was cut to max_length tokens.

    It is the beginning of a hash of both.
    """
    return hashlib.sha256(f"{max_length} {text}".encode()).hexdigest()[:16]


def stored_logits(
    answers: Mapping[str, Sequence[float]], texts: Sequence[str], max_length: int
) -> np.ndarray:
    """The stored logits of `texts`, float64 [num_texts, num_labels].

    Raises KeyError for a text that was not asked.
    """
    rows = []
    for text in texts:
        key = answer_key(text, max_length)
        if key not in answers:
            raise KeyError(
                f"no answer is stored for {text!r:.80} at {max_length} tokens; to ask a text of "
                "your own, train the model in this notebook"
            )
        rows.append(answers[key])
    return np.array(rows, dtype=float)


# --- answers that are computed --------------------------------------------------------------------


def predict_logits(
    model: nn.Module,
    features: Sequence[Features],
    *,
    collate: Collate,
    batch_size: int = 32,
    accelerator: Accelerator | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Logits of a classifier, float32 [num_examples, num_labels], in the order of `features`.

    model: called with the tensors of collate(examples), "labels" excepted, on the model's device;
    returns an object with `.logits` [batch_size, num_labels]. It runs in eval mode without
    gradients, and gets its former mode back.
    accelerator: its autocast is used. With several processes each computes a share of the batches,
    the same batches as one process would, and all return the whole array.
    Raises ValueError for no features or logits of another shape, FloatingPointError for NaN or
    infinity.
    """
    if not len(features):
        raise ValueError("there are no examples to predict; expected at least one")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    # Similar lengths pad little; and if the longest batch does not fit into memory, that shows at
    # once.
    order = sorted(range(len(features)), key=lambda index: -len(features[index]["input_ids"]))
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]

    # Each module gets back its own mode: a frozen part may have been in eval mode all along.
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        parts = _predict_batches(model, features, batches, collate, accelerator, progress)
    finally:
        for module, mode in modes:
            module.training = mode

    _, first_rows = parts[0]
    logits = np.empty((len(features), first_rows.shape[1]), dtype=np.float32)
    for indices, rows in parts:  # rows: [batch_size, num_labels]
        logits[indices] = rows
    check_finite(logits)
    return logits


# not inference_mode: what a model caches in a forward pass must remain usable in training
@torch.no_grad()
def _predict_batches(
    model: nn.Module,
    features: Sequence[Features],
    batches: list[list[int]],
    collate: Collate,
    accelerator: Accelerator | None,
    progress: bool,
) -> list[tuple[list[int], np.ndarray]]:
    """(indices, logits) of every batch.

    Of several processes, number `rank` computes every num_processes-th batch, and all get all.
    """
    rank = accelerator.process_index if accelerator else 0
    num_processes = accelerator.num_processes if accelerator else 1
    if isinstance(model, nn.parallel.DistributedDataParallel):
        # The wrapper would wait for the other processes, which may have one batch less.
        model = model.module
    device = next(model.parameters()).device
    autocast = accelerator.autocast if accelerator else nullcontext
    parts = []
    for indices in tqdm(
        batches[rank::num_processes], desc="predict", unit="batch", disable=not progress or rank > 0
    ):
        batch = collate([features[index] for index in indices])
        inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
        with autocast():
            logits = model(**inputs).logits
        if logits.ndim != 2 or len(logits) != len(indices):
            raise ValueError(
                f"expected logits of shape [{len(indices)}, num_labels], one row per example, got "
                f"{list(logits.shape)}; is the model a sequence classifier?"
            )
        parts.append((indices, logits.float().cpu().numpy()))
    return gather_object(parts) if num_processes > 1 else parts


def check_finite(logits: np.ndarray) -> None:
    """Raise FloatingPointError that names the first row of the logits with NaN or infinity."""
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(bad):
        raise FloatingPointError(
            f"the logits of {len(bad):,} of {len(logits):,} examples are not finite, the first at "
            f"index {bad[0]} ({logits[bad[0]].tolist()}); the weights have diverged, or the "
            "precision is too low: try fp32"
        )
