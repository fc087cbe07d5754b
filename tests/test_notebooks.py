"""What every notebook keeps to, as far as a machine can tell without running it
(nbval runs them all).
"""

import ast
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import badges
import nbformat
import pytest
import run_notebooks

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks"
NOTEBOOKS = run_notebooks.notebook_paths()
TEACHING = [path for path in NOTEBOOKS if path.parent == FOLDER]
MAX_CELL_LINES = 15
MAX_TOTAL_BYTES = 12 * 2**20
# Cells whose output nbval may ignore, "notebook:cell id", each with the reason.
UNCOMPARED: dict[str, str] = {}

each_notebook = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: path.relative_to(FOLDER).as_posix()
)


@cache
def cells_of(path: Path) -> list[nbformat.NotebookNode]:
    return nbformat.read(path, as_version=4).cells


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in cells_of(path) if cell.cell_type == "code"]


def outputs_of(path: Path) -> Iterator[tuple[str, nbformat.NotebookNode]]:
    """Every stored output with the id of its cell."""
    return ((cell.id, output) for cell in code_cells(path) for output in cell.outputs)


def text_of(output: nbformat.NotebookNode) -> str:
    """All that a reader sees of an output, pictures aside."""
    shown = [value for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join([output.get("text", ""), *shown, *output.get("traceback", [])])


def has_image(output: nbformat.NotebookNode) -> bool:
    return any(kind.startswith("image/") for kind in output.get("data", {}))


def says_something(output: nbformat.NotebookNode) -> bool:
    """Text that stands for itself: not a picture's caption, not a progress bar."""
    text = text_of(output).strip()
    return bool(text) and not has_image(output) and not re.fullmatch(r"[^\n]*%\|[^\n]*it/s\]", text)


def code_of(cell: nbformat.NotebookNode) -> ast.Module:
    """A cell as Python, without the lines that only IPython understands."""
    return ast.parse(re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", cell.source))


def test_the_first_notebooks_exist() -> None:
    names = {path.stem for path in TEACHING}
    assert {"00_start_here", "09_imdb"} <= names


def test_names_are_numbered_once() -> None:
    assert all(re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem) for path in NOTEBOOKS)
    numbers = Counter(path.stem[:2] for path in TEACHING)
    assert [number for number, times in numbers.items() if times > 1] == []
    names = {path.stem for path in TEACHING}
    assert {path.stem for path in NOTEBOOKS} == names, "a solution is named as its notebook"


def test_notebooks_are_not_heavy() -> None:
    assert sum(path.stat().st_size for path in NOTEBOOKS) <= MAX_TOTAL_BYTES


@each_notebook
def test_file_is_valid_and_normalized(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    wanted = nbformat.writes(run_notebooks.normalize(run_notebooks.read_notebook(path))) + "\n"
    assert path.read_text(encoding="utf-8") == wanted, "run: make notebooks"


@each_notebook
def test_first_cell_has_title_and_badges(path: Path) -> None:
    first = cells_of(path)[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert badges.badges(badges.repository(), path.relative_to(ROOT).as_posix()) in first.source


@each_notebook
def test_every_cell_ran_in_order(path: Path) -> None:
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@each_notebook
def test_no_cell_is_empty(path: Path) -> None:
    assert [cell.id for cell in cells_of(path) if not cell.source.strip()] == []


@each_notebook
def test_nothing_failed_but_on_purpose(path: Path) -> None:
    for cell in code_cells(path):
        failed = any(output.output_type == "error" for output in cell.outputs)
        meant = "raises-exception" in cell.metadata.get("tags", [])
        assert failed == meant, f"cell {cell.id}"


@each_notebook
def test_outputs_are_clean(path: Path) -> None:
    here = "|".join(map(re.escape, {str(ROOT), str(Path.home()), tempfile.gettempdir()}))
    local = re.compile(
        rf"(?<![\w.])/(?:home|Users|root|tmp|content|mnt|usr|opt|var|private)/|\b[A-Z]:\\|{here}"
    )
    for name, output in outputs_of(path):
        assert output.get("name") != "stderr", f"cell {name} writes to stderr"
        assert not re.search(r"\b\w*Warning\b", text_of(output)), f"cell {name} warns"
        found = local.search(text_of(output))
        assert not found, f"cell {name} shows a path of one machine: {found[0] if found else ''}"


@each_notebook
def test_code_cells_are_short(path: Path) -> None:
    long = {
        cell.id: len(cell.source.splitlines()) for cell in code_cells(path)[1:]
    }  # the setup cell may be longer
    assert {name: lines for name, lines in long.items() if lines > MAX_CELL_LINES} == {}


@each_notebook
def test_nothing_is_hidden_from_the_comparison(path: Path) -> None:
    for cell in code_cells(path):
        tags = {
            tag
            for tag in cell.metadata.get("tags", [])
            if tag.startswith(("nbval", "hide", "remove", "skip"))
        }
        marks = re.findall(r"(?im)^\s*#\s*(?:nbval|pytest)[\w-]+", cell.source)
        if tags or marks:
            assert f"{path.stem}:{cell.id}" in UNCOMPARED, (
                f"{tags or marks} needs a reason in UNCOMPARED"
            )


def test_every_excuse_is_still_needed() -> None:
    cells = {
        f"{path.stem}:{cell.id}"
        for path in NOTEBOOKS
        for cell in code_cells(path)
        if cell.metadata.get("tags")
    }
    assert set(UNCOMPARED) <= cells


@each_notebook
def test_nothing_unsafe_is_shown(path: Path) -> None:
    for cell in code_cells(path):
        unsafe = r"trust_remote_code|pickle|weights_only\s*=\s*False|torch\.load\((?!.*weights_only=True)|import \*"
        found = re.search(unsafe, cell.source)
        assert not found, f"cell {cell.id}: {found[0] if found else ''}"


@each_notebook
def test_a_picture_comes_after_its_number(path: Path) -> None:
    before: list[nbformat.NotebookNode] = []  # outputs of the code cell before
    for cell in code_cells(path):
        for place, output in enumerate(cell.outputs):
            if has_image(output):
                assert any(map(says_something, [*before, *cell.outputs[:place]])), f"cell {cell.id}"
        before = cell.outputs


def test_nothing_is_defined_in_two_notebooks() -> None:
    places: dict[str, set[str]] = {}
    for path in TEACHING:
        for cell in code_cells(path):
            for node in ast.walk(code_of(cell)):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    methods = node.name.startswith("__") or node.name == "forward"
                    places.setdefault(node.name, set()).update(() if methods else (path.stem,))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
