"""What a tokenizer is to the rest of the course, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable


@runtime_checkable
class Tokenizer(Protocol):
    """Text to ids and back, and into a folder that `transformers.AutoTokenizer` reads.

    The course's own tokenizers and `LibraryTokenizer` all have these attributes and methods, so a
    task need not know which it was given.
    """

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special and added ones included; each id is smaller."""
        ...

    @property
    def pad_token_id(self) -> int:
        """The id that fills up a batch; hidden by the attention mask."""
        ...

    @property
    def unk_token_id(self) -> int | None:
        """The id of what the vocabulary cannot spell; None where it can spell everything."""
        ...

    def encode(
        self,
        text: str,
        text_pair: str | None = None,
        *,
        add_special_tokens: bool = True,
        max_length: int | None = None,
    ) -> list[int]:
        """The ids of a text or of a pair, cut to at most `max_length` ids if that is given.

        Raises TypeError for anything but str, ValueError for a lone surrogate.
        """
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode(text)` of each text, special tokens added, nothing cut."""
        ...

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """The text of ids, as far as these tell it."""
        ...

    def save(self, folder: str | Path, *, model_max_length: int | None = None) -> None:
        """Write the files from which `transformers.AutoTokenizer` makes the same ids.

        model_max_length: to how many ids `transformers` cuts when it is asked to cut; the number of
        positions of the model that the tokenizer belongs to.
        """
        ...
