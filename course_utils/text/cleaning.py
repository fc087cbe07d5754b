"""From a raw review to clean text on one line."""

from __future__ import annotations

import html
import html.entities
import re
import unicodedata

# Reviewers write <3, <sigh> and a < b, so only what HTML itself knows counts as a tag. No pattern
# below can run past the next "<" (and the possessive ++ and *+ never go back), so each takes linear
# time on any text.
_INLINE = (
    "a|abbr|acronym|b|big|cite|code|del|em|font|i|ins|mark|nobr|s|small|span|strike|strong|"
    "sub|sup|tt|u"
)
_OTHER = (
    "article|aside|audio|blockquote|body|br|button|caption|center|col|colgroup|dd|div|dl|"
    "dt|embed|fieldset|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|"
    "img|input|label|legend|li|link|main|meta|nav|noscript|object|ol|optgroup|option|p|"
    "param|pre|q|script|section|select|source|style|svg|table|tbody|td|textarea|tfoot|th|"
    "thead|title|tr|ul|video|wbr"
)
_ATTRIBUTES = r"""(?:\s++[\w:.-]++\s*+=\s*+(?:"[^"<]*+"|'[^'<]*+'|[^\s"'<>]++))*+\s*+"""
_TAG = re.compile(rf"</?(?:(?P<inline>{_INLINE})|{_OTHER}){_ATTRIBUTES}/?>", re.IGNORECASE)
_HIDDEN = re.compile(  # scripts, styles and comments: never part of what the reviewer says
    r"<(script|style)\b[^<>]*+>(?:[^<]++|<(?!/?\1\b))*+</\1\s*+>"
    r"|<!--(?:[^<-]++|-(?!->)|<(?!!--))*+-->|<!doctype\b[^<>]*+>",
    re.IGNORECASE,
)
# An entity, however often its "&" was escaped again: &lt; &amp;lt; &amp;amp;lt; ... A missing
# semicolon is left alone: "?id=1&copy=2" is not a copyright sign.
_ENTITY = re.compile(
    r"&(?:(?:amp|#0*+38|#[xX]0*+26);)*+(?:(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});)?"
)
_MAX_LAYERS = 8  # passes over text whose markup hides in markup, as in <<b>br>
_MAX_MARKS = (
    30  # combining marks on one character, as in Unicode's Stream-Safe Text Format (UAX 15)
)


def _repairs() -> dict[int, str | None]:
    """What becomes of characters that nobody typed; None drops one.
    Joiners within emoji and scripts stay.
    """
    dropped = [
        *range(0x00, 0x09),
        *range(0x0E, 0x1C),
        0x7F,
        0xAD,
        0x200B,
        0x200E,
        0x200F,
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
        *range(0xD800, 0xE000),
        0xFEFF,
        *range(0xFFF9, 0xFFFC),
    ]
    # 0x80 to 0x9F are Windows-1252 that was read as Latin-1; browsers mend it too, and IMDb has
    # thousands.
    windows = {
        byte: bytes([byte]).decode("cp1252", errors="ignore") or None for byte in range(0x80, 0xA0)
    }
    return dict.fromkeys(dropped) | windows


_REPAIRS = _repairs()


def clean(text: str) -> str:
    """One review as a tokenizer or a bag of words wants it: plain text on one line.

    Tags that HTML knows go (`<br />` and blocks leave a space, `<i>` and its like leave nothing),
    with the whole of scripts, styles and comments; `<3`, `<sigh>` and `a < b` stay. Entities are
    unescaped, those that were escaped several times too. Windows-1252 punctuation is mended, other
    control and invisible characters are dropped, Unicode is composed (NFC), and each run of white
    space becomes one space. Case, punctuation and emoji stay.

    Cleaning twice changes nothing more, unless markup is nested within markup more than eight deep.
    Time is linear in the length. Raises TypeError for anything but a str.
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
    return html.entities.html5.get(
        f"{name};", f"&{name};"
    )  # html.unescape reads &notes; as a sign and "es;"


def _limit_marks(text: str) -> str:
    """Drop combining marks beyond 30 in a row: NFC sorts them,
    in time that grows with their square.
    """
    if not any(map(unicodedata.combining, text)):
        return text
    kept, run = [], 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= _MAX_MARKS:
            kept.append(character)
    return "".join(kept)
