"""Byte-pair encoding, GPT-2's tokenizer: text to ids and back, equal to the library's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise
from pathlib import Path
from typing import Any

from course_utils.text import pre_tokenize_bytes
from course_utils.tokenization import files
from course_utils.tokenization.base import BaseTokenizer, count_words
from course_utils.tokenization.files import END_OF_TEXT, VocabularyError
from course_utils.tokenization.subwords import learn_vocabulary

# GPT-2 writes each byte as one letter that can be seen: Latin-1's printable ones as themselves, the
# others, in their order, as those from U+0100 on. So a blank is Ġ, and the two bytes of é are Ã©.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(0x100) if byte not in _PRINTABLE]
_LETTER_OF = {byte: byte for byte in _PRINTABLE}
_LETTER_OF |= {byte: 0x100 + number for number, byte in enumerate(_OTHERS)}
_BYTE_OF = {letter: byte for byte, letter in _LETTER_OF.items()}
_LETTERS = "".join(chr(letter) for letter in _BYTE_OF)


def _to_letters(text: str) -> str:
    """Each byte of the text's UTF-8 as its letter."""
    return text.encode().decode("latin-1").translate(_LETTER_OF)


class BytePairTokenizer(BaseTokenizer):
    """GPT-2's tokenizer: neighbouring bytes of a word are joined, earliest merge first.

    Every text is made of bytes, so there is no [UNK], and `decode` gives the very text back.
    `encode` puts <|endoftext|> after each text, as in GPT-2's training data; batches are filled up
    with it, too. Source: Sennrich et al., arXiv 1508.07909; Radford et al., "Language Models are
    Unsupervised Multitask Learners", 2019, section 2.2.
    """

    special_tokens = (END_OF_TEXT,)
    unk_token_id = None

    def __init__(
        self, tokens: Sequence[str], merges: Sequence[tuple[str, str]], *, adds_end: bool = True
    ) -> None:
        """A tokenizer of this vocabulary and these merges. Raises VocabularyError.

        tokens: the vocabulary, each token at its id, written in byte letters.
        merges: pairs of tokens, in the order in which they were learned.
        adds_end: with False, `encode` adds nothing, as transformers with GPT-2's own file.
        """
        super().__init__(tokens)
        self.merges = tuple(merges)
        self.adds_end = adds_end
        self._refuse_wrong_tokens()
        self.eos_token_id = self.vocab[END_OF_TEXT]
        self.pad_token_id = self.eos_token_id
        self._end = [self.eos_token_id] if adds_end else []
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}

    def _refuse_wrong_tokens(self) -> None:
        """VocabularyError for a token that is missing, or not in byte letters."""
        needed = [*_LETTERS]
        for left, right in self.merges:
            needed += (left, right, left + right)
        wrong = [token for token in needed if token not in self.vocab]
        wrong += sorted({*"".join(self.tokens)} - {*_LETTERS})
        if "" in self.vocab:
            wrong.append("")
        if wrong:
            raise VocabularyError(
                "a byte-level vocabulary needs the 256 byte letters and what each merge joins and "
                f"makes, in byte letters alone; {wrong[0]!r} is wrong. Is it GPT-2's?"
            )

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int = 8192, *, min_frequency: int = 2
    ) -> BytePairTokenizer:
        """Learn a vocabulary of at most `vocab_size` tokens.

        First come <|endoftext|> and the 256 bytes, then what merges make. Pairs are merged by how
        often they occur, `min_frequency` times at least; the `tokenizers` library learns the same.
        Raises TypeError and ValueError as `encode` does; ValueError for a vocab_size below 257.
        """
        counts = count_words(texts, pre_tokenize_bytes)
        tokens, merges = learn_vocabulary(
            {_to_letters(word): count for word, count in counts.items()},
            vocab_size,
            special_tokens=[END_OF_TEXT],
            alphabet=_LETTERS,
            alphabet_limit=256,
            min_frequency=min_frequency,
        )
        return cls(tokens, merges)

    def _split(self, text: str) -> list[str]:
        return pre_tokenize_bytes(text)

    def _cut_word(self, word: str) -> tuple[int, ...]:
        """Join the pair of the earliest merge, the leftmost among equals, until there is none."""
        # The pieces in a row, linked to their neighbours. "" ends the row, and stays wherever a
        # piece was joined to the one before it.
        row = [*_to_letters(word), ""]
        before = [*range(-1, len(row) - 1)]
        after = [*range(1, len(row)), 0]

        # All pairs that a merge joins, as (rank of the merge, place of the left piece).
        ranks = self._ranks
        waiting = [
            (ranks[pair], place) for place, pair in enumerate(pairwise(row)) if pair in ranks
        ]
        heapify(waiting)
        while waiting:
            rank, left = heappop(waiting)
            right = after[left]
            if ranks.get((row[left], row[right])) != rank:
                continue  # one of the two has been joined to another since

            # Join the right piece to the left one, and take it out of the row.
            row[left] += row[right]
            row[right] = ""
            after[left] = after[right]
            before[after[right]] = left

            # The joined piece makes new pairs with both its neighbours.
            for place in (before[left], left):
                pair = (row[place], row[after[place]])
                if pair in ranks:
                    heappush(waiting, (ranks[pair], place))
        return tuple(self.vocab[piece] for piece in row if piece)

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """The text of ids; bytes that make no character, as in a cut one, become U+FFFD.

        Raises ValueError for an id that is not in the vocabulary.
        """
        letters = "".join(self._tokens_of(ids, skip_special_tokens))
        return letters.translate(_BYTE_OF).encode("latin-1").decode(errors="replace")

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where in `text` each piece of `tokenize(text)` came from: (start, end).

        A piece that holds a part of a character counts it as whole.
        """
        pieces = self.tokenize(text)
        character_of: list[int] = []  # the place of the character to which each byte belongs
        for place, character in enumerate(text):
            character_of += [place] * len(character.encode())
        spans, start = [], 0
        for piece in pieces:
            end = start + len(piece)  # in bytes, of which each is one letter
            spans.append((character_of[start], character_of[end - 1] + 1))
            start = end
        return spans

    def save(self, folder: str | Path, *, model_max_length: int | None = None) -> None:
        """Write tokenizer.json and tokenizer_config.json.

        `transformers.AutoTokenizer` reads them. model_max_length: to how many ids it cuts when
        asked to cut.
        """
        content = files.byte_pair_content(self.vocab, self.merges, self.adds_end)
        files.write_tokenizer(folder, content, files.BYTE_PAIR_CONFIG, model_max_length)

    @classmethod
    def load(cls, source: str | Path) -> BytePairTokenizer:
        """Read tokenizer.json, or that of a folder; GPT-2's own will do.

        Its cutting and padding are ignored: `encode` cuts when asked. Raises VocabularyError, also
        for a file with any other setting that is not GPT-2's.
        """
        file = files.find_file(source, "tokenizer.json")
        return cls.from_content(files.read_json(file), str(file))

    @classmethod
    def from_content(cls, content: Mapping[str, Any], origin: str) -> BytePairTokenizer:
        """Of what a tokenizer.json holds; `origin` names it in errors. Raises VocabularyError."""
        tokens, merges, adds_end = files.read_byte_pair(content, origin)
        return cls(tokens, merges, adds_end=adds_end)
