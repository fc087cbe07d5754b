"""Fine-tuning a BERT to classify reviews: from texts and a checkpoint to a scored
model and its record.
"""

from __future__ import annotations

import json
import operator
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers
from accelerate import Accelerator, PartialState
from tokenizers import BertWordPieceTokenizer
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertTokenizerFast,
)

from course_utils import data, evaluation, files, models
from course_utils.config import BertConfig, ClassificationConfig, TrainConfig
from course_utils.data import hub
from course_utils.progress import phase
from course_utils.text import clean
from course_utils.training import fit, hardware, interrupts_in_one_line, saved_state
from course_utils.training.records import record_of
from course_utils.training.runs import (
    checkpoint_name,
    finished_result,
    identity_of,
    refuse_own_start,
)

TINY = BertConfig(
    vocab_size=4096,
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=256,
)


# --- a tokenizer and a model to start from --------------------------------------------------------


def start_from(
    name: str, texts: Sequence[str], config: ClassificationConfig, *, seed: int
) -> tuple[transformers.PreTrainedTokenizerBase, nn.Module]:
    """Tokenizer and two-way classifier from "course-bert", a folder, a Hub name,
    or an untrained start.

    Two are untrained, drawn from `seed`: "tiny-random", which learns its vocabulary from `texts`,
    and "course-bert-random", course-bert's network and vocabulary without its weights. Else the
    head on top is fresh, drawn from `seed`; nothing else may be. Weights are loaded as float32.
    Raises FileNotFoundError where there is no such checkpoint, ValueError naming the weights that
    one lacks, or a max_length beyond its positions.
    """
    with _quiet_transformers():
        torch.manual_seed(seed)
        dropout = {
            "hidden_dropout_prob": config.hidden_dropout_prob,
            "attention_probs_dropout_prob": config.attention_probs_dropout_prob,
        }
        if name == "tiny-random":
            tokenizer, model = _tiny_random(texts, dropout)
        elif name == f"{hub.COURSE_BERT}-random":
            folder = hub.fetch_checkpoint(hub.COURSE_BERT)
            tokenizer = _read_tokenizer(folder)
            model = AutoModelForSequenceClassification.from_config(
                AutoConfig.from_pretrained(folder, dtype=torch.float32, num_labels=2, **dropout)
            )
        else:
            folder = hub.fetch_checkpoint(name)
            tokenizer, model = _read_tokenizer(folder), _pretrained(name, folder, dropout)
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(
            f"{name}: the tokenizer has {len(tokenizer):,} tokens, the model "
            f"{model.config.vocab_size:,}; they belong to different checkpoints"
        )
    if config.max_length > _positions(model):
        raise ValueError(
            f"max_length={config.max_length} exceeds the {_positions(model)} positions of {name}"
        )
    model.config.id2label = dict(enumerate(data.LABEL_NAMES))
    model.config.label2id = {label: index for index, label in enumerate(data.LABEL_NAMES)}
    return tokenizer, model


def _pretrained(name: str, folder: Path, dropout: dict[str, float]) -> nn.Module:
    """The folder's weights under a two-way head;
    ValueError where it is of another kind, or lacks some.
    """
    config = AutoConfig.from_pretrained(folder)
    if unknown := [
        setting for setting in (*dropout, "max_position_embeddings") if not hasattr(config, setting)
    ]:
        raise ValueError(
            f"{name} is a {config.model_type}, which knows no {', '.join(unknown)}; expected a "
            "BERT or one of its kind (roberta, electra, mpnet, deberta-v2, ...)"
        )
    model, loading = AutoModelForSequenceClassification.from_pretrained(
        folder,
        dtype=torch.float32,
        num_labels=2,
        use_safetensors=True,
        output_loading_info=True,
        **dropout,
    )
    if lacking := sorted(key for key in loading["missing_keys"] if "classifier" not in key):
        raise ValueError(
            f"{name} lacks weights of the encoder ({', '.join(lacking[:3])}, {len(lacking)} in "
            "all); expected a checkpoint of the same architecture as its config.json"
        )
    return model


def _read_tokenizer(folder: Path) -> transformers.PreTrainedTokenizerBase:
    """The folder's tokenizer. `transformers` makes one up, of special tokens only,
    where the files are missing.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # transformers and the Rust library raise errors of many kinds
        raise ValueError(
            f"the tokenizer in {folder} cannot be read ({type(error).__name__}: {error}); fetch or "
            "copy tokenizer.json and tokenizer_config.json again"
        ) from error
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ValueError(
            f"{folder} holds no tokenizer; expected tokenizer.json or vocab.txt beside the weights"
        )
    return tokenizer


def _tiny_random(
    texts: Sequence[str], dropout: dict[str, float]
) -> tuple[BertTokenizerFast, nn.Module]:
    tokenizer = BertTokenizerFast(
        tokenizer_object=_train_word_pieces(texts, TINY.vocab_size)._tokenizer
    )
    settings = {
        **TINY.to_dict(),
        **dropout,
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
    }
    return tokenizer, transformers.BertForSequenceClassification(
        transformers.BertConfig(**settings)
    )


def _train_word_pieces(texts: Sequence[str], vocab_size: int) -> BertWordPieceTokenizer:
    """A lower-casing WordPiece vocabulary from `texts`, the same each time."""
    trainer = BertWordPieceTokenizer(lowercase=True)
    # Left to itself the trainer numbers the pieces of one character in the order of a hash map,
    # another one in each process, and settles equal counts by these numbers. Named beforehand as
    # special tokens, they have an order.
    characters = sorted(
        {character for text in texts for character in trainer.normalize(text)} - set(" ")
    )
    reserved = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer.train_from_iterator(
        texts,
        vocab_size=vocab_size,
        show_progress=False,
        special_tokens=[*reserved, *characters, *(f"##{character}" for character in characters)],
    )
    return BertWordPieceTokenizer(
        vocab=trainer.get_vocab(), lowercase=True
    )  # afresh: with the usual five specials


class _quiet_transformers:
    """Silence transformers' report of fresh head weights (checked here instead)
    and its progress bars.
    """

    def __enter__(self) -> None:
        self.former = transformers.logging.get_verbosity()
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        transformers.logging.set_verbosity(self.former)
        transformers.logging.enable_progress_bar()


def encode(
    tokenizer: transformers.PreTrainedTokenizerBase,
    texts: Sequence[str],
    labels: Sequence[int] | None = None,
    *,
    max_length: int = 256,
    tail_share: float = 0.5,
) -> list[dict[str, Any]]:
    """Clean, tokenize and cut texts: one {"input_ids": list[int], "labels": int} each
    (no labels if None).
    """
    if isinstance(texts, str):
        raise TypeError(f"expected a list of texts, got one str: {texts!r:.50}; put it into a list")
    features: list[dict[str, Any]] = []
    for start in range(
        0, len(texts), 1000
    ):  # the tokenizer's own record of a text is many times as large as its ids
        cleaned = [clean(text) for text in texts[start : start + 1000]]
        all_ids = tokenizer(
            cleaned,
            add_special_tokens=True,
            truncation=False,
            padding=False,
            verbose=False,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        features += [
            {"input_ids": data.truncate_ids(ids, max_length, tail_share=tail_share)}
            for ids in all_ids
        ]
    if labels is not None:
        for feature, label in zip(features, labels, strict=True):
            feature["labels"] = operator.index(label)  # int() would make 0 of 0.7
    return features


def _collate(
    tokenizer: transformers.PreTrainedTokenizerBase, model: nn.Module
) -> evaluation.Collate:
    """Padding with the tokenizer's token, within the model's positions."""
    return partial(data.collate, pad_token_id=tokenizer.pad_token_id, limit=_positions(model))


def _positions(model: nn.Module) -> int:
    """How many tokens the model can number; where its config names no limit,
    as many as there may be.
    """
    return getattr(model.config, "max_position_embeddings", sys.maxsize)


def compute_loss(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean cross-entropy of the batch, in nats; rows labelled -100 do not count."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    return nn.functional.cross_entropy(model(**inputs).logits, batch["labels"])


# --- the run --------------------------------------------------------------------------------------


def _refuse_what_makes_no_sense(
    task: ClassificationConfig, config: TrainConfig, output_dir: Path
) -> None:
    """Raise ValueError for settings that are fine one by one, but not together."""
    refuse_own_start(hub.shipped_folder(task.checkpoint.removesuffix("-random")), output_dir)
    if not task.validation_examples and (config.early_stopping_patience or config.eval_steps):
        raise ValueError(
            f"early_stopping_patience={config.early_stopping_patience} and "
            f"eval_steps={config.eval_steps} need something to evaluate on: set "
            "validation_examples above 0"
        )


def finetune(
    task: ClassificationConfig,
    config: TrainConfig,
    output_dir: Path,
    *,
    resume: bool = True,
    stop_after: int | None = None,
    progress: bool = False,
    command: str = "",
) -> dict[str, Any] | None:
    """Fine-tune, score, and write the model, its tokenizer and result.json into `output_dir`;
    return the result.

    Started again with the same settings it goes on where it was, or returns the finished result at
    once; without `resume` it first deletes the run that the folder holds, and nothing else there.
    None if stopped by `stop_after`.
    Raises ValueError when the folder holds another run, or the data are unfit.
    """
    _refuse_what_makes_no_sense(task, config, output_dir)
    identity = identity_of(
        {**task.to_dict(), "checkpoint": hub.shipped_folder(task.checkpoint)}, "checkpoint"
    )
    if finished := finished_result(output_dir, {**identity, **config.identity()}, resume=resume):
        with phase(
            f"this run was finished before: its result is read from {output_dir}", show=progress
        ):
            return finished
    with interrupts_in_one_line("stopped; what was saved last is untouched, start again to go on"):
        return _finetune(task, config, output_dir, identity, stop_after, progress, command)


def _finetune(
    task: ClassificationConfig,
    config: TrainConfig,
    output_dir: Path,
    identity: dict[str, Any],
    stop_after: int | None,
    progress: bool,
    command: str,
) -> dict[str, Any] | None:
    with (
        phase(
            f"reading the reviews of {task.dataset!r}, and {checkpoint_name(task.checkpoint)}",
            show=progress,
        ),
        hardware.make_accelerator().main_process_first(),
    ):
        splits = _splits(task, config.seed)
        tokenizer, model = start_from(task.checkpoint, splits[0]["text"], task, seed=config.seed)
    with phase(f"tokenizing {sum(map(len, splits)):,} reviews", show=progress):
        train_features, validation_features, scored_features = (
            encode(
                tokenizer,
                split["text"],
                split["label"],
                max_length=task.max_length,
                tail_share=task.tail_share,
            )
            for split in splits
        )
    collate = _collate(tokenizer, model)

    def measure(model: nn.Module, accelerator: Accelerator) -> dict[str, float]:
        now = evaluation.evaluate(
            model, validation_features, collate=collate, accelerator=accelerator
        )
        return {"accuracy": now.accuracy, "loss": now.loss}

    fitted = fit(
        model,
        train_features,
        config,
        compute_loss=compute_loss,
        collate=collate,
        output_dir=output_dir,
        evaluate=measure if validation_features else None,
        stop_after=stop_after,
        progress=progress,
        identity=identity,
    )
    if not fitted.finished:
        return None
    found = evaluation.evaluate(
        model,
        scored_features,
        collate=collate,
        accelerator=fitted.accelerator,
        seed=config.seed,
        progress=progress,
    )
    if PartialState().is_main_process:
        run = record_of(fitted, {**identity, **config.to_dict()}, command)
        with phase("counting words, as a baseline", show=progress):
            scores = _scores(task, found, splits)
        _finish(output_dir, model, tokenizer, {**scores, **run})
    PartialState().wait_for_everyone()
    return json.loads((output_dir / "result.json").read_text(encoding="utf-8"))


def _finish(
    output_dir: Path,
    model: nn.Module,
    tokenizer: transformers.PreTrainedTokenizerBase,
    result: dict[str, Any],
) -> None:
    """Write the model, then its result, then drop the states: in this order a kill in
    between loses nothing.
    """
    with _quiet_transformers():
        models.save_classifier(output_dir, model, tokenizer)
    files.write_json(output_dir / "result.json", result)
    saved_state.remove_states(output_dir / "state")


def _splits(
    task: ClassificationConfig, seed: int
) -> tuple[datasets.Dataset, datasets.Dataset, datasets.Dataset]:
    """The reviews to train on, to keep the best weights by (maybe none), and to score on;
    all checked.
    """
    reviews = data.load_reviews(task.dataset)
    for name in ("train", "test") if task.scored_split == "test" else ("train",):
        data.check_examples(
            reviews[name], name=name
        )  # before any split, so that a row's number is that of the file
    train, validation = reviews["train"], reviews["train"].select([])
    if task.validation_examples:
        train, validation = data.hold_out(train, task.validation_examples, seed=0)
    if task.train_examples > len(train):
        raise ValueError(
            f"train_examples={task.train_examples:,} exceeds the {len(train):,} training reviews"
        )
    if 0 < task.train_examples < len(train):
        train = data.hold_out(train, task.train_examples, seed=seed)[1]
    scored = validation if task.scored_split == "validation" else reviews["test"]
    return train, validation, scored


def _scores(
    task: ClassificationConfig, found: evaluation.Evaluation, splits: Sequence[datasets.Dataset]
) -> dict[str, Any]:
    """What the run reached and on what, beside the baseline, JSON-ready."""
    train, _, scored = splits
    baseline = evaluation.tfidf_baseline(
        train["text"], train["label"], scored["text"], scored["label"]
    )
    phenomena = scored["phenomenon"] if "phenomenon" in scored.column_names else None
    slices = (
        {}
        if phenomena is None
        else {
            "accuracy_by_phenomenon": {
                name: {"accuracy": accuracy, "examples": count}
                for name, (accuracy, count) in evaluation.accuracy_by(phenomena, found).items()
            }
        }
    )
    return {
        "accuracy": found.accuracy,
        "f1": found.f1,
        "interval": list(found.interval),
        "baseline_accuracy": baseline.accuracy,
        "baseline_interval": list(baseline.interval),
        "dataset": task.dataset,
        "scored_split": task.scored_split,
        "checkpoint_name": checkpoint_name(task.checkpoint),
        "train_examples": len(train),
        "test_examples": found.num_examples,
        **slices,
        "metrics": found.to_dict(),
    }


# --- a fine-tuned folder at work ------------------------------------------------------------------


def load_classifier(folder: Path) -> tuple[transformers.PreTrainedTokenizerBase, nn.Module]:
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
    with _quiet_transformers():
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
        if lacking := sorted(loading["missing_keys"]):
            raise ValueError(f"{folder} is not fine-tuned: it lacks {', '.join(lacking[:3])}")
        return _read_tokenizer(folder), model.eval()


def trained_cut(folder: Path) -> dict[str, Any]:
    """The max_length and tail_share that a fine-tuned folder's reviews were cut with,
    by its result.json.
    """
    path = folder / "result.json"
    config = files.read_json(path).get("config", {}) if path.exists() else {}
    return {name: config[name] for name in ("max_length", "tail_share") if name in config}


def predict_probabilities(
    tokenizer: transformers.PreTrainedTokenizerBase,
    model: nn.Module,
    texts: Sequence[str],
    *,
    max_length: int = 256,
    tail_share: float = 0.5,
) -> np.ndarray:
    """Probability of each class, float32 [num_texts, num_labels].
    Raises ValueError for a text that is empty.

    A text is cut to max_length tokens, or to the model's positions where these are fewer.
    """
    for number, text in enumerate(texts):
        if not clean(text):
            raise ValueError(
                f"text {number} is empty after cleaning: {text!r}; expected at least one word"
            )
    features = encode(
        tokenizer, texts, max_length=min(max_length, _positions(model)), tail_share=tail_share
    )
    logits = evaluation.predict_logits(model, features, collate=_collate(tokenizer, model))
    return torch.from_numpy(logits).softmax(-1).numpy()
