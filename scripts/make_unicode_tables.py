"""Write course_utils/text/unicode_tables.py: what each code point is to the Rust tokenizers,
found by trying all of them.

    python scripts/make_unicode_tables.py

Rust's libraries and each Python carry tables of another Unicode version. The tables hold under
every Python that is not older than the one that wrote them, so write them with the oldest that the
course admits. Run again when tests/test_text.py finds a difference, which may come with a new
release of `tokenizers`.
"""

from __future__ import annotations

import sys
import textwrap
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from tokenizers.normalizers import NFD, BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel

TARGET = Path(__file__).resolve().parents[1] / "course_utils" / "text" / "unicode_tables.py"
OLDEST = (3, 11)
CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
HEADER = '''"""Unicode as the Rust `tokenizers` see it; made by scripts/make_unicode_tables.py.

Each table lists code points in hexadecimal, single or as ranges, so that it reads the same under
every Python.
"""
'''
COMMENTS = {
    "CONTROL": "Removed: control, format and private-use characters and U+FFFD.",
    "MARKS": "Nonspacing marks (Mn), which are the accents once a letter is decomposed.",
    "PUNCTUATION": "Each is a word of its own: all of ASCII's signs, and Unicode's categories P.",
    "NOT_DECOMPOSED": (
        "Newer than Rust's NFD, or yet to come: "
        "neither taken apart nor sorted among marks around it."
    ),
    "LETTERS": "Unicode's categories L, which GPT-2's pattern names \\p{L}.",
    "NUMBERS": "Unicode's categories N, which it names \\p{N}.",
    "NEW_CAPITALS": (
        "Newer than Python's lower(): ranges of capitals, then the distance to the small letter."
    ),
}


def find_tables() -> dict[str, str]:
    """The value of each table; takes some twenty seconds."""
    clean = BertNormalizer(
        handle_chinese_chars=False, strip_accents=False, lowercase=False
    ).normalize_str
    strip = BertNormalizer(
        clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False
    )
    words, byte_words = (
        BertPreTokenizer().pre_tokenize_str,
        ByteLevel(add_prefix_space=False).pre_tokenize_str,
    )
    return {
        "CONTROL": in_ranges(c for c in CHARACTERS if clean(f"a{c}b") == "ab"),
        "MARKS": in_ranges(c for c in CHARACTERS if strip.normalize_str(f"a{c}b") == "ab"),
        "PUNCTUATION": in_ranges(c for c in CHARACTERS if len(words(f"a{c}b")) == 3),
        "NOT_DECOMPOSED": in_ranges(c for c in CHARACTERS if is_new(c)),
        "LETTERS": in_ranges(c for c in CHARACTERS if len(byte_words(f"a{c}b")) == 1),
        "NUMBERS": in_ranges(c for c in CHARACTERS if len(byte_words(f"1{c}2")) == 1),
    }


def is_new(character: str) -> bool:
    """Whether Rust's NFD leaves the character alone while Python's does not,
    or will not once it knows it.

    A newer Python knows more characters, and treats none that an older one knew in another way:
    Unicode promises both.
    """
    # U+0345 sorts after, and U+0334 before, every mark of another class
    text = f"a\u0345{character}\u0334b"
    return NFD().normalize_str(text) == text and (
        unicodedata.category(character) == "Cn" or unicodedata.normalize("NFD", text) != text
    )


def find_capitals() -> dict[tuple[int, int], int]:
    """Ranges of capitals that this Python does not know,
    each with its distance to the small letters.
    """
    lower = BertNormalizer(
        clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=True
    )
    found: dict[tuple[int, int], int] = {}
    for character in CHARACTERS:
        small = lower.normalize_str(character)
        if small != character.lower():
            code, distance = ord(character), ord(small) - ord(character)
            before = next(
                (key for key, value in found.items() if key[1] == code - 1 and value == distance),
                None,
            )
            found.pop(before, None)
            found[before[0] if before else code, code] = distance
    return found


def in_ranges(characters: Iterable[str]) -> str:
    """'41-5A 5F' for A to Z and the underscore."""
    ranges: list[list[int]] = []
    for code in map(ord, characters):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return " ".join(
        f"{first:X}" if first == last else f"{first:X}-{last:X}" for first, last in ranges
    )


def main() -> None:
    if sys.version_info[:2] != OLDEST:
        sys.exit(
            f"Write the tables with Python {OLDEST[0]}.{OLDEST[1]}; "
            "a newer one leaves out what it knows itself."
        )
    parts = [HEADER]
    for name, value in find_tables().items():
        lines = "\n".join(
            f'    "{line} "' for line in textwrap.wrap(value, 92, break_on_hyphens=False)
        )
        parts.append(f"# {COMMENTS[name]}\n{name} = (\n{lines}\n)\n")
    capitals = "\n".join(
        f"    (0x{first:X}, 0x{last:X}): {distance},"
        for (first, last), distance in find_capitals().items()
    )
    parts.append(f"# {COMMENTS['NEW_CAPITALS']}\nNEW_CAPITALS = {{\n{capitals}\n}}\n")
    TARGET.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
