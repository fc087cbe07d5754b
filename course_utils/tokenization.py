"""Subword tokenizers, equal to the library's on every text: WordPiece, which BERT uses."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

from course_utils.subwords import PREFIX, learn_vocabulary
from course_utils.text import normalize, pre_tokenize

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_MAX_WORD = 100  # characters; a longer word is [UNK] as a whole, as in google-research/bert
_MAX_CACHED = 200_000  # entries of a cache
# str.split() parts text at these, too, where BERT drops them and so joins what they stand between.
_GLUE = re.compile("[\x0b\x0c\x1c-\x1f\x85]")


class VocabularyError(ValueError):
    """A vocabulary that is missing, damaged or not what its tokenizer needs; the message says what to do."""


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


class WordPieceTokenizer:
    """BERT's tokenizer: words are cut, from the left, into the longest pieces that the vocabulary has.

    Pieces within a word start with ##. A word that cannot be cut wholly, or has over 100 characters, is [UNK]. Source:
    Wu et al., arXiv 1609.08144, section 4.1; Devlin et al., arXiv 1810.04805.
    """

    def __init__(self, tokens: Sequence[str], *, lowercase: bool = True) -> None:
        """`tokens`: the vocabulary, each at its id. Raises VocabularyError."""
        self.tokens, self.lowercase = tuple(tokens), lowercase
        self.vocab = {token: number for number, token in enumerate(self.tokens)}
        _check_vocabulary(self.tokens, self.vocab)
        self.pad_token_id, self.unk_token_id, self.cls_token_id, self.sep_token_id, self.mask_token_id = (
            self.vocab[token] for token in SPECIAL_TOKENS)
        self._longest = max(map(len, self.tokens))
        self._special = re.compile(f"({'|'.join(map(re.escape, SPECIAL_TOKENS))})")
        self._words = _Cache(self._cut_word)
        self._chunks = _Cache(lambda chunk: tuple(self._encode_plainly(chunk)))

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        return len(self.tokens)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 8192, *, lowercase: bool = True, min_frequency: int = 2,
              alphabet_limit: int = 1000) -> WordPieceTokenizer:
        """Learn a vocabulary of at most `vocab_size` tokens from texts: special tokens, characters, then merges.

        Pairs are merged by how often they occur, as the `tokenizers` library does it, and `min_frequency` times at
        least. A character beyond the `alphabet_limit` most frequent will be [UNK]. Raises TypeError and ValueError
        as `encode` does; ValueError for a vocab_size below the number of characters.
        """
        words: Counter[str] = Counter()
        for text in texts:
            _check_text(text)
            words.update(pre_tokenize(normalize(text, lowercase=lowercase)))
        tokens, _ = learn_vocabulary(words, vocab_size, special_tokens=SPECIAL_TOKENS, alphabet_limit=alphabet_limit,
                                     prefix=PREFIX, min_frequency=min_frequency)
        return cls(tokens, lowercase=lowercase)

    # --- text to ids ---------------------------------------------------------------------------------------------

    def encode(self, text: str, text_pair: str | None = None, *, add_special_tokens: bool = True,
               max_length: int | None = None) -> list[int]:
        """The ids of [CLS] text [SEP], or of [CLS] text [SEP] text_pair [SEP].

        More than `max_length` ids (special tokens count) are cut: of a pair, from the end of the longer text until
        both are equally long ("longest first"). Raises TypeError for anything but str; ValueError for a lone
        surrogate or a `max_length` below the number of special tokens.
        """
        first = self._encode(text)
        second = None if text_pair in (None, "") else self._encode(text_pair)  # "" is no pair to transformers, either
        if max_length is not None:
            num_special = add_special_tokens * (2 if second is None else 3)
            if max_length < num_special:
                raise ValueError(f"max_length must be at least {num_special}, the number of special tokens, "
                                 f"got {max_length}")
            sizes = _longest_first(len(first), len(second or ()), max_length - num_special)
            first, second = first[:sizes[0]], second and second[:sizes[1]]
        if not add_special_tokens:
            return first + (second or [])
        pair = [] if second is None else [*second, self.sep_token_id]
        return [self.cls_token_id, *first, self.sep_token_id, *pair]

    def token_type_ids(self, ids: Sequence[int]) -> list[int]:
        """0 up to and including the first [SEP], 1 after it, for the ids that `encode` gave with special tokens.

        Only right where no text contains a literal [SEP].
        """
        first = list(ids).index(self.sep_token_id) + 1
        return [0] * first + [1] * (len(ids) - first)

    def tokenize(self, text: str) -> list[str]:
        """The pieces of the text, without special tokens around them."""
        return [self.tokens[number] for number in self._encode(text)]

    def _encode(self, text: str) -> list[int]:
        """Ids by white-space chunk, each looked up in a cache: no rule of BERT's looks across white space."""
        _check_text(text)
        if _GLUE.search(text):
            return self._encode_plainly(text)
        return list(chain.from_iterable(map(self._chunks.__getitem__, text.split())))

    def _encode_plainly(self, text: str) -> list[int]:
        """The definition: literal special tokens, else normalized words, cut one by one."""
        ids: list[int] = []
        for number, part in enumerate(self._special.split(text)):
            if number % 2:
                ids.append(self.vocab[part])
            else:
                for word in pre_tokenize(normalize(part, lowercase=self.lowercase)):
                    ids.extend(self._words[word])
        return ids

    def _cut_word(self, word: str) -> tuple[int, ...]:
        """Greedy: the longest piece that fits, then the longest that continues it, and so on."""
        pieces, start = [], 0
        while start < len(word) <= _MAX_WORD:
            prefix = "##" if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                if (piece := self.vocab.get(prefix + word[start:end])) is not None:
                    break
            else:
                return (self.unk_token_id,)
            pieces.append(piece)
            start = end
        return tuple(pieces) or (self.unk_token_id,)

    # --- ids to text ---------------------------------------------------------------------------------------------

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """The text of ids as far as it can be told: case, accents and blanks are lost, . , ! ? stick to the word.

        Raises ValueError for an id that is not in the vocabulary.
        """
        parts: list[str] = []
        for number in ids:
            if not 0 <= number < self.vocab_size:
                raise ValueError(f"ids must be 0 to {self.vocab_size - 1}, got {number}")
            token = self.tokens[number]
            if not (skip_special_tokens and token in SPECIAL_TOKENS):
                glued = token.startswith("##") or token in (".", ",", "!", "?")
                parts.append(token if not parts else token.removeprefix("##") if glued else f" {token}")
        return "".join(parts)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where in `text` each piece of `tokenize(text)` came from: (start, end), so that text[start:end] shows it."""
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

    # --- files ---------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write vocab.txt, tokenizer.json and tokenizer_config.json, which `transformers.AutoTokenizer` reads."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in self.tokens), "utf-8", newline="\n")
        config = {"tokenizer_class": "BertTokenizer", "do_lower_case": self.lowercase}
        for name, content in (("tokenizer.json", self._to_library()), ("tokenizer_config.json", config)):
            (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), "utf-8")

    def _to_library(self) -> dict[str, Any]:
        """What `tokenizers` stores: the same rules as data."""
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        cls, sep = ({"SpecialToken": {"id": token, "type_id": 0}} for token in ("[CLS]", "[SEP]"))
        first, second = ({"Sequence": {"id": name, "type_id": kind}} for kind, name in enumerate("AB"))
        pair_end = {"SpecialToken": {"id": "[SEP]", "type_id": 1}}
        special = {token: {"id": token, "ids": [self.vocab[token]], "tokens": [token]} for token in ("[CLS]", "[SEP]")}
        return {
            "version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": self.vocab[token], "content": token, **flags, "special": True}
                             for token in sorted(SPECIAL_TOKENS, key=self.vocab.__getitem__)],
            "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                           "strip_accents": None, "lowercase": self.lowercase},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "TemplateProcessing", "single": [cls, first, sep],
                               "pair": [cls, first, sep, second, pair_end], "special_tokens": special},
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": _MAX_WORD, "vocab": self.vocab},
        }

    @classmethod
    def load(cls, source: str | Path) -> WordPieceTokenizer:
        """Read a folder (its tokenizer.json, else its vocab.txt), or one such file.

        Beside a vocab.txt, tokenizer_config.json says whether text is lower-cased; without it, it is. Raises
        VocabularyError.
        """
        source = Path(source)
        if source.is_dir():
            source = next((source / name for name in ("tokenizer.json", "vocab.txt") if (source / name).exists()),
                          source / "vocab.txt")
        if source.suffix == ".json":
            tokens, lowercase = _read_library(source)
            return cls(tokens, lowercase=lowercase)
        config = source.with_name("tokenizer_config.json")
        lowercase = _read_json(config).get("do_lower_case", True) if config.exists() else True
        lines = _read_text(source).split("\n")
        return cls([line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])], lowercase=lowercase)


def _check_text(text: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"a tokenizer takes a str, got {type(text).__name__}: {text!r:.50}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"position {error.start} holds {text[error.start]!r}, half of a surrogate pair, which is no "
                         'character. Drop such halves: text.encode(errors="ignore").decode()') from None


def _check_vocabulary(tokens: Sequence[str], vocab: Mapping[str, int]) -> None:
    missing = [token for token in SPECIAL_TOKENS if token not in vocab]
    if missing:
        raise VocabularyError(f"a vocabulary needs {', '.join(SPECIAL_TOKENS)}; {', '.join(missing)} not found among "
                              f"{len(tokens)} tokens. Is it BERT's vocabulary?")
    if len(vocab) < len(tokens):
        token, number = next((token, number) for number, token in enumerate(tokens) if vocab[token] != number)
        raise VocabularyError(f"each token must occur once; {token!r} has the ids {number} and {vocab[token]}. "
                              "Remove one of them, or fetch the file again.")


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """How many ids of each text are kept, as `tokenizers` does it: an odd place goes to the longer, else the second."""
    if first + second <= room:
        return first, second
    shorter = min(first, second)
    longer = room - shorter
    if longer < shorter:
        shorter, longer = room // 2, room - room // 2
    return (longer, shorter) if first > second else (shorter, longer)


def _read_text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except OSError as error:
        raise VocabularyError(f"{file} cannot be read: {error.strerror}. Give tokenizer.json or vocab.txt.") from None
    except UnicodeDecodeError as error:
        raise VocabularyError(f"{file} is damaged: byte {error.start} is not UTF-8. Fetch it again.") from None


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read_text(file))
    except json.JSONDecodeError as error:
        raise VocabularyError(f"{file} is cut short or damaged: {error}. Fetch it again.") from None
    if not isinstance(content, dict):
        raise VocabularyError(f"{file} must hold a JSON object, got {type(content).__name__}.")
    return content


def _read_library(file: Path) -> tuple[list[str], bool]:
    """The tokens in the order of their ids, and whether text is lower-cased."""
    content = _read_json(file)
    model, normalizer = content.get("model") or {}, content.get("normalizer") or {}
    if model.get("type", "WordPiece") != "WordPiece" or not isinstance(model.get("vocab"), dict):
        raise VocabularyError(f"{file} must hold a WordPiece model with its vocab, got {model.get('type')!r}.")
    vocab: dict[str, int] = model["vocab"]
    if sorted(vocab.values()) != list(range(len(vocab))):
        raise VocabularyError(f"{file}: the ids must be 0 to {len(vocab) - 1}, each once. Fetch it again.")
    return sorted(vocab, key=vocab.__getitem__), normalizer.get("lowercase", True)
