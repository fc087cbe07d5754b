"""Pictures of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from course_utils.plots.theme import (
    ACCENT,
    GOOD,
    INK,
    MAIN,
    NEUTRAL,
    SMALL,
    SOFT,
    describe,
    ink,
    label_ends,
    new_axes,
    style,
    write,
)

if TYPE_CHECKING:
    # matplotlib builds a cache of fonts when it is first imported: not before a picture is wanted.
    from matplotlib.axes import Axes


# --- training -------------------------------------------------------------------------------------


def training_curves(
    history: Sequence[Mapping[str, float]],
    *,
    resumed_from_steps: Sequence[int] = (),
    axes: Sequence[Axes] | None = None,
) -> tuple[Axes, Axes]:
    """Loss above; below it the accuracy on validation data,
    or the learning rate where nothing was evaluated.

    history: entries with `step`, each an update (`loss` in nats, `learning_rate`) or an evaluation
    (`eval_loss`, `eval_accuracy` in [0, 1]). resumed_from_steps: where to mark that the run was
    stopped and went on.
    axes: two Axes to draw on. Raises ValueError for a history without updates.
    """
    updates = [entry for entry in history if "loss" in entry]
    if not updates:
        raise ValueError(
            f"expected a history with at least one update (step and loss), got {len(history)} "
            "entries without a loss"
        )
    evaluations = [entry for entry in history if "eval_loss" in entry]
    scored = [entry for entry in history if "eval_accuracy" in entry]
    top, bottom = new_axes(6.4, 4.6, num_panels=2) if axes is None else axes
    _loss_panel(top, updates, evaluations)
    if scored:
        _accuracy_panel(bottom, scored)
    else:
        _rate_panel(bottom, updates)
    for ax in (top, bottom):
        for step in resumed_from_steps:
            ax.axvline(step, color=NEUTRAL, linewidth=1, linestyle=(0, (2, 2)))
    if resumed_from_steps:
        above = {"ha": "center", "va": "bottom", "xycoords": top.get_xaxis_transform()}
        write(top, resumed_from_steps[0], 1.02, "resumed", color=ink(NEUTRAL), **above)
    describe(top, _description_of(updates, scored))
    return top, bottom


def _description_of(
    updates: Sequence[Mapping[str, float]], scored: Sequence[Mapping[str, float]]
) -> str:
    """The first and the last loss, and the best evaluation, in words."""
    first, last = updates[0], updates[-1]
    said = (
        f"Training loss over {last['step']:,} updates, from {first['loss']:.2f} to "
        f"{last['loss']:.2f} nats."
    )
    if scored:
        best = max(entry["eval_accuracy"] for entry in scored)
        said += f" The best validation accuracy is {100 * best:.1f} %."
    return said


def _loss_panel(
    ax: Axes, updates: Sequence[Mapping[str, float]], evaluations: Sequence[Mapping[str, float]]
) -> None:
    """The loss of each update, pale, and its running mean; the loss on validation data."""
    steps = np.array([entry["step"] for entry in updates], dtype=float)
    losses = np.array([entry["loss"] for entry in updates], dtype=float)
    # A running mean over a twentieth of the run. At both ends fewer losses are in the window, so
    # the sum is divided by how many there are.
    span = max(1, len(losses) // 20)
    window = np.ones(span)
    sums = np.convolve(losses, window, "same")
    counts = np.convolve(np.ones_like(losses), window, "same")
    smooth = sums / counts

    ylabel = "loss (nats)"
    if span > 1:
        updates_per_entry = steps[-1] / len(losses)
        ylabel += f",\nmean of {span * updates_per_entry:.0f} updates"
    style(ax, ylabel=ylabel, grid="y")
    if span > 1:
        ax.plot(steps, losses, color=SOFT, linewidth=0.6, alpha=0.6)
    ax.plot(steps, smooth, color=MAIN, linewidth=1.8, marker="o" if len(losses) == 1 else None)
    ends = [(smooth[-1], "training", MAIN)]
    values = [entry["eval_loss"] for entry in evaluations]
    if evaluations:
        at = [entry["step"] for entry in evaluations]
        ax.plot(at, values, color=ACCENT, marker="s", markersize=5)
        ends.append((values[-1], "validation", ACCENT))
    ax.set_xlim(0, 1.03 * steps[-1])
    ax.set_ylim(0, 1.08 * max([*losses, *values]))
    ax.xaxis.get_major_locator().set_params(integer=True)
    label_ends(ax, ends)


def _rate_panel(ax: Axes, updates: Sequence[Mapping[str, float]]) -> None:
    """The learning rate of each update."""
    style(ax, "update", "learning rate", grid="y")
    steps = [entry["step"] for entry in updates]
    rates = [entry["learning_rate"] for entry in updates]
    ax.plot(steps, rates, color=GOOD, marker="o" if len(updates) == 1 else None)
    ax.ticklabel_format(axis="y", scilimits=(0, 0))
    ax.yaxis.get_offset_text().set(color=INK, fontsize=SMALL)


def _accuracy_panel(ax: Axes, scored: Sequence[Mapping[str, float]]) -> None:
    """The accuracy of each evaluation, the best one with its number."""
    style(ax, "update", "validation\naccuracy (%)", grid="y")
    steps = [entry["step"] for entry in scored]
    values = [100 * entry["eval_accuracy"] for entry in scored]
    ax.plot(steps, values, color=ACCENT, marker="s", markersize=5)
    ax.margins(y=0.25)
    best = int(np.argmax(values))
    text = f"{values[best]:.1f} %"
    write(ax, steps[best], values[best], text, (0, 6), ha="center", color=ink(ACCENT))
