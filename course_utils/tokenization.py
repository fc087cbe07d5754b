"""Subword tokenizers, equal to the library's on every text: BERT's WordPiece, GPT-2's byte-level byte-pair encoding."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import accumulate, chain, pairwise
from pathlib import Path

from course_utils import tokenizer_files as files
from course_utils.subwords import PREFIX, learn_vocabulary
from course_utils.text import normalize, pre_tokenize, pre_tokenize_bytes
from course_utils.tokenizer_files import END_OF_TEXT, MAX_WORD, SPECIAL_TOKENS, VocabularyError

_MAX_CACHED = 200_000  # entries of a cache
# str.split() parts text at these, too, where BERT drops them and so joins what they stand between.
_GLUE = re.compile("[\x0b\x0c\x1c-\x1f\x85]")


class _Cache(dict[str, tuple[int, ...]]):
    """What `compute` returns, remembered for so many arguments; when full, it forgets all and starts again."""

    def __init__(self, compute: Callable[[str], tuple[int, ...]]) -> None:
        super().__init__()
        self.compute = compute

    def __missing__(self, key: str) -> tuple[int, ...]:
        value = self.compute(key)
        if len(self) >= _MAX_CACHED:
            self.clear()
        self[key] = value
        return value


class _Tokenizer:
    """What both have in common: `_split` parts a text into words, and `_cut_word` a word into ids, remembered.

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
            token, number = next((token, number) for number, token in enumerate(tokens) if self.vocab[token] != number)
            raise VocabularyError(f"each token must occur once; {token!r} has the ids {number} and "
                                  f"{self.vocab[token]}. Remove one of them, or fetch the file again.")
        self._special = re.compile(f"({'|'.join(map(re.escape, self.special_tokens))})")
        self._words = _Cache(self._cut_word)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        return len(self.tokens)

    def encode(self, text: str, text_pair: str | None = None, *, add_special_tokens: bool = True,
               max_length: int | None = None) -> list[int]:
        """The ids of a text, or of a pair one after the other, with the special tokens that the class names.

        More than `max_length` ids (special tokens count) are cut: of a pair, from the end of the longer text until
        both are equally long ("longest first"). Raises TypeError for anything but str; ValueError for a lone
        surrogate or a `max_length` below the number of special tokens.
        """
        first = self._encode(text)
        second = None if text_pair in (None, "") else self._encode(text_pair)  # "" is no pair to transformers, either
        start, end = (self._start, self._end) if add_special_tokens else ((), ())
        if max_length is not None:
            num_special = len(start) + len(end) * (1 if second is None else 2)
            if max_length < num_special:
                raise ValueError(f"max_length must be at least {num_special}, the number of special tokens, "
                                 f"got {max_length}")
            sizes = _longest_first(len(first), len(second or ()), max_length - num_special)
            first, second = first[:sizes[0]], second and second[:sizes[1]]
        return [*start, *first, *end, *([] if second is None else [*second, *end])]

    def tokenize(self, text: str) -> list[str]:
        """The pieces of the text, without special tokens around them."""
        return [self.tokens[number] for number in self._encode(text)]

    def _encode(self, text: str) -> list[int]:
        _check_text(text)
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
        return [token for token in tokens if not (skip_special_tokens and token in self.special_tokens)]


class WordPieceTokenizer(_Tokenizer):
    """BERT's tokenizer: words are cut, from the left, into the longest pieces that the vocabulary has.

    Pieces within a word start with ##. A word that cannot be cut wholly, or has over 100 characters, is [UNK]. `encode`
    gives [CLS] text [SEP], or [CLS] text [SEP] text_pair [SEP]. Source: Wu et al., arXiv 1609.08144, section 4.1;
    Devlin et al., arXiv 1810.04805.
    """

    special_tokens = SPECIAL_TOKENS

    def __init__(self, tokens: Sequence[str], *, lowercase: bool = True) -> None:
        """`tokens`: the vocabulary, each at its id. Raises VocabularyError."""
        super().__init__(tokens)
        self.lowercase = lowercase
        self.pad_token_id, self.unk_token_id, self.cls_token_id, self.sep_token_id, self.mask_token_id = (
            self.vocab[token] for token in SPECIAL_TOKENS)
        self._start, self._end = [self.cls_token_id], [self.sep_token_id]
        self._longest = max(map(len, self.tokens))
        self._chunks = _Cache(lambda chunk: tuple(self._encode_plainly(chunk)))

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 8192, *, lowercase: bool = True, min_frequency: int = 2,
              alphabet_limit: int = 1000) -> WordPieceTokenizer:
        """Learn a vocabulary of at most `vocab_size` tokens from texts: special tokens, characters, then merges.

        Pairs are merged by how often they occur, as the `tokenizers` library does it, and `min_frequency` times at
        least. A character beyond the `alphabet_limit` most frequent will be [UNK]. Raises TypeError and ValueError
        as `encode` does; ValueError for a vocab_size below the number of characters.
        """
        words = _count_words(texts, lambda text: pre_tokenize(normalize(text, lowercase=lowercase)))
        tokens, _ = learn_vocabulary(words, vocab_size, special_tokens=SPECIAL_TOKENS, alphabet_limit=alphabet_limit,
                                     prefix=PREFIX, min_frequency=min_frequency)
        return cls(tokens, lowercase=lowercase)

    def token_type_ids(self, ids: Sequence[int]) -> list[int]:
        """0 up to and including the first [SEP], 1 after it, for the ids that `encode` gave with special tokens.

        Only right where no text contains a literal [SEP].
        """
        first = list(ids).index(self.sep_token_id) + 1
        return [0] * first + [1] * (len(ids) - first)

    def _encode(self, text: str) -> list[int]:
        """Ids by white-space chunk, each looked up in a cache: no rule of BERT's looks across white space."""
        _check_text(text)
        if _GLUE.search(text):
            return self._encode_plainly(text)
        return list(chain.from_iterable(map(self._chunks.__getitem__, text.split())))

    def _split(self, text: str) -> list[str]:
        return pre_tokenize(normalize(text, lowercase=self.lowercase))

    def _cut_word(self, word: str) -> tuple[int, ...]:
        """Greedy: the longest piece that fits, then the longest that continues it, and so on."""
        pieces, start = [], 0
        while start < len(word) <= MAX_WORD:
            prefix = "##" if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                if (piece := self.vocab.get(prefix + word[start:end])) is not None:
                    break
            else:
                return (self.unk_token_id,)
            pieces.append(piece)
            start = end
        return tuple(pieces) or (self.unk_token_id,)

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """The text of ids as far as it can be told: case, accents and blanks are lost, . , ! ? stick to the word.

        Raises ValueError for an id that is not in the vocabulary.
        """
        parts: list[str] = []
        for token in self._tokens_of(ids, skip_special_tokens):
            glued = token.startswith("##") or token in (".", ",", "!", "?")
            parts.append(token if not parts else token.removeprefix("##") if glued else f" {token}")
        return "".join(parts)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where in `text` each piece of `tokenize(text)` came from: (start, end), so that text[start:end] shows it.

        Equal to the library's but for one rare order of marks: after a mark that is kept (a spacing one, as U+302E), an
        accent of a lower combining class (as U+0334). The library sorts the accent to the front before it drops it, and
        counts it as part of the piece; here the piece ends before the accent.
        """
        _check_text(text)
        spans: list[tuple[int, int]] = []
        start = 0
        for number, part in enumerate(self._special.split(text)):
            if number % 2:
                spans.append((start, start + len(part)))
            else:
                spans += [(start + first, start + last) for first, last in self._offsets_plainly(part)]
            start += len(part)
        return spans

    def _offsets_plainly(self, text: str) -> list[tuple[int, int]]:
        normal = normalize(text, lowercase=self.lowercase)
        # Each character normalized alone says where the whole came from; only the order of marks can differ.
        ends = list(accumulate(len(normalize(character, lowercase=self.lowercase)) for character in text))
        spans, position = [], 0
        for word in pre_tokenize(normal):
            position = normal.index(word, position)
            for size in self._piece_sizes(word):
                spans.append((bisect_right(ends, position), bisect_right(ends, position + size - 1) + 1))
                position += size
        return spans

    def _piece_sizes(self, word: str) -> list[int]:
        pieces = self._words[word]
        if pieces == (self.unk_token_id,):
            return [len(word)]
        return [len(self.tokens[piece]) - 2 * (number > 0) for number, piece in enumerate(pieces)]

    def save(self, folder: str | Path) -> None:
        """Write vocab.txt, tokenizer.json and tokenizer_config.json, which `transformers.AutoTokenizer` reads."""
        files.write_json(folder, "tokenizer.json", files.word_piece_content(self.vocab, self.lowercase))
        files.write_json(folder, "tokenizer_config.json",
                   {"tokenizer_class": "BertTokenizer", "do_lower_case": self.lowercase})
        lines = "".join(f"{token}\n" for token in self.tokens)
        (Path(folder) / "vocab.txt").write_text(lines, "utf-8", newline="\n")

    @classmethod
    def load(cls, source: str | Path) -> WordPieceTokenizer:
        """Read a folder (its tokenizer.json, else its vocab.txt), or one such file.

        Beside a vocab.txt, tokenizer_config.json says whether text is lower-cased; without it, it is. A tokenizer.json
        may ask for cutting and padding, which is ignored: `encode` does it when asked. Raises VocabularyError, also
        for a tokenizer.json with any other setting that is not BERT's.
        """
        source = files.find_file(source, "tokenizer.json", "vocab.txt")
        if source.suffix == ".json":
            tokens, lowercase = files.read_word_piece(source)
            return cls(tokens, lowercase=lowercase)
        config = source.with_name("tokenizer_config.json")
        lowercase = files.read_json(config).get("do_lower_case", True) if config.exists() else True
        lines = files.read_text(source).split("\n")
        return cls([line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])], lowercase=lowercase)


# GPT-2 writes each byte as one letter that can be seen: Latin-1's printable ones as themselves, the others, in their
# order, as those from U+0100 on. So a blank is Ġ, and the two bytes of é are Ã©.
_SEEN = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_BYTE_OF = dict(zip([*_SEEN, *range(0x100, 0x144)], [*_SEEN, *sorted({*range(0x100)} - {*_SEEN})], strict=True))
_LETTER_OF = {byte: letter for letter, byte in _BYTE_OF.items()}
_LETTERS = "".join(map(chr, _BYTE_OF))


def _to_letters(text: str) -> str:
    return text.encode().decode("latin-1").translate(_LETTER_OF)


class BytePairTokenizer(_Tokenizer):
    """GPT-2's tokenizer: the bytes of a word, of which neighbours are joined, by the merge that was learned first.

    Every text is made of bytes, so there is no [UNK], and `decode` gives the very text back. `encode` puts
    <|endoftext|> after each text, as in GPT-2's training data. Source: Sennrich et al., arXiv 1508.07909; Radford et
    al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.2.
    """

    special_tokens = (END_OF_TEXT,)

    def __init__(self, tokens: Sequence[str], merges: Sequence[tuple[str, str]], *, adds_end: bool = True) -> None:
        """`tokens`: the vocabulary, each at its id; `merges` in the order learned; both written in byte letters.

        With `adds_end=False`, `encode` adds nothing, as transformers with GPT-2's own file. Raises VocabularyError.
        """
        super().__init__(tokens)
        self.merges, self.adds_end = tuple(merges), adds_end
        needed = chain(_LETTERS, *((left, right, left + right) for left, right in self.merges))
        wrong = [token for token in needed if token not in self.vocab] + sorted({*"".join(tokens)} - {*_LETTERS})
        if wrong or "" in self.vocab:
            raise VocabularyError("a byte-level vocabulary needs the 256 byte letters and what each merge joins and "
                                  f"makes, in byte letters alone; {(wrong or [''])[0]!r} is wrong. Is it GPT-2's?")
        self.eos_token_id = self.vocab[END_OF_TEXT]
        self._end = [self.eos_token_id] * adds_end
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 8192, *, min_frequency: int = 2) -> BytePairTokenizer:
        """Learn a vocabulary of at most `vocab_size` tokens: <|endoftext|>, the 256 bytes, then what merges make.

        Pairs are merged by how often they occur, `min_frequency` times at least; the `tokenizers` library learns the
        same. Raises TypeError and ValueError as `encode` does; ValueError for a vocab_size below 257.
        """
        words = {_to_letters(word): number for word, number in _count_words(texts, pre_tokenize_bytes).items()}
        return cls(*learn_vocabulary(words, vocab_size, special_tokens=[END_OF_TEXT], alphabet=_LETTERS,
                                     alphabet_limit=256, min_frequency=min_frequency))

    def _split(self, text: str) -> list[str]:
        return pre_tokenize_bytes(text)

    def _cut_word(self, word: str) -> tuple[int, ...]:
        """Join the pair of the earliest merge, the leftmost among equals, until there is none."""
        row = [*_to_letters(word), ""]  # "" ends the row, and stays where a piece was joined to the one before it
        before, after = [*range(-1, len(row) - 1)], [*range(1, len(row)), 0]
        ranks = self._ranks
        waiting = [(ranks[pair], place) for place, pair in enumerate(pairwise(row)) if pair in ranks]
        heapify(waiting)
        while waiting:
            rank, left = heappop(waiting)
            right = after[left]
            if ranks.get((row[left], row[right])) != rank:
                continue  # one of the two has been joined to another since
            row[left], row[right] = row[left] + row[right], ""
            after[left], before[after[right]] = after[right], left
            for place in (before[left], left):
                if (pair := (row[place], row[after[place]])) in ranks:
                    heappush(waiting, (ranks[pair], place))
        return tuple(self.vocab[piece] for piece in row if piece)

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """The text of ids; bytes that make no character, as in a cut one, become U+FFFD.

        Raises ValueError for an id that is not in the vocabulary.
        """
        letters = "".join(self._tokens_of(ids, skip_special_tokens))
        return letters.translate(_BYTE_OF).encode("latin-1").decode(errors="replace")

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where in `text` each piece of `tokenize(text)` came from: (start, end), counting a cut character as whole."""
        pieces = self.tokenize(text)
        characters = [place for place, character in enumerate(text) for _ in character.encode()]  # of each byte
        ends = accumulate(map(len, pieces))
        return [(characters[end - len(piece)], characters[end - 1] + 1)
                for piece, end in zip(pieces, ends, strict=True)]

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, which `transformers.AutoTokenizer` reads."""
        files.write_json(folder, "tokenizer.json", files.byte_pair_content(self.vocab, self.merges, self.adds_end))
        files.write_json(folder, "tokenizer_config.json",
                   {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END_OF_TEXT})

    @classmethod
    def load(cls, source: str | Path) -> BytePairTokenizer:
        """Read tokenizer.json, or that of a folder; GPT-2's own will do.

        Its cutting and padding are ignored: `encode` cuts when asked. Raises VocabularyError, also for a file with any
        other setting that is not GPT-2's.
        """
        tokens, merges, adds_end = files.read_byte_pair(files.find_file(source, "tokenizer.json"))
        return cls(tokens, merges, adds_end=adds_end)


def _count_words(texts: Iterable[str], split: Callable[[str], list[str]]) -> Counter[str]:
    if isinstance(texts, str):
        raise TypeError(f"expected several texts, got one str: {texts!r:.50}; put it into a list")
    words: Counter[str] = Counter()
    for text in texts:
        _check_text(text)
        words.update(split(text))
    return words


def _check_text(text: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"a tokenizer takes a str, got {type(text).__name__}: {text!r:.50}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"position {error.start} holds {text[error.start]!r}, half of a surrogate pair, which is no "
                         'character. Drop such halves: text.encode(errors="ignore").decode()') from None


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """How many ids of each text are kept, as `tokenizers` does it: an odd place goes to the longer, else the second."""
    if first + second <= room:
        return first, second
    shorter = min(first, second)
    longer = room - shorter
    if longer < shorter:
        shorter, longer = room // 2, room - room // 2
    return (longer, shorter) if first > second else (shorter, longer)
