"""Device, precision and threads for this machine: chosen by a short measurement, explained in one line."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

FEWER_THREADS_PENALTY = 1.2
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Hardware:
    """What a run computes with.

    device: "cpu", "cuda" or "mps"; precision: "fp32", "bf16" or "fp16" (of the products inside autocast; weights
    stay fp32); num_threads: CPU threads a process; reason: one line that says why.
    """

    device: str
    precision: str
    num_threads: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The choice as a plain dictionary, ready for JSON."""
        return asdict(self)


def available_cores() -> int:
    """CPU cores that this process may use: its affinity and its container's quota (cgroup v2)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no cgroup, or quota "max": no limit
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


def available_threads() -> int:
    """Threads that this process may use: its share of the cores, OMP_NUM_THREADS at most.

    torchrun sets OMP_NUM_THREADS=1 by itself, which is nobody's wish and does not count.
    """
    threads = max(1, available_cores() // num_local_processes())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    by_torchrun = asked == "1" and "TORCHELASTIC_RUN_ID" in os.environ
    return min(threads, max(1, int(asked))) if asked.isdecimal() and not by_torchrun else threads


def find_device() -> str:
    """ "cuda" with a usable NVIDIA or AMD GPU, "mps" on Apple silicon, else "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def describe() -> dict[str, str]:
    """This machine in words, for the record beside a result."""
    processor = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):  # Linux alone has it
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    words = {"processor": processor, "cores": str(available_cores()), "system": platform.system()}
    if torch.cuda.is_available():
        words["gpu"] = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return words


def peak_memory_gib() -> float | None:
    """The most memory, in GiB, that this process has held so far: the GPU's if there is one, else the machine's.

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


def num_local_processes() -> int:
    """Processes of this run on this machine, which share its cores (torchrun sets LOCAL_WORLD_SIZE)."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def make_accelerator(precision: str = "fp32") -> Accelerator:
    """A fresh Accelerator for "fp32", "bf16" or "fp16", also after one of another precision in the same process."""
    AcceleratorState._reset_state()  # it is global, and a second run in another precision would be refused
    # Without cpu=True, each process that torchrun starts on a machine with no GPU would train alone.
    return Accelerator(mixed_precision="no" if precision == "fp32" else precision, cpu=find_device() == "cpu")


def unwrap(model: nn.Module) -> None:
    """Undo what Accelerate does to a model for autocast, so that it can be trained again in another precision."""
    vars(model).pop("_is_accelerate_prepared", None)
    if "_original_forward" in vars(model):
        model.forward = vars(model).pop("_original_forward")


def release_freed_memory() -> None:
    """Give back to the system what glibc keeps of freed memory: after training, as much as the training took."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on any device; of torch's errors on a CPU, only the words tell."""
    words = "out of memory|(can't allocate|not enough) memory"
    return isinstance(error, MemoryError) or re.search(words, str(error)) is not None


def choose(step: Callable[[], object], *, precision: str = "auto", num_threads: int = 0) -> Hardware:
    """Choose device, precision and threads for training; a fixed `precision` or `num_threads` is honoured.

    step: runs one small training step; it is timed under autocast in each precision that might pay, with each
    number of threads that might. On a GPU nothing is timed: bf16 where the chip has it, else fp16.
    Sets torch's number of threads to the choice. Raises ValueError for fp16 on a CPU.
    """
    device = find_device()
    most = num_threads or available_threads()
    if precision == "fp16" and device == "cpu":
        raise ValueError('precision "fp16" needs a GPU; on a CPU take "bf16" or "fp32", or let "auto" measure')
    if device != "cpu":
        torch.set_num_threads(most)
        return _gpu_choice(device, precision, most)
    precisions = ["fp32", "bf16"] if precision == "auto" else [precision]
    threads = [num_threads] if num_threads else sorted({most, max(1, most // 2)}, reverse=True)
    combinations = [(p, t) for t in threads for p in precisions]
    best, reason = combinations[0], "as asked for"
    if len(combinations) > 1:
        times = _time_steps(step, combinations)
        # Fewer threads must win clearly: a passing load on another core can look like a slow second thread.
        best = min(times, key=lambda pair: times[pair] * (1.0 if pair[1] == threads[0] else FEWER_THREADS_PENALTY))
        reason = "one small step took " + ", ".join(f"{s * 1000:.0f} ms in {p} on {t} threads"
                                                   for (p, t), s in sorted(times.items(), key=lambda item: item[1]))
    torch.set_num_threads(best[1])
    return Hardware(device, *best, f"cpu, {best[0]}, {best[1]} threads: {reason}")


def _gpu_choice(device: str, precision: str, threads: int) -> Hardware:
    if precision != "auto":
        return Hardware(device, precision, threads, f"{device}, {precision}, {threads} threads: as asked for")
    if device == "mps":
        return Hardware(device, "fp32", threads, "mps, fp32: autocast on Apple GPUs gains too little to risk")
    native = torch.cuda.get_device_capability()[0] >= 8  # Ampere and later multiply bf16 in hardware
    choice = "bf16" if native else "fp16"
    why = "the GPU multiplies bf16 in hardware" if native else "the GPU is older than bf16 units"
    return Hardware(device, choice, threads, f"cuda, {choice}: {why}")


def _time_steps(step: Callable[[], object], combinations: Sequence[tuple[str, int]]) -> dict[tuple[str, int], float]:
    """Seconds of one step in each (precision, threads): the least of three rounds over all, after one to warm up."""
    times = dict.fromkeys(combinations, math.inf)
    for number in range(4):
        for precision, num_threads in combinations:
            torch.set_num_threads(num_threads)
            with torch.autocast("cpu", DTYPES[precision], enabled=precision != "fp32"):
                start = time.perf_counter()
                step()
                seconds = time.perf_counter() - start
            if number:
                times[precision, num_threads] = min(times[precision, num_threads], seconds)
    return times
