"""The choice of precision and threads: what was asked for is honoured, and a measurement decides the rest."""

import platform
import re
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from helpers import tiny_model

from course_utils import hardware

GIBIBYTE = 2**30


@pytest.fixture(autouse=True)
def two_cores_no_gpu(monkeypatch):
    """A machine with two cores and no GPU; torch's own number of threads is put back afterwards."""
    monkeypatch.setattr(hardware, "find_device", lambda: "cpu")
    monkeypatch.setattr(hardware, "available_cores", lambda: 2)
    for name in ("LOCAL_WORLD_SIZE", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


class Step:
    """A training step that takes as long as the table says, on a clock that no other load can disturb."""

    def __init__(self, monkeypatch, milliseconds):
        self.milliseconds, self.now, self.calls = milliseconds, 0.0, []
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def __call__(self):
        precision = "bf16" if torch.is_autocast_enabled("cpu") else "fp32"
        self.calls.append((precision, torch.get_num_threads()))
        self.now += self.milliseconds[self.calls[-1]] / 1000


TABLES = {
    "bf16 unit": ({("fp32", 2): 100, ("fp32", 1): 150, ("bf16", 2): 30, ("bf16", 1): 60}, ("bf16", 2)),
    "no bf16 unit": ({("fp32", 2): 100, ("fp32", 1): 150, ("bf16", 2): 300, ("bf16", 1): 400}, ("fp32", 2)),
    "one thread is a little faster": ({("fp32", 2): 100, ("fp32", 1): 90, ("bf16", 2): 300, ("bf16", 1): 300},
                                      ("fp32", 2)),
    "one thread is much faster": ({("fp32", 2): 100, ("fp32", 1): 50, ("bf16", 2): 300, ("bf16", 1): 300},
                                  ("fp32", 1)),
}


@pytest.mark.parametrize("table", TABLES)
def test_the_faster_way_is_chosen_and_explained(table, monkeypatch):
    milliseconds, expected = TABLES[table]
    step = Step(monkeypatch, milliseconds)
    chosen = hardware.choose(step)
    assert (chosen.precision, chosen.num_threads) == expected
    assert torch.get_num_threads() == expected[1]
    assert set(step.calls) == set(milliseconds)  # each combination ran, under its own precision and threads
    assert all(f"{milliseconds[pair]} ms in {pair[0]} on {pair[1]} threads" in chosen.reason for pair in milliseconds)
    assert chosen.reason.startswith(f"cpu, {expected[0]}, {expected[1]} threads: ") and "\n" not in chosen.reason
    assert not torch.is_autocast_enabled("cpu")


def test_one_slow_round_does_not_decide(monkeypatch):
    step = Step(monkeypatch, {("fp32", 2): 100, ("bf16", 2): 30})
    slow = iter([5.0, 5.0])  # the first step in each precision: caches are cold

    def with_cold_start():
        step()
        step.now += next(slow, 0.0)

    assert hardware.choose(with_cold_start, num_threads=2).precision == "bf16"


def test_what_is_fixed_is_not_measured(monkeypatch):
    step = Step(monkeypatch, {})
    chosen = hardware.choose(step, precision="bf16", num_threads=1)
    assert (chosen.precision, chosen.num_threads, step.calls) == ("bf16", 1, [])
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(("fixed", "tried"), [
    ({"precision": "fp32"}, {("fp32", 2), ("fp32", 1)}), ({"num_threads": 1}, {("fp32", 1), ("bf16", 1)})])
def test_what_is_fixed_stays_so_while_the_rest_is_measured(fixed, tried, monkeypatch):
    step = Step(monkeypatch, TABLES["bf16 unit"][0])
    hardware.choose(step, **fixed)
    assert set(step.calls) == tried


def test_fp16_needs_a_gpu():
    with pytest.raises(ValueError, match=r'"fp16" needs a GPU.*"bf16" or "fp32"'):
        hardware.choose(lambda: None, precision="fp16")


def test_processes_share_the_cores(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert hardware.choose(lambda: None, precision="fp32").num_threads == 1


@pytest.mark.parametrize(("asked", "cores"), [("1", 1), ("0", 1), ("99", 2), ("2,1", 2), ("", 2)])
def test_omp_num_threads_is_an_upper_bound(asked, cores, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(hardware.Path, "read_text", lambda _: "max 100000")
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert hardware.available_threads() == cores


@pytest.mark.parametrize(("asked", "by_torchrun", "threads"), [("", True, 8), ("1", True, 8), ("1", False, 1),
                                                               ("6", True, 6), ("12", False, 8)])
def test_each_process_gets_its_share_of_the_cores(asked, by_torchrun, threads, monkeypatch):
    monkeypatch.setattr(hardware, "available_cores", lambda: 16)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    if by_torchrun:  # which sets OMP_NUM_THREADS=1, whoever asked for it
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "some run")
    assert hardware.available_threads() == threads


def test_a_containers_quota_counts(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(hardware.Path, "read_text", lambda _: "400000 100000")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert hardware.available_cores() == 4


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_a_gpu_gets_the_precision_that_it_multiplies_in(capability, precision, monkeypatch):
    monkeypatch.setattr(hardware, "find_device", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert hardware.choose(lambda: pytest.fail("nothing is timed on a GPU")).precision == precision


def test_this_machine_in_words_has_no_path():
    words = hardware.describe()
    assert words["processor"] and words["cores"] == "2"
    assert not any("/home" in value or "/root" in value for value in words.values())


def test_accelerators_of_different_precision_follow_each_other():
    for precision, name in (("bf16", "bf16"), ("fp32", "no"), ("bf16", "bf16")):
        assert hardware.make_accelerator(precision).mixed_precision == name


def test_unwrap_undoes_what_accelerate_does():
    model = tiny_model()
    seen = []
    model.bert.register_forward_pre_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    ids = torch.tensor([[2, 7, 3]])
    hardware.make_accelerator("bf16").prepare(model)
    model(ids)
    hardware.unwrap(model)
    model(ids)
    assert seen == [True, False]
    assert "_is_accelerate_prepared" not in vars(model)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no glibc, which keeps freed memory")
def test_freed_memory_is_given_back():
    blocks = [torch.ones(25_000) for _ in range(1000)]  # 100 kB each, too small to be given back one by one
    last = torch.ones(25_000)  # as long as it lives, the heap cannot shrink from its end
    full = resident_kibibytes()
    blocks.clear()
    kept = resident_kibibytes()
    hardware.release_freed_memory()
    assert kept > full - 20_000 and resident_kibibytes() < full - 60_000
    assert last.sum() == 25_000


def resident_kibibytes() -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text()).group(1))


def test_out_of_memory_is_told_from_other_errors():
    with pytest.raises(RuntimeError) as real:
        torch.empty(10**6 * GIBIBYTE, dtype=torch.uint8)
    for error in (real.value, MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
                  RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.")):
        assert hardware.is_out_of_memory(error)
    assert not hardware.is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_measuring_works_off_the_main_thread():
    chosen = []
    thread = threading.Thread(target=lambda: chosen.append(hardware.choose(lambda: None, num_threads=1)))
    thread.start()
    thread.join()
    assert chosen[0].precision in ("fp32", "bf16")


def test_the_peak_of_memory_is_in_gib_and_never_falls(monkeypatch):
    pytest.importorskip("resource")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = hardware.peak_memory_gib()
    filled = bytearray(b"x") * int(before * 2**30)  # as much again, and touched
    assert before * 1.3 < hardware.peak_memory_gib() < before * 3
    held = hardware.peak_memory_gib()
    del filled
    assert hardware.peak_memory_gib() >= held


def test_where_the_system_does_not_tell_there_is_no_peak(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert hardware.peak_memory_gib() is None
