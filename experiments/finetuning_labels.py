"""Measure accuracy against the number of labelled reviews, for four ways to start: course-bert,
random weights, TF-IDF on whole reviews, and TF-IDF on what a BERT reads of them.

    python -m experiments.finetuning_labels --checkpoint data/checkpoints/course-bert \\
        --output data/results/finetuning_labels.json

For each number of labels, the learning rate is chosen by trials on reviews held out of the training
split. The record is written after each run. Started again with the same output, the command
measures what is missing.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from course_utils.evaluation import tfidf_baseline
from course_utils.tokenization import WordPieceTokenizer
from experiments.command_line import command_in_words, exit_status, make_parser
from experiments.finetuning import (
    NAME,
    PACKAGES,
    RANDOM,
    RATES,
    Recipe,
    Workbench,
    add_checkpoint,
    add_shared_options,
    shared_identity,
)
from experiments.record import Record, Run, origin
from experiments.tfidf import cut

COUNTED = "tfidf"  # TF-IDF on whole reviews
CUT = "tfidf, cut"  # TF-IDF on what a BERT reads of them
STARTS = (COUNTED, CUT, NAME, RANDOM)
SEEDS = {16: 5, 64: 5, 256: 5, 1024: 3, 4096: 3}  # {training reviews: seeds}; else one seed
TRIALS = {64: 3, 1024: 2}  # {training reviews: seeds of each trial}; else one seed
FIRST_TRIAL_SEED = 100  # so that trials draw other reviews than the runs that are reported
NOTE = (
    "Reviews are drawn evenly from both classes by the seed, the same for all starts. BERT reads a "
    "review's first and last tokens, max_length in all; TF-IDF (words and pairs) reads all of it "
    f"or, as '{CUT}', the same tokens as BERT. Batches of 16 up to 1,024 reviews, of 32 beyond; 3 "
    "epochs and 2, and at least {updates} updates. Learning rates: the best of the trials, on "
    "reviews held out of the training split. Scored on a class-balanced sample of the test split."
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How runs depend on the number of labels.

    trial_sizes: the numbers of reviews at which learning rates are tried.
    max_length: tokens of each review; updates: of a run, at least.
    """

    trial_sizes: Sequence[int]
    max_length: int
    updates: int

    def recipe(self, size: int, start: str, learning_rate: float, seed: int) -> Recipe:
        """The recipe for `size` reviews. Few reviews are read again and again, until there were
        enough updates.
        """
        is_small = size <= 1024
        batch_size = 16 if is_small else 32
        batches_per_epoch = math.ceil(size / batch_size)
        num_train_epochs = max(3.0 if is_small else 2.0, self.updates / batches_per_epoch)
        return Recipe(
            start=start,
            learning_rate=learning_rate,
            num_train_epochs=num_train_epochs,
            batch_size=batch_size,
            max_length=self.max_length,
            seed=seed,
        )

    def trial_size(self, size: int) -> int:
        """The largest trial size up to `size`, or the smallest of all."""
        below = [trial for trial in self.trial_sizes if trial <= size]
        return max(below) if below else min(self.trial_sizes)


def chosen_rate(bench: Workbench, record: Record, plan: Plan, start: str, size: int) -> float:
    """The learning rate that is best for these weights on validation, at the trial size for `size`.
    Trials that the record lacks are run.
    """
    trial_size = plan.trial_size(size)
    accuracies = {}
    for rate in RATES:
        found = []
        for number in range(TRIALS.get(trial_size, 1)):
            seed = FIRST_TRIAL_SEED + number
            recipe = plan.recipe(trial_size, start, rate, seed)
            found.append(trial_accuracy(bench, record, trial_size, recipe))
        accuracies[rate] = mean(found)
    return max(RATES, key=lambda rate: accuracies[rate])


def trial_accuracy(bench: Workbench, record: Record, size: int, recipe: Recipe) -> float:
    """The accuracy of one trial on validation: from the record, or measured and added to it."""
    place = {
        "start": recipe.start,
        "train_examples": size,
        "learning_rate": recipe.learning_rate,
        "seed": recipe.seed,
    }
    known = record.find("trials", **place)
    if known:
        return known[0]["accuracy"]
    outcome = bench.run_on_reviews(recipe, size, "validation")
    add(record, "trials", {**place, "accuracy": outcome.evaluation.accuracy})
    return outcome.evaluation.accuracy


def add(record: Record, table: str, run: Run) -> None:
    """Add a run to the record, and print it."""
    record.add(table, run)
    print(table, run, flush=True)


def measure(bench: Workbench, record: Record, plan: Plan, sizes: Sequence[int]) -> None:
    """Measure all starts on the same draws of each size, scored on the sample of the test split."""
    for size in sizes:
        for start in STARTS:
            for seed in range(SEEDS.get(size, 1)):
                place = {"start": start, "train_examples": size, "seed": seed}
                if record.find("rows", **place):
                    continue
                if start in (COUNTED, CUT):
                    max_length = plan.max_length if start == CUT else None
                    found = counted_row(bench, size, seed, max_length)
                else:
                    rate = chosen_rate(bench, record, plan, start, size)
                    found = bert_row(bench, size, plan.recipe(size, start, rate, seed))
                add(record, "rows", {**place, **found})


def counted_row(bench: Workbench, size: int, seed: int, max_length: int | None) -> Run:
    """The accuracy of TF-IDF, trained on one draw.

    max_length: tokens that are read of each review; None = all.
    """
    train, test = bench.draw(size, seed), bench.splits["test"]
    tokenizer = WordPieceTokenizer.load(bench.folders[NAME])
    texts = cut(train["text"], tokenizer, max_length)
    test_texts = cut(test["text"], tokenizer, max_length)
    found = tfidf_baseline(texts, train["label"], test_texts, test["label"])
    return {"accuracy": found.accuracy}


def bert_row(bench: Workbench, size: int, recipe: Recipe) -> Run:
    """The accuracy of a BERT, fine-tuned on one draw, and how it was reached."""
    outcome = bench.run_on_reviews(recipe, size, "test")
    return {
        "accuracy": outcome.evaluation.accuracy,
        "learning_rate": recipe.learning_rate,
        "num_updates": outcome.num_updates,
        "train_seconds": outcome.train_seconds,
    }


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("finetuning_labels", __doc__)
    add_checkpoint(parser)
    add_shared_options(parser)
    parser.add_argument(
        "--test-examples",
        type=int,
        default=5000,
        help="reviews of the test split to score on, drawn evenly [%(default)s]",
    )
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[*SEEDS, 25_000],
        help="numbers of training reviews %(default)s",
    )
    parser.add_argument(
        "--trial-sizes",
        type=int,
        nargs="+",
        default=[*TRIALS],
        help="numbers of training reviews at which learning rates are tried %(default)s",
    )
    parser.add_argument(
        "--updates", type=int, default=64, help="updates of a run, at least [%(default)s]"
    )
    return parser


def make_bench(options: argparse.Namespace) -> Workbench:
    return Workbench(
        dataset=options.dataset,
        folders={NAME: options.checkpoint},
        validation_examples=options.validation_examples,
        test_examples=options.test_examples,
        precision=options.precision,
        num_threads=options.num_threads,
    )


def run(options: argparse.Namespace) -> None:
    """Measure what the record lacks."""
    command = command_in_words(build_parser(), options)
    record = Record(
        options.output,
        identity={**shared_identity(options), "test_examples": options.test_examples},
        origin=origin(command, PACKAGES),
        notes={"checkpoint_name": NAME, "note": NOTE.format(updates=options.updates)},
    )
    plan = Plan(
        trial_sizes=options.trial_sizes, max_length=options.max_length, updates=options.updates
    )
    measure(make_bench(options), record, plan, options.sizes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = build_parser().parse_args(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    raise SystemExit(main())
