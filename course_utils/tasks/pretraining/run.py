"""Pre-training from nothing: texts in, a checkpoint that `transformers` loads out."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from torch import nn

from course_utils import data, models
from course_utils.config import BertConfig, PretrainConfig, TrainConfig
from course_utils.data import Features
from course_utils.models import BertForCausalLM, BertForPreTraining
from course_utils.progress import phase
from course_utils.tasks.pretraining.held_out import score_held_out, unigram_log_probs
from course_utils.tasks.pretraining.objectives import (
    causal_loss,
    collate_causal,
    collate_masked,
    masked_loss,
    pair_examples,
    token_examples,
)
from course_utils.tasks.running import Start, run_or_show
from course_utils.text import clean
from course_utils.tokenization import WordPieceTokenizer
from course_utils.training import Batch, Objective, fit, hardware
from course_utils.training.records import record_of
from course_utils.training.runs import RunFolder, identity_of, refuse_own_start

# What a run that goes on from a folder must have in common with it.
_SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)


def pretrain(
    task: PretrainConfig,
    config: TrainConfig,
    output_dir: Path,
    *,
    resume: bool = True,
    stop_after: int | None = None,
    progress: bool = False,
    command: str = "",
) -> dict[str, Any] | None:
    """Pre-train; write model (float16), config, vocabulary and result.json into `output_dir`.

    Returns the result. Started again with the same settings and data, a run goes on where it was,
    or returns the finished result at once; without `resume` it first deletes the run that the
    folder holds. With `stop_after` updates in all, the weights so far are written, and None is
    returned. Raises ValueError when the folder holds another run, or the data are unfit.
    """
    refuse_own_start(task.start_from, output_dir)
    identity = identity_of(task.to_dict(), "start_from")
    identity["dataset_sha256"] = data.fingerprint(task.dataset)
    folder = RunFolder(output_dir, {**identity, **config.identity()})
    start = Start(resume, stop_after, progress, command)
    return run_or_show(folder, start, lambda: _pretrain(task, config, folder, identity, start))


def _pretrain(
    task: PretrainConfig,
    config: TrainConfig,
    folder: RunFolder,
    identity: dict[str, Any],
    start: Start,
) -> dict[str, Any] | None:
    with (
        phase(f"reading the texts of {task.dataset!r}, and a vocabulary", show=start.progress),
        hardware.make_accelerator().main_process_first(),
    ):
        texts, held_out_texts = training_texts(task)
        tokenizer = _tokenizer(task, texts, folder.path)
    with phase(f"tokenizing {len(texts) + len(held_out_texts):,} texts", show=start.progress):
        examples = _examples(task, tokenizer, texts, config.seed)
        held_out = _examples(task, tokenizer, held_out_texts, config.seed)
    objective = _objective(task, tokenizer, examples, held_out)
    model = _model(task, tokenizer.vocab_size, config.seed)
    fitted = fit(
        model,
        examples,
        config,
        objective,
        output_dir=folder.path,
        identity=identity,
        stop_after=start.stop_after,
        progress=start.progress,
    )
    with phase("measuring the held-out loss", show=start.progress):
        found = objective.evaluate(model, fitted.accelerator)
    result = {
        "held_out": found,
        "dataset": task.dataset,
        "train_texts": len(texts),
        "train_examples": len(examples),
        "train_tokens": sum(len(example["input_ids"]) for example in examples),
        **record_of(fitted, {**identity, **config.to_dict()}, start.command),
    }
    if PartialState().is_main_process:
        models.save_pretrained(copy.deepcopy(model).half(), folder.path)
        if fitted.finished:
            folder.finish(result)
    PartialState().wait_for_everyone()
    return result if fitted.finished else None


# --- texts and their tokens -----------------------------------------------------------------------


def training_texts(task: PretrainConfig) -> tuple[list[str], list[str]]:
    """(texts to train on, texts held out): cleaned, each once, of train and unsupervised.

    None of them is in another split, such as test. Which are held out depends on the texts alone.
    Raises ValueError where too few are left to train on.
    """
    reviews = data.load_reviews(task.dataset)
    own: dict[str, None] = {}  # in the order in which they come
    unseen: set[str] = set()
    for split in reviews:
        cleaned = [clean(text) for text in reviews[split]["text"]]
        if split in ("train", "unsupervised"):
            own.update(dict.fromkeys(cleaned))
        else:
            unseen.update(cleaned)
    usable = (text for text in own if text and text not in unseen)
    texts = sorted(usable, key=lambda text: hashlib.sha256(text.encode()).digest())
    if len(texts) <= task.validation_texts:
        raise ValueError(
            f"validation_texts={task.validation_texts} leaves nothing of "
            f"{len(texts):,} texts to train on"
        )
    train = texts[task.validation_texts :]
    return train[: task.train_texts or len(train)], texts[: task.validation_texts]


def _tokenizer(task: PretrainConfig, texts: Sequence[str], folder: Path) -> WordPieceTokenizer:
    """The vocabulary of the folder to start from (its weights know no other), of this run's own
    first start, or a new one.
    """
    main = PartialState().is_main_process
    started = (folder / "run.json").exists()  # else a vocabulary that lies there is another run's
    if task.start_from:
        tokenizer = WordPieceTokenizer.load(Path(task.start_from).expanduser())
    elif started or not main:
        tokenizer = WordPieceTokenizer.load(folder)
    else:
        tokenizer = WordPieceTokenizer.train(texts, task.vocab_size)
    if main and not started:
        tokenizer.save(folder)
    return tokenizer


def _examples(
    task: PretrainConfig, tokenizer: WordPieceTokenizer, texts: Sequence[str], seed: int
) -> list[Features]:
    """The examples that the task's objective reads: pairs for next sentence prediction, else
    chunks of texts.
    """
    if task.objective == "mlm+nsp":
        generator = torch.Generator().manual_seed(seed)
        return pair_examples(texts, tokenizer, task.max_length, generator=generator)
    return token_examples(texts, tokenizer, task.max_length)


# --- objective and model --------------------------------------------------------------------------


def _objective(
    task: PretrainConfig,
    tokenizer: WordPieceTokenizer,
    examples: Sequence[Features],
    held_out: Sequence[Features],
) -> Objective:
    """The task's loss and batches, and the held-out loss as what the best weights are kept by."""
    evaluate = partial(
        _measure,
        batches=_held_out_batches(task, tokenizer, held_out),
        unigrams=unigram_log_probs(examples, tokenizer.vocab_size),
        mask_token_id=tokenizer.mask_token_id,
    )
    if task.objective == "clm":
        collate = partial(collate_causal, tokenizer=tokenizer)
        return Objective(causal_loss, collate, evaluate, best_metric="loss")
    collate = partial(collate_masked, tokenizer=tokenizer, static=task.static_masking)
    return Objective(masked_loss, collate, evaluate, best_metric="loss")


def _held_out_batches(
    task: PretrainConfig, tokenizer: WordPieceTokenizer, examples: Sequence[Features]
) -> list[Batch]:
    """The held-out examples in batches, corrupted once and for all, so that every evaluation asks
    for the same.
    """
    generator = torch.Generator().manual_seed(0)
    ordered = sorted(examples, key=lambda example: len(example["input_ids"]))  # little padding
    parts = [ordered[start : start + 64] for start in range(0, len(ordered), 64)]
    if task.objective == "clm":
        return [collate_causal(part, tokenizer) for part in parts]
    return [collate_masked(part, tokenizer, generator=generator) for part in parts]


def _measure(model: nn.Module, accelerator: Accelerator, **held_out: Any) -> dict[str, float]:
    """What `score_held_out` finds, without what does not apply."""
    found = score_held_out(model, accelerator=accelerator, **held_out)
    return {name: value for name, value in asdict(found).items() if value is not None}


def _model(task: PretrainConfig, vocab_size: int, seed: int) -> nn.Module:
    """A fresh model, or one that starts from saved weights with the task's dropout.

    Raises ValueError if the saved weights have other sizes than the task.
    """
    torch.manual_seed(seed)
    model_class = BertForCausalLM if task.objective == "clm" else BertForPreTraining
    config = task.bert(vocab_size)
    if task.start_from:
        start = models.load_pretrained(task.start_from, model_class=model_class)
        _check_sizes(task.start_from, start.config, config)
        config = replace(
            start.config,
            hidden_dropout_prob=config.hidden_dropout_prob,
            attention_probs_dropout_prob=config.attention_probs_dropout_prob,
        )
    model = model_class(config, attention=task.attention)
    if task.start_from:
        model.load_state_dict(start.state_dict())
    if task.objective == "mlm":
        # No loss reaches these, and several processes would wait for their gradients.
        model.bert.pooler.requires_grad_(False)
        model.nsp.requires_grad_(False)
    return model


def _check_sizes(name: str, there: BertConfig, here: BertConfig) -> None:
    """Raise ValueError, naming both values, where a start has another size than the settings."""
    for size in _SIZES:
        if getattr(there, size) != getattr(here, size):
            raise ValueError(
                f"start_from={name} has {size} {getattr(there, size)}, the settings say "
                f"{getattr(here, size)}; give the same"
            )
