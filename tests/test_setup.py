"""From a fresh clone to a running course: the pins, the commands, the badges,
and Colab rehearsed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import badges
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
NOTEBOOKS = run_notebooks.notebook_paths()
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


# --- badges ---------------------------------------------------------------------------------------


def test_badges_and_colab_parts_are_those_of_pyproject() -> None:
    assert badges.stale_files(write=False) == [], "run: python scripts/badges.py"


def small_course(root: Path) -> Path:
    """A course of one notebook without badges; returns the notebook's path."""
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, root)
    cells = [
        nbformat.v4.new_markdown_cell("# 00 · Start\n\nA promise."),
        nbformat.v4.new_code_cell("answer = 42"),
    ]
    path = root / "notebooks" / "00_start_here.ipynb"
    path.parent.mkdir()
    run_notebooks.write_notebook(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_new_address_reaches_every_file(tmp_path: Path) -> None:
    path = small_course(tmp_path)
    badges.stale_files(tmp_path, write=True)
    assert badges.stale_files(tmp_path, write=False) == []
    settings = (
        (tmp_path / "pyproject.toml")
        .read_text()
        .replace(badges.repository(), "https://github.com/me/mine")
    )
    (tmp_path / "pyproject.toml").write_text(settings)
    assert badges.stale_files(tmp_path, write=True) == [path, tmp_path / "README.md"]
    assert badges.stale_files(tmp_path, write=False) == []
    title, setup = run_notebooks.read_notebook(path).cells
    assert (
        "https://colab.research.google.com/github/me/mine/blob/main/notebooks/00_start_here.ipynb"
        in title.source
    )
    assert "git clone -q --depth 1 https://github.com/me/mine" in setup.source
    assert setup.source.endswith("answer = 42")
    assert title.source.endswith("A promise.")


@pytest.mark.parametrize(
    "url", ["http://github.com/a/b", "https://github.com/a", 'https://github.com/a/b"; rm']
)
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[project.urls]\nRepository = '{url}'\n")
    with pytest.raises(ValueError, match=r"must be https://github\.com/OWNER/NAME"):
        badges.repository(tmp_path)


# --- Colab, rehearsed -----------------------------------------------------------------------------

PARTS = {path.relative_to(ROOT).as_posix(): path for path in NOTEBOOKS}
ON_COLAB_RUN = """
import os, sys, types
sys.modules["google.colab"] = types.ModuleType("google.colab")
part = open(sys.argv[1], encoding="utf-8").read()
for _ in range(2):  # a learner runs a cell twice
    exec(part, {})
    print(os.getcwd())
import course_utils
print(course_utils.__file__)
"""


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course as it stands, in a git repository of its own."""
    folder = tmp_path_factory.mktemp("remote") / "course"
    unwanted = shutil.ignore_patterns(
        ".git", ".venv", "runs", "build", "*.egg-info", "__pycache__", ".*_cache"
    )
    shutil.copytree(ROOT, folder, ignore=unwanted)
    (folder / "notebooks" / "solutions").mkdir(parents=True, exist_ok=True)
    (folder / "notebooks" / "solutions" / "xx_any.ipynb").touch()
    identity = ["-c", "user.name=rehearsal", "-c", "user.email=rehearsal@example.org"]
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["commit", "--quiet", "--message", "all"],
    ):
        subprocess.run(["git", *identity, *command], cwd=folder, check=True)
    return folder


def rehearse(part: str, folder: Path, remote: Path) -> subprocess.CompletedProcess[str]:
    """Run a Colab part in `folder` as /content, with `remote` behind the address;
    pip may not be called.

    Python runs without site-packages, so that nothing but the clone can be what is imported.
    """
    tools, script = folder.parent / "tools", folder.parent / "part.py"
    tools.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    for name in ("pip", "pip3", "uv", "conda"):
        (tools / name).write_text(f"#!/bin/sh\ntouch '{tools}/called'\n")
        (tools / name).chmod(0o755)
    script.write_text(part, encoding="utf-8")
    redirect = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{remote}.insteadOf",
        "GIT_CONFIG_VALUE_0": badges.repository(),
        "GIT_TERMINAL_PROMPT": "0",
        "HOME": str(tools),
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ON_COLAB_RUN, str(script)],
        cwd=folder,
        text=True,
        capture_output=True,
        env=redirect,
    )
    assert not (tools / "called").exists(), "something was installed"
    return done


@pytest.mark.skipif(os.name == "nt", reason="Colab is Linux")
@pytest.mark.parametrize(
    "name", [*PARTS, "notebooks/xx_any.ipynb", "notebooks/solutions/xx_any.ipynb"]
)
def test_colab_fetches_the_course_and_imports_it(name: str, tmp_path: Path, remote: Path) -> None:
    part = badges.colab_part(badges.repository(), Path(name).parent.as_posix())
    if name in PARTS:
        cells = run_notebooks.read_notebook(PARTS[name]).cells
        source = next(cell.source for cell in cells if cell.cell_type == "code")
        part = source[source.index(badges.COLAB_BEGIN) : source.index(badges.COLAB_END)]
    content = tmp_path / "content"
    clone = content / "words-to-bert"
    inside = str(clone / Path(name).parent)
    for _ in range(2):  # the second time as after a restart: the clone is there
        done = rehearse(part, content, remote)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            inside,
            inside,
            str(clone / "course_utils" / "__init__.py"),
        ]
    assert [child.name for child in content.iterdir()] == ["words-to-bert"]


@pytest.mark.skipif(os.name == "nt", reason="Colab is Linux")
def test_colab_without_a_network_gets_a_clear_error(tmp_path: Path) -> None:
    part = badges.colab_part(badges.repository(), "notebooks")
    done = rehearse(part, tmp_path / "content", tmp_path / "nowhere")
    assert done.returncode == 1
    assert "RuntimeError: git could not fetch the course" in done.stderr


def test_colab_part_does_nothing_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    exec(badges.colab_part(badges.repository(), "notebooks"), {})
    assert (Path.cwd(), sys.path) == (tmp_path, path)
    assert list(tmp_path.iterdir()) == []


def test_colab_part_is_short() -> None:
    part = badges.colab_part(badges.repository(), "notebooks")
    assert len(part.splitlines()) <= 8 + 2  # and two markers


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
