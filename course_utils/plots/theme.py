"""The look of every picture: colours, sizes, axes, labels.

The palette is Okabe and Ito's (2008, "Color Universal Design"), which colour-blind readers tell
apart; markers differ too. It is for fills and lines. Text needs more contrast than a line does, so
a text takes the `ink` of its colour. The background is white by itself, so that pictures read the
same in a dark notebook and on paper.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    # matplotlib builds a cache of fonts when it is first imported: not before a picture is wanted.
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
)
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = ("o", "s", "D", "^", "v", "P")
INK, GREY, PALE, PAPER = "#222222", "#666666", "#DDDDDD", "#FFFFFF"

# What the colours stand for. To change a colour everywhere, change it here.
MAIN = BLUE  # the curve, bar or part that the picture is about; the positive class
ACCENT = VERMILLION  # what is set off from it: the highlighted row, validation, the negative class
GOOD = GREEN  # what is kept, found or right
BAD = VERMILLION  # what is lost, unknown or wrong
SOFT = SKY  # raw values behind a summary
NEUTRAL = GREY  # references, and what belongs to no group

SMALL, NORMAL = 9, 10  # points; nothing is smaller than SMALL
DPI = 160  # pixels per inch of every figure
_CONTRAST = 4.5  # the least contrast of text with its ground (WCAG 2.2, criterion 1.4.3)


# --- colours --------------------------------------------------------------------------------------


def _luminance(colour: Any) -> float:
    """How light a colour is to the eye, from 0 (black) to 1 (white).

    colour: whatever matplotlib takes for one; its alpha does not count. Source: the relative
    luminance of WCAG 2.2, for sRGB.
    """
    from matplotlib.colors import to_rgb

    channels = np.array(to_rgb(colour))
    linear = np.where(
        channels <= 0.04045,
        channels / 12.92,
        ((channels + 0.055) / 1.055) ** 2.4,
    )
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _contrast(one: Any, other: Any) -> float:
    """The contrast of two colours, from 1 (equal) to 21 (black on white); source: WCAG 2.2."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def ink(colour: Any, ground: Any = PAPER) -> str:
    """The colour for a text that belongs to something drawn in `colour`, as a hex string.

    It is `colour` itself where that can be read on `ground`, and otherwise the same hue, darkened
    until its contrast is at least 4.5. On a ground that is too dark even for black, it is white.
    """
    from matplotlib.colors import to_hex, to_rgb

    if _contrast("black", ground) < _CONTRAST:
        return PAPER
    red_green_blue = np.array(to_rgb(colour))
    for share in np.linspace(1, 0, 51):
        darkened = to_hex(share * red_green_blue)
        if _contrast(darkened, ground) >= _CONTRAST:
            return darkened.upper()
    return "#000000"


def tint(colour: Any, share: float = 0.2) -> str:
    """A pale shade: `share` of the colour, the rest white, as a hex string."""
    from matplotlib.colors import to_hex, to_rgb

    red_green_blue = np.array(to_rgb(colour))
    return to_hex(share * red_green_blue + (1 - share)).upper()


# --- figures and axes -----------------------------------------------------------------------------


def new_axes(width: float = 6.4, height: float = 3.6, num_panels: int = 1) -> list[Axes]:
    """Empty Axes of a new figure of this size in inches, one above the other, sharing x."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        num_panels,
        figsize=(width, height),
        dpi=DPI,
        layout="constrained",
        sharex=True,
        squeeze=False,
        facecolor=PAPER,
    )
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    return list(axes[:, 0])


def figure_of(ax: Axes) -> Figure:
    """The whole figure that Axes lie in, also where they lie in a part of it."""
    return ax.get_figure(root=True)


def style(ax: Axes, xlabel: str = "", ylabel: str = "", grid: str = "") -> None:
    """Give Axes the course's look: white, two spines, labels, and a pale grid along "x", "y",
    "both" or none. Their figure gets the course's resolution.
    """
    figure = figure_of(ax)
    figure.set_facecolor(PAPER)
    figure.set_dpi(DPI)
    ax.set_facecolor(PAPER)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(colors=INK, labelsize=SMALL, length=3)
    ax.set_xlabel(xlabel, color=INK, fontsize=NORMAL)
    ax.set_ylabel(ylabel, color=INK, fontsize=NORMAL)
    ax.set_axisbelow(True)
    ax.grid(False)
    if grid:
        ax.grid(True, axis=grid, color=PALE, linewidth=0.7, linestyle="-")


def describe(ax: Axes, text: str) -> None:
    """Attach a text alternative to the figure, as its label.

    A figure with several panels says one after the other; drawing the same again says nothing new.
    """
    figure = figure_of(ax)
    said = figure.get_label()
    if text not in said:
        figure.set_label(f"{said} {text}".strip())


def write(
    ax: Axes, x: float, y: float, text: str, shift: Sequence[float] = (0, 0), **options: Any
) -> None:
    """Small plain text, `shift` points from a place in the data;
    a $ in a review's word is no mathematics.
    """
    ax.annotate(
        text,
        (x, y),
        shift,
        textcoords="offset points",
        **{
            "color": INK,
            "fontsize": SMALL,
            "parse_math": False,
            "annotation_clip": False,
            **options,
        },
    )


def rows_of_names(ax: Axes, names: Sequence[str]) -> None:
    """One row for each name, the first on top."""
    ax.set_yticks(range(len(names)), labels=names, parse_math=False)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)


def table(
    ax: Axes,
    shades: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    axis_names: tuple[str, str],
    texts: Sequence[Sequence[str]] | None,
    **limits: float,
) -> Any:
    """Cells in shades of blue, with a text in each, black or white, whichever reads better;
    returns matplotlib's image.
    """
    image = ax.imshow(shades, cmap="Blues", aspect="auto", **limits)
    style(ax, *axis_names)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_xticks(range(len(columns)), labels=columns, parse_math=False)
    ax.set_yticks(range(len(rows)), labels=rows, parse_math=False)
    for row, column in np.ndindex(shades.shape) if texts is not None else ():
        ground = image.cmap(image.norm(shades[row, column]))
        write(
            ax,
            column,
            row,
            texts[row][column],
            ha="center",
            va="center",
            color=ink(INK, ground),
        )
    return image


def turn_column_labels(ax: Axes) -> None:
    """Turn the labels below the columns where they would overlap, and only there:
    by 45 degrees, or by 90 where the columns are narrower than a line of text.
    """
    figure_of(ax).draw_without_rendering()  # settles where the labels lie
    labels = ax.get_xticklabels()
    boxes = [label.get_window_extent() for label in labels]
    gap = 3 * figure_of(ax).dpi / 72  # pixels
    if not any(left.x1 + gap > right.x0 for left, right in itertools.pairwise(boxes)):
        return
    pitch = ax.bbox.width / len(labels) * 72 / figure_of(ax).dpi  # points
    slant = 45 if pitch > 1.8 * SMALL else 90
    for label in labels:
        label.set(
            rotation=slant,
            rotation_mode="anchor",
            ha="right",
            va="center" if slant == 90 else "top",
        )


# --- axes of accuracy -----------------------------------------------------------------------------


def accuracy_axis(ax: Axes, values: Sequence[float], what: str, room: float = 0.0) -> None:
    """Fit the x axis to accuracies in percent, with `room` more of the span at the right.

    An axis that does not start at zero gets a break mark at its left end.
    """
    low, high = min(values), max(values)
    margin = max(0.5, 0.06 * (high - low))
    start = max(0.0, math.floor(2 * (low - margin)) / 2)
    ax.set_xlim(start, high + margin + room * (high - start))
    ax.set_xticks([tick for tick in ax.get_xticks() if start <= tick <= 100])
    ax.set_xlabel(what, color=INK, fontsize=NORMAL)
    if start:
        _break_mark(ax)


def _break_mark(ax: Axes) -> None:
    """Two strokes across the left end of the x axis: what lies before it is left out."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path
    from matplotlib.transforms import Affine2D, ScaledTranslation

    # From points, with the corner of the Axes as the origin, to pixels.
    to_inches = Affine2D().scale(1 / 72)
    to_corner = ScaledTranslation(0, 0, ax.transAxes)
    points = to_inches + figure_of(ax).dpi_scale_trans + to_corner
    shared = {"transform": points, "clip_on": False, "zorder": 5}

    gap = Path([(8, -4), (12, 4), (16, 4), (12, -4), (8, -4)])
    ax.add_patch(PathPatch(gap, facecolor=PAPER, linewidth=0, **shared))
    for left in (8, 12):
        stroke = Path([(left, -4), (left + 4, 4)])
        ax.add_patch(PathPatch(stroke, edgecolor=GREY, linewidth=1, **shared))


# --- names of curves ------------------------------------------------------------------------------


def text_width(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """The width of one line of text in points, in matplotlib's own font."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]


def legend(ax: Axes, columns: int) -> None:
    """The names of what is drawn, in the inks of their colours, above the Axes."""
    drawn = ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        frameon=False,
        fontsize=SMALL,
        labelcolor="linecolor",
        handletextpad=0.4,
        columnspacing=1.5,
        borderaxespad=0,
    )
    for name in drawn.get_texts():
        name.set(color=ink(name.get_color()), parse_math=False)


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Move positions apart, as little as it takes,
    until neighbours are at least `gap` from each other.
    """
    order = np.argsort(positions, kind="stable")
    moved = np.asarray(positions, dtype=float)[order]
    for _ in range(200):
        overlap = np.maximum(0.0, gap - np.diff(moved)) / 2
        moved[:-1] -= overlap
        moved[1:] += overlap
    return moved[np.argsort(order)].tolist()


def label_ends(ax: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Name curves at the right edge: (height in data units, text, colour of the curve),
    moved apart where they would overlap.
    """
    points = ax.get_position().height * figure_of(ax).get_figheight() * 72
    heights = [float((ax.transScale + ax.transLimits).transform((1, y))[1]) for y, _, _ in ends]
    for (_, text, colour), height in zip(ends, spread(heights, 14 / points), strict=True):
        write(ax, 1, height, text, (6, 0), color=ink(colour), va="center", xycoords="axes fraction")


def ends_have_room(ax: Axes, names: Sequence[str]) -> bool:
    """Whether names fit beside the right edge: at most four tenths of the figure's width,
    and one line for each within the height of the Axes.

    A figure without a layout engine makes no room of its own, so there the names must fit into the
    margin that it has.
    """
    figure = figure_of(ax)
    inches = (6 + max(map(text_width, names))) / 72
    place = ax.get_position()
    width = figure.get_figwidth()
    margin = 0.4 * width if figure.get_layout_engine() else (1 - place.x1) * width
    lines_that_fit = place.height * figure.get_figheight() * 72 // 14
    return inches <= margin and len(names) <= lines_that_fit
