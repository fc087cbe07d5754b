"""Pictures of text: every piece is a box at its place, nothing is lost or cut off,
and no global setting changes.
"""

from collections.abc import Iterator
from itertools import pairwise

import matplotlib
import pytest

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgba
from matplotlib.patches import Rectangle
from pictures import check_contrast, check_layout
from pictures import texts as texts_seen

from course_utils import plots
from course_utils.plots import text_pieces, texts

TEXT = "It costs $9 and $5, and I was not bored."
WORDS = [
    (0, 2),
    (3, 8),
    (9, 11),
    (12, 15),
    (16, 18),
    (18, 19),
    (20, 23),
    (24, 25),
    (26, 29),
    (30, 33),
    (34, 39, False),
    (39, 40),
]
LETTERS = [(place, place + 1) for place in range(len(TEXT))]
LONG = " ".join(["magnificent"] * 20)  # four lines


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


def boxes(ax: Axes) -> list[Rectangle]:
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def pieces_drawn(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts if text.get_weight() != "bold"]


def headings(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts if text.get_weight() == "bold"]


def test_each_piece_is_a_box_with_its_letters() -> None:
    ax = text_pieces(TEXT, {"words": WORDS, "letters": LETTERS})
    assert pieces_drawn(ax) == [TEXT[start:end] for start, end, *_ in [*WORDS, *LETTERS]]
    assert len(boxes(ax)) == len(WORDS) + len(LETTERS)
    assert headings(ax) == ["words: 12 pieces", "letters: 40 pieces"]
    for box, (start, end, *_) in zip(boxes(ax), WORDS, strict=False):
        assert (round(box.get_x()), round(box.get_x() + box.get_width())) == (start, end)


def test_neighbours_differ_in_colour_and_the_unknown_are_framed() -> None:
    ax = text_pieces(TEXT, {"words": WORDS})
    colours = [to_hex(box.get_facecolor()).upper() for box in boxes(ax)]
    assert all(one != other for one, other in pairwise(colours))
    unknown = [box for box in boxes(ax) if box.get_linewidth() > 0]
    assert len(unknown) == 1 and unknown[0].get_edgecolor() == to_rgba(plots.VERMILLION)
    assert "[UNK]" in ax.get_xlabel()
    assert "[UNK]" not in text_pieces(TEXT, {"letters": LETTERS}).get_xlabel()


def test_lines_break_at_the_same_blanks_for_all() -> None:
    spans = [(place, place + 11) for place in range(0, len(LONG), 12)]
    with_blanks = [(0, 11), *((place - 1, place + 11) for place in range(12, len(LONG), 12))]
    ax = text_pieces(LONG, {"words": spans, "with the blank before": with_blanks})
    assert pieces_drawn(ax).count("magnificent") == 20 + 4  # the blank at a break is not drawn
    assert pieces_drawn(ax).count(" magnificent") == 16
    assert max(box.get_x() + box.get_width() for box in boxes(ax)) <= texts._COLUMNS


def test_a_piece_may_go_over_the_end_of_a_line() -> None:
    ax = text_pieces(LONG, {"all": [(0, len(LONG))]})
    assert headings(ax) == ["all: 1 piece"]
    assert (
        " ".join(pieces_drawn(ax)) == LONG
        and len({round(box.get_y(), 2) for box in boxes(ax)}) == 4
    )


def test_a_word_longer_than_a_line_is_cut() -> None:
    ax = text_pieces("x" * 100, {"one": [(0, 100)]})
    assert [len(piece) for piece in pieces_drawn(ax)] == [texts._COLUMNS, 100 - texts._COLUMNS]


def test_several_blanks_in_a_row_shift_nothing() -> None:
    text = "a  b\tc " + "d" * 80
    spans = [(0, 1), (3, 4), (5, 6), (7, 87)]
    ax = text_pieces(text, {"words": spans})
    assert [piece[:1] for piece in pieces_drawn(ax)] == ["a", "b", "c", "d", "d"]
    assert sum(map(len, pieces_drawn(ax))) == 83


@pytest.mark.parametrize("text", [TEXT, LONG])
def test_texts_neither_overlap_nor_leave_the_picture(text: str) -> None:
    letters = [(place, place + 1) for place in range(len(text))]
    ax = text_pieces(text, {"words $": [(0, 5)], "letters": letters, "none": []})
    found = texts_seen(ax)
    check_layout(found)
    check_contrast(found)
    assert ax.figure.dpi == 160
    said = f"A text of {len(text)} characters, cut into pieces: words $ into 1, letters into "
    assert ax.figure.get_label() == f"{said}{len(letters)}, none into 0."


def test_settings_stay_and_colours_are_explicit() -> None:
    with pyplot.style.context("dark_background"):
        before = matplotlib.rcParams.copy()
        ax = text_pieces(TEXT, {"words": WORDS})
        assert matplotlib.rcParams == before
        assert ax.figure.get_facecolor() == ax.get_facecolor() == to_rgba("white")
        check_contrast(texts_seen(ax))


def test_given_axes_are_used() -> None:
    _, ax = pyplot.subplots()
    assert text_pieces(TEXT, {"words": WORDS}, ax) is ax and len(pyplot.get_fignums()) == 1


def test_two_pieces_of_one_character_may_share_its_place() -> None:
    assert pieces_drawn(text_pieces("é", {"bytes": [(0, 1), (0, 1)]})) == ["é", "é"]


@pytest.mark.parametrize(
    ("text", "pieces", "said"),
    [
        ("", {"words": []}, "a text and at least one"),
        ("  ", {"words": []}, "a text and at least one"),
        ("film", {}, "and 0"),
        ("film", {"words": [(0, 5)]}, r"words: .*within 0 to 4, got \(0, 5\)"),
        ("film", {"words": [(2, 4), (0, 2)]}, r"got \(0, 2\) after \(2, 4\)"),
        ("film", {"words": [(3, 2)]}, r"got \(3, 2\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(text: str, pieces: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        text_pieces(text, pieces)
