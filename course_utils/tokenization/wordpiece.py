"""WordPiece, BERT's tokenizer: text to ids and back, equal to the library's."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from pathlib import Path

from course_utils.text import normalize, pre_tokenize
from course_utils.tokenization import files
from course_utils.tokenization.base import _GLUE, BaseTokenizer, Cache, check_text, count_words
from course_utils.tokenization.files import MAX_WORD, SPECIAL_TOKENS
from course_utils.tokenization.subwords import PREFIX, learn_vocabulary


class WordPieceTokenizer(BaseTokenizer):
    """BERT's tokenizer: words are cut, from the left,
    into the longest pieces that the vocabulary has.

    Pieces within a word start with ##. A word that cannot be cut wholly, or has over 100
    characters, is [UNK]. `encode` gives [CLS] text [SEP], or [CLS] text [SEP] text_pair [SEP].
    Source: Wu et al., arXiv 1609.08144, section 4.1; Devlin et al., arXiv 1810.04805.
    """

    special_tokens = SPECIAL_TOKENS

    def __init__(self, tokens: Sequence[str], *, lowercase: bool = True) -> None:
        """`tokens`: the vocabulary, each at its id. Raises VocabularyError."""
        super().__init__(tokens)
        self.lowercase = lowercase
        (
            self.pad_token_id,
            self.unk_token_id,
            self.cls_token_id,
            self.sep_token_id,
            self.mask_token_id,
        ) = (self.vocab[token] for token in SPECIAL_TOKENS)
        self._start, self._end = [self.cls_token_id], [self.sep_token_id]
        self._longest = max(map(len, self.tokens))
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
        """Learn a vocabulary of at most `vocab_size` tokens from texts: special tokens, characters,
        then merges.

        Pairs are merged by how often they occur, as the `tokenizers` library does it, and
        `min_frequency` times at least. A character beyond the `alphabet_limit` most frequent will
        be [UNK]. Raises TypeError and ValueError as `encode` does; ValueError for a vocab_size
        below the number of characters.
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
        """0 up to and including the first [SEP], 1 after it,
        for the ids that `encode` gave with special tokens.

        Only right where no text contains a literal [SEP].
        """
        first = list(ids).index(self.sep_token_id) + 1
        return [0] * first + [1] * (len(ids) - first)

    def _encode(self, text: str) -> list[int]:
        """Ids by white-space chunk, each looked up in a cache: no rule of BERT's
        looks across white space.
        """
        check_text(text)
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
        """The text of ids as far as it can be told: case, accents and blanks are lost, . , ! ?
        stick to the word.

        Raises ValueError for an id that is not in the vocabulary.
        """
        parts: list[str] = []
        for token in self._tokens_of(ids, skip_special_tokens):
            glued = token.startswith("##") or token in (".", ",", "!", "?")
            parts.append(token if not parts else token.removeprefix("##") if glued else f" {token}")
        return "".join(parts)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where in `text` each piece of `tokenize(text)` came from: (start, end),
        so that text[start:end] shows it.

        Equal to the library's but for one rare order of marks: after a mark that is kept (a spacing
        one, as U+302E), an accent of a lower combining class (as U+0334). The library sorts the
        accent to the front before it drops it, and counts it as part of the piece; here the piece
        ends before the accent.
        """
        check_text(text)
        spans: list[tuple[int, int]] = []
        start = 0
        for number, part in enumerate(self._special.split(text)):
            if number % 2:
                spans.append((start, start + len(part)))
            else:
                spans += [
                    (start + first, start + last) for first, last in self._offsets_plainly(part)
                ]
            start += len(part)
        return spans

    def _offsets_plainly(self, text: str) -> list[tuple[int, int]]:
        normal = normalize(text, lowercase=self.lowercase)
        # Each character normalized alone says where the whole came from; only the order of marks
        # can differ.
        ends = list(
            accumulate(len(normalize(character, lowercase=self.lowercase)) for character in text)
        )
        spans, position = [], 0
        for word in pre_tokenize(normal):
            position = normal.index(word, position)
            for size in self._piece_sizes(word):
                spans.append(
                    (bisect_right(ends, position), bisect_right(ends, position + size - 1) + 1)
                )
                position += size
        return spans

    def _piece_sizes(self, word: str) -> list[int]:
        pieces = self._words[word]
        if pieces == (self.unk_token_id,):
            return [len(word)]
        return [len(self.tokens[piece]) - 2 * (number > 0) for number, piece in enumerate(pieces)]

    def save(self, folder: str | Path) -> None:
        """Write vocab.txt, tokenizer.json and tokenizer_config.json,
        which `transformers.AutoTokenizer` reads.
        """
        files.write_json(
            folder, "tokenizer.json", files.word_piece_content(self.vocab, self.lowercase)
        )
        files.write_json(
            folder,
            "tokenizer_config.json",
            {"tokenizer_class": "BertTokenizer", "do_lower_case": self.lowercase},
        )
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
        source = files.find_file(source, "tokenizer.json", "vocab.txt")
        if source.suffix == ".json":
            tokens, lowercase = files.read_word_piece(source)
            return cls(tokens, lowercase=lowercase)
        config = source.with_name("tokenizer_config.json")
        lowercase = files.read_json(config).get("do_lower_case", True) if config.exists() else True
        lines = files.read_text(source).split("\n")
        return cls(
            [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])],
            lowercase=lowercase,
        )
