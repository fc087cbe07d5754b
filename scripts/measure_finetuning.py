r"""Measure what a fine-tune depends on: the number of labels, the recipe,
the start weights, the task.

python scripts/measure_finetuning.py labels --checkpoint DIR --output data/results/finetuning_labels.json
python scripts/measure_finetuning.py choices --checkpoint DIR --tokens 115549754 --earlier early 5825007 DIR \
    --earlier middle 34854716 DIR --earlier late 57964092 DIR --output data/results/finetuning_choices.json

Middle and late are course-bert after its second and third stage; early is the command of its first
stage (data/results/course_bert.json) with --num-train-epochs 0.25. Starts that are not given are
left out.
Each run's row is written as soon as it is known; started again with the same output, it does what
is missing.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from datasets import Dataset
from measure_baselines import cut
from torch import nn
from transformers import AutoTokenizer

from course_utils import data
from course_utils.config import PretrainConfig, TrainConfig
from course_utils.evaluation import Evaluation, evaluate, tfidf_baseline
from course_utils.files import sha256, write_json
from course_utils.models import (
    BertForPreTraining,
    BertLayer,
    BertModel,
    ClassifierOutput,
    init_weights,
    load_pretrained,
    read_config,
)
from course_utils.tasks import pretraining
from course_utils.tasks.classification import compute_loss, encode
from course_utils.text import clean
from course_utils.tokenization import WordPieceTokenizer
from course_utils.training import FitResult, fit
from course_utils.training.hardware import describe

COUNTED, CUT = "tfidf", "tfidf, cut"  # on whole reviews, and on what a BERT reads of them
NAME = "course-bert"  # what the weights of --checkpoint are called in the records
EVERYTHING = 99  # parts of a body to freeze: more than any has
SEEDS = {16: 5, 64: 5, 256: 5, 1024: 3, 4096: 3}  # training reviews: seeds; of another number one
RATES = (
    1e-4,
    3e-4,
    1e-3,
)  # tried on validation, and where starts or tasks are compared: each may want another
TRIALS = {64: 3, 1024: 2}  # training reviews: seeds of each trial; of another number one
Row = dict[str, Any]
MakeTask = Callable[["Bench", Dataset], tuple[list[Row], list[str]]]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One fine-tune, but for its data.

    start: a name of the folders, or "random"; frozen: parts that do not learn, from the bottom
    (embeddings, layers); num_layers: of the body, 0 = as it comes; what is beyond it is fresh;
    pooling: "cls" (and pooler), "mean", "max".
    """

    start: str = NAME
    learning_rate: float = 3e-4
    num_train_epochs: float = 2.0
    batch_size: int = 16
    frozen: int = 0
    num_layers: int = 0
    pooling: str = "cls"
    max_length: int = 128
    tail_share: float = 0.5
    seed: int = 0


STARTS: dict[str, dict[str, Any]] = {
    **{name: {"start": name} for name in ("random", "early", "middle", "late")},
    "final": {},
}
TASKS = {
    f"{question}, rate {rate:g}": {"start": start, "learning_rate": rate}
    for rate in (3e-5, *RATES)
    for question, start in (("further tasks", NAME), ("further tasks, random start", "random"))
}
QUESTIONS: dict[
    str, dict[str, dict[str, Any]]
] = {  # question: choice: what it changes in the recipe
    "learning rate": {
        rate: {"learning_rate": float(rate)} for rate in ("3e-5", "1e-4", "3e-4", "1e-3", "3e-3")
    },
    **{
        f"checkpoint, rate {rate:g}": {
            name: {**start, "learning_rate": rate} for name, start in STARTS.items()
        }
        for rate in RATES
    },
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
        **{f"{count} layer{'s' * (count > 1)} kept": {"num_layers": count} for count in (3, 2, 1)},
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


class Classifier(nn.Module):
    """A body, one vector a text out of it, and a fresh linear layer: ids to logits
    [batch_size, num_labels].
    """

    def __init__(self, body: BertModel, pooling: str, num_labels: int) -> None:
        super().__init__()
        self.bert, self.pooling = body, pooling
        if pooling != "cls":
            body.pooler = None
        self.classifier = nn.Linear(body.config.hidden_size, num_labels)
        init_weights(self.classifier, body.config)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> ClassifierOutput:
        output = self.bert(input_ids, attention_mask, token_type_ids)
        if self.pooling == "cls":
            return ClassifierOutput(self.classifier(output.pooled_output))
        real = attention_mask[..., None].bool()  # [batch, seq, 1]
        vectors = output.sequence_output  # [batch, seq, hidden]
        pooled = (
            vectors.masked_fill(~real, 0).sum(1) / real.sum(1)
            if self.pooling == "mean"
            else vectors.masked_fill(~real, -torch.inf).amax(1)
        )  # [batch, hidden]
        return ClassifierOutput(self.classifier(pooled))


def build(recipe: Recipe, folder: Path, num_labels: int = 2) -> Classifier:
    """The classifier of a recipe before its first update;
    all that is fresh in it comes from the recipe's seed.
    """
    torch.manual_seed(recipe.seed)
    config = read_config(folder)
    if recipe.start == "random":
        body = BertModel(config, attention="explicit")
    else:
        body = load_pretrained(folder, attention="explicit")
    layers = body.encoder.layers[: recipe.num_layers or None]
    while len(layers) < recipe.num_layers:
        layers.append(BertLayer(config, "explicit").apply(partial(init_weights, config=config)))
    body.encoder.layers = layers
    for part in [body.embeddings, *layers][: recipe.frozen]:
        part.requires_grad_(False)
    return Classifier(body, recipe.pooling, num_labels)


class Record:
    """A JSON file of rows that is whole after each of them.
    Raises ValueError where it holds other measurements.
    """

    def __init__(self, path: Path, header: Row) -> None:
        self.path, self.content = path, {**header, "rows": []}
        if path.exists():
            saved = json.loads(path.read_text(encoding="utf-8"))
            if differing := [
                name
                for name in (
                    "dataset",
                    "max_length",
                    "checkpoint_sha256",
                    "validation_examples",
                    "train_examples",
                    "test_examples",
                )
                if saved.get(name) != header.get(name)
            ]:
                raise ValueError(
                    f"{path} holds other measurements: {', '.join(differing)} differ; "
                    "take another file"
                )
            self.content = {**saved, "note": header["note"], "command": header["command"]}

    def get(self, table: str = "rows", **wanted: Any) -> list[Row]:
        """The rows of a table that have these values."""
        return [
            row
            for row in self.content.get(table, [])
            if all(row.get(k) == v for k, v in wanted.items())
        ]

    def add(self, row: Row, table: str = "rows") -> None:
        """Keep a row and write the file."""
        self.content.setdefault(table, []).append(row)
        write_json(self.path, self.content)
        print(table, {name: value for name, value in row.items() if name != "recipe"}, flush=True)


@dataclass(frozen=True, eq=False)
class Bench:
    """What all runs share: the reviews, the folders of weights by name, how to compute."""

    options: argparse.Namespace
    folders: Mapping[str, Path]

    @cache  # noqa: B019 (there is one bench)
    def splits(self) -> dict[str, Dataset]:
        """pool (to draw training reviews from) and validation of train; all of train;
        a sample of test.
        """
        reviews = data.load_reviews(self.options.dataset)
        pool, validation = data.hold_out(reviews["train"], self.options.validation_examples, seed=0)
        sample = data.hold_out(reviews["test"], self.options.test_examples, seed=0)[1]
        return {"pool": pool, "validation": validation, "train": reviews["train"], "test": sample}

    def draw(self, size: int, seed: int) -> Dataset:
        """`size` reviews of the pool, as many of either label;
        where the pool is too small, all of train.
        """
        pool = self.splits()["pool"]
        return (
            data.hold_out(pool, size, seed=seed)[1] if size < len(pool) else self.splits()["train"]
        )

    @cache  # noqa: B019 (there is one bench)
    def tokenizer(self) -> Any:
        """One vocabulary for all folders."""
        return AutoTokenizer.from_pretrained(self.folders[NAME])

    @cache  # noqa: B019 (there is one bench)
    def scored(self, split: str, max_length: int, tail_share: float) -> list[Row]:
        """The ids of a split that is scored often."""
        return self.encode(self.splits()[split], max_length, tail_share)

    def encode(self, reviews: Dataset, max_length: int, tail_share: float) -> list[Row]:
        return encode(
            self.tokenizer(),
            reviews["text"],
            reviews["label"],
            max_length=max_length,
            tail_share=tail_share,
        )

    def run(
        self, recipe: Recipe, train: Sequence[Row], scored: Sequence[Row], num_labels: int = 2
    ) -> tuple[Evaluation, FitResult, float]:
        """Fine-tune and score: how well, how it went,
        and the seconds of training: processor time a thread.

        Unlike the time on the clock, this hardly depends on what else the machine does.
        """
        model = build(
            recipe, self.folders[NAME if recipe.start == "random" else recipe.start], num_labels
        )
        shared = {
            name: getattr(recipe, name)
            for name in ("learning_rate", "num_train_epochs", "batch_size", "seed")
        }
        config = TrainConfig(
            **shared, precision=self.options.precision, num_threads=self.options.num_threads
        )
        collate = partial(data.collate, pad_token_id=self.tokenizer().pad_token_id)
        start = time.process_time()
        fitted = fit(model, train, config, compute_loss=compute_loss, collate=collate)
        seconds = round((time.process_time() - start) / self.options.num_threads, 1)
        return (
            evaluate(model, scored, collate=collate, accelerator=fitted.accelerator),
            fitted,
            seconds,
        )

    def run_on_reviews(
        self, recipe: Recipe, size: int, split: str
    ) -> tuple[Evaluation, FitResult, float]:
        """The same, trained on `size` reviews that the recipe's seed draws."""
        cut = recipe.max_length, recipe.tail_share
        train = self.encode(self.draw(size, recipe.seed), *cut)
        return self.run(recipe, train, self.scored(split, *cut))


# --- accuracy against the number of labels --------------------------------------------------------


def label_recipe(
    size: int, start: str, learning_rate: float, seed: int, options: argparse.Namespace
) -> Recipe:
    """Few labels are read again and again, until there were options.updates updates at least."""
    batch_size = 16 if size <= 1024 else 32
    batches = -(-size // batch_size)  # an epoch
    epochs = max(3.0 if size <= 1024 else 2.0, options.updates / batches)
    return Recipe(
        start=start,
        learning_rate=learning_rate,
        num_train_epochs=epochs,
        batch_size=batch_size,
        max_length=options.max_length,
        seed=seed,
    )


def chosen_rate(bench: Bench, record: Record, start: str, size: int) -> float:
    """The best rate on validation for these weights at the trial size nearest below;
    trials that lack are run.
    """
    trial_size = max(
        (trial for trial in bench.options.trial_sizes if trial <= size),
        default=min(bench.options.trial_sizes),
    )
    for rate in RATES:
        for seed in range(
            100, 100 + TRIALS.get(trial_size, 1)
        ):  # other subsets than those that are reported
            place = {
                "start": start,
                "train_examples": trial_size,
                "learning_rate": rate,
                "seed": seed,
            }
            if not record.get("trials", **place):
                recipe = label_recipe(trial_size, start, rate, seed, bench.options)
                found, _, _ = bench.run_on_reviews(recipe, trial_size, "validation")
                record.add({**place, "accuracy": found.accuracy}, "trials")
    return max(
        RATES,
        key=lambda rate: mean(
            row["accuracy"]
            for row in record.get(
                "trials", start=start, train_examples=trial_size, learning_rate=rate
            )
        ),
    )


def measure_labels(bench: Bench, record: Record) -> None:
    """All starts on the same draws of each size, scored on the sample of test;
    the small sizes first.
    """
    for size in bench.options.sizes:
        for start in (COUNTED, CUT, NAME, "random"):
            for seed in range(SEEDS.get(size, 1)):
                place = {"start": start, "train_examples": size, "seed": seed}
                if not record.get(**place):
                    record.add({**place, **label_row(bench, record, start, size, seed)})


def label_row(bench: Bench, record: Record, start: str, size: int, seed: int) -> Row:
    """The accuracy of one start from one draw, and how it was reached."""
    if start in (COUNTED, CUT):
        train, test = bench.draw(size, seed), bench.splits()["test"]
        tokenizer, max_length = (
            WordPieceTokenizer.load(bench.folders[NAME]),
            bench.options.max_length,
        )
        texts = [
            cut(part["text"], tokenizer, max_length if start == CUT else 0)
            for part in (train, test)
        ]
        return {
            "accuracy": tfidf_baseline(texts[0], train["label"], texts[1], test["label"]).accuracy
        }
    recipe = label_recipe(size, start, chosen_rate(bench, record, start, size), seed, bench.options)
    found, fitted, seconds = bench.run_on_reviews(recipe, size, "test")
    return {
        "accuracy": found.accuracy,
        "learning_rate": recipe.learning_rate,
        "num_updates": fitted.num_updates,
        "train_seconds": seconds,
    }


# --- one choice at a time -------------------------------------------------------------------------


def best_rate(record: Record) -> float:
    """The learning rate with the best mean on validation;
    the recipe's own while none was measured.
    """
    rows = record.get(question="learning rate")
    rates = {row["choice"]: [] for row in rows}
    for row in rows:
        rates[row["choice"]].append(row["accuracy"])
    return (
        float(max(rates, key=lambda rate: mean(rates[rate]))) if rates else Recipe().learning_rate
    )


def measure_choices(bench: Bench, record: Record) -> None:
    """Every choice of the questions that are asked for;
    all else is as in the base recipe, at the best rate.
    """
    for question in bench.options.questions:
        if question in TASKS:
            measure_tasks(bench, record, question)
            continue
        for choice, changes in QUESTIONS[question].items():
            if changes.get("start", "random") != "random" and changes["start"] not in bench.folders:
                continue  # a checkpoint that was not given
            for seed in range(bench.options.seeds):
                if not record.get(question=question, choice=choice, seed=seed):
                    recipe = Recipe(**{"learning_rate": best_rate(record), **changes, "seed": seed})
                    row = choice_row(bench, record, recipe)
                    more = (
                        checkpoint_facts(bench, recipe.start)
                        if question.startswith("checkpoint")
                        else {}
                    )
                    record.add(
                        {"question": question, "choice": choice, "seed": seed, **row, **more}
                    )


def choice_row(bench: Bench, record: Record, recipe: Recipe) -> Row:
    """A recipe's accuracy on validation and its time;
    a recipe that was run before is not run again.
    """
    if same := record.get(recipe=asdict(recipe)):
        return {name: same[0][name] for name in ("accuracy", "train_seconds", "recipe")}
    found, _, seconds = bench.run_on_reviews(recipe, bench.options.train_examples, "validation")
    return {"accuracy": found.accuracy, "train_seconds": seconds, "recipe": asdict(recipe)}


@cache
def held_out_batches(bench: Bench) -> tuple[WordPieceTokenizer, list[Any], torch.Tensor]:
    """Masked pieces of reviews that no checkpoint was trained on, the same for all checkpoints;
    token frequencies.
    """
    tokenizer = WordPieceTokenizer.load(bench.folders[NAME])
    task = PretrainConfig(
        dataset=bench.options.dataset, validation_texts=bench.options.held_out_texts
    )
    texts = pretraining.training_texts(task)[1]
    examples = pretraining.token_examples(texts, tokenizer, bench.options.max_length)
    generator = torch.Generator().manual_seed(0)
    batches = [
        pretraining.collate_masked(examples[start : start + 64], tokenizer, generator=generator)
        for start in range(0, len(examples), 64)
    ]
    return tokenizer, batches, pretraining.unigram_log_probs(examples, tokenizer.vocab_size)


@cache
def checkpoint_facts(bench: Bench, start: str) -> Row:
    """How many tokens the start weights were trained on,
    and their loss at [MASK] on held-out reviews.
    """
    tokenizer, batches, unigrams = held_out_batches(bench)
    torch.manual_seed(0)
    model = (
        BertForPreTraining(read_config(bench.folders[NAME]))
        if start == "random"
        else load_pretrained(bench.folders[start], model_class=BertForPreTraining)
    )
    score = pretraining.score_held_out(
        model, batches, unigrams, mask_token_id=tokenizer.mask_token_id
    )
    return {"pretraining_tokens": bench.options.tokens.get(start, 0), "held_out_loss": score.loss}


# --- other tasks with the same body ---------------------------------------------------------------


def measure_tasks(bench: Bench, record: Record, question: str) -> None:
    """Tasks on the course's reviews, trained on its train split and scored on its test split,
    once a seed.
    """
    for task, make in (("phenomenon", phenomenon_examples), ("second part follows", pair_examples)):
        for seed in range(bench.options.seeds):
            if not record.get(question=question, choice=task, seed=seed):
                row = task_row(bench, make, Recipe(**TASKS[question], seed=seed))
                record.add({"question": question, "choice": task, "seed": seed, **row})


def task_row(bench: Bench, make: MakeTask, recipe: Recipe) -> Row:
    """Share of test that is right, beside TF-IDF's and that of always naming the most
    frequent label; recall.
    """
    reviews = data.load_reviews("course")
    (train, train_texts), (test, test_texts) = (
        make(bench, reviews["train"]),
        make(bench, reviews["test"]),
    )
    labels, test_labels = ([one["labels"] for one in part] for part in (train, test))
    num_labels = max(labels) + 1
    found, _, seconds = bench.run(recipe, train, test, num_labels)
    baseline = tfidf_baseline(train_texts, labels, test_texts, test_labels)
    return {
        "accuracy" if num_labels == 2 else "share_right": found.accuracy,
        "recall": found.recall,
        "baseline_accuracy": baseline.accuracy,
        "majority_share": max(test_labels.count(label) for label in set(test_labels))
        / len(test_labels),
        "num_labels": num_labels,
        "train_examples": len(train),
        "test_examples": len(test),
        "train_seconds": seconds,
        "recipe": asdict(recipe),
    }


def phenomenon_examples(bench: Bench, reviews: Dataset) -> tuple[list[Row], list[str]]:
    """(features, texts) to tell which phenomenon carries a review's verdict."""
    names = sorted(set(reviews["phenomenon"]))
    labels = [names.index(name) for name in reviews["phenomenon"]]
    return encode(
        bench.tokenizer(), reviews["text"], labels, max_length=bench.options.max_length
    ), reviews["text"][:]


def pair_examples(bench: Bench, reviews: Dataset) -> tuple[list[Row], list[str]]:
    """(features, texts) to tell whether B goes on with the review that A is from (0) or
    with another one (1).
    """
    tokenizer = WordPieceTokenizer.load(bench.folders[NAME])
    pairs = pretraining.pair_examples(
        [clean(text) for text in reviews["text"]],
        tokenizer,
        bench.options.max_length,
        generator=torch.Generator().manual_seed(0),
    )
    return pairs, [tokenizer.decode(pair["input_ids"], skip_special_tokens=True) for pair in pairs]


# --- the command line -----------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, with defaults of the stored records."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", choices=("labels", "choices"))
    parser.add_argument("--checkpoint", type=Path, required=True, help="the folder of course-bert")
    parser.add_argument(
        "--output", type=Path, required=True, help="the JSON record, made or gone on with"
    )
    parser.add_argument("--dataset", default="imdb", choices=("course", "imdb"))
    parser.add_argument(
        "--validation-examples", type=int, default=2500, help="held out of train, to choose by"
    )
    parser.add_argument(
        "--test-examples", type=int, default=5000, help="labels: of test, drawn evenly"
    )
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--num-threads", type=int, default=2)
    parser.add_argument(
        "--max-length", type=int, default=128, help="labels: tokens of a review, head and tail"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[*SEEDS, 25_000], help="labels: training reviews"
    )
    parser.add_argument("--updates", type=int, default=64, help="labels: updates of a run at least")
    parser.add_argument(
        "--trial-sizes",
        type=int,
        nargs="+",
        default=[*TRIALS],
        help="labels: where rates are tried",
    )
    parser.add_argument(
        "--train-examples", type=int, default=2000, help="choices: training reviews, drawn evenly"
    )
    parser.add_argument("--seeds", type=int, default=2, help="choices: runs of each")
    parser.add_argument(
        "--questions",
        nargs="+",
        default=[*QUESTIONS, *TASKS],
        choices=[*QUESTIONS, *TASKS],
        help="choices: which to measure",
    )
    parser.add_argument(
        "--held-out-texts",
        type=int,
        default=1000,
        help="choices: to compare checkpoints' losses on",
    )
    parser.add_argument(
        "--tokens", type=int, default=0, help="choices: tokens that --checkpoint was pre-trained on"
    )
    parser.add_argument(
        "--earlier",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "TOKENS", "DIR"),
        help="choices: 'early', 'middle' or 'late', tokens it was pre-trained on, its folder",
    )
    return parser.parse_args(arguments)


def in_words(options: argparse.Namespace) -> str:
    """The command that measures all this anew, without a path of this machine."""
    words = [options.job, "--checkpoint $CHECKPOINT"]
    if options.job == "choices":
        words.append(f"--tokens {options.tokens[NAME]}")
        words += [
            f"--earlier {name} {tokens} ${name.upper()}" for name, tokens, _ in options.earlier
        ]
    return " ".join(["python scripts/measure_finetuning.py", *words, "--output $OUTPUT"])


def header(options: argparse.Namespace) -> Row:
    """What a record says before its rows."""
    notes = {
        "labels": (
            "Reviews are drawn evenly from both classes by the seed, the same for all starts. BERT "
            "reads a review's first and last tokens, max_length in all; TF-IDF (words and pairs) "
            f"all of it, or, as '{CUT}', the same. Batches of 16 up to 1,024 reviews, of 32 "
            f"beyond; 3 epochs and 2, {options.updates} updates at least. Rates: the best of the "
            "trials, on reviews held out of train. "
            "Scored on a class-balanced sample of the test split."
        ),
        "choices": (
            "One change at a time from a base recipe: 2 epochs, batches of 16, 128 tokens, head "
            "and tail, the best learning rate of the first question. Scored on reviews held out of "
            "train, whose texts pre-training has read without their labels; 'further tasks': "
            "trained on the course's own train split, scored on its test split; recall: of several "
            "labels the mean over them, of two that of label 1. train_seconds: processor time a "
            "thread, on a machine that did other work too."
        ),
    }
    sizes = {
        "labels": {"test_examples": options.test_examples},
        "choices": {"train_examples": options.train_examples},
    }
    return {
        "dataset": options.dataset,
        "max_length": options.max_length,
        **sizes[options.job],
        "validation_examples": options.validation_examples,
        "checkpoint_name": NAME,
        "checkpoint_sha256": sha256(options.checkpoint / "model.safetensors"),
        "precision": options.precision,
        "note": notes[options.job],
        "command": in_words(options),
        "hardware": describe(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "scikit-learn")},
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing in --output."""
    options = parse(arguments)
    options.tokens = {
        NAME: options.tokens,
        **{name: int(tokens) for name, tokens, _ in options.earlier},
    }
    folders = {
        NAME: options.checkpoint,
        **{name: Path(folder) for name, _, folder in options.earlier},
    }
    record = Record(options.output, header(options))
    {"labels": measure_labels, "choices": measure_choices}[options.job](
        Bench(options, folders), record
    )


if __name__ == "__main__":
    main()
