"""Shipping a pre-training run: the card says what the record says,
and only a run that fits is taken.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import ship_course_bert as ship

STAGES: list[dict[str, Any]] = json.loads(ship.RECORD.read_text(encoding="utf-8"))["stages"]


def test_the_card_says_what_the_record_says() -> None:
    assert ship.table(STAGES) in (ship.FOLDER / "README.md").read_text(encoding="utf-8")


def test_each_stage_went_on_from_some_other() -> None:
    assert [stage["stage"] for stage in STAGES] == list(range(1, len(STAGES) + 1))
    assert "start_from_sha256" not in STAGES[0]["config"]
    starts = [stage["config"]["start_from_sha256"] for stage in STAGES[1:]]
    assert (
        len(set(starts)) == len(starts)
        and ship.sha256(ship.FOLDER / "model.safetensors") not in starts
    )


def test_help_shows_whole_sentences(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["ship_course_bert.py", "--help"])
    with pytest.raises(SystemExit):
        ship.main()
    assert ship.__doc__.strip() in capsys.readouterr().out


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A run that went on from what is shipped, the shipped folder and its record, all copies."""
    run, folder, record = tmp_path / "run", tmp_path / "course-bert", tmp_path / "record.json"
    shutil.copytree(ship.FOLDER, folder)
    shutil.copytree(ship.FOLDER, run)
    shutil.copyfile(ship.RECORD, record)
    (run / "model.safetensors").write_bytes(b"other weights")
    config = {
        **STAGES[-1]["config"],
        "start_from_sha256": ship.sha256(folder / "model.safetensors"),
    }
    result = {name: value for name, value in STAGES[-1].items() if name != "stage"}
    (run / "result.json").write_text(json.dumps({**result, "config": config}), encoding="utf-8")
    return run, folder, record


def test_a_run_becomes_one_more_stage(places: tuple[Path, Path, Path]) -> None:
    run, folder, record = places
    stages = ship.ship(run, folder, record)
    assert [stage["stage"] for stage in stages] == list(range(1, len(STAGES) + 2))
    assert json.loads(record.read_text(encoding="utf-8"))["stages"] == stages
    assert (folder / "model.safetensors").read_bytes() == b"other weights"
    assert ship.table(stages) in (folder / "README.md").read_text(encoding="utf-8")


def test_a_run_from_nothing_starts_the_table_anew(places: tuple[Path, Path, Path]) -> None:
    run, folder, record = places
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    del result["config"]["start_from_sha256"]
    (run / "result.json").write_text(json.dumps(result), encoding="utf-8")
    assert [stage["stage"] for stage in ship.ship(run, folder, record)] == [1]


@pytest.mark.parametrize("damage", ["other start", "no weights", "no result", "no markers"])
def test_what_does_not_fit_changes_nothing(places: tuple[Path, Path, Path], damage: str) -> None:
    run, folder, record = places
    if damage == "other start":
        shutil.copyfile(ship.FOLDER / "vocab.txt", folder / "model.safetensors")
    elif damage == "no markers":
        (folder / "README.md").write_text("# course-bert\n", encoding="utf-8")
    else:
        (run / {"no weights": "model.safetensors", "no result": "result.json"}[damage]).unlink()
    before = {path: path.read_bytes() for path in (*folder.iterdir(), record)}
    with pytest.raises(ValueError):
        ship.ship(run, folder, record)
    assert {path: path.read_bytes() for path in (*folder.iterdir(), record)} == before
