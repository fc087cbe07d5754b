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

# --- answers of a model to the texts of a notebook ------------------------------------------------


def answer_key(text: str, max_length: int) -> str:
    """By what the answer to a text is stored that was cut to max_length tokens: the
    beginning of a hash of both.
    """
    return hashlib.sha256(f"{max_length} {text}".encode()).hexdigest()[:16]


def stored_logits(
    answers: Mapping[str, Sequence[float]], texts: Sequence[str], max_length: int
) -> np.ndarray:
    """The stored logits of `texts`, float64 [num_texts, num_labels].
    Raises KeyError for a text that was not asked.
    """
    for text in texts:
        if answer_key(text, max_length) not in answers:
            raise KeyError(
                f"no answer is stored for {text!r:.80} at {max_length} tokens; to ask a text of "
                "your own, train the model in this notebook"
            )
    return np.array([answers[answer_key(text, max_length)] for text in texts], dtype=float)


Collate = Callable[[Sequence[Features]], dict[str, torch.Tensor]]


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
    modes = [
        (module, module.training) for module in model.modules()
    ]  # a frozen part may stay in eval mode
    model.eval()
    try:
        parts = _predict_batches(model, features, batches, collate, accelerator, progress)
    finally:
        for module, mode in modes:
            module.training = mode
    logits = np.empty(
        (len(features), parts[0][1].shape[1]), dtype=np.float32
    )  # [num_examples, num_labels]
    for indices, rows in parts:
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
    """(indices, logits) of every batch; process r of several computes batches r::world,
    and gets those of all.
    """
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    if isinstance(model, nn.parallel.DistributedDataParallel):
        model = (
            model.module
        )  # the wrapper would wait for the other processes, which may have a batch less
    device = next(model.parameters()).device
    autocast = accelerator.autocast if accelerator else nullcontext
    parts = []
    for indices in tqdm(
        batches[rank::world], desc="predict", unit="batch", disable=not progress or rank > 0
    ):
        batch = collate([features[index] for index in indices])
        inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
        with autocast():
            logits = model(**inputs).logits
        if logits.ndim != 2 or len(logits) != len(indices):
            raise ValueError(
                f"expected logits of shape [{len(indices)}, num_labels], one row an example, got "
                f"{list(logits.shape)}; is the model a sequence classifier?"
            )
        parts.append((indices, logits.float().cpu().numpy()))
    return gather_object(parts) if world > 1 else parts


def check_finite(logits: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(bad):
        raise FloatingPointError(
            f"the logits of {len(bad):,} of {len(logits):,} examples are not finite, the first at "
            f"index {bad[0]} ({logits[bad[0]].tolist()}); the weights have diverged, or the "
            "precision is too low: try fp32"
        )
