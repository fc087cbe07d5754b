"""Every picture of the course: functions take data, draw on Axes, and return them. Nothing is shown or saved here.

Colours are Okabe and Ito's (2008, "Color Universal Design"), which colour-blind readers tell apart; markers differ too.
The background is white by itself, so that pictures read the same in a dark notebook and on paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # matplotlib builds a cache of fonts when it is first imported: not before a picture is wanted
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = ("o", "s", "D", "^", "v", "P")
INK, GREY, PALE, PAPER = "#222222", "#666666", "#DDDDDD", "#FFFFFF"
SMALL, NORMAL = 9, 10  # points


# --- style -------------------------------------------------------------------------------------------------------


def new_axes(width: float = 6.4, height: float = 3.6, num_panels: int = 1) -> list[Axes]:
    """Empty Axes of a new figure of this size in inches, one above the other, sharing x."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(num_panels, figsize=(width, height), layout="constrained", sharex=True,
                                   squeeze=False, facecolor=PAPER)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    return list(axes[:, 0])


def style(ax: Axes, xlabel: str = "", ylabel: str = "", grid: str = "") -> None:
    """Give Axes the course's look: white, two spines, labels, and a pale grid along "x", "y", "both" or none."""
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


def _write(ax: Axes, x: float, y: float, text: str, shift: Sequence[float] = (0, 0), **options: Any) -> None:
    """Small plain text, `shift` points from a place in the data; a $ in a review's word is no mathematics."""
    ax.annotate(text, (x, y), shift, textcoords="offset points", **{
        "color": INK, "fontsize": SMALL, "parse_math": False, "annotation_clip": False, **options})


def _rows(ax: Axes, names: Sequence[str]) -> None:
    """One row for each name, the first on top."""
    ax.set_yticks(range(len(names)), labels=names, parse_math=False)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _legend(ax: Axes, columns: int) -> None:
    """The names of what is drawn, in their colours, above the Axes."""
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False, fontsize=SMALL,
              labelcolor="linecolor", handletextpad=0.2, columnspacing=1.5, borderaxespad=0)


def _table(ax: Axes, shades: np.ndarray, rows: Sequence[str], columns: Sequence[str], axis_names: tuple[str, str],
           texts: Sequence[Sequence[str]] | None, **limits: float) -> Any:
    """Cells in shades of blue, with a text in each, white where the blue is dark; returns matplotlib's image."""
    image = ax.imshow(shades, cmap="Blues", aspect="auto", **limits)
    style(ax, *axis_names)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_xticks(range(len(columns)), labels=columns, parse_math=False)
    ax.set_yticks(range(len(rows)), labels=rows, parse_math=False)
    for row, column in np.ndindex(shades.shape) if texts is not None else ():
        _write(ax, column, row, texts[row][column], ha="center", va="center",
               color=PAPER if image.norm(shades[row, column]) > 0.7 else INK)
    return image


def _accuracy_axis(ax: Axes, values: Sequence[float], what: str, room: float = 0.0) -> None:
    """Fit the x axis to accuracies in percent, `room` more of the span at the right, and say where it starts."""
    low, high = min(values), max(values)
    margin = max(0.5, 0.06 * (high - low))
    start = max(0.0, math.floor(2 * (low - margin)) / 2)
    ax.set_xlim(start, high + margin + room * (high - start))
    ax.set_xticks([tick for tick in ax.get_xticks() if start <= tick <= 100])
    ax.set_xlabel(f"{what}; the axis starts at {start:.3g}" if start else what, color=INK, fontsize=NORMAL)


def _spread(positions: Sequence[float], gap: float) -> list[float]:
    """Move positions apart, as little as it takes, until neighbours are at least `gap` from each other."""
    order = np.argsort(positions, kind="stable")
    moved = np.asarray(positions, dtype=float)[order]
    for _ in range(200):
        overlap = np.maximum(0.0, gap - np.diff(moved)) / 2
        moved[:-1] -= overlap
        moved[1:] += overlap
    return moved[np.argsort(order)].tolist()


def _label_ends(ax: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Name curves at the right edge: (height in data units, text, colour), moved apart where they would overlap."""
    points = ax.get_position().height * ax.figure.get_figheight() * 72
    heights = [float((ax.transScale + ax.transLimits).transform((1, y))[1]) for y, _, _ in ends]
    for (_, text, colour), height in zip(ends, _spread(heights, 14 / points), strict=True):
        _write(ax, 1, height, text, (6, 0), color=colour, va="center", xycoords="axes fraction")


# --- training ----------------------------------------------------------------------------------------------------


def training_curves(history: Sequence[Mapping[str, float]], *, resumed_from_steps: Sequence[int] = (),
                    axes: Sequence[Axes] | None = None) -> tuple[Axes, Axes]:
    """Loss above; below it the accuracy on validation data, or the learning rate where nothing was evaluated.

    history: entries with `step`, each an update (`loss` in nats, `learning_rate`) or an evaluation (`eval_loss`,
    `eval_accuracy` in [0, 1]). resumed_from_steps: where to mark that the run was stopped and went on.
    axes: two Axes to draw on. Raises ValueError for a history without updates.
    """
    updates = [entry for entry in history if "loss" in entry]
    if not updates:
        raise ValueError(f"expected a history with at least one update (step and loss), got {len(history)} entries "
                         "without a loss")
    top, bottom = new_axes(6.4, 4.6, num_panels=2) if axes is None else axes
    _loss_panel(top, updates, [entry for entry in history if "eval_loss" in entry])
    _accuracy_panel(bottom, updates, [entry for entry in history if "eval_accuracy" in entry])
    for ax in (top, bottom):
        for step in resumed_from_steps:
            ax.axvline(step, color=GREY, linewidth=1, linestyle=(0, (2, 2)))
    for step in resumed_from_steps[:1]:
        _write(top, step, 1.02, "resumed", color=GREY, ha="center", va="bottom", xycoords=top.get_xaxis_transform())
    return top, bottom


def _loss_panel(ax: Axes, updates: Sequence[Mapping[str, float]], evaluations: Sequence[Mapping[str, float]]) -> None:
    steps, losses = (np.array([entry[name] for entry in updates], dtype=float) for name in ("step", "loss"))
    span = max(1, len(losses) // 20)
    smooth = np.divide(*(np.convolve(values, np.ones(span), "same") for values in (losses, np.ones_like(losses))))
    style(ax, ylabel="loss (nats)" + f",\nmean of {span * steps[-1] / len(losses):.0f} updates" * (span > 1), grid="y")
    if span > 1:
        ax.plot(steps, losses, color=SKY, linewidth=0.6, alpha=0.6)
    ax.plot(steps, smooth, color=BLUE, linewidth=1.8, marker="o" if len(losses) == 1 else None)
    ends, values = [(smooth[-1], "training", BLUE)], [entry["eval_loss"] for entry in evaluations]
    if evaluations:
        ax.plot([entry["step"] for entry in evaluations], values, color=VERMILLION, marker="s", markersize=5)
        ends.append((values[-1], "validation", VERMILLION))
    ax.set_xlim(0, 1.03 * steps[-1])
    ax.set_ylim(0, 1.08 * max([*losses, *values]))
    ax.xaxis.get_major_locator().set_params(integer=True)
    _label_ends(ax, ends)


def _accuracy_panel(ax: Axes, updates: Sequence[Mapping[str, float]],
                    evaluations: Sequence[Mapping[str, float]]) -> None:
    if not evaluations:
        style(ax, "update", "learning rate", grid="y")
        ax.plot([entry["step"] for entry in updates], [entry["learning_rate"] for entry in updates], color=GREEN,
                marker="o" if len(updates) == 1 else None)
        ax.ticklabel_format(axis="y", scilimits=(0, 0))
        ax.yaxis.get_offset_text().set(color=INK, fontsize=SMALL)
        return
    style(ax, "update", "validation\naccuracy (%)", grid="y")
    steps, values = [entry["step"] for entry in evaluations], [100 * entry["eval_accuracy"] for entry in evaluations]
    ax.plot(steps, values, color=VERMILLION, marker="s", markersize=5)
    best = int(np.argmax(values))
    ax.margins(y=0.25)
    _write(ax, steps[best], values[best], f"{values[best]:.1f} %", (0, 6), ha="center", color=VERMILLION)


# --- results -----------------------------------------------------------------------------------------------------


def confusion_matrix(evaluation_or_matrix: Any, class_names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Counts of each true label (rows) by prediction (columns), shaded by the share of their row.

    evaluation_or_matrix: something with `.confusion`, or counts [num_labels, num_labels] themselves.
    Raises ValueError for counts that are not square, no counts at all, or another number of names.
    """
    counts = np.asarray(getattr(evaluation_or_matrix, "confusion", evaluation_or_matrix))
    size = len(class_names)
    if counts.shape != (size, size) or counts.sum() == 0:
        raise ValueError(f"expected counts of shape [{size}, {size}] for the names {list(class_names)}, at least one "
                         f"above 0, got shape {list(counts.shape)} with {counts.sum()} examples")
    ax = ax or new_axes(1.8 + 0.9 * size, 1.3 + 0.8 * size)[0]
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    texts = np.vectorize("{:,}\n{:.1f} %".format)(counts, 100 * shares)
    return _table(ax, shares, class_names, class_names, ("predicted", "true label"), texts, vmin=0, vmax=1).axes


def accuracy_bars(results: Mapping[str, tuple[float, float, float]], ax: Axes | None = None, *,
                  highlight: str | None = None, chance: float | None = None, bars: str = " with its interval") -> Axes:
    """One row a model: its accuracy as a dot, its interval as a bar, the value beside it.

    results: {name: (accuracy, low, high)}, each in [0, 1], the first on top. highlight: the name to set off; chance:
    where to draw guessing; bars: what these are. Raises ValueError for no results or an unknown name to highlight.
    """
    if not results:
        raise ValueError("expected at least one result (accuracy, low, high), got none")
    if highlight is not None and highlight not in results:
        raise ValueError(f"cannot highlight {highlight!r}: the results are {', '.join(results)}")
    ax = ax or new_axes(6.4, 0.9 + 0.36 * len(results))[0]
    values = [100 * value for row in results.values() for value in row] + ([] if chance is None else [100 * chance])
    style(ax, grid="x")
    _accuracy_axis(ax, values, f"accuracy (%){bars}", room=0.12)
    _rows(ax, list(results))
    for row, (name, (accuracy, low, high)) in enumerate(results.items()):
        colour = VERMILLION if name == highlight else BLUE
        ax.plot([100 * low, 100 * high], [row, row], color=colour, linewidth=2, alpha=0.5, solid_capstyle="butt")
        ax.plot(100 * accuracy, row, "o", color=colour, markersize=6)
        _write(ax, 100 * high, row, f"{100 * accuracy:.1f}", (5, 0), va="center", color=colour,
               weight="bold" if name == highlight else "normal")
    if chance is not None:
        ax.axvline(100 * chance, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        _write(ax, 100 * chance, 1, "chance", (0, 2), color=GREY, ha="center", xycoords=ax.get_xaxis_transform())
    return ax


def slices(accuracies: Mapping[str, Mapping[str, tuple[float, int]]], ax: Axes | None = None) -> Axes:
    """One row a group of examples, one dot a model; the groups that the first model finds hardest at the bottom.

    accuracies: {model: {group: (accuracy in [0, 1], number of examples)}}, as `accuracy_by` gives them.
    Raises ValueError for none, more models than colours, or models measured on different groups.
    """
    groups = {model: {group: count for group, (_, count) in found.items()} for model, found in accuracies.items()}
    first = next(iter(groups), "")
    if not groups or not groups[first] or len(groups) > len(PALETTE):
        raise ValueError(f"expected 1 to {len(PALETTE)} models with at least one group each, got {groups or 'none'}")
    for model in groups:
        if groups[model] != groups[first]:
            raise ValueError(f"the models must be measured on the same groups: {first!r} has {groups[first]}, "
                             f"{model!r} has {groups[model]}")
    rows = sorted(groups[first], key=lambda group: -accuracies[first][group][0])
    ax = ax or new_axes(6.4, 1.2 + 0.3 * len(rows))[0]
    points = {model: [100 * found[group][0] for group in rows] for model, found in accuracies.items()}
    lows, highs = np.min(list(points.values()), axis=0), np.max(list(points.values()), axis=0)
    style(ax, grid="x")
    _accuracy_axis(ax, [*lows, *highs], "accuracy (%)")
    _rows(ax, [f"{group} (n = {groups[first][group]:,})" for group in rows])
    ax.hlines(range(len(rows)), lows, highs, color=PALE, linewidth=3, zorder=1)
    for (model, values), colour, marker in zip(points.items(), PALETTE, MARKERS, strict=False):
        ax.plot(values, range(len(rows)), marker, color=colour, markersize=7, markeredgecolor=PAPER, label=model)
    _legend(ax, 3)
    return ax


# --- texts and words, curves and tables --------------------------------------------------------------------------


def length_histogram(lengths: Sequence[int], cuts: Sequence[int] = (128, 256, 512), ax: Axes | None = None, *,
                     unit: str = "tokens") -> Axes:
    """How long the texts are, and which share of them each cut leaves whole.

    lengths: one number a text, in `unit`; the longest 1 % are left out of the picture, not out of the shares.
    Raises ValueError for no lengths.
    """
    if not len(lengths):
        raise ValueError("expected at least one length, got none")
    values = np.asarray(lengths)
    ax = ax or new_axes(6.4, 3.2)[0]
    end = 1.05 * max([*cuts, np.quantile(values, 0.99)])
    ax.hist(values, bins=np.linspace(0, end, 60), color=SKY, edgecolor=PAPER, linewidth=0.4)
    style(ax, f"length ({unit})" + ("; the longest are left out" if values.max() > end else ""), "texts", grid="y")
    ax.set_xlim(0, end)
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.get_major_locator().set_params(integer=True)
    for cut, x in zip(cuts, _spread(cuts, 0.08 * end), strict=True):
        ax.axvline(cut, color=VERMILLION, linewidth=1.2)
        _write(ax, x, 1.02, f"{cut:,}\n{100 * np.mean(values <= cut):.0f} %", color=VERMILLION, ha="center",
               va="bottom", xycoords=ax.get_xaxis_transform())
    _write(ax, -0.02, 1.02, "cut at\nleaves whole", color=VERMILLION, ha="right", va="bottom", xycoords="axes fraction")
    return ax


def word_weights(words: Sequence[str], weights: Sequence[float], ax: Axes | None = None, *, num_words: int = 10,
                 class_names: tuple[str, str] = ("neg", "pos")) -> Axes:
    """The words with the lowest and the highest weights of a linear model, at most `num_words` of each sign.

    Raises ValueError for no words, or another number of weights.
    """
    if not len(words) or len(words) != len(weights):
        raise ValueError(f"expected at least one word and a weight for each, got {len(words)} words and "
                         f"{len(weights)} weights")
    ascending = sorted(zip(weights, words, strict=True))
    shown = [pair for pair in ascending[:num_words] if pair[0] < 0]
    shown = [*shown, *(pair for pair in ascending[-num_words:] if pair[0] >= 0)][::-1]
    ax = ax or new_axes(6.4, 1.0 + 0.22 * len(shown))[0]
    values = [weight for weight, _ in shown]
    ax.barh(range(len(shown)), values, color=[BLUE if value >= 0 else VERMILLION for value in values], height=0.7)
    style(ax, "weight (log-odds)", grid="x")
    _rows(ax, [""] * len(shown))
    ax.axvline(0, color=GREY, linewidth=1)
    for row, (value, word) in enumerate(shown):
        _write(ax, 0, row, word, (-4 if value >= 0 else 4, 0), ha="right" if value >= 0 else "left", va="center")
    for x, name, colour in ((0, f"← {class_names[0]}", VERMILLION), (1, f"{class_names[1]} →", BLUE)):
        _write(ax, x, 1.01, name, color=colour, xycoords="axes fraction", ha="right" if x else "left", va="bottom")
    return ax


def lines(series: Mapping[str, Sequence[tuple[float, ...]]], xlabel: str, ylabel: str, ax: Axes | None = None, *,
          log: str = "", dots: bool = True) -> Axes:
    """Curves over a shared x, each named at its right end; a shaded band where a point brings its interval.

    series: {name: points}, a point being (x, y) or (x, y, low, high). log: the axes with logarithmic scale, "x",
    "y", "xy" or none. dots: mark each point. Raises ValueError for no series, an empty one, or more than colours.
    """
    if not 1 <= len(series) <= len(PALETTE) or not all(series.values()):
        raise ValueError(f"expected 1 to {len(PALETTE)} series with points, got "
                         f"{ {name: len(points) for name, points in series.items()} }")
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
    _label_ends(ax, ends)
    return ax


def word_map(points: Mapping[str, tuple[float, float]], ax: Axes | None = None, *, groups: Mapping[str, str] | None
             = None, axis_names: tuple[str, str] = ("", "")) -> Axes:
    """Words at their places in the plane; those of one group share a colour, which the legend names.

    points: {word: (x, y)}. groups: {word: group}, for some words or all; the others are grey. A word stands beside
    its dot, where it overlaps least. Raises ValueError for no points, or more groups than colours.
    """
    names = list(dict.fromkeys((groups := groups or {}).values()))
    if not points or len(names) > len(PALETTE):
        raise ValueError(f"expected at least one word and at most {len(PALETTE)} groups, got {len(points)} words and "
                         f"{len(names)} groups")
    looks = {None: (GREY, "."), **dict(zip(names, zip(PALETTE, MARKERS, strict=True), strict=False))}
    ax = ax or new_axes(6.4, 5.0)[0]
    style(ax, *axis_names, grid="both")
    for name, (colour, marker) in looks.items():
        members = [place for word, place in points.items() if groups.get(word) == name]
        ax.plot(*np.reshape(members, (-1, 2)).T, marker, color=colour, markersize=4, label=name)
    ax.margins(0.1, 0.06)
    for word, shift in zip(points, _beside(ax, points), strict=True):
        _write(ax, *points[word], word, shift, va="bottom", color=looks[groups.get(word)][0],
               ha={4: "left", -4: "right", 0: "center"}[shift[0]])
    if names:
        _legend(ax, len(names))
    return ax


def _beside(ax: Axes, points: Mapping[str, tuple[float, float]]) -> list[tuple[float, float]]:
    """Where each word goes, in points from its dot, right (4), left (-4) or centred (0): where it covers the least."""
    ax.get_xlim()  # settles the limits, on which the next lines depend
    size = ax.bbox.size * 72 / ax.figure.dpi
    dots = (ax.transScale + ax.transLimits).transform(list(points.values())) * size  # [num_words, 2]
    edges = np.array([(-1, 0, 0, 1), (1, 0, 2, 1), (0, -1, 1, 0), (0, 1, 1, 2)]) * [*size, *size]
    taken, shifts = [*edges, *np.hstack([dots - 2, dots + 2])], []  # boxes: left, bottom, right, top
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


def heatmap(values: Any, rows: Sequence[str], columns: Sequence[str], what: str, ax: Axes | None = None, *,
            numbers: str = "", axis_names: tuple[str, str] = ("", "")) -> Axes:
    """A matrix as shades of blue, its rows and columns named, with a colour bar that says `what` they measure.

    values: [num_rows, num_columns]. numbers: a format to print in each cell (".2f", "d"), or none. axis_names: what
    columns and rows are. Raises ValueError where the names do not fit the shape, or there are no values.
    """
    matrix = np.asarray(values)
    if matrix.shape != (len(rows), len(columns)) or not matrix.size:
        raise ValueError(f"expected values of shape [{len(rows)}, {len(columns)}] for these names, at least one, got "
                         f"{list(matrix.shape)}")
    ax = ax or new_axes(1.9 + 0.42 * len(columns), 1.4 + 0.32 * len(rows))[0]
    texts = [[f"{value:{numbers}}" for value in row] for row in matrix] if numbers else None
    bar = ax.figure.colorbar(_table(ax, matrix, rows, columns, axis_names, texts), ax=ax)
    ax.tick_params(axis="x", rotation=90 if max(map(len, columns)) > 3 else 0)
    style(bar.ax, ylabel=what)
    bar.outline.set_visible(False)
    return ax
