"""The exercises of notebook 02: unknown words, a merge, two cuts, a gain, a pair,
equal ids, a plan.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_utils.checks.engine import Case, Exercise, Verdict
from course_utils.checks.values import is_number, is_whole_number, show

if TYPE_CHECKING:
    from course_utils.tokenization import WordPieceTokenizer

Words = Mapping[tuple[str, ...], int]

# --- 02.1: unknown words --------------------------------------------------------------------------


def _unknown_share(words: Sequence[str], vocabulary: Set[str]) -> float:
    return 1 - sum(word in vocabulary for word in words) / len(words)


def _unknown_cases() -> list[Case]:
    return [
        Case(
            args=(["a", "fine", "film"], {"a", "film"}),
            hint="One of three words has no row in the table.",
        ),
        Case(
            args=(["film", "film"], {"film", "cast"}),
            hint="Nothing is unknown here: a number all the same.",
        ),
        Case(
            args=(["dull", "film", "dull", "dull"], {"film"}),
            hint="A word that comes three times is unknown three times: the text's words are "
            "counted, not the different ones.",
        ),
        Case(
            args=(["Film", "film"], {"film"}),
            hint="Words are looked up as they are, capitals included.",
        ),
        Case(
            args=(["the", "cast"], {"a", "b", "c", "d"}),
            hint="A share of the text's words, however many the vocabulary has.",
        ),
    ]


# --- 02.2: one merge ------------------------------------------------------------------------------


def _merge_symbols(symbols: Sequence[str], pair: tuple[str, str]) -> list[str]:
    result, place = [], 0
    while place < len(symbols):
        found = tuple(symbols[place : place + 2]) == tuple(pair)
        result.append("".join(pair) if found else symbols[place])
        place += 2 if found else 1
    return result


def _merge_cases() -> list[Case]:
    return [
        Case(
            args=([*"film"], ("f", "i")),
            hint="The pair stands once, at the beginning; all else stays.",
        ),
        Case(args=([*"banana"], ("a", "n")), hint="The pair stands twice."),
        Case(
            args=(["the", "s", "is"], ("e", "s")),
            hint="No symbol here is e, and nothing is to be merged. But in the "
            "line of all symbols, what stands before the space and after it?",
        ),
        Case(
            args=(["s", "he", "s", "h"], ("s", "h")),
            hint="A symbol that begins like the pair's second one is not that symbol.",
        ),
        Case(
            args=([*"aaaaa"], ("a", "a")),
            hint="Each symbol can be joined once only, from left to right; an odd one "
            "is left over.",
        ),
        Case(
            args=([" a", " film"], ("i", "l")),
            hint="Some tokenizers keep a space within a symbol. Does it survive, "
            "where nothing is merged at all?",
        ),
        Case(
            args=([" ", " f", " f", "ilm"], (" f", "ilm")),
            hint="Spaces may be anywhere in a symbol. Can symbols be "
            "compared as symbols, without a line of text?",
        ),
        Case(args=(["film"], ("fi", "lm")), hint="One symbol alone has no neighbour."),
        Case(args=([], ("a", "b")), hint="No symbols at all."),
    ]


# --- 02.3: WordPiece ------------------------------------------------------------------------------


def _cut_into_pieces(word: str, vocab: Set[str]) -> list[str]:
    if not word:
        return []
    for end in range(len(word), 0, -1):
        if word[:end] in vocab:
            pieces = [word[:end]]
            break
    else:
        return ["[UNK]"]
    while (start := sum(map(len, pieces)) - 2 * (len(pieces) - 1)) < len(word):
        fitting = [
            piece
            for end in range(len(word), start, -1)
            if (piece := "##" + word[start:end]) in vocab
        ]
        if not fitting:
            return ["[UNK]"]
        pieces.append(fitting[0])
    return pieces


def _show_vocabulary(value: Any) -> str:
    return (
        " ".join(
            [
                "{",
                *(piece if len(piece) < 20 else f"{piece[:8]}..." for piece in sorted(value)),
                "}",
            ]
        )
        if isinstance(value, Set)
        else show(value)
    )


_VOCAB = frozenset(
    {"the", "th", "t", "film", "fil", "##s", "##is", "##esis", "##ing", "##i", "##m", "s", "ing"}
)


def _cut_cases() -> list[Case]:
    return [
        Case(args=("film", _VOCAB), hint="The whole word is a piece."),
        Case(
            args=("filming", _VOCAB),
            hint="The longest piece first; within the word, pieces have their mark.",
        ),
        Case(
            args=("filmq", _VOCAB),
            hint="Nothing fits at q. What becomes of a word of which one part is unknown? "
            "Half a word and half a shrug would be read as two words.",
        ),
        Case(args=("qfilm", _VOCAB), hint="The first letter is unknown already."),
        Case(args=("filmsq", _VOCAB), hint="Two pieces had been found when q came. Do they count?"),
        Case(
            args=("thesis", _VOCAB),
            hint="Greedy stays greedy: the longest piece at the left, even where that is not "
            "clever.",
        ),
        Case(args=("ming", _VOCAB), hint="A piece with a mark cannot begin a word."),
    ]


# --- 02.4: gain -----------------------------------------------------------------------------------


def _gains(words: Words) -> dict[tuple[str, str], float]:
    symbols, pairs = Counter(), Counter()
    for word, count in words.items():
        symbols.update({symbol: count * number for symbol, number in Counter(word).items()})
        pairs.update({pair: count * number for pair, number in Counter(pairwise(word)).items()})
    total = symbols.total()
    return {
        (a, b): n * math.log(n * total / (symbols[a] * symbols[b])) for (a, b), n in pairs.items()
    }


def _best_by_gain(words: Words) -> tuple[str, str]:
    gains = _gains(words)
    return max(gains, key=gains.__getitem__)


def _gain_cases() -> list[Case]:
    rare = {("q", "z"): 2, ("t", "h"): 50, ("t", "o"): 30, ("a", "h"): 20}
    return [
        Case(
            args=({("a", "b"): 3},),
            hint="There is one pair only. Return the pair itself, a tuple of two symbols.",
        ),
        Case(
            args=({("a", "b"): 9, ("c", "d"): 2, ("c", "e"): 1},),
            hint="How often a word occurs counts in every number: pairs, symbols and their sum.",
        ),
        Case(
            args=(rare,),
            hint="q and z are always together, and twice only. Their score is the highest; does "
            "something stand before the logarithm?",
        ),
        Case(
            args=(
                {("a", "b"): 40, ("a", "c"): 30, ("b", "b"): 30, ("a", "a"): 20, ("x", "y"): 30},
            ),
            hint="The most frequent pair is made of the most frequent symbols, so much of it is "
            "chance. What stands below the fraction bar?",
        ),
        Case(
            args=({("a", "b"): 9, ("a", "c"): 3, ("d", "b"): 5, ("x", "y"): 3},),
            hint="All three probabilities are shares of the same N, the number of symbols.",
        ),
        Case(
            args=({("a", "a", "a", "b"): 5, ("c", "d", "a"): 4, ("c", "b", "b", "b"): 6},),
            hint="A pair and a symbol may stand in a word several times; each time counts.",
        ),
    ]


# --- 02.5: the shortest cut -----------------------------------------------------------------------


def _shortest_pieces(word: str, vocab: Set[str]) -> list[str]:
    best: list[list[str] | None] = [[], *[None] * len(word)]  # the shortest way to each place
    for end in range(1, len(word) + 1):
        for start in range(end):
            piece, before = "##" * (start > 0) + word[start:end], best[start]
            if (
                before is not None
                and piece in vocab
                and (best[end] is None or len(before) + 1 < len(best[end]))
            ):
                best[end] = [*before, piece]
    return best[-1] or ["[UNK]"]


def _shortest_cases() -> list[Case]:
    letters = frozenset({"a", "##a", "##aa", "##aaaa", "##b", "##aab"})
    return [
        Case(args=("film", _VOCAB), hint="The whole word is a piece: one."),
        Case(
            args=("thesis", _VOCAB),
            hint="the, ##s, ##is are three. A shorter first piece leaves a better rest.",
        ),
        Case(args=("films", _VOCAB), hint="Here greedy happens to be right: two pieces."),
        Case(
            args=("filmq", _VOCAB),
            hint="No way leads to the end of the word, so there is no cut at all.",
        ),
        Case(
            args=("aaab", letters), hint="Two pieces will do. Which of them must the last one be?"
        ),
        Case(
            args=("tab", frozenset({"ta", "t", "##a", "##ab", "##c"})),
            hint="A long first piece may lead nowhere.",
        ),
        Case(
            args=("filming", frozenset({"film", "fi", "##l", "##ing", "##ming"})),
            hint="Greed from the right is greed all the same: "
            "the longest last piece may leave a bad rest.",
        ),
        Case(
            args=("replay", frozenset({"re", "rep", "##play", "##eplay", "##l", "##ay"})),
            hint="Neither end alone tells where to cut: for each place, "
            "what is the shortest way to get there?",
        ),
        Case(
            args=("a" * 59 + "b", letters | {"##" + "a" * 56 + "b"}),
            hint="Trying all ways takes longer than the universe has. For each place in the word, "
            "only the best way to get there matters: from left to right, remember it.",
        ),
    ]


# --- 02.6: a pair cut short -----------------------------------------------------------------------


def _truncate_pair(
    first: Sequence[int], second: Sequence[int], room: int
) -> tuple[list[int], list[int]]:
    sizes = [len(first), len(second)]
    more = 0 if sizes[0] > sizes[1] else 1  # who gets the odd one
    while sum(sizes) > room:
        sizes[1 - more if sizes[0] == sizes[1] else sizes.index(max(sizes))] -= 1
    return list(first[: sizes[0]]), list(second[: sizes[1]])


def _truncate_cases() -> list[Case]:
    def ids(start: int, number: int) -> list[int]:
        return list(range(start, start + number))

    return [
        Case(
            args=(ids(10, 2), ids(20, 2), 4),
            hint="Everything fits: nothing is cut, and two lists come back.",
        ),
        Case(
            args=(ids(10, 2), ids(20, 6), 5),
            hint="Only the longer text loses tokens, from its end, as long as it is "
            "the longer one.",
        ),
        Case(args=(ids(10, 6), ids(20, 2), 5), hint="The first text may be the longer one, too."),
        Case(args=(ids(10, 5), ids(20, 7), 4), hint="Once both are equally long, both lose."),
        Case(
            args=(ids(10, 5), ids(20, 7), 5),
            hint="An odd room: the text that was longer gets one token more.",
        ),
        Case(
            args=(ids(10, 7), ids(20, 5), 5),
            hint="An odd room, and the first text was the longer one.",
        ),
        Case(
            args=(ids(10, 4), ids(20, 4), 3),
            hint="An odd room and equal texts: who gets the odd one?",
        ),
        Case(args=(ids(10, 4), [], 3), hint="The second text may be empty."),
        Case(
            args=(ids(10, 3), ids(20, 3), 0),
            hint="There may be no room at all: counted from the end, index 0 is "
            "not what you may think.",
        ),
        Case(
            args=(ids(10, 30), ids(50, 2), 9),
            hint="The shorter text stays whole as long as there is room for it.",
        ),
    ]


# --- 02.7: other texts, the same ids --------------------------------------------------------------

_LOSSES = ("case", "accents", "spaces")


@cache
def _course_bert() -> WordPieceTokenizer:
    from course_utils.tokenization import WordPieceTokenizer

    return WordPieceTokenizer.load(
        Path(__file__).resolve().parents[2] / "data" / "checkpoints" / "course-bert"
    )


def _without(text: str, kind: str) -> str:
    """The text, its case, accents or spaces made equal."""
    if kind == "case":
        return text.lower()
    if kind == "spaces":
        return "".join(text.split())
    return "".join(
        part for part in unicodedata.normalize("NFD", text) if unicodedata.category(part) != "Mn"
    )


def _judge_equal_ids(answer: Any) -> Verdict | None:
    """None for three pairs of different texts with the same ids, each by its own loss;
    else the first that is not.
    """
    if not isinstance(answer, Mapping) or set(answer) != set(_LOSSES):
        return Verdict(f"a dict with the keys {', '.join(_LOSSES)}", answer, "Fill in all three.")
    for kind in _LOSSES:
        pair = answer[kind]
        if not (
            isinstance(pair, tuple | list)
            and len(pair) == 2
            and all(isinstance(text, str) for text in pair)
        ):
            return Verdict(
                f"{kind}: two texts, each a str", pair, "Two texts in parentheses, with a comma."
            )
        one, other = pair
        if one == other or _without(one, kind) != _without(other, kind):
            return Verdict(
                f"{kind}: two texts that differ in their {kind} and in nothing else",
                pair,
                "Take one text, copy it, and change one thing in the copy.",
            )
        if kind == "spaces" and len(one.split()) == len(other.split()):
            return Verdict(
                "spaces: more words in one text than in the other, cut at spaces",
                pair,
                "How many spaces stand in a row is one thing. Where can one stand, or not, at all?",
            )
        ids = [_course_bert().encode(text, add_special_tokens=False) for text in pair]
        if ids[0] != ids[1]:
            return Verdict(
                f"{kind}: the same ids for both",
                f"{ids[0]} and {ids[1]}",
                "The difference is still seen. A space separates words: "
                "which space separates nothing new?",
            )
        if not ids[0] or _course_bert().unk_token_id in ids[0]:
            return Verdict(
                f"{kind}: texts of known words",
                [_course_bert().tokenize(one)],
                "Everything unknown is alike; that is too easy.",
            )
    return None


# --- 02.8: which vocabulary is better -------------------------------------------------------------

_KEYS = ("change", "same", "measure", "chance", "num_seeds")


def _judge_plan(plan: Any) -> Verdict | None:
    """None for a plan that answers the question; else what is missing, one thing at a time."""
    if not isinstance(plan, Mapping) or set(plan) != set(_KEYS):
        return Verdict(f"a dict with the keys {', '.join(_KEYS)}", plan, "Fill in all of them.")
    if plan["change"] != "vocab_size":
        return Verdict(
            "the one setting that the question is about", plan["change"], "Read the question again."
        )
    if plan["same"] != "text read":
        return Verdict(
            "what makes the comparison fair",
            plan["same"],
            "A token of the larger vocabulary stands for more letters. Who has then read more, "
            "after the same number of tokens?",
        )
    if plan["measure"] != "loss per character":
        return Verdict(
            "a measure that is the same question for both models",
            plan["measure"],
            "One model chooses among 2,000 tokens and the other among 8,000, for pieces of other "
            "lengths. What do both have to predict in the end?",
        )
    chance = plan["chance"].tolist() if hasattr(plan["chance"], "tolist") else plan["chance"]
    numbers = (
        [float(value) for value in chance if is_number(value)]
        if isinstance(chance, list | tuple)
        else []
    )
    if len(numbers) != 2 or any(
        abs(value - math.log(size)) > 0.05
        for value, size in zip(numbers, (2000, 8000), strict=False)
    ):
        return Verdict(
            "two losses in nats, for 2,000 and for 8,000 tokens",
            plan["chance"],
            "Who knows nothing gives each token the same probability. "
            "How surprised is he by any of them?",
        )
    seeds = plan["num_seeds"]
    if not is_whole_number(seeds) or seeds < 3:
        return Verdict(
            "enough runs to see how far luck alone moves the result",
            seeds,
            "One run is an anecdote, and two cannot tell which of them is the odd one.",
        )
    return None


EXERCISES = {
    "1": Exercise(title="Unknown words", reference=_unknown_share, cases=_unknown_cases),
    "2": Exercise(title="A merge, mended", reference=_merge_symbols, cases=_merge_cases),
    "3": Exercise(
        title="WordPiece, mended",
        reference=_cut_into_pieces,
        cases=_cut_cases,
        show=_show_vocabulary,
    ),
    "4": Exercise(title="The best pair by gain", reference=_best_by_gain, cases=_gain_cases),
    "5": Exercise(
        title="The shortest cut",
        reference=_shortest_pieces,
        cases=_shortest_cases,
        show=_show_vocabulary,
    ),
    "6": Exercise(title="A pair cut short", reference=_truncate_pair, cases=_truncate_cases),
    "7": Exercise(title="Other texts, the same ids", judge=_judge_equal_ids),
    "8": Exercise(title="Plan of an experiment", judge=_judge_plan),
}
