"""WordPiece, BERT's tokenizer: text to ids and back, equal to the library's."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

from course_utils.text import normalize, pre_tokenize
from course_utils.tokenization import files
from course_utils.tokenization.base import BaseTokenizer, Cache, check_text, count_words
from course_utils.tokenization.files import MAX_WORD, SPECIAL_TOKENS
from course_utils.tokenization.subwords import PREFIX, learn_vocabulary

# str.split() parts text at these, too, where BERT drops them and so joins what they stand between.
_GLUE = re.compile("[\x0b\x0c\x1c-\x1f\x85]")


class WordPieceTokenizer(BaseTokenizer):
    """BERT's tokenizer: words are cut, from the left, into the longest pieces of the vocabulary.

    Pieces within a word start with ##. A word that cannot be cut wholly, or has over 100
    characters, is [UNK]. `encode` gives [CLS] text [SEP], or [CLS] text [SEP] text_pair [SEP].
    Source: Wu et al., arXiv 1609.08144, section 4.1; Devlin et al., arXiv 1810.04805.
    """

    special_tokens = SPECIAL_TOKENS

    def __init__(self, tokens: Sequence[str], *, lowercase: bool = True) -> None:
        """`tokens`: the vocabulary, each token at its id. Raises VocabularyError."""
        super().__init__(tokens)
        self.lowercase = lowercase
        self.pad_token_id: int = self.vocab["[PAD]"]
        self.unk_token_id: int = self.vocab["[UNK]"]
        self.cls_token_id: int = self.vocab["[CLS]"]
        self.sep_token_id: int = self.vocab["[SEP]"]
        self.mask_token_id: int = self.vocab["[MASK]"]
        self._start = [self.cls_token_id]
        self._end = [self.sep_token_id]
        self._longest = max(len(token) for token in self.tokens)
        self._chunks = Cache(lambda chunk: tuple(self._encode_plainly(chunk)))

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int = 8192,
        *,
        lowercase: bool = True,
        min_frequency: int = 2,
        alphabet_limit: int = 1000,
    ) -> WordPieceTokenizer:
        """Learn a vocabulary of at most `vocab_size` tokens from texts.

        First come the special tokens, then single characters, then what merges make. Pairs are
        merged by how often they occur, as the `tokenizers` library does it, and `min_frequency`
        times at least. A character beyond the `alphabet_limit` most frequent will be [UNK]. Raises
        TypeError and ValueError as `encode` does; ValueError for a vocab_size below the number of
        characters.
        """
        words = count_words(texts, lambda text: pre_tokenize(normalize(text, lowercase=lowercase)))
        tokens, _ = learn_vocabulary(
            words,
            vocab_size,
            special_tokens=SPECIAL_TOKENS,
            alphabet_limit=alphabet_limit,
            prefix=PREFIX,
            min_frequency=min_frequency,
        )
        return cls(tokens, lowercase=lowercase)

    def token_type_ids(self, ids: Sequence[int]) -> list[int]:
        """0 up to and including the first [SEP], and 1 after it.

        ids: as `encode` gave them, with special tokens. Only right where no text contains a literal
        [SEP].
        """
        first = list(ids).index(self.sep_token_id) + 1
        return [0] * first + [1] * (len(ids) - first)

    def _encode(self, text: str) -> list[int]:
        """Ids by stretches without white space, each looked up in a cache.

        No rule of BERT's looks across white space.
        """
        check_text(text)
        if _GLUE.search(text):
            return self._encode_plainly(text)
        chunks = map(self._chunks.__getitem__, text.split())
        return list(chain.from_iterable(chunks))

    def _split(self, text: str) -> list[str]:
        return pre_tokenize(normalize(text, lowercase=self.lowercase))

    def _cut_word(self, word: str) -> tuple[int, ...]:
        """Greedy: the longest piece that fits, then the longest that continues it, and so on."""
        if len(word) > MAX_WORD:
            return (self.unk_token_id,)
        pieces, start = [], 0
        while start < len(word):
            prefix = PREFIX if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                piece = self.vocab.get(prefix + word[start:end])
                if piece is not None:
                    break
            else:  # not even the next character is in the vocabulary
                return (self.unk_token_id,)
            pieces.append(piece)
            start = end
        return tuple(pieces)

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """The text of ids, as far as they tell it: case, accents and blanks are lost.

        The marks . , ! ? stick to the word before them. Raises ValueError for an id that is not in
        the vocabulary.
        """
        parts: list[str] = []
        for token in self._tokens_of(ids, skip_special_tokens):
            if not parts:
                parts.append(token)
            elif token.startswith(PREFIX) or token in (".", ",", "!", "?"):
                parts.append(token.removeprefix(PREFIX))
            else:
                parts.append(f" {token}")
        return "".join(parts)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where in `text` each piece of `tokenize(text)` came from: text[start:end] shows it.

        Equal to the library's but for one rare order of marks: after a mark that is kept (a spacing
        one, as U+302E), an accent of a lower combining class (as U+0334). The library sorts the
        accent to the front before it drops it, and counts it as part of the piece; here the piece
        ends before the accent.
        """
        check_text(text)
        spans: list[tuple[int, int]] = []
        start = 0
        for number, part in enumerate(self._special.split(text)):
            if number % 2:  # every second part is a special token
                spans.append((start, start + len(part)))
            else:
                for first, last in self._offsets_plainly(part):
                    spans.append((start + first, start + last))
            start += len(part)
        return spans

    def _offsets_plainly(self, text: str) -> list[tuple[int, int]]:
        """The spans of a text without literal special tokens."""
        normal = normalize(text, lowercase=self.lowercase)
        # Each character normalized alone says where the whole came from; only the order of marks
        # can differ. ends[i]: how much of `normal` the first i + 1 characters have made.
        sizes = [len(normalize(character, lowercase=self.lowercase)) for character in text]
        ends = list(accumulate(sizes))
        spans, position = [], 0
        for word in pre_tokenize(normal):
            position = normal.index(word, position)
            for size in self._piece_sizes(word):
                first = bisect_right(ends, position)
                last = bisect_right(ends, position + size - 1)
                spans.append((first, last + 1))
                position += size
        return spans

    def _piece_sizes(self, word: str) -> list[int]:
        """How many characters of the word each of its pieces covers."""
        pieces = self._words[word]
        if pieces == (self.unk_token_id,):
            return [len(word)]
        first, *rest = [len(self.tokens[piece]) for piece in pieces]
        return [first, *(size - len(PREFIX) for size in rest)]

    def save(self, folder: str | Path, *, model_max_length: int | None = None) -> None:
        """Write vocab.txt, tokenizer.json and tokenizer_config.json.

        `transformers.AutoTokenizer` reads them. model_max_length: to how many ids it cuts when
        asked to cut.
        """
        content = files.word_piece_content(self.vocab, self.lowercase)
        config = files.word_piece_config(self.lowercase)
        files.write_tokenizer(folder, content, config, model_max_length)
        lines = "".join(f"{token}\n" for token in self.tokens)
        (Path(folder) / "vocab.txt").write_text(lines, "utf-8", newline="\n")

    @classmethod
    def load(cls, source: str | Path) -> WordPieceTokenizer:
        """Read a folder (its tokenizer.json, else its vocab.txt), or one such file.

        Beside a vocab.txt, tokenizer_config.json says whether text is lower-cased; without it, it
        is. A tokenizer.json may ask for cutting and padding, which is ignored: `encode` does it
        when asked. Raises VocabularyError, also for a tokenizer.json with any other setting that is
        not BERT's.
        """
        file = files.find_file(source, "tokenizer.json", "vocab.txt")
        if file.suffix == ".json":
            return cls.from_content(files.read_json(file), str(file))
        config = file.with_name("tokenizer_config.json")
        settings = files.read_json(config) if config.exists() else {}
        lines = files.read_text(file).split("\n")
        if not lines[-1]:  # the last line ends in a line break, too
            lines.pop()
        tokens = [line.removesuffix("\r") for line in lines]
        return cls(tokens, lowercase=settings.get("do_lower_case", True))

    @classmethod
    def from_content(cls, content: Mapping[str, Any], origin: str) -> WordPieceTokenizer:
        """Of what a tokenizer.json holds; `origin` names it in errors. Raises VocabularyError."""
        tokens, lowercase = files.read_word_piece(content, origin)
        return cls(tokens, lowercase=lowercase)
