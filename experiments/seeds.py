"""Fine-tune one checkpoint on the course's reviews with several seeds, and store each run's
probability for each review.

    python -m experiments.seeds --output data/results/course_seeds.json

The record is written after each seed. Started again with the same output, the command runs the
seeds that the record lacks. A run that was stopped midway is continued from --work-dir.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from datasets import Dataset

from course_utils import data, evaluation
from course_utils.config import ClassificationConfig, TrainConfig
from course_utils.files import COURSE_ROOT, sha256
from course_utils.tasks.classification import compute_loss, encode, start_from
from course_utils.training import Objective, fit
from experiments.command_line import add_output, command_in_words, exit_status, make_parser
from experiments.record import Record, origin

COURSE_BERT = COURSE_ROOT / "data" / "checkpoints" / "course-bert"
ELSEWHERE = COURSE_ROOT / "data" / "domain_shift.jsonl"  # sentences that are no film reviews
SCORED = ("test", "handwritten", "elsewhere")  # the splits whose probabilities are stored
PACKAGES = ("torch", "transformers", "datasets", "accelerate", "tokenizers", "scikit-learn")


def recipe(seed: int) -> TrainConfig:
    """One epoch, as in notebook 10."""
    return TrainConfig(num_train_epochs=1, learning_rate=3e-4, seed=seed)


@dataclass(frozen=True, kw_only=True)
class FineTune:
    """What all seeds share: the start weights, the texts, and how many tokens are read of each."""

    checkpoint: Path
    reviews: Mapping[str, Dataset]  # train, and the splits in SCORED
    max_length: int

    def run(self, seed: int, folder: Path) -> dict[str, Any]:
        """Fine-tune with one seed: how it went, its accuracy, and P(pos) of each scored review,
        rounded to three digits. folder: where the run saves its state.
        """
        train = self.reviews["train"]
        task = ClassificationConfig(
            dataset="course", checkpoint=str(self.checkpoint), max_length=self.max_length
        )
        tokenizer, model = start_from(str(self.checkpoint), train["text"], task, seed=seed)
        fitted = fit(
            model,
            self._encoded(tokenizer, "train"),
            recipe(seed),
            Objective(compute_loss, data.collate),
            output_dir=folder,
            identity={"checkpoint_sha256": sha256(self.checkpoint / "model.safetensors")},
            progress=True,
        )

        found = {}
        for split in SCORED:
            found[split] = evaluation.evaluate(
                model,
                self._encoded(tokenizer, split),
                collate=data.collate,
                accelerator=fitted.accelerator,
            )
        probabilities = {}
        for split, scored in found.items():
            probabilities[split] = scored.probabilities[:, 1].round(3).tolist()
        return {
            "seed": seed,
            "num_updates": fitted.num_updates,
            "train_seconds": round(fitted.train_seconds, 3),
            "precision": fitted.hardware.to_dict(),
            "accuracy": found["test"].accuracy,
            "interval": list(found["test"].interval),
            "probabilities": probabilities,
        }

    def _encoded(self, tokenizer: Any, split: str) -> list[dict[str, Any]]:
        reviews = self.reviews[split]
        return encode(tokenizer, reviews["text"], reviews["label"], max_length=self.max_length)


def load_texts() -> dict[str, Dataset]:
    """The course's reviews by split, and the sentences from elsewhere as one more split."""
    rows = []
    for line in ELSEWHERE.read_text(encoding="utf-8").splitlines():
        rows.append(json.loads(line))
    return {**data.load_reviews("course"), "elsewhere": Dataset.from_list(rows)}


def measure(fine_tune: FineTune, record: Record, num_seeds: int, work_dir: Path) -> None:
    """Run the seeds 0 to `num_seeds` - 1 that the record lacks, and print one line for each."""
    fingerprint = record.content["checkpoint_sha256"]
    for seed in range(num_seeds):
        if not record.find("runs", seed=seed):
            folder = work_dir / f"{fingerprint[:8]}-{seed}"
            record.add("runs", fine_tune.run(seed, folder))
        run = record.find("runs", seed=seed)[0]
        print(f"seed {seed}: {100 * run['accuracy']:.2f} % of the test reviews", flush=True)


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("seeds", __doc__)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=COURSE_BERT,
        metavar="FOLDER",
        help="the start weights [course-bert]",
    )
    parser.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="how many: 0 to N - 1 [%(default)s]"
    )
    parser.add_argument(
        "--max-length", type=int, default=128, help="tokens of each review [%(default)s]"
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path("runs/seeds"),
        metavar="FOLDER",
        help="where unfinished runs are kept [runs/seeds]",
    )
    add_output(parser, required=True)
    return parser


def run(options: argparse.Namespace) -> None:
    """Measure what the record lacks, and print the mean."""
    identity = {
        "dataset": "course",
        "checkpoint_sha256": sha256(options.checkpoint / "model.safetensors"),
        "config": {**recipe(0).to_dict(), "max_length": options.max_length},
    }
    command = command_in_words(build_parser(), options, leave_out=("work_dir",))
    record = Record(
        options.output,
        identity=identity,
        origin=origin(command, PACKAGES),
        notes={"checkpoint_name": options.checkpoint.name},
    )
    fine_tune = FineTune(
        checkpoint=options.checkpoint, reviews=load_texts(), max_length=options.max_length
    )
    measure(fine_tune, record, options.seeds, options.work_dir)
    accuracies = [run["accuracy"] for run in record.content["runs"]]
    print(f"mean {100 * mean(accuracies):.2f} %")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = build_parser().parse_args(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    raise SystemExit(main())
