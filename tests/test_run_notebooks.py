"""Alt texts on their way into stored pictures, with and without running the notebook."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import run_notebooks

ROOT = Path(__file__).resolve().parent.parent
DRAW = """
import matplotlib.pyplot as plt

def draw(label=""):
    figure, axes = plt.subplots(figsize=(1, 1))
    axes.plot([1, 2])
    figure.set_label(label)
    plt.show()
"""
OWN, LABEL = "A line that rises from 1 to 2.", "The figure's own text: a line."


def notebook_at(path: Path, cells: list[nbformat.NotebookNode]) -> Path:
    run_notebooks.write_notebook(nbformat.v4.new_notebook(cells=cells), path)
    return path


def drawing(source: str, alt: str | list[str] | None = None) -> nbformat.NotebookNode:
    metadata = {} if alt is None else {"alt": alt, "collapsed": True}
    return nbformat.v4.new_code_cell(source, metadata=metadata)


def stored_texts(path: Path) -> list[list[str | None]]:
    """The alt texts of the pictures of each code cell."""
    cells = run_notebooks.read_notebook(path).cells
    return [
        [*map(run_notebooks.stored_alt_text, run_notebooks.pictures_of(cell))] for cell in cells
    ]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook with pictures that was run."""
    cells = [
        nbformat.v4.new_code_cell(DRAW),
        drawing("draw()", OWN),
        drawing(f'draw("{LABEL}")'),
        drawing(f'draw("{LABEL}")', OWN),
        drawing("draw()\ndraw()", [OWN, LABEL]),
        drawing("draw()"),
    ]
    path = notebook_at(tmp_path_factory.mktemp("drawn") / "00_any.ipynb", cells)
    run_notebooks.run_notebook(path, timeout=60)
    return path


def test_the_cells_alt_text_is_stored_or_else_the_figures_label(drawn: Path) -> None:
    assert stored_texts(drawn) == [[], [OWN], [LABEL], [OWN], [OWN, LABEL], [None]]


def test_alt_texts_stay_in_the_cells_metadata(drawn: Path) -> None:
    cells = json.loads(drawn.read_text(encoding="utf-8"))["cells"]
    assert [cell["metadata"].get("alt") for cell in cells] == [
        None,
        OWN,
        None,
        OWN,
        [OWN, LABEL],
        None,
    ]
    assert not any("collapsed" in cell["metadata"] for cell in cells)


def test_what_lacks_an_alt_text_of_its_own_is_reported(drawn: Path) -> None:
    cells = run_notebooks.read_notebook(drawn).cells
    assert run_notebooks.report_alt_texts(drawn) == [
        f'  cell {cells[2].id}: alt text from its figure: "{LABEL}"',
        f"  cell {cells[5].id}: no alt text",
    ]


def test_keep_writes_alt_texts_and_runs_nothing(tmp_path: Path) -> None:
    def stored(text: str, alt: str | None) -> nbformat.NotebookNode:
        picture = nbformat.v4.new_output("display_data", {"image/png": "AAAA"})
        if text:
            picture.metadata = {"image/png": {"alt": text}}
        cell = drawing("1 / 0", alt)
        cell.outputs = [picture]
        return cell

    cells = [stored("", OWN), stored("An older text.", OWN), stored(LABEL, None)]
    path = notebook_at(tmp_path / "00_any.ipynb", cells)
    command = [sys.executable, str(ROOT / "scripts" / "run_notebooks.py"), "--keep", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert stored_texts(path) == [[OWN], [OWN], [LABEL]]
    assert done.stdout.splitlines() == [
        "00_any                          kept",
        f'  cell {cells[2].id}: alt text from its figure: "{LABEL}"',
    ]


@pytest.mark.parametrize(
    ("alt", "words"),
    [
        ([OWN, LABEL], r"has 2 alt text\(s\) .* and shows 1 picture\(s\)"),
        ([OWN, LABEL, OWN], r"has 3 alt text\(s\) .* and shows 1 picture\(s\)"),
    ],
)
def test_as_many_alt_texts_as_pictures_are_needed(
    alt: list[str], words: str, tmp_path: Path
) -> None:
    cell = drawing("draw()", alt)
    cell.outputs = [nbformat.v4.new_output("display_data", {"image/png": "AAAA"})]
    path = notebook_at(tmp_path / "00_any.ipynb", [cell])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=words):
        run_notebooks.normalize(run_notebooks.read_notebook(path))
    command = [sys.executable, str(ROOT / "scripts" / "run_notebooks.py"), "--keep", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "is left as it was" in done.stderr and cell.id in done.stderr
    assert path.read_bytes() == before
