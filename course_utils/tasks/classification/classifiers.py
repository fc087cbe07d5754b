"""A tokenizer and a classifier: to start fine-tuning from, saved, and loaded again.

A checkpoint of BERT becomes the course's own BertForSequenceClassification. Any other architecture
(RoBERTa, ELECTRA, ...) is left to the library's AutoModelForSequenceClassification, in library.py.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from course_utils import files, models
from course_utils.config import BertConfig, ClassificationConfig
from course_utils.data import hub
from course_utils.models import BertForSequenceClassification
from course_utils.tasks.classification import library
from course_utils.tokenization import Tokenizer, WordPieceTokenizer, load_tokenizer

TINY = BertConfig(
    vocab_size=4096,
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=256,
)


def start_from(
    name: str,
    texts: Sequence[str],
    config: ClassificationConfig,
    *,
    seed: int,
    label_names: Sequence[str] = ("neg", "pos"),
) -> tuple[Tokenizer, nn.Module]:
    """Tokenizer and classifier that a fine-tune starts from.

    name: "course-bert", a folder, or a name on the Hub. Two names are untrained, drawn from `seed`:
        "tiny-random", which learns its vocabulary from `texts`, and "course-bert-random",
        course-bert's network and vocabulary without its weights.
    texts: the training texts.
    config: its dropout is set, and its max_length checked.
    seed: of the untrained weights, or of the head; where the checkpoint has a head for as many
        labels, that head is kept.
    label_names: what the labels 0, 1, ... are called; as many as the head has rows.

    Weights are loaded as float32. Raises FileNotFoundError where there is no such checkpoint,
    ValueError naming the weights that one lacks, or a max_length beyond its positions.
    """
    dropout = {
        "hidden_dropout_prob": config.hidden_dropout_prob,
        "attention_probs_dropout_prob": config.attention_probs_dropout_prob,
    }
    torch.manual_seed(seed)
    if name == "tiny-random":
        tokenizer = WordPieceTokenizer.train(texts, TINY.vocab_size)
        shape = replace(TINY, vocab_size=tokenizer.vocab_size, **dropout)
        model = BertForSequenceClassification(shape, label_names=label_names)
    elif name == f"{hub.COURSE_BERT}-random":
        folder = hub.fetch_checkpoint(hub.COURSE_BERT)
        tokenizer = load_tokenizer(folder)
        shape = replace(models.read_config(folder), **dropout)
        model = BertForSequenceClassification(shape, label_names=label_names)
    else:
        folder = hub.fetch_checkpoint(name)
        tokenizer = load_tokenizer(folder)
        if models.is_our_bert(folder):
            shape = replace(models.read_config(folder), **dropout)
            model = _own_bert(name, folder, shape, label_names, seed)
        else:
            model = library.start(name, folder, dropout, label_names)
    _check_fit(name, tokenizer, model, config.max_length)
    return tokenizer, model


def _own_bert(
    name: str, folder: Path, config: BertConfig, label_names: Sequence[str], seed: int
) -> BertForSequenceClassification:
    """The folder's weights in our own BERT; a head that they lack is drawn from `seed`."""
    with torch.device("meta"):  # no time is spent on drawing weights that are replaced at once
        model = BertForSequenceClassification(config, label_names=label_names)
    model.to_empty(device="cpu")
    library.refuse_without_body(name, models.missing_weights(model, folder))
    if models.load_weights(model, folder, may_be_fresh="classifier."):
        torch.manual_seed(seed)
        models.init_weights(model.classifier, config)
    return model


def _check_fit(name: str, tokenizer: Tokenizer, model: nn.Module, max_length: int) -> None:
    """Raise ValueError where tokenizer, model and max_length do not belong together."""
    if tokenizer.vocab_size > model.config.vocab_size:
        raise ValueError(
            f"{name}: the tokenizer has {tokenizer.vocab_size:,} tokens, the model "
            f"{model.config.vocab_size:,}; they belong to different checkpoints"
        )
    if max_length > num_positions(model):
        raise ValueError(
            f"max_length={max_length} exceeds the {num_positions(model)} positions of {name}"
        )


def num_positions(model: nn.Module) -> int:
    """How many tokens the model can number; where its config names no limit, any number."""
    return getattr(model.config, "max_position_embeddings", sys.maxsize)


def label_names(model: nn.Module) -> tuple[str, ...]:
    """What the labels 0, 1, ... of a classifier are called, ours or the library's."""
    if isinstance(model, BertForSequenceClassification):
        return model.label_names
    return tuple(model.config.id2label[number] for number in range(model.config.num_labels))


def save_classifier(folder: Path, model: nn.Module, tokenizer: Tokenizer) -> None:
    """Write model.safetensors, config and tokenizer into `folder`, each file whole.

    `transformers` loads the folder, and so does its pipeline("text-classification").
    """
    with files.replaced_files(folder) as scratch:
        if isinstance(model, BertForSequenceClassification):
            models.write_pretrained(model, scratch)
        else:
            with library.quiet():
                model.save_pretrained(scratch)
        try:
            limit = num_positions(model)
            tokenizer.save(scratch, model_max_length=None if limit == sys.maxsize else limit)
        except OSError:
            raise
        except Exception as error:  # the Rust library tells a full disk by no other kind
            raise OSError(errno.EIO, str(error)) from error


def load_classifier(folder: Path) -> tuple[Tokenizer, nn.Module]:
    """Tokenizer and model of a fine-tuned folder, float32, in eval mode.

    Raises FileNotFoundError for a folder without model.safetensors, DataError where that is cut
    short, ValueError where the folder holds no classifier or no tokenizer.
    """
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(
            f"expected a fine-tuned folder with model.safetensors, found none in {folder}; make "
            "one with: python -m course_utils.finetune --output-dir DIR"
        )
    hub.check_safetensors(folder / "model.safetensors")
    if models.is_our_bert(folder):
        with torch.device("meta"):  # only its names are asked for
            model = BertForSequenceClassification(models.read_config(folder))
        library.refuse_without_head(folder, models.missing_weights(model, folder))
        model = models.load_pretrained(folder, model_class=BertForSequenceClassification)
    else:
        model = library.load(folder)
    return load_tokenizer(folder), model
