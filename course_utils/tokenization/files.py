"""The files that tokenizers are kept in: vocab.txt, and tokenizer.json as the
`tokenizers` library writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # BERT's
END_OF_TEXT = "<|endoftext|>"  # GPT-2's only one
MAX_WORD = (
    100  # characters; to WordPiece, a longer word is [UNK] as a whole, as in google-research/bert
)
# What a file may say as it likes. Cutting and padding are asked for in a call, and offsets change
# no id.
_ANY = {"version", "truncation", "padding", "vocab", "merges", "trim_offsets"}
Merges = Sequence[tuple[str, str]]


class VocabularyError(ValueError):
    """A vocabulary that is missing, damaged or not what its tokenizer needs;
    the message says what to do.
    """


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


def write_json(folder: str | Path, name: str, content: Mapping[str, Any]) -> None:
    """Write an object as UTF-8 to folder/name, making the folder."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), "utf-8")


def find_file(source: str | Path, *names: str) -> Path:
    """`source` itself, or if it is a folder, the first of `names` in it;
    the last if it has none.
    """
    source = Path(source)
    if not source.is_dir():
        return source
    return next((source / name for name in names if (source / name).exists()), source / names[-1])


# --- what `tokenizers` stores: the same rules as data ---------------------------------------------


def word_piece_content(vocab: Mapping[str, int], lowercase: bool) -> dict[str, Any]:
    """The tokenizer.json of a WordPieceTokenizer."""
    return _content(
        vocab,
        SPECIAL_TOKENS,
        ["[CLS]"],
        ["[SEP]"],
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


def byte_pair_content(vocab: Mapping[str, int], merges: Merges, adds_end: bool) -> dict[str, Any]:
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
        [],
        [END_OF_TEXT] * adds_end,
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
    start: Sequence[str],
    end: Sequence[str],
    **parts: Any,
) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    single = [*_template(start, 0), {"Sequence": {"id": "A", "type_id": 0}}, *_template(end, 0)]
    processor = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}, *_template(end, 1)],
        "special_tokens": {t: {"id": t, "ids": [vocab[t]], "tokens": [t]} for t in (*start, *end)},
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": vocab[token], "content": token, **flags, "special": True}
            for token in sorted(special_tokens, key=vocab.__getitem__)
        ],
        "post_processor": processor if end else None,
        **parts,
    }


def _template(tokens: Sequence[str], type_id: int) -> list[dict[str, Any]]:
    return [{"SpecialToken": {"id": token, "type_id": type_id}} for token in tokens]


# --- and back -------------------------------------------------------------------------------------


def read_word_piece(file: Path) -> tuple[list[str], bool]:
    """The tokens in the order of their ids, and whether text is lower-cased.
    Raises VocabularyError.
    """
    with _damage_is_told(file):
        content, tokens = _read_model(file, "WordPiece", SPECIAL_TOKENS)
        normalizer = content.get("normalizer") or {}
        lowercase = bool(normalizer.get("lowercase"))
        expected = word_piece_content(content["model"]["vocab"], lowercase)
        if normalizer.get("strip_accents") is None:  # then accents go with the capitals
            del expected["normalizer"]["strip_accents"]
        else:
            expected["normalizer"]["strip_accents"] = lowercase
        _refuse_others(file, content, expected, _ANY)
        return tokens, lowercase


def read_byte_pair(file: Path) -> tuple[list[str], list[tuple[str, str]], bool]:
    """The tokens, the merges, and whether a text gets a token at its end.
    Raises VocabularyError.
    """
    with _damage_is_told(file):
        content, tokens = _read_model(file, "BPE", [END_OF_TEXT])
        merges = [
            tuple(pair.split(" ") if isinstance(pair, str) else pair)
            for pair in content["model"].get("merges", ())
        ]
        if any(
            len(pair) != 2 or not all(isinstance(piece, str) for piece in pair) for pair in merges
        ):
            raise VocabularyError(
                f"{file}: each of the merges must be of two pieces. Fetch it again."
            )
        adds_end = _type_of(content, "post_processor") not in (
            None,
            "ByteLevel",
        )  # GPT-2's ByteLevel adds nothing
        expected = byte_pair_content(content["model"]["vocab"], merges, adds_end)
        content |= {
            "decoder": expected["decoder"] if _type_of(content, "decoder") == "ByteLevel" else None,
            "pre_tokenizer": {"use_regex": True, **(content.get("pre_tokenizer") or {})},
            "post_processor": content["post_processor"] if adds_end else None,
        }
        _refuse_others(
            file, content, expected, _ANY | {"normalized"}
        )  # which means nothing without a normalizer
        return tokens, merges, adds_end


@contextmanager
def _damage_is_told(file: Path) -> Iterator[None]:
    """A number where a name should be, and the like, is damage, too."""
    try:
        yield
    except (TypeError, AttributeError) as error:
        raise VocabularyError(f"{file} is damaged ({error}). Fetch it again.") from error


def _type_of(content: Mapping[str, Any], part: str) -> str | None:
    return (content.get(part) or {}).get("type")


def _read_model(
    file: Path, kind: str, special_tokens: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    content = read_json(file)
    model = content.get("model") or {}
    if model.get("type") != kind or not isinstance(model.get("vocab"), dict):
        raise VocabularyError(
            f"{file} must hold a {kind} model with its vocab, got {model.get('type')!r}."
        )
    vocab: dict[str, int] = model["vocab"]
    if sorted(vocab.values()) != list(range(len(vocab))):
        raise VocabularyError(
            f"{file}: the ids must be 0 to {len(vocab) - 1}, each once. Fetch it again."
        )
    check_special_tokens(vocab, special_tokens)
    return content, sorted(vocab, key=vocab.__getitem__)


def check_special_tokens(vocab: Mapping[str, int], special_tokens: Sequence[str]) -> None:
    """Raises VocabularyError if one is missing."""
    missing = [token for token in special_tokens if token not in vocab]
    if missing:
        raise VocabularyError(
            f"a vocabulary needs {', '.join(special_tokens)}; {', '.join(missing)} not found among "
            f"{len(vocab)} tokens. Is it {'BERT' if len(special_tokens) > 1 else 'GPT-2'}'s?"
        )


def _refuse_others(
    file: Path, found: Any, expected: Any, ignored: set[str], path: str = ""
) -> None:
    """VocabularyError for the first setting that is not as expected;
    what is missing, null, false or "" is the same.
    """
    if isinstance(found, list) and isinstance(expected, list):
        found, expected = (
            {
                item.get("content", number) if isinstance(item, dict) else number: item
                for number, item in enumerate(items)
            }
            for items in (found, expected)
        )
    if isinstance(found, dict) and isinstance(expected, dict):
        for name in [name for name in {**expected, **found} if name not in ignored]:
            _refuse_others(
                file, found.get(name), expected.get(name), ignored, f"{path}.{name}".lstrip(".")
            )
    elif (found or None) != (expected or None):
        raise VocabularyError(
            f"{file}: {path} must be {expected!r:.60}, got {found!r:.60}; this tokenizer knows no "
            "other way. Load the file with transformers.AutoTokenizer instead."
        )
