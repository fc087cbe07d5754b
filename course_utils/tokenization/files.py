"""The files of tokenizers: vocab.txt, and tokenizer.json as the `tokenizers` library writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from course_utils.files import write_json

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # BERT's
END_OF_TEXT = "<|endoftext|>"  # GPT-2's only one
# In characters. To WordPiece, a longer word is [UNK] as a whole, as in google-research/bert.
MAX_WORD = 100
# What tokenizer_config.json says of a BytePairTokenizer. GPT-2 has no token for filling up batches.
BYTE_PAIR_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "eos_token": END_OF_TEXT,
    "pad_token": END_OF_TEXT,
}
# What a file may say as it likes. Cutting and padding are asked for in a call, and offsets change
# no id.
_ANY = {"version", "truncation", "padding", "vocab", "merges", "trim_offsets"}
_Merges = Sequence[tuple[str, str]]


class VocabularyError(ValueError):
    """A vocabulary that is missing, damaged or not what its tokenizer needs.

    The message says what to do.
    """


# --- reading and writing --------------------------------------------------------------------------


def read_text(file: Path) -> str:
    """The text of a UTF-8 file. Raises VocabularyError."""
    try:
        return file.read_bytes().decode("utf-8")
    except OSError as error:
        raise VocabularyError(
            f"{file} cannot be read: {error.strerror}. Give tokenizer.json or vocab.txt."
        ) from None
    except UnicodeDecodeError as error:
        raise VocabularyError(
            f"{file} is damaged: byte {error.start} is not UTF-8. Fetch it again."
        ) from None


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises VocabularyError."""
    try:
        content = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise VocabularyError(f"{file} is cut short or damaged: {error}. Fetch it again.") from None
    if not isinstance(content, dict):
        raise VocabularyError(f"{file} must hold a JSON object, got {type(content).__name__}.")
    return content


def write_tokenizer(
    folder: str | Path,
    content: Mapping[str, Any],
    config: Mapping[str, Any],
    model_max_length: int | None,
) -> None:
    """Write tokenizer.json (`content`) and tokenizer_config.json (`config`), making the folder.

    model_max_length: goes into the latter; None for no limit.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "tokenizer.json", content)
    limit = {} if model_max_length is None else {"model_max_length": model_max_length}
    write_json(folder / "tokenizer_config.json", {**config, **limit})


def find_file(source: str | Path, *names: str) -> Path:
    """`source` itself, or if it is a folder, the first of `names` that exists in it.

    Where none exists, the last of them.
    """
    source = Path(source)
    if not source.is_dir():
        return source
    for name in names:
        if (source / name).exists():
            return source / name
    return source / names[-1]


# --- what `tokenizers` stores: the same rules as data ---------------------------------------------


def word_piece_config(lowercase: bool) -> dict[str, Any]:
    """What tokenizer_config.json says of a WordPieceTokenizer."""
    return {"tokenizer_class": "BertTokenizer", "do_lower_case": lowercase}


def word_piece_content(vocab: Mapping[str, int], lowercase: bool) -> dict[str, Any]:
    """The tokenizer.json of a WordPieceTokenizer."""
    return _content(
        vocab,
        SPECIAL_TOKENS,
        start=["[CLS]"],
        end=["[SEP]"],
        normalizer={
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": lowercase,
        },
        pre_tokenizer={"type": "BertPreTokenizer"},
        decoder={"type": "WordPiece", "prefix": "##", "cleanup": True},
        model={
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": MAX_WORD,
            "vocab": vocab,
        },
    )


def byte_pair_content(vocab: Mapping[str, int], merges: _Merges, adds_end: bool) -> dict[str, Any]:
    """The tokenizer.json of a BytePairTokenizer."""
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    return _content(
        vocab,
        [END_OF_TEXT],
        start=[],
        end=[END_OF_TEXT] if adds_end else [],
        normalizer=None,
        pre_tokenizer=byte_level,
        decoder=byte_level,
        model={
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [list(pair) for pair in merges],
        },
    )


def _content(
    vocab: Mapping[str, int],
    special_tokens: Sequence[str],
    *,
    start: Sequence[str],
    end: Sequence[str],
    **parts: Any,
) -> dict[str, Any]:
    """A tokenizer.json of these parts, with `start` before a text and `end` after each."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added_tokens = [
        {"id": vocab[token], "content": token, **flags, "special": True}
        for token in sorted(special_tokens, key=vocab.__getitem__)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens,
        "post_processor": _template(vocab, start, end) if end else None,
        **parts,
    }


def _template(vocab: Mapping[str, int], start: Sequence[str], end: Sequence[str]) -> dict[str, Any]:
    """Where the special tokens go: `start` A `end`, or `start` A `end` B `end`."""

    def special(tokens: Sequence[str], type_id: int) -> list[dict[str, Any]]:
        return [{"SpecialToken": {"id": token, "type_id": type_id}} for token in tokens]

    def text(name: str, type_id: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": type_id}}

    single = [*special(start, 0), text("A", 0), *special(end, 0)]
    pair = [*single, text("B", 1), *special(end, 1)]
    ids = {
        token: {"id": token, "ids": [vocab[token]], "tokens": [token]} for token in (*start, *end)
    }
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": ids}


# --- and back -------------------------------------------------------------------------------------


def read_word_piece(content: Mapping[str, Any], origin: str) -> tuple[list[str], bool]:
    """The tokens in the order of their ids, and whether text is lower-cased.

    content: what a tokenizer.json holds; origin: its name in errors. Raises VocabularyError.
    """
    with _damage_is_told(origin):
        tokens = _tokens_of_model(content, "WordPiece", SPECIAL_TOKENS, origin)
        normalizer = content.get("normalizer") or {}
        lowercase = bool(normalizer.get("lowercase"))
        expected = word_piece_content(content["model"]["vocab"], lowercase)
        if normalizer.get("strip_accents") is None:
            del expected["normalizer"]["strip_accents"]  # accents go where capitals go
        else:
            expected["normalizer"]["strip_accents"] = lowercase
        _refuse_others(content, expected, ignored=_ANY, origin=origin)
        return tokens, lowercase


def read_byte_pair(
    content: Mapping[str, Any], origin: str
) -> tuple[list[str], list[tuple[str, str]], bool]:
    """The tokens, the merges, and whether a text gets a token at its end.

    content: what a tokenizer.json holds; origin: its name in errors. Raises VocabularyError.
    """
    with _damage_is_told(origin):
        tokens = _tokens_of_model(content, "BPE", [END_OF_TEXT], origin)
        merges = _merges_of_model(content["model"], origin)
        processor = content.get("post_processor") or {}
        is_empty_template = processor == _template({}, [], [])
        # GPT-2's own post-processor, ByteLevel, adds nothing, either.
        adds_end = processor.get("type") not in (None, "ByteLevel") and not is_empty_template
        expected = byte_pair_content(content["model"]["vocab"], merges, adds_end)
        # What GPT-2's file says otherwise, without meaning anything else.
        same_decoder = (content.get("decoder") or {}).get("type") == "ByteLevel"
        found = {
            **content,
            "decoder": expected["decoder"] if same_decoder else None,
            "pre_tokenizer": {"use_regex": True, **(content.get("pre_tokenizer") or {})},
            "post_processor": processor if adds_end else None,
        }
        # Without a normalizer, it means nothing whether a token is "normalized".
        _refuse_others(found, expected, ignored=_ANY | {"normalized"}, origin=origin)
        return tokens, merges, adds_end


@contextmanager
def _damage_is_told(origin: str) -> Iterator[None]:
    """A number where a name should be, and the like, is damage, too."""
    try:
        yield
    except (TypeError, AttributeError) as error:
        raise VocabularyError(f"{origin} is damaged ({error}). Fetch it again.") from error


def _tokens_of_model(
    content: Mapping[str, Any], kind: str, special_tokens: Sequence[str], origin: str
) -> list[str]:
    """The vocabulary in the order of its ids; VocabularyError for a model of another kind."""
    model = content.get("model") or {}
    if model.get("type") != kind or not isinstance(model.get("vocab"), dict):
        raise VocabularyError(
            f"{origin} must hold a {kind} model with its vocab, got {model.get('type')!r}."
        )
    vocab: dict[str, int] = model["vocab"]
    if sorted(vocab.values()) != list(range(len(vocab))):
        raise VocabularyError(
            f"{origin}: the ids must be 0 to {len(vocab) - 1}, each once. Fetch it again."
        )
    check_special_tokens(vocab, special_tokens)
    return sorted(vocab, key=vocab.__getitem__)


def _merges_of_model(model: Mapping[str, Any], origin: str) -> list[tuple[str, str]]:
    """The merges, which a file writes as "a b" or as ["a", "b"]."""
    merges = []
    for written in model.get("merges", ()):
        pair = tuple(written.split(" ") if isinstance(written, str) else written)
        if len(pair) != 2 or not all(isinstance(piece, str) for piece in pair):
            raise VocabularyError(
                f"{origin}: each of the merges must be of two pieces. Fetch it again."
            )
        merges.append(pair)
    return merges


def check_special_tokens(vocab: Mapping[str, int], special_tokens: Sequence[str]) -> None:
    """Raises VocabularyError if one is missing."""
    missing = [token for token in special_tokens if token not in vocab]
    if missing:
        raise VocabularyError(
            f"a vocabulary needs {', '.join(special_tokens)}; {', '.join(missing)} not found among "
            f"{len(vocab)} tokens. Is it {'BERT' if len(special_tokens) > 1 else 'GPT-2'}'s?"
        )


def _refuse_others(
    found: Any, expected: Any, *, ignored: set[str], origin: str, path: str = ""
) -> None:
    """VocabularyError for the first setting that is not as expected.

    What is missing, null, false or "" is the same. path: where `found` stands in the file.
    """
    if isinstance(found, list) and isinstance(expected, list):
        found, expected = _by_name(found), _by_name(expected)
    if isinstance(found, dict) and isinstance(expected, dict):
        for name in {**expected, **found}:
            if name not in ignored:
                _refuse_others(
                    found.get(name),
                    expected.get(name),
                    ignored=ignored,
                    origin=origin,
                    path=f"{path}.{name}".lstrip("."),
                )
    elif (found or None) != (expected or None):
        raise VocabularyError(
            f"{origin}: {path} must be {expected!r:.60}, got {found!r:.60}; this tokenizer knows "
            "no other way. Load its folder with course_utils.tokenization.load_tokenizer instead."
        )


def _by_name(items: Sequence[Any]) -> dict[Any, Any]:
    """The items of a list by their "content" (a token's text), or by their place."""
    named = {}
    for number, item in enumerate(items):
        name = item.get("content", number) if isinstance(item, dict) else number
        named[name] = item
    return named
