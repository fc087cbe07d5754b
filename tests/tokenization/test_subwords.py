"""Merges and vocabularies: equal to the plain definition,
and to what the `tokenizers` library learns.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import chain, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from course_utils.data import load_reviews
from course_utils.tokenization import learn_merges, learn_vocabulary

BPE = operator.add


def join_pieces(left: str, right: str) -> str:
    """WordPiece: "un" and "##do" make "undo"."""
    return left + right.removeprefix("##")


def plain_merges(
    words: Mapping[tuple[str, ...], int],
    num_merges: int,
    min_frequency: int = 2,
    join: Callable[[str, str], str] = BPE,
) -> list[tuple[str, str]]:
    """The definition: count all pairs, join the best one everywhere, start again."""
    texts = [list(word) for word in words]
    symbols = sorted(set(chain.from_iterable(words)), key=lambda symbol: (len(symbol), symbol))
    ages = {symbol: number for number, symbol in enumerate(symbols)}
    merges: list[tuple[str, str]] = []
    while len(merges) < num_merges:
        counts: Counter[tuple[str, str]] = Counter()
        for text, count in zip(texts, words.values(), strict=True):
            for pair in pairwise(text):
                counts[pair] += count
        best = min(
            counts, key=lambda pair: (-counts[pair], ages[pair[0]], ages[pair[1]]), default=None
        )
        if best is None or counts[best] < min_frequency:
            break
        merges.append(best)
        joined = join(*best)
        ages.setdefault(joined, len(ages))
        texts = [join_everywhere(text, best, joined) for text in texts]
    return merges


def join_everywhere(text: list[str], pair: tuple[str, str], joined: str) -> list[str]:
    result: list[str] = []
    place = 0
    while place < len(text):
        found = tuple(text[place : place + 2]) == pair
        result.append(joined if found else text[place])
        place += 2 if found else 1
    return result


def spelled(words: Mapping[str, int], prefix: str = "") -> dict[tuple[str, ...], int]:
    symbols = {}
    for word, count in words.items():
        rest = [prefix + letter for letter in word[1:]]
        symbols[word[0], *rest] = count
    return symbols


few_letters = st.dictionaries(st.text("ab", min_size=1, max_size=14), st.integers(1, 4), max_size=8)
any_letters = st.dictionaries(
    st.text("abc单词🙂é", min_size=1, max_size=9), st.integers(1, 9), max_size=12
)


@settings(deadline=None, max_examples=300)
@given(
    few_letters | any_letters, st.integers(0, 40), st.integers(1, 4), st.sampled_from(["", "##"])
)
def test_equals_the_plain_definition(
    words: dict[str, int], num: int, min_frequency: int, prefix: str
) -> None:
    symbols, join = spelled(words, prefix), join_pieces if prefix else BPE
    assert learn_merges(symbols, num, min_frequency=min_frequency, prefix=prefix) == plain_merges(
        symbols, num, min_frequency, join
    )


@settings(deadline=None)
@given(any_letters, st.randoms(use_true_random=False))
def test_order_of_words_does_not_matter(words: dict[str, int], rng: object) -> None:
    shuffled = list(words.items())
    rng.shuffle(shuffled)
    assert learn_merges(spelled(words), 30) == learn_merges(spelled(dict(shuffled)), 30)


def test_the_pairs_of_the_paper() -> None:
    words = spelled({"low_": 5, "lower_": 2, "newest_": 6, "widest_": 3})
    # the paper breaks the tie of "es" + "t" and "t" + "_" the other way; both ways end at "est_"
    # and "lo"
    assert learn_merges(words, 5) == [("e", "s"), ("t", "_"), ("es", "t_"), ("l", "o"), ("lo", "w")]


def test_ties_go_to_the_older_symbols() -> None:
    assert learn_merges(spelled({"cd": 2, "ab": 2, "ad": 2}), 3) == [
        ("a", "b"),
        ("a", "d"),
        ("c", "d"),
    ]
    # "ab" is younger than "z" although it sorts before it
    assert learn_merges(spelled({"ab": 9, "abq": 2, "zq": 2}), 3) == [
        ("a", "b"),
        ("z", "q"),
        ("ab", "q"),
    ]


def test_overlapping_pairs_join_from_the_left() -> None:
    assert learn_merges({("a",) * 5: 1}, 9, min_frequency=1) == [
        ("a", "a"),
        ("aa", "a"),
        ("aa", "aaa"),
    ]


def test_two_merges_can_make_one_symbol() -> None:
    words = {("a", "b", "c"): 3, ("ab", "c"): 4, ("b", "c"): 9}
    merges = learn_merges(words, 9)
    assert merges == plain_merges(words, 9)
    assert [left + right for left, right in merges].count("abc") == 2


@pytest.mark.parametrize("words", [{}, {(): 3}, {("a",): 100}, {("a", "b"): 1}])
def test_nothing_to_merge(words: dict[tuple[str, ...], int]) -> None:
    assert learn_merges(words, 10) == []


def test_more_merges_than_there_are() -> None:
    assert learn_merges(spelled({"abc": 2}), 10**9) == [("a", "b"), ("ab", "c")]
    assert learn_merges(spelled({"abc": 2}), 0) == []


def test_a_word_of_100_000_characters() -> None:
    assert learn_merges({("a",) * 100_000: 1}, 5) == [("a" * 2**n, "a" * 2**n) for n in range(5)]
    merges = learn_merges({tuple("单词🙂的" * 25_000): 1}, 100)
    assert merges[:3] == plain_merges({tuple("单词🙂的" * 1000): 1}, 3)


@pytest.mark.parametrize("options", [{"num_merges": -1}, {"num_merges": 1, "min_frequency": 0}])
def test_numbers_out_of_range(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="Expected num_merges >= 0 and min_frequency >= 1, got"):
        learn_merges({("a", "b"): 2}, **options)


# --- vocabularies ---------------------------------------------------------------------------------


def test_vocabulary_in_its_order() -> None:
    tokens, merges = learn_vocabulary(
        {"undo": 3, "do": 5}, 12, special_tokens=("[PAD]", "[UNK]"), prefix="##"
    )
    assert tokens == ["[PAD]", "[UNK]", "d", "n", "o", "u", "##d", "##n", "##o", "do", "un", "##do"]
    assert merges == [("d", "##o"), ("u", "##n"), ("##d", "##o")]


def test_rare_characters_and_their_words_are_left_out() -> None:
    tokens, merges = learn_vocabulary({"ab": 9, "a单b": 5}, 99, alphabet_limit=2)
    assert tokens == ["a", "b", "ab"] and merges == [("a", "b")]
    assert learn_vocabulary({"ab": 9}, 99, alphabet=("z",), alphabet_limit=2, min_frequency=10)[
        0
    ] == ["a", "z"]


def test_vocabulary_errors() -> None:
    with pytest.raises(ValueError, match=r"at least 3, .* got 2"):
        learn_vocabulary({"ab": 9}, 2, special_tokens=("[UNK]",))
    with pytest.raises(ValueError, match="empty word"):
        learn_vocabulary({"": 9}, 20)
    assert learn_vocabulary({}, 5, special_tokens=("[UNK]",)) == (["[UNK]"], [])


def library_vocabulary(words: Mapping[str, int], vocab_size: int, prefix: str = "") -> list[str]:
    options = {"continuing_subword_prefix": prefix} if prefix else {}
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=["[UNK]"],
        show_progress=False,
        **options,
    )
    tokenizer.train_from_iterator(
        (" ".join([word] * count) for word, count in words.items()), trainer
    )
    return sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)


def review_words() -> Counter[str]:
    return Counter(
        word for text in load_reviews("course")["train"]["text"] for word in text.split()
    )


def test_equals_the_library_on_the_reviews() -> None:
    words = review_words()
    assert learn_vocabulary(words, 3000, special_tokens=("[UNK]",))[0] == library_vocabulary(
        words, 3000
    )


def test_word_pieces_agree_with_the_library_but_for_its_chance() -> None:
    # the library numbers "##a", "##b", ... in an order that changes from run to run, which decides
    # some ties
    words = review_words()
    ours, _ = learn_vocabulary(words, 2000, special_tokens=("[UNK]",), prefix="##")
    theirs = library_vocabulary(words, 2000, "##")
    assert len(set(ours) & set(theirs)) >= 1990
