"""Fine-tune with the course's own BERT and with the library's, in turns: what does ours cost?

    python -m experiments.own_bert --output data/results/own_bert.json

Both start from the same weights, read the same batches in the same order and are trained by `fit`,
each in a process of its own, so that the peak of its memory can be told. The ratio of each round
compares two processes that ran one after the other.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from course_utils import data
from course_utils.config import ClassificationConfig, TrainConfig
from course_utils.data import hub
from course_utils.tasks import classification
from course_utils.training import Objective, fit, hardware
from experiments.command_line import add_output, command_in_words, exit_status, make_parser
from experiments.record import Run, origin, write_record

OURS, LIBRARY = "ours", "library"
PACKAGES = ("torch", "transformers", "accelerate")
SEED = 0


def library_model(checkpoint: str) -> nn.Module:
    """The library's classifier with the same weights as ours, its head included, no dropout."""
    torch.manual_seed(SEED)
    return AutoModelForSequenceClassification.from_pretrained(
        hub.fetch_checkpoint(checkpoint),
        dtype=torch.float32,
        num_labels=2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def measure(options: argparse.Namespace) -> Run:
    """Train one of the two for some updates: its losses, seconds per update, and peak memory."""
    reviews = data.load_reviews("course")["train"][: 32 * options.updates]
    task = ClassificationConfig(checkpoint=options.checkpoint, max_length=options.max_length)
    tokenizer, model = classification.start_from(options.checkpoint, [], task, seed=SEED)
    if options.kind == LIBRARY:
        model = library_model(options.checkpoint)
    features = classification.encode(
        tokenizer, reviews["text"], reviews["label"], max_length=options.max_length
    )
    config = TrainConfig(
        num_train_epochs=1, precision=options.precision, num_threads=options.threads, seed=SEED
    )
    collate = partial(data.collate, limit=classification.num_positions(model))
    fitted = fit(model, features, config, Objective(classification.compute_loss, collate))
    return {
        "seconds_per_update": fitted.train_seconds / fitted.num_updates,
        "peak_memory_gib": hardware.peak_memory_gib(),
        "losses": [entry["loss"] for entry in fitted.history],
    }


def measure_in_a_process(kind: str, options: argparse.Namespace) -> Run:
    """`measure` in a fresh process."""
    arguments = [
        *("--kind", kind),
        *("--checkpoint", options.checkpoint),
        *("--max-length", str(options.max_length)),
        *("--updates", str(options.updates)),
        *("--precision", options.precision),
        *("--threads", str(options.threads)),
    ]
    command = [sys.executable, "-m", "experiments.own_bert", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{kind} failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(ours: Sequence[Run], library: Sequence[Run]) -> dict[str, Any]:
    """The ratios ours / library of each round and their medians, and how far the losses differ."""
    ratios: dict[str, list[float]] = {"seconds_per_update": [], "peak_memory_gib": []}
    difference = 0.0
    for own, other in zip(ours, library, strict=True):
        for name, values in ratios.items():
            values.append(round(own[name] / other[name], 4))
        pairs = zip(own["losses"], other["losses"], strict=True)
        difference = max(difference, *(abs(one - two) for one, two in pairs))
    return {
        "time_ratio": median(ratios["seconds_per_update"]),
        "memory_ratio": median(ratios["peak_memory_gib"]),
        "time_ratios": ratios["seconds_per_update"],
        "memory_ratios": ratios["peak_memory_gib"],
        "largest_loss_difference": difference,
    }


def run(arguments: Sequence[str] | None = None) -> None:
    """Measure as the options ask, print the ratios, and write the record."""
    parser = make_parser("own_bert", __doc__)
    parser.add_argument("--checkpoint", default="course-bert", help="as for finetune [course-bert]")
    parser.add_argument("--max-length", type=int, default=128, help="tokens [128]")
    parser.add_argument("--updates", type=int, default=20, help="of 32 reviews each [20]")
    parser.add_argument("--rounds", type=int, default=5, help="of each of the two [5]")
    parser.add_argument("--precision", default="fp32", help='"fp32" or "bf16" [fp32]')
    parser.add_argument("--threads", type=int, default=2, help="CPU threads [2]")
    parser.add_argument("--kind", choices=(OURS, LIBRARY), help="measure only this one, once, here")
    add_output(parser)
    options = parser.parse_args(arguments)
    if options.kind:
        print(json.dumps(measure(options)))
        return
    runs: dict[str, list[Run]] = {OURS: [], LIBRARY: []}
    for number in range(options.rounds):
        # Whoever begins changes, so that a drift of the machine hits both alike.
        for kind in (OURS, LIBRARY) if number % 2 == 0 else (LIBRARY, OURS):
            runs[kind].append(measure_in_a_process(kind, options))
    found = compare(runs[OURS], runs[LIBRARY])
    print(f"time: ours / library {found['time_ratio']:.3f}, of each round {found['time_ratios']}")
    print(f"memory: {found['memory_ratio']:.3f}, of each round {found['memory_ratios']}")
    print(f"largest difference of a loss: {found['largest_loss_difference']:.1e}")
    if options.output:
        settings = {name: vars(options)[name] for name in ("checkpoint", "max_length", "precision")}
        command = command_in_words(parser, options)
        record = {**settings, **found, "rounds": runs, **origin(command, PACKAGES)}
        write_record(options.output, record)


if __name__ == "__main__":
    sys.exit(exit_status(run))
