"""Pictures of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from course_utils.plots.theme import (
    BLUE,
    GREEN,
    GREY,
    INK,
    SKY,
    SMALL,
    VERMILLION,
    label_ends,
    new_axes,
    style,
    write,
)

if (
    TYPE_CHECKING
):  # matplotlib builds a cache of fonts when it is first imported: not before a picture is wanted
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
    top, bottom = new_axes(6.4, 4.6, num_panels=2) if axes is None else axes
    _loss_panel(top, updates, [entry for entry in history if "eval_loss" in entry])
    _accuracy_panel(bottom, updates, [entry for entry in history if "eval_accuracy" in entry])
    for ax in (top, bottom):
        for step in resumed_from_steps:
            ax.axvline(step, color=GREY, linewidth=1, linestyle=(0, (2, 2)))
    for step in resumed_from_steps[:1]:
        write(
            top,
            step,
            1.02,
            "resumed",
            color=GREY,
            ha="center",
            va="bottom",
            xycoords=top.get_xaxis_transform(),
        )
    return top, bottom


def _loss_panel(
    ax: Axes, updates: Sequence[Mapping[str, float]], evaluations: Sequence[Mapping[str, float]]
) -> None:
    steps, losses = (
        np.array([entry[name] for entry in updates], dtype=float) for name in ("step", "loss")
    )
    span = max(1, len(losses) // 20)
    smooth = np.divide(
        *(np.convolve(values, np.ones(span), "same") for values in (losses, np.ones_like(losses)))
    )
    style(
        ax,
        ylabel="loss (nats)"
        + f",\nmean of {span * steps[-1] / len(losses):.0f} updates" * (span > 1),
        grid="y",
    )
    if span > 1:
        ax.plot(steps, losses, color=SKY, linewidth=0.6, alpha=0.6)
    ax.plot(steps, smooth, color=BLUE, linewidth=1.8, marker="o" if len(losses) == 1 else None)
    ends, values = [(smooth[-1], "training", BLUE)], [entry["eval_loss"] for entry in evaluations]
    if evaluations:
        ax.plot(
            [entry["step"] for entry in evaluations],
            values,
            color=VERMILLION,
            marker="s",
            markersize=5,
        )
        ends.append((values[-1], "validation", VERMILLION))
    ax.set_xlim(0, 1.03 * steps[-1])
    ax.set_ylim(0, 1.08 * max([*losses, *values]))
    ax.xaxis.get_major_locator().set_params(integer=True)
    label_ends(ax, ends)


def _accuracy_panel(
    ax: Axes, updates: Sequence[Mapping[str, float]], evaluations: Sequence[Mapping[str, float]]
) -> None:
    if not evaluations:
        style(ax, "update", "learning rate", grid="y")
        ax.plot(
            [entry["step"] for entry in updates],
            [entry["learning_rate"] for entry in updates],
            color=GREEN,
            marker="o" if len(updates) == 1 else None,
        )
        ax.ticklabel_format(axis="y", scilimits=(0, 0))
        ax.yaxis.get_offset_text().set(color=INK, fontsize=SMALL)
        return
    style(ax, "update", "validation\naccuracy (%)", grid="y")
    steps, values = (
        [entry["step"] for entry in evaluations],
        [100 * entry["eval_accuracy"] for entry in evaluations],
    )
    ax.plot(steps, values, color=VERMILLION, marker="s", markersize=5)
    best = int(np.argmax(values))
    ax.margins(y=0.25)
    write(
        ax,
        steps[best],
        values[best],
        f"{values[best]:.1f} %",
        (0, 6),
        ha="center",
        color=VERMILLION,
    )
