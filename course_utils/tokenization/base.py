"""What both tokenizers share: a cache of words, batches, special tokens, cutting pairs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from course_utils.tokenization import files
from course_utils.tokenization.files import VocabularyError

_MAX_CACHED = 200_000  # entries of a cache
# str.split() parts text at these, too, where BERT drops them and so joins what they stand between.
_GLUE = re.compile("[\x0b\x0c\x1c-\x1f\x85]")


class Cache(dict[str, tuple[int, ...]]):
    """What `compute` returns, remembered for so many arguments;
    when full, it forgets all and starts again.
    """

    def __init__(self, compute: Callable[[str], tuple[int, ...]]) -> None:
        super().__init__()
        self.compute = compute

    def __missing__(self, key: str) -> tuple[int, ...]:
        value = self.compute(key)
        if len(self) >= _MAX_CACHED:
            self.clear()
        self[key] = value
        return value


class BaseTokenizer:
    """What both have in common: `_split` parts a text into words,
    and `_cut_word` a word into ids, remembered.

    A special token that stands literally in a text becomes its id, as in transformers.
    """

    special_tokens: tuple[str, ...]
    _start: Sequence[int] = ()  # ids before a text, or before the first of a pair
    _end: Sequence[int] = ()  # ids after each text

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tuple(tokens)
        self.vocab = {token: number for number, token in enumerate(self.tokens)}
        files.check_special_tokens(self.vocab, self.special_tokens)
        if len(self.vocab) < len(self.tokens):
            token, number = next(
                (token, number)
                for number, token in enumerate(tokens)
                if self.vocab[token] != number
            )
            raise VocabularyError(
                f"each token must occur once; {token!r} has the ids {number} and "
                f"{self.vocab[token]}. Remove one of them, or fetch the file again."
            )
        self._special = re.compile(f"({'|'.join(map(re.escape, self.special_tokens))})")
        self._words = Cache(self._cut_word)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        return len(self.tokens)

    def encode(
        self,
        text: str,
        text_pair: str | None = None,
        *,
        add_special_tokens: bool = True,
        max_length: int | None = None,
    ) -> list[int]:
        """The ids of a text, or of a pair one after the other,
        with the special tokens that the class names.

        More than `max_length` ids (special tokens count) are cut: of a pair, from the end of the
        longer text until both are equally long ("longest first"). Raises TypeError for anything but
        str; ValueError for a lone surrogate or a `max_length` below the number of special tokens.
        """
        first = self._encode(text)
        second = (
            None if text_pair in (None, "") else self._encode(text_pair)
        )  # "" is no pair to transformers, either
        start, end = (self._start, self._end) if add_special_tokens else ((), ())
        if max_length is not None:
            num_special = len(start) + len(end) * (1 if second is None else 2)
            if max_length < num_special:
                raise ValueError(
                    f"max_length must be at least {num_special}, the number of special tokens, "
                    f"got {max_length}"
                )
            sizes = longest_first(len(first), len(second or ()), max_length - num_special)
            first, second = first[: sizes[0]], second and second[: sizes[1]]
        return [*start, *first, *end, *([] if second is None else [*second, *end])]

    def tokenize(self, text: str) -> list[str]:
        """The pieces of the text, without special tokens around them."""
        return [self.tokens[number] for number in self._encode(text)]

    def _encode(self, text: str) -> list[int]:
        check_text(text)
        return self._encode_plainly(text)

    def _encode_plainly(self, text: str) -> list[int]:
        """The definition: literal special tokens, else words, cut one by one."""
        ids: list[int] = []
        for number, part in enumerate(self._special.split(text)):
            if number % 2:
                ids.append(self.vocab[part])
            else:
                ids.extend(chain.from_iterable(map(self._words.__getitem__, self._split(part))))
        return ids

    def _tokens_of(self, ids: Iterable[int], skip_special_tokens: bool) -> list[str]:
        ids = list(ids)
        wrong = [number for number in ids if not 0 <= number < self.vocab_size]
        if wrong:
            raise ValueError(f"ids must be 0 to {self.vocab_size - 1}, got {wrong[0]}")
        tokens = [self.tokens[number] for number in ids]
        return [
            token for token in tokens if not (skip_special_tokens and token in self.special_tokens)
        ]


def count_words(texts: Iterable[str], split: Callable[[str], list[str]]) -> Counter[str]:
    if isinstance(texts, str):
        raise TypeError(f"expected several texts, got one str: {texts!r:.50}; put it into a list")
    words: Counter[str] = Counter()
    for text in texts:
        check_text(text)
        words.update(split(text))
    return words


def check_text(text: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"a tokenizer takes a str, got {type(text).__name__}: {text!r:.50}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"position {error.start} holds {text[error.start]!r}, half of a surrogate pair, which "
            'is no character. Drop such halves: text.encode(errors="ignore").decode()'
        ) from None


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """How many ids of each text are kept, as `tokenizers` does it: an odd place goes to the longer,
    else the second.
    """
    if first + second <= room:
        return first, second
    shorter = min(first, second)
    longer = room - shorter
    if longer < shorter:
        shorter, longer = room // 2, room - room // 2
    return (longer, shorter) if first > second else (shorter, longer)
