"""A training run: the schedule of its learning rate, and what a saved state contains."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import chain
from typing import TYPE_CHECKING

from course_utils.config import TrainConfig
from course_utils.plots.diagrams import drawing
from course_utils.plots.diagrams.drawing import Area, counted
from course_utils.plots.theme import (
    ACCENT,
    BLUE,
    GREEN,
    INK,
    MAIN,
    NEUTRAL,
    ORANGE,
    SKY,
    SMALL,
    VERMILLION,
    describe,
    ink,
    new_axes,
    style,
    tint,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Schedule = Callable[[int, int, int], float]  # (step, num_updates, num_warmup) -> share of the peak


def schedule(
    config: TrainConfig, num_updates: int, share_of_peak: _Schedule, *, ax: Axes | None = None
) -> Axes:
    """The learning rate of every update: up during the warm-up, then down.

    share_of_peak: the function that the loop itself calls, `training.linear_schedule`.
    Raises ValueError for fewer than one update.
    Text alternative: "The learning rate over {n} updates: it rises during {w} updates ..."
    """
    if num_updates < 1:
        raise ValueError(f"num_updates must be at least 1, got {num_updates}")
    warmup = config.warmup_updates(num_updates)
    steps = range(num_updates)
    rates = [config.learning_rate * share_of_peak(step, num_updates, warmup) for step in steps]
    peak = max(steps, key=lambda step: rates[step])
    ax = ax or new_axes(6.4, 2.8)[0]
    style(ax, "update", "learning rate", grid="y")
    warm = tint(ACCENT, 0.12)
    if warmup:
        ax.axvspan(0, warmup, color=warm, linewidth=0)
    marker = "o" if num_updates < 3 else None
    ax.plot([step + 1 for step in steps], rates, color=MAIN, linewidth=1.8, marker=marker)
    ax.set_xlim(0, 1.02 * num_updates)
    ax.set_ylim(0, 1.3 * max(rates))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.ticklabel_format(axis="y", scilimits=(0, 0))
    ax.yaxis.get_offset_text().set(color=INK, fontsize=SMALL)
    above = ax.get_xaxis_transform()
    if warmup:
        text = f"warm-up: {counted(warmup, 'update')}"
        write(ax, 0, 0.99, text, (4, 0), color=ink(ACCENT, warm), va="top", xycoords=above)
    highest = f"peak: {rates[peak]:.3g} at update {peak + 1:,}"
    shift, side = (-6, "right") if peak + 1 > num_updates / 2 else (6, "left")
    write(ax, peak + 1, rates[peak], highest, (shift, 3), color=ink(MAIN, warm), ha=side)
    if warmup:
        rising = f"It rises during {counted(warmup, 'update')} of warm-up, is "
    else:
        rising = "There is no warm-up: it starts "
    describe(
        ax,
        f"The learning rate over {counted(num_updates, 'update')}. {rising}at its highest, "
        f"{rates[peak]:.3g}, at update {peak + 1:,}, and falls to {rates[-1]:.2g} at the last one.",
    )
    return ax


# --- a saved state --------------------------------------------------------------------------------

_TENSORS = {  # what each file of tensors is for
    "model": ("the weights", BLUE),
    "average": ("moving average of the weights, if one is kept", SKY),
    "best": ("the weights of the best evaluation so far", GREEN),
    "optimizer": ("AdamW's two running means of each parameter", VERMILLION),
}
_PROGRESS = {  # what entries of progress.json are for
    "how far the run is; where to go on in the data": ("step",),
    "curves, time and speed so far": (
        "history",
        "resumed_from_steps",
        "train_seconds",
        "examples_seen",
    ),
    "choice of the best weights, early stopping": (
        "best_step",
        "best_score",
        "evaluations_without_gain",
        "stopped_early",
    ),
    "dropout goes on with the same random numbers": ("random_states",),
    "scale of the loss in fp16": ("scaler",),
}


def saved_state(
    tensors: Mapping[str, int], progress: Collection[str], step: int, *, ax: Axes | None = None
) -> Axes:
    """What a saved state of a run contains, file by file, and what each part is for.

    tensors: {file of tensors, without its ending: how many tensors it holds}. progress: the names
    in progress.json. `training.saved_state.load_state` returns both, with their contents. step:
    the update after which the state was saved.
    Raises ValueError for no files, or a file or a name that the picture does not know.
    Text alternative: "A saved state is the folder step-00000300. It holds ..."
    """
    _check_known("file", tensors, _TENSORS)
    _check_known("name in progress.json", progress, list(chain(*_PROGRESS.values())))
    groups: dict[str, list[str]] = {}
    for purpose, names in _PROGRESS.items():
        present = [name for name in names if name in progress]
        if present:
            groups[purpose] = present

    progress_top = 0.62 + 0.4 * len(tensors)
    progress_height = 0.34 + sum(map(_height_of, groups.values()))
    ax = drawing.page(progress_top + progress_height + 0.24, ax)
    outline = Area(0.1, 0.14, drawing.PAGE - 0.2, progress_top + progress_height - 0.04)
    drawing.panel(ax, outline, NEUTRAL, rounding=0.08)
    folder = f"step-{step:08d}"
    drawing.heading(ax, 0.25, 0.34, f"state/{folder}/", ha="left")
    counts = {name: counted(count, "tensor") for name, count in tensors.items()}
    _draw_files(ax, counts)
    _draw_progress(ax, Area(0.25, progress_top, drawing.PAGE - 0.5, progress_height), groups)

    files = [f"{name} ({_TENSORS[name][0]}; {count})" for name, count in counts.items()]
    entries = [f"{', '.join(names)} ({purpose})" for purpose, names in groups.items()]
    describe(
        ax,
        f"A saved state is the folder {folder}. It holds files of tensors: {'; '.join(files)}. Its "
        f"progress.json holds {'; '.join(entries)}.",
    )
    return ax


def _height_of(names: Collection[str]) -> float:
    """The room of a group in progress.json, in inches."""
    return 0.2 * len(names) + 0.12


def _draw_files(ax: Axes, counts: Mapping[str, str]) -> None:
    """One line per file of tensors: its name, how much it holds, and what for."""
    for number, (name, count) in enumerate(counts.items()):
        purpose, colour = _TENSORS[name]
        y = 0.75 + 0.4 * number
        drawing.box(ax, Area(0.25, y - 0.15, 2.3, 0.3), f"{name}.safetensors", colour)
        drawing.label(ax, 2.7, y, count, ha="left")
        drawing.label(ax, 3.65, y, purpose, ha="left")


def _draw_progress(ax: Axes, frame: Area, groups: Mapping[str, Collection[str]]) -> None:
    """The names in progress.json, grouped by what they are for."""
    drawing.panel(ax, frame, ORANGE, shade=0.12)
    drawing.label(ax, 0.4, frame.top + 0.18, "progress.json", ha="left", weight="bold")
    y = frame.top + 0.34
    for number, (purpose, names) in enumerate(groups.items()):
        if number:
            drawing.rule(ax, 0.4, frame.right - 0.15, y - 0.06)
        for place, name in enumerate(names):
            drawing.label(ax, 0.55, y + 0.12 + 0.2 * place, name, ha="left")
        drawing.label(ax, 3.65, y + 0.02 + 0.1 * len(names), purpose, ha="left")
        y += _height_of(names)


def _check_known(kind: str, given: Collection[str], known: Collection[str]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown or not given:
        raise ValueError(
            f"expected at least one {kind} of {', '.join(known)}; got "
            f"{', '.join(unknown) if unknown else 'none'}"
        )
