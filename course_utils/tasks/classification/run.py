"""Fine-tuning a classifier: from a data set and a checkpoint to a scored model and its record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from accelerate import Accelerator, PartialState
from torch import nn

from course_utils import data, evaluation, files
from course_utils.config import ClassificationConfig, TrainConfig
from course_utils.data import hub
from course_utils.evaluation import Evaluation
from course_utils.progress import phase
from course_utils.tasks.classification.classifiers import save_classifier, start_from
from course_utils.tasks.classification.inputs import collate_for, compute_loss, encode
from course_utils.tasks.running import Start, run_or_show
from course_utils.tokenization import Tokenizer
from course_utils.training import Objective, fit, hardware
from course_utils.training.records import record_of
from course_utils.training.runs import RunFolder, checkpoint_name, identity_of, refuse_own_start


@dataclass(frozen=True)
class Splits:
    """What is trained on, what the best weights are kept by (maybe nothing), what is scored."""

    train: datasets.Dataset
    validation: datasets.Dataset
    scored: datasets.Dataset

    def __len__(self) -> int:
        return len(self.train) + len(self.validation) + len(self.scored)


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
    """Fine-tune, score, and write the model, its tokenizer and result.json into `output_dir`.

    Returns the result. Started again with the same settings and data, a run goes on where it was,
    or returns the finished result at once; without `resume` it first deletes the run that the
    folder holds, and nothing else there. None if stopped by `stop_after`. Raises ValueError when
    the folder holds another run, or the data are unfit.
    """
    _refuse_what_makes_no_sense(task, config, output_dir)
    settings = {**task.to_dict(), "checkpoint": hub.shipped_folder(task.checkpoint)}
    identity = identity_of(settings, "checkpoint")
    identity["dataset_sha256"] = data.fingerprint(task.dataset)
    folder = RunFolder(output_dir, {**identity, **config.identity()})
    start = Start(resume, stop_after, progress, command)
    return run_or_show(folder, start, lambda: _finetune(task, config, folder, identity, start))


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


def _finetune(
    task: ClassificationConfig,
    config: TrainConfig,
    folder: RunFolder,
    identity: dict[str, Any],
    start: Start,
) -> dict[str, Any] | None:
    reading = f"reading the reviews of {task.dataset!r}, and {checkpoint_name(task.checkpoint)}"
    with phase(reading, show=start.progress), hardware.make_accelerator().main_process_first():
        splits = _splits(task, config.seed)
        tokenizer, model = start_from(
            task.checkpoint,
            splits.train["text"],
            task,
            seed=config.seed,
            label_names=data.label_names(splits.train),
        )
    with phase(f"tokenizing {len(splits):,} reviews", show=start.progress):
        train_features = _encode(tokenizer, splits.train, task)
        validation_features = _encode(tokenizer, splits.validation, task)
        scored_features = _encode(tokenizer, splits.scored, task)
    collate = collate_for(tokenizer, model)

    def evaluate(model: nn.Module, accelerator: Accelerator) -> dict[str, float]:
        now = evaluation.evaluate(
            model, validation_features, collate=collate, accelerator=accelerator
        )
        return {"accuracy": now.accuracy, "loss": now.loss}

    fitted = fit(
        model,
        train_features,
        config,
        Objective(compute_loss, collate, evaluate if validation_features else None),
        output_dir=folder.path,
        identity=identity,
        stop_after=start.stop_after,
        progress=start.progress,
    )
    if not fitted.finished:
        return None
    found = evaluation.evaluate(
        model,
        scored_features,
        collate=collate,
        accelerator=fitted.accelerator,
        seed=config.seed,
        progress=start.progress,
    )
    if PartialState().is_main_process:
        run = record_of(fitted, {**identity, **config.to_dict()}, start.command)
        with phase("counting words, as a baseline", show=start.progress):
            scores = _scores(task, found, splits)
        save_classifier(folder.path, model, tokenizer)
        folder.finish({**scores, **run})
    PartialState().wait_for_everyone()
    return files.read_json(folder.path / "result.json")


def _splits(task: ClassificationConfig, seed: int) -> Splits:
    """The reviews of each purpose, all checked."""
    reviews = data.load_reviews(task.dataset)
    # Checked before any split, so that a row's number is that of the file.
    data.check_examples(reviews["train"], name="train")
    if task.scored_split == "test":
        data.check_examples(reviews["test"], name="test")
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
    return Splits(train, validation, scored)


def _encode(
    tokenizer: Tokenizer, split: datasets.Dataset, task: ClassificationConfig
) -> list[dict[str, Any]]:
    return encode(
        tokenizer,
        split["text"],
        split["label"],
        max_length=task.max_length,
        tail_share=task.tail_share,
    )


def _scores(task: ClassificationConfig, found: Evaluation, splits: Splits) -> dict[str, Any]:
    """What the run reached and on what, beside the baseline, JSON-ready."""
    train, scored = splits.train, splits.scored
    baseline = evaluation.tfidf_baseline(
        train["text"], train["label"], scored["text"], scored["label"]
    )
    slices = {}
    if "phenomenon" in scored.column_names:
        by_phenomenon = evaluation.accuracy_by(scored["phenomenon"], found)
        slices["accuracy_by_phenomenon"] = {
            name: {"accuracy": accuracy, "examples": count}
            for name, (accuracy, count) in by_phenomenon.items()
        }
    return {
        "accuracy": found.accuracy,
        "f1": found.f1,
        "interval": list(found.interval),
        "baseline_accuracy": baseline.accuracy,
        "baseline_interval": list(baseline.interval),
        "dataset": task.dataset,
        "scored_split": task.scored_split,
        "checkpoint_name": checkpoint_name(task.checkpoint),
        "label_names": list(data.label_names(train)),
        "train_examples": len(train),
        "test_examples": found.num_examples,
        **slices,
        "metrics": found.to_dict(),
    }
