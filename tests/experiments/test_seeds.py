"""Several seeds of one fine-tune, at tiny size: what the record holds, and how it goes on."""

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from helpers import tiny_reviews

from course_utils.config import TrainConfig
from course_utils.data import registry
from experiments import seeds


@pytest.fixture
def measure(
    tmp_path: Path,
    small_reviews: Path,
    small_berts: list[Path],
    same_threads: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """Run the program with tiny reviews and weights; returns its record."""

    def recipe(seed: int) -> TrainConfig:
        return TrainConfig(
            num_train_epochs=1, batch_size=8, seed=seed, precision="fp32", num_threads=1
        )

    lines = [json.dumps(row) for row in tiny_reviews(6, seed=5)]
    elsewhere = tmp_path / "elsewhere.jsonl"
    elsewhere.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(registry, "COURSE_FOLDER", small_reviews)
    monkeypatch.setattr(seeds, "ELSEWHERE", elsewhere)
    monkeypatch.setattr(seeds, "recipe", recipe)

    def run(num_seeds: int, checkpoint: int = 0, expected: int = 0) -> dict[str, Any]:
        output = tmp_path / "seeds.json"
        arguments = ["--checkpoint", str(small_berts[checkpoint]), "--seeds", str(num_seeds)]
        arguments += ["--max-length", "24", "--work-dir", str(tmp_path / "work")]
        assert seeds.main([*arguments, "--output", str(output)]) == expected
        return json.loads(output.read_text(encoding="utf-8"))

    return run


def test_each_seed_is_run_and_scored_on_every_split(measure: Any) -> None:
    record = measure(2)
    assert [run["seed"] for run in record["runs"]] == [0, 1]
    for run in record["runs"]:
        counts = {split: len(found) for split, found in run["probabilities"].items()}
        assert counts == {"test": 32, "handwritten": 24, "elsewhere": 6}
        assert all(0 <= share <= 1 for share in run["probabilities"]["test"])
        assert run["num_updates"] == 4 and 0 <= run["accuracy"] <= 1
    one, other = (run["probabilities"] for run in record["runs"])
    assert one != other
    assert record["dataset"] == "course" and record["config"]["max_length"] == 24
    assert record["command"] == (
        "python -m experiments.seeds --checkpoint $CHECKPOINT --seeds 2 --max-length 24 "
        "--output $OUTPUT"
    )


def test_more_seeds_are_added_to_the_record(measure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = measure(1)["runs"]
    asked = []

    def pretend(self: seeds.FineTune, seed: int, folder: Path) -> dict[str, Any]:
        asked.append(seed)
        return {"seed": seed, "accuracy": 0.5}

    monkeypatch.setattr(seeds.FineTune, "run", pretend)
    record = measure(3)
    assert asked == [1, 2] and record["runs"][:1] == first and len(record["runs"]) == 3


def test_other_weights_are_refused(measure: Any, capsys: pytest.CaptureFixture[str]) -> None:
    before = measure(1)
    assert measure(1, checkpoint=1, expected=1) == before
    assert "holds other measurements: checkpoint_sha256 is" in capsys.readouterr().err


def test_the_texts_include_those_from_elsewhere() -> None:
    texts = seeds.load_texts()
    assert set(seeds.SCORED) < set(texts) and isinstance(texts["elsewhere"], Dataset)
    assert len(texts["elsewhere"]) == 60
