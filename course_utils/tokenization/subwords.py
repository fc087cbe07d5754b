"""Learning subwords from counted words: which pairs of symbols to merge,
and the vocabulary that comes of it.

The plain algorithm (Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with
Subword Units", ACL
2016) counts all pairs again for each merge. A merge changes only the pairs beside its own
      occurrences, so here the
counts are kept, together with the places where each pair stands. The merges that come out are the
same.
"""

from __future__ import annotations

import heapq
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, pairwise

PREFIX = "##"  # WordPiece's mark of a piece that continues a word
_END = -1  # stands between two words, and is no symbol


def join_pieces(left: str, right: str) -> str:
    """WordPiece's join: "un" and "##do" make "undo", "##un" and "##do" make "##undo"."""
    return left + right.removeprefix(PREFIX)


def learn_merges(
    words: Mapping[tuple[str, ...], int],
    num_merges: int,
    *,
    min_frequency: int = 2,
    join: Callable[[str, str], str] = operator.add,
) -> list[tuple[str, str]]:
    """The first `num_merges` merges of byte-pair encoding, in their order;
    fewer where no pair is left.

    `words` gives each word as its symbols, with how often it occurs. Each merge takes the pair of
    neighbours that occurs most often, at least `min_frequency` times ("aaa" has the pair "aa"
    twice), and joins it within each word from left to right. Among equals the pair with the older
    left symbol wins, then the one with the older right symbol: the symbols of `words` are the
    oldest, shorter before longer, then by code point, and each merge adds one. This is the rule of
    the `tokenizers` library, which for WordPiece alone lets chance decide the age of symbols with
    "##". The order of `words` does not matter. ValueError for numbers out of range.
    """
    if num_merges < 0 or min_frequency < 1:
        raise ValueError(
            "Expected num_merges >= 0 and min_frequency >= 1, "
            f"got num_merges={num_merges} and min_frequency={min_frequency}."
        )
    return list(islice(_Pairs(words, join).merges(min_frequency), num_merges))


def learn_vocabulary(
    words: Mapping[str, int],
    vocab_size: int,
    *,
    special_tokens: Sequence[str] = (),
    alphabet: Sequence[str] = (),
    alphabet_limit: int = 1000,
    prefix: str = "",
    min_frequency: int = 2,
) -> tuple[list[str], list[tuple[str, str]]]:
    """The tokens in the order of their ids, `vocab_size` at most,
    and the merges that made the last of them.

    First come the special tokens, then the single characters by code point (all of `alphabet`, and
    the most frequent others up to `alphabet_limit` in all), then those of them that continue a
    word, written with `prefix` ("##" for WordPiece; "" for byte-pair encoding, which needs no
    second form), then the merges' tokens. A word with a character beyond the limit will be unknown
    as a whole, and teaches nothing. ValueError if the characters alone do not fit.
    """
    if "" in words:
        raise ValueError(
            "Expected words of one character or more, got an empty word; leave it out."
        )
    letters = _letters(words, alphabet, alphabet_limit)
    spelled = {
        (word[0], *(prefix + letter for letter in word[1:])): count
        for word, count in words.items()
        if letters.issuperset(word)
    }
    inner = {symbol for word in spelled for symbol in word[1:]} - letters
    tokens = dict.fromkeys((*special_tokens, *sorted(letters), *sorted(inner)))
    if len(tokens) > vocab_size:
        raise ValueError(
            f"Expected vocab_size of at least {len(tokens)}, for {len(set(special_tokens))} "
            f"special tokens and the characters, got {vocab_size}; "
            "raise it, or lower alphabet_limit."
        )
    merges: list[tuple[str, str]] = []
    join = join_pieces if prefix else operator.add
    found = _Pairs(spelled, join).merges(max(min_frequency, 1))
    while len(tokens) < vocab_size and (pair := next(found, None)):
        merges.append(pair)
        tokens[join(*pair)] = None  # two merges can make the same token: "a" + "bc" and "ab" + "c"
    return list(tokens), merges


def _letters(words: Mapping[str, int], alphabet: Sequence[str], limit: int) -> set[str]:
    """The characters that get tokens: all of `alphabet`, then the most frequent;
    among equals the lower code point.
    """
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for letter in word:
            counts[letter] += count
    others = sorted(counts.keys() - set(alphabet), key=lambda letter: (-counts[letter], letter))
    return {*alphabet, *others[: max(0, limit - len(set(alphabet)))]}


class _Pairs:
    """All words in one row of symbols, linked so that a symbol can be taken out,
    and their pairs: counts and places.

    A symbol is the number of its text in `texts`. Place i holds symbol `row[i]`, with neighbours at
    `before[i]` and `after[i]`; `weight[i]` is how often its word occurs.
    """

    def __init__(
        self, words: Mapping[tuple[str, ...], int], join: Callable[[str, str], str]
    ) -> None:
        symbols = {symbol for word in words for symbol in word}
        self.texts = sorted(symbols, key=lambda symbol: (len(symbol), symbol))
        self.numbers = {text: number for number, text in enumerate(self.texts)}
        self.join = join
        self.row, self.weight = [_END], [0]
        for word, count in words.items():
            self.row += [*(self.numbers[symbol] for symbol in word), _END]
            self.weight += [count] * len(word) + [0]
        self.before, self.after = (
            list(range(-1, len(self.row) - 1)),
            list(range(1, len(self.row) + 1)),
        )
        self.counts: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.places: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for place, pair in enumerate(pairwise(self.row)):
            if _END not in pair:
                self.counts[pair] += self.weight[place]
                self.places[pair].append(place)

    def merges(self, min_frequency: int) -> Iterator[tuple[str, str]]:
        """Make the best merge, yield its pair, and so on, while a pair occurs often enough."""
        heap = [(-count, pair) for pair, count in self.counts.items()]
        heapq.heapify(heap)
        while heap:
            negative, pair = heapq.heappop(heap)
            count = self.counts.get(pair, 0)
            if count < min_frequency:
                continue
            if count != -negative:  # it has lost places since it was put here: to its proper place
                heapq.heappush(heap, (-count, pair))
                continue
            yield self.texts[pair[0]], self.texts[pair[1]]
            for gained in self._merge(pair):
                heapq.heappush(heap, (-self.counts[gained], gained))

    def _merge(self, pair: tuple[int, int]) -> set[tuple[int, int]]:
        """Join the pair wherever it stands; returns the pairs that occur more often than before."""
        text = self.join(self.texts[pair[0]], self.texts[pair[1]])
        joined = self.numbers.setdefault(text, len(self.texts))
        if joined == len(self.texts):
            self.texts.append(text)
        row, after, gained = self.row, self.after, set()
        for place in sorted(self.places.pop(pair)):
            right = after[place]
            if (row[place], row[right]) == pair:  # else another merge was here since
                gained.update(self._join_at(place, right, joined))
        del self.counts[pair]
        return {found for found in gained if self.counts.get(found)}

    def _join_at(self, place: int, right: int, joined: int) -> list[tuple[int, int]]:
        """Put `joined` at `place`, take `right` out, and count the neighbours anew;
        returns the new pairs.
        """
        row, weight = self.row, self.weight[place]
        left, beyond = self.before[place], self.after[right]
        first, second, last, next_ = row[left], row[place], row[right], row[beyond]
        row[place], row[right] = joined, _END
        self.after[place], self.before[beyond] = beyond, place
        found = []
        if first != _END:
            self.counts[first, second] -= weight
            found.append((left, (first, joined)))
        if next_ != _END:
            self.counts[last, next_] -= weight
            found.append((place, (joined, next_)))
        for start, pair in found:
            self.counts[pair] += weight
            self.places[pair].append(start)
        return [pair for _, pair in found]
