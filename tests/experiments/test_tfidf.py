"""TF-IDF's program: what it cuts, and what its record says."""

import json
from pathlib import Path
from typing import Any

import pytest

from course_utils.data import hub
from course_utils.tokenization import WordPieceTokenizer
from experiments import tfidf

REVIEW = "A slow start, and then: what a film! Nobody should miss the last ten minutes of it."


class Found:
    """Stands in for an Evaluation."""

    accuracy, f1, interval = 0.75, 0.75, (0.5, 1.0)


def test_texts_are_cut_like_course_berts_input() -> None:
    tokenizer = WordPieceTokenizer.load(hub.shipped_folder(hub.COURSE_BERT))
    assert tfidf.cut([f"{REVIEW}<br />"], tokenizer, None) == [f"{REVIEW}<br />"]  # as it is
    assert tfidf.cut([f"{REVIEW}<br />"], tokenizer, 64) == [REVIEW]
    assert tfidf.cut([REVIEW], tokenizer, 10) == ["A slow start, minutes of it."]


@pytest.mark.parametrize(("options", "max_length"), [([], None), (["--max-length", "32"], 32)])
def test_the_record_says_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], max_length: int | None
) -> None:
    seen = []

    def remember(texts: list[str], *_: Any, **__: Any) -> type[Found]:
        seen.append(texts)
        return Found

    split = {"text": [REVIEW * 3, "Dull."], "label": [1, 0]}
    monkeypatch.setattr(tfidf, "tfidf_baseline", remember)
    monkeypatch.setattr(tfidf, "load_reviews", lambda name: {"train": split, "test": split})
    output = tmp_path / "tfidf.json"
    assert tfidf.main(["--dataset", "course", *options, "--output", str(output)]) == 0
    record = json.loads(output.read_text(encoding="utf-8"))
    assert record["max_length"] == max_length
    assert [row["accuracy"] for row in record["baselines"]] == [0.75, 0.75]
    assert " ".join(["--dataset course", *options, "--output $OUTPUT"]) in record["command"]
    assert len(seen) == 2
    for texts in seen:
        assert (len(texts[0]) < len(REVIEW) * 3) == bool(options)


def test_it_runs_on_the_courses_reviews(
    tmp_path: Path, small_reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from course_utils.data import registry

    monkeypatch.setattr(registry, "COURSE_FOLDER", small_reviews)
    rows = tfidf.measure("course", 32)
    assert [row["ngram_range"] for row in rows] == [[1, 1], [1, 2]]
    for row in rows:
        low, high = row["interval"]
        assert 0 <= low <= row["accuracy"] <= high <= 1
