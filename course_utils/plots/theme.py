"""The look of every picture: colours, sizes, axes, labels.

Colours are Okabe and Ito's (2008, "Color Universal Design"), which colour-blind readers tell apart;
markers differ too. The background is white by itself, so that pictures read the same in a dark
notebook and on paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if (
    TYPE_CHECKING
):  # matplotlib builds a cache of fonts when it is first imported: not before a picture is wanted
    from matplotlib.axes import Axes


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
SMALL, NORMAL = 9, 10  # points


# --- style ----------------------------------------------------------------------------------------


def new_axes(width: float = 6.4, height: float = 3.6, num_panels: int = 1) -> list[Axes]:
    """Empty Axes of a new figure of this size in inches, one above the other, sharing x."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        num_panels,
        figsize=(width, height),
        layout="constrained",
        sharex=True,
        squeeze=False,
        facecolor=PAPER,
    )
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    return list(axes[:, 0])


def style(ax: Axes, xlabel: str = "", ylabel: str = "", grid: str = "") -> None:
    """Give Axes the course's look: white, two spines, labels, and a pale grid along "x", "y",
    "both" or none.
    """
    ax.figure.set_facecolor(PAPER)
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


def legend(ax: Axes, columns: int) -> None:
    """The names of what is drawn, in their colours, above the Axes."""
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        frameon=False,
        fontsize=SMALL,
        labelcolor="linecolor",
        handletextpad=0.2,
        columnspacing=1.5,
        borderaxespad=0,
    )


def table(
    ax: Axes,
    shades: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    axis_names: tuple[str, str],
    texts: Sequence[Sequence[str]] | None,
    **limits: float,
) -> Any:
    """Cells in shades of blue, with a text in each, white where the blue is dark;
    returns matplotlib's image.
    """
    image = ax.imshow(shades, cmap="Blues", aspect="auto", **limits)
    style(ax, *axis_names)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_xticks(range(len(columns)), labels=columns, parse_math=False)
    ax.set_yticks(range(len(rows)), labels=rows, parse_math=False)
    for row, column in np.ndindex(shades.shape) if texts is not None else ():
        write(
            ax,
            column,
            row,
            texts[row][column],
            ha="center",
            va="center",
            color=PAPER if image.norm(shades[row, column]) > 0.7 else INK,
        )
    return image


def accuracy_axis(ax: Axes, values: Sequence[float], what: str, room: float = 0.0) -> None:
    """Fit the x axis to accuracies in percent, `room` more of the span at the right,
    and say where it starts.
    """
    low, high = min(values), max(values)
    margin = max(0.5, 0.06 * (high - low))
    start = max(0.0, math.floor(2 * (low - margin)) / 2)
    ax.set_xlim(start, high + margin + room * (high - start))
    ax.set_xticks([tick for tick in ax.get_xticks() if start <= tick <= 100])
    ax.set_xlabel(
        f"{what}; the axis starts at {start:.3g}" if start else what, color=INK, fontsize=NORMAL
    )


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
    """Name curves at the right edge: (height in data units, text, colour),
    moved apart where they would overlap.
    """
    points = ax.get_position().height * ax.figure.get_figheight() * 72
    heights = [float((ax.transScale + ax.transLimits).transform((1, y))[1]) for y, _, _ in ends]
    for (_, text, colour), height in zip(ends, spread(heights, 14 / points), strict=True):
        write(ax, 1, height, text, (6, 0), color=colour, va="center", xycoords="axes fraction")
