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


def _write(ax: Axes, x: float, y: float, text: str, **options: Any) -> None:
    """Small plain text at a point; a $ in a review's word is no mathematics."""
    ax.text(x, y, text, **{"color": INK, "fontsize": SMALL, "parse_math": False, **options})


def _rows(ax: Axes, names: Sequence[str]) -> None:
    """One row for each name, the first on top."""
    ax.set_yticks(range(len(names)), labels=names, parse_math=False)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)


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
        if not (overlap > 1e-3 * gap).any():
            break
        moved[:-1] -= overlap
        moved[1:] += overlap
    return moved[np.argsort(order)].tolist()


def _label_ends(ax: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Name curves at the right edge: (height in data units, text, colour), moved apart where they would overlap."""
    low, high = ax.get_ylim()
    points = ax.get_position().height * ax.figure.get_figheight() * 72
    for (_, text, colour), height in zip(ends, _spread([y for y, _, _ in ends], 14 / points * (high - low)),
                                         strict=True):
        ax.annotate(text, (1, height), xytext=(6, 0), xycoords=("axes fraction", "data"),
                    textcoords="offset points", color=colour, fontsize=SMALL, va="center", annotation_clip=False)


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
    if len(resumed_from_steps):
        _write(top, resumed_from_steps[0], 1.02, "resumed", color=GREY, ha="center", va="bottom",
               transform=top.get_xaxis_transform())
    return top, bottom


def _loss_panel(ax: Axes, updates: Sequence[Mapping[str, float]], evaluations: Sequence[Mapping[str, float]]) -> None:
    steps, losses = (np.array([entry[name] for entry in updates], dtype=float) for name in ("step", "loss"))
    window = max(1, len(losses) // 20)
    weights = np.ones(window)
    smooth = np.convolve(losses, weights, "same") / np.convolve(np.ones_like(losses), weights, "same")
    style(ax, ylabel=f"loss (nats),\nmean of {window} updates" if window > 1 else "loss (nats)", grid="y")
    if window > 1:
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
    ax.annotate(f"{values[best]:.1f} %", (steps[best], values[best]), xytext=(0, 6), textcoords="offset points",
                ha="center", color=VERMILLION, fontsize=SMALL)


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
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    style(ax, "predicted", "true label")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_xticks(range(size), labels=class_names, parse_math=False)
    ax.set_yticks(range(size), labels=class_names, parse_math=False)
    for row, column in np.ndindex(size, size):
        _write(ax, column, row, f"{counts[row, column]:,}\n{100 * shares[row, column]:.1f} %", ha="center",
               va="center", fontsize=NORMAL, color=PAPER if shares[row, column] > 0.7 else INK)
    return ax


def accuracy_bars(results: Mapping[str, tuple[float, float, float]], ax: Axes | None = None, *,
                  highlight: str | None = None, chance: float | None = None) -> Axes:
    """One row a model: its accuracy as a dot, its interval as a bar, the value beside it.

    results: {name: (accuracy, low, high)}, each in [0, 1], the first on top. highlight: the name to set off;
    chance: where to draw the line of guessing. Raises ValueError for no results or an unknown name to highlight.
    """
    if not results:
        raise ValueError("expected at least one result (accuracy, low, high), got none")
    if highlight is not None and highlight not in results:
        raise ValueError(f"cannot highlight {highlight!r}: the results are {', '.join(results)}")
    ax = ax or new_axes(6.4, 0.9 + 0.36 * len(results))[0]
    values = [100 * value for row in results.values() for value in row] + ([] if chance is None else [100 * chance])
    style(ax, grid="x")
    _accuracy_axis(ax, values, "accuracy (%) with its interval", room=0.12)
    _rows(ax, list(results))
    for row, (name, (accuracy, low, high)) in enumerate(results.items()):
        colour = VERMILLION if name == highlight else BLUE
        ax.plot([100 * low, 100 * high], [row, row], color=colour, linewidth=2, alpha=0.5, solid_capstyle="butt")
        ax.plot(100 * accuracy, row, "o", color=colour, markersize=6)
        ax.annotate(f"{100 * accuracy:.1f}", (100 * high, row), xytext=(5, 0), textcoords="offset points", va="center",
                    color=colour, fontsize=SMALL, weight="bold" if name == highlight else "normal")
    if chance is not None:
        ax.axvline(100 * chance, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        _write(ax, 100 * chance, 1.01, "chance", color=GREY, ha="center", va="bottom",
               transform=ax.get_xaxis_transform())
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
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=SMALL, labelcolor="linecolor",
              handletextpad=0.2, columnspacing=1.5, borderaxespad=0)
    return ax


# --- data --------------------------------------------------------------------------------------------------------


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
    style(ax, f"length ({unit})", "texts", grid="y")
    ax.set_xlim(0, end)
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.get_major_locator().set_params(integer=True)
    for cut, x in zip(cuts, _spread(cuts, 0.08 * end), strict=True):
        ax.axvline(cut, color=VERMILLION, linewidth=1.2)
        _write(ax, x, 1.02, f"{cut:,}\n{100 * np.mean(values <= cut):.0f} %", color=VERMILLION, ha="center",
               va="bottom", transform=ax.get_xaxis_transform())
    _write(ax, -0.02, 1.02, "cut at\nleaves whole", color=VERMILLION, ha="right", va="bottom", transform=ax.transAxes)
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
    lowest = [pair for pair in ascending[:num_words] if pair[0] < 0]
    highest = [pair for pair in ascending[-num_words:] if pair[0] >= 0]
    shown = highest[::-1] + lowest[::-1]
    ax = ax or new_axes(6.4, 1.0 + 0.22 * len(shown))[0]
    values = [weight for weight, _ in shown]
    ax.barh(range(len(shown)), values, color=[BLUE if value >= 0 else VERMILLION for value in values], height=0.7)
    style(ax, "weight (log-odds)", grid="x")
    _rows(ax, [""] * len(shown))
    ax.axvline(0, color=GREY, linewidth=1)
    for row, (value, word) in enumerate(shown):
        side = -1 if value >= 0 else 1
        ax.annotate(word, (0, row), xytext=(4 * side, 0), textcoords="offset points", va="center", color=INK,
                    fontsize=SMALL, ha="right" if side < 0 else "left", parse_math=False)
    for x, name, colour in ((0, f"← {class_names[0]}", VERMILLION), (1, f"{class_names[1]} →", BLUE)):
        _write(ax, x, 1.01, name, color=colour, transform=ax.transAxes, ha="right" if x else "left", va="bottom")
    return ax
