"""Counting words: by hand on a handful of texts."""

import json
from collections import Counter
from pathlib import Path

import pytest

from course_utils.tokenization import WordPieceTokenizer
from experiments import words


def test_words_are_berts_words() -> None:
    assert words.words_of(["Née good!<br />It's"]) == [["nee", "good", "!", "it", "'", "s"]]


@pytest.mark.parametrize(
    ("texts", "points"),
    [
        ([["a", "b", "a", "c"], ["a", "d"]], [(1, 1), (2, 2), (4, 3), (6, 4)]),
        # the end is a power of two: no point twice
        ([["a", "a", "a", "a"]], [(1, 1), (2, 1), (4, 1)]),
        ([], [(0, 0)]),
    ],
)
def test_growth_counts_different_words_among_those_read(
    texts: list[list[str]], points: list[tuple[int, int]]
) -> None:
    assert words.growth(texts, start=1) == points


def test_frequencies_stand_at_doubling_ranks_and_at_the_last() -> None:
    counts = Counter({"the": 50, "a": 20, "film": 9, "dull": 4, "very": 4, "once": 1})
    assert words.frequencies(counts) == [(1, 50), (2, 20), (4, 4), (6, 1)]
    assert words.frequencies(Counter("a")) == [(1, 1)]
    assert words.frequencies(Counter("aab")) == [(1, 2), (2, 1)]


def test_unknown_share_knows_the_most_frequent_only() -> None:
    counts = Counter({"film": 5, "dull": 2, "good": 2, "odd": 1})
    test = [["film", "good"], ["dull", "new"]]
    assert words.unknown_share(counts, test, size=1) == 3 / 4
    # of two equally frequent words, the first by the alphabet: dull
    assert words.unknown_share(counts, test, size=2) == 2 / 4
    assert words.unknown_share(counts, test, size=4) == 1 / 4
    assert words.share_with_an_unknown_word(counts, test) == 1 / 2


def test_token_counts_stand_at_their_ids() -> None:
    tokenizer = WordPieceTokenizer(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film", "##s", "a"]
    )
    assert words.token_counts(["A film<br />films", "a"], tokenizer) == [0, 0, 0, 0, 0, 2, 1, 2]


def test_command_writes_a_record_that_adds_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "words.json"
    assert words.main(["--dataset", "course", "--output", str(output)]) == 0
    record = json.loads(output.read_text(encoding="utf-8"))
    assert record["growth"][-1] == [record["train_words"], record["train_types"]]
    assert record["frequencies"][-1][0] == record["train_types"]
    assert len(record["token_counts"]) == 8192
    assert sum(record["token_counts"]) > record["train_words"]
    assert 0 < record["train_types_once"] < record["train_types"]
    shares = list(record["ratios"]["unknown_words_of_test"].values())
    assert shares == sorted(shares, reverse=True) and 0 < shares[-1] < shares[0] < 1
    assert record["command"] == "python -m experiments.words --dataset course --output $OUTPUT"
    assert f"{record['train_types']:,} different words" in capsys.readouterr().out
