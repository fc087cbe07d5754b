"""Learning subwords from counted words: which pairs of symbols to merge, and the vocabulary.

The plain algorithm (Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with
Subword Units", ACL 2016) counts all pairs again for each merge. A merge changes only the pairs
beside its own occurrences, so here the counts are kept, together with the places where each pair
stands. The merges that come out are the same.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, pairwise

PREFIX = "##"  # WordPiece's mark of a piece that continues a word
_END = -1  # stands between two words, and is no symbol


def _join(left: str, right: str, prefix: str) -> str:
    """With "##", "un" and "##do" make "undo", "##un" and "##do" make "##undo"."""
    return left + right.removeprefix(prefix)


def learn_merges(
    words: Mapping[tuple[str, ...], int],
    num_merges: int,
    *,
    min_frequency: int = 2,
    prefix: str = "",
) -> list[tuple[str, str]]:
    """The first `num_merges` merges of byte-pair encoding, in their order.

    There are fewer where no pair is left. `words` gives each word as its symbols, with how often it
    occurs. Each merge takes the pair of neighbours that occurs most often, at least `min_frequency`
    times ("aaa" has the pair "aa" twice), and joins it within each word from left to right. Among
    equals the pair with the older left symbol wins, then the one with the older right symbol: the
    symbols of `words` are the oldest, shorter before longer, then by code point, and each merge
    adds one. This is the rule of the `tokenizers` library, which for WordPiece alone lets chance
    decide the age of symbols with "##". prefix: what WordPiece marks symbols within a word with,
    "##"; of two that are joined, the second loses it. The order of `words` does not matter.
    ValueError for numbers out of range.
    """
    if num_merges < 0 or min_frequency < 1:
        raise ValueError(
            "Expected num_merges >= 0 and min_frequency >= 1, "
            f"got num_merges={num_merges} and min_frequency={min_frequency}."
        )
    return list(islice(_Pairs(words, prefix).merges(min_frequency), num_merges))


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
    """The tokens in the order of their ids, and the merges that made the last of them.

    There are `vocab_size` tokens at most. First come the special tokens, then the single characters
    by code point (all of `alphabet`, and the most frequent others up to `alphabet_limit` in all),
    then those of them that continue a word, written with `prefix` ("##" for WordPiece; "" for
    byte-pair encoding, which needs no second form), then the merges' tokens. A word with a
    character beyond the limit will be unknown as a whole, and teaches nothing. ValueError if the
    characters alone do not fit.
    """
    if "" in words:
        raise ValueError(
            "Expected words of one character or more, got an empty word; leave it out."
        )
    letters = _letters(words, alphabet, alphabet_limit)
    spelled: dict[tuple[str, ...], int] = {}  # each word as its symbols, with its count
    inner: set[str] = set()  # the symbols that continue a word
    for word, count in words.items():
        if letters.issuperset(word):
            first, *rest = word
            symbols = (first, *(prefix + letter for letter in rest))
            spelled[symbols] = count
            inner.update(symbols[1:])
    inner -= letters
    tokens = dict.fromkeys((*special_tokens, *sorted(letters), *sorted(inner)))
    if len(tokens) > vocab_size:
        raise ValueError(
            f"Expected vocab_size of at least {len(tokens)}, for {len(set(special_tokens))} "
            f"special tokens and the characters, got {vocab_size}; "
            "raise it, or lower alphabet_limit."
        )
    merges: list[tuple[str, str]] = []
    found = _Pairs(spelled, prefix).merges(max(min_frequency, 1))
    while len(tokens) < vocab_size:
        pair = next(found, None)
        if pair is None:
            break
        merges.append(pair)
        # Two merges can make the same token: "a" + "bc" and "ab" + "c".
        tokens[_join(*pair, prefix)] = None
    return list(tokens), merges


def _letters(words: Mapping[str, int], alphabet: Sequence[str], limit: int) -> set[str]:
    """The characters that get tokens: all of `alphabet`, then the most frequent.

    Among equals, the lower code point comes first.
    """
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for letter in word:
            counts[letter] += count
    others = sorted(counts.keys() - set(alphabet), key=lambda letter: (-counts[letter], letter))
    return {*alphabet, *others[: max(0, limit - len(set(alphabet)))]}


class _Pairs:
    """The pairs of symbols in all words: how often each occurs, and where.

    All words stand in one row, linked so that a symbol can be taken out. A symbol is the number of
    its text in `texts`. Place i holds symbol `row[i]`, with neighbours at `before[i]` and
    `after[i]`; `weight[i]` is how often its word occurs.
    """

    def __init__(self, words: Mapping[tuple[str, ...], int], prefix: str) -> None:
        symbols = set(chain.from_iterable(words))
        self.texts = sorted(symbols, key=lambda symbol: (len(symbol), symbol))
        self.numbers = {text: number for number, text in enumerate(self.texts)}
        self.prefix = prefix

        # The row: every word's symbols, with _END before, between and after words.
        self.row = [_END]
        self.weight = [0]
        for word, count in words.items():
            self.row += [self.numbers[symbol] for symbol in word]
            self.row.append(_END)
            self.weight += [count] * len(word)
            self.weight.append(0)
        self.before = list(range(-1, len(self.row) - 1))
        self.after = list(range(1, len(self.row) + 1))

        # Of each pair: how often it occurs, and the places of its left symbols.
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
        left, right = pair
        text = _join(self.texts[left], self.texts[right], self.prefix)
        joined = self.numbers.setdefault(text, len(self.texts))
        if joined == len(self.texts):  # a new symbol
            self.texts.append(text)
        gained: set[tuple[int, int]] = set()
        for place in sorted(self.places.pop(pair)):
            beside = self.after[place]
            if (self.row[place], self.row[beside]) == pair:  # else another merge was here since
                gained.update(self._join_at(place, beside, joined))
        del self.counts[pair]
        return {found for found in gained if self.counts.get(found)}

    def _join_at(self, place: int, right: int, joined: int) -> list[tuple[int, int]]:
        """Put `joined` at `place`, take `right` out, and count the neighbours anew.

        Returns the new pairs.
        """
        row, weight = self.row, self.weight[place]
        left, beyond = self.before[place], self.after[right]
        left_symbol, right_symbol = row[place], row[right]
        row[place] = joined
        row[right] = _END
        self.after[place] = beyond
        self.before[beyond] = place

        gained = []
        if row[left] != _END:  # (left, left_symbol) became (left, joined)
            self.counts[row[left], left_symbol] -= weight
            new_pair = (row[left], joined)
            self.counts[new_pair] += weight
            self.places[new_pair].append(left)
            gained.append(new_pair)
        if row[beyond] != _END:  # (right_symbol, beyond) became (joined, beyond)
            self.counts[right_symbol, row[beyond]] -= weight
            new_pair = (joined, row[beyond])
            self.counts[new_pair] += weight
            self.places[new_pair].append(place)
            gained.append(new_pair)
        return gained
