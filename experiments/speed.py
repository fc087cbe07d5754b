"""What training_speed and pretraining_speed share: contenders that take turns, the operations that
their training needs, and the best rate of this machine.
"""

from __future__ import annotations

import argparse
import copy
import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers
from torch import nn

from course_utils.data import Features
from course_utils.training import hardware
from experiments.record import Run, write_record

BATCH_SIZE = 32
SEED = 0
NONE = "none"  # dropout: switched off
CONFIG = "config's"  # dropout: as the checkpoint's config.json has it
OURS = "ours"  # kind of model: the course's BERT
THEIRS = "theirs"  # kind of model: the library's
PACKAGES = ("torch", "transformers", "accelerate", "datasets")


# --- contenders -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all contenders share.

    models: start models with equal weights, on the CPU, by kind and dropout ("ours none").
    tokenizer: the library's, which pads for both sides.
    num_threads: torch's own choice; only `fit` looks for a better one.
    """

    features: Sequence[Features]
    tokenizer: transformers.PreTrainedTokenizerBase
    models: Mapping[str, nn.Module]
    max_length: int
    num_threads: int
    device: str

    def longest_batch(self) -> list[Features]:
        """The batch that takes the most memory and time."""
        by_length = sorted(self.features, key=lambda feature: -len(feature["input_ids"]))
        return by_length[:BATCH_SIZE]

    def mean_tokens(self) -> float:
        """The mean length of an example, in tokens."""
        return sum(len(feature["input_ids"]) for feature in self.features) / len(self.features)


@dataclass(frozen=True)
class Contender:
    """One way to train.

    words: what is special about it; dropout: NONE or CONFIG; kind: of its start model.
    train: called with a model, the features and the setup; returns the seconds of all its updates,
    with the time for fetching the batches.
    """

    words: str
    dropout: str
    train: Callable[[nn.Module, Sequence[Features], Setup], float]
    kind: str


@dataclass(frozen=True)
class Timing:
    """One timed run. lengths: of the examples, in tokens; padded_lengths: the lengths to which they
    were padded; model: after the training.
    """

    seconds: float
    lengths: list[int]
    padded_lengths: list[int]
    model: nn.Module

    @property
    def padding_share(self) -> float:
        """The share of computed positions that hold no token."""
        return 1 - sum(self.lengths) / sum(self.padded_lengths)


@contextmanager
def quiet_library() -> Iterator[None]:
    """transformers without its reports on each model that is loaded."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.enable_progress_bar()
        transformers.logging.set_verbosity(verbosity)


def now() -> float:
    """Seconds on a clock. A GPU is waited for first."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(contender: Contender, setup: Setup) -> Timing:
    """Train once on all examples from the start weights. One update on the longest examples comes
    before it, to warm up, and does not count.

    Raises RuntimeError unless every example was seen once.
    """
    masks: list[torch.Tensor] = []

    def remember(_: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        masks.append(kwargs["attention_mask"] if "attention_mask" in kwargs else args[1])

    for features in (setup.longest_batch(), setup.features):
        gc.collect()
        torch.set_num_threads(setup.num_threads)
        torch.manual_seed(SEED)
        start = setup.models[f"{contender.kind} {contender.dropout}"]
        model = copy.deepcopy(start).to(setup.device).train()
        masks.clear()
        model.register_forward_pre_hook(remember, with_kwargs=True)
        seconds = contender.train(model, features, setup)

    lengths: list[int] = []
    padded_lengths: list[int] = []
    for mask in masks:
        lengths += mask.sum(1).tolist()
        padded_lengths += [mask.shape[1]] * len(mask)
    if sorted(lengths) != sorted(len(feature["input_ids"]) for feature in setup.features):
        raise RuntimeError(
            f"{contender.words}: expected each of {len(setup.features)} examples once, got "
            f"{len(lengths)} examples"
        )
    return Timing(seconds, lengths, padded_lengths, model)


# --- the work and the machine ---------------------------------------------------------------------


def training_flops(model: nn.Module, lengths: Iterable[int]) -> float:
    """Floating-point operations of forward and backward passes over sequences of these lengths, by
    formula.

    A matrix of N weights costs 2N operations per token forward (multiply and add), and 4N backward
    (the gradients of its input and of itself): 6N in all. N counts the encoder's matrices.
    Embeddings are looked up, and pooler and classifier see one token per review. Attention's two
    products, QK^T and PV, cost 2 * 2 * length^2 * hidden_size per layer forward, and three times as
    much in all. Softmax, GELU, LayerNorm, dropout and the optimizer are left out, as is customary.
    """
    config = model.config
    lengths = list(lengths)
    body = model.base_model if isinstance(model, transformers.PreTrainedModel) else model.bert
    matrices = [weight for weight in body.encoder.parameters() if weight.ndim > 1]
    num_weights = sum(weight.numel() for weight in matrices)
    sum_of_squares = sum(length * length for length in lengths)
    attention = 12 * config.num_hidden_layers * config.hidden_size * sum_of_squares
    return 6.0 * num_weights * sum(lengths) + attention


def matmul_peak(choice: hardware.Hardware, size: int = 2048) -> float:
    """The best rate, in FLOP/s, of a dozen products of two size x size matrices, in the precision
    and with the threads that `fit` chose.
    """
    torch.set_num_threads(choice.num_threads)
    matrices = torch.randn(2, size, size, device=choice.device)
    left, right = matrices.to(hardware.DTYPES[choice.precision])
    best = float("inf")
    for _ in range(12):
        start = now()
        torch.matmul(left, right)
        best = min(best, now() - start)
    return 2 * size**3 / best


# --- taking turns ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rounds:
    """All runs of each contender, one per round. matmul_peak: the machine's best rate in FLOP/s."""

    runs: Mapping[str, Sequence[Run]]
    matmul_peak: float


def take_turns(
    contenders: Mapping[str, Contender],
    measure: Callable[[Contender], Run],
    choice: hardware.Hardware,
    num_rounds: int,
    unit: str,
) -> Rounds:
    """Measure all contenders once per round, so that a slow minute of the machine affects them all.

    choice: what `fit` chose, for the machine's best rate.
    unit: "examples" or "tokens"; each run holds so many per second.
    """
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    peak = 0.0
    for number in range(1, num_rounds + 1):
        peak = max(peak, matmul_peak(choice))
        for name, contender in contenders.items():
            run = measure(contender)
            runs[name].append(run)
            rate = run[f"{unit}_per_second"]
            print(f"round {number}, {name}: {rate:.2f} {unit}/s", flush=True)
    return Rounds(runs, peak)


def compare(runs: Mapping[str, Sequence[Run]], ours: str, other: str) -> Run:
    """How many times as fast `ours` was as `other`, round by round."""
    ratios = []
    for our_run, other_run in zip(runs[ours], runs[other], strict=True):
        ratios.append(other_run["seconds"] / our_run["seconds"])
    return {
        "ours": ours,
        "other": other,
        "median": median(ratios),
        "min": min(ratios),
        "max": max(ratios),
    }


def outcome(
    contenders: Mapping[str, Contender], rounds: Rounds, pairs: Sequence[tuple[str, str]]
) -> Run:
    """What a record holds of the rounds, ready for JSON: all runs, the ratios of `pairs`, and the
    rate of "ours" as a share of the machine's best.
    """
    stored = {}
    for name, contender in contenders.items():
        stored[name] = {
            "words": contender.words,
            "dropout": contender.dropout,
            "runs": rounds.runs[name],
        }
    shares = {}
    for key in ("flops", "flops_with_padding"):
        rates = [run[key] / run["seconds"] for run in rounds.runs["ours"]]
        shares[key] = median(rates) / rounds.matmul_peak
    return {
        "contenders": stored,
        "ratios": [compare(rounds.runs, ours, other) for ours, other in pairs],
        "matmul_peak": rounds.matmul_peak,
        "peak_share": shares,
    }


# --- for people -----------------------------------------------------------------------------------


def tell(record: Run, report: Callable[[Run], str], output: Path | None) -> None:
    """Print a record for people, and store it if there is a place for it."""
    print(report(record))
    if output:
        write_record(output, record)


def first_lines(record: Run) -> list[str]:
    """The machine, and what `fit` chose on it."""
    machine = [f"{name}: {words}" for name, words in record["hardware"].items()]
    return ["", ", ".join(machine), f"fit chose {record['precision'][NONE]['reason']}"]


def tables(record: Run, unit: str) -> list[str]:
    """The outcome for people, line by line; unit: as in `take_turns`."""
    lines = ["", f"{'contender':18} {'how':45} {'dropout':>8} {'padding':>8} {unit + '/s':>11}"]
    for name, entry in record["contenders"].items():
        speed = median(run[f"{unit}_per_second"] for run in entry["runs"])
        padding = median(run["padding_share"] for run in entry["runs"])
        lines.append(
            f"{name:18} {entry['words']:45} {entry['dropout']:>8} {100 * padding:6.1f} % "
            f"{speed:11.2f}"
        )
    lines += ["", f"{f'ratio of {unit}/s':38} {'median':>8} {'min':>8} {'max':>8}"]
    for ratio in record["ratios"]:
        pair = f"{ratio['ours']} / {ratio['other']}"
        lines.append(f"{pair:38} {ratio['median']:8.2f} {ratio['min']:8.2f} {ratio['max']:8.2f}")
    useful = 100 * record["peak_share"]["flops"]
    with_padding = 100 * record["peak_share"]["flops_with_padding"]
    lines += [
        "",
        f"ours reaches {useful:.1f} % of the best rate of matrix products measured here "
        f"({record['matmul_peak'] / 1e9:.0f} GFLOP/s); {with_padding:.1f} % if padding counts as "
        "work",
    ]
    return lines


def add_rounds(parser: argparse.ArgumentParser, *, updates: int) -> None:
    """Add --updates and --rounds."""
    parser.add_argument(
        "--updates",
        type=int,
        default=updates,
        help="timed updates, per contender and round [%(default)s]",
    )
    parser.add_argument("--rounds", type=int, default=3, help="[%(default)s]")
