"""The ways to train that training_speed and pretraining_speed compare. Each trains a model once
over the examples, and is timed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import datasets
import torch
import transformers
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from course_utils.config import TrainConfig
from course_utils.data import Features, collate
from course_utils.tasks.classification import compute_loss
from course_utils.training import FitResult, Objective, fit
from course_utils.training.hardware import Hardware
from experiments.speed import BATCH_SIZE, CONFIG, NONE, OURS, SEED, THEIRS, Contender, Setup, now

# Of the tutorial's loop. The others have their own, and no learning rate changes the speed.
LEARNING_RATE = 1e-4

# The ratios that are reported: with each contender's own defaults, then (the last three) at equal
# dropout.
PAIRS = [
    ("ours", "tutorial"),
    ("ours", "trainer"),
    ("ours", "trainer-bf16"),
    ("ours-dropout", "tutorial"),
    ("ours-dropout", "trainer-bf16"),
    ("ours", "trainer-bf16-none"),
]


def make_contenders(choices: Mapping[str, Hardware]) -> dict[str, Contender]:
    """All contenders by name. choices: what `fit` chose by its own measurement, by dropout."""
    tuned = partial(train_trainer, bf16=True, train_sampling_strategy="group_by_length")

    def ours(dropout: str) -> Contender:
        choice = choices[dropout]
        train = partial(train_ours, choice=choice)
        return Contender(f"fit, {choice.precision}, grouped", dropout, train, OURS)

    def theirs(words: str, train: Any, dropout: str = CONFIG) -> Contender:
        return Contender(words, dropout, train, THEIRS)

    return {
        "ours": ours(NONE),
        "tutorial": theirs("plain loop, fp32, padded to max_length", train_tutorial),
        "trainer": theirs("Trainer's defaults (fp32, not grouped)", train_trainer),
        "trainer-bf16": theirs("Trainer, bf16, grouped", tuned),
        "ours-dropout": ours(CONFIG),
        "trainer-bf16-none": theirs("Trainer, bf16, grouped", tuned, NONE),
    }


def run_fit(
    model: nn.Module,
    features: Sequence[Features],
    setup: Setup,
    *,
    choice: Hardware | None = None,
    objective: Objective | None = None,
) -> FitResult:
    """One epoch of `fit` with its defaults.

    choice: what `fit` chose earlier, so that the hardware is not measured again.
    objective: None for classification's.
    """
    known = {}
    if choice is not None:
        known = {"precision": choice.precision, "num_threads": choice.num_threads}
    config = TrainConfig(num_train_epochs=1, batch_size=BATCH_SIZE, seed=SEED, **known)
    if objective is None:
        pad = partial(collate, pad_token_id=setup.tokenizer.pad_token_id)
        objective = Objective(compute_loss, pad)
    return fit(model, features, config, objective)


def train_ours(
    model: nn.Module,
    features: Sequence[Features],
    setup: Setup,
    *,
    choice: Hardware,
    objective: Objective | None = None,
) -> float:
    """The course's loop. Its own clock runs during the updates only."""
    return run_fit(model, features, setup, choice=choice, objective=objective).train_seconds


def train_tutorial(model: nn.Module, features: Sequence[Features], setup: Setup) -> float:
    """The loop that most tutorials print: fp32, everything padded to max_length beforehand,
    shuffled, a plain AdamW.
    """
    batch = collate(
        features, pad_token_id=setup.tokenizer.pad_token_id, multiple_of=setup.max_length
    )
    dataset = TensorDataset(batch["input_ids"], batch["attention_mask"], batch["labels"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    total_loss = 0.0
    start = now()
    for tensors in DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True):
        input_ids, attention_mask, labels = (tensor.to(setup.device) for tensor in tensors)
        optimizer.zero_grad()
        loss = model(input_ids=input_ids, attention_mask=attention_mask, labels=labels).loss
        loss.backward()
        optimizer.step()
        total_loss += loss.item()
    return now() - start


class Stopwatch(TrainerCallback):
    """Seconds from the start of Trainer's epoch to the end of its last update, without set-up and
    closing report.
    """

    def __init__(self) -> None:
        self.start = 0.0
        self.seconds = 0.0

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self.start = now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds = now() - self.start


def train_trainer(
    model: nn.Module,
    features: Sequence[Features],
    setup: Setup,
    *,
    data_collator: Callable[..., Any] | None = None,
    **arguments: Any,
) -> float:
    """transformers.Trainer. What `arguments` do not name has its default.

    data_collator: None for Trainer's own, which pads to the longest example of a batch.
    Raises RuntimeError if it trained in another precision than it was asked for.
    """
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            folder,
            per_device_train_batch_size=BATCH_SIZE,
            num_train_epochs=1,
            seed=SEED,
            use_cpu=setup.device == "cpu",
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            **arguments,
        )
        trainer = Trainer(
            model,
            args,
            data_collator,
            train_dataset=datasets.Dataset.from_list(list(features)),
            processing_class=setup.tokenizer,
            callbacks=[watch],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()

    # Accelerate's state is global: one run could leave its precision to the next.
    found = trainer.accelerator.mixed_precision
    wanted = "bf16" if arguments.get("bf16") else "no"
    if found != wanted:
        raise RuntimeError(f"Trainer ran with precision {found}, expected {wanted}")
    return watch.seconds
