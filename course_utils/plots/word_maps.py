"""Words at their places in a plane, each beside its dot where it covers the least."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from course_utils.plots.theme import (
    MARKERS,
    NEUTRAL,
    PALETTE,
    SMALL,
    describe,
    figure_of,
    ink,
    legend,
    new_axes,
    style,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIDES = {4: "left", -4: "right", 0: "center"}  # shift from the dot in points: alignment


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
    groups = groups or {}
    names = list(dict.fromkeys(groups.values()))
    if not points or len(names) > len(PALETTE):
        raise ValueError(
            f"expected at least one word and at most {len(PALETTE)} groups, got {len(points)} "
            f"words and {len(names)} groups"
        )
    colours: dict[str | None, str] = {None: NEUTRAL}
    markers: dict[str | None, str] = {None: "."}
    for name, colour, marker in zip(names, PALETTE, MARKERS, strict=False):
        colours[name], markers[name] = colour, marker

    ax = ax or new_axes(6.4, 5.0)[0]
    style(ax, *axis_names, grid="both")
    for name, colour in colours.items():
        members = [place for word, place in points.items() if groups.get(word) == name]
        x, y = np.reshape(members, (-1, 2)).T
        ax.plot(x, y, markers[name], color=colour, markersize=4, label=name)
    ax.margins(0.1, 0.06)
    for word, shift in zip(points, _beside(ax, points), strict=True):
        x, y = points[word]
        colour = ink(colours[groups.get(word)])
        write(ax, x, y, word, shift, va="bottom", color=colour, ha=_SIDES[shift[0]])
    if names:
        legend(ax, len(names))

    said = f"Map of {len(points):,} words"
    if all(axis_names):
        said += f" over {axis_names[0]} and {axis_names[1]}"
    if names:
        said += f", coloured by group: {', '.join(names)}"
    describe(ax, f"{said}.")
    return ax


def _beside(ax: Axes, points: Mapping[str, tuple[float, float]]) -> list[tuple[float, float]]:
    """Where each word goes, in points from its dot, right (4),
    left (-4) or centred (0): where it covers the least.
    """
    ax.get_xlim()  # settles the limits, on which the next lines depend
    size = ax.bbox.size * 72 / figure_of(ax).dpi
    to_axes = ax.transScale + ax.transLimits
    dots = to_axes.transform(list(points.values())) * size  # [num_words, 2]

    # Boxes as left, bottom, right, top: what lies beyond the four edges, and the dots themselves.
    beyond = np.array([(-1, 0, 0, 1), (1, 0, 2, 1), (0, -1, 1, 0), (0, 1, 1, 2)])
    taken = [*(beyond * [*size, *size]), *np.hstack([dots - 2, dots + 2])]
    shifts: list[tuple[float, float]] = []
    for word, dot in zip(points, dots, strict=True):
        width, height = 0.62 * SMALL * len(word), 1.2 * SMALL
        tried = [(x, y) for y in (-height / 2, 2, -height - 2) for x in (4, -4, 0)]
        from_dot = [(x - width * (4 - x) / 8, y) for x, y in tried]
        corners = dot + from_dot  # lower left, [9, 2]
        boxes = np.hstack([corners, np.add(corners, (width, height))])  # [9, 4]
        best = _overlap_with(boxes, np.array(taken)).argmin()
        taken.append(boxes[best])
        shifts.append(tried[best])
    return shifts


def _overlap_with(boxes: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """The area that each box shares with all that is taken: [num_boxes, 4] and [num_taken, 4] to
    [num_boxes].
    """
    low = np.maximum(boxes[:, None, :2], taken[:, :2])
    high = np.minimum(boxes[:, None, 2:], taken[:, 2:])
    sides = (high - low).clip(min=0)  # [num_boxes, num_taken, 2]
    return sides.prod(axis=2).sum(axis=1)
