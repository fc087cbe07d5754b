"""Train one small body with several objectives on the same reviews, and measure what each of them
can do: fill in blanks, continue a text, write, and classify after fine-tuning (for notebook 07).

    python -m experiments.objectives --output data/results/objectives.json

The record is written after each run. Started again with the same output, the command measures the
runs that the record lacks.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from course_utils import data, evaluation
from course_utils.config import PretrainConfig, TrainConfig
from course_utils.data import Features
from course_utils.evaluation import tfidf_baseline
from course_utils.models import (
    BertForCausalLM,
    BertForPreTraining,
    BertModel,
    ClassifierOutput,
    load_pretrained,
)
from course_utils.tasks import pretraining
from course_utils.tasks.classification import compute_loss
from course_utils.text import clean
from course_utils.tokenization import WordPieceTokenizer
from course_utils.training import Objective, fit
from experiments.command_line import add_output, command_in_words, exit_status, make_parser
from experiments.guessing import (
    AFTER,
    BETWEEN,
    Target,
    draw_targets,
    guess,
    guess_by_frequency,
    guess_by_lookup,
    pairs_by_length,
)
from experiments.record import Record, Run, origin
from experiments.writing import repetition, write_samples

# From BERT's recipe to RoBERTa's masking in two steps, one change each, and a GPT's objective.
OBJECTIVES: dict[str, dict[str, Any]] = {
    "causal": {"objective": "clm"},
    "masked + NSP, static": {"objective": "mlm+nsp", "static_masking": True},
    "masked, static": {"objective": "mlm", "static_masking": True},
    "masked, dynamic": {"objective": "mlm"},
}
UNTRAINED = "random weights"  # what the labelled reviews alone achieve, with the same network
COUNTED = "TF-IDF"  # what the labelled reviews alone achieve by counting words
LOOKED_UP = "lookup"  # what remembering the training texts word for word achieves
MODELS = (*OBJECTIVES, UNTRAINED, COUNTED, LOOKED_UP)
START_LENGTH = 5  # tokens that generated texts start from: [CLS] and four more
PACKAGES = ("torch", "transformers", "datasets", "accelerate", "scikit-learn")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides the result. Lengths are in tokens. The number of updates is the same
    for every objective.
    """

    seeds: int = 3
    train_texts: int = 7500
    validation_texts: int = 300
    vocab_size: int = 1000
    hidden_size: int = 128
    num_hidden_layers: int = 2
    max_length: int = 64
    batch_size: int = 64
    num_updates: int = 3000
    learning_rate: float = 1e-3
    targets_per_text: int = 4
    labelled_reviews: int = 1000
    tested_reviews: int = 2000
    finetune_epochs: int = 3
    finetune_learning_rate: float = 5e-4
    num_generated: int = 20
    generated_tokens: int = 50
    precision: str = "auto"
    num_threads: int = 0


@dataclass(frozen=True, eq=False)
class Texts:
    """The texts that all models are trained on and asked about, and their tokenizer."""

    settings: Settings

    @cached_property
    def _splits(self) -> tuple[Sequence[str], Sequence[str]]:
        task = PretrainConfig(
            train_texts=self.settings.train_texts, validation_texts=self.settings.validation_texts
        )
        return pretraining.training_texts(task)

    @property
    def train(self) -> Sequence[str]:
        return self._splits[0]

    @property
    def held_out(self) -> Sequence[str]:
        return self._splits[1]

    @cached_property
    def tokenizer(self) -> WordPieceTokenizer:
        return WordPieceTokenizer.train(self.train, self.settings.vocab_size)

    def examples(self, texts: Sequence[str]) -> list[Any]:
        """Pieces of at most max_length tokens."""
        return pretraining.token_examples(texts, self.tokenizer, self.settings.max_length)

    def pairs(self, texts: Sequence[str], seed: int) -> list[Any]:
        """Pairs of parts, labelled 1 if the second part comes from another text."""
        generator = torch.Generator().manual_seed(seed)
        return pretraining.pair_examples(
            texts, self.tokenizer, self.settings.max_length, generator=generator
        )

    @cached_property
    def targets(self) -> list[Target]:
        """The tokens to be guessed."""
        return draw_targets(self.examples(self.held_out), self.settings.targets_per_text)

    @cached_property
    def continued(self) -> list[list[int]]:
        """The held-out pieces that are long enough to compare generated texts with."""
        shortest = START_LENGTH + 1 + self.settings.generated_tokens
        rows = [list(example["input_ids"]) for example in self.examples(self.held_out)]
        return [row for row in rows if len(row) >= shortest][: self.settings.num_generated]


# --- training -------------------------------------------------------------------------------------


def pretrain_task(settings: Settings, name: str) -> PretrainConfig:
    """What is learned, from what, by which network."""
    return PretrainConfig(
        **OBJECTIVES[name],
        train_texts=settings.train_texts,
        validation_texts=settings.validation_texts,
        vocab_size=settings.vocab_size,
        hidden_size=settings.hidden_size,
        max_length=settings.max_length,
        num_hidden_layers=settings.num_hidden_layers,
        intermediate_size=4 * settings.hidden_size,
        max_position_embeddings=settings.max_length,
    )


def num_epochs(settings: Settings, texts: Texts, task: PretrainConfig, seed: int) -> float:
    """The epochs that give every objective the same number of updates: the objectives have
    different numbers of examples.
    """
    if task.objective == "mlm+nsp":
        num_examples = len(texts.pairs(texts.train, seed))
    else:
        num_examples = len(texts.examples(texts.train))
    return settings.num_updates / math.ceil(num_examples / settings.batch_size)


def pretrain(
    settings: Settings, texts: Texts, name: str, seed: int, folder: Path
) -> tuple[nn.Module, Run]:
    """The model of an objective after its updates, and how the training went."""
    task = pretrain_task(settings, name)
    config = TrainConfig(
        num_train_epochs=num_epochs(settings, texts, task, seed),
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        adam_beta2=0.98,
        seed=seed,
        eval_steps=max(1, settings.num_updates // 10),
        precision=settings.precision,
        num_threads=settings.num_threads,
    )
    result = pretraining.pretrain(task, config, folder)
    model_class = BertForCausalLM if name == "causal" else BertForPreTraining
    model = load_pretrained(folder, model_class=model_class)
    return model, training_facts(result, config.num_train_epochs)


def training_facts(result: Mapping[str, Any], epochs: float) -> Run:
    """What the record keeps of a pre-training run's result."""
    facts = {}
    for name in ("num_updates", "train_examples", "train_tokens", "train_seconds", "precision"):
        facts[name] = result[name]
    facts["epochs"] = epochs

    facts["evaluations"] = []
    for entry in result["evaluations"]:
        facts["evaluations"].append(
            {
                "step": entry["step"],
                "loss": entry["eval_loss"],
                "unigram_loss": entry["eval_unigram_loss"],
                "guessed_right": entry["eval_accuracy"],
            }
        )
    if "nsp_accuracy" in result["held_out"]:
        facts["pairs_told_apart"] = result["held_out"]["nsp_accuracy"]
    return facts


# --- classifying ----------------------------------------------------------------------------------


class MeanClassifier(nn.Module):
    """A body with one linear layer on the mean of its tokens' vectors.

    The mean treats both kinds of bodies alike. The [CLS] row would not: in a body that looks to the
    left only, [CLS] sees nothing but itself.
    """

    def __init__(self, body: BertModel) -> None:
        super().__init__()
        self.body = body
        self.classifier = nn.Linear(body.config.hidden_size, 2)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> ClassifierOutput:
        vectors = self.body(input_ids, attention_mask).sequence_output  # [batch, seq, hidden]
        weights = attention_mask[..., None].to(vectors.dtype)  # [batch, seq, 1]
        mean = (vectors * weights).sum(1) / weights.sum(1)  # [batch, hidden]
        return ClassifierOutput(self.classifier(mean))


def labelled_reviews(settings: Settings, seed: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The reviews to fine-tune on, drawn by the seed, and those of the test split to score on."""
    reviews = data.load_reviews("course")
    _, labelled = data.hold_out(reviews["train"], settings.labelled_reviews, seed=seed)
    return labelled[:], reviews["test"][: settings.tested_reviews]


def encode_reviews(
    reviews: Mapping[str, Any], tokenizer: WordPieceTokenizer, max_length: int
) -> list[Features]:
    """Reviews as examples for `fit`, the first and the last tokens of each."""
    examples = []
    for text, label in zip(reviews["text"], reviews["label"], strict=True):
        ids = tokenizer.encode(clean(text))
        shortened = data.truncate_ids(ids, max_length, tail_share=0.5)
        examples.append({"input_ids": shortened, "labels": label})
    return examples


def classify(
    body: BertModel, tokenizer: WordPieceTokenizer, settings: Settings, seed: int
) -> dict[str, float]:
    """Fine-tune the body on labelled reviews, and score it on the test split."""
    torch.manual_seed(seed)
    model = MeanClassifier(body)
    labelled, tested = labelled_reviews(settings, seed)
    config = TrainConfig(
        num_train_epochs=settings.finetune_epochs,
        learning_rate=settings.finetune_learning_rate,
        seed=seed,
        precision=settings.precision,
        num_threads=settings.num_threads,
    )
    fitted = fit(
        model,
        encode_reviews(labelled, tokenizer, settings.max_length),
        config,
        Objective(compute_loss, data.collate),
    )
    found = evaluation.evaluate(
        model,
        encode_reviews(tested, tokenizer, settings.max_length),
        collate=data.collate,
        accelerator=fitted.accelerator,
    )
    return {
        "accuracy": found.accuracy,
        "loss": found.loss,
        "train_seconds": round(fitted.train_seconds, 1),
    }


# --- the entries of the record --------------------------------------------------------------------


def measure_one(settings: Settings, name: str, seed: int, folder: Path) -> Run:
    """One entry of the record: a model, how it was trained, and what it can do.

    folder: where a pre-training may keep its files.
    """
    texts = Texts(settings)
    if name == LOOKED_UP:
        found = measure_lookup(texts, seed)
    elif name == COUNTED:
        found = measure_counting(settings, texts, seed)
    elif name == UNTRAINED:
        found = measure_untrained(settings, texts, seed)
    else:
        found = measure_objective(settings, texts, name, seed, folder)
    return {"model": name, "seed": seed, **found}


def measure_lookup(texts: Texts, seed: int) -> Run:
    """What remembering the training texts achieves."""
    learned = [list(example["input_ids"]) for example in texts.examples(texts.train)]
    train_pairs = texts.pairs(texts.train, seed)
    held_out_pairs = texts.pairs(texts.held_out, seed)
    return {
        "fill": {"guessed_right": guess_by_lookup(learned, texts.targets, BETWEEN)},
        "continue": {"guessed_right": guess_by_lookup(learned, texts.targets, AFTER)},
        "pairs_told_apart": pairs_by_length(train_pairs, held_out_pairs),
    }


def measure_counting(settings: Settings, texts: Texts, seed: int) -> Run:
    """What the frequencies of tokens achieve at guessing, and TF-IDF at classifying."""
    unigrams = pretraining.unigram_log_probs(
        texts.examples(texts.train), texts.tokenizer.vocab_size
    )
    labelled, tested = labelled_reviews(settings, seed)
    found = tfidf_baseline(labelled["text"], labelled["label"], tested["text"], tested["label"])
    return {
        **guess_by_frequency(unigrams, texts.targets),
        "finetuned": {"accuracy": found.accuracy},
    }


def measure_untrained(settings: Settings, texts: Texts, seed: int) -> Run:
    """What fine-tuning achieves from random weights."""
    task = PretrainConfig(
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.num_hidden_layers,
        intermediate_size=4 * settings.hidden_size,
        max_length=settings.max_length,
        max_position_embeddings=settings.max_length,
    )
    torch.manual_seed(seed)
    model = BertForPreTraining(task.bert(texts.tokenizer.vocab_size))
    return {"finetuned": classify(model.bert, texts.tokenizer, settings, seed)}


def measure_objective(settings: Settings, texts: Texts, name: str, seed: int, folder: Path) -> Run:
    """Pre-train with one objective; then guess, write and classify."""
    model, training = pretrain(settings, texts, name, seed, folder)
    starts = torch.tensor([row[:START_LENGTH] for row in texts.continued])  # [texts, 5]
    length = settings.generated_tokens
    as_written = [row[START_LENGTH : START_LENGTH + length] for row in texts.continued]
    return {
        **training,
        **guess(model, texts.tokenizer, texts.targets),
        "num_targets": len(texts.targets),
        "written": {
            **write_samples(model, texts.tokenizer, starts, length, seed),
            "reviews": repetition(as_written),
        },
        "finetuned": classify(model.bert, texts.tokenizer, settings, seed),
    }


def measure(settings: Settings, record: Record) -> None:
    """Run what the record lacks, one seed after the other."""
    for seed in range(settings.seeds):
        for name in MODELS:
            if record.find("models", model=name, seed=seed):
                continue
            with tempfile.TemporaryDirectory() as folder:
                entry = measure_one(settings, name, seed, Path(folder))
            record.add("models", entry)
            print(in_words(entry), flush=True)


def in_words(entry: Run) -> str:
    """One line about an entry of the record."""
    words = [f"{entry['model']}, seed {entry['seed']}"]
    for task in ("fill", "continue"):
        if task in entry:
            words.append(f"{task}: {entry[task]['guessed_right']:.1%} right")
    if "finetuned" in entry:
        words.append(f"accuracy {entry['finetuned']['accuracy']:.1%}")
    return ", ".join(words)


# --- the command line -----------------------------------------------------------------------------


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("objectives", __doc__)
    add_output(parser, required=True)
    for setting in fields(Settings):
        kind = type(setting.default)
        parser.add_argument(
            f"--{setting.name.replace('_', '-')}",
            type=kind,
            default=setting.default,
            metavar=kind.__name__.upper(),
            help="[%(default)s]",
        )
    return parser


def open_record(settings: Settings, output: Path, command: str) -> Record:
    """The record to add to. Raises ValueError if `output` holds one of other settings."""
    return Record(
        output,
        identity={"dataset": "course", "settings": asdict(settings)},
        origin=origin(command, PACKAGES),
    )


def run(options: argparse.Namespace) -> None:
    """Measure what the record lacks."""
    names = [setting.name for setting in fields(Settings)]
    settings = Settings(**{name: getattr(options, name) for name in names})
    command = command_in_words(build_parser(), options)
    measure(settings, open_record(settings, options.output, command))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = build_parser().parse_args(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    raise SystemExit(main())
