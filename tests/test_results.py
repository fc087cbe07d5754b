"""The stored results: each complete, each with its command,
and the README and notebook 09 say the same numbers.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
import results_table
from matplotlib import pyplot

from course_utils import command_line
from course_utils.config import ClassificationConfig, TrainConfig

ROOT = Path(__file__).resolve().parents[1]
RECORDS = results_table.read_records()
README = (ROOT / "README.md").read_text(encoding="utf-8")
each_record = pytest.mark.parametrize("name", sorted(RECORDS))


def numbers_in(value: Any) -> list[float]:
    """Every accuracy of a record, at whatever depth."""
    if isinstance(value, dict):
        own = [value["accuracy"]] if isinstance(value.get("accuracy"), float) else []
        return own + [number for part in value.values() for number in numbers_in(part)]
    return (
        [number for part in value for number in numbers_in(part)] if isinstance(value, list) else []
    )


def measured(value: Any) -> list[float]:
    """Every number of a record that is no setting."""
    if isinstance(value, dict):
        settings = {"config", "recipe", "versions", "hardware", "seed"}
        return [
            number
            for name, part in value.items()
            if name not in settings
            for number in measured(part)
        ]
    if isinstance(value, list):
        return [number for part in value for number in measured(part)]
    return [value] if isinstance(value, float) else []


def printed_by(notebook: str) -> str:
    cells = nbformat.read(ROOT / "notebooks" / notebook, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def with_seeds(*accuracies: float) -> dict[str, Any]:
    """A record of several seeds, made of a run that is there;
    the lower bounds fall from seed to seed.
    """
    runs = [
        {
            **RECORDS["imdb_minilm"]["runs"][0],
            "seed": seed,
            "accuracy": accuracy,
            "interval": [accuracy - 0.003 - 0.001 * seed, accuracy + 0.003],
        }
        for seed, accuracy in enumerate(accuracies)
    ]
    return {"dataset": "imdb", "checkpoint_name": "course-bert", "runs": runs}


def test_there_are_full_size_results_on_imdb() -> None:
    assert len(results_table.rows(RECORDS)) >= 3


@each_record
def test_a_record_says_how_it_was_made(name: str) -> None:
    record = RECORDS[name]
    parts = [
        part for part in record.values() if isinstance(part, dict) and "command" in part
    ]  # of two machines
    runs = [
        record,
        *parts,
        *record.get("trials", []),
        *record.get("stages", []),
        *record.get("runs", []),
    ]
    made = [run for run in runs if "command" in run]
    assert made and all(run["command"].startswith("python ") for run in made)
    assert all(
        run["hardware"]["processor"] and run["versions"]["python"]
        for run in runs
        if "hardware" in run
    )
    assert any("hardware" in run for run in runs)


@each_record
def test_a_record_holds_a_measurement(name: str) -> None:
    record = RECORDS[name]
    guesses = [stage["held_out"] for stage in record.get("stages", [])]
    assert all(0 < score["loss"] < score["unigram_loss"] for score in guesses)
    assert all(0 < accuracy < 1 for accuracy in numbers_in(record))
    assert measured(record) and all(map(math.isfinite, measured(record)))


@each_record
def test_a_record_names_no_path_of_one_machine(name: str) -> None:
    text = json.dumps(RECORDS[name])
    assert not re.search(r"/(home|root|tmp|Users|work|mnt|var|opt)/", text)


def test_full_runs_used_the_whole_official_split() -> None:
    for name, runs in results_table.fine_tunes(RECORDS).items():
        assert [(run["train_examples"], run["test_examples"]) for run in runs] == [
            (25_000, 25_000)
        ] * len(runs), name
        assert all(run["accuracy"] > 0.5 for run in runs)


def test_seeds_differ_and_nothing_else_does() -> None:
    for runs in results_table.fine_tunes(RECORDS).values():
        assert len({run["seed"] for run in runs}) == len(runs)
        recipes = [{**run["config"], "seed": 0, "precision": "", "num_threads": 0} for run in runs]
        fingerprints = {
            recipe.pop("checkpoint_sha256", None) for recipe in recipes
        }  # MiniLM's first run recorded none
        assert all(recipe == recipes[0] for recipe in recipes) and len(fingerprints - {None}) <= 1


def test_an_interval_holds_its_accuracy() -> None:
    for row in results_table.rows(RECORDS):
        assert row.interval[0] < row.accuracy < row.interval[1]
        assert min(row.accuracies) <= row.accuracy <= max(row.accuracies)


def test_several_seeds_make_one_row() -> None:
    records = {**RECORDS, "imdb_course_bert": with_seeds(0.90, 0.92, 0.91)}
    (row,) = [row for row in results_table.rows(records) if row.record == "imdb_course_bert"]
    assert row.accuracy == pytest.approx(0.91) and row.accuracies == (0.90, 0.92, 0.91)
    assert row.interval == pytest.approx((0.91 - 0.004, 0.91 + 0.003))  # the means of the bounds
    assert "| 91.00 % | 90.60 to 91.30 | 3 (90.00 to 92.00) |" in results_table.table(records, [])
    assert [row.record for row in results_table.rows(records)].count("imdb_course_bert") == 1


def test_other_data_and_validation_scores_stay_out() -> None:
    course = {**with_seeds(0.8), "dataset": "course"}
    trials = {
        **with_seeds(0.8),
        "runs": [{**RECORDS["imdb_minilm"]["runs"][0], "scored_split": "validation"}],
    }
    assert results_table.rows(
        {**RECORDS, "course": course, "trials": trials}
    ) == results_table.rows(RECORDS)


def test_what_nobody_ran_is_told_with_its_command() -> None:
    jobs = results_table.read_not_run()
    assert jobs
    for job in jobs:
        assert (
            f"| {job['model']} | not run | | | needs {job['needs']} | `{job['command']}` |"
            in README
        )
        assert job["command"] in printed_by("09_imdb.ipynb")
        arguments = job["command"].removeprefix("python -m course_utils.finetune ").split()
        options = command_line.build_parser(
            "finetune", "", "", ClassificationConfig, TrainConfig
        ).parse_args(arguments)
        assert options.dataset == job["dataset"]


def test_the_readme_says_what_the_records_say() -> None:
    assert results_table.table(RECORDS, results_table.read_not_run()) in README


def test_notebook_09_says_what_the_records_say() -> None:
    printed = printed_by("09_imdb.ipynb")
    for row in results_table.rows(RECORDS):
        for accuracy in (row.accuracy, *row.accuracies):
            assert f"{100 * accuracy:.2f} %" in printed, row.model


def test_a_changed_number_is_noticed() -> None:
    changed = json.loads(json.dumps(RECORDS))
    changed["imdb_tfidf"]["baselines"][0]["accuracy"] += 0.01
    assert results_table.table(changed, results_table.read_not_run()) not in README


def test_the_picture_shows_every_row(tmp_path: Path) -> None:
    shorter = with_seeds(0.80, 0.83)
    shorter["runs"][0]["config"] = {**shorter["runs"][0]["config"], "max_length": 256}
    records = {**RECORDS, "imdb_course_bert": with_seeds(0.90, 0.92), "shorter": shorter}
    results_table.draw(records, tmp_path / "docs" / "results.png")
    assert (tmp_path / "docs" / "results.png").read_bytes().startswith(b"\x89PNG")
    drawn = [label.get_text() for label in pyplot.gca().get_yticklabels()]
    rows = results_table.rows(records)
    assert len(set(drawn)) == len(rows) and all(
        map(str.startswith, drawn, (row.model for row in rows))
    )
    pyplot.close("all")
