"""What a notebook costs is measured right, on a toy, and the README's table says what the record
says.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import notebooks_table
import pytest
from notebooks_table import BEGIN, COLUMNS, END

from course_utils.files import COURSE_ROOT
from experiments import notebook_costs, process_memory
from experiments.notebook_costs import Cost

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="memory is read from /proc"
)

# A child that holds 120 MiB while the kernel holds 80, both at work for half a second of CPU time;
# nothing is kept.
BUSY = """
import subprocess, sys, time
work = '''
import time
held = bytearray(b"x") * (int(SIZE) << 20)
while time.process_time() < 0.5:
    pass
time.sleep(1)
'''
child = subprocess.Popen([sys.executable, "-c", work.replace("SIZE", "120")])
begin = time.process_time()
exec(work.replace("SIZE", "80").replace("< 0.5", "< begin + 0.5"))
child.wait()
del held
"""
README = f"""# A course

{BEGIN}
| | notebook | reading | with a bf16 unit | without | needs |
| --- | --- | --- | --- | --- | --- |
| 00 | [first](notebooks/00_first.ipynb) | 15 min | 1 s, 1 MiB | | nothing |
| 01 | [second](notebooks/01_second.ipynb) | 20 min | 999 s | 1 MiB | a `GPU` |

{{words}}
{END}

More text, with a | in it.
"""
COSTS = {"00_first": {"seconds": 11.6, "cpu_seconds": 20.0, "peak_mebibytes": 633}}
RECORD = {
    "fp32": {
        "command": "python measure.py --precision fp32",
        "date": "2026-12-01",
        "notebooks": COSTS,
        "hardware": {"processor": "Some chip", "instructions": "AVX2"},
    }
}
WORDS = "without: Some chip (AVX2), 2026-12-01, `python measure.py --precision fp32`"
WANTED = (
    README.format(words=WORDS)
    .replace("| 1 s, 1 MiB | |", "| not measured | 12 s, 630 MiB |")
    .replace("999 s | 1 MiB", "not measured | not measured")
)


def write_notebook(path: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def options(*arguments: str) -> argparse.Namespace:
    return notebook_costs.build_parser().parse_args(arguments)


@pytest.fixture
def same_cores() -> Iterator[None]:
    """The cores that this process may use, as they were."""
    cores = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, cores)


# --- measuring ------------------------------------------------------------------------------------


@needs_proc
def test_time_and_memory_count_the_kernel_and_its_children(tmp_path: Path) -> None:
    idle = notebook_costs.measure(write_notebook(tmp_path / "idle.ipynb", "1"))
    busy = notebook_costs.measure(write_notebook(tmp_path / "busy.ipynb", BUSY))
    assert busy["seconds"] >= 1
    assert busy["cpu_seconds"] > 0.9  # two halves of a second, one of them a child's
    assert 150 < busy["peak_mebibytes"] - idle["peak_mebibytes"] < 400  # 200 and an interpreter
    assert 20 < idle["peak_mebibytes"] < 300  # a kernel, and not the whole machine


@needs_proc
def test_a_peak_that_is_over_before_anyone_looks_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_memory, "EVERY", 3600)  # only the look after each cell is left
    path = write_notebook(
        tmp_path / "short.ipynb", "held = bytearray(b'x') * (300 << 20); del held", "1"
    )
    assert notebook_costs.measure(path)["peak_mebibytes"] > 320


@needs_proc
def test_memory_of_a_process_that_is_gone_is_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert process_memory.memory_of(child.pid) == process_memory.Memory(resident=0, peak=0)


@needs_proc
def test_named_notebooks_are_measured_and_nothing_is_stored(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "toy.ipynb", "print('hello')")
    before = path.read_bytes()
    record = notebook_costs.RECORD.read_bytes()
    command = [sys.executable, "-m", "experiments.notebook_costs", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=COURSE_ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("toy ")
    assert "s of CPU" in done.stdout and done.stdout.endswith("MiB\n")
    assert path.read_bytes() == before and notebook_costs.RECORD.read_bytes() == record


@needs_proc
def test_a_notebook_that_fails_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], same_cores: None
) -> None:
    path = write_notebook(tmp_path / "broken.ipynb", "1 / 0")
    assert notebook_costs.main([str(path)]) == 1
    error = capsys.readouterr().err
    assert "ZeroDivisionError" in error and "broken.ipynb failed" in error


@needs_proc
def test_of_several_runs_the_fastest_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_cores: None
) -> None:
    slow = {"seconds": 9.0, "cpu_seconds": 1.0, "peak_mebibytes": 50}
    fast = {**slow, "seconds": 7.0}
    runs = iter([slow, fast, slow])
    monkeypatch.setattr(notebook_costs, "measure", lambda path, timeout: next(runs))
    costs = notebook_costs.measure_all([tmp_path / "a.ipynb"], 60, repeat=3)
    assert costs == {"a": fast} and list(runs) == []


@needs_proc
def test_each_notebook_gets_a_new_folder_for_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_cores: None
) -> None:
    seen = []

    def pretend(path: Path, timeout: float) -> Cost:
        seen.append(os.environ["COURSE_RUNS_DIR"])
        return COSTS["00_first"]

    monkeypatch.setenv("COURSE_RUNS_DIR", "")
    monkeypatch.setattr(notebook_costs, "measure", pretend)
    notebook_costs.measure_all([tmp_path / "a.ipynb", tmp_path / "b.ipynb"], 60)
    assert len(seen) == len(set(seen)) == 2
    assert not any(Path(folder).exists() for folder in seen)


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "instructions", "limit"),
    [
        ("m.py", "AVX2", 90),
        ("m.py --precision fp32", "AVX2", 90),
        ("m.py", "AVX512", 90),
        ("m.py --precision fp32", "AVX512", 60),
    ],
)
def test_fp32_by_request_on_a_faster_chip_must_leave_some_time(
    command: str, instructions: str, limit: float
) -> None:
    part = {"command": command, "hardware": {"processor": "any", "instructions": instructions}}
    assert notebook_costs.max_seconds_of(part) == limit


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        ({"seconds": 90.0, "peak_mebibytes": 1229}, []),
        (
            {"seconds": 90.1, "peak_mebibytes": 1229},
            ["00_first takes 90.1 s; at most 90 s are allowed"],
        ),
        (
            {"seconds": 100.0, "peak_mebibytes": 1230},
            [
                "00_first takes 100 s; at most 90 s are allowed",
                "00_first takes 1230 MiB; at most 1229 MiB are allowed",
            ],
        ),
    ],
)
def test_limits(cost: Cost, words: list[str]) -> None:
    assert notebook_costs.complaints("00_first", cost) == words


# --- the record -----------------------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Cost]:
    """Costs that stand in for a measurement, on a machine without a bf16 unit."""
    costs = {
        **COSTS,
        "solutions/00_first": {"seconds": 3.0, "cpu_seconds": 3.0, "peak_mebibytes": 90},
    }
    monkeypatch.setattr(notebook_costs, "measure_all", lambda paths, timeout, repeat: costs)
    monkeypatch.setattr(notebook_costs, "natural_precision", lambda: "fp32")
    monkeypatch.delenv("COURSE_PRECISION", raising=False)
    return costs


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    path.write_text(README.format(words="old"), encoding="utf-8")
    return path


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return tmp_path / "notebooks.json"


def part_of(stored: Path, precision: str = "fp32") -> dict:
    return json.loads(stored.read_text(encoding="utf-8"))[precision]


def test_the_record_and_the_table_are_written_and_held(
    measured: dict[str, Cost],
    readme: Path,
    stored: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert notebook_costs.run(options(), readme, stored) == 0
    part = part_of(stored)
    assert part["notebooks"] == measured and part["total_seconds"] == 14.6
    assert part["command"] == "python -m experiments.notebook_costs"
    assert part["hardware"]["processor"] and part["versions"]["python"] and len(part["date"]) == 10
    written = readme.read_text(encoding="utf-8")
    assert "| not measured | 12 s, 630 MiB |" in written
    assert f"{part['date']}, `{part['command']}`" in written

    assert notebooks_table.main(["--check"], readme, stored) == 0
    changed = written.replace("12 s", "13 s")
    readme.write_text(changed, encoding="utf-8")
    capsys.readouterr()
    assert notebooks_table.main(["--check"], readme, stored) == 1
    assert "run: python scripts/notebooks_table.py" in capsys.readouterr().out
    assert readme.read_text(encoding="utf-8") == changed
    assert notebooks_table.main([], readme, stored) == 0
    assert readme.read_text(encoding="utf-8") == written


def test_a_notebook_that_changed_is_measured_alone(
    measured: dict[str, Cost], readme: Path, stored: Path
) -> None:
    assert notebook_costs.run(options(), readme, stored) == 0
    others = dict(measured)
    measured.clear()
    measured["00_first"] = {"seconds": 5.0, "cpu_seconds": 5.0, "peak_mebibytes": 100}
    assert notebook_costs.run(options("--store", "00_first.ipynb"), readme, stored) == 0
    part = part_of(stored)
    assert part["notebooks"] == {**others, **measured} and part["total_seconds"] == 8.0
    assert "| not measured | 5 s, 100 MiB |" in readme.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="measure all of them"):
        notebook_costs.run(options("--store", "--precision", "bf16", "a.ipynb"), readme, stored)


def test_the_part_of_the_other_kind_of_machine_stays(
    measured: dict[str, Cost], readme: Path, stored: Path
) -> None:
    theirs = {**RECORD["fp32"], "command": "python -m experiments.notebook_costs"}
    stored.write_text(json.dumps({"bf16": theirs}), encoding="utf-8")
    assert notebook_costs.run(options("--precision", "fp32"), readme, stored) == 0
    assert part_of(stored, "bf16") == theirs
    assert part_of(stored)["command"].endswith(" --precision fp32")
    # the notebooks' kernels inherit it
    assert os.environ.pop("COURSE_PRECISION") == "fp32"
    assert "| 12 s, 630 MiB | 12 s, 630 MiB |" in readme.read_text(encoding="utf-8")


def test_too_much_is_stored_and_told(
    measured: dict[str, Cost],
    readme: Path,
    stored: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured["00_first"] = {"seconds": 91.0, "cpu_seconds": 1.0, "peak_mebibytes": 10}
    assert notebook_costs.run(options(), readme, stored) == 1
    assert "00_first takes 91 s" in capsys.readouterr().err
    assert part_of(stored)["notebooks"] == measured


# --- the table ------------------------------------------------------------------------------------


def test_only_the_measured_cells_change() -> None:
    assert notebooks_table.with_costs(README.format(words="old words"), RECORD) == WANTED
    assert notebooks_table.with_costs(WANTED, RECORD) == WANTED


def test_a_readme_without_the_table_is_told_so() -> None:
    with pytest.raises(ValueError, match=r"the markers .* are missing"):
        notebooks_table.with_costs("# A course\n", RECORD)
    without_link = WANTED.replace("(notebooks/00_first.ipynb)", "")
    with pytest.raises(ValueError, match="each row must link to its notebook"):
        notebooks_table.with_costs(without_link, RECORD)


# --- the course's own notebooks -------------------------------------------------------------------


def test_every_notebook_was_measured_and_keeps_its_limits() -> None:
    record = json.loads(notebook_costs.RECORD.read_text(encoding="utf-8"))
    assert set(record) == set(COLUMNS.values())
    names = {notebook_costs.name_of(path) for path in notebook_costs.notebook_paths()}
    for part in record.values():
        costs = part["notebooks"]
        assert set(costs) == names
        assert notebook_costs.all_complaints(part) == []
        for cost in costs.values():
            assert 0 < cost["cpu_seconds"] <= 2.2 * cost["seconds"]  # two cores
            assert cost["peak_mebibytes"] > 32
        total = sum(cost["seconds"] for cost in costs.values())
        assert part["total_seconds"] == pytest.approx(total, abs=1)


def test_the_readme_says_what_the_record_says() -> None:
    record = json.loads(notebook_costs.RECORD.read_text(encoding="utf-8"))
    readme = (COURSE_ROOT / "README.md").read_text(encoding="utf-8")
    assert notebooks_table.with_costs(readme, record) == readme
