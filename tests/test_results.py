"""The stored results: each complete, each with its command, and the README and notebook 09 say the
same numbers.
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
SETTINGS = {"config", "recipe", "versions", "hardware", "seed"}  # they hold no measurement
each_record = pytest.mark.parametrize("name", sorted(RECORDS))


def numbers_in(value: Any) -> list[float]:
    """Every accuracy of a record, at whatever depth."""
    found = []
    if isinstance(value, dict):
        if isinstance(value.get("accuracy"), float):
            found.append(value["accuracy"])
        for part in value.values():
            found += numbers_in(part)
    if isinstance(value, list):
        for part in value:
            found += numbers_in(part)
    return found


def measured(value: Any) -> list[float]:
    """Every number of a record that is no setting."""
    found = []
    if isinstance(value, float):
        found.append(value)
    if isinstance(value, dict):
        for name, part in value.items():
            if name not in SETTINGS:
                found += measured(part)
    if isinstance(value, list):
        for part in value:
            found += measured(part)
    return found


def printed_by(notebook: str) -> str:
    """The text that a notebook's stored outputs show."""
    texts = []
    for cell in nbformat.read(ROOT / "notebooks" / notebook, as_version=4).cells:
        for output in cell.get("outputs", []):
            texts.append(output.get("text", ""))
    return "".join(texts)


def with_seeds(*accuracies: float) -> dict[str, Any]:
    """A record of several seeds, made of a run that is there. The lower bounds fall from seed to
    seed.
    """
    runs = []
    for seed, accuracy in enumerate(accuracies):
        interval = [accuracy - 0.003 - 0.001 * seed, accuracy + 0.003]
        one = {**RECORDS["imdb_minilm"]["runs"][0], "seed": seed, "accuracy": accuracy}
        runs.append({**one, "interval": interval})
    return {"dataset": "imdb", "checkpoint_name": "course-bert", "runs": runs}


# --- the records ----------------------------------------------------------------------------------


@each_record
def test_a_record_says_how_it_was_made(name: str) -> None:
    record = RECORDS[name]
    runs = [record]
    for part in record.values():  # the parts of two machines
        if isinstance(part, dict) and "command" in part:
            runs.append(part)
    for table in ("trials", "stages", "runs"):
        runs += record.get(table, [])
    commands = [run["command"] for run in runs if "command" in run]
    assert commands and all(command.startswith("python ") for command in commands)
    places = [run for run in runs if "hardware" in run]
    assert places
    for run in places:
        assert run["hardware"]["processor"] and run["versions"]["python"]


@each_record
def test_a_record_holds_a_measurement(name: str) -> None:
    record = RECORDS[name]
    for stage in record.get("stages", []):
        assert 0 < stage["held_out"]["loss"] < stage["held_out"]["unigram_loss"]
    assert all(0 < accuracy < 1 for accuracy in numbers_in(record))
    assert measured(record) and all(map(math.isfinite, measured(record)))


@each_record
def test_a_record_names_no_path_of_one_machine(name: str) -> None:
    text = json.dumps(RECORDS[name])
    assert not re.search(r"/(home|root|tmp|Users|work|mnt|var|opt)/", text)


def test_full_runs_used_the_whole_official_split() -> None:
    for name, runs in results_table.fine_tunes(RECORDS).items():
        for run in runs:
            assert (run["train_examples"], run["test_examples"]) == (25_000, 25_000), name
            assert run["accuracy"] > 0.5


def test_seeds_differ_and_nothing_else_does() -> None:
    for runs in results_table.fine_tunes(RECORDS).values():
        assert len({run["seed"] for run in runs}) == len(runs)
        recipes = [{**run["config"], "seed": 0, "precision": "", "num_threads": 0} for run in runs]
        # MiniLM's first run recorded no fingerprint
        fingerprints = {recipe.pop("checkpoint_sha256", None) for recipe in recipes}
        assert all(recipe == recipes[0] for recipe in recipes)
        assert len(fingerprints - {None}) <= 1


# --- the table ------------------------------------------------------------------------------------


def test_there_are_full_size_results_on_imdb() -> None:
    assert len(results_table.rows(RECORDS)) >= 3


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


def test_other_data_and_validation_scores_stay_out() -> None:
    course = {**with_seeds(0.8), "dataset": "course"}
    run = {**RECORDS["imdb_minilm"]["runs"][0], "scored_split": "validation"}
    trials = {**with_seeds(0.8), "runs": [run]}
    records = {**RECORDS, "course": course, "trials": trials}
    assert results_table.rows(records) == results_table.rows(RECORDS)


def test_a_new_result_takes_one_file(tmp_path: Path) -> None:
    """The record alone says that it belongs into the table, and under which name."""
    for name in ("imdb_tfidf", "not_run"):
        source = results_table.FOLDER / f"{name}.json"
        (tmp_path / source.name).write_bytes(source.read_bytes())
    before = results_table.table(
        results_table.read_records(tmp_path), results_table.read_not_run(tmp_path)
    )
    new = {"model_name": "BERT, somebody's weights", **with_seeds(0.95, 0.96)}
    (tmp_path / "anything.json").write_text(json.dumps(new), encoding="utf-8")
    after = results_table.table(
        results_table.read_records(tmp_path), results_table.read_not_run(tmp_path)
    )
    (line,) = set(after.splitlines()) - set(before.splitlines())
    assert line.startswith("| BERT, somebody's weights | 95.50 % |")
    assert line.endswith("| [anything](data/results/anything.json) |")
    assert len(before.splitlines()) + 1 == len(after.splitlines())


def test_a_result_without_a_name_is_called_by_its_checkpoint() -> None:
    (row,) = results_table.rows({"new": with_seeds(0.9)})
    assert row.model == "course-bert"


def test_what_nobody_ran_is_told_with_its_command() -> None:
    jobs = results_table.read_not_run()
    assert jobs
    for job in jobs:
        line = f"| {job['model']} | not run | | | needs {job['needs']} | `{job['command']}` |"
        assert line in README
        printed = printed_by("09_imdb.ipynb")
        assert job["command"] in re.sub(r" \\\n +", " ", printed)  # wrapped, to be copied
        arguments = job["command"].removeprefix("python -m course_utils.finetune ").split()
        parser = command_line.build_parser("finetune", "", "", ClassificationConfig, TrainConfig)
        assert parser.parse_args(arguments).dataset == job["dataset"]


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
    shorter = {**with_seeds(0.80, 0.83), "model_name": "twice"}
    shorter["runs"][0]["config"] = {**shorter["runs"][0]["config"], "max_length": 256}
    longer = {**with_seeds(0.90, 0.92), "model_name": "twice"}
    records = {**RECORDS, "longer": longer, "shorter": shorter}
    results_table.draw(records, tmp_path / "docs" / "results.png")
    assert (tmp_path / "docs" / "results.png").read_bytes().startswith(b"\x89PNG")
    drawn = [label.get_text() for label in pyplot.gca().get_yticklabels()]
    rows = results_table.rows(records)
    assert len(set(drawn)) == len(rows)
    for label, row in zip(drawn, rows, strict=True):
        assert label.startswith(row.model)
    pyplot.close("all")


def test_our_own_bert_reaches_what_the_librarys_reached() -> None:
    """One seed of the course's job in bf16 lies within the spread of three with the library's."""
    library = RECORDS["course_finetune"]["runs"]
    own = RECORDS["course_finetune_own"]
    accuracies = [run["accuracy"] for run in library]
    assert min(accuracies) <= own["accuracy"] <= max(accuracies)
    recipe = ("num_train_epochs", "learning_rate", "batch_size", "max_length", "tail_share", "seed")
    assert {name: own["config"][name] for name in recipe} == {
        name: library[0]["config"][name] for name in recipe
    }
