"""Pictures: what is drawn is the data, everything is labelled, nothing overlaps,
and no global setting changes.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import PathPatch
from pictures import LEAST_POINTS, check_contrast, check_layout, contrast, strings, texts

from course_utils import plots
from course_utils.plots import theme

ROOT = Path(__file__).resolve().parents[2]
UPDATES = [
    {
        "step": step,
        "loss": 0.2 + 0.5 * 0.98**step + 0.05 * (-1) ** step,
        "learning_rate": 1e-4 - step / 2e6,
    }
    for step in range(1, 201)
]
EVALUATIONS = [
    {"step": 100, "eval_loss": 0.3, "eval_accuracy": 0.88},
    {"step": 200, "eval_loss": 0.27, "eval_accuracy": 0.913},
]
RESULTS = {"TF-IDF": (0.907, 0.903, 0.911), "ours": (0.924, 0.921, 0.927)}
BASELINE = {"plain": (0.97, 500), "negation": (0.6, 200), "contrast": (0.8, 250)}
MODEL = {"plain": (0.98, 500), "negation": (0.9, 200), "contrast": (0.7, 250)}
WORDS, WEIGHTS = ["awful", "costs $9 and $5", "the", "great", "dull"], [-9.0, -2.0, 0.1, 8.0, -3.0]
SERIES = {"WordPiece": [(10, 3, 2, 4), (100, 2, 1, 3)], "bytes": [(10, 5, 4, 6), (100, 4, 3, 5)]}

DRAW: dict[str, Callable[..., Axes]] = {
    "training": lambda **k: plots.training_curves(
        UPDATES + EVALUATIONS, resumed_from_steps=[60, 140], **k
    )[0],
    "rate": lambda **k: plots.training_curves(UPDATES, **k)[1],
    "confusion": lambda **k: plots.confusion_matrix([[90, 10], [15, 85]], ["neg", "pos"], **k),
    "bars": lambda **k: plots.accuracy_bars(RESULTS, highlight="ours", chance=0.5, **k),
    "slices": lambda **k: plots.slices({"TF-IDF": BASELINE, "BERT": MODEL}, **k),
    "lengths": lambda **k: plots.length_histogram(np.arange(1, 1001), **k),
    "words": lambda **k: plots.word_weights(WORDS, WEIGHTS, **k),
    "lines": lambda **k: plots.lines(SERIES, "vocabulary size", "tokens per word", log="xy", **k),
    "map": lambda **k: plots.word_map(
        {"good": (0, 1), "costs $9": (2, 3), "film": (1, 0)},
        groups={"good": "praise"},
        axis_names=("factor 1", "factor 2"),
        **k,
    ),
    "heat": lambda **k: plots.heatmap(
        [[0.1, 0.9], [0.5, 0.5]],
        ["the", "$9"],
        ["a", "film"],
        "probability",
        numbers=".2f",
        axis_names=("listens to", "token"),
        **k,
    ),
}
SMALLEST: dict[str, Callable[..., Axes]] = {
    "training": lambda: plots.training_curves([{"step": 1, "loss": 0.7, "learning_rate": 1e-4}])[0],
    "confusion": lambda: plots.confusion_matrix([[1, 0], [0, 0]], ["neg", "pos"]),
    "bars": lambda: plots.accuracy_bars({"only": (1.0, 1.0, 1.0)}),
    "slices": lambda: plots.slices({"only": {"plain": (0.0, 1)}}),
    "lengths": lambda: plots.length_histogram([5], cuts=()),
    "words": lambda: plots.word_weights(["good"], [1.0]),
}


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


def draw(name: str) -> Axes:
    smallest = name.removeprefix("smallest ")
    return DRAW[name]() if smallest == name else SMALLEST[smallest]()


ALL = [*DRAW, *(f"smallest {name}" for name in SMALLEST)]


@pytest.mark.parametrize("name", ALL)
def test_every_text_can_be_read(name: str) -> None:
    """Large enough, whole, apart from the others, and in enough contrast with its ground, also
    where a reader's own style would make dark ink on a dark ground.
    """
    with pyplot.style.context("dark_background"):
        before = matplotlib.rcParams.copy()
        ax = draw(name)
        assert isinstance(ax, Axes)
        assert matplotlib.rcParams == before
        assert ax.figure.get_facecolor() == ax.get_facecolor() == to_rgba("white")
        found = texts(ax)
        check_layout(found)
        check_contrast(found)


@pytest.mark.parametrize("name", DRAW)
def test_axes_are_labelled(name: str) -> None:
    ax = DRAW[name]()
    assert all(panel.get_xlabel() or panel.get_ylabel() for panel in ax.figure.axes)
    assert [panel for panel in ax.figure.axes if panel.get_label() != "<colorbar>"][-1].get_xlabel()
    assert ax.figure.dpi == 160


@pytest.mark.parametrize("name", ALL)
def test_a_chart_says_what_it_shows(name: str) -> None:
    said = draw(name).figure.get_label()
    assert said.endswith(".") and len(said.split()) >= 6


def test_the_words_of_a_chart_are_its_numbers() -> None:
    assert DRAW["bars"]().figure.get_label() == (
        "accuracy (%) with its interval: TF-IDF 90.7 (90.3 to 91.1); ours 92.4 (92.1 to 92.7)."
    )
    assert "WordPiece, from 3 at 10 to 2 at 100" in DRAW["lines"]().figure.get_label()
    assert "it is highest, 0.9, in row the, column film" in DRAW["heat"]().figure.get_label()
    assert "Of 100 that are pos, 85 are" in DRAW["confusion"]().figure.get_label()
    assert "The best validation accuracy is 91.3 %." in DRAW["training"]().figure.get_label()


def test_two_panels_say_both() -> None:
    top, bottom = plots.new_axes(6.4, 5.0, num_panels=2)
    plots.lines({"ours": [(1, 2), (2, 3)]}, "", "pieces", ax=top)
    plots.lines({"all": [(1, 4), (2, 5)]}, "size", "parameters", ax=bottom)
    said = top.figure.get_label()
    assert "pieces: ours, from 2" in said and "parameters over size: all, from 4" in said
    plots.describe(top, said)
    assert top.figure.get_label() == said


@pytest.mark.parametrize("name", [name for name in DRAW if name not in ("training", "rate")])
def test_given_axes_are_used(name: str) -> None:
    _, ax = pyplot.subplots()
    assert DRAW[name](ax=ax) is ax
    assert len(pyplot.get_fignums()) == 1


# --- training -------------------------------------------------------------------------------------


def test_training_curves_draw_the_history() -> None:
    _, given = pyplot.subplots(2)
    top, bottom = plots.training_curves(
        UPDATES + EVALUATIONS, resumed_from_steps=[60, 140], axes=given
    )
    assert (top, bottom) == tuple(given)
    raw, smooth, evaluated = top.lines[:3]
    assert raw.get_ydata().tolist() == [entry["loss"] for entry in UPDATES]
    assert smooth.get_ydata()[100] == pytest.approx(
        raw.get_ydata()[95:105].mean()
    )  # the mean of 10 updates
    assert "10 updates" in top.get_ylabel() and "nats" in top.get_ylabel()
    assert evaluated.get_xydata().tolist() == [[100, 0.3], [200, 0.27]]
    assert bottom.lines[0].get_xydata().tolist() == [[100, 88], [200, pytest.approx(91.3)]]
    assert "91.3 %" in strings(top) and "resumed" in strings(top)
    for ax in (top, bottom):
        assert [line.get_xdata()[0] for line in ax.lines[-2:]] == [60, 140]


def test_training_curves_without_evaluation_show_the_learning_rate() -> None:
    top, bottom = plots.training_curves(UPDATES)
    assert "learning rate" in bottom.get_ylabel() and len(top.lines) == 2
    assert bottom.lines[0].get_ydata().tolist() == [entry["learning_rate"] for entry in UPDATES]
    assert "resumed" not in strings(top) and "validation" not in strings(top)


def test_smoothing_does_not_bend_the_ends() -> None:
    top, _ = plots.training_curves([{**entry, "loss": 0.5} for entry in UPDATES])
    assert np.allclose(top.lines[1].get_ydata(), 0.5)


def test_labels_of_curves_that_meet_are_moved_apart() -> None:
    history = [{**entry, "loss": 0.5} for entry in UPDATES] + [
        {"step": 200, "eval_loss": 0.5, "eval_accuracy": 0.8}
    ]
    top, _ = plots.training_curves(history)
    boxes = [
        text.get_window_extent()
        for text in texts(top)
        if text.get_text() in ("training", "validation")
    ]
    assert len(boxes) == 2 and not boxes[0].overlaps(boxes[1])


@pytest.mark.parametrize("history", [[], EVALUATIONS])
def test_a_history_without_updates_is_an_error(history: list) -> None:
    with pytest.raises(
        ValueError, match=f"at least one update .*got {len(history)} entries without a loss"
    ):
        plots.training_curves(history)


# --- results --------------------------------------------------------------------------------------


def test_confusion_shows_counts_and_shares_of_the_row() -> None:
    ax = plots.confusion_matrix([[1500, 500], [1, 3]], ["neg", "pos"])
    assert [text.get_text() for text in ax.texts] == [
        "1,500\n75.0 %",
        "500\n25.0 %",
        "1\n25.0 %",
        "3\n75.0 %",
    ]
    assert [text.xy for text in ax.texts] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true label")
    assert ax.images[0].get_array().tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_confusion_takes_an_evaluation() -> None:
    evaluation = type("Evaluation", (), {"confusion": ((2, 1), (0, 4))})
    assert plots.confusion_matrix(evaluation, ["neg", "pos"]).texts[1].get_text() == "1\n33.3 %"


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1, 2, 3], [4, 5, 6]], r"shape \[2, 2\].*got shape \[2, 3\]"),
        ([[1, 2, 3], [4, 5, 6], [7, 8, 9]], r"for the names \['neg', 'pos'\].*got shape \[3, 3\]"),
        ([[0, 0], [0, 0]], "with 0 examples"),
        ([], r"got shape \[0\]"),
    ],
)
def test_confusion_refuses_other_shapes(matrix: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plots.confusion_matrix(matrix, ["neg", "pos"])


def test_bars_show_accuracy_and_interval_in_percent() -> None:
    ax = plots.accuracy_bars(RESULTS, highlight="ours", chance=0.5)
    interval, dot = ax.lines[2:4]  # of the second row
    assert interval.get_xdata().tolist() == pytest.approx([92.1, 92.7])
    assert dot.get_xydata().tolist() == [[pytest.approx(92.4), 1]]
    assert dot.get_color() != ax.lines[1].get_color()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["TF-IDF", "ours"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first on top
    assert ax.lines[-1].get_xdata()[0] == 50 and {"chance", "90.7", "92.4"} <= set(strings(ax))
    assert ax.get_xlabel() == "accuracy (%) with its interval"
    assert (
        plots.accuracy_bars(RESULTS, bars=", all seeds").get_xlabel() == "accuracy (%), all seeds"
    )


def break_strokes(ax: Axes) -> list[PathPatch]:
    """The strokes of a break mark, which have an edge of their own."""
    patches = [patch for patch in ax.patches if isinstance(patch, PathPatch)]
    return [patch for patch in patches if patch.get_linewidth() > 0]


@pytest.mark.parametrize("results", [RESULTS, {"a": (0.02, 0.0, 0.06)}, {"b": (1.0, 1.0, 1.0)}])
def test_an_axis_that_does_not_start_at_zero_is_marked(results: dict) -> None:
    ax = plots.accuracy_bars(results)
    ax.figure.canvas.draw()
    start = ax.get_xlim()[0]
    assert len(break_strokes(ax)) == (2 if start > 0 else 0)
    for stroke in break_strokes(ax):
        box = stroke.get_window_extent()
        middle = ax.transAxes.inverted().transform([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])
        assert middle == pytest.approx([0.03, 0.0], abs=0.03)  # on the axis, at its left end
    assert ax.get_xlabel() == "accuracy (%) with its interval"
    assert start <= 100 * min(low for _, low, _ in results.values())
    assert max(ax.get_xticks()) <= 100


def test_bars_refuse_nothing_and_strangers() -> None:
    with pytest.raises(ValueError, match="at least one result"):
        plots.accuracy_bars({})
    with pytest.raises(ValueError, match="cannot highlight 'mine': the results are TF-IDF, ours"):
        plots.accuracy_bars(RESULTS, highlight="mine")


def test_slices_put_the_hardest_for_the_first_model_at_the_bottom() -> None:
    ax = plots.slices({"TF-IDF": BASELINE, "BERT": MODEL})
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert labels == ["plain (n = 500)", "contrast (n = 250)", "negation (n = 200)"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert np.allclose([line.get_xdata() for line in ax.lines], [[97, 80, 60], [98, 70, 90]])
    assert len({(line.get_color(), line.get_marker()) for line in ax.lines}) == 2
    assert {"TF-IDF", "BERT"} <= set(strings(ax))
    assert len(break_strokes(ax)) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["TF-IDF", "BERT"]


def test_a_point_of_a_stored_curve_stands_for_several_updates() -> None:
    top, _ = plots.training_curves([{**entry, "step": 8 * entry["step"]} for entry in UPDATES])
    assert "mean of 80 updates" in top.get_ylabel()


def test_slices_refuse_what_cannot_be_compared() -> None:
    for wrong in ({}, {"TF-IDF": {}}, {str(number): BASELINE for number in range(7)}):
        with pytest.raises(ValueError, match="expected 1 to 6 models with at least one group each"):
            plots.slices(wrong)
    with pytest.raises(ValueError, match=r"same groups: 'a' has .*, 'b' has \{'plain': 499"):
        plots.slices({"a": BASELINE, "b": {**MODEL, "plain": (0.9, 499)}})


# --- data -----------------------------------------------------------------------------------------


def test_lengths_tell_what_a_cut_leaves_whole() -> None:
    ax = plots.length_histogram(np.arange(1, 1001), cuts=(128, 600))
    assert {"128\n13 %", "600\n60 %"} <= set(strings(ax))
    assert [line.get_xdata()[0] for line in ax.lines] == [128, 600]
    assert sum(patch.get_height() for patch in ax.patches) == 1000  # these all fit into the picture
    assert ax.get_xlabel() == "length (tokens)"
    assert plots.length_histogram([3], unit="words").get_xlabel() == "length (words)"
    assert (
        plots.length_histogram([*[9] * 999, 5000]).get_xlabel()
        == "length (tokens); the longest are left out"
    )


def test_labels_of_near_cuts_are_moved_apart() -> None:
    ax = plots.length_histogram(np.arange(1, 1001), cuts=(128, 140, 150))
    boxes = [text.get_window_extent() for text in texts(ax) if text.get_text().endswith("%")]
    assert len(boxes) == 3 and not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_one_very_long_text_does_not_flatten_the_picture() -> None:
    assert plots.length_histogram([*range(1, 1001), 100_000]).get_xlim()[1] < 1200


def test_lengths_refuse_nothing() -> None:
    with pytest.raises(ValueError, match="at least one length, got none"):
        plots.length_histogram([])


def test_words_with_the_largest_weights_are_shown() -> None:
    ax = plots.word_weights(WORDS, WEIGHTS, num_words=2)
    assert [patch.get_width() for patch in ax.patches] == [8.0, 0.1, -3.0, -9.0]
    assert [text.get_text() for text in ax.texts[:4]] == ["great", "the", "dull", "awful"]
    assert {"← neg", "pos →"} <= set(strings(ax))
    assert "log-odds" in ax.get_xlabel()


def test_dollars_are_no_mathematics() -> None:
    ax = plots.word_weights(["a $9 and $5_x^ film"], [-1.0])
    assert not ax.texts[0].get_parse_math()
    for name in ("$a", "b$ $_^"):
        for drawn in (
            plots.accuracy_bars({name: (0.5, 0.4, 0.6)}),
            plots.slices({"m": {name: (0.5, 9)}}),
            plots.confusion_matrix([[1, 2], [3, 4]], [name, "$_$"]),
        ):
            drawn.figure.canvas.draw()  # mathematics that does not parse would raise
    assert not any(
        tick.get_parse_math() for tick in drawn.get_xticklabels() + drawn.get_yticklabels()
    )


@pytest.mark.parametrize(("words", "weights"), [([], []), (["a"], [1.0, 2.0])])
def test_words_need_a_weight_each(words: list, weights: list) -> None:
    with pytest.raises(ValueError, match=f"got {len(words)} words and {len(weights)} weights"):
        plots.word_weights(words, weights)


# --- general --------------------------------------------------------------------------------------


def test_lines_draw_points_in_order_bands_and_names() -> None:
    series = {"ours": [(100, 3, 2, 4), (10, 5, 4, 6)], "theirs": [(10, 1, 1, 1), (100, 2, 2, 2)]}
    ax = plots.lines(series, "size", "words", log="x")
    assert [line.get_xydata().tolist() for line in ax.lines] == [
        [[10, 5], [100, 3]],
        [[10, 1], [100, 2]],
    ]
    assert len(ax.collections) == 2 and (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert {"ours", "theirs", "size", "words", "100"} <= set(strings(ax))


def test_lines_without_bands_have_none_and_one_line_needs_no_name() -> None:
    ax = plots.lines({"only": [(1, 2), (2, 3)]}, "x", "y", dots=False)
    assert not ax.collections and ax.lines[0].get_marker() == "None" and "only" not in strings(ax)


def test_log_axes_say_plain_numbers_at_powers_of_ten() -> None:
    ax = plots.lines({"Zipf": [(1, 1e6), (1e5, 1)]}, "rank", "count", log="xy")
    assert {"1", "10", "10,000", "1,000,000"} <= set(strings(ax))
    assert "2" not in strings(ax) and "20" not in strings(ax)


def test_a_map_has_each_word_at_its_place_and_a_legend_of_groups() -> None:
    ax = plots.word_map({"good": (0, 1), "$9": (2, 3)}, groups={"good": "praise"})
    places = {text.get_text(): text.xy for text in ax.texts}
    assert places == {"good": (0, 1), "$9": (2, 3)}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["praise"]
    assert ax.texts[0].get_color() == plots.BLUE and ax.texts[1].get_color() == plots.GREY


def test_a_heatmap_shows_the_matrix() -> None:
    ax = plots.heatmap([[0.1, 0.9, 0.2]], ["a"], ["x", "y", "z"], "share", numbers=".1f")
    assert ax.images[0].get_array().tolist() == [[0.1, 0.9, 0.2]]
    assert {"0.1", "0.9", "0.2", "a", "x", "share"} <= set(strings(ax))


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.lines({}, "x", "y"), "1 to 6 series"),
        (lambda: plots.lines({"a": []}, "x", "y"), "'a': 0"),
        (lambda: plots.word_map({}), "at least one word"),
        (lambda: plots.heatmap([[1, 2]], ["a"], ["b"], "share"), r"\[1, 1\].*\[1, 2\]"),
    ],
)
def test_general_pictures_refuse_what_they_cannot_draw(
    draw: Callable[[], Axes], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


def test_words_of_a_crowded_map_stand_apart_and_close_to_their_dots() -> None:
    rng = np.random.default_rng(0)
    ax = plots.word_map({f"word{number:02d}": tuple(rng.normal(size=2)) for number in range(30)})
    boxes = {text.get_text(): text.get_window_extent() for text in texts(ax) if text in ax.texts}
    assert len(boxes) == 30 and not any(a.overlaps(b) for a, b in combinations(boxes.values(), 2))
    for text in ax.texts:
        x, y = ax.transData.transform(text.xy)
        box = boxes[text.get_text()].padded(12)
        assert box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1


def test_a_tenfold_log_axis_has_numbers_enough() -> None:
    ax = plots.lines({"only": [(3, 0.02), (30, 0.5)]}, "x", "y", log="xy")
    assert {"5", "10", "20", "0.05", "0.1", "0.2"} <= set(strings(ax))


def test_numbers_are_white_on_dark_cells_and_absent_unless_asked_for() -> None:
    values = [[0.0, 1.0], [0.5, 0.8]]
    dark = [
        text.get_color() == plots.PAPER
        for text in plots.heatmap(values, "ab", "xy", "", numbers=".1f").texts
    ]
    assert dark == [False, True, False, True]
    assert not plots.heatmap(values, ["a", "b"], ["x", "y"], "share").texts
    assert plots.heatmap([[7]], ["a"], ["x"], "count", numbers="d").texts[0].get_text() == "7"


def test_matplotlib_is_not_loaded_before_a_picture_is_wanted() -> None:
    """It builds a cache of fonts when it is first imported, which takes a while."""
    code = "import sys, course_utils.plots; print('matplotlib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "False"


# --- the theme ------------------------------------------------------------------------------------


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("black", "white") == pytest.approx(21)
    assert contrast("white", "white") == 1
    assert contrast("#767676", "white") == pytest.approx(4.54, abs=0.01)  # WCAG's own example


@pytest.mark.parametrize("colour", [*theme.PALETTE, theme.GREY, theme.PALE, theme.PAPER])
@pytest.mark.parametrize("ground", ["white", "#CFE6F5", "#DDDDDD"])
def test_an_ink_can_be_read_and_keeps_its_hue(colour: str, ground: str) -> None:
    found = plots.ink(colour, ground)
    assert contrast(found, ground) >= 4.5
    before, after = to_rgba(colour)[:3], to_rgba(found)[:3]
    if max(before) > min(before):
        assert np.argsort(before).tolist() == np.argsort(after).tolist()
    if contrast(colour, ground) >= 4.5:
        assert found == colour
    else:
        assert contrast(found, ground) < 5.2  # no darker than it must be


@pytest.mark.parametrize("shade", np.linspace(0, 1, 21))
def test_a_text_in_a_cell_can_be_read_on_every_shade(shade: float) -> None:
    ax = plots.heatmap([[0.0, 1.0, shade]], ["row"], ["a", "b", "c"], "share", numbers=".2f")
    ground = ax.images[0].cmap(ax.images[0].norm(shade))
    assert contrast(ax.texts[2].get_color(), ground) >= 4.5


def test_curves_are_named_at_their_ends_where_there_is_room() -> None:
    curves = {name: [(0, place), (1, place)] for place, name in enumerate("abc")}
    ax = plots.lines(curves, "x", "y")
    assert ax.get_legend() is None
    assert [text.get_text() for text in ax.texts] == ["a", "b", "c"]
    heights = [text.get_window_extent().y0 for text in texts(ax) if text in ax.texts]
    assert heights == sorted(heights)
    names = [f"a name that takes more than a third of the picture, {place}" for place in range(2)]
    ax = plots.lines({name: [(0, 1), (1, 2)] for name in names}, "x", "y")
    assert not ax.texts
    assert [text.get_text() for text in ax.get_legend().get_texts()] == names
    check_layout(texts(ax))
    check_contrast(texts(ax))


def test_axes_without_a_layout_name_their_curves_in_a_legend() -> None:
    """There the margin is fixed, so a name beside the curve would be cut off."""
    _, ax = pyplot.subplots(figsize=(6.4, 3.6))
    plots.lines({"from scratch": [(0, 1), (1, 2)], "b": [(0, 2), (1, 3)]}, "x", "y", ax=ax)
    assert ax.get_legend() is not None and not ax.texts
    assert ax.figure.dpi == 160


@pytest.mark.parametrize(
    ("columns", "slant"),
    [
        (["I", "was", "not", "bored"], 0),
        (["course-bert", "BERT-base", "BERT-large"], 0),
        (["[CLS]", "the", "magnificent", "film", "was", "not", "extraordinary", "."], 45),
        (["magnificent"] * 40, 90),
    ],
)
def test_column_labels_are_turned_only_where_they_would_overlap(
    columns: list[str], slant: int
) -> None:
    values = np.zeros((2, len(columns)))
    ax = plots.new_axes(5.5, 3.6)[0]
    plots.heatmap(values, ["a", "b"], columns, "share", ax)
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {slant}
    found = texts(ax)
    assert min(text.get_fontsize() for text in found) >= LEAST_POINTS
    if slant == 0:
        check_layout(found)


def test_a_turned_label_ends_below_its_column() -> None:
    columns = ["[CLS]", "the", "magnificent", "film", "was", "not", "extraordinary", "."]
    ax = plots.heatmap(np.zeros((3, 8)), ["a", "b", "c"], columns, "share")
    ax.figure.canvas.draw()
    for place, label in enumerate(ax.get_xticklabels()):
        x, _ = ax.transData.transform((place, 0))
        assert abs(label.get_window_extent().x1 - x) < 0.12 * ax.figure.dpi
