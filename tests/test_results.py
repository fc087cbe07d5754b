"""The stored results: each complete, each with its command, and the README and notebook 09 say the same numbers."""

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
import results_table

ROOT = Path(__file__).resolve().parents[1]
RECORDS = results_table.read_records()
each_record = pytest.mark.parametrize("name", sorted(RECORDS))


def numbers_in(value: Any) -> list[float]:
    """Every accuracy of a record, at whatever depth."""
    if isinstance(value, dict):
        own = [value["accuracy"]] if isinstance(value.get("accuracy"), float) else []
        return own + [number for part in value.values() for number in numbers_in(part)]
    return [number for part in value for number in numbers_in(part)] if isinstance(value, list) else []


def test_there_are_full_size_results_on_imdb() -> None:
    rows = [row for row in results_table.rows(RECORDS) if row[0] == "imdb"]
    assert len(rows) >= 3


@each_record
def test_a_record_says_how_it_was_made(name: str) -> None:
    runs = [RECORDS[name], *RECORDS[name].get("trials", []), *RECORDS[name].get("stages", [])]
    made = [run for run in runs if "command" in run]
    assert made and all(run["command"].startswith("python ") for run in made)
    assert all(run["hardware"]["processor"] and run["versions"]["python"] for run in runs if "hardware" in run)
    assert any("hardware" in run for run in runs)


@each_record
def test_a_record_holds_a_measurement(name: str) -> None:
    record = RECORDS[name]
    guesses = [stage["held_out"] for stage in record.get("stages", [])]  # of tokens: far below one half
    assert all(0 < score["loss"] < score["unigram_loss"] for score in guesses)
    accuracies = numbers_in({key: value for key, value in record.items() if key != "stages"})
    assert all(0.4 < accuracy < 1 for accuracy in accuracies)
    assert accuracies or guesses or record["ratios"], "a record holds accuracies, held-out losses, or ratios of speed"


@each_record
def test_a_record_names_no_path_of_one_machine(name: str) -> None:
    text = json.dumps(RECORDS[name])
    assert not re.search(r"/(home|root|tmp|Users|work|mnt|var|opt)/", text)


def test_full_runs_used_the_whole_official_split() -> None:
    runs = [record for record in RECORDS.values() if record.get("scored_split") == "test" and "accuracy" in record]
    assert [(run["train_examples"], run["test_examples"]) for run in runs] == [(25_000, 25_000)] * len(runs)


def test_an_interval_holds_its_accuracy() -> None:
    for *_, accuracy, (low, high), _ in results_table.rows(RECORDS):
        assert low < accuracy < high


def test_the_readme_says_what_the_records_say() -> None:
    assert results_table.table(RECORDS) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_notebook_09_says_what_the_records_say() -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "09_imdb.ipynb", as_version=4)
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    for dataset, _, accuracy, _, _ in results_table.rows(RECORDS):
        if dataset == "imdb":
            assert f"{100 * accuracy:.2f} %" in printed


def test_a_changed_number_is_noticed() -> None:
    changed = json.loads(json.dumps(RECORDS))
    changed["imdb_tfidf"]["baselines"][0]["accuracy"] += 0.01
    assert results_table.table(changed) not in (ROOT / "README.md").read_text(encoding="utf-8")
