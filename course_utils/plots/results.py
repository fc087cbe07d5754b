"""Pictures of results: confusion, accuracies with their intervals, slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from course_utils.plots.theme import (
    ACCENT,
    MAIN,
    MARKERS,
    NEUTRAL,
    PALE,
    PALETTE,
    PAPER,
    accuracy_axis,
    describe,
    ink,
    legend,
    new_axes,
    rows_of_names,
    style,
    table,
    write,
)

if TYPE_CHECKING:
    # matplotlib builds a cache of fonts when it is first imported: not before a picture is wanted.
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
    table(ax, shares, class_names, class_names, ("predicted", "true label"), texts, vmin=0, vmax=1)
    rights = [
        f"Of {counts[place].sum():,} that are {name}, {counts[place, place]:,} are predicted right."
        for place, name in enumerate(class_names)
    ]
    describe(ax, f"Confusion matrix of {int(counts.sum()):,} examples. {' '.join(rights)}")
    return ax


def accuracy_bars(
    results: Mapping[str, tuple[float, float, float]],
    ax: Axes | None = None,
    *,
    highlight: str | None = None,
    chance: float | None = None,
    bars: str = " with its interval",
) -> Axes:
    """One row per model: its accuracy as a dot, its interval as a bar, the value beside it.

    results: {name: (accuracy, low, high)}, each in [0, 1], the first on top. highlight: the name to
    set off; chance: where to draw guessing; bars: what these are. An axis that does not start at
    zero has a break mark. Raises ValueError for no results or an unknown name to highlight.
    """
    if not results:
        raise ValueError("expected at least one result (accuracy, low, high), got none")
    if highlight is not None and highlight not in results:
        raise ValueError(f"cannot highlight {highlight!r}: the results are {', '.join(results)}")
    ax = ax or new_axes(6.4, 0.9 + 0.36 * len(results))[0]
    values = [100 * value for row in results.values() for value in row]
    if chance is not None:
        values.append(100 * chance)
    style(ax, grid="x")
    accuracy_axis(ax, values, f"accuracy (%){bars}", room=0.12)
    rows_of_names(ax, list(results))
    listed = []
    for row, (name, result) in enumerate(results.items()):
        accuracy, low, high = (100 * value for value in result)
        _draw_bar(ax, row, (accuracy, low, high), highlighted=name == highlight)
        listed.append(f"{name} {accuracy:.1f} ({low:.1f} to {high:.1f})")
    if chance is not None:
        ax.axvline(100 * chance, color=NEUTRAL, linewidth=1, linestyle=(0, (4, 3)))
        above = {"ha": "center", "xycoords": ax.get_xaxis_transform()}
        write(ax, 100 * chance, 1, "chance", (0, 2), color=ink(NEUTRAL), **above)
    describe(ax, f"accuracy (%){bars}: {'; '.join(listed)}.")
    return ax


def _draw_bar(ax: Axes, row: int, result: tuple[float, float, float], *, highlighted: bool) -> None:
    """An accuracy with its interval, in percent: a dot, a bar and the number."""
    accuracy, low, high = result
    colour = ACCENT if highlighted else MAIN
    bar = {"linewidth": 2, "alpha": 0.5, "solid_capstyle": "butt"}
    ax.plot([low, high], [row, row], color=colour, **bar)
    ax.plot(accuracy, row, "o", color=colour, markersize=6)
    weight = "bold" if highlighted else "normal"
    write(ax, high, row, f"{accuracy:.1f}", (5, 0), va="center", color=ink(colour), weight=weight)


def slices(
    accuracies: Mapping[str, Mapping[str, tuple[float, int]]], ax: Axes | None = None
) -> Axes:
    """One row per group of examples, one dot per model; the groups that the first model finds
    hardest at the bottom.

    accuracies: {model: {group: (accuracy in [0, 1], number of examples)}}, as `accuracy_by` gives
    them. An axis that does not start at zero has a break mark.
    Raises ValueError for none, more models than colours, or models measured on different groups.
    """
    first, counts = _check_slices(accuracies)
    rows = sorted(counts, key=lambda group: -accuracies[first][group][0])
    points = {}
    for model, found in accuracies.items():
        points[model] = [100 * found[group][0] for group in rows]
    lows = np.min(list(points.values()), axis=0)
    highs = np.max(list(points.values()), axis=0)

    ax = ax or new_axes(6.4, 1.2 + 0.3 * len(rows))[0]
    style(ax, grid="x")
    accuracy_axis(ax, [*lows, *highs], "accuracy (%)")
    rows_of_names(ax, [f"{group} (n = {counts[group]:,})" for group in rows])
    ax.hlines(range(len(rows)), lows, highs, color=PALE, linewidth=3, zorder=1)
    listed = []
    for (model, values), colour, marker in zip(points.items(), PALETTE, MARKERS, strict=False):
        look = {"color": colour, "markersize": 7, "markeredgecolor": PAPER, "label": model}
        ax.plot(values, range(len(rows)), marker, **look)
        listed.append(f"{model} from {min(values):.0f} to {max(values):.0f}")
    legend(ax, 3)
    describe(
        ax,
        f"accuracy (%) in {len(rows)} groups of examples: {'; '.join(listed)}. {first} is best at "
        f"{rows[0]} and worst at {rows[-1]}.",
    )
    return ax


def _check_slices(
    accuracies: Mapping[str, Mapping[str, tuple[float, int]]],
) -> tuple[str, dict[str, int]]:
    """The first model, and how many examples each group has; all models must have the same."""
    counts: dict[str, dict[str, int]] = {}
    for model, found in accuracies.items():
        counts[model] = {group: count for group, (_, count) in found.items()}
    first = next(iter(counts), "")
    if not counts or not counts[first] or len(counts) > len(PALETTE):
        raise ValueError(
            f"expected 1 to {len(PALETTE)} models with at least one group each, "
            f"got {counts or 'none'}"
        )
    for model in counts:
        if counts[model] != counts[first]:
            raise ValueError(
                f"the models must be measured on the same groups: {first!r} has {counts[first]}, "
                f"{model!r} has {counts[model]}"
            )
    return first, counts[first]
