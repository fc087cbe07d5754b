"""From a fresh clone to a running course: the pins, the commands, and how notebooks are stored."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import nbformat
import pytest
import run_notebooks
import setup_env
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
RANGES = {
    Requirement(line).name: Requirement(line).specifier for line in PROJECT["dependencies"] + EXTRAS
}
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PINS = {name.lower(): version for name, version in re.findall(r"(?m)^([\w.-]+)==([\w.]+)", LOCK)}
ON_CONDA = {
    "torch": "pytorch-cpu",
    "matplotlib": "matplotlib-base",
}  # conda-forge's names, where they differ
ON_COLAB = {
    "torch": "2.11.0",
    "transformers": "5.15.0",
    "datasets": "4.0.0",
    "accelerate": "1.14.0",
    "ipywidgets": "7.7.1",
}  # what Colab had in November 2026, with Python 3.13


# --- pins -----------------------------------------------------------------------------------------


def test_conda_list_is_that_of_pyproject() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *packages, last = environment["dependencies"]
    assert last == {"pip": ["-e ."]}
    python, pip, *packages = packages
    assert pip == "pip"
    assert (
        Version(python.removeprefix("python="))
        in Requirement(f"python{PROJECT['requires-python']}").specifier
    )
    wanted = [Requirement(line) for line in PROJECT["dependencies"] + EXTRAS]
    in_order = {ON_CONDA.get(need.name, need.name): need.specifier for need in wanted}
    assert {Requirement(line).name: Requirement(line).specifier for line in packages} == in_order


def test_lock_holds_no_address() -> None:
    assert not re.search(r"://|--\w*index|--find-links| @ ", LOCK)


def test_lock_has_hashes_for_every_pin() -> None:
    entries = re.split(r"(?m)^(?=[\w.-]+==)", LOCK)[1:]
    assert len(entries) == len(PINS) > 50
    assert [
        entry for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry)
    ] == []


def test_lock_leaves_torch_to_the_machine() -> None:
    assert not [
        name for name in PINS if name == "torch" or name.startswith(("nvidia", "cuda", "triton"))
    ]
    assert Version(setup_env.PINNED_TORCH.removeprefix("torch==")) in RANGES["torch"]


def test_lock_pins_every_dependency_within_its_range() -> None:
    for name, allowed in RANGES.items():
        if name != "torch":
            assert Version(PINS[name.lower().replace("_", "-")]) in allowed, (
                f"{name}: run make lock"
            )


@pytest.mark.parametrize("name", ON_COLAB)
def test_ranges_admit_what_colab_has(name: str) -> None:
    assert Version(ON_COLAB[name]) in RANGES[name]


def test_lock_is_whole() -> None:
    """Installed without resolving anything, the lock must name whatever its packages
    need on this machine.
    """
    for name in PINS:
        try:
            needs = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:
            continue  # a pin for another system
        for need in needs:
            if need.name != "torch" and (
                need.marker is None or need.marker.evaluate({"extra": ""})
            ):
                assert re.sub(r"[-_.]+", "-", need.name).lower() in PINS, (
                    f"{name} needs {need.name}"
                )


# --- commands -------------------------------------------------------------------------------------


def test_ci_calls_the_test_command_of_the_readme() -> None:
    fences = re.findall(
        r"(?ms)^```(?:bash|sh|console)\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8")
    )
    shown = [line.split("#")[0].strip() for fence in fences for line in fence.splitlines()]
    assert {"make lab", "make test"} <= set(shown)
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.match(r"(set|cd) ", line)] == ["make test"]


def make_says(*arguments: str) -> str:
    """What make would run, without running it."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make on this machine")
    given = {
        "PYTHON",
        "ARGS",
        "TORCH",
        "MAKEFLAGS",
        "MAKEOVERRIDES",
        "MFLAGS",
        "MAKELEVEL",
    }  # of the make that runs us
    environment = {name: value for name, value in os.environ.items() if name not in given}
    return subprocess.run(
        [make, "--no-print-directory", *arguments],
        cwd=ROOT,
        check=True,
        text=True,
        capture_output=True,
        env=environment,
    ).stdout


@pytest.mark.parametrize("target", ["lab", "test", "finetune", "notebooks", "lint"])
def test_each_target_sets_up_first(target: str) -> None:
    first, second, *_ = make_says("--dry-run", target).splitlines()
    assert first == "python3 scripts/setup_env.py"
    assert second.startswith(".venv/")


def test_help_names_every_target() -> None:
    targets = re.findall(
        r"(?m)^([a-z]+):(?!.*export)", (ROOT / "Makefile").read_text(encoding="utf-8")
    )
    assert set(targets) == set(re.findall(r"(?m)^  make ([a-z]+) ", make_says()))


def test_lint_reads_layout_and_rules() -> None:
    commands = [
        command.partition(" ")[2] for command in make_says("--dry-run", "lint").splitlines()
    ]
    assert {"-m ruff format --check .", "-m ruff check ."} <= set(commands)


def test_the_limits_of_the_house_are_ruffs() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    ruff = settings["tool"]["ruff"]
    assert ruff["line-length"] == 100
    assert {"E", "C901", "PLR0913"} <= set(ruff["lint"]["select"])
    assert ruff["lint"]["mccabe"]["max-complexity"] == 10
    assert ruff["lint"]["pylint"]["max-args"] == 8
    assert ruff["lint"]["per-file-ignores"] == {"tests/checks/wrong_*.py": ["PLR0913"]}


# --- running notebooks ----------------------------------------------------------------------------


def test_notebooks_are_stored_normalized(tmp_path: Path) -> None:
    cells = [
        nbformat.v4.new_code_cell("import sys\nfor word in 'a', 'b':\n    print(word, flush=True)"),
        nbformat.v4.new_code_cell("import os\nos.path.basename(os.getcwd()) == 'notebooks'"),
        nbformat.v4.new_code_cell("from tqdm.auto import tqdm\nlist(tqdm(range(3), desc='steps'))"),
        nbformat.v4.new_code_cell(
            "1 / 0", metadata={"tags": ["raises-exception"], "trusted": True}
        ),
    ]
    path = tmp_path / "notebooks" / "00_any.ipynb"
    path.parent.mkdir()
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"widgets": {"state": {}}})
    cells[0].execution_count = 7
    path.write_text(json.dumps(notebook))
    run_notebooks.run_notebook(path, timeout=60)
    first = path.read_bytes()
    stored = json.loads(first)
    outputs = [cell["outputs"] for cell in stored["cells"]]
    assert outputs[0] == [{"name": "stdout", "output_type": "stream", "text": ["a\n", "b\n"]}]
    assert outputs[1][0]["data"]["text/plain"] == ["True"]
    assert list(outputs[2][0]["data"]) == ["text/plain"]
    assert outputs[3][0]["traceback"] == ["ZeroDivisionError: division by zero"]
    assert [cell["execution_count"] for cell in stored["cells"]] == [1, 2, 3, 4]
    assert [cell["metadata"] for cell in stored["cells"]] == [
        {},
        {},
        {},
        {"tags": ["raises-exception"]},
    ]
    assert set(stored["metadata"]) == {"kernelspec", "language_info"}
    assert first.endswith(b"}\n")
    run_notebooks.run_notebook(path, timeout=60)
    assert path.read_bytes() == first


def test_a_failing_notebook_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "00_any.ipynb"
    run_notebooks.write_notebook(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")]), path
    )
    before = path.read_bytes()
    with pytest.raises(run_notebooks.CellExecutionError):
        run_notebooks.run_notebook(path, timeout=60)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_cells_without_ids_get_the_same_ones_every_time(tmp_path: Path) -> None:
    cell = {"cell_type": "markdown", "metadata": {}, "source": "twice the same"}
    path = tmp_path / "00_any.ipynb"
    path.write_text(
        json.dumps({"cells": [cell, cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4})
    )
    ids = [[cell.id for cell in run_notebooks.read_notebook(path).cells] for _ in range(2)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2
