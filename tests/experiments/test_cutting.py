"""A text is cut as its ids are."""

from pathlib import Path

import pytest

from course_utils.data import load_reviews, truncate_ids
from course_utils.text import clean
from course_utils.tokenization import WordPieceTokenizer
from experiments.cutting import cut_text

ROOT = Path(__file__).resolve().parents[2]


def test_a_cut_text_holds_what_is_left_of_its_ids():
    text, spans = "One two, three four.", [(0, 3), (4, 7), (7, 8), (9, 14), (15, 19), (19, 20)]
    assert cut_text(text, spans, 8) == text
    assert cut_text(text, spans, 6) == "One two, three"
    assert cut_text(text, spans, 6, tail_share=0.5) == "One two four."
    assert cut_text(text, spans, 6, tail_share=1.0) == ", three four."
    assert cut_text("", [], 3) == ""
    with pytest.raises(ValueError, match="at least 3"):
        cut_text(text, spans, 2)


@pytest.mark.parametrize("tail_share", [0.0, 0.5, 1.0])
def test_the_tokens_of_a_cut_text_are_those_of_its_cut_ids(tail_share):
    tokenizer = WordPieceTokenizer.load(ROOT / "data" / "checkpoints" / "course-bert")
    texts = [clean(text) for text in load_reviews("course")["validation"]["text"][:100]]
    same = 0
    for text in texts:
        cut = cut_text(text, tokenizer.offsets(text), 40, tail_share=tail_share)
        same += tokenizer.encode(cut) == truncate_ids(
            tokenizer.encode(text), 40, tail_share=tail_share
        )
    assert (
        same > 80
    )  # in the others a word is cut between its pieces, and the rest of it is read anew
