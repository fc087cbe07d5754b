"""General charts: histograms, word weights, lines, heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from course_utils.plots.theme import (
    ACCENT,
    MAIN,
    MARKERS,
    NEUTRAL,
    PALETTE,
    PAPER,
    SOFT,
    describe,
    ends_have_room,
    ink,
    label_ends,
    legend,
    new_axes,
    rows_of_names,
    spread,
    style,
    table,
    turn_column_labels,
    write,
)

if TYPE_CHECKING:
    # matplotlib builds a cache of fonts when it is first imported: not before a picture is wanted.
    from matplotlib.axes import Axes


# --- texts and words ------------------------------------------------------------------------------


def length_histogram(
    lengths: Sequence[int],
    cuts: Sequence[int] = (128, 256, 512),
    ax: Axes | None = None,
    *,
    unit: str = "tokens",
) -> Axes:
    """How long the texts are, and which share of them each cut leaves whole.

    lengths: one number per text, in `unit`; the longest 1 % are left out of the picture, not out of
    the shares.
    Raises ValueError for no lengths.
    """
    if not len(lengths):
        raise ValueError("expected at least one length, got none")
    values = np.asarray(lengths)
    end = 1.05 * max([*cuts, np.quantile(values, 0.99)])
    remark = "; the longest are left out" if values.max() > end else ""

    ax = ax or new_axes(6.4, 3.2)[0]
    ax.hist(values, bins=np.linspace(0, end, 60), color=SOFT, edgecolor=PAPER, linewidth=0.4)
    style(ax, f"length ({unit}){remark}", "texts", grid="y")
    ax.set_xlim(0, end)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.get_major_locator().set_params(integer=True)

    shares = [f"{100 * np.mean(values <= cut):.0f} %" for cut in cuts]
    _name_cuts(ax, cuts, shares, end)
    said = f"Histogram of the length of {len(values):,} texts in {unit}; the median is "
    said += f"{np.median(values):,.0f}."
    if shares:
        pairs = zip(shares, cuts, strict=True)
        whole = ", ".join(f"{share} at {cut:,}" for share, cut in pairs)
        said += f" Share of texts that a cut leaves whole: {whole}."
    describe(ax, said)
    return ax


def _name_cuts(ax: Axes, cuts: Sequence[int], shares: Sequence[str], end: float) -> None:
    """A line at each cut, and above it the cut and the share that it leaves whole."""
    usual = {"color": ink(ACCENT), "va": "bottom"}
    places = spread(cuts, 0.08 * end)
    for cut, share, x in zip(cuts, shares, places, strict=True):
        ax.axvline(cut, color=ACCENT, linewidth=1.2)
        above = {"ha": "center", "xycoords": ax.get_xaxis_transform()}
        write(ax, x, 1.02, f"{cut:,}\n{share}", **usual, **above)
    left = {"ha": "right", "xycoords": "axes fraction"}
    write(ax, -0.02, 1.02, "cut at\nleaves whole", **usual, **left)


def word_weights(
    words: Sequence[str],
    weights: Sequence[float],
    ax: Axes | None = None,
    *,
    num_words: int = 10,
    class_names: tuple[str, str] = ("neg", "pos"),
) -> Axes:
    """The words with the lowest and the highest weights of a linear model,
    at most `num_words` of each sign.

    Raises ValueError for no words, or another number of weights.
    """
    if not len(words) or len(words) != len(weights):
        raise ValueError(
            f"expected at least one word and a weight for each, got {len(words)} words and "
            f"{len(weights)} weights"
        )
    ascending = sorted(zip(weights, words, strict=True))
    negative = [pair for pair in ascending[:num_words] if pair[0] < 0]
    positive = [pair for pair in ascending[-num_words:] if pair[0] >= 0]
    shown = [*negative, *positive][::-1]

    ax = ax or new_axes(6.4, 1.0 + 0.22 * len(shown))[0]
    values = [weight for weight, _ in shown]
    colours = [MAIN if value >= 0 else ACCENT for value in values]
    ax.barh(range(len(shown)), values, color=colours, height=0.7)
    style(ax, "weight (log-odds)", grid="x")
    rows_of_names(ax, [""] * len(shown))
    ax.axvline(0, color=NEUTRAL, linewidth=1)
    for row, (value, word) in enumerate(shown):
        # A word stands on the side of the axis that its bar leaves free.
        shift, side = (-4, "right") if value >= 0 else (4, "left")
        write(ax, 0, row, word, (shift, 0), ha=side, va="center")
    above = {"va": "bottom", "xycoords": "axes fraction"}
    lower, higher = class_names
    write(ax, 0, 1.01, f"← {lower}", color=ink(ACCENT), ha="left", **above)
    write(ax, 1, 1.01, f"{higher} →", color=ink(MAIN), ha="right", **above)

    listed = ", ".join(f"{word} ({weight:+.1f})" for weight, word in shown)
    describe(ax, f"Words with their weights, from the most {higher} to the most {lower}: {listed}.")
    return ax


# --- curves ---------------------------------------------------------------------------------------


def lines(
    series: Mapping[str, Sequence[tuple[float, ...]]],
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
    *,
    log: str = "",
    dots: bool = True,
) -> Axes:
    """Curves over a shared x, each named at its right end, or in a legend above where the names
    have no room there; a shaded band where a point brings its interval.

    series: {name: points}, a point being (x, y) or (x, y, low, high). log: the axes with
    logarithmic scale, "x", "y", "xy" or none. dots: mark each point. Raises ValueError for no
    series, an empty one, or more than colours.
    """
    if not 1 <= len(series) <= len(PALETTE) or not all(series.values()):
        counts = {name: len(points) for name, points in series.items()}
        raise ValueError(f"expected 1 to {len(PALETTE)} series with points, got {counts}")
    ax = ax or new_axes()[0]
    style(ax, xlabel, ylabel, grid="both")
    ends = []
    for (name, points), colour, marker in zip(series.items(), PALETTE, MARKERS, strict=False):
        look = {"color": colour, "linewidth": 1.8, "markersize": 5, "label": name}
        x, y, *band = zip(*sorted(points), strict=True)
        ax.plot(x, y, marker=marker if dots else None, **look)
        if band:
            low, high = band
            ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        ends.append((y[-1], name, colour))
    _set_scales(ax, log)
    ax.get_ylim()  # settles the limits, on which the heights of the names depend
    if len(series) > 1:
        if ends_have_room(ax, list(series)):
            label_ends(ax, ends)
        else:
            legend(ax, 1 if max(map(len, series)) > 30 else 3)
    describe(ax, _description_of(series, xlabel, ylabel))
    return ax


def _set_scales(ax: Axes, log: str) -> None:
    """Logarithmic where asked for, and plain numbers at the ticks: 10,000, not 1e4."""
    if "x" in log:
        ax.set_xscale("log")
    if "y" in log:
        ax.set_yscale("log")
    limits = {"x": (ax.xaxis, ax.get_xlim), "y": (ax.yaxis, ax.get_ylim)}
    for name, (axis, get_limits) in limits.items():
        if name in log:
            low, high = get_limits()
            axis.get_major_locator().set_params(subs=(1,) if high > 1000 * low else (1, 2, 5))
            axis.set_minor_formatter("")
        axis.set_major_formatter("{x:,.10g}")


def _description_of(
    series: Mapping[str, Sequence[tuple[float, ...]]], xlabel: str, ylabel: str
) -> str:
    """Where each curve starts and ends, in words."""
    curves = []
    for name, points in series.items():
        ordered = sorted(points)
        first_x, first_y = ordered[0][:2]
        last_x, last_y = ordered[-1][:2]
        start = f"{first_y:.3g} at {first_x:.4g}"
        curves.append(f"{name}, from {start} to {last_y:.3g} at {last_x:.4g}")
    over = f" over {xlabel}" if xlabel else ""
    return f"{' '.join(ylabel.split())}{over}: {'; '.join(curves)}."


# --- tables ---------------------------------------------------------------------------------------


def heatmap(
    values: Any,
    rows: Sequence[str],
    columns: Sequence[str],
    what: str,
    ax: Axes | None = None,
    *,
    numbers: str = "",
    axis_names: tuple[str, str] = ("", ""),
) -> Axes:
    """A matrix as shades of blue, its rows and columns named,
    with a colour bar that says `what` they measure.

    values: [num_rows, num_columns]. numbers: a format to print in each cell (".2f", "d"), or none.
    axis_names: what columns and rows are. Raises ValueError where the names do not fit the shape,
    or there are no values.
    """
    matrix = np.asarray(values)
    if matrix.shape != (len(rows), len(columns)) or not matrix.size:
        raise ValueError(
            f"expected values of shape [{len(rows)}, {len(columns)}] for these names, at least "
            f"one, got {list(matrix.shape)}"
        )
    ax = ax or new_axes(1.9 + 0.42 * len(columns), 1.4 + 0.32 * len(rows))[0]
    texts = None
    if numbers:
        texts = []
        for row in matrix:
            texts.append([f"{value:{numbers}}" for value in row])
    image = table(ax, matrix, rows, columns, axis_names, texts)
    bar = ax.figure.colorbar(image, ax=ax)
    style(bar.ax, ylabel=what)
    bar.outline.set_visible(False)
    turn_column_labels(ax)

    highest_row, highest_column = np.unravel_index(matrix.argmax(), matrix.shape)
    describe(
        ax,
        f"Heat map of {what} with {len(rows)} rows and {len(columns)} columns; it is highest, "
        f"{matrix.max():.3g}, in row {rows[highest_row]}, column {columns[highest_column]}.",
    )
    return ax
