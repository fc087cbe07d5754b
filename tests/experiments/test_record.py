"""What all records share: where they come from, going on, merging, and the stored command."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from experiments import merge_seeds as program
from experiments import record as records
from experiments.command_line import command_in_words, exit_status, make_parser
from experiments.record import Record, merge_seeds, origin, write_record

HERE = {
    "command": "python -m experiments.toy --output $OUTPUT",
    "date": "2026-12-01",
    "hardware": {"processor": "A"},
    "versions": {"python": "3.11"},
}
IDENTITY = {"dataset": "course", "settings": {"sizes": (1, 2)}}


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def open_record(path: Path, **changes: Any) -> Record:
    parts = {"identity": IDENTITY, "origin": HERE, "notes": {"note": "a toy"}, **changes}
    return Record(path, **parts)


# --- where numbers come from ----------------------------------------------------------------------


def test_the_origin_names_command_date_machine_and_versions() -> None:
    found = origin("python -m experiments.toy", ["torch"])
    assert found["command"] == "python -m experiments.toy"
    assert len(found["date"]) == 10 and found["hardware"]["processor"]
    assert list(found["versions"]) == ["python", "torch"] and all(found["versions"].values())


def test_a_record_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new folder" / "toy.json"
    write_record(path, {"accuracy": 0.5})
    with pytest.raises(TypeError):
        write_record(path, {"accuracy": object()})
    assert read(path) == {"accuracy": 0.5} and len(list(path.parent.iterdir())) == 1


# --- growing run by run ---------------------------------------------------------------------------


def test_the_file_is_whole_after_every_run(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    record = open_record(path)
    assert not path.exists()  # nothing was measured yet
    for seed in range(3):
        record.add("runs", {"seed": seed, "accuracy": 0.5})
        found = read(path)
        assert [run["seed"] for run in found["runs"]] == list(range(seed + 1))
        assert found["note"] == "a toy" and found["settings"] == {"sizes": [1, 2]}
        assert {name: found[name] for name in HERE} == HERE
    assert "continued_on" not in found


def test_a_record_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    open_record(path).add("runs", {"seed": 0, "accuracy": 0.5})
    again = open_record(path, notes={"note": "reworded"}, origin={**HERE, "command": "python x"})
    assert again.find("runs", seed=0) == [{"seed": 0, "accuracy": 0.5}]
    assert again.find("runs", seed=1) == [] == again.find("trials", seed=0)
    again.add("runs", {"seed": 1, "accuracy": 0.75})
    found = read(path)
    assert len(found["runs"]) == 2
    assert (found["note"], found["command"]) == ("reworded", "python x")


def test_another_machine_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    open_record(path).add("runs", {"seed": 0})
    there = {**HERE, "date": "2026-12-02", "hardware": {"processor": "B"}}
    moved = open_record(path, origin=there)
    moved.add("runs", {"seed": 1})
    moved.add("runs", {"seed": 2})
    open_record(path, origin=there).add("runs", {"seed": 3})
    found = read(path)
    assert found["hardware"] == HERE["hardware"]
    stay = {name: there[name] for name in ("date", "hardware", "versions")}
    assert found["continued_on"] == [stay] and found["date"] == "2026-12-02"


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        ({**IDENTITY, "dataset": "imdb"}, "dataset is 'course' there and 'imdb' here"),
        (
            {**IDENTITY, "settings": {"sizes": [1, 3]}},
            r"settings.sizes is \[1, 2\] there and \[1, 3\] here",
        ),
        ({**IDENTITY, "seeds": 3}, "seeds is None there and 3 here"),
    ],
)
def test_a_record_of_other_measurements_is_refused(
    tmp_path: Path, identity: dict[str, Any], words: str
) -> None:
    path = tmp_path / "toy.json"
    open_record(path).add("runs", {"seed": 0})
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"holds other measurements: {words}"):
        open_record(path, identity=identity)
    assert path.read_bytes() == before


# --- several seeds --------------------------------------------------------------------------------


def run_of(seed: int, **changes: Any) -> dict[str, Any]:
    config = {"seed": seed, "max_length": 512, "precision": "bf16", "num_threads": 2}
    run = {
        "dataset": "imdb",
        "checkpoint_name": "course-bert",
        "scored_split": "test",
        "seed": seed,
        "accuracy": 0.9,
        "config": config,
    }
    return {**run, **changes}


def test_seeds_become_one_record_in_their_order() -> None:
    runs = [run_of(2), run_of(0), run_of(1)]
    runs[0]["config"]["precision"] = "fp32"  # how a machine computes is no other recipe
    assert merge_seeds(runs) == {
        "dataset": "imdb",
        "checkpoint_name": "course-bert",
        "runs": [runs[1], runs[2], runs[0]],
    }


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([], "expected at least one run"),
        ([run_of(1), run_of(1)], "two runs have seed 1"),
        ([run_of(0), run_of(1, dataset="course")], "dataset is 'imdb' in the first and 'course'"),
        ([run_of(0), run_of(1, scored_split="validation")], "scored_split is 'test'"),
        ([run_of(0), run_of(1, config={"max_length": 256})], "config.max_length is 512 in the"),
    ],
)
def test_other_runs_are_not_merged(runs: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        merge_seeds(runs)


def test_finished_folders_are_merged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = []
    for seed in range(2):
        folder = tmp_path / f"run-{seed}"
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps(run_of(seed)), encoding="utf-8")
        folders.append(str(folder))
    output = tmp_path / "imdb_toy.json"
    arguments = [*folders, "--model-name", "BERT, a toy", "--output", str(output)]
    assert program.main(arguments) == 0
    found = read(output)
    assert found["model_name"] == "BERT, a toy" and len(found["runs"]) == 2

    assert program.main([str(tmp_path), "--output", str(output)]) == 1
    assert "result.json does not exist; expected the folder of" in capsys.readouterr().err
    assert read(output) == found


def test_the_stored_seeds_could_have_been_merged_so() -> None:
    for name in ("imdb_course_bert", "course_finetune"):
        runs = read(records.RESULTS / f"{name}.json")["runs"]
        assert len(runs) == 3 and merge_seeds(runs)["runs"] == runs


# --- the stored command ---------------------------------------------------------------------------


def toy_parser() -> argparse.ArgumentParser:
    parser = make_parser("toy", "A toy.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--earlier", nargs=2, action="append", default=[])
    parser.add_argument("--question")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--work-dir", type=Path)
    parser.add_argument("--output", type=Path)
    return parser


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ""),
        (["--seeds", "3", "--sizes", "1", "2"], ""),
        (["--output", "/tmp/x.json", "--seeds", "4"], " --seeds 4 --output $OUTPUT"),
        (["--sizes", "8", "16", "--quick"], " --sizes 8 16 --quick"),
        (["--question", "learning rate"], " --question 'learning rate'"),
        (["--earlier", "a", "1", "--earlier", "b", "2"], " --earlier a 1 --earlier b 2"),
    ],
)
def test_the_command_holds_what_differs_from_the_defaults(arguments: list[str], words: str) -> None:
    parser = toy_parser()
    command = command_in_words(parser, parser.parse_args(arguments))
    assert command == f"python -m experiments.toy{words}"


def test_paths_and_what_changes_no_number_stay_out_of_the_command() -> None:
    parser = toy_parser()
    options = parser.parse_args(
        ["--earlier", "a", "/tmp/a", "--work-dir", "/tmp/w", "--output", "/tmp/x"]
    )
    command = command_in_words(
        parser, options, shown={"earlier": [["a", "$A"]]}, leave_out=("work_dir",)
    )
    assert command == "python -m experiments.toy --earlier a $A --output $OUTPUT"


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ValueError("expected a toy, got none")

    assert exit_status(fail) == 1
    assert capsys.readouterr().err == "error: expected a toy, got none\n"
    assert exit_status(lambda: None) == 0 and exit_status(lambda: 3) == 3
