"""The tables of notebooks, in the README and in notebook 00, follow the notebooks' title cells."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
import run_notebooks
import table_of_contents

ROOT = Path(__file__).resolve().parent.parent
TITLE = """# {number} · {topic}

**The promise:** something.

| | |
| --- | --- |
| In short | {in_short} |
| Time | {reading} minutes of reading, {exercises} of exercises, a minute of computing |"""
README = """# A course

<!-- notebooks (costs written by a program) -->
| | notebook | what it shows | reading + exercises | with | without |
| --- | --- | --- | --- | --- | --- |
| 00 | [start](notebooks/00_start.ipynb) | the way | 5 + 6 min | 43 s, 1190 MiB | 52 s, 880 MiB |
{added}
with: a machine
<!-- end of notebooks -->

The end.
"""
ADDED = (
    "| 01 | [words](notebooks/01_words.ipynb) | words & counts | 70 + 80 min "
    "| not measured | not measured |\n"
)
MAP = """<!-- map (written by scripts/table_of_contents.py) -->
| | notebook | in short |
| --- | --- | --- |
| 00 | start (you are here) | the way |
| 01 | [words](01_words.ipynb) | words & counts |
<!-- end of map -->"""


def write_notebook(root: Path, file: str, *cells: str) -> Path:
    """A notebook whose Markdown cells are these."""
    path = root / "notebooks" / f"{file}.ipynb"
    path.parent.mkdir(exist_ok=True)
    sources = [nbformat.v4.new_markdown_cell(source) for source in cells]
    run_notebooks.write_notebook(nbformat.v4.new_notebook(cells=sources), path)
    return path


def title(file: str, in_short: str, reading: int, exercises: int) -> str:
    number, topic = file.split("_")
    return TITLE.format(
        number=number, topic=topic, in_short=in_short, reading=reading, exercises=exercises
    )


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course of one notebook, with its row in the README."""
    empty = f"{table_of_contents.MAP_BEGIN}\n\n{table_of_contents.MAP_END}"
    write_notebook(
        tmp_path, "00_start", title("00_start", "the way", 5, 6), f"Map:\n\n{empty}\n\nEnd"
    )
    (tmp_path / "README.md").write_text(README.format(added=""), encoding="utf-8")
    table_of_contents.stale_files(tmp_path, write=True)
    return tmp_path


def test_a_new_notebook_gets_its_rows_and_others_keep_their_costs(course: Path) -> None:
    assert table_of_contents.stale_files(course, write=False) == []
    assert (course / "README.md").read_text(encoding="utf-8") == README.format(added="")
    write_notebook(course, "01_words", title("01_words", "words & counts", 70, 80))
    both = ["README.md", "notebooks/00_start.ipynb"]
    assert table_of_contents.stale_files(course, write=False) == both
    assert table_of_contents.stale_files(course, write=True) == both
    assert table_of_contents.stale_files(course, write=False) == []
    assert (course / "README.md").read_text(encoding="utf-8") == README.format(added=ADDED)
    start = run_notebooks.read_notebook(course / "notebooks" / "00_start.ipynb")
    assert start.cells[1].source == f"Map:\n\n{MAP}\n\nEnd"


def test_a_notebook_that_is_gone_loses_its_row(course: Path) -> None:
    path = write_notebook(course, "01_words", title("01_words", "words & counts", 70, 80))
    table_of_contents.stale_files(course, write=True)
    path.unlink()
    table_of_contents.stale_files(course, write=True)
    assert (course / "README.md").read_text(encoding="utf-8") == README.format(added="")


@pytest.mark.parametrize(
    ("row", "words"),
    [("In short", r"01_words\.ipynb.*\| In short \|"), ("Time", r"01_words\.ipynb.*\| Time \|")],
)
def test_a_title_cell_without_a_row_is_named(course: Path, row: str, words: str) -> None:
    whole = title("01_words", "words", 70, 80)
    without = re.sub(rf"(?m)^\| {row} \|.*$", "| Other | row |", whole)
    write_notebook(course, "01_words", without)
    with pytest.raises(ValueError, match=words):
        table_of_contents.stale_files(course, write=True)


def test_a_readme_without_the_table_is_named(course: Path) -> None:
    (course / "README.md").write_text("# A course\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"README\.md lacks the table"):
        table_of_contents.stale_files(course, write=True)


def test_the_courses_own_tables_are_up_to_date() -> None:
    stale = table_of_contents.stale_files(write=False)
    assert stale == [], "run: python scripts/table_of_contents.py"


def test_no_table_is_lost_when_it_is_written_anew(tmp_path: Path) -> None:
    """The real README keeps its costs, and everything around the table."""
    shutil.copy(ROOT / "README.md", tmp_path)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    changed = text.replace("| 00 | [start_here]", "| 00 | [other_name]")
    assert changed != text
    (tmp_path / "README.md").write_text(changed, encoding="utf-8")
    assert "README.md" in table_of_contents.stale_files(tmp_path, write=True)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == text
