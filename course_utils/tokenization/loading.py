"""One way to load a tokenizer: ours where it is equal to the library's, else the library's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from course_utils.tokenization import files
from course_utils.tokenization.base import check_text
from course_utils.tokenization.byte_pair import BytePairTokenizer
from course_utils.tokenization.files import VocabularyError
from course_utils.tokenization.protocol import Tokenizer
from course_utils.tokenization.wordpiece import WordPieceTokenizer

if TYPE_CHECKING:  # transformers takes seconds to import, and our own files do without it
    from transformers import PreTrainedTokenizerBase

# Each of these can change what the library makes of tokenizer.json.
_OTHER_FILES = ("added_tokens.json", "special_tokens_map.json", "vocab.json", "merges.txt")


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of a checkpoint's folder, equal to `transformers.AutoTokenizer` on every text.

    It is a WordPieceTokenizer or a BytePairTokenizer if the folder's tokenizer is one that these
    can be: BERT's or GPT-2's, whatever its vocabulary. Anything else becomes a LibraryTokenizer.
    Raises ValueError, which says what to do, where the files are missing or damaged.
    """
    folder = Path(folder)
    own = _saved_by_the_course(folder)
    if own is not None:
        return own
    library = _read_library_tokenizer(folder)
    return _as_own(library) or LibraryTokenizer(library)


def _saved_by_the_course(folder: Path) -> WordPieceTokenizer | BytePairTokenizer | None:
    """The tokenizer of a folder that `save` wrote, read without the library; else None.

    The library looks at more files than tokenizer.json, and at the model's type. So each of them
    must be as the course writes it.
    """
    if any((folder / name).exists() for name in _OTHER_FILES):
        return None
    try:
        content = files.read_json(folder / "tokenizer.json")
        config = files.read_json(folder / "tokenizer_config.json")
        model_file = folder / "config.json"
        model_type = files.read_json(model_file).get("model_type") if model_file.exists() else None
        config.pop("model_max_length", None)  # changes no id
        own: WordPieceTokenizer | BytePairTokenizer
        if config.get("tokenizer_class") == "BertTokenizer":
            own = WordPieceTokenizer.from_content(content, str(folder))
            expected, model_types = files.word_piece_config(own.lowercase), (None, "bert")
        else:
            own = BytePairTokenizer.from_content(content, str(folder))
            expected, model_types = files.BYTE_PAIR_CONFIG, (None, "gpt2")
    except VocabularyError:
        return None
    return own if config == expected and model_type in model_types else None


def _read_library_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """What `transformers.AutoTokenizer` reads in the folder; ValueError where it can read none."""
    from transformers import AutoTokenizer

    if not folder.is_dir():  # the library would take it for a name on the Hub
        raise FileNotFoundError(f"{folder} does not exist; expected a folder with a tokenizer.json")
    try:
        library = AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # transformers and the Rust library raise errors of many kinds
        raise ValueError(
            f"the tokenizer in {folder} cannot be read ({type(error).__name__}: {error}); fetch or "
            "copy tokenizer.json and tokenizer_config.json again"
        ) from error
    # Where the files are missing, transformers makes one up, of special tokens only.
    if len(library) <= len(library.all_special_tokens):
        raise ValueError(
            f"{folder} holds no tokenizer; expected tokenizer.json or vocab.txt beside the weights"
        )
    return library


def _as_own(library: PreTrainedTokenizerBase) -> WordPieceTokenizer | BytePairTokenizer | None:
    """The same tokenizer as one of ours, if it can be one.

    The library's Rust part tells all its rules, as a tokenizer.json, and ours refuse what they do
    not know.
    """
    backend = getattr(library, "backend_tokenizer", None)
    if backend is None or getattr(library, "split_special_tokens", False):
        return None
    content = json.loads(backend.to_str())
    for kind in (WordPieceTokenizer, BytePairTokenizer):
        try:
            own = kind.from_content(content, "the tokenizer")
        except VocabularyError:
            continue
        same_padding = library.pad_token_id in (None, own.pad_token_id)
        return own if same_padding and own.vocab_size == len(library) else None
    return None


class LibraryTokenizer:
    """A tokenizer of `transformers`, in the form that the course gives to all of them.

    library: the tokenizer itself. Where it has no token for padding, the one that ends a text takes
    its place; without either, ValueError.
    """

    def __init__(self, library: PreTrainedTokenizerBase) -> None:
        pad_token_id = library.pad_token_id
        if pad_token_id is None:
            pad_token_id = library.eos_token_id
        if pad_token_id is None:
            raise ValueError(
                f"{library.name_or_path}: the tokenizer has no token for padding, and none that "
                'ends a text; name one as "pad_token" in its tokenizer_config.json'
            )
        self.library = library
        self.pad_token_id: int = pad_token_id
        self.unk_token_id: int | None = library.unk_token_id

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special and added ones included."""
        return len(self.library)

    def encode(
        self,
        text: str,
        text_pair: str | None = None,
        *,
        add_special_tokens: bool = True,
        max_length: int | None = None,
    ) -> list[int]:
        """The ids of a text, or of a pair, with the library's special tokens.

        More than `max_length` ids are cut: of a pair, from the longer text. Raises TypeError for
        anything but str; ValueError for a lone surrogate or a `max_length` below the number of
        special tokens.
        """
        check_text(text)
        second = text_pair or None
        if second is not None:
            check_text(second)
        if max_length is None:
            cut = {"truncation": False}
        else:
            self._refuse_too_short(max_length, add_special_tokens, is_pair=second is not None)
            cut = {"truncation": "longest_first", "max_length": max_length}
        encoded = self.library(
            text, second, add_special_tokens=add_special_tokens, verbose=False, **cut
        )
        return encoded["input_ids"]

    def _refuse_too_short(self, max_length: int, add_special_tokens: bool, is_pair: bool) -> None:
        num_special = 0
        if add_special_tokens:
            num_special = self.library.num_special_tokens_to_add(pair=is_pair)
        if max_length < num_special:
            raise ValueError(
                f"max_length must be at least {num_special}, the number of special tokens, "
                f"got {max_length}"
            )

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode(text)` of each text. Raises TypeError for one str in the place of several."""
        if isinstance(texts, str):
            raise TypeError(
                f"expected several texts, got one str: {texts!r:.50}; put it into a list"
            )
        for text in texts:
            check_text(text)
        if not len(texts):  # which the library refuses
            return []
        encoded = self.library(
            list(texts),
            truncation=False,
            padding=False,
            verbose=False,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        return encoded["input_ids"]

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """The text of ids, as the library tells it."""
        return self.library.decode(list(ids), skip_special_tokens=skip_special_tokens)

    def save(self, folder: str | Path, *, model_max_length: int | None = None) -> None:
        """Write the library's own files, which `transformers.AutoTokenizer` reads.

        model_max_length: to how many ids it cuts when asked to cut; None leaves what it was.
        """
        if model_max_length is not None:
            self.library.model_max_length = model_max_length
        self.library.save_pretrained(folder)
