"""The small parts of every diagram: a page measured in inches, boxes, arrows, tokens, squares.

Places are inches from the upper left corner of the page, x to the right and y down, so that a text
of 9 points takes the same room in every diagram, and widths can be computed before drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from course_utils.plots.theme import (
    DPI,
    GREY,
    INK,
    MAIN,
    NORMAL,
    PALE,
    PAPER,
    SMALL,
    figure_of,
    text_width,
    tint,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAGE = 7.0  # the widest diagram, in inches
MARGIN = 0.1
LINE = 0.17  # from one line of small text to the next
TOKEN_HEIGHT = 0.27
_FONT = "DejaVu Sans"  # comes with matplotlib, so that widths are the same on every machine


_HALF_A_CAPITAL = 0.365  # of the font's size


@dataclass(frozen=True)
class Area:
    """A rectangle on the page; all in inches."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """The bottom edge."""
        return self.top + self.height

    @property
    def x(self) -> float:
        """The middle, from left to right."""
        return self.left + self.width / 2

    @property
    def y(self) -> float:
        """The middle, from top to bottom."""
        return self.top + self.height / 2


# --- the page -------------------------------------------------------------------------------------


def page(height: float, ax: Axes | None = None, *, width: float = PAGE) -> Axes:
    """Axes that cover a new white figure, in inches; or the given Axes, with the same scale.

    Given Axes should be about as large as the page, because text does not shrink with them.
    """
    if ax is None:
        from matplotlib import pyplot

        figure = pyplot.figure(figsize=(width, height), dpi=DPI, facecolor=PAPER)
        ax = figure.add_axes((0, 0, 1, 1))
    figure_of(ax).set_facecolor(PAPER)
    ax.set_facecolor(PAPER)
    ax.set_axis_off()
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    return ax


def inches(text: str, weight: str = "normal") -> float:
    """The width of a small text on the page; of several lines, the widest."""
    return max(text_width(line, SMALL, weight) for line in text.split("\n")) / 72


# --- text, boxes, arrows --------------------------------------------------------------------------


def label(ax: Axes, x: float, y: float, text: str, **options: Any) -> None:
    """A small text, centred at its place; a $ in it is no mathematics.

    One line is centred by its capitals, so that neighbours stand on one line, whichever letters
    they have.
    """
    usual = {
        "color": INK,
        "fontsize": SMALL,
        "family": _FONT,
        "ha": "center",
        "va": "center",
        "linespacing": 1.3,
        "parse_math": False,
    }
    look = {**usual, **options}
    if look["va"] == "center" and "\n" not in text and "rotation" not in look:
        look["va"] = "baseline"
        y += _HALF_A_CAPITAL * look["fontsize"] / 72
    ax.text(x, y, text, **look)


def heading(ax: Axes, x: float, y: float, text: str, **options: Any) -> None:
    """The name of a panel: bold, and a little larger."""
    label(ax, x, y, text, **{"fontsize": NORMAL, "weight": "bold", **options})


def box(
    ax: Axes,
    area: Area,
    text: str,
    colour: str = MAIN,
    *,
    lit: bool = True,
    shade: float = 0.2,
) -> Area:
    """A tinted box with its text, the first of several lines bold; returns its area.

    An unlit box is white and grey, and can still be read.
    """
    panel(ax, area, colour if lit else PALE, shade=shade if lit else 0.0)
    lines = text.split("\n")
    for number, line in enumerate(lines):
        y = area.y + (number - (len(lines) - 1) / 2) * LINE
        label(
            ax,
            area.x,
            y,
            line,
            weight="bold" if number == 0 and len(lines) > 1 else "normal",
            color=INK if lit else GREY,
        )
    return area


def panel(
    ax: Axes,
    area: Area,
    colour: str,
    *,
    shade: float = 0.0,
    rounding: float = 0.06,
    dashed: bool = False,
) -> None:
    """A rounded rectangle: its edge in the colour, its inside in a tint of it."""
    from matplotlib.patches import FancyBboxPatch

    ax.add_patch(
        FancyBboxPatch(
            (area.left, area.top),
            area.width,
            area.height,
            boxstyle=f"round,pad=0,rounding_size={rounding}",
            facecolor=tint(colour, shade),
            edgecolor=colour,
            linewidth=1.1,
            linestyle=(0, (3, 2)) if dashed else "-",
        )
    )


def arrow(
    ax: Axes,
    points: Sequence[tuple[float, float]],
    colour: str = GREY,
    *,
    head: bool = True,
    dashed: bool = False,
) -> None:
    """A line through these points, with a head at the last one."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    ax.add_patch(
        FancyArrowPatch(
            path=Path(points),
            arrowstyle="-|>" if head else "-",
            mutation_scale=9,
            color=colour,
            linewidth=1.1,
            linestyle=(0, (3, 2)) if dashed else "-",
            shrinkA=0,
            shrinkB=0,
            joinstyle="miter",
            capstyle="butt",
        )
    )


def rule(ax: Axes, left: float, right: float, y: float, colour: str = PALE) -> None:
    """A level line that separates or brackets, and leads nowhere."""
    ax.plot([left, right], [y, y], color=colour, linewidth=1.1, solid_capstyle="butt")


def circle(
    ax: Axes, x: float, y: float, sign: str, colour: str = GREY, radius: float = 0.11
) -> None:
    """A small circle with a sign in it, as + for a sum."""
    from matplotlib.patches import Circle

    ax.add_patch(Circle((x, y), radius, facecolor=PAPER, edgecolor=colour, linewidth=1.1))
    label(ax, x, y - 0.005, sign, fontsize=NORMAL, weight="bold", color=GREY)


# --- tokens, squares ------------------------------------------------------------------------------


def token_widths(
    tokens: Sequence[str], available: float, *, gap: float = 0.06, least: float = 0.3
) -> list[float]:
    """How wide the box of each token is, so that its text fits, `least` inches at least.

    Raises ValueError for no tokens, or more than fit side by side into `available` inches.
    """
    if not len(tokens):
        raise ValueError("expected at least one token to draw, got none")
    widths = [max(least, inches(token) + 0.1) for token in tokens]
    needed = sum(widths) + gap * (len(widths) - 1)
    if needed > available + 1e-6:
        raise ValueError(
            f"these {len(tokens)} tokens need {needed:.1f} inches side by side, and the picture "
            f"has {available:.1f}; draw fewer or shorter tokens"
        )
    return widths


def token_areas(
    tokens: Sequence[str],
    left: float,
    top: float,
    *,
    available: float,
    gap: float = 0.06,
    least: float = 0.3,
) -> list[Area]:
    """Where the boxes of a row of tokens lie. Raises ValueError as `token_widths` does."""
    areas: list[Area] = []
    for width in token_widths(tokens, available, gap=gap, least=least):
        areas.append(Area(left, top, width, TOKEN_HEIGHT))
        left += width + gap
    return areas


def token(ax: Axes, area: Area, text: str, colour: str = MAIN, *, shade: float = 0.2) -> None:
    """One token in its box; pale in grey for shade 0."""
    panel(ax, area, colour, shade=shade, rounding=0.04)
    label(ax, area.x, area.y, text)


def square(
    ax: Axes, left: float, top: float, width: float, height: float, fill: str, edge: str = PAPER
) -> None:
    """A plain rectangle, one cell of a matrix."""
    from matplotlib.patches import Rectangle

    ax.add_patch(
        Rectangle((left, top), width, height, facecolor=fill, edgecolor=edge, linewidth=0.8)
    )


def matrix(
    ax: Axes, area: Area, num_rows: int, num_columns: int, colour: str = MAIN, shade: float = 0.35
) -> None:
    """A grid of cells that stands for a matrix of more rows and columns than one can draw."""
    height, width = area.height / num_rows, area.width / num_columns
    for row in range(num_rows):
        for column in range(num_columns):
            left, top = area.left + column * width, area.top + row * height
            square(ax, left, top, width, height, tint(colour, shade))


def shape(*sizes: str | int) -> str:
    """A shape as the course writes it: shape("batch_size", 768) is "[batch_size, 768]"."""
    return f"[{', '.join(map(str, sizes))}]"


def counted(count: int, noun: str) -> str:
    """A number with its noun: "1 layer", "12 layers"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def listed(words: Sequence[str]) -> str:
    """Words as a sentence has them: "a", "a and b", "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
