"""Plausible wrong answers to the exercises of notebook 02, and other right ones."""

import math
from collections import Counter
from collections.abc import Callable, Set
from itertools import pairwise
from typing import Any

import numpy as np

# --- 02.2 -----------------------------------------------------------------------------------------

Pair = tuple[str, str]


def as_printed_merge(symbols: list[str], pair: Pair) -> list[str]:
    return " ".join(symbols).replace(" ".join(pair), "".join(pair)).split()


def replaces_between_bars(symbols: list[str], pair: Pair) -> list[str]:
    return "|".join(symbols).replace("|".join(pair), "".join(pair)).split("|")


def joins_overlapping(symbols: list[str], pair: Pair) -> list[str]:
    joined = {place for place, two in enumerate(pairwise(symbols)) if two == pair}
    return [
        "".join(pair) if place in joined else symbol
        for place, symbol in enumerate(symbols)
        if place in joined or place - 1 not in joined
    ]


def joins_the_first_only(symbols: list[str], pair: Pair) -> list[str]:
    place = next((place for place, two in enumerate(pairwise(symbols)) if two == pair), None)
    return symbols if place is None else [*symbols[:place], "".join(pair), *symbols[place + 2 :]]


def joins_from_the_right(symbols: list[str], pair: Pair) -> list[str]:
    return [
        symbol[::-1]
        for symbol in merged(
            [symbol[::-1] for symbol in symbols[::-1]], (pair[1][::-1], pair[0][::-1])
        )[::-1]
    ]


def forgets_the_last(symbols: list[str], pair: Pair) -> list[str]:
    result, place = [], 0
    while place < len(symbols) - 1:
        found = (symbols[place], symbols[place + 1]) == pair
        result.append("".join(pair) if found else symbols[place])
        place += 1 + found
    return result


def merged(symbols: list[str], pair: Pair) -> list[str]:
    """Right."""
    result = list(symbols)
    place = 0
    while place < len(result) - 1:
        if (result[place], result[place + 1]) == pair:
            result[place : place + 2] = ["".join(pair)]
        place += 1
    return result


# --- 02.3 -----------------------------------------------------------------------------------------


def cut(
    word: str,
    vocab: Set[str],
    *,
    mark: str = "##",
    keeps: bool = False,
    skips: bool = False,
    shortest: bool = False,
) -> list[str]:
    """Right as it stands; each option is a mistake."""
    pieces, start = [], 0
    while start < len(word):
        ends = range(start + 1, len(word) + 1) if shortest else range(len(word), start, -1)
        end = next(
            (end for end in ends if (mark if start else "") + word[start:end] in vocab), None
        )
        if end is None and not skips:
            return [*pieces, "[UNK]"] if keeps else ["[UNK]"]
        pieces.append("[UNK]" if end is None else (mark if start else "") + word[start:end])
        start = end or start + 1
    return pieces


def without_the_rest(word: str, vocab: Set[str]) -> list[str]:
    found = cut(word, vocab, keeps=True)
    return found[:-1] if len(found) > 1 and found[-1] == "[UNK]" else found


# --- 02.4 -----------------------------------------------------------------------------------------


def best(
    words: dict[tuple[str, ...], int],
    *,
    rule: Callable[[int, int, int, int], float] | None = None,
    weighted: bool = True,
    once: bool = False,
    of_pairs: bool = False,
) -> Pair:
    """Right as it stands; each option is a mistake."""
    rule = rule or (lambda pair, left, right, total: pair * math.log(total * pair / (left * right)))
    symbols, pairs = Counter(), Counter()
    for word, number in words.items():
        count = number if weighted else 1
        for symbol in set(word) if once else word:
            symbols[symbol] += count
        for pair in set(pairwise(word)) if once else pairwise(word):
            pairs[pair] += count
    total = (
        symbols.total() ** 2 / pairs.total() if of_pairs else symbols.total()
    )  # p_ab: a share of the pairs
    return max(pairs, key=lambda pair: rule(pairs[pair], symbols[pair[0]], symbols[pair[1]], total))


# --- 02.5 -----------------------------------------------------------------------------------------


def shortest(word: str, vocab: Set[str], *, mark: str = "##", dead_end: Any = "[UNK]") -> Any:
    """Right as it stands, and without recursion; each option is a mistake."""
    ways: dict[int, list[str]] = {0: []}
    for start in range(len(word)):
        for end in range(start + 1, len(word) + 1):
            piece = (mark if start else "") + word[start:end]
            if (
                start in ways
                and piece in vocab
                and len(ways.get(end, [None] * 99)) > len(ways[start]) + 1
            ):
                ways[end] = [*ways[start], piece]
    return ways.get(len(word), [dead_end] if dead_end else [])


def longest_instead(word: str, vocab: Set[str]) -> list[str]:
    return cut(word, vocab, shortest=True)


def greedy_from_the_right(word: str, vocab: Set[str]) -> list[str]:
    pieces: list[str] = []
    end = len(word)
    while end:
        start = next(
            (start for start in range(end) if "##" * (start > 0) + word[start:end] in vocab), None
        )
        if start is None:
            return ["[UNK]"]
        pieces, end = ["##" * (start > 0) + word[start:end], *pieces], start
    return pieces


def better_of_both_greedies(word: str, vocab: Set[str]) -> list[str]:
    return min(
        cut(word, vocab),
        greedy_from_the_right(word, vocab),
        key=lambda way: (way == ["[UNK]"], len(way)),
    )


def all_ways(word: str, vocab: Set[str], start: int = 0) -> list[str]:
    if start == len(word):
        return []
    found = [
        [piece, *rest]
        for end in range(start + 1, len(word) + 1)
        if (piece := ("##" if start else "") + word[start:end]) in vocab
        and "[UNK]" not in (rest := all_ways(word, vocab, end))
    ]
    return min(found, key=len, default=["[UNK]"])


# --- 02.6 -----------------------------------------------------------------------------------------

Ids = list[int]


def truncated(
    first: Ids, second: Ids, room: int, *, at_a_draw: str = "fair", from_start: bool = False
) -> tuple[Ids, Ids]:
    """Right as it stands; each option is a mistake."""
    longer = len(first) > len(second)
    first, second = list(first), list(second)
    while len(first) + len(second) > room:
        loses_first = {"fair": not longer, "first": True, "second": False, "unfair": longer}[
            at_a_draw
        ]
        text = (
            first
            if len(first) > len(second) or (len(first) == len(second) and loses_first)
            else second
        )
        text.pop(0 if from_start else -1)
    return first, second


def half_each(first: Ids, second: Ids, room: int) -> tuple[Ids, Ids]:
    return first[: room // 2], second[: room - room // 2]


def second_first(first: Ids, second: Ids, room: int) -> tuple[Ids, Ids]:
    return first[:room], second[: max(0, room - len(first))]


def counts_from_the_end(first: Ids, second: Ids, room: int) -> tuple[Ids, Ids]:
    sizes = [*map(len, truncated(first, second, room))]
    cuts = [len(text) - size for text, size in zip((first, second), sizes, strict=True)]
    return (first[: -cuts[0]] if cuts[0] else first, second[: -cuts[1]] if cuts[1] else first)


def in_proportion(first: Ids, second: Ids, room: int) -> tuple[Ids, Ids]:
    total = max(1, len(first) + len(second))
    if total <= room:
        return first, second
    size = round(room * len(first) / total)
    return first[:size], second[: room - size]


EQUAL = {"case": ("A Film", "a film"), "accents": ("café", "cafe"), "spaces": ("good.", "good .")}
PLAN = {
    "change": "vocab_size",
    "same": "text read",
    "measure": "loss per character",
    "chance": [math.log(2000), math.log(8000)],
    "num_seeds": 3,
}
WRONG: dict[str, list[Any]] = {
    "1": [
        lambda words, vocabulary: len(set(words) - vocabulary) / len(set(words)),
        lambda words, vocabulary: sum(word in vocabulary for word in words) / len(words),
        lambda words, vocabulary: sum(word not in vocabulary for word in words),
        lambda words, vocabulary: sum(word not in vocabulary for word in words) / len(vocabulary),
        lambda words, vocabulary: (
            sum(word.lower() not in vocabulary for word in words) / len(words)
        ),
        lambda words, vocabulary: len(set(words) - vocabulary) / len(words),
    ],
    "2": [
        as_printed_merge,
        joins_overlapping,
        joins_the_first_only,
        joins_from_the_right,
        forgets_the_last,
        lambda symbols, pair: as_printed_merge(symbols, pair) if symbols else [],
        lambda symbols, pair: [*"".join(merged(symbols, pair))],
        lambda symbols, pair: "".join(symbols),
    ],
    "3": [
        lambda word, vocab: cut(word, vocab, keeps=True),
        lambda word, vocab: cut(word, vocab, mark=""),
        lambda word, vocab: cut(word, vocab, skips=True),
        lambda word, vocab: cut(word, vocab, shortest=True),
        without_the_rest,
        all_ways,
        lambda word, vocab: [] if "[UNK]" in (found := cut(word, vocab)) else found,
    ],
    "4": [
        lambda words: best(words, rule=lambda pair, left, right, total: pair),
        lambda words: best(words, rule=lambda pair, left, right, total: pair / (left * right)),
        lambda words: best(words, rule=lambda pair, left, right, total: pair * math.log(pair)),
        lambda words: best(
            words, rule=lambda pair, left, right, total: math.log(total * pair / (left * right))
        ),
        lambda words: best(words, weighted=False),
        lambda words: best(words, once=True),
        lambda words: best(words, of_pairs=True),
        lambda words: "".join(best(words)),
    ],
    "5": [
        cut,
        longest_instead,
        lambda word, vocab: shortest(word, vocab, mark=""),
        lambda word, vocab: shortest(word, vocab, dead_end=None),
        lambda word, vocab: len(shortest(word, vocab)),
        lambda word, vocab: shortest(word, vocab)[::-1],
        greedy_from_the_right,
        better_of_both_greedies,
    ],
    "6": [
        lambda *args: truncated(*args, at_a_draw="first"),
        lambda *args: truncated(*args, at_a_draw="second"),
        lambda *args: truncated(*args, at_a_draw="unfair"),
        lambda *args: truncated(*args, from_start=True),
        half_each,
        second_first,
        counts_from_the_end,
        in_proportion,
        lambda *args: truncated(*args)[0],
    ],
    "7": [
        {"case": ("A Film", "a film")},
        [("A", "a")] * 3,
        {**EQUAL, "case": ("film", "film")},
        {**EQUAL, "case": ("Café", "cafe")},
        {**EQUAL, "accents": ("cafés", "cafe")},
        {**EQUAL, "accents": ("straße", "strasse")},
        {**EQUAL, "spaces": ("so good", "sogood")},
        {**EQUAL, "spaces": ("so good", "so  good")},
        {**EQUAL, "case": ("単Ж語", "単ж語")},
        {**EQUAL, "spaces": "a b"},
    ],
    "8": [
        {**PLAN, "change": "hidden_size"},
        {**PLAN, "same": "tokens read"},
        {**PLAN, "measure": "loss per token"},
        {**PLAN, "measure": "share of tokens guessed rightly"},
        {**PLAN, "num_seeds": 1},
        {**PLAN, "chance": [0.5, 0.5]},
        {**PLAN, "chance": [math.log2(2000), math.log2(8000)]},
        {**PLAN, "chance": [1 / 2000, 1 / 8000]},
        {**PLAN, "chance": [9.0, 7.6]},
        {"change": "vocab_size"},
    ],
}
GIVEAWAYS = {
    "1": ("not in", "len(words)"),
    "2": ("result[-1]", "+= 2", ".append("),
    "3": ('return ["[UNK]"]',),
    "4": ("math.log", "* math"),
    "5": ("best[", "dynamic programming", "'th', '##esis'"),
    "6": (".pop", "min(", "// 2"),
    "7": ("isn", "résumé", "punctuation"),
    "8": ("loss per character", "text read", "ln", "7.6", "vocab_size", "three"),
}
RIGHT: dict[str, list[Any]] = {
    "1": [lambda words, vocabulary: np.mean([word not in vocabulary for word in words])],
    "2": [
        merged,
        lambda symbols, pair: tuple(merged(symbols, pair)),
        lambda symbols, pair: [*map(np.str_, merged(symbols, pair))],
    ],
    "3": [cut],
    "4": [
        best,
        lambda words: best(
            words,
            rule=lambda pair, left, right, total: (
                pair * (math.log2(pair) + math.log2(total) - math.log2(left) - math.log2(right))
            ),
        ),
    ],
    "5": [shortest],
    "6": [truncated],
    "7": [EQUAL, {**EQUAL, "spaces": ["isn't", "isn ' t"]}],
    "8": [
        PLAN,
        {**PLAN, "chance": (7.6, 8.99), "num_seeds": 5},
        {**PLAN, "chance": np.log([2000, 8000])},
        {**PLAN, "chance": [np.float32(7.6), np.float32(8.99)], "num_seeds": np.int64(3)},
    ],
}
