"""The baselines' script: what it cuts, and what its record says."""

import json
import sys

import measure_baselines as script
import pytest

from course_utils.data import hub
from course_utils.tokenization import WordPieceTokenizer

REVIEW = "A slow start, and then: what a film! Nobody should miss the last ten minutes of it."


def test_texts_are_cut_like_course_berts_input() -> None:
    tokenizer = WordPieceTokenizer.load(hub.shipped_folder(hub.COURSE_BERT))
    assert script.cut([f"{REVIEW}<br />"], tokenizer, 0) == [f"{REVIEW}<br />"]  # uncut, as it is
    assert script.cut([f"{REVIEW}<br />"], tokenizer, 64) == [REVIEW]
    assert script.cut([REVIEW], tokenizer, 10) == ["A slow start, minutes of it."]


@pytest.mark.parametrize(("options", "max_length"), [([], None), (["--max-length", "32"], 32)])
def test_the_record_says_what_was_read(tmp_path, monkeypatch, options, max_length) -> None:
    seen = []
    monkeypatch.setattr(
        script, "tfidf_baseline", lambda texts, *rest, **kind: seen.append(texts) or Found
    )
    monkeypatch.setattr(
        script,
        "load_reviews",
        lambda name: {
            split: {"text": [REVIEW * 3, "Dull."], "label": [1, 0]} for split in ("train", "test")
        },
    )
    output = tmp_path / "baselines.json"
    monkeypatch.setattr(
        sys,
        "argv",
        ["measure_baselines.py", "--dataset", "course", *options, "--output", str(output)],
    )
    script.main()
    record = json.loads(output.read_text(encoding="utf-8"))
    assert record["max_length"] == max_length and [
        row["accuracy"] for row in record["baselines"]
    ] == [0.75, 0.75]
    assert " ".join(["--dataset course", *options, "--output $OUTPUT"]) in record["command"]
    assert (
        all((len(texts[0]) < len(REVIEW) * 3) == bool(options) for texts in seen) and len(seen) == 2
    )


class Found:
    accuracy, f1, interval = 0.75, 0.75, (0.5, 1.0)
