"""What both tokenizers share: a cache of words, batches, special tokens, cutting pairs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from course_utils.tokenization import files
from course_utils.tokenization.files import VocabularyError

_MAX_CACHED = 200_000  # entries of a cache


class Cache(dict[str, tuple[int, ...]]):
    """What `compute` returns, remembered for up to 200,000 arguments.

    When it is full, it forgets everything and starts again.
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
    """What both tokenizers have in common, on top of two methods of their own.

    `_split` parts a text into words, and `_cut_word` cuts a word into ids, which are remembered. A
    special token that stands literally in a text becomes its id, as in transformers.
    """

    special_tokens: tuple[str, ...]
    pad_token_id: int
    unk_token_id: int | None
    _start: Sequence[int] = ()  # ids before a text, or before the first of a pair
    _end: Sequence[int] = ()  # ids after each text

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tuple(tokens)
        self.vocab = {token: number for number, token in enumerate(self.tokens)}
        files.check_special_tokens(self.vocab, self.special_tokens)
        self._refuse_repeats()
        literal = "|".join(re.escape(token) for token in self.special_tokens)
        self._special = re.compile(f"({literal})")
        self._words = Cache(self._cut_word)

    def _refuse_repeats(self) -> None:
        """A token that occurs twice has the last of its ids in `vocab`."""
        for number, token in enumerate(self.tokens):
            if self.vocab[token] != number:
                raise VocabularyError(
                    f"each token must occur once; {token!r} has the ids {number} and "
                    f"{self.vocab[token]}. Remove one of them, or fetch the file again."
                )

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
        """The ids of a text, or of a pair one after the other, with the class's special tokens.

        text, text_pair: as they are; a pair whose second text is "" is no pair, as in transformers.
        add_special_tokens: whether to add them around the texts.
        max_length: at most so many ids, special tokens included. Of a pair, the longer text is cut
            from its end until both are equally long ("longest first").

        Raises TypeError for anything but str; ValueError for a lone surrogate or a `max_length`
        below the number of special tokens.
        """
        first = self._encode(text)
        second = None if text_pair in (None, "") else self._encode(text_pair)
        start = self._start if add_special_tokens else ()
        end = self._end if add_special_tokens else ()

        if max_length is not None:
            num_texts = 1 if second is None else 2
            num_special = len(start) + num_texts * len(end)
            if max_length < num_special:
                raise ValueError(
                    f"max_length must be at least {num_special}, the number of special tokens, "
                    f"got {max_length}"
                )
            room = max_length - num_special
            num_first, num_second = _longest_first(len(first), len(second or ()), room)
            first = first[:num_first]
            if second is not None:
                second = second[:num_second]

        if second is None:
            return [*start, *first, *end]
        return [*start, *first, *end, *second, *end]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode(text)` of each text. Raises TypeError for one str in the place of several."""
        if isinstance(texts, str):
            raise TypeError(
                f"expected several texts, got one str: {texts!r:.50}; put it into a list"
            )
        return [self.encode(text) for text in texts]

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
            if number % 2:  # every second part is a special token
                ids.append(self.vocab[part])
            else:
                words = map(self._words.__getitem__, self._split(part))
                ids.extend(chain.from_iterable(words))
        return ids

    def _split(self, text: str) -> list[str]:
        raise NotImplementedError

    def _cut_word(self, word: str) -> tuple[int, ...]:
        raise NotImplementedError

    def _tokens_of(self, ids: Iterable[int], skip_special_tokens: bool) -> list[str]:
        """The token of each id; ValueError for an id that is not in the vocabulary."""
        tokens = []
        for number in ids:
            if not 0 <= number < self.vocab_size:
                raise ValueError(f"ids must be 0 to {self.vocab_size - 1}, got {number}")
            token = self.tokens[number]
            if not (skip_special_tokens and token in self.special_tokens):
                tokens.append(token)
        return tokens


def count_words(texts: Iterable[str], split: Callable[[str], list[str]]) -> Counter[str]:
    """How often each word occurs in the texts; TypeError for one str in the place of several."""
    if isinstance(texts, str):
        raise TypeError(f"expected several texts, got one str: {texts!r:.50}; put it into a list")
    words: Counter[str] = Counter()
    for text in texts:
        check_text(text)
        words.update(split(text))
    return words


def check_text(text: str) -> None:
    """Raise TypeError unless `text` is a str, and ValueError where it cannot be encoded."""
    if not isinstance(text, str):
        raise TypeError(f"a tokenizer takes a str, got {type(text).__name__}: {text!r:.50}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"position {error.start} holds {text[error.start]!r}, half of a surrogate pair, which "
            'is no character. Drop such halves: text.encode(errors="ignore").decode()'
        ) from None


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """How many ids of each text are kept, as the `tokenizers` library does it.

    first, second: numbers of ids; room: how many may stay. An odd place goes to the longer text,
    and among equals to the second.
    """
    if first + second <= room:
        return first, second
    shorter = min(first, second)
    longer = room - shorter
    if longer < shorter:  # both must be cut
        shorter, longer = room // 2, room - room // 2
    return (longer, shorter) if first > second else (shorter, longer)
