"""What finetuning_labels and finetuning_choices share: a recipe, the classifier that it builds, and
the workbench on which it is run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import nn

from course_utils import data
from course_utils.config import TrainConfig
from course_utils.evaluation import Evaluation, evaluate
from course_utils.files import sha256
from course_utils.models import (
    BertLayer,
    BertModel,
    ClassifierOutput,
    init_weights,
    load_pretrained,
    read_config,
)
from course_utils.tasks.classification import compute_loss, encode
from course_utils.tokenization import Tokenizer, load_tokenizer
from course_utils.training import Objective, fit
from experiments.command_line import add_dataset, add_output
from experiments.record import Run

NAME = "course-bert"  # what the weights of --checkpoint are called in the records
RANDOM = "random"  # what fresh weights are called
EVERYTHING = 99  # more parts to freeze than any body has
RATES = (1e-4, 3e-4, 1e-3)  # learning rates to choose from: each start may need another one
PACKAGES = ("torch", "transformers", "scikit-learn")


# --- one fine-tune --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One fine-tune, apart from its data.

    start: the name of a folder of weights, or "random".
    frozen: how many parts do not learn, counted from the bottom: embeddings, then layers.
    num_layers: how many layers the body keeps; 0 = all. Layers beyond its own are fresh.
    pooling: "cls" (with the pooler), "mean" or "max".
    max_length: tokens of each review; tail_share: the share of them taken from its end.
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


class Classifier(nn.Module):
    """A body that gives one vector per text, and a fresh linear layer on it.

    Ids [batch, seq] in, logits [batch, num_labels] out.
    """

    def __init__(self, body: BertModel, pooling: str, num_labels: int) -> None:
        super().__init__()
        self.bert = body
        self.pooling = pooling
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
            pooled = output.pooled_output  # [batch, hidden]
        elif self.pooling == "mean":
            pooled = mean_over_tokens(output.sequence_output, attention_mask)  # [batch, hidden]
        else:
            pooled = max_over_tokens(output.sequence_output, attention_mask)  # [batch, hidden]
        return ClassifierOutput(self.classifier(pooled))


def mean_over_tokens(hidden_states: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """The mean of the real tokens' vectors: [batch, seq, hidden] to [batch, hidden]."""
    real = attention_mask[..., None].bool()  # [batch, seq, 1]
    return hidden_states.masked_fill(~real, 0).sum(1) / real.sum(1)


def max_over_tokens(hidden_states: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """The maximum over the real tokens' vectors: [batch, seq, hidden] to [batch, hidden]."""
    real = attention_mask[..., None].bool()  # [batch, seq, 1]
    return hidden_states.masked_fill(~real, -torch.inf).amax(1)


def build(recipe: Recipe, folder: Path, num_labels: int = 2) -> Classifier:
    """The classifier of a recipe before its first update. Everything fresh in it comes from the
    recipe's seed.

    folder: the start weights; of a random start, only the configuration is read.
    """
    torch.manual_seed(recipe.seed)
    config = read_config(folder)
    if recipe.start == RANDOM:
        body = BertModel(config, attention="explicit")
    else:
        body = load_pretrained(folder, attention="explicit")

    layers = body.encoder.layers[: recipe.num_layers or None]
    while len(layers) < recipe.num_layers:
        fresh = BertLayer(config, "explicit")
        layers.append(fresh.apply(partial(init_weights, config=config)))
    body.encoder.layers = layers

    for part in [body.embeddings, *layers][: recipe.frozen]:
        part.requires_grad_(False)
    return Classifier(body, recipe.pooling, num_labels)


@dataclass(frozen=True)
class Outcome:
    """What came of one fine-tune. train_seconds: processor time per thread, which depends far less
    than the time on the clock on what else the machine does.
    """

    evaluation: Evaluation
    num_updates: int
    train_seconds: float


# --- where fine-tunes are run ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class Workbench:
    """What all fine-tunes of a record share: the reviews, the start weights, how to compute.

    folders: the start weights by name; NAME is among them, and all have its vocabulary.
    validation_examples: held out of the training split, to choose by.
    test_examples: drawn from the test split, to score on; 0 = the test split is not used.
    """

    dataset: str
    folders: Mapping[str, Path]
    validation_examples: int
    test_examples: int = 0
    precision: str
    num_threads: int
    _encoded: dict[tuple[str, int, float], list[Run]] = field(default_factory=dict, init=False)

    @cached_property
    def splits(self) -> dict[str, Dataset]:
        """The training split ("train") and its two parts: "validation", and the "pool" that
        training reviews are drawn from. "test" is a sample of the test split.
        """
        reviews = data.load_reviews(self.dataset)
        pool, validation = data.hold_out(reviews["train"], self.validation_examples, seed=0)
        splits = {"train": reviews["train"], "pool": pool, "validation": validation}
        if self.test_examples:
            _, splits["test"] = data.hold_out(reviews["test"], self.test_examples, seed=0)
        return splits

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return load_tokenizer(self.folders[NAME])

    def draw(self, size: int, seed: int) -> Dataset:
        """`size` reviews of the pool, as many of either label. If the pool is too small: the whole
        training split.
        """
        pool = self.splits["pool"]
        if size >= len(pool):
            return self.splits["train"]
        _, drawn = data.hold_out(pool, size, seed=seed)
        return drawn

    def encode(self, reviews: Dataset, max_length: int, tail_share: float) -> list[Run]:
        """Reviews as examples for `fit`: input_ids and labels."""
        return encode(
            self.tokenizer,
            reviews["text"],
            reviews["label"],
            max_length=max_length,
            tail_share=tail_share,
        )

    def encoded_split(self, split: str, max_length: int, tail_share: float) -> list[Run]:
        """The examples of a split that is scored often, encoded once."""
        key = (split, max_length, tail_share)
        if key not in self._encoded:
            self._encoded[key] = self.encode(self.splits[split], max_length, tail_share)
        return self._encoded[key]

    def run(
        self, recipe: Recipe, train: Sequence[Run], scored: Sequence[Run], num_labels: int = 2
    ) -> Outcome:
        """Fine-tune on `train`, and score on `scored`."""
        folder = self.folders[NAME if recipe.start == RANDOM else recipe.start]
        model = build(recipe, folder, num_labels)
        config = TrainConfig(
            learning_rate=recipe.learning_rate,
            num_train_epochs=recipe.num_train_epochs,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            precision=self.precision,
            num_threads=self.num_threads,
        )
        collate = partial(data.collate, pad_token_id=self.tokenizer.pad_token_id)

        start = time.process_time()
        fitted = fit(model, train, config, Objective(compute_loss, collate))
        seconds = (time.process_time() - start) / self.num_threads

        found = evaluate(model, scored, collate=collate, accelerator=fitted.accelerator)
        return Outcome(found, fitted.num_updates, round(seconds, 1))

    def run_on_reviews(self, recipe: Recipe, size: int, split: str) -> Outcome:
        """Fine-tune on `size` reviews that the recipe's seed draws, and score on a split."""
        drawn = self.draw(size, recipe.seed)
        train = self.encode(drawn, recipe.max_length, recipe.tail_share)
        scored = self.encoded_split(split, recipe.max_length, recipe.tail_share)
        return self.run(recipe, train, scored)


# --- the command lines ----------------------------------------------------------------------------


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", type=Path, required=True, metavar="FOLDER", help="course-bert's folder"
    )


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that both programs have."""
    add_output(parser, required=True)
    add_dataset(parser, "imdb")
    parser.add_argument(
        "--validation-examples",
        type=int,
        default=2500,
        help="reviews held out of the training split, to choose by [%(default)s]",
    )
    parser.add_argument("--precision", default="bf16", help="[%(default)s]")
    parser.add_argument("--num-threads", type=int, default=2, help="[%(default)s]")
    parser.add_argument(
        "--max-length", type=int, default=128, help="tokens of each review [%(default)s]"
    )


def shared_identity(options: argparse.Namespace) -> dict[str, Any]:
    """What decides the numbers in both records."""
    return {
        "dataset": options.dataset,
        "max_length": options.max_length,
        "validation_examples": options.validation_examples,
        "checkpoint_sha256": sha256(options.checkpoint / "model.safetensors"),
        "precision": options.precision,
    }
