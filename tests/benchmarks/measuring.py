"""What the training benchmarks share: contenders that take turns, the work that they do,
and the machine's peak.
"""

from __future__ import annotations

import copy
import gc
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers
from torch import nn

from course_utils.data import Features
from course_utils.files import write_json
from course_utils.training import hardware

BATCH_SIZE, SEED = 32, 0
NONE, CONFIG = (
    "none",
    "config's",
)  # dropout: switched off, or as the checkpoint's config.json has it
Run = dict[str, float]  # what was measured of a contender in one round


@dataclass(frozen=True)
class Setup:
    """What all contenders share. models: start models by name (of their dropout, say),
    of equal weights, on the CPU.
    """

    features: list[Features]
    tokenizer: transformers.PreTrainedTokenizerBase
    models: dict[str, nn.Module]
    max_length: int
    num_threads: int  # torch's own choice; only fit looks for a better one
    device: str

    def longest_batch(self) -> list[Features]:
        return sorted(self.features, key=lambda feature: -len(feature["input_ids"]))[:BATCH_SIZE]


@dataclass(frozen=True)
class Contender:
    """One way to train. train(model, features, setup): seconds of all its updates,
    fetching the batches included.

    model: its start model's name in the setup, where that is not simply its dropout.
    """

    words: str
    dropout: str
    train: Callable[[nn.Module, Sequence[Features], Setup], float]
    model: str = ""


def now() -> float:
    """Seconds, once a GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(contender: Contender, setup: Setup) -> tuple[float, list[int], list[int], nn.Module]:
    """Train once on all examples from the start weights, after an update on the longest of them
    that does not count.

    Returns (seconds, each example's length in tokens, the lengths to which they were padded, the
    trained model).
    """
    masks: list[torch.Tensor] = []

    def remember(_: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        masks.append(kwargs["attention_mask"] if "attention_mask" in kwargs else args[1])

    for features in (setup.longest_batch(), setup.features):
        gc.collect()
        torch.set_num_threads(setup.num_threads)
        torch.manual_seed(SEED)
        model = (
            copy.deepcopy(setup.models[contender.model or contender.dropout])
            .to(setup.device)
            .train()
        )
        masks.clear()
        model.register_forward_pre_hook(remember, with_kwargs=True)
        seconds = contender.train(model, features, setup)
    real = [length for mask in masks for length in mask.sum(1).tolist()]
    padded = [mask.shape[1] for mask in masks for _ in mask]
    if sorted(real) != sorted(len(feature["input_ids"]) for feature in setup.features):
        raise RuntimeError(
            f"{contender.words}: expected each of {len(setup.features)} examples once, "
            f"got {len(real)}"
        )
    return seconds, real, padded, model


def training_flops(model: nn.Module, lengths: Iterable[int]) -> float:
    """Floating-point operations of forward and backward over sequences of these
    lengths, by formula.

    A matrix of N weights costs a token 2N (multiply and add) forward and 4N backward (gradients of
    its input and of itself): 6N. N counts the encoder's matrices: embeddings are looked up, pooler
    and classifier see one token a review. Attention's two products, QK^T and PV, cost a layer
    2 * 2 * length^2 * hidden_size forward, and three times that in all. Softmax, GELU, LayerNorm,
    dropout and the optimizer are left out, as is customary.
    """
    config, lengths = model.config, list(lengths)
    body = model.base_model if isinstance(model, transformers.PreTrainedModel) else model.bert
    num_weights = sum(p.numel() for p in body.encoder.parameters() if p.ndim > 1)
    attention = (
        12
        * config.num_hidden_layers
        * config.hidden_size
        * sum(length * length for length in lengths)
    )
    return 6.0 * num_weights * sum(lengths) + attention


def matmul_peak(choice: hardware.Hardware, size: int = 2048) -> float:
    """The best rate (FLOP/s) of a dozen products of two size x size matrices,
    in fit's precision and threads.
    """
    torch.set_num_threads(choice.num_threads)
    left, right = torch.randn(2, size, size, device=choice.device).to(
        hardware.DTYPES[choice.precision]
    )
    best = float("inf")
    for _ in range(12):
        start = now()
        torch.matmul(left, right)
        best = min(best, now() - start)
    return 2 * size**3 / best


def take_turns(
    contenders: Mapping[str, Contender],
    measure: Callable[[Contender], Run],
    choice: hardware.Hardware,
    num_rounds: int,
    unit: str,
) -> tuple[dict[str, list[Run]], float]:
    """All contenders once a round, so that a slow minute falls on all;
    returns (their runs, the matmul peak).

    unit: the key of a run, in the plural, that is printed as it goes: so many a second.
    """
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    peak = 0.0
    for number in range(num_rounds):
        peak = max(peak, matmul_peak(choice))
        for name, contender in contenders.items():
            runs[name].append(measure(contender))
            print(
                f"round {number + 1}, {name}: {runs[name][-1][f'{unit}_per_second']:.2f} {unit}/s",
                flush=True,
            )
    return runs, peak


def compare(runs: Mapping[str, list[Run]], ours: str, other: str) -> dict[str, Any]:
    """How many times as fast `ours` was as `other`, round by round."""
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(runs[ours], runs[other], strict=True)]
    return {
        "ours": ours,
        "other": other,
        "median": median(ratios),
        "min": min(ratios),
        "max": max(ratios),
    }


def outcome(
    contenders: Mapping[str, Contender],
    runs: Mapping[str, list[Run]],
    pairs: Sequence[tuple[str, str]],
    peak: float,
) -> dict[str, Any]:
    """What a record holds of the runs, JSON-ready: all of them, the ratios of `pairs`, ours beside
    the peak, and the machine. peak: in FLOP/s.
    """
    return {
        "contenders": {
            name: {"words": contender.words, "dropout": contender.dropout, "runs": runs[name]}
            for name, contender in contenders.items()
        },
        "ratios": [compare(runs, ours, other) for ours, other in pairs],
        "matmul_peak": peak,
        "peak_share": {
            key: median(run[key] / run["seconds"] for run in runs["ours"]) / peak
            for key in ("flops", "flops_with_padding")
        },
        **machine("torch", "transformers", "accelerate", "datasets"),
    }


def tell(
    record: dict[str, Any], report: Callable[[dict[str, Any]], str], output: Path | None
) -> None:
    """Print a record for people, and keep it if there is a place for it."""
    print(report(record))
    if output:
        write_json(output, record)


def machine(*packages: str) -> dict[str, Any]:
    """What a record says of where it was measured: hardware in words,
    the versions of Python and of these packages.
    """
    return {
        "hardware": hardware.describe(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
    }


def tables(record: Mapping[str, Any], unit: str) -> list[str]:
    """The outcome for people, line by line; `unit` as in `take_turns`."""
    speed_key = f"{unit}_per_second"
    lines = ["", f"{'contender':18} {'how':45} {'dropout':>8} {'padding':>8} {unit + '/s':>11}"]
    for name, entry in record["contenders"].items():
        speed, padding = (
            median(run[key] for run in entry["runs"]) for key in (speed_key, "padding_share")
        )
        lines.append(
            f"{name:18} {entry['words']:45} {entry['dropout']:>8} "
            f"{100 * padding:6.1f} % {speed:11.2f}"
        )
    lines += ["", f"{f'ratio of {unit}/s':38} {'median':>8} {'min':>8} {'max':>8}"]
    for ratio in record["ratios"]:
        pair = f"{ratio['ours']} / {ratio['other']}"
        lines.append(f"{pair:38} {ratio['median']:8.2f} {ratio['min']:8.2f} {ratio['max']:8.2f}")
    useful, done = (100 * record["peak_share"][key] for key in ("flops", "flops_with_padding"))
    return [
        *lines,
        "",
        f"ours reaches {useful:.1f} % of the matmul peak measured here "
        f"({record['matmul_peak'] / 1e9:.0f} GFLOP/s); {done:.1f} % if padding counts as work",
    ]
