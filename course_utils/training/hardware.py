"""Device, precision and threads for this machine: chosen by a short measurement,
explained in one line.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from course_utils import container

Shape = tuple[int, int]  # a dense layer's inputs and outputs
Candidate = tuple[str, int]  # a precision and a number of threads
Multiply = Callable[[Sequence[Shape], int, str], None]

RACE_SECONDS = 1.5  # after which no further products are begun
FEWEST_ROWS, MOST_ROWS = 16, 1024  # of the first and the last products of the race
REPEATS = 3  # of which the fastest counts
HOPELESS = 3.0  # so many times as slow as the fastest, and out of the race
BY_PRECISION, BY_THREADS = (
    1.2,
    1.5,
)  # by which factor bf16, and fewer threads than there may be, must win
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Hardware:
    """What a run computes with.

    device: "cpu", "cuda" or "mps"; precision: "fp32", "bf16" or "fp16" (of the products inside
    autocast; weights stay fp32); num_threads: CPU threads a process; reason: one line that says
    why.
    """

    device: str
    precision: str
    num_threads: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The choice as a plain dictionary, ready for JSON."""
        return asdict(self)


def _available_cores() -> int:
    """CPU cores that this process may use: its affinity and its container's limit
    (rounded, 1 at least).
    """
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return min(cores, max(1, round(container.cpu_limit() or cores)))


def _available_threads() -> int:
    """Threads that this process may use: its share of the cores, OMP_NUM_THREADS at most.

    An OMP_NUM_THREADS=1 under torchrun is set by torchrun itself, so it is ignored.
    """
    threads = max(1, _available_cores() // _num_local_processes())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    by_torchrun = asked == "1" and "TORCHELASTIC_RUN_ID" in os.environ
    return min(threads, max(1, int(asked))) if asked.isdecimal() and not by_torchrun else threads


def find_device() -> str:
    """ "cuda" with a usable NVIDIA or AMD GPU, else "cpu";
    or what the variable COURSE_DEVICE asks for.

    Apple's GPU ("mps") is taken on request only: torch has had several silent errors there, among
    them losses and gradients that differ from the CPU's (pytorch issues 92615, 109457, 122030,
    137964), and the course could not check its own numbers on one. Raises ValueError for a device
    that torch does not find.
    """
    found = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if asked := os.environ.get("COURSE_DEVICE"):
        if not found.get(asked):
            here = ", ".join(name for name, is_here in found.items() if is_here)
            raise ValueError(
                f'COURSE_DEVICE must name a device that torch finds here ({here}), got "{asked}"'
            )
        return asked
    return "cuda" if found["cuda"] else "cpu"


def describe() -> dict[str, str]:
    """This machine in words, for the record beside a result."""
    processor = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):  # Linux alone has it
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    words = {
        "processor": processor,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": str(_available_cores()),
        "system": platform.system(),
    }
    if torch.cuda.is_available():
        words["gpu"] = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return words


def peak_memory_gib() -> float | None:
    """The most memory, in GiB, that this process has held so far: the GPU's if there is one,
    else the machine's.

    None where the system does not tell (Windows).
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    try:
        import resource  # Windows has none
    except ImportError:
        return None
    unit = 1 if platform.system() == "Darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def _num_local_processes() -> int:
    """Processes of this run on this machine,
    which share its cores (torchrun sets LOCAL_WORLD_SIZE).
    """
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def make_accelerator(precision: str = "fp32") -> Accelerator:
    """A fresh Accelerator for "fp32", "bf16" or "fp16", also after one of another precision
    in the same process.
    """
    # it is global, and a second run in another precision would be refused
    AcceleratorState._reset_state()
    # Without cpu=True, each process that torchrun starts on a machine with no GPU would train
    # alone.
    return Accelerator(
        mixed_precision="no" if precision == "fp32" else precision, cpu=find_device() == "cpu"
    )


def unwrap(model: nn.Module) -> None:
    """Undo what Accelerate does to a model for autocast,
    so that it can be trained again in another precision.
    """
    vars(model).pop("_is_accelerate_prepared", None)
    if "_original_forward" in vars(model):
        model.forward = vars(model).pop("_original_forward")


def release_freed_memory() -> None:
    """Give back to the system what glibc keeps of freed memory: after training,
    as much as the training took.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on any device; of torch's errors on a CPU, only the words tell."""
    words = "out of memory|(can't allocate|not enough) memory"
    return isinstance(error, MemoryError) or re.search(words, str(error)) is not None


# --- precision and threads ------------------------------------------------------------------------


def choose(
    model: nn.Module,
    *,
    num_rows: int,
    precision: str = "auto",
    num_threads: int = 0,
    multiply: Multiply | None = None,
) -> Hardware:
    """Choose precision and threads for training `model`;
    a fixed `precision` or `num_threads` is honoured.

    The model is never run. On a CPU, matrix products of its own shapes are timed in each precision
    and with each number of threads that might pay; this takes at most two seconds on any CPU. On a
    GPU nothing is timed: bf16 where the chip has it, else fp16. Sets torch's number of threads to
    the choice.

    model: only the sizes of its dense layers are read.
    num_rows: rows of a product in training, that is tokens per micro-batch.
    precision: "auto", "fp32", "bf16", or on a GPU "fp16".
    num_threads: CPU threads of this process; 0 = the faster of all and half of those available.
    multiply: what is timed, called as multiply(shapes, num_rows, precision); the tests' stand-in.

    Raises ValueError for fp16 on a CPU.
    """
    device = find_device()
    most = num_threads or _available_threads()
    if precision == "fp16" and device == "cpu":
        raise ValueError(
            'precision "fp16" needs a GPU; on a CPU take "bf16" or "fp32", or let "auto" measure'
        )
    if device != "cpu":
        torch.set_num_threads(most)
        return _gpu_choice(device, precision, most)
    precisions = ["fp32", "bf16"] if precision == "auto" else [precision]
    threads = [num_threads] if num_threads else sorted({most, max(1, most // 2)}, reverse=True)
    candidates = [(p, t) for t in threads for p in precisions]
    best, reason = candidates[0], "as asked for"
    if len(candidates) > 1 and (shapes := _product_shapes(model)):
        times = _race(candidates, partial(multiply or _multiply_once, shapes), num_rows)
        best = min(times, key=lambda pair: times[pair] * _handicap(pair, usual=candidates[0]))
        reason = _in_words(times)
    torch.set_num_threads(best[1])
    apple = (
        "; Apple's GPU is left alone (COURSE_DEVICE=mps takes it)"
        if torch.backends.mps.is_available()
        else ""
    )
    return Hardware(device, *best, f"cpu, {best[0]}, {best[1]} threads: {reason}{apple}")


def asked_precision(setting: str) -> str:
    """The precision to train in: `setting`, or where that is "auto" what the variable
    COURSE_PRECISION asks for.

    The variable is there to measure what another machine would do. Raises ValueError if it holds
    anything else than "auto", "fp32", "bf16" or "fp16".
    """
    asked = os.environ.get("COURSE_PRECISION") or "auto"
    if asked not in ("auto", *DTYPES):
        raise ValueError(
            f'COURSE_PRECISION must be "auto", "fp32", "bf16" or "fp16", got "{asked}"'
        )
    return asked if setting == "auto" else setting


def _product_shapes(model: nn.Module) -> list[Shape]:
    """The sizes (inputs, outputs) of the dense layers that a model has most of, three at most,
    each side 1,024 at most.

    A wider layer is the same work repeated, and would only make the measurement longer.
    """
    layers = (module for module in model.modules() if isinstance(module, nn.Linear))
    counts = Counter(
        (min(layer.in_features, 1024), min(layer.out_features, 1024)) for layer in layers
    )
    return [shape for shape, _ in counts.most_common(3)]


def _multiply_once(shapes: Sequence[Shape], num_rows: int, precision: str) -> None:
    """The products of one training step of a dense layer of each shape: forward,
    and both gradients, under autocast.
    """
    with torch.autocast("cpu", DTYPES[precision], enabled=precision != "fp32"):
        for num_inputs, num_outputs in shapes:
            inputs = torch.ones(num_rows, num_inputs, requires_grad=True)
            weight = torch.ones(num_outputs, num_inputs, requires_grad=True)
            outputs = nn.functional.linear(inputs, weight)  # [num_rows, num_outputs]
            outputs.backward(torch.ones_like(outputs))


def seconds_of_products(model: nn.Module, num_rows: int) -> float:
    """About how long the products of all dense layers take in one training step on
    `num_rows` tokens, in fp32.

    With the present number of threads; estimated from one product of each of the model's sizes.
    """
    shapes, rows = _product_shapes(model), min(num_rows, MOST_ROWS)
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        _multiply_once(shapes, rows, "fp32")
        seconds.append(time.perf_counter() - start)
    timed = sum(num_inputs * num_outputs for num_inputs, num_outputs in shapes)
    all_weights = sum(
        module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear)
    )
    return min(seconds) * all_weights / timed * num_rows / rows


def _race(
    candidates: Sequence[Candidate], multiply: Callable[[int, str], None], num_rows: int
) -> dict[Candidate, float]:
    """How many times as long as the fastest one each candidate took,
    in the last round that it was part of.

    The products begin small and grow, so that a precision which the chip cannot multiply is found
    out, and left behind, before it costs much: without a bf16 unit, bf16 is twenty times as slow as
    fp32.
    """
    start, rows, times = time.perf_counter(), min(FEWEST_ROWS, num_rows), {}
    racing = list(candidates)
    while True:
        seconds = _time_round(racing, partial(multiply, rows), start)
        fastest = min(seconds.values())
        times |= {candidate: taken / fastest for candidate, taken in seconds.items()}
        racing = [
            candidate for candidate, taken in seconds.items() if not _is_hopeless(taken, fastest)
        ]
        more_rows = min(2 * rows, num_rows, MOST_ROWS)
        next_round = REPEATS * sum(seconds[candidate] for candidate in racing) * more_rows / rows
        if (
            len(racing) == 1
            or more_rows == rows
            or time.perf_counter() - start + next_round > RACE_SECONDS
        ):
            return times
        rows = more_rows


def _time_round(
    candidates: Sequence[Candidate], multiply: Callable[[str], None], start: float
) -> dict[Candidate, float]:
    """Seconds of each candidate's fastest repetition, of those that there is time for."""
    seconds: dict[Candidate, float] = {}
    hopeless: set[str] = set()  # precisions; what is hopeless on all threads is so on half of them
    for precision, num_threads in candidates:
        taken: list[float] = []
        torch.set_num_threads(num_threads)
        while len(taken) < REPEATS and precision not in hopeless:
            begin = time.perf_counter()
            if seconds and begin - start + min(taken, default=0.0) > RACE_SECONDS:
                break
            multiply(precision)
            taken.append(time.perf_counter() - begin)
            # Two are enough to give a candidate up: the first one also pays for what is prepared
            # once.
            if len(taken) > 1 and _is_hopeless(min(taken), min(seconds.values(), default=math.inf)):
                hopeless.add(precision)
        if taken:
            seconds[precision, num_threads] = min(taken)
    return seconds


def _is_hopeless(seconds: float, fastest: float) -> bool:
    """Whether a candidate is too slow to go on;
    differences of a few milliseconds may be anything.
    """
    return seconds > HOPELESS * fastest and seconds - fastest > 0.02


def _in_words(times: Mapping[Candidate, float]) -> str:
    """The outcome of the race in a line, the fastest first."""
    (first, _), *others = sorted(times.items(), key=lambda one: one[1])
    slower = [
        f"{times:.2g} times as long in {precision} on {threads}"
        for (precision, threads), times in others
    ]
    return (
        f"the model's matrix products were fastest in {first[0]} on {first[1]} threads"
        + "".join(f", took {words}" for words in slower)
    )


def _handicap(candidate: Candidate, usual: Candidate) -> float:
    """By how much a candidate must win: clearly if it is of another precision,
    or on fewer threads, than usual.

    Products are only a part of a step; and a passing load on another core can look like a slow
    second thread.
    """
    precision, num_threads = candidate
    return (1.0 if precision == usual[0] else BY_PRECISION) * (
        1.0 if num_threads == usual[1] else BY_THREADS
    )


def _gpu_choice(device: str, precision: str, threads: int) -> Hardware:
    if precision != "auto":
        return Hardware(
            device, precision, threads, f"{device}, {precision}, {threads} threads: as asked for"
        )
    if device == "mps":
        return Hardware(
            device,
            "fp32",
            threads,
            "mps, fp32: COURSE_DEVICE asks for it; compare its first losses with "
            "those of COURSE_DEVICE=cpu",
        )
    native = (
        torch.cuda.get_device_capability()[0] >= 8
    )  # Ampere and later multiply bf16 in hardware
    choice = "bf16" if native else "fp16"
    why = "the GPU multiplies bf16 in hardware" if native else "the GPU is older than bf16 units"
    return Hardware(device, choice, threads, f"cuda, {choice}: {why}")
