"""From clean text to the words that a tokenizer cuts up, as BERT and as GPT-2 part them."""

from __future__ import annotations

import re
import unicodedata

from course_utils.text import unicode_tables

# --- BERT's normalization and pre-tokenization ----------------------------------------------------

# Its rules are those of `tokenizers.normalizers.BertNormalizer` and `BertPreTokenizer`, after
# google-research/bert's tokenization.py. Unicode's own properties come from unicode_tables, since
# every Python knows another Unicode version. Han characters alone, without kana and hangul; that
# 2B820 to 2B91F are missing is a slip of the original.
_CJK = (
    "\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b81f\U0002b920-\U0002ceaf"
    "\uf900-\ufaff\U0002f800-\U0002fa1f"
)
_SPACE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


def _character_class(table: str) -> str:
    """The inside of [...] in a pattern, from a table of hexadecimal ranges."""
    return re.sub("[0-9A-F]+", lambda code: f"\\U{int(code[0], 16):08x}", table).replace(" ", "")


_PUNCTUATION = _character_class(unicode_tables.PUNCTUATION)
_IS_CONTROL = re.compile(f"[{_character_class(unicode_tables.CONTROL)}]+")
_IS_SPACE = re.compile(f"[{_SPACE}]")
_IS_CJK = re.compile(f"[{_CJK}]")
_IS_MARK = re.compile(f"[{_character_class(unicode_tables.MARKS)}]+")
_NOT_DECOMPOSED = re.compile(f"([{_character_class(unicode_tables.NOT_DECOMPOSED)}]+)")
_WORD = re.compile(f"[{_PUNCTUATION}]|[^{_PUNCTUATION}{_SPACE}]+")
_SMALL = {
    code: code + distance
    for (first, last), distance in unicode_tables.NEW_CAPITALS.items()
    for code in range(first, last + 1)
} | {ord("Σ"): "σ"}  # lower() alone writes ς at the end of a word


def normalize(text: str, *, lowercase: bool = True) -> str:
    """The text as BERT's vocabulary knows it: no control characters, one kind of blank,
    no accents, lower case.

    Equal to the fast BERT tokenizer of `transformers` on every text. `lowercase=False` is for the
    cased models, which keep accents, too.
    """
    if (
        text.isascii() and text.isprintable()
    ):  # most of English, and nothing below would change but capitals
        return text.lower() if lowercase else text
    text = _IS_CONTROL.sub("", text)  # invisible, and would make two words of what looks like one
    text = _IS_SPACE.sub(" ", text)  # tabs, line ends and wide blanks all part words
    text = _IS_CJK.sub(
        r" \g<0> ", text
    )  # Chinese is written without blanks: each character becomes a word
    return _to_lower(_strip_accents(text)) if lowercase else text


def _strip_accents(text: str) -> str:
    """é is decomposed (NFD) into e and a mark,
    and the mark goes: few learners of English type résumé.
    """
    parts = _NOT_DECOMPOSED.split(text)  # with the characters themselves at the odd places
    parts[::2] = [unicodedata.normalize("NFD", part) for part in parts[::2]]
    return _IS_MARK.sub("", "".join(parts))


def _to_lower(text: str) -> str:
    """Movie and movie share one entry of the vocabulary."""
    return text.translate(_SMALL).lower()


def pre_tokenize(text: str) -> list[str]:
    """The words of a normalized text: what blanks part,
    and each punctuation sign by itself (isn ' t).
    """
    return _WORD.findall(text)


# --- GPT-2's pre-tokenization ---------------------------------------------------------------------

_LETTER, _NUMBER = (
    _character_class(unicode_tables.LETTERS),
    _character_class(unicode_tables.NUMBERS),
)
# the pattern of openai/gpt-2's encoder.py; for its \p{L} and \p{N}, `re` has no names
_BYTE_WORD = re.compile(
    rf"'s|'t|'re|'ve|'m|'ll|'d| ?[{_LETTER}]+| ?[{_NUMBER}]+| ?[^{_SPACE}{_LETTER}{_NUMBER}]+"
    rf"|[{_SPACE}]+(?![^{_SPACE}])|[{_SPACE}]+"
)


def pre_tokenize_bytes(text: str) -> list[str]:
    """The words of any text as GPT-2 parts them, each with the blank before it;
    joined, they are the text again.
    """
    return _BYTE_WORD.findall(text)
