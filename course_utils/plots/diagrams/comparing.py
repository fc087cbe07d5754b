"""Two models on the same examples: McNemar's table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from course_utils.plots.diagrams import drawing
from course_utils.plots.diagrams.drawing import Area
from course_utils.plots.theme import BLUE, NORMAL, PALE, VERMILLION, describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 1.75, 0.85  # of a cell in inches, the width at most
_TOP = 0.72


def mcnemar_table(
    both: int,
    only_first: int,
    only_second: int,
    neither: int,
    names: tuple[str, str],
    *,
    ax: Axes | None = None,
) -> Axes:
    """How many examples both models get right, only one of them, and neither; the two cells in
    which they disagree are set off, since McNemar's test reads only these.

    names: of the first model (rows) and the second (columns).
    Raises ValueError for negative counts, no examples, or names that do not fit.
    Text alternative: "Of {n} examples, {first} and {second} are both right on {a} ..."
    """
    counts = (both, only_first, only_second, neither)
    if min(counts) < 0 or sum(counts) == 0:
        raise ValueError(
            "expected four counts of examples, none below 0 and one at least above 0, got "
            f"both={both}, only_first={only_first}, only_second={only_second}, neither={neither}"
        )
    if len(names) != 2 or max(map(drawing.inches, names)) > 1.6:
        raise ValueError(f"expected the short names of two models (20 letters), got {names!r}")
    first, second = names
    total = sum(counts)
    left = max(0.75, drawing.inches(first, "bold") + 0.25, drawing.inches(f"{second} right") + 0.25)
    margin = drawing.inches(f"{first} right") + 0.25
    width = min(_WIDTH, (drawing.PAGE - left - margin) / 2)  # of a cell
    right, bottom = left + 2 * width, _TOP + 2 * _HEIGHT
    ax = drawing.page(bottom + 0.95, ax, width=right + margin)

    drawing.label(ax, left + width, 0.18, second, weight="bold")
    drawing.label(ax, 0.1, _TOP + _HEIGHT, first, ha="left", weight="bold")
    for place, said in enumerate(("right", "wrong")):
        drawing.label(ax, left + (place + 0.5) * width, 0.5, said)
        drawing.label(ax, left - 0.1, _TOP + (place + 0.5) * _HEIGHT, said, ha="right")
    for place, (count, colour, said) in enumerate(
        (
            (both, PALE, "both right"),
            (only_first, BLUE, "only the first right"),
            (only_second, VERMILLION, "only the second right"),
            (neither, PALE, "both wrong"),
        )
    ):
        row, column = divmod(place, 2)
        cell = Area(left + column * width, _TOP + row * _HEIGHT, width, _HEIGHT)
        _draw_cell(ax, cell, f"{count:,}", colour, said)

    # What the models get right in all stands at the margins.
    drawing.label(ax, right + 0.1, 0.5, f"{first} right", ha="left")
    of_first = _share(both + only_first, total)
    drawing.label(ax, right + 0.1, _TOP + _HEIGHT / 2, of_first, ha="left")
    drawing.label(ax, left - 0.1, bottom + 0.25, f"{second} right", ha="right")
    drawing.label(ax, left + width / 2, bottom + 0.25, _share(both + only_second, total))
    disagreements = only_first + only_second
    said = f"they disagree on {disagreements:,} of {total:,} examples: only these count in the test"
    drawing.label(ax, (right + margin) / 2, bottom + 0.7, said)
    describe(
        ax,
        f"Of {total:,} examples, {first} and {second} are both right on {both:,} and both wrong on "
        f"{neither:,}. Only {first} is right on {only_first:,}, only {second} on {only_second:,}: "
        "these two counts are all that McNemar's test reads.",
    )
    return ax


def _draw_cell(ax: Axes, cell: Area, count: str, colour: str, said: str) -> None:
    """One of the four counts, large, and below it what it counts."""
    area = Area(cell.left + 0.03, cell.top + 0.03, cell.width - 0.06, cell.height - 0.06)
    drawing.panel(ax, area, colour, shade=0.25)
    drawing.label(ax, area.x, area.y - 0.12, count, fontsize=NORMAL + 4, weight="bold")
    drawing.label(ax, area.x, area.y + 0.18, said)


def _share(count: int, total: int) -> str:
    return f"{count:,}\n({100 * count / total:.1f} %)"
