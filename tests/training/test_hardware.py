"""The choice of precision and threads: what was asked for is honoured,
and a measurement decides the rest.
"""

import platform
import re
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from helpers import tiny_model
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from course_utils.training import hardware

GIBIBYTE = 2**30


@pytest.fixture(autouse=True)
def two_cores_no_gpu(monkeypatch):
    """A machine with two cores and no GPU; torch's own number of threads is put back afterwards."""
    monkeypatch.setattr(hardware, "find_device", lambda: "cpu")
    monkeypatch.setattr(hardware, "_available_cores", lambda: 2)
    for name in ("LOCAL_WORLD_SIZE", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


class Chip:
    """Stands in for matrix products: each costs what the table says for a row,
    on a clock that no load disturbs.
    """

    def __init__(self, monkeypatch, microseconds_a_row, *, once=0.0):
        self.microseconds, self.once, self.now, self.calls = microseconds_a_row, once, 0.0, []
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def multiply(self, shapes, num_rows, precision):
        call = (precision, torch.get_num_threads())
        if (call, num_rows) not in self.calls:  # what is prepared once for each size
            self.now += self.once
        self.calls.append((call, num_rows))
        self.now += self.microseconds[call] * num_rows / 1e6

    def most_rows(self, *call):
        return max((rows for other, rows in self.calls if other == call), default=0)


class Untouchable(nn.Module):
    """A model of one dense layer, whose step would raise if it were entered."""

    def __init__(self, *sizes):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(*pair, device="meta") for pair in sizes or [(256, 1024)]
        )

    def forward(self, *args, **kwargs):
        raise AssertionError("the model was run")


def chosen_on(chip, model=None, *, num_rows=4096, **fixed):
    return hardware.choose(
        model or Untouchable(), num_rows=num_rows, multiply=chip.multiply, **fixed
    )


TABLES = {
    "bf16 unit": ({("fp32", 2): 10, ("fp32", 1): 15, ("bf16", 2): 3, ("bf16", 1): 6}, ("bf16", 2)),
    "bf16 twenty times slower": (
        {("fp32", 2): 10, ("fp32", 1): 15, ("bf16", 2): 200, ("bf16", 1): 400},
        ("fp32", 2),
    ),
    "bf16 a little faster": (
        {("fp32", 2): 10, ("fp32", 1): 15, ("bf16", 2): 9, ("bf16", 1): 18},
        ("fp32", 2),
    ),
    "one thread is a little faster": (
        {("fp32", 2): 10, ("fp32", 1): 8, ("bf16", 2): 30, ("bf16", 1): 30},
        ("fp32", 2),
    ),
    "one thread is much faster": (
        {("fp32", 2): 10, ("fp32", 1): 4, ("bf16", 2): 30, ("bf16", 1): 30},
        ("fp32", 1),
    ),
}


@pytest.mark.parametrize("table", TABLES)
def test_the_faster_way_is_chosen_and_explained(table, monkeypatch):
    microseconds, expected = TABLES[table]
    chip = Chip(monkeypatch, microseconds)
    chosen = chosen_on(chip)
    assert (chosen.precision, chosen.num_threads) == expected
    assert torch.get_num_threads() == expected[1]
    assert (
        chosen.reason.startswith(f"cpu, {expected[0]}, {expected[1]} threads: ")
        and "\n" not in chosen.reason
    )
    assert not torch.is_autocast_enabled("cpu")
    fastest = min(microseconds, key=microseconds.get)
    assert f"fastest in {fastest[0]} on {fastest[1]} threads" in chosen.reason
    assert all(
        (call in [other for other, _ in chip.calls])
        == (f"in {call[0]} on {call[1]}" in chosen.reason)
        for call in microseconds
    )


@pytest.mark.parametrize("slowness", [1, 30, 1000, 10_000])
@pytest.mark.parametrize("ratio", [0.3, 1.0, 20.0, 200.0])
def test_choosing_takes_two_seconds_at_most(slowness, ratio, monkeypatch):
    """On machines up to ten thousand times as slow as this one, and with a bf16 of any speed."""
    table = {
        (p, t): slowness * 20 / t * (ratio if p == "bf16" else 1.0)
        for p in ("fp32", "bf16")
        for t in (1, 2)
    }
    chip = Chip(monkeypatch, {call: 0.1 * cost for call, cost in table.items()})
    one_product = (
        16 * 0.1 * slowness * 20 / 1e6 * max(1.0, ratio)
    )  # the smallest of the slowest kind: cannot be cut
    chosen = chosen_on(chip)
    assert chip.now <= max(2.0, 1.5 + one_product)
    assert chosen.precision == ("bf16" if ratio < 1 and chip.most_rows("bf16", 2) else "fp32")


def test_a_hopeless_precision_is_left_behind_early(monkeypatch):
    chip = Chip(
        monkeypatch, {("fp32", 2): 50, ("fp32", 1): 75, ("bf16", 2): 1000, ("bf16", 1): 2000}
    )
    assert "20 times as long in bf16 on 2" in chosen_on(chip).reason
    assert chip.most_rows("fp32", 2) == 1024
    assert chip.most_rows("bf16", 2) <= 32 and chip.most_rows("bf16", 1) <= 16
    assert chip.calls.count((("bf16", 2), chip.most_rows("bf16", 2))) == 2  # and not a third time


def test_what_is_prepared_once_does_not_decide(monkeypatch):
    """The library writes a program for each new size of a product,
    which costs more than the product itself.
    """
    chip = Chip(
        monkeypatch, {("fp32", 2): 10, ("fp32", 1): 15, ("bf16", 2): 3, ("bf16", 1): 6}, once=0.03
    )
    assert chosen_on(chip).precision == "bf16"


def test_short_batches_get_short_products(monkeypatch):
    chip = Chip(monkeypatch, TABLES["bf16 unit"][0])
    chosen_on(chip, num_rows=40)
    assert max(rows for _, rows in chip.calls) == 40
    chip.calls.clear()
    chosen_on(chip, num_rows=1)
    assert {rows for _, rows in chip.calls} == {1}


def test_products_have_the_sizes_of_the_models_layers():
    model = Untouchable(
        (256, 256), (256, 1024), (256, 256), (1024, 256), (256, 2), (256, 2), (256, 2), (256, 1024)
    )
    assert hardware._product_shapes(model) == [(256, 2), (256, 256), (256, 1024)]
    assert hardware._product_shapes(Untouchable((768, 30522), (4096, 768))) == [
        (768, 1024),
        (1024, 768),
    ]


def test_a_model_without_dense_layers_gets_fp32(monkeypatch):
    chip = Chip(monkeypatch, {})
    chosen = chosen_on(chip, nn.Embedding(3, 4))
    assert (chosen.precision, chosen.num_threads, chip.calls) == ("fp32", 2, [])


def test_real_products_choose_in_two_seconds_without_running_a_bert(monkeypatch):
    monkeypatch.setattr(
        tiny_model().__class__, "forward", lambda *_: pytest.fail("the model was run")
    )
    start = time.perf_counter()
    chosen = hardware.choose(tiny_model(), num_rows=512)
    assert time.perf_counter() - start < 2
    assert chosen.precision in ("fp32", "bf16") and "threads" in chosen.reason


def test_the_products_are_those_of_a_training_step():
    with FlopCounterMode(display=False) as counter:
        hardware._multiply_once([(16, 32), (8, 4)], 10, "fp32")
    assert counter.get_total_flops() == 3 * 2 * 10 * (16 * 32 + 8 * 4)  # forward, and two gradients


def test_the_products_of_a_step_are_estimated_from_one_of_each_size(monkeypatch):
    chip = Chip(monkeypatch, {("fp32", 2): 10})
    monkeypatch.setattr(hardware, "_multiply_once", chip.multiply)
    torch.set_num_threads(2)
    model = Untouchable(*[(256, 256)] * 6)  # one is timed: 1,024 rows of 10 microseconds
    assert hardware.seconds_of_products(model, 8192) == pytest.approx(6 * 8192 * 10e-6)


def test_what_is_fixed_is_not_measured(monkeypatch):
    chip = Chip(monkeypatch, {})
    chosen = chosen_on(chip, precision="bf16", num_threads=1)
    assert (chosen.precision, chosen.num_threads, chip.calls) == ("bf16", 1, [])
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("fixed", "tried"),
    [
        ({"precision": "fp32"}, {("fp32", 2), ("fp32", 1)}),
        ({"num_threads": 1}, {("fp32", 1), ("bf16", 1)}),
    ],
)
def test_what_is_fixed_stays_so_while_the_rest_is_measured(fixed, tried, monkeypatch):
    chip = Chip(monkeypatch, TABLES["bf16 unit"][0])
    chosen_on(chip, **fixed)
    assert {call for call, _ in chip.calls} == tried


def test_the_environment_can_ask_for_a_precision(monkeypatch):
    assert hardware.asked_precision("auto") == "auto"
    monkeypatch.setenv("COURSE_PRECISION", "fp32")
    assert (hardware.asked_precision("auto"), hardware.asked_precision("bf16")) == ("fp32", "bf16")
    monkeypatch.setenv("COURSE_PRECISION", "float32")
    with pytest.raises(
        ValueError,
        match=r'COURSE_PRECISION must be "auto", "fp32", "bf16" or "fp16", got "float32"',
    ):
        hardware.asked_precision("auto")


def test_fp16_needs_a_gpu():
    with pytest.raises(ValueError, match=r'"fp16" needs a GPU.*"bf16" or "fp32"'):
        hardware.choose(Untouchable(), num_rows=8, precision="fp16")


def test_processes_share_the_cores(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert hardware.choose(Untouchable(), num_rows=8, precision="fp32").num_threads == 1


@pytest.mark.parametrize(("asked", "cores"), [("1", 1), ("0", 1), ("99", 2), ("2,1", 2), ("", 2)])
def test_omp_num_threads_is_an_upper_bound(asked, cores, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(hardware.container, "cpu_limit", lambda: None)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert hardware._available_threads() == cores


@pytest.mark.parametrize(
    ("asked", "by_torchrun", "threads"),
    [("", True, 8), ("1", True, 8), ("1", False, 1), ("6", True, 6), ("12", False, 8)],
)
def test_each_process_gets_its_share_of_the_cores(asked, by_torchrun, threads, monkeypatch):
    monkeypatch.setattr(hardware, "_available_cores", lambda: 16)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    if by_torchrun:  # which sets OMP_NUM_THREADS=1, whoever asked for it
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "some run")
    assert hardware._available_threads() == threads


@pytest.mark.parametrize(
    ("limit", "cores"), [(4.0, 4), (0.25, 1), (1.5, 2), (100.0, 64), (None, 64)]
)
def test_a_containers_limit_counts(limit, cores, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(hardware.container, "cpu_limit", lambda: limit)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert hardware._available_cores() == cores


@pytest.mark.parametrize(
    ("capability", "precision"), [((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")]
)
def test_a_gpu_gets_the_precision_that_it_multiplies_in(capability, precision, monkeypatch):
    monkeypatch.setattr(hardware, "find_device", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert (
        chosen_on(Chip(monkeypatch, {})).precision == precision
    )  # and nothing is timed: the table is empty


def machine_with(monkeypatch, *devices):
    monkeypatch.undo()
    monkeypatch.delenv("COURSE_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in devices)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in devices)


@pytest.mark.parametrize(
    ("devices", "asked", "found"),
    [
        ((), "", "cpu"),
        (("cuda",), "", "cuda"),
        (("cuda",), "cpu", "cpu"),
        (("mps",), "", "cpu"),
        (("mps",), "mps", "mps"),
    ],
)
def test_apples_gpu_is_taken_on_request_only(devices, asked, found, monkeypatch):
    machine_with(monkeypatch, *devices)
    monkeypatch.setenv("COURSE_DEVICE", asked)
    assert hardware.find_device() == found


@pytest.mark.parametrize("asked", ["mps", "cuda", "gpu", "CPU"])
def test_a_device_that_is_not_there_is_refused(asked, monkeypatch):
    machine_with(monkeypatch)
    monkeypatch.setenv("COURSE_DEVICE", asked)
    with pytest.raises(ValueError, match=rf'a device that torch finds here \(cpu\), got "{asked}"'):
        hardware.find_device()


def test_why_apples_gpu_is_left_alone_is_told(monkeypatch):
    machine_with(monkeypatch, "mps")
    threads = torch.get_num_threads()
    chosen = hardware.choose(Untouchable(), num_rows=8, precision="fp32", num_threads=1)
    torch.set_num_threads(threads)
    assert chosen.device == "cpu" and "COURSE_DEVICE=mps takes it" in chosen.reason


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
    blocks = [
        torch.ones(25_000) for _ in range(1000)
    ]  # 100 kB each, too small to be given back one by one
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
    for error in (
        real.value,
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    ):
        assert hardware.is_out_of_memory(error)
    assert not hardware.is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_measuring_works_off_the_main_thread():
    chosen = []
    thread = threading.Thread(
        target=lambda: chosen.append(hardware.choose(tiny_model(), num_rows=8, num_threads=1))
    )
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
