"""One choice at a time, at tiny size: that every question is answered, and by which recipe."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tiny_reviews, write_reviews

from course_utils.data import registry
from experiments import finetuning_choices as program
from experiments.finetuning import NAME, Recipe, Workbench

QUICK = [
    *("--dataset", "course", "--validation-examples", "8", "--train-examples", "12"),
    *("--max-length", "24", "--precision", "fp32", "--num-threads", "1"),
    *("--seeds", "2", "--held-out-texts", "8"),
]
Row = dict[str, Any]


@pytest.fixture(autouse=True)
def tiny_world(small_reviews: Path, same_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "COURSE_FOLDER", small_reviews)


@pytest.fixture(scope="module")
def choices(
    small_berts: list[Path], small_reviews: Path, tmp_path_factory: pytest.TempPathFactory
) -> Row:
    """The record of all questions, with one earlier checkpoint; not to be changed."""
    output = tmp_path_factory.mktemp("record") / "choices.json"
    arguments = ["--checkpoint", str(small_berts[0]), "--output", str(output), *QUICK]
    arguments += ["--tokens", "900", "--earlier", "middle", "500", str(small_berts[1])]
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "COURSE_FOLDER", small_reviews)
        assert program.main(arguments) == 0
    torch.set_num_threads(threads)
    return json.loads(output.read_text(encoding="utf-8"))


def rows_of(record: Row, question: str, choice: str | None = None) -> list[Row]:
    return [
        row
        for row in record["rows"]
        if row["question"] == question and choice in (None, row["choice"])
    ]


def test_every_question_is_answered(choices: Row) -> None:
    wanted = set()
    for question, changes in program.QUESTIONS.items():
        for choice in changes:
            if choice not in ("early", "late"):  # no folder was given
                wanted |= {(question, choice, 0), (question, choice, 1)}
    for start in ("", ", random start"):
        for rate in ("3e-05", "0.0001", "0.0003", "0.001"):
            question = f"further tasks{start}, rate {rate}"
            for task in ("phenomenon", "second part follows"):
                wanted |= {(question, task, 0), (question, task, 1)}
    assert {(row["question"], row["choice"], row["seed"]) for row in choices["rows"]} == wanted
    assert all(0 <= row.get("accuracy", row.get("share_right")) <= 1 for row in choices["rows"])


def test_the_command_names_the_earlier_weights_and_no_path(
    choices: Row, small_berts: list[Path]
) -> None:
    assert choices["command"].startswith(
        "python -m experiments.finetuning_choices --checkpoint $CHECKPOINT --tokens 900 "
        "--earlier middle 500 $MIDDLE --output $OUTPUT"
    )
    assert not any(str(folder) in json.dumps(choices) for folder in small_berts)


def test_questions_use_the_rate_in_their_name_or_the_best(choices: Row) -> None:
    accuracies: dict[str, list[float]] = {}
    for row in rows_of(choices, "learning rate"):
        accuracies.setdefault(row["choice"], []).append(row["accuracy"])
    best = float(max(accuracies, key=lambda rate: sum(accuracies[rate])))
    named, others = set(), set()
    for row in choices["rows"]:
        rate = row["recipe"]["learning_rate"]
        if ", rate" in row["question"]:
            assert float(row["question"].split("rate ")[1]) == rate
            named.add(rate)
        elif "rate" not in row["question"] + row["choice"]:
            others.add(rate)
    assert named == {3e-5, 1e-4, 3e-4, 1e-3} and others == {best}


def test_random_starts_are_random(choices: Row) -> None:
    starts = set()
    for row in choices["rows"]:
        if "tasks" in row["question"]:
            starts.add((row["question"].split(", rate")[0], row["recipe"]["start"]))
    assert starts == {("further tasks", "course-bert"), ("further tasks, random start", "random")}


def test_equal_recipes_are_run_once(choices: Row) -> None:
    def measured(question: str, choice: str) -> list[tuple[float, float]]:
        rows = rows_of(choices, question, choice)
        return [(row["train_seconds"], row["accuracy"]) for row in rows]

    kept = measured("frozen layers", "none")
    assert len(kept) == 2
    assert kept == measured("pooling", "[CLS] with pooler")
    assert kept == measured("layers removed", "4 layers kept")
    for question, rate in (("checkpoint, rate 0.0001", "1e-4"), ("checkpoint, rate 0.001", "1e-3")):
        final = measured(question, "final")
        assert len(final) == 2 and final == measured("learning rate", rate)


def test_checkpoints_are_told_with_their_tokens_and_loss(choices: Row) -> None:
    tokens, losses = {}, set()
    for row in rows_of(choices, "checkpoint, rate 0.0003"):
        tokens[row["choice"]] = row["pretraining_tokens"]
        losses.add(row["held_out_loss"])
    assert tokens == {"random": 0, "middle": 500, "final": 900}
    # none of them learned anything: about ln 120 = 4.8
    assert len(losses) == 3 and all(3 < loss < 6 for loss in losses)


def test_further_tasks_stand_beside_a_baseline(choices: Row) -> None:
    rows = rows_of(choices, "further tasks, rate 0.0001")
    assert len(rows) == 4
    for row in rows:
        assert 0 <= row["baseline_accuracy"] <= 1 and 0 <= row["recall"] <= 1
        assert row["train_examples"] == row["test_examples"] == 32
        assert row["num_labels"] == 2 and row["majority_share"] >= 0.5


def test_more_than_two_labels_are_a_share(
    small_berts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = tiny_reviews(30, seed=5)
    for number, row in enumerate(three):
        row["phenomenon"] = ("plain", "irony", "contrast")[number % 3]
    reviews = write_reviews(tmp_path / "reviews", train=three, test=three)
    monkeypatch.setattr(registry, "COURSE_FOLDER", reviews)
    bench = Workbench(
        dataset="course",
        folders={NAME: small_berts[0]},
        validation_examples=8,
        precision="fp32",
        num_threads=1,
    )
    row = program.task_row(bench, program.phenomenon_task, Recipe(), 24)
    assert "accuracy" not in row and 0 <= row["share_right"] <= 1
    assert row["num_labels"] == 3 and row["majority_share"] == pytest.approx(1 / 3)


def test_other_names_of_earlier_weights_are_refused(
    small_berts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--checkpoint", str(small_berts[0]), "--output", str(tmp_path / "x.json")]
    assert program.main([*arguments, "--earlier", "first", "5", str(small_berts[1])]) == 1
    assert "--earlier must name one of early, middle, late" in capsys.readouterr().err
