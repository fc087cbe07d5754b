"""The ways to train that the benchmarks compare: each trains a model once over the
examples and is timed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import datasets
import torch
import transformers
from measuring import BATCH_SIZE, CONFIG, NONE, SEED, Contender, Setup, now
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from course_utils.config import TrainConfig
from course_utils.data import Features, collate
from course_utils.tasks.classification import compute_loss
from course_utils.training import FitResult, fit
from course_utils.training.hardware import Hardware

LEARNING_RATE = (
    1e-4  # of the tutorial's loop; the others have their own, and no rate changes the speed
)

# The ratios that are reported: each with its own defaults, then (the last three) at equal dropout.
PAIRS = [
    ("ours", "tutorial"),
    ("ours", "trainer"),
    ("ours", "trainer-bf16"),
    ("ours-dropout", "tutorial"),
    ("ours-dropout", "trainer-bf16"),
    ("ours", "trainer-bf16-none"),
]


def make_contenders(choices: dict[str, Hardware]) -> dict[str, Contender]:
    """All contenders by name. choices: what fit's own measurement chose, by dropout."""
    ours = {dropout: partial(train_ours, choice=choice) for dropout, choice in choices.items()}
    grouped = partial(train_trainer, bf16=True, train_sampling_strategy="group_by_length")
    return {
        "ours": Contender(f"fit, {choices[NONE].precision}, grouped", NONE, ours[NONE]),
        "tutorial": Contender("plain loop, fp32, padded to max_length", CONFIG, train_tutorial),
        "trainer": Contender("Trainer's defaults (fp32, not grouped)", CONFIG, train_trainer),
        "trainer-bf16": Contender("Trainer, bf16, grouped", CONFIG, grouped),
        "ours-dropout": Contender(
            f"fit, {choices[CONFIG].precision}, grouped", CONFIG, ours[CONFIG]
        ),
        "trainer-bf16-none": Contender("Trainer, bf16, grouped", NONE, grouped),
    }


def run_fit(
    model: nn.Module,
    features: Sequence[Features],
    setup: Setup,
    choice: Hardware | None = None,
    **parts: Any,
) -> FitResult:
    """One epoch of fit by its defaults; `choice` spares a measurement of the hardware
    that was made before.

    parts: fit's own compute_loss and collate, where they are not those of classification.
    """
    known = {"precision": choice.precision, "num_threads": choice.num_threads} if choice else {}
    config = TrainConfig(num_train_epochs=1, batch_size=BATCH_SIZE, seed=SEED, **known)
    usual = {
        "compute_loss": compute_loss,
        "collate": partial(collate, pad_token_id=setup.tokenizer.pad_token_id),
    }
    return fit(model, features, config, **{**usual, **parts})


def train_ours(
    model: nn.Module, features: Sequence[Features], setup: Setup, *, choice: Hardware, **parts: Any
) -> float:
    """The course's loop; its own clock runs during updates only."""
    return run_fit(model, features, setup, choice, **parts).train_seconds


def train_tutorial(model: nn.Module, features: Sequence[Features], setup: Setup) -> float:
    """The loop that most tutorials print: fp32, all padded to max_length beforehand, shuffled,
    a plain AdamW.
    """
    batch = collate(
        features, pad_token_id=setup.tokenizer.pad_token_id, multiple_of=setup.max_length
    )
    dataset = TensorDataset(batch["input_ids"], batch["attention_mask"], batch["labels"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    total_loss, start = 0.0, now()
    for tensors in DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True):
        input_ids, attention_mask, labels = (tensor.to(setup.device) for tensor in tensors)
        optimizer.zero_grad()
        loss = model(input_ids=input_ids, attention_mask=attention_mask, labels=labels).loss
        loss.backward()
        optimizer.step()
        total_loss += loss.item()
    return now() - start


class Stopwatch(TrainerCallback):
    """Seconds from the start of Trainer's epoch to the end of its last update: no set-up,
    no closing report.
    """

    seconds = start = 0.0

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
    """transformers.Trainer; what `arguments` do not name is its default. data_collator: None for
    its own, which pads to the longest of a batch.
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
    wanted = "bf16" if arguments.get("bf16") else "no"
    if (
        trainer.accelerator.mixed_precision != wanted
    ):  # Accelerate's state is global: one run could taint the next
        raise RuntimeError(
            f"Trainer ran with precision {trainer.accelerator.mixed_precision}, expected {wanted}"
        )
    return watch.seconds
