"""Classifiers of any architecture but BERT: the library's AutoModelForSequenceClassification."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification


def start(
    name: str, folder: Path, dropout: Mapping[str, float], label_names: Sequence[str]
) -> nn.Module:
    """The folder's weights, float32, under a head for these labels.

    A head that the folder lacks is drawn from torch's global generator. Raises ValueError where the
    architecture is of another kind, or weights of the body are missing.
    """
    config = AutoConfig.from_pretrained(folder)
    needed = (*dropout, "max_position_embeddings")
    if unknown := [setting for setting in needed if not hasattr(config, setting)]:
        raise ValueError(
            f"{name} is a {config.model_type}, which knows no {', '.join(unknown)}; expected a "
            "BERT or one of its kind (roberta, electra, mpnet, deberta-v2, ...)"
        )
    with quiet():
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            folder,
            dtype=torch.float32,
            num_labels=len(label_names),
            use_safetensors=True,
            output_loading_info=True,
            **dropout,
        )
    refuse_without_body(name, loading["missing_keys"])
    model.config.id2label = dict(enumerate(label_names))
    model.config.label2id = {label: index for index, label in enumerate(label_names)}
    return model


def load(folder: Path) -> nn.Module:
    """The classifier of a fine-tuned folder, float32, in eval mode; ValueError without a head."""
    with quiet():
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
    refuse_without_head(folder, loading["missing_keys"])
    return model.eval()


def refuse_without_body(name: str, missing: Iterable[str]) -> None:
    """Raise ValueError if weights of the encoder are among those that a checkpoint lacks."""
    if lacking := sorted(weight for weight in missing if "classifier" not in weight):
        raise ValueError(
            f"{name} lacks weights of the encoder ({', '.join(lacking[:3])}, {len(lacking)} in "
            "all); expected a checkpoint of the same architecture as its config.json"
        )


def refuse_without_head(folder: Path, missing: Iterable[str]) -> None:
    """Raise ValueError if a folder that should hold a fine-tuned classifier lacks any weight."""
    if lacking := sorted(missing):
        raise ValueError(f"{folder} is not fine-tuned: it lacks {', '.join(lacking[:3])}")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' report of fresh head weights (checked here instead) and its bars."""
    former = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(former)
        transformers.logging.enable_progress_bar()
