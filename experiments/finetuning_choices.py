"""Measure what a fine-tune depends on, one choice at a time: the learning rate, the start weights,
frozen layers, pooling, layers removed, which tokens are read, and the task.

    python -m experiments.finetuning_choices --checkpoint data/checkpoints/course-bert \\
        --tokens 115549754 --earlier early 5825007 EARLY --earlier middle 34854716 MIDDLE \\
        --earlier late 57964092 LATE --output data/results/finetuning_choices.json

EARLY, MIDDLE and LATE are folders of earlier weights. Middle and late are course-bert after its
second and third stage; early is the command of its first stage (data/results/course_bert.json)
with --num-train-epochs 0.25. Start weights that are not given are left out.

The record is written after each run. Started again with the same output, the command measures what
is missing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from datasets import Dataset

from course_utils import data
from course_utils.config import PretrainConfig
from course_utils.evaluation import tfidf_baseline
from course_utils.models import BertForPreTraining, load_pretrained, read_config
from course_utils.tasks import pretraining
from course_utils.tasks.classification import encode
from course_utils.text import clean
from course_utils.tokenization import WordPieceTokenizer
from experiments.command_line import command_in_words, exit_status, make_parser
from experiments.finetuning import (
    EVERYTHING,
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

EARLIER = ("early", "middle", "late")  # course-bert before it was finished
NOTE = (
    "One change at a time from a base recipe: 2 epochs, batches of 16, 128 tokens, head and tail, "
    "the best learning rate of the first question. Scored on reviews held out of the training "
    "split, whose texts pre-training has read without their labels. 'further tasks': trained on "
    "the course's own training split, scored on its test split. recall: with several labels the "
    "mean over them, with two that of label 1. train_seconds: processor time per thread, on a "
    "machine that did other work too."
)


# --- the questions --------------------------------------------------------------------------------


def _learning_rates() -> dict[str, Run]:
    choices = {}
    for rate in ("3e-5", "1e-4", "3e-4", "1e-3", "3e-3"):
        choices[rate] = {"learning_rate": float(rate)}
    return choices


def _start_weights(learning_rate: float) -> dict[str, Run]:
    choices = {}
    for start in (RANDOM, *EARLIER):
        choices[start] = {"start": start, "learning_rate": learning_rate}
    choices["final"] = {"learning_rate": learning_rate}
    return choices


# {question: {choice: what it changes in the base recipe}}
QUESTIONS: dict[str, dict[str, Run]] = {
    "learning rate": _learning_rates(),
    **{f"checkpoint, rate {rate:g}": _start_weights(rate) for rate in RATES},
    "frozen layers": {
        "none": {},
        "embeddings": {"frozen": 1},
        "embeddings and 2 layers": {"frozen": 3},
        "all but the head": {"frozen": EVERYTHING},
        "all but the head, rate 3e-3": {"frozen": EVERYTHING, "learning_rate": 3e-3},
    },
    "pooling": {"[CLS] with pooler": {}, "mean": {"pooling": "mean"}, "max": {"pooling": "max"}},
    "layers removed": {
        "4 layers kept": {},
        "3 layers kept": {"num_layers": 3},
        "2 layers kept": {"num_layers": 2},
        "1 layer kept": {"num_layers": 1},
        "1 fresh layer on top": {"num_layers": 5},
    },
    "truncation": {
        "128, head and tail": {},
        "128, head only": {"tail_share": 0.0},
        "128, tail only": {"tail_share": 1.0},
        "256, head and tail": {"max_length": 256},
        "512, head and tail": {"max_length": 512},
    },
}


def _further_tasks() -> dict[str, Run]:
    """{question: what it changes in the recipe of all its tasks}."""
    questions = {}
    for rate in (3e-5, *RATES):
        questions[f"further tasks, rate {rate:g}"] = {"start": NAME, "learning_rate": rate}
        questions[f"further tasks, random start, rate {rate:g}"] = {
            "start": RANDOM,
            "learning_rate": rate,
        }
    return questions


TASK_QUESTIONS = _further_tasks()


@dataclass(frozen=True)
class Task:
    """Texts with labels. Each example has input_ids and labels, and belongs to the text at its
    place.
    """

    examples: list[Run]
    texts: list[str]

    @property
    def labels(self) -> list[int]:
        return [example["labels"] for example in self.examples]


MakeTask = Callable[[Workbench, Dataset, int], Task]


# --- start weights --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class HeldOutLoss:
    """The loss at [MASK] of several start weights on the same held-out reviews.

    tokens: how many tokens each of the weights was pre-trained on, by name.
    num_texts: held-out reviews, which no checkpoint was trained on; max_length: tokens of a piece.
    """

    bench: Workbench
    tokens: Mapping[str, int]
    num_texts: int
    max_length: int

    @cached_property
    def _tokenizer(self) -> WordPieceTokenizer:
        return WordPieceTokenizer.load(self.bench.folders[NAME])

    @cached_property
    def _examples(self) -> list[Any]:
        task = PretrainConfig(dataset=self.bench.dataset, validation_texts=self.num_texts)
        _, held_out = pretraining.training_texts(task)
        return pretraining.token_examples(held_out, self._tokenizer, self.max_length)

    @cached_property
    def _batches(self) -> list[Any]:
        """The pieces with their masks, drawn once for all start weights."""
        generator = torch.Generator().manual_seed(0)
        batches = []
        for start in range(0, len(self._examples), 64):
            part = self._examples[start : start + 64]
            batches.append(pretraining.collate_masked(part, self._tokenizer, generator=generator))
        return batches

    @cached_property
    def _facts(self) -> dict[str, Run]:
        return {}

    def facts(self, start: str) -> Run:
        """How many tokens the start weights were trained on, and their loss at [MASK]."""
        if start not in self._facts:
            self._facts[start] = {
                "pretraining_tokens": self.tokens.get(start, 0),
                "held_out_loss": self._loss(start),
            }
        return self._facts[start]

    def _loss(self, start: str) -> float:
        torch.manual_seed(0)
        if start == RANDOM:
            model = BertForPreTraining(read_config(self.bench.folders[NAME]))
        else:
            model = load_pretrained(self.bench.folders[start], model_class=BertForPreTraining)
        unigrams = pretraining.unigram_log_probs(self._examples, self._tokenizer.vocab_size)
        score = pretraining.score_held_out(
            model, self._batches, unigrams, mask_token_id=self._tokenizer.mask_token_id
        )
        return score.loss


# --- one choice at a time -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class Survey:
    """All questions, measured on one workbench into one record.

    train_examples: training reviews of each run, drawn evenly; seeds: runs of each choice;
    max_length: tokens of each review in the further tasks.
    """

    bench: Workbench
    record: Record
    held_out: HeldOutLoss
    train_examples: int
    seeds: int
    max_length: int

    def measure(self, questions: Sequence[str]) -> None:
        """Measure what the record lacks."""
        for question in questions:
            if question in TASK_QUESTIONS:
                self.measure_tasks(question)
            else:
                self.measure_choices(question)

    def add(self, place: Run, found: Run) -> None:
        """Add a row to the record, and print it without its recipe."""
        row = {**place, **found}
        self.record.add("rows", row)
        print({name: value for name, value in row.items() if name != "recipe"}, flush=True)

    def measure_choices(self, question: str) -> None:
        """All choices of a question. Everything else is as in the base recipe, at the best rate."""
        for choice, changes in QUESTIONS[question].items():
            start = changes.get("start", NAME)
            if start != RANDOM and start not in self.bench.folders:
                continue  # weights that were not given
            for seed in range(self.seeds):
                place = {"question": question, "choice": choice, "seed": seed}
                if self.record.find("rows", **place):
                    continue
                changed = {"learning_rate": self.best_rate(), **changes}
                found = self.choice_row(Recipe(**changed, seed=seed))
                if question.startswith("checkpoint"):
                    found |= self.held_out.facts(start)
                self.add(place, found)

    def best_rate(self) -> float:
        """The learning rate with the best mean accuracy on validation. Before any was measured: the
        base recipe's.
        """
        accuracies: dict[str, list[float]] = {}
        for row in self.record.find("rows", question="learning rate"):
            accuracies.setdefault(row["choice"], []).append(row["accuracy"])
        if not accuracies:
            return Recipe().learning_rate
        return float(max(accuracies, key=lambda rate: mean(accuracies[rate])))

    def choice_row(self, recipe: Recipe) -> Run:
        """A recipe's accuracy on validation, and its time. No recipe is run twice."""
        known = self.record.find("rows", recipe=asdict(recipe))
        if known:
            return {name: known[0][name] for name in ("accuracy", "train_seconds", "recipe")}
        outcome = self.bench.run_on_reviews(recipe, self.train_examples, "validation")
        return {
            "accuracy": outcome.evaluation.accuracy,
            "train_seconds": outcome.train_seconds,
            "recipe": asdict(recipe),
        }

    def measure_tasks(self, question: str) -> None:
        """The further tasks, trained and scored on the course's own reviews."""
        for name, make in TASKS.items():
            for seed in range(self.seeds):
                place = {"question": question, "choice": name, "seed": seed}
                if not self.record.find("rows", **place):
                    recipe = Recipe(**TASK_QUESTIONS[question], seed=seed)
                    self.add(place, task_row(self.bench, make, recipe, self.max_length))


# --- other tasks with the same body ---------------------------------------------------------------


def phenomenon_task(bench: Workbench, reviews: Dataset, max_length: int) -> Task:
    """Which phenomenon carries a review's verdict?"""
    names = sorted(set(reviews["phenomenon"]))
    labels = [names.index(name) for name in reviews["phenomenon"]]
    examples = encode(bench.tokenizer, reviews["text"], labels, max_length=max_length)
    return Task(examples, reviews["text"][:])


def pair_task(bench: Workbench, reviews: Dataset, max_length: int) -> Task:
    """Does the second part continue the review of the first part (0), or another review (1)?"""
    tokenizer = WordPieceTokenizer.load(bench.folders[NAME])
    cleaned = [clean(text) for text in reviews["text"]]
    generator = torch.Generator().manual_seed(0)
    pairs = pretraining.pair_examples(cleaned, tokenizer, max_length, generator=generator)
    texts = []
    for pair in pairs:
        texts.append(tokenizer.decode(pair["input_ids"], skip_special_tokens=True))
    return Task(pairs, texts)


TASKS: dict[str, MakeTask] = {"phenomenon": phenomenon_task, "second part follows": pair_task}


def task_row(bench: Workbench, make: MakeTask, recipe: Recipe, max_length: int) -> Run:
    """The share of the test split that is right, beside TF-IDF's and beside the share of the most
    frequent label; and the recall.
    """
    reviews = data.load_reviews("course")
    train = make(bench, reviews["train"], max_length)
    test = make(bench, reviews["test"], max_length)
    num_labels = max(train.labels) + 1

    outcome = bench.run(recipe, train.examples, test.examples, num_labels)
    baseline = tfidf_baseline(train.texts, train.labels, test.texts, test.labels)
    counts = [test.labels.count(label) for label in set(test.labels)]
    return {
        "accuracy" if num_labels == 2 else "share_right": outcome.evaluation.accuracy,
        "recall": outcome.evaluation.recall,
        "baseline_accuracy": baseline.accuracy,
        "majority_share": max(counts) / len(test.labels),
        "num_labels": num_labels,
        "train_examples": len(train.examples),
        "test_examples": len(test.examples),
        "train_seconds": outcome.train_seconds,
        "recipe": asdict(recipe),
    }


# --- the command line -----------------------------------------------------------------------------


def build_parser() -> argparse.ArgumentParser:
    questions = [*QUESTIONS, *TASK_QUESTIONS]
    parser = make_parser("finetuning_choices", __doc__)
    add_checkpoint(parser)
    parser.add_argument(
        "--tokens", type=int, default=0, help="tokens that --checkpoint was pre-trained on"
    )
    parser.add_argument(
        "--earlier",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "TOKENS", "FOLDER"),
        help="earlier weights: early, middle or late; tokens of their pre-training; their folder",
    )
    add_shared_options(parser)
    parser.add_argument(
        "--train-examples",
        type=int,
        default=2000,
        help="training reviews of each run, drawn evenly [%(default)s]",
    )
    parser.add_argument("--seeds", type=int, default=2, help="runs of each choice [%(default)s]")
    parser.add_argument(
        "--questions",
        nargs="+",
        default=questions,
        choices=questions,
        metavar="QUESTION",
        help=f"which to measure [all of: {'; '.join(questions)}]",
    )
    parser.add_argument(
        "--held-out-texts",
        type=int,
        default=1000,
        help="reviews on which the losses of start weights are compared [%(default)s]",
    )
    return parser


def make_survey(options: argparse.Namespace) -> Survey:
    """The workbench, the record and the questions' sizes, from the command line."""
    folders = {NAME: options.checkpoint}
    tokens = {NAME: options.tokens}
    shown = []  # of --earlier, in the stored command
    for name, num_tokens, folder in options.earlier:
        if name not in EARLIER:
            raise ValueError(f"--earlier must name one of {', '.join(EARLIER)}, got {name!r}")
        folders[name] = Path(folder)
        tokens[name] = int(num_tokens)
        shown.append([name, num_tokens, f"${name.upper()}"])

    bench = Workbench(
        dataset=options.dataset,
        folders=folders,
        validation_examples=options.validation_examples,
        precision=options.precision,
        num_threads=options.num_threads,
    )
    held_out = HeldOutLoss(
        bench=bench,
        tokens=tokens,
        num_texts=options.held_out_texts,
        max_length=options.max_length,
    )
    command = command_in_words(build_parser(), options, shown={"earlier": shown})
    record = Record(
        options.output,
        identity={**shared_identity(options), "train_examples": options.train_examples},
        origin=origin(command, PACKAGES),
        notes={"checkpoint_name": NAME, "note": NOTE},
    )
    return Survey(
        bench=bench,
        record=record,
        held_out=held_out,
        train_examples=options.train_examples,
        seeds=options.seeds,
        max_length=options.max_length,
    )


def run(options: argparse.Namespace) -> None:
    """Measure what the record lacks."""
    make_survey(options).measure(options.questions)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = build_parser().parse_args(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    raise SystemExit(main())
