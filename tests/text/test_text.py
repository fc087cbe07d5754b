"""Cleaning: what is markup goes, what the reviewer said stays, and the time is linear."""

import random
import time
import unicodedata
from itertools import accumulate

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel

from course_utils.text import clean, normalize, pre_tokenize, pre_tokenize_bytes


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        # line breaks and blocks leave a space
        ("Great.<br /><br />Go!", "Great. Go!"),
        ("a<br>b<BR/>c<br clear=all>d<Br\n/>e", "a b c d e"),
        ('<p align="center">One</p><p>Two</p>', "One Two"),
        ("<ul><li>plot</li><li>cast</li></ul>", "plot cast"),
        # what only changes the look of words leaves nothing
        ("<i>Titanic</i>'s end, un<b>believ</b>able", "Titanic's end, unbelievable"),
        ("see <a href='http://x.org/?a=1&amp;b=2' target=_blank>this</a>!", "see this!"),
        ('<img alt="a > b" src=x.png>after', "after"),
        # scripts, styles and comments were never part of the review
        ("a<script>if (a < b) alert('x')</script>b", "a b"),
        ("a<SCRIPT type='text/javascript'>x</Script >b<style>p {color: red}</style>c", "a b c"),
        ("a<!-- secret -->b<!DOCTYPE html>c", "a b c"),
        ("<script>never closed", "never closed"),
        # what looks like markup and is none stays
        ("I <3 this, 1 < 2 and 2 > 1", "I <3 this, 1 < 2 and 2 > 1"),
        ("if a<b and b>c", "if a<b and b>c"),
        ("oh well <sigh> <grin> <SPOILER>", "oh well <sigh> <grin> <SPOILER>"),
        ("<-----Minor Spoilers!----->", "<-----Minor Spoilers!----->"),
        ("<brother> <basic> <3br> < br >", "<brother> <basic> <3br> < br >"),
        ("<<< wow >>>", "<<< wow >>>"),
        # entities
        (
            "Tom &amp; Jerry, R&amp;B, &quot;fine&quot; &#8230; &#x2764; &eacute;",
            'Tom & Jerry, R&B, "fine" … ❤ é',
        ),
        (
            "AT&T, Q&A; &notes; ?id=1&copy=2 &unknown; & &;",
            "AT&T, Q&A; &notes; ?id=1&copy=2 &unknown; & &;",
        ),
        ("&amp;quot;twice&amp;quot; &amp;amp;amp;lt;3", '"twice" <3'),
        ("&lt;br /&gt;&lt;3 a&nbsp;b", "<3 a b"),
        ("it&#146;s &#150; fine", "it\u2019s \u2013 fine"),
        # stray bytes and white space
        ("so \x96 he said\x85 \x93no\x94", "so \u2013 he said… \u201cno\u201d"),
        ("a\x00b\x08c\x7f d\ue000", "abc d\ue000"),
        (" \t one \r\n\n two\x0b\x0c\u2003three\u2028four\xa0\x1ffive ", "one two three four five"),
        ("\ufeffso\u00adft\u200b \u202eleft\u202c", "soft left"),
        ("half a pair \ud83d here", "half a pair here"),
        # Unicode
        ("cafe\u0301", "caf\u00e9"),
        ("电影 很好。五星!", "电影 很好。五星!"),
        (
            (
                "👍🏽 👨\u200d👩\u200d👧 ❤\ufe0f "
                "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
            ),
            (
                "👍🏽 👨\u200d👩\u200d👧 ❤\ufe0f "
                "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
            ),
        ),
        ("", ""),
        (" <br /> &nbsp; \u200b", ""),
    ],
)
def test_clean(raw, expected):
    assert clean(raw) == expected
    assert clean(expected) == expected


@pytest.mark.parametrize("wrong", [None, 3, 2.5, b"bytes", ["a review"], float("nan")])
def test_anything_but_a_str_is_refused(wrong):
    with pytest.raises(TypeError, match=f"one review as a str, got {type(wrong).__name__}"):
        clean(wrong)


# The same examples each time, and no clock: a busy machine changes nothing.
steady = settings(
    deadline=None, derandomize=True, max_examples=200, suppress_health_check=[HealthCheck.too_slow]
)

PIECES = [
    "<",
    ">",
    "</",
    "/>",
    "<br />",
    "<b>",
    "</i>",
    "<!--",
    "-->",
    "<script>",
    "</script>",
    "&",
    ";",
    "amp;",
    "&lt;",
    "&amp;",
    "&#38;",
    "&#60;",
    "&gt",
    "br",
    "b",
    "a=",
    '"',
    "'",
    " ",
    "\n",
    "3",
    "e\u0301",
    "电",
    "😀",
    "\x96",
    "\u0338",
]


@steady
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text())
@example("<<b>br>")
@example("<a <b> c=d>")
@example("&am<b>p;lt;i>")
@example("&&#108;t;b>")
def test_cleaning_twice_changes_nothing(raw):
    once = clean(raw)
    assert clean(once) == once


@steady
@given(st.text())
def test_the_result_is_one_line_of_composed_printable_text(raw):
    cleaned = clean(raw)
    assert cleaned == " ".join(cleaned.split())
    assert unicodedata.is_normalized("NFC", cleaned)
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in cleaned)
    cleaned.encode()


@steady
@given(
    st.text(st.characters(categories=["L", "N", "P", "So"], exclude_characters="<&"), min_size=1)
)
def test_words_and_emoji_without_markup_only_get_composed(raw):
    assert clean(raw) == unicodedata.normalize("NFC", raw)


HOSTILE = {
    "<": "<",
    "tags": "<a",
    "closed tags": "<b>",
    "nested": "<b ",
    "attributes": "<a b=c",
    "quotes": '<a b="',
    "ampersands": "&amp;",
    "numbers": "&#1",
    "scripts": "<script>",
    "open scripts": "<script ",
    "comments": "<!--",
    "dashes": "-",
    "marks": "\u0301\u0327",
    "spaces": " ",
    "nulls": "\0",
    "Chinese": "电影",
    "emoji": "👨\u200d👩",
    "bang": "<!doctype",
    "hidden entity": "&am&#112;",
    "hidden tag": "<<b>",
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("ends", [("", ""), ("<a ", ">"), ("<!--", "b>")])
def test_hostile_text_takes_linear_time(kind, ends):
    """Ten times the text may take some ten times as long;
    a pattern that goes back would take a hundred times.
    """

    def seconds(length):
        text = ends[0] + HOSTILE[kind] * (length // len(HOSTILE[kind])) + ends[1] * 5
        best = float("inf")
        for _ in range(2):
            start = time.process_time()
            clean(text)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(50_000) < 40 * seconds(5_000) + 0.02


def test_a_long_review_keeps_every_word():
    words = random.Random(0).choices(["good", "bad", "<3", "电影", "😀", "R&B"], k=25_000)
    raw = "<br />".join(words)
    assert len(raw) > 100_000
    assert clean(raw) == " ".join(words)


CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]


@pytest.mark.parametrize("lowercase", [True, False])
# The marks of the second are spacing, so that they stay: no new mark can stand between both without
# being sorted.
@pytest.mark.parametrize("context", ["a{}b", "a\U0001d16d{}\U0001d165b\u0898{}\u302e"])
def test_every_code_point_is_normalized_as_by_the_library(lowercase, context):
    theirs = BertNormalizer(lowercase=lowercase).normalize_str
    texts = [context.format(character, character) for character in CHARACTERS]
    assert [text for text in texts if normalize(text, lowercase=lowercase) != theirs(text)] == []


def test_every_code_point_parts_words_as_in_the_library():
    theirs = BertPreTokenizer().pre_tokenize_str
    texts = [f"a{character}b" for character in CHARACTERS]
    assert [
        text for text in texts if pre_tokenize(text) != [word for word, _ in theirs(text)]
    ] == []


def test_every_code_point_parts_words_for_bytes_as_in_the_library():
    theirs = ByteLevel(add_prefix_space=False).pre_tokenize_str
    texts = [f"a{character}1{character}!{character}{character} a" for character in CHARACTERS]
    different = [
        text
        for text in texts
        if list(accumulate(map(len, pre_tokenize_bytes(text))))
        != [end for _, (_, end) in theirs(text)]
    ]
    assert different == []


@steady
@given(
    st.text(st.characters(exclude_categories=["Cs"]))
    | st.lists(st.sampled_from([*PIECES, "'s", "_"])).map("".join)
)
def test_words_for_bytes_lose_nothing(raw):
    words = pre_tokenize_bytes(raw)
    assert "".join(words) == raw and all(words)
