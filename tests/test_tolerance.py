"""Notebook outputs compared with tolerance: the comparison, the rules for tags, and real runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path

import nbformat
import pytest
import tolerance
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerance import TagError, Tolerance, check_tags, compare_text, parse_tags

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("[0-9]*.ipynb"))

ABS = ["tolerance:abs=0.03"]
PERCENT = ["tolerance:abs=5"]
REL = ["tolerance:rel=0.1"]
BELOW = ["tolerance:below=1e-5"]
COUNT = ["tolerance:count=5"]


def compare(stored: str, new: str, tags: list[str]) -> list[str]:
    return compare_text(stored, new, parse_tags(tags))


# --- what passes ----------------------------------------------------------------------------------

PASSES = [
    ("loss 0.50", "loss 0.53", ABS),  # the bound itself, in decimal arithmetic
    ("loss 0.50", "loss 0.47", ABS),
    ("difference +0.02", "difference -0.01", ABS),
    ("difference −0.02", "difference 0.01", ABS),
    ("difference -0.00", "difference 0.00", ABS),
    ("loss=0.50, accuracy=0.70.", "loss=0.52, accuracy=0.71.", ABS),
    ("tensor([0.12, 0.30])", "tensor([0.11, 0.31])", ABS),
    ("0.30-0.50", "0.31-0.49", ABS),
    ("0.50/0.60", "0.51/0.61", ABS),
    ("P@0.50", "P@0.52", ABS),
    ("accuracy 78.4 %", "accuracy 83.4 %", PERCENT),
    ("accuracy 78.4%, better", "accuracy 75.0%, better", PERCENT),
    ("2.4 points more", "5.0 points more", PERCENT),
    ("72.7 to 76.5 %", "74.0 to 78.0 %", PERCENT),
    ("78.4 ± 0.6 %", "77.1 ± 1.4 %", PERCENT),
    ("loss 2.00", "loss 2.20", REL),
    ("loss 2.00", "loss 1.80", REL),
    ("perplexity 1,000.0", "perplexity 987.5", REL),
    ("norm 1.00e-03", "norm 1.05e-03", REL),
    ("share 40.0 %", "share 43.9 %", REL),
    ("difference 0.0000012", "difference 0.0000099", BELOW),
    ("difference 1.2e-07", "difference 9.9e-06", BELOW),
    ("difference 1.2e-07", "difference 0.0", BELOW),
    ("difference 0.0", "difference -1.1920928955078125e-07", BELOW),
    ("difference 0", "difference 1.19e-07", BELOW),
    ("words 1,234", "words 1,239", COUNT),
    ("words 1,002", "words 998", COUNT),
    ("words 812/1000", "words 815/1000", COUNT),
    ("correct 53 %", "correct 58 %", COUNT),
    # Several tags: one that allows the number is enough.
    ("loss 3.00", "loss 3.25", [*ABS, *REL]),
    ("loss 0.10", "loss 0.12", [*ABS, *REL]),
    ("78.4 % of 1,000, loss 0.50", "80.0 % of 1,003, loss 0.54", [*PERCENT, *REL, *COUNT]),
    # Columns that shift.
    ("loss  9.98  end", "loss 10.01  end", ABS),
    ("loss  9.98\nrate  5.00", "loss   9.98\nrate   5.00", ABS),
    ("a 9.98   b", "a 10.01  b", ABS),
    ("[ 0.02 -0.01]", "[-0.01  0.02]", ABS),
    ("tensor([ 0.02, -0.01])", "tensor([0.02, 0.01])", ABS),
    ("x=  9.98", "x= 10.01", ABS),
    ("( 9.98)  b", "(10.01)  b", ABS),
    ("a   (9.98)", "a  (10.01)", ABS),
    ("a  loss=9.98", "a loss=10.01", ABS),
    ("9.8 %   b", "10.1 %  b", PERCENT),
    ("words   998  b", "words 1,002  b", COUNT),
    ("loss 0.50  ", "loss 0.50", ABS),
]


@pytest.mark.parametrize(("stored", "new", "tags"), PASSES)
def test_passes_within_the_tolerance_and_not_without(
    stored: str, new: str, tags: list[str]
) -> None:
    assert compare(stored, new, tags) == []
    assert compare(stored, new, []) != []


# --- what fails -----------------------------------------------------------------------------------

FAILS = [
    # Too far away.
    ("loss 0.512", "loss 0.693", ABS, r"0\.512, now 0\.693: differs by 0\.181, allowed abs=0\.03$"),
    ("loss 0.50", "loss 0.54", ABS, "differs by 0.04, allowed abs=0.03"),
    ("78.4 %", "83.5 %", PERCENT, "differs by 5.1, allowed abs=5"),
    ("loss 2.00", "loss 2.21", REL, r"differs by 0\.21, allowed rel=0\.1 \(0\.2\)"),
    ("loss 0.000", "loss 0.001", REL, r"allowed rel=0\.1 \(0\)"),
    ("99.0 %", "93.0 %", ["tolerance:rel=0.2"], "allowed rel=0.2, but at most 5 points"),
    ("1.2e-07", "1.2e-04", BELOW, "differs by 1.1988e-4, allowed below=1e-5 for both"),
    ("1.2e-04", "1.2e-07", BELOW, "allowed below=1e-5 for both"),
    ("3.00", "3.40", [*ABS, *REL], r"allowed abs=0\.03 or rel=0\.1 \(0\.3\)"),
    ("words 1,234", "words 1,240", COUNT, "differs by 6, allowed count=5"),
    ("words 41", "words 44", COUNT, "allowed count=5, but at most 2 of 41"),
    ("seed 3", "seed 4", COUNT, "nothing .count reaches at most 5 %"),
    # A number that no tag concerns.
    ("loss 0.693", "loss 0.700", PERCENT, "abs=5 is for numbers followed by % or points"),
    ("0.693 -3.2 %", "0.700 -3.3 %", PERCENT, "abs=5 is for numbers followed by % or points"),
    ("epoch 3", "epoch 4", ABS, "whole numbers stay exact"),
    ("epoch 3", "epoch 4", [*REL, *BELOW], "whole numbers stay exact"),
    ("loss 0.50", "loss 0.51", COUNT, "no tag of the cell gives this number room"),
    ("loss 0.50", "loss 0.51", [], "no tag of the cell gives this number room"),
    ("difference 0", "difference 1", BELOW, "whole numbers stay exact"),
    # Another form.
    ("loss 0.50", "loss 0.5", ABS, "number of decimals changed"),
    ("loss 0.5", "loss 0", ABS, "number of decimals changed"),
    ("loss 0", "loss 0.02", [*ABS, *COUNT], "number of decimals changed"),
    ("-0.50", "−0.50", ABS, "another sign"),
    ("+0.50", "0.51", ABS, "another sign"),
    ("words 1,234", "words 1234", COUNT, "separators for thousands"),
    # Another word.
    ("loss falls to 0.50", "loss rises to 0.50", ABS, "the word 'falls', now the word 'rises'"),
    ("loss 0.50", "loss nan", ABS, "the number 0.50, now the word 'nan'"),
    ("loss nan", "loss 0.50", ABS, "the word 'nan', now the number 0.50"),
    ("loss inf", "loss -inf", ABS, "the word 'inf', now the word '-inf'"),
    ("loss 0.50 0.60", "loss 0.50", ABS, "the number 0.60, now missing"),
    ("loss 0.50", "loss 0.50 0.60", ABS, "now the number 0.60, which is not in the stored line"),
    ("78.4 %", "78.4", PERCENT, "the word '%', now missing"),
    ("better: True", "better: False", ABS, "now the word 'False'"),
    ("0.50 lead", "0.50-lead", ABS, "now the word '0.50-lead'"),
    # Digits within a word.
    ("model_3", "model_4", COUNT, "count as a word"),
    ("L60", "L61", COUNT, "count as a word"),
    ("v2.13.0", "v2.14.0", ABS, "count as a word"),
    ("v2.13", "v2.14", ABS, "count as a word"),
    ("2.13.0", "2.14.0", ABS, "count as a word"),
    ("gpt-3.50", "gpt-3.51", ABS, "count as a word"),
    ("512-token", "513-token", COUNT, "count as a word"),
    ("300-500", "301-500", COUNT, "count as a word"),
    ("2026-11-01", "2025-11-01", COUNT, "count as a word"),
    ("10:45", "10:44", COUNT, "count as a word"),
    ("0.50x", "0.51x", ABS, "count as a word"),
    ("bert-base-uncased", "bert-base-cased", ABS, "now the word 'bert-base-cased'"),
    ("(a)-0.01", "(a)+0.01", ABS, r"the word '\(a\)-', now the word '\(a\)\+'"),
    ("9.98 9.98", "10.0110.01", ABS, "count as a word"),
    ("loss 9.98", "loss10.01", ABS, "count as a word"),
    # Lines and blanks.
    ("a\nb 0.50", "a\nb 0.50\nc 0.50", ABS, "^line 3 is new: 'c 0.50'"),
    ("a\nb 0.50\nc", "a\nc", ABS, "^stored line 2 is missing: 'b 0.50'"),
    ("a 0.50\nb", "c\na 0.51\nb", ABS, "^line 1 is new: 'c'"),
    ("a\n", "a", ABS, "^stored line 2 is missing: ''"),
    ("two  words 0.50", "two words 0.50", ABS, "stored 2 blanks before the word 'words', now 1"),
    ("two  words 5", "two  words  5", ABS, "stored 1 blanks before the number 5, now 2"),
    ("0.50 end ", "0.50 end", ABS, "stored 1 blanks at the end of the line, now 0"),
    ("0.50\tend", "0.50 end", ABS, "blanks before the word 'end'"),
    ("a\nb 0.50\nc 1.00", "a\nb 0.90\nc 1.00", ABS, "^line 2: stored 0.50"),
]


@pytest.mark.parametrize(("stored", "new", "tags", "message"), FAILS)
def test_fails_and_says_why(stored: str, new: str, tags: list[str], message: str) -> None:
    messages = compare(stored, new, tags)
    assert len(messages) == 1
    first_line = messages[0].splitlines()[0]
    assert re.search(message, first_line), first_line


def test_every_number_is_reported_with_both_lines() -> None:
    messages = compare("loss 0.512, 3 epochs\nrate 0.1", "loss 0.693, 4 epochs\nrate 0.1", ABS)
    assert messages == [
        "line 1: stored 0.512, now 0.693: differs by 0.181, allowed abs=0.03\n"
        "    stored line: loss 0.512, 3 epochs\n"
        "    new line:    loss 0.693, 4 epochs",
        "line 1: stored 3, now 4: differs by 1, allowed nothing"
        " (whole numbers stay exact without tolerance:count)\n"
        "    stored line: loss 0.512, 3 epochs\n"
        "    new line:    loss 0.693, 4 epochs",
    ]


OUTPUT_TEXT = st.text(alphabet="0159.,-−+ \te%nab_\n()=:", max_size=24)
ALL_TAGS = [*ABS, *REL, *BELOW, *COUNT]


@settings(max_examples=150, deadline=None)
@given(stored=OUTPUT_TEXT, new=OUTPUT_TEXT)
def test_without_tags_only_equal_texts_pass(stored: str, new: str) -> None:
    assert compare(stored, stored, ALL_TAGS) == []
    assert (compare(stored, new, []) == []) == (stored == new)


@settings(max_examples=150, deadline=None)
@given(text=OUTPUT_TEXT)
def test_a_line_is_the_sum_of_its_pieces(text: str) -> None:
    for line in text.split("\n"):
        parts = tolerance.split_line(line)
        rebuilt = parts.blanks[0]
        for place, piece in enumerate(parts.pieces):
            rebuilt += piece.text if isinstance(piece, tolerance.Number) else piece
            rebuilt += parts.blanks[place + 1]
        assert rebuilt == line


@given(digits=st.integers(min_value=1, max_value=400), exponent=st.integers(0, 999))
def test_enormous_numbers_are_compared(digits: int, exponent: int) -> None:
    stored = f"{'9' * digits} 1.5e{exponent} 0.5"
    assert compare(stored, stored.replace("9", "8", 1), [])
    assert compare(stored, stored.replace("1.5e", "9.5e"), ALL_TAGS)
    assert compare(stored, f"{stored[:-3]}0.6", ALL_TAGS)


# --- the tags -------------------------------------------------------------------------------------


def stored_output(text: str, **data: str) -> list[nbformat.NotebookNode]:
    outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
    if data:
        outputs.append(nbformat.v4.new_output("display_data", data=data))
    return outputs


def check(tags: list[str], text: str = "0.5, 78.4 %, 1,000", **data: str) -> list[str]:
    return check_tags(tags, "print(1)", stored_output(text, **data))


def test_tags_are_read() -> None:
    tags = ["hide-input", *ABS, "tolerance:rel=0.2", *BELOW, *COUNT]
    assert parse_tags(tags) == Tolerance(
        abs=Decimal("0.03"), rel=Decimal("0.2"), below=Decimal("0.00001"), count=Decimal(5)
    )
    assert parse_tags(["raises-exception"]) == Tolerance()


MALFORMED = [
    "tolerance",
    "tolerance:",
    "tolerance:abs",
    "tolerance:abs=",
    "tolerance:abs=0",
    "tolerance:abs=-0.1",
    "tolerance:abs=nan",
    "tolerance:abs=inf",
    "tolerance:abs=5%",
    "tolerance:abs=0,03",
    "tolerance:abs=1e999",
    "tolerance:count=0",
    "tolerance:count=2.5",
    "tolerance:within=0.1",
    "tolerance: abs=0.03",
    "tolerance:abs=0.03 ",
    " tolerance:abs=0.03",
    "Tolerance:abs=0.03",
    "tolerance-abs=0.03",
    "tolerence:abs=0.03",
    "abs=0.03",
]


@pytest.mark.parametrize("tag", MALFORMED)
def test_a_malformed_tag_is_named_with_what_is_allowed(tag: str) -> None:
    with pytest.raises(TagError) as caught:
        parse_tags([tag])
    assert repr(tag) in str(caught.value)
    assert "allowed are tolerance:abs=0.03, tolerance:rel=0.1" in str(caught.value)
    assert check([tag]) == [str(caught.value)]


def test_a_kind_is_given_once_and_tags_are_a_list() -> None:
    assert (
        "'tolerance:abs=0.04' is the second one for abs" in check([*ABS, "tolerance:abs=0.04"])[0]
    )
    with pytest.raises(TagError, match="must be a list"):
        parse_tags("tolerance:abs=0.03")


ALLOWED = [
    ("tolerance:abs=0.05", "accuracy 0.784"),
    ("tolerance:abs=5", "accuracy 78.4 %"),
    ("tolerance:abs=5", "2.4 percentage points"),
    ("tolerance:rel=0.2", "loss 0.693"),
    ("tolerance:below=1e-3", "difference 0.0"),
    ("tolerance:below=1e-5", "difference 0.0e+00"),
    ("tolerance:count=5", "100 words"),
    ("tolerance:count=5", "53 % correct"),
]


@pytest.mark.parametrize(("tag", "text"), ALLOWED)
def test_the_largest_bound_is_allowed(tag: str, text: str) -> None:
    assert check([tag], text) == []


TOO_WIDE = [
    ("tolerance:abs=0.051", "accuracy 0.784"),
    ("tolerance:abs=5", "accuracy 0.784"),
    ("tolerance:abs=5", "accuracy 0.784, 78 %"),  # the percentage is a whole number
    ("tolerance:abs=5.1", "accuracy 78.4 %"),
    ("tolerance:rel=0.21", "loss 0.693"),
    ("tolerance:below=0.0011", "difference 0.0"),
    ("tolerance:count=5", "99 words"),
    ("tolerance:count=6", "53 % correct"),
]


@pytest.mark.parametrize(("tag", "text"), TOO_WIDE)
def test_a_wider_bound_needs_a_reason(tag: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "# a comment\n\nshow(loss)\nmore()"
    check_cell = partial(
        check_tags, [tag], source, stored_output(text), notebook="06_x.ipynb", cell_id="abc"
    )
    problems = check_cell()
    assert len(problems) == 1
    assert tag in problems[0]
    assert "needs an entry in WIDER" in problems[0]
    for name in ("abc", "show(loss)"):
        monkeypatch.setattr(tolerance, "WIDER", {("06_x.ipynb", name): "a reason"})
        assert check_cell() == []
    monkeypatch.setattr(tolerance, "WIDER", {("07_x.ipynb", "abc"): "a reason"})
    assert check_cell() == problems


def test_a_wider_cell_uses_its_bounds_as_they_stand() -> None:
    wider = replace(parse_tags(["tolerance:abs=5", "tolerance:count=5"]), is_wider=True)
    assert compare_text("perplexity 12.1, 3 words", "perplexity 17.0, 8 words", wider) == []
    assert len(compare_text("perplexity 12.1, 3 words", "perplexity 17.2, 9 words", wider)) == 2
    relative = replace(parse_tags(["tolerance:rel=0.2"]), is_wider=True)
    assert compare_text("99.0 %", "80.0 %", relative) == []


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("tolerance:abs=0.03", "only 3 words"),
        ("tolerance:rel=0.1", "no number"),
        ("tolerance:below=1e-5", "difference 0"),
        ("tolerance:count=5", "loss 0.5 of model_3"),
    ],
)
def test_a_tag_without_a_number_is_an_error(tag: str, text: str) -> None:
    problems = check([tag], text)
    assert len(problems) == 1
    assert f"{tag} has no effect" in problems[0]


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml"])
def test_live_numbers_stand_in_no_html(kind: str) -> None:
    problems = check(ABS, **{kind: "<b>0.5</b>"})
    assert len(problems) == 1
    assert kind in problems[0]
    assert check([], **{kind: "<b>0.5</b>"}) == []
    assert check(ABS, **{"image/png": "iVBORw0K", "text/plain": "<Figure>"}) == []


def test_numbers_on_stderr_are_none_that_a_tag_may_concern() -> None:
    outputs = [nbformat.v4.new_output("stream", name="stderr", text="loss 0.5")]
    assert "has no effect" in check_tags(ABS, "train()", outputs)[0]


# --- the notebooks of the course ------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "notebooks").as_posix()
)
def test_the_tags_of_every_notebook_keep_to_the_rules(path: Path) -> None:
    assert tolerance.check_notebook(path) == []


def test_every_entry_of_wider_has_a_reason_and_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = dict(tolerance.WIDER)
    monkeypatch.setattr(tolerance, "WIDER", {})
    for (name, cell), reason in entries.items():
        assert reason.strip(), f"{name}, {cell}: no reason"
        problems = tolerance.check_notebook(ROOT / "notebooks" / name)
        assert any("needs an entry in WIDER" in problem for problem in problems), (
            f"{name}, {cell} needs no wider bound any more"
        )


def test_a_notebook_is_checked_as_a_whole(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell("train()", metadata={"tags": ["tolerance:abs=9"]})
    cell.outputs = stored_output("loss 0.5")
    text = nbformat.v4.new_markdown_cell("# Title", metadata={"tags": ABS})
    path = tmp_path / "notebooks" / "solutions" / "06_x.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[text, cell]), path)
    problems = tolerance.check_notebook(path)
    assert len(problems) == 2
    assert problems[0].startswith(f"solutions/06_x.ipynb, cell {text.id}: the tag 'tolerance:abs")
    assert problems[1].startswith(f"solutions/06_x.ipynb, cell {cell.id}: tolerance:abs=9 is too")


# --- real runs of pytest and nbval ----------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One cell: what it prints, what is stored, and what its report must say ("" if it passes)."""

    source: str
    stored: str
    tags: list[str]
    message: str = ""
    kind: str = "stdout"
    stored_stderr: str = ""

    def cell(self) -> nbformat.NotebookNode:
        metadata = {"tags": self.tags} if self.tags else {}
        cell = nbformat.v4.new_code_cell(self.source, metadata=metadata, execution_count=1)
        if self.kind == "text/plain":
            data = {"text/plain": self.stored}
            output = nbformat.v4.new_output("execute_result", data=data, execution_count=1)
        else:
            output = nbformat.v4.new_output("stream", name=self.kind, text=self.stored)
        cell.outputs = [output]
        if self.stored_stderr:
            cell.outputs.append(
                nbformat.v4.new_output("stream", name="stderr", text=self.stored_stderr)
            )
        return cell


TO_STDERR = "import sys; print('step 0.50', file=sys.stderr)"
PRINTS_BOTH = "print('loss 0.51')\n0.51, 0.25"
CASES = {
    "exact": Case("print('loss 0.50')", "loss 0.50\n", []),
    "abs": Case("print('loss 0.50')", "loss 0.53\n", ABS),
    "abs in points": Case("print('right 78.4 %')", "right 75.0 %\n", PERCENT),
    "rel": Case("print('loss 2.00')", "loss 2.20\n", REL),
    "below": Case("print('difference', 1.2e-07)", "difference 0.0\n", BELOW),
    "count": Case("print('words 1,234')", "words 1,230\n", COUNT),
    "columns": Case("print('a  9.98  b\\nc 10.01  d')", "a 10.00  b\nc  9.99  d\n", ABS),
    "result": Case("0.51, 0.25", "(0.52, 0.24)", ABS, kind="text/plain"),
    "stderr": Case(TO_STDERR, "step 0.50\n", [], kind="stderr"),
    "far away": Case(
        "print('loss 0.693')",
        "loss 0.512\n",
        ABS,
        "stdout, line 1: stored 0.512, now 0.693: differs by 0.181, allowed abs=0.03",
    ),
    "no tag": Case("print('loss 0.50')", "loss 0.51\n", [], "no tag of the cell"),
    "result far away": Case(
        "0.51, 0.25", "(0.52, 0.30)", ABS, "text/plain, line 1: stored 0.30", kind="text/plain"
    ),
    "missing number": Case("print('loss')", "loss 0.51\n", ABS, "0.51, now missing"),
    "new number": Case("print('a', 0.5, 0.6)", "a 0.5\n", ABS, "which is not in the stored line"),
    "changed word": Case("print('rises 0.50')", "falls 0.50\n", ABS, "now the word 'rises'"),
    "changed count": Case("print('words 1,240')", "words 1,230\n", COUNT, "allowed count=5"),
    "whole number": Case("print('epoch 4, 0.5')", "epoch 3, 0.5\n", ABS, "whole numbers stay"),
    "extra line": Case("print('a 0.5\\nb')", "a 0.5\n", ABS, "line 2 is new: 'b'"),
    "changed stderr": Case(
        f"{TO_STDERR}\nprint('loss 0.50')",
        "loss 0.51\n",
        ABS,
        "stderr, line 1: stored 0.51, now 0.50",
        stored_stderr="step 0.51\n",
    ),
    "nothing printed": Case("loss = 0.5", "loss 0.50\n", ABS, "Missing output fields"),
    "extra result": Case(PRINTS_BOTH, "loss 0.50\n", ABS, "Unexpected output fields"),
    "unknown tag": Case(
        "print(0.5)", "0.5\n", ["tolerance:about=1"], "'tolerance:about=1' is not understood"
    ),
    "too wide": Case("print(0.5)", "0.5\n", ["tolerance:abs=1"], "tolerance:abs=1 is too wide"),
}


class FakeCell:
    """What compare_outputs needs of nbval's cell; its own comparison is for equal outputs."""

    def __init__(self, cell: nbformat.NotebookNode) -> None:
        self.cell = cell
        self.path = Path("00_cases.ipynb")

    def sanitize(self, text: str) -> str:
        return text.replace("today", "DATE").replace("yesterday", "DATE")

    def compare_outputs(self, test: object, ref: object, skip_compare: object) -> bool:
        return test == ref


def test_the_new_outputs_stay_as_they_are() -> None:
    stored = Case("train()", "loss 0.50, yesterday", ABS).cell()
    new_outputs = stored_output("loss 0.51, today")
    assert tolerance.compare_outputs(FakeCell(stored), new_outputs, stored.outputs)
    assert new_outputs[0].text == "loss 0.51, today"


def make_project(folder: Path, cases: dict[str, Case]) -> None:
    """The files that matter to a run of nbval, with one notebook."""
    (folder / "tests").mkdir(parents=True)
    (folder / "notebooks").mkdir()
    for name in ("conftest.py", "pyproject.toml", "tests/tolerance.py"):
        shutil.copy(ROOT / name, folder / name)
    notebook = nbformat.v4.new_notebook(cells=[case.cell() for case in cases.values()])
    nbformat.write(notebook, folder / "notebooks" / "00_cases.ipynb")


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )


def test_nbval_compares_with_tolerance(tmp_path: Path) -> None:
    make_project(tmp_path, CASES)
    result = run_pytest(
        tmp_path, "--nbval", "--nbval-current-env", "--junitxml=report.xml", "notebooks"
    )
    report = ElementTree.parse(tmp_path / "report.xml")
    failures: dict[str, str] = {}
    names = list(CASES)
    for element in report.iter("testcase"):
        name = names[int(element.attrib["name"].removeprefix("Cell "))]
        failures[name] = "\n".join(failure.text or "" for failure in element)
    assert list(failures) == names, result.stdout
    for name, case in CASES.items():
        assert bool(failures[name]) == bool(case.message), f"{name}: {failures[name]}"
        assert case.message in failures[name], f"{name}: {failures[name]}"
    # nbval's own report stands below.
    assert "mismatch 'stdout'" in failures["far away"]
    assert failures["far away"].index("differs by 0.181") < failures["far away"].index("mismatch")


def test_the_tolerance_holds_in_workers(tmp_path: Path) -> None:
    make_project(tmp_path, {name: CASES[name] for name in ("abs", "far away")})
    result = run_pytest(
        tmp_path, "-n", "1", "--dist", "loadfile", "--nbval", "--nbval-current-env", "notebooks"
    )
    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout + result.stderr
    assert "1 failed, 1 passed" in result.stdout
    assert "differs by 0.181, allowed abs=0.03" in result.stdout


def test_the_course_itself_uses_the_plugin() -> None:
    path = "notebooks/04_attention.ipynb"
    result = run_pytest(ROOT, "--nbval", "--nbval-current-env", "--collect-only", path)
    assert result.returncode == pytest.ExitCode.OK, result.stdout + result.stderr
    assert "notebooks: cell tags give live numbers room" in result.stdout
    assert "<IPyNbCell Cell 0>" in result.stdout


def test_ordinary_tests_need_no_nbval(tmp_path: Path) -> None:
    make_project(tmp_path, {})
    test = (
        'import sys\n\n\ndef test_it():\n    assert not {"nbval", "nbformat"} & set(sys.modules)\n'
    )
    (tmp_path / "tests" / "test_it.py").write_text(test, encoding="utf-8")
    # With "no:nbval" its options are unknown, as where it is not installed.
    result = run_pytest(tmp_path, "-p", "no:nbval")
    assert result.returncode == pytest.ExitCode.OK, result.stdout + result.stderr
    assert "1 passed" in result.stdout
    assert "live numbers" not in result.stdout


def test_the_plugin_is_there_and_silent_unless_nbval_is_asked_for(
    pytestconfig: pytest.Config,
) -> None:
    assert pytestconfig.pluginmanager.get_plugin("tolerance") is tolerance
    header = tolerance.pytest_report_header(pytestconfig)
    assert (header is not None) == tolerance.is_asked_for(pytestconfig)
