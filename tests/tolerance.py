"""A pytest plugin: nbval compares the outputs of notebooks, and cell tags give live numbers room.

nbval runs every notebook and compares its text with the stored text word for word. Some numbers,
such as a training loss, differ between machines. A tag in the cell's metadata says by how much
they may. Everything else in the text (words, order of lines, stderr) must stay as it is stored.

Tags, one of each kind at most. A number passes if any of them allows it:

    tag                   which numbers it concerns                       largest bound
    tolerance:abs=0.03    with a decimal point or an exponent             0.05
    tolerance:abs=5       the same, but only those in % or points         5
    tolerance:rel=0.1     with a decimal point or an exponent; the        0.20; for a number in % or
                          difference is relative to the stored number     points at most 5 points
    tolerance:below=1e-5  with a decimal point or an exponent; the stored 1e-3
                          and the new number must both be this small
    tolerance:count=5     whole numbers                                   5 % of the stored number;
                                                                          5 for one in % or points

So an accuracy may move by 5 percentage points and a loss by 20 %. Give `rel` to losses only: an
accuracy printed as a share (0.784) gets `abs`. A bound that is wider needs an entry in `WIDER`,
with the reason; in such a cell the limits of the last column do not apply.

What counts as a number:

- It stands alone, or beside punctuation: `0.53`, `loss=0.53,`, `[0.1, -0.2]`, `78.4%`, `1e-05`.
- Digits that touch a letter or an underscore are part of a word: `model_3`, `L6`, `v2.13.0`, `12s`.
  So are `gpt-3.5` and `512-token`, and whole numbers joined by a hyphen or a colon: `3-5`,
  `2026-11-01`, `10:45`. A word never changes. If a number has to move, print a blank around it.
- `1,234` with separators for thousands is one number. `nan` and `inf` are words.
- A sign belongs to the number (`-0.01`, `−0.01`, `+0.01`) and may change with it.
- A number is in percent if `%`, `percent` or `points` follows it, also at the end of a range:
  both numbers of `72.7 to 76.5 %` and of `78.4 ± 0.6 %`.
- The number of decimals must stay the same, unless one of the two has an exponent. So print with a
  fixed number of decimals: `f"{loss:.3f}"`, or `f"{difference:.1e}"`.

Blanks count, too. Only the runs of blanks next to a number that a tag concerns may become longer
or shorter, since columns shift when a number gains a digit or a sign.

nbval compares HTML and SVG as text, so a cell with a tag must not show them. Pictures are not
compared. A tag that concerns no number of the stored text is an error, and so is an unknown tag.
Without nbval, or if it is not asked for, this plugin does nothing.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

# Cells that may have wider bounds than the table above: the notebook, as it is named within
# notebooks/ (such as "solutions/06_pretraining.ipynb"), and the cell's id or its first line of
# code. The value says why the wider bound is needed.
WIDER: dict[tuple[str, str], str] = {}

MAX_SHARE = Decimal("0.05")  # abs, for numbers without a unit
MAX_POINTS = Decimal("5")  # any difference of a number in percent, in percentage points
MAX_REL = Decimal("0.20")
MAX_BELOW = Decimal("1e-3")
MAX_COUNT_SHARE = Decimal("0.05")  # count, as a share of the stored number

ALLOWED = (
    "allowed are tolerance:abs=0.03, tolerance:rel=0.1, tolerance:below=1e-5 and tolerance:count=5,"
    " one of each kind, with a bound above 0"
)
TAG = re.compile(r"tolerance:(abs|rel|below)=([0-9]+(?:\.[0-9]+)?(?:e-?[0-9]{1,2})?)")
COUNT_TAG = re.compile(r"tolerance:(count)=([0-9]+)")
LOOKS_LIKE_A_TAG = re.compile(r"\s*tolerance|.*\b(abs|rel|below|count)\s*=", re.IGNORECASE)
COMPARED_AS_TEXT = ("text/html", "image/svg+xml")
MAX_REPORTED = 8

MINUS = "-−"
HYPHEN = "-−‐‑–"
DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
NUMBER = rf"""
    (?<![\w.]) (?<![^\W\d][{HYPHEN}])       # not within a word, nor after a word's hyphen
    (?: (?<![)\]}}%]) [{MINUS}+] )?         # a sign, unless something ends right before it
    (?:
        {DIGITS} (?: \.[0-9]+ (?:[eE][+-]?[0-9]{{1,3}})? | [eE][+-]?[0-9]{{1,3}} )
        |
        (?<![0-9][{HYPHEN}:]) {DIGITS} (?![{HYPHEN}:][0-9])   # no range, no date, no time
    )
    (?!\w) (?!\.\w) (?![{HYPHEN}][^\W\d])   # no letter, no further part of a version, no hyphen
"""
PIECE = re.compile(
    rf"(?P<blanks>[ \t]+) | (?P<number>{NUMBER}) | (?P<word>(?: (?!{NUMBER}) [^ \t] )+)", re.VERBOSE
)
BLANK = "[ \u00a0\u202f]?"  # also the blanks at which no line breaks
RANGE = rf"(?:{BLANK}(?:to|±){BLANK}| [{HYPHEN}] |[{HYPHEN}])[+{MINUS}]?[0-9.]+"
IN_PERCENT = re.compile(
    rf"(?:{RANGE})?{BLANK}(?:%|(?:percentage{BLANK})?points?\b|percent\b)"  # 78.4 %, 72 to 76 %
)


class TagError(ValueError):
    """Tags that cannot be understood; the message says which, and what is allowed."""


@dataclass(frozen=True)
class Number:
    """A number as it is printed."""

    text: str
    value: Decimal
    decimals: int
    has_exponent: bool
    is_percentage: bool

    @property
    def is_whole(self) -> bool:
        return self.decimals == 0 and not self.has_exponent

    @property
    def sign(self) -> str:
        return self.text[0] if self.text[0] in f"{MINUS}+" else ""


@dataclass(frozen=True)
class Line:
    """A line in numbers, words and blanks.

    blanks[i] stands before pieces[i], and the last run of blanks ends the line.
    """

    pieces: list[Number | str]
    blanks: list[str]

    @property
    def words(self) -> list[str | None]:
        """The pieces with None for each number, equal for lines that differ in numbers only."""
        return [None if isinstance(piece, Number) else piece for piece in self.pieces]


@dataclass(frozen=True)
class Bound:
    """The largest difference that one tag allows for one number, and how to name it."""

    name: str
    largest: Decimal


@dataclass(frozen=True)
class Tolerance:
    """What the tags of one cell allow; None where the cell has no such tag."""

    abs: Decimal | None = None
    rel: Decimal | None = None
    below: Decimal | None = None
    count: Decimal | None = None
    is_wider: bool = False
    """The cell is listed in WIDER, so that the bounds are used as they stand."""

    def bounds(self, stored: Number) -> list[Bound]:
        """What abs, rel and count allow for this number; empty if it has to stay as it is."""
        if stored.is_whole:
            return self._count_bounds(stored)
        found: list[Bound] = []
        if self.abs is not None and self._abs_concerns(stored):
            found.append(Bound(f"abs={show(self.abs)}", self.abs))
        if self.rel is not None:
            largest = self.rel * abs(stored.value)
            name = f"rel={show(self.rel)} ({show(largest)})"
            if stored.is_percentage and largest > MAX_POINTS and not self.is_wider:
                largest = MAX_POINTS
                name = f"rel={show(self.rel)}, but at most {MAX_POINTS} points"
            found.append(Bound(name, largest))
        return found

    def _abs_concerns(self, stored: Number) -> bool:
        return stored.is_percentage or self.is_wider or self.abs <= MAX_SHARE

    def _count_bounds(self, stored: Number) -> list[Bound]:
        if self.count is None:
            return []
        largest = self.count if self.is_wider else min(self.count, max_count(stored))
        if largest < 1:
            return []
        name = f"count={show(self.count)}"
        if largest < self.count:
            name += f", but at most {show(largest)} of {stored.text}"
        return [Bound(name, largest)]

    def concerns(self, stored: Number) -> bool:
        """Whether some tag gives this number room."""
        return bool(self.bounds(stored)) or (self.below is not None and not stored.is_whole)

    def allows(self, stored: Number, new: Number) -> bool:
        """Whether the new number is near enough to the stored one."""
        difference = abs(new.value - stored.value)
        if any(difference <= bound.largest for bound in self.bounds(stored)):
            return True
        if self.below is None or (stored.is_whole and new.is_whole):
            return False
        return max(abs(stored.value), abs(new.value)) <= self.below

    def describe(self, stored: Number) -> str:
        """What is allowed for this number, for a message."""
        names = [bound.name for bound in self.bounds(stored)]
        if self.below is not None and not stored.is_whole:
            names.append(f"below={show(self.below)} for both")
        if names:
            return " or ".join(names)
        if stored.is_whole and self.count is not None:
            return f"nothing (count reaches at most 5 % of the stored number: {stored.text})"
        if stored.is_whole:
            return "nothing (whole numbers stay exact without tolerance:count)"
        if self.abs is not None:
            return f"nothing (abs={show(self.abs)} is for numbers followed by % or points)"
        return "nothing (no tag of the cell gives this number room)"


def max_count(stored: Number) -> Decimal:
    """The largest difference that `count` may give a whole number, rounded down."""
    if stored.is_percentage:
        return MAX_POINTS
    return Decimal(int(MAX_COUNT_SHARE * abs(stored.value)))


def show(value: Decimal) -> str:
    """A bound or a difference without needless zeros, such as 0.03, 5 or 1e-5."""
    if value and (abs(value) < Decimal("0.001") or abs(value) >= Decimal("1e15")):
        return f"{value.normalize():e}"
    return f"{value.normalize():f}"


# --- the tags -------------------------------------------------------------------------------------


def parse_tags(tags: Sequence[Any]) -> Tolerance:
    """Read a cell's tags; those that have nothing to do with tolerance are left aside.

    Raises TagError for a tag that is unknown, malformed or there twice.
    """
    if not isinstance(tags, (list, tuple)):
        raise TagError(f"the cell's tags must be a list, not {tags!r}")
    bounds: dict[str, Decimal] = {}
    for tag in tags:
        if not isinstance(tag, str) or not LOOKS_LIKE_A_TAG.match(tag):
            continue
        match = TAG.fullmatch(tag) or COUNT_TAG.fullmatch(tag)
        if match is None or not Decimal(match[2]):
            raise TagError(f"the tag {tag!r} is not understood; {ALLOWED}")
        if match[1] in bounds:
            raise TagError(f"the tag {tag!r} is the second one for {match[1]}; {ALLOWED}")
        bounds[match[1]] = Decimal(match[2])
    return Tolerance(**bounds)


def check_tags(
    tags: Sequence[Any],
    source: str,
    outputs: Sequence[Mapping[str, Any]],
    *,
    notebook: str = "",
    cell_id: str = "",
) -> list[str]:
    """What is wrong with the tags of one cell, a sentence each; empty if they keep to the rules.

    tags: all of the cell's tags.
    source: its code; the first line may name the cell in WIDER.
    outputs: the stored outputs, as nbformat reads them.
    notebook, cell_id: what WIDER calls the cell.
    """
    try:
        tolerance = parse_tags(tags)
    except TagError as error:
        return [str(error)]
    if tolerance == Tolerance():
        return []
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    problems = [
        f"a cell with a tolerance tag must not show {kind}, which is compared word for word;"
        " print its numbers as text"
        for kind in COMPARED_AS_TEXT
        if kind in kinds
    ]
    numbers = [number for text in compared_texts(outputs) for number in numbers_in(text)]
    problems += useless_tags(tolerance, numbers)
    if not is_wider(notebook, cell_id, source):
        problems += too_wide_tags(tolerance, numbers)
    return problems


def useless_tags(tolerance: Tolerance, numbers: Sequence[Number]) -> list[str]:
    """Tags for a kind of number that the stored output does not have."""
    problems: list[str] = []
    has_whole = any(number.is_whole for number in numbers)
    has_decimal = any(not number.is_whole for number in numbers)
    for kind in ("abs", "rel", "below"):
        if getattr(tolerance, kind) is not None and not has_decimal:
            problems.append(
                f"tolerance:{kind}={show(getattr(tolerance, kind))} has no effect: the stored text"
                " has no number with a decimal point or an exponent (whole numbers need"
                " tolerance:count)"
            )
    if tolerance.count is not None and not has_whole:
        problems.append(
            f"tolerance:count={show(tolerance.count)} has no effect: the stored text has no whole"
            " number that stands alone"
        )
    return problems


def too_wide_tags(tolerance: Tolerance, numbers: Sequence[Number]) -> list[str]:
    """Tags whose bound is above the limit of the module's table."""
    wider = "a wider bound needs an entry in WIDER (tests/tolerance.py), with the reason"
    problems: list[str] = []
    if tolerance.abs is not None:
        in_percent = any(number.is_percentage and not number.is_whole for number in numbers)
        limit = MAX_POINTS if in_percent else MAX_SHARE
        if tolerance.abs > limit:
            problems.append(
                f"tolerance:abs={show(tolerance.abs)} is too wide: at most {MAX_POINTS} for decimal"
                f" numbers followed by % or points, and {MAX_SHARE} without them; {wider}"
            )
    if tolerance.rel is not None and tolerance.rel > MAX_REL:
        problems.append(
            f"tolerance:rel={show(tolerance.rel)} is too wide: at most {MAX_REL}; {wider}"
        )
    if tolerance.below is not None and tolerance.below > MAX_BELOW:
        problems.append(
            f"tolerance:below={show(tolerance.below)} is too wide: at most {MAX_BELOW}; {wider}"
        )
    limits = [max_count(number) for number in numbers if number.is_whole]
    if tolerance.count is not None and limits and tolerance.count > max(limits):
        problems.append(
            f"tolerance:count={show(tolerance.count)} is too wide: at most 5 % of the stored number"
            f" ({MAX_POINTS} if % or points follow), here {show(max(limits))}; {wider}"
        )
    return problems


def is_wider(notebook: str, cell_id: str, source: str) -> bool:
    """Whether WIDER lists the cell."""
    return (notebook, cell_id) in WIDER or (notebook, first_code_line(source)) in WIDER


def first_code_line(source: str) -> str:
    """The first line that is neither empty nor a comment."""
    lines = [line.strip() for line in source.splitlines()]
    return next((line for line in lines if line and not line.startswith("#")), "")


def notebook_name(path: Path) -> str:
    """What WIDER calls a notebook: its path within notebooks/, or else the name of its file."""
    parts = path.parts
    if "notebooks" not in parts[:-1]:
        return path.name
    last = max(place for place, part in enumerate(parts[:-1]) if part == "notebooks")
    return "/".join(parts[last + 1 :])


def check_notebook(path: Path) -> list[str]:
    """What is wrong with the tolerance tags of a notebook, a sentence each that names the cell."""
    import nbformat  # here, since most runs of pytest do not need it

    name = notebook_name(path)
    problems: list[str] = []
    for cell in nbformat.read(path, as_version=4).cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code":
            found = check_tags(
                tags, cell.source, cell.outputs, notebook=name, cell_id=cell.get("id", "")
            )
        else:
            found = [
                f"the tag {tag!r} stands at a cell without code"
                for tag in tags
                if str(tag).strip().lower().startswith("tolerance")
            ]
        problems += [f"{name}, cell {cell.get('id', '')}: {problem}" for problem in found]
    return problems


# --- the texts ------------------------------------------------------------------------------------


def split_line(text: str) -> Line:
    """Cut one line into numbers, words and blanks; joined again they give the same line."""
    line = Line(pieces=[], blanks=[""])
    for match in PIECE.finditer(text):
        if match["blanks"]:
            line.blanks[-1] = match["blanks"]
            continue
        is_number = match["number"] is not None
        line.pieces.append(parse_number(match, text) if is_number else match["word"])
        line.blanks.append("")
    return line


def parse_number(match: re.Match[str], line: str) -> Number:
    plain = match["number"].replace("−", "-").replace(",", "").lower()
    mantissa, _, exponent = plain.partition("e")
    return Number(
        text=match["number"],
        value=Decimal(plain),
        decimals=len(mantissa.partition(".")[2]),
        has_exponent=bool(exponent),
        is_percentage=IN_PERCENT.match(line, match.end()) is not None,
    )


def numbers_in(text: str) -> Iterator[Number]:
    for line in text.split("\n"):
        for piece in split_line(line).pieces:
            if isinstance(piece, Number):
                yield piece


def compare_text(stored: str, new: str, tolerance: Tolerance) -> list[str]:
    """What differs by more than the tolerance, a message each; empty if nothing does.

    With Tolerance() the list is empty if and only if the texts are equal.
    """
    stored_lines = stored.split("\n")
    new_lines = new.split("\n")
    if len(stored_lines) != len(new_lines):
        return describe_lines(stored_lines, new_lines)
    messages: list[str] = []
    for place, stored_line in enumerate(stored_lines):
        new_line = new_lines[place]
        for difference in compare_line(stored_line, new_line, tolerance):
            messages.append(
                f"line {place + 1}: {difference}\n"
                f"    stored line: {stored_line}\n"
                f"    new line:    {new_line}"
            )
    return messages


def describe_lines(stored: Sequence[str], new: Sequence[str]) -> list[str]:
    """Which lines are missing or new. Lines that differ only in their numbers count as the same."""
    matcher = difflib.SequenceMatcher(
        None,
        [tuple(split_line(line).words) for line in stored],
        [tuple(split_line(line).words) for line in new],
        autojunk=False,
    )
    messages: list[str] = []
    for kind, stored_from, stored_to, new_from, new_to in matcher.get_opcodes():
        if kind == "equal":
            continue
        for place in range(stored_from, stored_to):
            messages.append(f"stored line {place + 1} is missing: {stored[place]!r}")
        for place in range(new_from, new_to):
            messages.append(f"line {place + 1} is new: {new[place]!r}")
    return messages


def compare_line(stored: str, new: str, tolerance: Tolerance) -> list[str]:
    """What differs within one line: a word, or else numbers, or else blanks."""
    if stored == new:
        return []
    old_line = split_line(stored)
    new_line = split_line(new)
    if old_line.words != new_line.words:
        return [describe_words(old_line, new_line)]
    messages: list[str] = []
    for place, old in enumerate(old_line.pieces):
        if isinstance(old, Number):
            messages += compare_number(old, new_line.pieces[place], tolerance)
    return messages or compare_blanks(old_line, new_line, tolerance)


def describe_words(stored: Line, new: Line) -> str:
    """The first place where the words of two lines differ."""
    matcher = difflib.SequenceMatcher(None, stored.words, new.words, autojunk=False)
    changes = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    kind, stored_from, stored_to, new_from, new_to = changes[0]
    old_part = stored.pieces[stored_from:stored_to]
    new_part = new.pieces[new_from:new_to]
    if kind == "delete":
        message = f"stored {name_pieces(old_part)}, now missing"
    elif kind == "insert":
        message = f"now {name_pieces(new_part)}, which is not in the stored line"
    else:
        message = f"stored {name_pieces(old_part)}, now {name_pieces(new_part)}"
    words = [piece for piece in [*old_part, *new_part] if isinstance(piece, str)]
    if any(re.search("[0-9]", word) for word in words):
        message += (
            " (digits that touch a letter, or that a hyphen or a colon joins, count as a word)"
        )
    return message


def name_pieces(pieces: Sequence[Number | str]) -> str:
    names = [
        f"the number {piece.text}" if isinstance(piece, Number) else f"the word {piece!r}"
        for piece in pieces
    ]
    return ", ".join(names)


def compare_number(stored: Number, new: Number, tolerance: Tolerance) -> list[str]:
    """At most one message: the number is printed in another form, or it is too far away."""
    if stored.text == new.text:
        return []
    pair = f"stored {stored.text}, now {new.text}"
    change = describe_form(stored, new)
    if change:
        return [f"{pair}: {change}"]
    if tolerance.allows(stored, new):
        return []
    difference = show(abs(new.value - stored.value))
    return [f"{pair}: differs by {difference}, allowed {tolerance.describe(stored)}"]


def describe_form(stored: Number, new: Number) -> str:
    """How the printed form changed, where that does not follow from the value; "" if it did not."""
    signs = {stored.sign, new.sign}
    if len(signs) == 2 and (signs <= set(MINUS) or signs == {"+", ""}):
        return "another sign is printed"
    if stored.has_exponent or new.has_exponent:
        return ""
    if stored.decimals != new.decimals:
        return "the number of decimals changed; print a fixed number of them, as in {loss:.3f}"
    both_long = min(abs(stored.value), abs(new.value)) >= 1000
    if both_long and ("," in stored.text) != ("," in new.text):
        return "separators for thousands are printed in one of the two only"
    return ""


def compare_blanks(stored: Line, new: Line, tolerance: Tolerance) -> list[str]:
    """At most one message: a run of blanks changed that does not lie next to a tolerated number."""
    for place, old in enumerate(stored.blanks):
        now = new.blanks[place]
        if old == now:
            continue
        only_length = old.replace(" ", "") == now.replace(" ", "")
        if only_length and is_beside_number(stored, place, tolerance):
            continue
        neighbour = (
            f"before {name_pieces(stored.pieces[place : place + 1])}"
            if place < len(stored.pieces)
            else "at the end of the line"
        )
        return [f"stored {len(old)} blanks {neighbour}, now {len(now)}"]
    return []


def is_beside_number(line: Line, place: int, tolerance: Tolerance) -> bool:
    """Whether blanks[place] lies next to a number that the tolerance concerns.

    What is printed without a blank between belongs to the number: the bracket of `(0.5)`, the name
    of `loss=0.5`. So does a percent sign after a blank.
    """
    neighbours: list[Number | str] = []
    for before in reversed(range(place)):
        piece = line.pieces[before]
        neighbours.append(piece)
        is_sign = isinstance(piece, str) and piece.startswith("%")
        if line.blanks[before] and not is_sign:
            break
    for after in range(place, len(line.pieces)):
        neighbours.append(line.pieces[after])
        if line.blanks[after + 1]:
            break
    return any(isinstance(piece, Number) and tolerance.concerns(piece) for piece in neighbours)


# --- nbval ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    """One text of an output, and where it is kept, so that it can be replaced."""

    kind: str
    owner: Any
    key: str

    @property
    def value(self) -> str:
        return self.owner[self.key]


def texts_of(outputs: Sequence[Any]) -> list[Text]:
    """All texts that are looked at here, in order: stdout, stderr and text/plain."""
    texts: list[Text] = []
    for output in outputs:
        if output["output_type"] == "stream":
            texts.append(Text(output["name"], output, "text"))
        elif "text/plain" in output.get("data", {}):
            texts.append(Text("text/plain", output["data"], "text/plain"))
    return texts


def compared_texts(outputs: Sequence[Any]) -> list[str]:
    """The texts in which numbers may have room: all but stderr."""
    return [text.value for text in texts_of(outputs) if text.kind != "stderr"]


def accept_tolerated(
    new_outputs: Sequence[Any],
    stored_outputs: Sequence[Any],
    tolerance: Tolerance,
    clean: Callable[[str], str] = str,
) -> list[str]:
    """Replace each new text that the tolerance allows by the stored one; return what it refuses.

    clean: nbval's own replacements (--nbval-sanitize-with), made before texts are compared.
    """
    messages: list[str] = []
    for kind in ("stdout", "stderr", "text/plain"):
        stored_texts = [text for text in texts_of(stored_outputs) if text.kind == kind]
        new_texts = [text for text in texts_of(new_outputs) if text.kind == kind]
        if len(stored_texts) != len(new_texts):
            continue  # nbval reports this itself
        for place, stored in enumerate(stored_texts):
            new = new_texts[place]
            room = Tolerance() if kind == "stderr" else tolerance
            differences = compare_text(clean(stored.value), clean(new.value), room)
            if not differences:
                new.owner[new.key] = stored.value
            name = kind if len(stored_texts) == 1 else f"{kind} {place + 1}"
            messages += [f"{name}, {difference}" for difference in differences]
    return messages


def compare_outputs(item: Any, test: Any, ref: Any, skip_compare: Any = None) -> bool:
    """Take the place of the method of nbval's cell: nbval sees a tolerated text as equal."""
    cell = item.cell
    tags = cell.metadata.get("tags", [])
    notebook = notebook_name(item.path)
    cell_id = cell.get("id", "")
    problems = check_tags(tags, cell.source, cell.outputs, notebook=notebook, cell_id=cell_id)
    if problems:
        item.raise_cell_error("A tolerance tag of this cell is not allowed", "\n".join(problems))
    tolerance = replace(parse_tags(tags), is_wider=is_wider(notebook, cell_id, cell.source))
    new_outputs = copy.deepcopy(test)
    differences = accept_tolerated(new_outputs, ref, tolerance, item.sanitize)
    is_equal = type(item).compare_outputs(item, new_outputs, ref, skip_compare)
    if not is_equal and differences:
        item.comparison_traceback[:0] = report(differences, item.colors)
    return is_equal


def report(differences: Sequence[str], colors: Any) -> list[str]:
    """The lines that stand above nbval's own report."""
    lines = [f"{colors.OKBLUE}What differs from the stored output:{colors.ENDC}"]
    lines += [f"  {difference}" for difference in differences[:MAX_REPORTED]]
    if len(differences) > MAX_REPORTED:
        lines.append(f"  and {len(differences) - MAX_REPORTED} more")
    lines.append(
        "If the new output is right, store it (make notebooks). If a number differs between"
        " machines, give the cell a tag such as tolerance:abs=0.03 (tests/tolerance.py)."
    )
    return [*lines, ""]


def is_asked_for(config: pytest.Config) -> bool:
    """Whether nbval is installed and was asked to run notebooks."""
    return any(config.getoption(option, default=False) for option in ("nbval", "nbval_lax"))


def pytest_report_header(config: pytest.Config) -> str | None:
    if is_asked_for(config):
        return "notebooks: cell tags give live numbers room (tests/tolerance.py)"
    return None


def pytest_itemcollected(item: pytest.Item) -> None:
    if not is_asked_for(item.config):
        return
    from nbval.plugin import IPyNbCell

    if isinstance(item, IPyNbCell):
        # On the cell itself, not on its class: other plugins and nbval's own tests stay untouched.
        item.compare_outputs = partial(compare_outputs, item)
