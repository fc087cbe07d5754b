"""What a notebook costs is measured right, on a toy,
and the README's table says what the record says.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import measure_notebooks
import nbformat
import pytest
from measure_notebooks import BEGIN, END

ROOT = Path(__file__).resolve().parent.parent
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
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources]),
        path,
    )
    return path


def options(**given: object) -> argparse.Namespace:
    usual = {
        "notebooks": [],
        "table": False,
        "check": False,
        "timeout": 60.0,
        "precision": None,
        "repeat": 1,
        "store": False,
    }
    return argparse.Namespace(**{**usual, **given})


# --- measuring ------------------------------------------------------------------------------------


@needs_proc
def test_time_and_memory_count_the_kernel_and_its_children(tmp_path: Path) -> None:
    idle = measure_notebooks.measure(write_notebook(tmp_path / "idle.ipynb", "1"))
    busy = measure_notebooks.measure(write_notebook(tmp_path / "busy.ipynb", BUSY))
    assert (
        busy["seconds"] >= 1 and busy["cpu_seconds"] > 0.9
    )  # two halves of a second, one of them a child's
    assert 150 < busy["peak_mebibytes"] - idle["peak_mebibytes"] < 400  # 200 and an interpreter
    assert 20 < idle["peak_mebibytes"] < 300  # a kernel, and not the whole machine


@needs_proc
def test_a_peak_that_is_over_before_anyone_looks_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure_notebooks, "EVERY", 3600)  # only the look after each cell is left
    path = write_notebook(
        tmp_path / "short.ipynb", "held = bytearray(b'x') * (300 << 20); del held", "1"
    )
    assert measure_notebooks.measure(path)["peak_mebibytes"] > 320


@needs_proc
def test_memory_of_a_process_that_is_gone_is_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert measure_notebooks.memory_of(child.pid) == (0, 0)


@needs_proc
def test_named_notebooks_are_measured_and_nothing_is_stored(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "toy.ipynb", "print('hello')")
    before = path.read_bytes()
    record = measure_notebooks.RECORD.read_bytes() if measure_notebooks.RECORD.exists() else None
    command = [sys.executable, str(ROOT / "scripts" / "measure_notebooks.py"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.startswith("toy ")
        and "s of CPU" in done.stdout
        and done.stdout.endswith("MiB\n")
    )
    assert path.read_bytes() == before
    assert (
        measure_notebooks.RECORD.read_bytes() if measure_notebooks.RECORD.exists() else None
    ) == record


@needs_proc
def test_a_notebook_that_fails_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_notebook(tmp_path / "broken.ipynb", "1 / 0")
    monkeypatch.setattr(
        measure_notebooks,
        "measure_all",
        lambda paths, timeout, repeat: measure_notebooks.measure(paths[0]),
    )
    assert measure_notebooks.main([str(path)]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


@needs_proc
def test_of_several_runs_the_fastest_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, fast = (
        {"seconds": seconds, "cpu_seconds": 1.0, "peak_mebibytes": 50} for seconds in (9.0, 7.0)
    )
    runs = iter([slow, fast, slow])
    monkeypatch.setattr(measure_notebooks, "measure", lambda path, timeout: next(runs))
    cores = measure_notebooks.os.sched_getaffinity(0)
    costs = measure_notebooks.measure_all([tmp_path / "a.ipynb"], 60, repeat=3)
    measure_notebooks.os.sched_setaffinity(0, cores)
    assert costs == {"a": fast} and list(runs) == []


# --- the record -----------------------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, float]]:
    """Costs that stand in for a measurement, on a machine without a bf16 unit."""
    costs = {
        **COSTS,
        "solutions/00_first": {"seconds": 3.0, "cpu_seconds": 3.0, "peak_mebibytes": 90},
    }
    monkeypatch.setattr(measure_notebooks, "measure_all", lambda paths, timeout, repeat: costs)
    monkeypatch.setattr(measure_notebooks, "natural_precision", lambda: "fp32")
    monkeypatch.delenv("COURSE_PRECISION", raising=False)
    return costs


def test_the_record_and_the_table_are_written_and_held(
    tmp_path: Path, measured: dict[str, dict[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    readme, stored = tmp_path / "README.md", tmp_path / "notebooks.json"
    readme.write_text(README.format(words="old"), encoding="utf-8")
    assert measure_notebooks.run(options(), readme, stored) == 0
    part = json.loads(stored.read_text(encoding="utf-8"))["fp32"]
    assert part["notebooks"] == measured and part["total_seconds"] == 14.6
    assert part["command"] == "python scripts/measure_notebooks.py"
    assert part["hardware"]["processor"] and part["versions"]["python"] and len(part["date"]) == 10
    written = readme.read_text(encoding="utf-8")
    assert (
        "| not measured | 12 s, 630 MiB |" in written
        and f"{part['date']}, `{part['command']}`" in written
    )

    assert measure_notebooks.run(options(check=True), readme, stored) == 0
    changed = written.replace("12 s", "13 s")
    readme.write_text(changed, encoding="utf-8")
    assert measure_notebooks.run(options(check=True), readme, stored) == 1
    assert "--table" in capsys.readouterr().out and readme.read_text(encoding="utf-8") == changed
    assert measure_notebooks.run(options(table=True), readme, stored) == 0
    assert readme.read_text(encoding="utf-8") == written


def test_a_notebook_that_changed_is_measured_alone(
    tmp_path: Path, measured: dict[str, dict[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    readme, stored = tmp_path / "README.md", tmp_path / "notebooks.json"
    readme.write_text(README.format(words=""), encoding="utf-8")
    assert measure_notebooks.run(options(), readme, stored) == 0
    others = dict(measured)
    measured.clear()
    measured["00_first"] = {"seconds": 5.0, "cpu_seconds": 5.0, "peak_mebibytes": 100}
    assert (
        measure_notebooks.run(
            options(notebooks=[Path("00_first.ipynb")], store=True), readme, stored
        )
        == 0
    )
    part = json.loads(stored.read_text(encoding="utf-8"))["fp32"]
    assert part["notebooks"] == {**others, **measured} and part["total_seconds"] == 8.0
    assert "| not measured | 5 s, 100 MiB |" in readme.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="measure all of them"):
        measure_notebooks.run(
            options(notebooks=[Path("a.ipynb")], store=True, precision="bf16"), readme, stored
        )


def test_the_part_of_the_other_kind_of_machine_stays(
    tmp_path: Path, measured: dict[str, dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    readme, stored = tmp_path / "README.md", tmp_path / "notebooks.json"
    readme.write_text(README.format(words=""), encoding="utf-8")
    theirs = {**RECORD["fp32"], "command": "python scripts/measure_notebooks.py"}
    stored.write_text(json.dumps({"bf16": theirs}), encoding="utf-8")
    assert measure_notebooks.run(options(precision="fp32"), readme, stored) == 0
    record = json.loads(stored.read_text(encoding="utf-8"))
    assert record["bf16"] == theirs and record["fp32"]["command"].endswith(" --precision fp32")
    assert (
        measure_notebooks.os.environ.pop("COURSE_PRECISION") == "fp32"
    )  # which the notebooks' kernels inherit
    assert "| 12 s, 630 MiB | 12 s, 630 MiB |" in readme.read_text(encoding="utf-8")


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
    assert measure_notebooks.max_seconds_of(part) == limit


@needs_proc
def test_each_notebook_gets_a_new_folder_for_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setenv("COURSE_RUNS_DIR", "")
    monkeypatch.setattr(
        measure_notebooks,
        "measure",
        lambda path, timeout: (
            seen.append(measure_notebooks.os.environ["COURSE_RUNS_DIR"]),
            COSTS["00_first"],
        )[1],
    )
    cores = measure_notebooks.os.sched_getaffinity(0)
    measure_notebooks.measure_all([tmp_path / "a.ipynb", tmp_path / "b.ipynb"], 60)
    measure_notebooks.os.sched_setaffinity(0, cores)
    assert len(seen) == len(set(seen)) == 2 and not any(Path(folder).exists() for folder in seen)


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
def test_limits(cost: dict[str, float], words: list[str]) -> None:
    assert measure_notebooks.complaints("00_first", cost) == words


def test_too_much_is_stored_and_told(
    tmp_path: Path, measured: dict[str, dict[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    readme, stored = tmp_path / "README.md", tmp_path / "notebooks.json"
    readme.write_text(README.format(words=""), encoding="utf-8")
    measured["00_first"] = {"seconds": 91.0, "cpu_seconds": 1.0, "peak_mebibytes": 10}
    assert measure_notebooks.run(options(), readme, stored) == 1
    assert "00_first takes 91 s" in capsys.readouterr().err
    assert json.loads(stored.read_text(encoding="utf-8"))["fp32"]["notebooks"] == measured


# --- the table ------------------------------------------------------------------------------------


def test_only_the_measured_cells_change() -> None:
    assert measure_notebooks.with_costs(README.format(words="old words"), RECORD) == WANTED
    assert measure_notebooks.with_costs(WANTED, RECORD) == WANTED


def test_a_readme_without_the_table_is_told_so() -> None:
    with pytest.raises(ValueError, match=r"the markers .* are missing"):
        measure_notebooks.with_costs("# A course\n", RECORD)
    with pytest.raises(ValueError, match="each row must link to its notebook"):
        measure_notebooks.with_costs(WANTED.replace("(notebooks/00_first.ipynb)", ""), RECORD)


# --- the course's own notebooks -------------------------------------------------------------------


def test_every_notebook_was_measured_and_keeps_its_limits() -> None:
    record = json.loads(measure_notebooks.RECORD.read_text(encoding="utf-8"))
    assert set(record) == set(measure_notebooks.COLUMNS.values())
    for part in record.values():
        costs, limit = part["notebooks"], measure_notebooks.max_seconds_of(part)
        assert set(costs) == {
            measure_notebooks.name_of(path) for path in measure_notebooks.notebook_paths()
        }
        assert [
            words
            for name, cost in costs.items()
            for words in measure_notebooks.complaints(name, cost, limit)
        ] == []
        for cost in costs.values():
            assert 0 < cost["cpu_seconds"] <= 2.2 * cost["seconds"]  # two cores
            assert cost["peak_mebibytes"] > 32
        assert part["total_seconds"] == pytest.approx(
            sum(cost["seconds"] for cost in costs.values()), abs=1
        )
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert measure_notebooks.with_costs(readme, record) == readme
