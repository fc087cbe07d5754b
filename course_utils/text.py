"""From a raw review to clean text, and from clean text to the words that BERT's tokenizer cuts up."""

from __future__ import annotations

import html
import html.entities
import re
import unicodedata

from course_utils import unicode_tables

# Reviewers write <3, <sigh> and a < b, so only what HTML itself knows counts as a tag. No pattern below can
# run past the next "<" (and the possessive ++ and *+ never go back), so each takes linear time on any text.
_INLINE = "a|abbr|acronym|b|big|cite|code|del|em|font|i|ins|mark|nobr|s|small|span|strike|strong|sub|sup|tt|u"
_OTHER = (
    "article|aside|audio|blockquote|body|br|button|caption|center|col|colgroup|dd|div|dl|dt|embed|fieldset|figure|"
    "footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|img|input|label|legend|li|link|main|meta|nav|"
    "noscript|object|ol|optgroup|option|p|param|pre|q|script|section|select|source|style|svg|table|tbody|td|"
    "textarea|tfoot|th|thead|title|tr|ul|video|wbr"
)
_ATTRIBUTES = r"""(?:\s++[\w:.-]++\s*+=\s*+(?:"[^"<]*+"|'[^'<]*+'|[^\s"'<>]++))*+\s*+"""
_TAG = re.compile(rf"</?(?:(?P<inline>{_INLINE})|{_OTHER}){_ATTRIBUTES}/?>", re.IGNORECASE)
_HIDDEN = re.compile(  # scripts, styles and comments: never part of what the reviewer says
    r"<(script|style)\b[^<>]*+>(?:[^<]++|<(?!/?\1\b))*+</\1\s*+>"
    r"|<!--(?:[^<-]++|-(?!->)|<(?!!--))*+-->|<!doctype\b[^<>]*+>",
    re.IGNORECASE,
)
# An entity, however often its "&" was escaped again: &lt; &amp;lt; &amp;amp;lt; ... A missing semicolon is
# left alone: "?id=1&copy=2" is not a copyright sign.
_ENTITY = re.compile(
    r"&(?:(?:amp|#0*+38|#[xX]0*+26);)*+(?:(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});)?"
)
_MAX_LAYERS = 8  # passes over text whose markup hides in markup, as in <<b>br>
_MAX_MARKS = 30  # combining marks on one character, as in Unicode's Stream-Safe Text Format (UAX 15)


def _repairs() -> dict[int, str | None]:
    """What becomes of characters that nobody typed; None drops one. Joiners within emoji and scripts stay."""
    dropped = [*range(0x00, 0x09), *range(0x0E, 0x1C), 0x7F, 0xAD, 0x200B, 0x200E, 0x200F,
               *range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xD800, 0xE000), 0xFEFF,
               *range(0xFFF9, 0xFFFC)]
    # 0x80 to 0x9F are Windows-1252 that was read as Latin-1; browsers mend it too, and IMDb has thousands.
    windows = {byte: bytes([byte]).decode("cp1252", errors="ignore") or None for byte in range(0x80, 0xA0)}
    return dict.fromkeys(dropped) | windows


_REPAIRS = _repairs()


def clean(text: str) -> str:
    """One review as a tokenizer or a bag of words wants it: plain text on one line.

    Tags that HTML knows go (`<br />` and blocks leave a space, `<i>` and its like leave nothing), with the
    whole of scripts, styles and comments; `<3`, `<sigh>` and `a < b` stay. Entities are unescaped, those
    that were escaped several times too. Windows-1252 punctuation is mended, other control and invisible
    characters are dropped, Unicode is composed (NFC), and each run of white space becomes one space. Case,
    punctuation and emoji stay.

    Cleaning twice changes nothing more, unless markup is nested within markup more than eight deep. Time is
    linear in the length. Raises TypeError for anything but a str.
    """
    if not isinstance(text, str):
        raise TypeError(f"clean takes one review as a str, got {type(text).__name__}: {text!r:.50}")
    for _ in range(_MAX_LAYERS):
        before, text = text, _clean_once(text)
        if text == before or ("<" not in text and "&" not in text):
            break
    return text


def _clean_once(text: str) -> str:
    if "&" in text:
        text = _ENTITY.sub(_unescape, text)
    if "<" in text:
        text = _TAG.sub(lambda tag: "" if tag["inline"] else " ", _HIDDEN.sub(" ", text))
    text = text.translate(_REPAIRS)
    if not text.isascii():
        text = unicodedata.normalize("NFC", _limit_marks(text))
    return " ".join(text.split())


def _unescape(entity: re.Match[str]) -> str:
    name = entity[1]
    if name is None:
        return "&"
    if name.startswith("#"):
        return html.unescape(f"&{name};")
    return html.entities.html5.get(f"{name};", f"&{name};")  # html.unescape reads &notes; as a sign and "es;"


def _limit_marks(text: str) -> str:
    """Drop combining marks beyond 30 in a row: NFC sorts them, in time that grows with their square."""
    if not any(map(unicodedata.combining, text)):
        return text
    kept, run = [], 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= _MAX_MARKS:
            kept.append(character)
    return "".join(kept)


# --- BERT's normalization and pre-tokenization -------------------------------------------------------------------

# Its rules are those of `tokenizers.normalizers.BertNormalizer` and `BertPreTokenizer`, after google-research/bert's
# tokenization.py. Unicode's own properties come from unicode_tables, since every Python knows another Unicode version.
# Han characters alone, without kana and hangul; that 2B820 to 2B91F are missing is a slip of the original.
_CJK = ("\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b81f\U0002b920-\U0002ceaf"
        "\uf900-\ufaff\U0002f800-\U0002fa1f")
_SPACE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


def _character_class(table: str) -> str:
    """The inside of [...] in a pattern, from a table of hexadecimal ranges."""
    return "".join("-".join(f"\\U{int(code, 16):08x}" for code in part.split("-")) for part in table.split())


_PUNCTUATION = _character_class(unicode_tables.PUNCTUATION)
_IS_CONTROL = re.compile(f"[{_character_class(unicode_tables.CONTROL)}]+")
_IS_SPACE = re.compile(f"[{_SPACE}]")
_IS_CJK = re.compile(f"[{_CJK}]")
_IS_MARK = re.compile(f"[{_character_class(unicode_tables.MARKS)}]+")
_NOT_DECOMPOSED = re.compile(f"([{_character_class(unicode_tables.NOT_DECOMPOSED)}]+)")
_WORD = re.compile(f"[{_PUNCTUATION}]|[^{_PUNCTUATION}{_SPACE}]+")
_SMALL = {code: code + distance for (first, last), distance in unicode_tables.NEW_CAPITALS.items()
          for code in range(first, last + 1)} | {ord("Σ"): "σ"}  # lower() alone writes ς at the end of a word


def normalize(text: str, *, lowercase: bool = True) -> str:
    """The text as BERT's vocabulary knows it: no control characters, one kind of blank, no accents, lower case.

    Equal to the fast BERT tokenizer of `transformers` on every text. `lowercase=False` is for the cased models,
    which keep accents, too.
    """
    if text.isascii() and text.isprintable():  # most of English, and nothing below would change but capitals
        return text.lower() if lowercase else text
    text = _IS_CONTROL.sub("", text)  # invisible, and would make two words of what looks like one
    text = _IS_SPACE.sub(" ", text)  # tabs, line ends and wide blanks all part words
    text = _IS_CJK.sub(r" \g<0> ", text)  # Chinese is written without blanks: each character becomes a word
    return _to_lower(_strip_accents(text)) if lowercase else text


def _strip_accents(text: str) -> str:
    """é is decomposed (NFD) into e and a mark, and the mark goes: few learners of English type résumé."""
    parts = _NOT_DECOMPOSED.split(text)  # with the characters themselves at the odd places
    parts[::2] = [unicodedata.normalize("NFD", part) for part in parts[::2]]
    return _IS_MARK.sub("", "".join(parts))


def _to_lower(text: str) -> str:
    """Movie and movie share one entry of the vocabulary."""
    return text.translate(_SMALL).lower()


def pre_tokenize(text: str) -> list[str]:
    """The words of a normalized text: what blanks part, and each punctuation sign by itself (isn ' t)."""
    return _WORD.findall(text)


# --- GPT-2's pre-tokenization ------------------------------------------------------------------------------------

_LETTER, _NUMBER = _character_class(unicode_tables.LETTERS), _character_class(unicode_tables.NUMBERS)
_BYTE_WORD = re.compile(  # the pattern of openai/gpt-2's encoder.py; for its \p{L} and \p{N}, `re` has no names
    rf"'s|'t|'re|'ve|'m|'ll|'d| ?[{_LETTER}]+| ?[{_NUMBER}]+| ?[^{_SPACE}{_LETTER}{_NUMBER}]+"
    rf"|[{_SPACE}]+(?![^{_SPACE}])|[{_SPACE}]+")


def pre_tokenize_bytes(text: str) -> list[str]:
    """The words of any text as GPT-2 parts them, each with the blank before it; joined, they are the text again."""
    return _BYTE_WORD.findall(text)
