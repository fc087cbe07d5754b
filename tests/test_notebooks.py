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
import first_cells
import nbformat
import pytest
import run_notebooks

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks"
NOTEBOOKS = run_notebooks.notebook_paths()
TEACHING = [path for path in NOTEBOOKS if path.parent == FOLDER]
MAX_CODE_LINES = 25
MAX_TOTAL_BYTES = 12 * 2**20
MIN_ALT_LENGTH, MAX_ALT_LENGTH = 20, 400  # characters
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
def test_first_cells_are_title_with_links_and_the_folded_cell(path: Path) -> None:
    title, find_course, *others = cells_of(path)
    assert title.cell_type == "markdown"
    assert title.source.startswith("# ")
    address = badges.address_of()
    links = first_cells.links(address, path.relative_to(ROOT).as_posix())
    assert links in title.source, "run: python scripts/first_cells.py"
    wanted = first_cells.find_course_cell(address)
    assert find_course.source == wanted.source, "run: python scripts/first_cells.py"
    assert find_course.metadata == wanted.metadata
    assert find_course.outputs == []
    assert not [cell.id for cell in others if "# @title" in cell.source]


@each_notebook
def test_exercises_are_headings(path: Path) -> None:
    """A table of contents shows them; each heading stands above its check."""
    number = path.stem[:2]
    start = "### Exercise " if path in TEACHING else "## "
    # Of a heading that names an exercise in another way, nothing is caught: None is no exercise.
    right_form = rf"{re.escape(start)}({number}\.\d+) · \S.*"
    heading = re.compile(rf"(?m)^(?:{right_form}|#+ .*\b{number}\.\d.*)$")
    places: list[tuple[str, str | None]] = []
    for cell in cells_of(path):
        if cell.cell_type == "code":
            checks = re.findall(rf'(?m)^check\("({number}\.\d+)"', cell.source)
            places += [("check", exercise) for exercise in checks]
        else:
            assert not re.search(rf"(?m)^\*\*{number}\.\d", cell.source), f"cell {cell.id}"
            places += [("heading", found[1]) for found in heading.finditer(cell.source)]
    exercises = [exercise for kind, exercise in places if kind == "check"]
    wanted = [(kind, exercise) for exercise in exercises for kind in ("heading", "check")]
    assert places == wanted, f'an exercise begins with "{start}{number}.1 · a few words"'


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


def num_code_lines(cell: nbformat.NotebookNode) -> int:
    """Lines with code or a docstring: neither blank nor a comment alone."""
    lines = (line.strip() for line in cell.source.splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


@each_notebook
def test_code_cells_are_short(path: Path) -> None:
    for cell in code_cells(path)[1:]:  # the first one is the folded cell
        assert num_code_lines(cell) <= MAX_CODE_LINES, f"cell {cell.id}"


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
    unsafe = "|".join(
        [
            r"trust_remote_code|pickle|import \*",
            r"weights_only\s*=\s*False",
            r"torch\.load\((?!.*weights_only=True)",
        ]
    )
    for cell in code_cells(path):
        found = re.search(unsafe, cell.source)
        assert not found, f"cell {cell.id}: {found[0] if found else ''}"


def alt_text_problems(cell: nbformat.NotebookNode) -> list[str]:
    """What is wrong with the alt texts of a code cell's pictures."""
    texts = run_notebooks.alt_texts_of(cell)
    stored = [run_notebooks.stored_alt_text(picture) for picture in run_notebooks.pictures_of(cell)]
    problems = []
    if texts and texts != stored:
        problems.append(f"its metadata says {texts}, its pictures {stored}")
    for text in stored:
        if not MIN_ALT_LENGTH <= len(text or "") <= MAX_ALT_LENGTH:
            problems.append(f"{len(text or '')} characters of alt text: {text}")
    return [f"cell {cell.id}: {problem}" for problem in problems]


@each_notebook
def test_every_picture_has_its_alt_text(path: Path) -> None:
    problems = [problem for cell in code_cells(path) for problem in alt_text_problems(cell)]
    assert not problems, 'write "alt" into the cell\'s metadata; run_notebooks.py --keep stores it'


def cell_with_pictures(*stored: str | None, alt: str | list[str] | None) -> nbformat.NotebookNode:
    outputs = [
        nbformat.v4.new_output(
            "display_data",
            {"image/png": "AAAA"},
            metadata={} if text is None else {"image/png": {"alt": text}},
        )
        for text in stored
    ]
    metadata = {} if alt is None else {"alt": alt}
    return nbformat.v4.new_code_cell("draw()", outputs=outputs, metadata=metadata)


LINE, BARS = "A line that rises from 1 to 5.", "Two bars: 87 % and 91 %, with intervals."


@pytest.mark.parametrize(
    ("stored", "alt"),
    [([LINE], LINE), ([LINE, BARS], [LINE, BARS]), ([LINE], None), ([], None)],
)
def test_alt_texts_that_are_right(stored: list[str | None], alt: str | list[str] | None) -> None:
    assert alt_text_problems(cell_with_pictures(*stored, alt=alt)) == []


@pytest.mark.parametrize(
    ("stored", "alt"),
    [
        ([None], None),
        ([None], LINE),
        ([BARS], LINE),
        (["A line."], "A line."),
        ([401 * "x"], 401 * "x"),
        ([LINE, None], LINE),
        ([BARS, LINE], [LINE, BARS]),
        ([], LINE),
    ],
)
def test_alt_texts_that_are_wrong(stored: list[str | None], alt: str | list[str] | None) -> None:
    assert alt_text_problems(cell_with_pictures(*stored, alt=alt)) != []


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
        for cell in code_cells(path)[1:]:  # the first one is the same in all
            for node in ast.walk(code_of(cell)):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    methods = node.name.startswith("__") or node.name == "forward"
                    places.setdefault(node.name, set()).update(() if methods else (path.stem,))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


# --- numbers in sight -----------------------------------------------------------------------------

# Cells whose output may end a line in True or False, "notebook:cell id", since the truth value
# itself is what they teach.
TRUTHS: dict[str, str] = {}


@each_notebook
def test_numbers_are_shown_instead_of_true(path: Path) -> None:
    found = set()
    for cell_id, output in outputs_of(path):
        if re.search(r"\b(True|False)\W*$", text_of(output), re.MULTILINE):
            found.add(f"{path.stem}:{cell_id}")
    assert found <= set(TRUTHS), "print the value, and assert the claim beside it"


# --- numbers in the prose -------------------------------------------------------------------------

NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?")
ABOUT = re.compile(r"\babout (\d[\d,]*(?:\.\d+)?)(?: (million|thousand))?\b", re.IGNORECASE)
SCALES = {"": 1.0, "thousand": 1e3, "million": 1e6}
ROOM = 0.1  # by how much of itself a number that is said to be "about" so much may be off


def printed_numbers(cell: nbformat.NotebookNode) -> list[float]:
    """Every number in the text that a code cell has printed or returned."""
    texts = [
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    ]
    return [float(number.replace(",", "")) for text in texts for number in NUMBER.findall(text)]


def numbers_that_are_not_shown(cells: list[nbformat.NotebookNode]) -> list[str]:
    """What the prose says with "about N" where no code cell since the last heading printed N."""
    missing: list[str] = []
    shown: list[float] = []
    for cell in cells:
        if cell.cell_type == "code":
            shown += printed_numbers(cell)
            continue
        for part in re.split(r"(?m)^(?=#{1,6} )", cell.source):
            if part.startswith("#"):
                shown = []
            for said in ABOUT.finditer(part):
                number = float(said[1].replace(",", ""))
                meant = {number, number * SCALES[said[2] or ""]}
                if not any(abs(one - other) <= ROOM * other for one in shown for other in meant):
                    missing.append(part[max(0, said.start() - 30) : said.end() + 30])
    return missing


@pytest.mark.parametrize("path", TEACHING, ids=lambda path: path.stem)
def test_numbers_in_the_prose_were_printed(path: Path) -> None:
    assert numbers_that_are_not_shown(cells_of(path)) == []


def test_a_number_that_was_not_printed_is_found() -> None:
    def with_prose(prose: str) -> list[nbformat.NotebookNode]:
        printed = nbformat.v4.new_output("stream", text="accuracy 78.2 %, 1,284 ids, 2.5e-07")
        return [
            nbformat.v4.new_markdown_cell("# One"),
            nbformat.v4.new_code_cell("...", outputs=[printed]),
            nbformat.v4.new_markdown_cell(prose),
        ]

    for prose in ("about 78 %", "About 1,300 ids", "about 1.3 thousand", "about 80 %", "no number"):
        assert numbers_that_are_not_shown(with_prose(prose)) == []
    for prose in ("about 60 %", "about 1,284,000", "## Two\n\nabout 78 %", "about 1.3 million"):
        assert len(numbers_that_are_not_shown(with_prose(prose))) == 1
