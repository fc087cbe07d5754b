"""General charts: histograms, word weights, lines, maps of words, heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from course_utils.plots.theme import (
    BLUE,
    GREY,
    MARKERS,
    PALETTE,
    PAPER,
    SKY,
    SMALL,
    VERMILLION,
    label_ends,
    legend,
    new_axes,
    rows_of_names,
    spread,
    style,
    table,
    write,
)

if (
    TYPE_CHECKING
):  # matplotlib builds a cache of fonts when it is first imported: not before a picture is wanted
    from matplotlib.axes import Axes


# --- texts and words, curves and tables -----------------------------------------------------------


def length_histogram(
    lengths: Sequence[int],
    cuts: Sequence[int] = (128, 256, 512),
    ax: Axes | None = None,
    *,
    unit: str = "tokens",
) -> Axes:
    """How long the texts are, and which share of them each cut leaves whole.

    lengths: one number a text, in `unit`; the longest 1 % are left out of the picture, not out of
    the shares.
    Raises ValueError for no lengths.
    """
    if not len(lengths):
        raise ValueError("expected at least one length, got none")
    values = np.asarray(lengths)
    ax = ax or new_axes(6.4, 3.2)[0]
    end = 1.05 * max([*cuts, np.quantile(values, 0.99)])
    ax.hist(values, bins=np.linspace(0, end, 60), color=SKY, edgecolor=PAPER, linewidth=0.4)
    style(
        ax,
        f"length ({unit})" + ("; the longest are left out" if values.max() > end else ""),
        "texts",
        grid="y",
    )
    ax.set_xlim(0, end)
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.get_major_locator().set_params(integer=True)
    for cut, x in zip(cuts, spread(cuts, 0.08 * end), strict=True):
        ax.axvline(cut, color=VERMILLION, linewidth=1.2)
        write(
            ax,
            x,
            1.02,
            f"{cut:,}\n{100 * np.mean(values <= cut):.0f} %",
            color=VERMILLION,
            ha="center",
            va="bottom",
            xycoords=ax.get_xaxis_transform(),
        )
    write(
        ax,
        -0.02,
        1.02,
        "cut at\nleaves whole",
        color=VERMILLION,
        ha="right",
        va="bottom",
        xycoords="axes fraction",
    )
    return ax


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
    shown = [pair for pair in ascending[:num_words] if pair[0] < 0]
    shown = [*shown, *(pair for pair in ascending[-num_words:] if pair[0] >= 0)][::-1]
    ax = ax or new_axes(6.4, 1.0 + 0.22 * len(shown))[0]
    values = [weight for weight, _ in shown]
    ax.barh(
        range(len(shown)),
        values,
        color=[BLUE if value >= 0 else VERMILLION for value in values],
        height=0.7,
    )
    style(ax, "weight (log-odds)", grid="x")
    rows_of_names(ax, [""] * len(shown))
    ax.axvline(0, color=GREY, linewidth=1)
    for row, (value, word) in enumerate(shown):
        write(
            ax,
            0,
            row,
            word,
            (-4 if value >= 0 else 4, 0),
            ha="right" if value >= 0 else "left",
            va="center",
        )
    for x, name, colour in (
        (0, f"← {class_names[0]}", VERMILLION),
        (1, f"{class_names[1]} →", BLUE),
    ):
        write(
            ax,
            x,
            1.01,
            name,
            color=colour,
            xycoords="axes fraction",
            ha="right" if x else "left",
            va="bottom",
        )
    return ax


def lines(
    series: Mapping[str, Sequence[tuple[float, ...]]],
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
    *,
    log: str = "",
    dots: bool = True,
) -> Axes:
    """Curves over a shared x, each named at its right end;
    a shaded band where a point brings its interval.

    series: {name: points}, a point being (x, y) or (x, y, low, high). log: the axes with
    logarithmic scale, "x", "y", "xy" or none. dots: mark each point. Raises ValueError for no
    series, an empty one, or more than colours.
    """
    if not 1 <= len(series) <= len(PALETTE) or not all(series.values()):
        raise ValueError(
            f"expected 1 to {len(PALETTE)} series with points, got "
            f"{ {name: len(points) for name, points in series.items()} }"
        )
    ax = ax or new_axes()[0]
    style(ax, xlabel, ylabel, grid="both")
    ends = []
    for (name, points), colour, marker in zip(series.items(), PALETTE, MARKERS, strict=False):
        x, y, *band = zip(*sorted(points), strict=True)
        ax.plot(x, y, color=colour, linewidth=1.8, marker=marker if dots else None, markersize=5)
        if band:
            ax.fill_between(x, *band, color=colour, alpha=0.2, linewidth=0)
        ends.append((y[-1], name if len(series) > 1 else "", colour))
    for name, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
        if name in log:
            ax.set(**{f"{name}scale": "log"})
            low, high = getattr(ax, f"get_{name}lim")()
            axis.get_major_locator().set_params(subs=(1,) if high > 1000 * low else (1, 2, 5))
            axis.set_minor_formatter("")
        axis.set_major_formatter("{x:,.10g}")  # 10,000, not 1e4
    ax.get_ylim()  # settles the limits, on which the heights of the names depend
    label_ends(ax, ends)
    return ax


def word_map(
    points: Mapping[str, tuple[float, float]],
    ax: Axes | None = None,
    *,
    groups: Mapping[str, str] | None = None,
    axis_names: tuple[str, str] = ("", ""),
) -> Axes:
    """Words at their places in the plane; those of one group share a colour,
    which the legend names.

    points: {word: (x, y)}. groups: {word: group}, for some words or all; the others are grey. A
    word stands beside its dot, where it overlaps least. Raises ValueError for no points, or more
    groups than colours.
    """
    names = list(dict.fromkeys((groups := groups or {}).values()))
    if not points or len(names) > len(PALETTE):
        raise ValueError(
            f"expected at least one word and at most {len(PALETTE)} groups, got {len(points)} "
            f"words and {len(names)} groups"
        )
    looks = {
        None: (GREY, "."),
        **dict(zip(names, zip(PALETTE, MARKERS, strict=True), strict=False)),
    }
    ax = ax or new_axes(6.4, 5.0)[0]
    style(ax, *axis_names, grid="both")
    for name, (colour, marker) in looks.items():
        members = [place for word, place in points.items() if groups.get(word) == name]
        ax.plot(*np.reshape(members, (-1, 2)).T, marker, color=colour, markersize=4, label=name)
    ax.margins(0.1, 0.06)
    for word, shift in zip(points, _beside(ax, points), strict=True):
        write(
            ax,
            *points[word],
            word,
            shift,
            va="bottom",
            color=looks[groups.get(word)][0],
            ha={4: "left", -4: "right", 0: "center"}[shift[0]],
        )
    if names:
        legend(ax, len(names))
    return ax


def _beside(ax: Axes, points: Mapping[str, tuple[float, float]]) -> list[tuple[float, float]]:
    """Where each word goes, in points from its dot, right (4),
    left (-4) or centred (0): where it covers the least.
    """
    ax.get_xlim()  # settles the limits, on which the next lines depend
    size = ax.bbox.size * 72 / ax.figure.dpi
    dots = (ax.transScale + ax.transLimits).transform(
        list(points.values())
    ) * size  # [num_words, 2]
    edges = np.array([(-1, 0, 0, 1), (1, 0, 2, 1), (0, -1, 1, 0), (0, 1, 1, 2)]) * [*size, *size]
    taken, shifts = (
        [*edges, *np.hstack([dots - 2, dots + 2])],
        [],
    )  # boxes: left, bottom, right, top
    for word, dot in zip(points, dots, strict=True):
        width, height = 0.62 * SMALL * len(word), 1.2 * SMALL
        tried = [(x, y) for y in (-height / 2, 2, -height - 2) for x in (4, -4, 0)]
        corners = dot + [(x - width * (4 - x) / 8, y) for x, y in tried]  # lower left
        boxes = np.hstack([corners, corners + np.array([width, height])])
        low, high = np.hsplit(np.array(taken), 2)
        sides = np.minimum(boxes[:, None, 2:], high) - np.maximum(boxes[:, None, :2], low)
        best = sides.clip(min=0).prod(axis=2).sum(axis=1).argmin()
        taken, shifts = [*taken, boxes[best]], [*shifts, tried[best]]
    return shifts


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
    texts = [[f"{value:{numbers}}" for value in row] for row in matrix] if numbers else None
    bar = ax.figure.colorbar(table(ax, matrix, rows, columns, axis_names, texts), ax=ax)
    ax.tick_params(axis="x", rotation=90 if max(map(len, columns)) > 3 else 0)
    style(bar.ax, ylabel=what)
    bar.outline.set_visible(False)
    return ax
