"""Where LayerNorm stands in a layer: after the addition, or before the sub-layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from course_utils.plots.diagrams import drawing
from course_utils.plots.diagrams.drawing import Area
from course_utils.plots.theme import NEUTRAL, SKY, VERMILLION, describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH = 1.7  # of a box
_STREAMS = {"post": 1.6, "pre": 4.7}  # x of the arrow that runs through a layer
_SUBLAYERS = (("self-attention", VERMILLION), ("feed-forward", SKY))


def layer_norm_placement(*, ax: Axes | None = None) -> Axes:
    """A layer with LayerNorm after each addition (post-LN, as in BERT), beside one with LayerNorm
    before each sub-layer (pre-LN, as in GPT-2), both from the bottom up.

    In post-LN every number on the way from the bottom to the top passes LayerNorm; in pre-LN the
    stream runs past it, and only additions change it.
    Text alternative: "Two layers side by side. In post-LN, ..."
    """
    ax = drawing.page(4.8, ax)
    titles = {
        "post": ("post-LN: BERT", "x ← LayerNorm(x + f(x))"),
        "pre": ("pre-LN: GPT-2", "x ← x + f(LayerNorm(x))"),
    }
    for kind, (title, formula) in titles.items():
        x = _STREAMS[kind]
        drawing.heading(ax, x, 0.17, title)
        drawing.label(ax, x, 0.42, formula)
        drawing.panel(ax, Area(x - 1.35, 1.0, 2.7, 3.35), NEUTRAL, rounding=0.1)
        drawing.label(ax, x, 4.67, "hidden_states of the layer below")
        drawing.label(ax, x - 0.07, 0.79, "hidden_states", ha="right")
        below = 4.56
        for sublayer, colour in _SUBLAYERS:
            draw = _post_norm if kind == "post" else _pre_norm
            below = draw(ax, x, below, sublayer, colour)
        drawing.arrow(ax, [(x, below), (x, 0.72)])
    drawing.label(ax, _STREAMS["pre"] + 0.07, 0.79, "last layer: one more LayerNorm", ha="left")
    describe(
        ax,
        "Two layers side by side, each with self-attention and then feed-forward. In post-LN, as "
        "in BERT, what went into a sub-layer is added to what comes out, and LayerNorm follows the "
        "addition. In pre-LN, as in GPT-2, LayerNorm comes first within the branch, so that the "
        "stream itself passes only additions; one more LayerNorm follows the last layer.",
    )
    return ax


def _post_norm(ax: Axes, x: float, below: float, name: str, colour: str) -> float:
    """Sub-layer, addition, LayerNorm; returns the y where the stream leaves."""
    fork = below - 0.36
    part = drawing.box(ax, Area(x - _WIDTH / 2, fork - 0.42, _WIDTH, 0.28), name, colour)
    plus = part.top - 0.3
    drawing.arrow(ax, [(x, below), (x, part.bottom)])
    drawing.arrow(ax, [(x, part.top), (x, plus + 0.11)])
    lane = x - 1.1
    drawing.arrow(ax, [(x, fork), (lane, fork), (lane, plus), (x - 0.11, plus)])
    drawing.circle(ax, x, plus, "+")
    norm = drawing.box(ax, Area(x - _WIDTH / 2, plus - 0.57, _WIDTH, 0.28), "LayerNorm", NEUTRAL)
    drawing.arrow(ax, [(x, plus - 0.11), (x, norm.bottom)])
    return norm.top


def _pre_norm(ax: Axes, x: float, below: float, name: str, colour: str) -> float:
    """LayerNorm and sub-layer on a branch, addition on the stream; returns where it leaves."""
    fork = below - 0.36
    stream = x - 1.1
    norm = drawing.box(ax, Area(x - _WIDTH / 2, fork - 0.42, _WIDTH, 0.28), "LayerNorm", NEUTRAL)
    drawing.arrow(ax, [(x, below), (x, norm.bottom)])
    part = drawing.box(ax, Area(x - _WIDTH / 2, norm.top - 0.5, _WIDTH, 0.28), name, colour)
    drawing.arrow(ax, [(x, norm.top), (x, part.bottom)])
    plus = part.top - 0.31
    drawing.arrow(ax, [(x, part.top), (x, plus + 0.11)])
    drawing.arrow(ax, [(x, fork), (stream, fork), (stream, plus), (x - 0.11, plus)])
    drawing.circle(ax, x, plus, "+")
    return plus - 0.11
