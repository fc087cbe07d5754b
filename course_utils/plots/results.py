"""Pictures of results: confusion, accuracies with their intervals, slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from course_utils.plots.theme import (
    BLUE,
    GREY,
    MARKERS,
    PALE,
    PALETTE,
    PAPER,
    VERMILLION,
    accuracy_axis,
    legend,
    new_axes,
    rows_of_names,
    style,
    table,
    write,
)

if (
    TYPE_CHECKING
):  # matplotlib builds a cache of fonts when it is first imported: not before a picture is wanted
    from matplotlib.axes import Axes


# --- results --------------------------------------------------------------------------------------


def confusion_matrix(
    evaluation_or_matrix: Any, class_names: Sequence[str], ax: Axes | None = None
) -> Axes:
    """Counts of each true label (rows) by prediction (columns), shaded by the share of their row.

    evaluation_or_matrix: something with `.confusion`, or counts [num_labels, num_labels]
    themselves.
    Raises ValueError for counts that are not square, no counts at all, or another number of names.
    """
    counts = np.asarray(getattr(evaluation_or_matrix, "confusion", evaluation_or_matrix))
    size = len(class_names)
    if counts.shape != (size, size) or counts.sum() == 0:
        raise ValueError(
            f"expected counts of shape [{size}, {size}] for the names {list(class_names)}, at "
            f"least one above 0, got shape {list(counts.shape)} with {counts.sum()} examples"
        )
    ax = ax or new_axes(1.8 + 0.9 * size, 1.3 + 0.8 * size)[0]
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    texts = np.vectorize("{:,}\n{:.1f} %".format)(counts, 100 * shares)
    return table(
        ax, shares, class_names, class_names, ("predicted", "true label"), texts, vmin=0, vmax=1
    ).axes


def accuracy_bars(
    results: Mapping[str, tuple[float, float, float]],
    ax: Axes | None = None,
    *,
    highlight: str | None = None,
    chance: float | None = None,
    bars: str = " with its interval",
) -> Axes:
    """One row a model: its accuracy as a dot, its interval as a bar, the value beside it.

    results: {name: (accuracy, low, high)}, each in [0, 1], the first on top. highlight: the name to
    set off; chance: where to draw guessing; bars: what these are. Raises ValueError for no results
    or an unknown name to highlight.
    """
    if not results:
        raise ValueError("expected at least one result (accuracy, low, high), got none")
    if highlight is not None and highlight not in results:
        raise ValueError(f"cannot highlight {highlight!r}: the results are {', '.join(results)}")
    ax = ax or new_axes(6.4, 0.9 + 0.36 * len(results))[0]
    values = [100 * value for row in results.values() for value in row] + (
        [] if chance is None else [100 * chance]
    )
    style(ax, grid="x")
    accuracy_axis(ax, values, f"accuracy (%){bars}", room=0.12)
    rows_of_names(ax, list(results))
    for row, (name, (accuracy, low, high)) in enumerate(results.items()):
        colour = VERMILLION if name == highlight else BLUE
        ax.plot(
            [100 * low, 100 * high],
            [row, row],
            color=colour,
            linewidth=2,
            alpha=0.5,
            solid_capstyle="butt",
        )
        ax.plot(100 * accuracy, row, "o", color=colour, markersize=6)
        write(
            ax,
            100 * high,
            row,
            f"{100 * accuracy:.1f}",
            (5, 0),
            va="center",
            color=colour,
            weight="bold" if name == highlight else "normal",
        )
    if chance is not None:
        ax.axvline(100 * chance, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        write(
            ax,
            100 * chance,
            1,
            "chance",
            (0, 2),
            color=GREY,
            ha="center",
            xycoords=ax.get_xaxis_transform(),
        )
    return ax


def slices(
    accuracies: Mapping[str, Mapping[str, tuple[float, int]]], ax: Axes | None = None
) -> Axes:
    """One row a group of examples, one dot a model; the groups that the first model finds
    hardest at the bottom.

    accuracies: {model: {group: (accuracy in [0, 1], number of examples)}}, as `accuracy_by` gives
    them.
    Raises ValueError for none, more models than colours, or models measured on different groups.
    """
    groups = {
        model: {group: count for group, (_, count) in found.items()}
        for model, found in accuracies.items()
    }
    first = next(iter(groups), "")
    if not groups or not groups[first] or len(groups) > len(PALETTE):
        raise ValueError(
            f"expected 1 to {len(PALETTE)} models with at least one group each, "
            f"got {groups or 'none'}"
        )
    for model in groups:
        if groups[model] != groups[first]:
            raise ValueError(
                f"the models must be measured on the same groups: {first!r} has {groups[first]}, "
                f"{model!r} has {groups[model]}"
            )
    rows = sorted(groups[first], key=lambda group: -accuracies[first][group][0])
    ax = ax or new_axes(6.4, 1.2 + 0.3 * len(rows))[0]
    points = {
        model: [100 * found[group][0] for group in rows] for model, found in accuracies.items()
    }
    lows, highs = np.min(list(points.values()), axis=0), np.max(list(points.values()), axis=0)
    style(ax, grid="x")
    accuracy_axis(ax, [*lows, *highs], "accuracy (%)")
    rows_of_names(ax, [f"{group} (n = {groups[first][group]:,})" for group in rows])
    ax.hlines(range(len(rows)), lows, highs, color=PALE, linewidth=3, zorder=1)
    for (model, values), colour, marker in zip(points.items(), PALETTE, MARKERS, strict=False):
        ax.plot(
            values,
            range(len(rows)),
            marker,
            color=colour,
            markersize=7,
            markeredgecolor=PAPER,
            label=model,
        )
    legend(ax, 3)
    return ax
