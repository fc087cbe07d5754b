"""Examples that are unfit are counted and named; splits part no repeats."""

from collections import Counter

import pytest
from datasets import ClassLabel, Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_utils.data import check_examples, hold_out, label_names

# The same examples each time, and no clock: a busy machine changes nothing.
steady = settings(
    deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)


def dataset(labels, texts=None, names=()):
    """Rows whose labels have the given names, or none."""
    texts = texts or [f"review {index}" for index in range(len(labels))]
    rows = Dataset.from_dict({"text": texts, "label": labels})
    return rows.cast_column("label", ClassLabel(names=list(names))) if names else rows


OPINIONS = ("negative", "neutral", "positive")


def test_label_names_are_those_of_the_data_set():
    assert label_names(dataset([0, 2, 1], names=OPINIONS)) == OPINIONS
    assert label_names(dataset([1, 0], names=("neg", "pos"))) == ("neg", "pos")


def test_labels_without_names_say_how_to_name_them():
    with pytest.raises(
        ValueError, match=r"no names; .* got Value\('int64'\)\. Name them: dataset\.c"
    ):
        label_names(dataset([0, 1]))
    with pytest.raises(ValueError, match=r"no names; .* got None"):
        label_names(Dataset.from_dict({"text": ["a"]}))


def test_good_examples_pass():
    check_examples(dataset([0, 1, 1]), name="mine")
    check_examples(dataset([0, 1, 2]), num_labels=3, name="mine")
    check_examples(dataset([0, 1, 2], names=OPINIONS), name="mine")


def test_the_number_of_labels_is_that_of_their_names():
    with pytest.raises(ValueError, match="no example has label 2; the 3 are 2 negative, 1 neutral"):
        check_examples(dataset([0, 1, 0], names=OPINIONS), name="mine")
    with pytest.raises(ValueError, match="1 of 3 labels lie outside 0 to 2"):
        check_examples(dataset([0, 1, -1], names=OPINIONS), name="mine")
    check_examples(dataset([0, 1, 0], names=OPINIONS), num_labels=2, name="mine")


@pytest.mark.parametrize(
    ("labels", "texts", "message"),
    [
        ([0, 1, 1], ["good", "", " \n\t"], "mine: 2 of 3 texts are empty, the first at index 1"),
        ([0, 1, 1], ["good", "bad", None], "mine: 1 of 3 texts are empty, the first at index 2"),
        (
            [0, 1, 1],
            ["good", "<br /><br />", "bad"],
            "mine: 1 of 3 texts are empty, the first at index 1",
        ),
        (
            [0, 1, -1, 2],
            None,
            r"mine: 2 of 4 labels lie outside 0 to 1, the first at index 2 \(-1\)",
        ),
        ([0, 0, 0], None, "mine: no example has label 1; the 3 are 3 labelled 0. Was sorted data"),
        ([], None, "mine: no example has label 0, 1; the 0 are none"),
    ],
)
def test_bad_examples_are_counted_and_the_first_is_named(labels, texts, message):
    with pytest.raises(ValueError, match=message):
        check_examples(dataset(labels, texts), name="mine")


def test_one_class_only_is_called_by_its_name():
    with pytest.raises(
        ValueError, match=r"no example has label 1; the 3 are 3 neg\. Was sorted data"
    ):
        check_examples(dataset([0, 0, 0], names=("neg", "pos")), name="mine")


def test_hold_out_is_stratified_disjoint_and_complete():
    rows = dataset([0] * 300 + [1] * 100)
    train, validation = hold_out(rows, 40)
    assert Counter(validation["label"][:]) == {0: 30, 1: 10}
    both = [*train["text"][:], *validation["text"][:]]
    assert sorted(both) == sorted(rows["text"][:])
    assert [int(text.split()[1]) for text in train["text"][:]] == sorted(
        int(text.split()[1]) for text in train["text"][:]
    ), "the order of the rows is kept"


def test_hold_out_depends_on_the_seed_and_the_texts_alone():
    rows = dataset([0, 1] * 50)
    chosen = set(hold_out(rows, 20, seed=1)[1]["text"][:])
    assert set(hold_out(rows.shuffle(seed=5), 20, seed=1)[1]["text"][:]) == chosen
    assert set(hold_out(rows, 20, seed=2)[1]["text"][:]) != chosen


@steady
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=2, max_size=60), st.data()
)
def test_hold_out_never_parts_repeats(rows, draw):
    labels, texts = [label for label, _ in rows], [f"review {number}" for _, number in rows]
    size = draw.draw(st.integers(0, len(rows)))
    try:
        train, validation = hold_out(dataset(labels, texts), size)
    except ValueError as error:
        assert "cannot hold out" in str(
            error
        )  # one label, a size too large, or repeats that do not fit
        return
    assert len(validation) == size and len(train) == len(rows) - size
    assert not set(train["text"][:]) & set(validation["text"][:])
    assert set(train["label"][:]) == set(validation["label"][:]) == set(labels)


@pytest.mark.parametrize(
    ("labels", "size"),
    [
        ([0, 1] * 5, 10),
        ([0, 1] * 5, 11),
        ([0, 1] * 5, 0),
        ([0, 1] * 5, 1),
        ([0, 1] * 5, -1),
        ([0] * 10, 4),
        ([], 1),
    ],
)
def test_hold_out_refuses_what_would_leave_a_side_without_a_label(labels, size):
    with pytest.raises(ValueError, match=r"cannot hold out -?\d+ of \d+ examples"):
        hold_out(dataset(labels), size)


def test_hold_out_refuses_sizes_that_would_part_repeats():
    with pytest.raises(ValueError, match="repeats of a text on one side"):
        hold_out(dataset([0] * 4 + [1] * 4, ["a"] * 4 + ["b"] * 4), 2)


def test_hold_out_calls_labels_by_their_names():
    rows = dataset([0, 1, 1, 2], names=OPINIONS)
    with pytest.raises(ValueError, match=r"4 examples \(1 negative, 2 neutral, 1 positive\): both"):
        hold_out(rows, 2)
