"""Byte-pair encoding, GPT-2's tokenizer: text to ids and back, equal to the library's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import accumulate, chain, pairwise
from pathlib import Path

from course_utils.text import pre_tokenize_bytes
from course_utils.tokenization import files
from course_utils.tokenization.base import BaseTokenizer, count_words
from course_utils.tokenization.files import END_OF_TEXT, VocabularyError
from course_utils.tokenization.subwords import learn_vocabulary

# GPT-2 writes each byte as one letter that can be seen: Latin-1's printable ones as themselves, the
# others, in their order, as those from U+0100 on. So a blank is Ġ, and the two bytes of é are Ã©.
_SEEN = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_BYTE_OF = dict(
    zip([*_SEEN, *range(0x100, 0x144)], [*_SEEN, *sorted({*range(0x100)} - {*_SEEN})], strict=True)
)
_LETTER_OF = {byte: letter for letter, byte in _BYTE_OF.items()}
_LETTERS = "".join(map(chr, _BYTE_OF))


def _to_letters(text: str) -> str:
    return text.encode().decode("latin-1").translate(_LETTER_OF)


class BytePairTokenizer(BaseTokenizer):
    """GPT-2's tokenizer: the bytes of a word, of which neighbours are joined,
    by the merge that was learned first.

    Every text is made of bytes, so there is no [UNK], and `decode` gives the very text back.
    `encode` puts <|endoftext|> after each text, as in GPT-2's training data. Source: Sennrich et
    al., arXiv 1508.07909; Radford et al., "Language Models are Unsupervised Multitask Learners",
    2019, section 2.2.
    """

    special_tokens = (END_OF_TEXT,)

    def __init__(
        self, tokens: Sequence[str], merges: Sequence[tuple[str, str]], *, adds_end: bool = True
    ) -> None:
        """`tokens`: the vocabulary, each at its id; `merges` in the order learned;
        both written in byte letters.

        With `adds_end=False`, `encode` adds nothing, as transformers with GPT-2's own file. Raises
        VocabularyError.
        """
        super().__init__(tokens)
        self.merges, self.adds_end = tuple(merges), adds_end
        needed = chain(_LETTERS, *((left, right, left + right) for left, right in self.merges))
        wrong = [token for token in needed if token not in self.vocab] + sorted(
            {*"".join(tokens)} - {*_LETTERS}
        )
        if wrong or "" in self.vocab:
            raise VocabularyError(
                "a byte-level vocabulary needs the 256 byte letters and what each merge joins and "
                f"makes, in byte letters alone; {(wrong or [''])[0]!r} is wrong. Is it GPT-2's?"
            )
        self.eos_token_id = self.vocab[END_OF_TEXT]
        self._end = [self.eos_token_id] * adds_end
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int = 8192, *, min_frequency: int = 2
    ) -> BytePairTokenizer:
        """Learn a vocabulary of at most `vocab_size` tokens: <|endoftext|>, the 256 bytes,
        then what merges make.

        Pairs are merged by how often they occur, `min_frequency` times at least; the `tokenizers`
        library learns the same. Raises TypeError and ValueError as `encode` does; ValueError for a
        vocab_size below 257.
        """
        words = {
            _to_letters(word): number
            for word, number in count_words(texts, pre_tokenize_bytes).items()
        }
        return cls(
            *learn_vocabulary(
                words,
                vocab_size,
                special_tokens=[END_OF_TEXT],
                alphabet=_LETTERS,
                alphabet_limit=256,
                min_frequency=min_frequency,
            )
        )

    def _split(self, text: str) -> list[str]:
        return pre_tokenize_bytes(text)

    def _cut_word(self, word: str) -> tuple[int, ...]:
        """Join the pair of the earliest merge, the leftmost among equals, until there is none."""
        row = [
            *_to_letters(word),
            "",
        ]  # "" ends the row, and stays where a piece was joined to the one before it
        before, after = [*range(-1, len(row) - 1)], [*range(1, len(row)), 0]
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
        """Where in `text` each piece of `tokenize(text)` came from: (start, end),
        counting a cut character as whole.
        """
        pieces = self.tokenize(text)
        characters = [
            place for place, character in enumerate(text) for _ in character.encode()
        ]  # of each byte
        ends = accumulate(map(len, pieces))
        return [
            (characters[end - len(piece)], characters[end - 1] + 1)
            for piece, end in zip(pieces, ends, strict=True)
        ]

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json and tokenizer_config.json,
        which `transformers.AutoTokenizer` reads.
        """
        files.write_json(
            folder,
            "tokenizer.json",
            files.byte_pair_content(self.vocab, self.merges, self.adds_end),
        )
        files.write_json(
            folder,
            "tokenizer_config.json",
            {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END_OF_TEXT},
        )

    @classmethod
    def load(cls, source: str | Path) -> BytePairTokenizer:
        """Read tokenizer.json, or that of a folder; GPT-2's own will do.

        Its cutting and padding are ignored: `encode` cuts when asked. Raises VocabularyError, also
        for a file with any other setting that is not GPT-2's.
        """
        tokens, merges, adds_end = files.read_byte_pair(files.find_file(source, "tokenizer.json"))
        return cls(tokens, merges, adds_end=adds_end)
