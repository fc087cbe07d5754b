"""The command lines: what they take and refuse, what they write,
and that no kill loses any of it.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import (
    finish,
    read_json,
    run_command_line,
    start,
    tiny_reviews,
    without_progress,
    write_reviews,
)
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from course_utils import data, finetune, predict
from course_utils.command_line import command_in_words
from course_utils.config import ClassificationConfig, TrainConfig
from course_utils.data import registry
from course_utils.tasks import classification
from course_utils.training.saved_state import newest_state

ROOT = Path(__file__).resolve().parents[2]
QUICK = [
    "--checkpoint",
    "tiny-random",
    "--num-train-epochs",
    "2",
    "--batch-size",
    "4",
    "--precision",
    "fp32",
    "--num-threads",
    "1",
    "--max-length",
    "16",
    "--learning-rate",
    "3e-3",
    "--hidden-dropout-prob",
    "0.1",
    "--average-decay",
    "0.5",
    "--validation-examples",
    "8",
]  # of 24 reviews, 16 remain: 8 updates


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    return write_reviews(tmp_path_factory.mktemp("reviews"))


@pytest.fixture(autouse=True)
def use_tiny_reviews(reviews, monkeypatch):
    monkeypatch.setattr(registry, "COURSE_FOLDER", reviews)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def run(folder, *arguments):
    return finetune.main([*QUICK, "--output-dir", str(folder), *arguments])


@pytest.fixture(scope="module")
def finished(tmp_path_factory, reviews):
    """A folder with a finished run; not to be changed."""
    folder = tmp_path_factory.mktemp("a place")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "COURSE_FOLDER", reviews)
        assert run(folder) == 0
    return folder


def explode(*_, **__):
    pytest.fail("work was done")


# --- arguments ------------------------------------------------------------------------------------


def test_help_explains_every_setting(capsys):
    with pytest.raises(SystemExit) as left:
        finetune.main(["--help"])
    assert left.value.code == 0
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    for kind in (ClassificationConfig, TrainConfig):
        for setting in fields(kind):
            assert f"--{setting.name.replace('_', '-')}" in shown
            assert f"{setting.metadata['help']} [{setting.default}]" in shown, setting.name
    assert "torchrun --standalone" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "3"], "unrecognized arguments: --epochs 3"),
        (["--num-train", "3"], "unrecognized arguments: --num-train 3"),  # no abbreviations
        (["--batch-size", "many"], "argument --batch-size: invalid int value: 'many'"),
        (
            ["--batch-size", "10", "--gradient-accumulation-steps", "4"],
            "batch_size=10 is not divisible by gradient_accumulation_steps=4",
        ),
        (["--precision", "half"], 'precision must be "auto", "fp32", "bf16" or "fp16", got "half"'),
        (["--learning-rate", "nan"], "learning_rate must be above 0, got nan"),
        (
            ["--scored-split", "validation"],
            "scored_split='validation' needs validation_examples above 0, got 0",
        ),
    ],
)
def test_wrong_arguments_end_with_usage(arguments, words, capsys):
    with pytest.raises(SystemExit) as left:
        finetune.main(arguments)
    assert left.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("usage:") and words in err


def test_the_command_is_told_without_a_path(tmp_path):
    given = [
        "--dataset",
        "imdb",
        "--output-dir",
        "/home/me/runs",
        f"--checkpoint={tmp_path}",
        "--seed=3",
        "--resume",
    ]
    assert command_in_words("finetune", given) == (
        "python -m course_utils.finetune --dataset imdb --output-dir $OUTPUT_DIR "
        "--checkpoint=$CHECKPOINT --seed=3 --resume"
    )
    assert command_in_words("finetune", ["--checkpoint", str(tmp_path), "--output-dir=out"]) == (
        "python -m course_utils.finetune --checkpoint $CHECKPOINT --output-dir=$OUTPUT_DIR"
    )
    assert command_in_words("finetune", ["--checkpoint", "owner/name"]).endswith(
        "--checkpoint owner/name"
    )


# --- a whole run ----------------------------------------------------------------------------------


def test_the_result_tells_all(finished):
    result = read_json(finished / "result.json")
    assert 0 <= result["interval"][0] <= result["accuracy"] <= result["interval"][1] <= 1
    assert 0 <= result["f1"] <= 1 and 0 <= result["baseline_accuracy"] <= 1
    expected = {
        "dataset": "course",
        "checkpoint_name": "tiny-random",
        "train_examples": 16,
        "test_examples": 24,
        "seed": 0,
        "resumed_from_steps": [],
        "scored_split": "test",
    }
    assert {name: result[name] for name in expected} == expected
    assert result["train_seconds"] > 0 and result["examples_per_second"] > 0
    assert result["peak_memory_gib"] is None or 0.1 < result["peak_memory_gib"] < 100
    assert result["config"]["learning_rate"] == 3e-3 and result["config"]["max_length"] == 16
    settings = (*fields(ClassificationConfig), *fields(TrainConfig))
    assert result["config"].keys() >= {setting.name for setting in settings}
    assert result["versions"].keys() >= {
        "python",
        "torch",
        "transformers",
        "datasets",
        "accelerate",
    }
    assert result["hardware"]["processor"] and result["precision"]["precision"] == "fp32"
    assert result["command"] == "python -m course_utils.finetune " + " ".join(
        [*QUICK, "--output-dir $OUTPUT_DIR"]
    )
    assert (
        result["metrics"]["accuracy"] == result["accuracy"]
        and result["metrics"]["num_examples"] == 24
    )
    assert sum(map(sum, result["metrics"]["confusion"])) == 24
    assert {
        name: entry["examples"] for name, entry in result["accuracy_by_phenomenon"].items()
    } == {"negation": 12, "plain": 12}
    assert [entry["step"] for entry in result["curve"]] == list(range(1, 9))
    assert [entry["step"] for entry in result["evaluations"]] == [4, 8] and result["best_step"] in (
        4,
        8,
    )


def test_nothing_that_is_written_names_a_place_on_this_machine(finished):
    places = {str(finished), str(finished.parent), str(Path.home()), str(ROOT), os.getcwd()} - {"/"}
    for file in finished.rglob("*"):
        if file.suffix == ".json":
            text = file.read_text(encoding="utf-8")
            assert not [place for place in places if place in text], file.name
            assert json.loads(text)


def test_the_folder_is_one_that_transformers_loads(finished, capsys):
    assert not [
        path.name
        for path in finished.iterdir()
        if path.name.startswith(".") or path.name == "state"
    ]
    texts = ["the film a lovely scene", "tedious", "we saw <br /> dull plot"]
    model = AutoModelForSequenceClassification.from_pretrained(finished).eval()
    tokenizer = AutoTokenizer.from_pretrained(finished)
    with torch.no_grad():
        expected = [
            model(**tokenizer(data_text, return_tensors="pt")).logits.softmax(-1)[0]
            for data_text in ("the film a lovely scene", "tedious", "we saw dull plot")
        ]
    capsys.readouterr()
    assert predict.main(["--checkpoint", str(finished), *texts]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, text, row in zip(lines, texts, expected, strict=True):
        label = model.config.id2label[int(row.argmax())]
        assert line == f"{label}  {row.max():.3f}  {text}" and label in ("neg", "pos")


def test_the_scores_are_those_of_the_saved_model(finished, reviews):
    """The loss on the test split that result.json tells, computed once more from the folder."""
    tokenizer, model = classification.load_classifier(finished)
    rows = tiny_reviews(24, seed=2)  # as write_reviews fills the test split
    found = classification.predict_probabilities(
        tokenizer, model, [row["text"] for row in rows], **classification.trained_cut(finished)
    )
    loss = -np.log([row[label["label"]] for row, label in zip(found, rows, strict=True)]).mean()
    assert read_json(finished / "result.json")["metrics"]["loss"] == pytest.approx(loss, rel=1e-5)


def test_the_same_command_again_shows_the_result_at_once(finished, monkeypatch, capsys):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in finished.iterdir()}
    monkeypatch.setattr(classification.run, "fit", explode)
    monkeypatch.setattr(classification.run.evaluation, "evaluate", explode)
    assert run(finished) == 0
    assert re.search(
        r"accuracy \d+\.\d\d % \(95 % interval .*TF-IDF baseline",
        capsys.readouterr().out,
        re.DOTALL,
    )
    assert {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in finished.iterdir()
    } == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--learning-rate", "1e-3"], "learning_rate is 0.003 there and 0.001 here"),
        (["--max-length", "12"], "max_length is 16 there and 12 here"),
        (["--seed", "1"], "seed is 0 there and 1 here"),
    ],
)
def test_the_folder_of_another_run_is_refused(arguments, words, finished, monkeypatch, capsys):
    monkeypatch.setattr(classification.run, "fit", explode)
    assert run(finished, *arguments) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "holds another run" in err and words in err


@pytest.mark.parametrize("change", ["flipped labels", "another text", "one review less"])
def test_the_run_of_other_data_is_refused(change, tmp_path, monkeypatch, capsys):
    """Even where it is finished: its result would say nothing about today's data."""
    rows = tiny_reviews(24)
    monkeypatch.setattr(registry, "COURSE_FOLDER", write_reviews(tmp_path / "before", train=rows))
    assert run(tmp_path / "run") == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    if change == "flipped labels":
        rows = [{**row, "label": 1 - row["label"]} for row in rows]
    elif change == "another text":
        rows[3]["text"] += " No."
    else:
        rows = rows[:-1]
    monkeypatch.setattr(registry, "COURSE_FOLDER", write_reviews(tmp_path / "after", train=rows))
    capsys.readouterr()
    assert run(tmp_path / "run") == 1
    err = capsys.readouterr().err
    assert "holds another run: dataset_sha256 is" in err and "delete that one" in err
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_another_checkpoint_of_the_same_name_is_another_run(finished, tmp_path, capsys):
    def copy_of(folder, scale):
        tokenizer, model = classification.load_classifier(finished)
        model.classifier.weight.data *= scale
        classification.save_classifier(folder, model, tokenizer)
        return str(folder)

    for name in ("a", "b"):
        (tmp_path / name / "start").mkdir(parents=True)
    first, second = copy_of(tmp_path / "a" / "start", 1), copy_of(tmp_path / "b" / "start", 2)
    assert run(tmp_path / "run", "--checkpoint", first) == 0
    capsys.readouterr()
    assert run(tmp_path / "run", "--checkpoint", second) == 1
    assert re.search(
        "checkpoint_sha256 is '[0-9a-f]{64}' there and '[0-9a-f]{64}' here", capsys.readouterr().err
    )
    result = read_json(tmp_path / "run" / "result.json")
    assert result["checkpoint_name"] == "start" and "--checkpoint $CHECKPOINT" in result["command"]
    assert str(tmp_path) not in (tmp_path / "run" / "result.json").read_text()
    assert str(tmp_path) not in (tmp_path / "run" / "config.json").read_text()


def test_the_shipped_checkpoint_is_the_default_wherever_one_works(tmp_path, monkeypatch):
    """From another folder; known by its name and its weights, as if its folder had been given."""
    monkeypatch.chdir(tmp_path)
    quick = QUICK[2:]  # without its --checkpoint
    assert finetune.main([*quick, "--num-train-epochs", "1", "--output-dir", "run"]) == 0
    result = read_json(tmp_path / "run" / "result.json")
    weights = ROOT / "data" / "checkpoints" / "course-bert" / "model.safetensors"
    assert (result["checkpoint_name"], result["config"]["checkpoint"]) == (
        "course-bert",
        "course-bert",
    )
    assert result["config"]["checkpoint_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (
        result["command"]
        == f"python -m course_utils.finetune {' '.join(quick)} --num-train-epochs 1 "
        "--output-dir $OUTPUT_DIR"
    )
    by_folder = [
        *quick,
        "--num-train-epochs",
        "1",
        "--checkpoint",
        str(weights.parent),
        "--output-dir",
        "run",
    ]
    monkeypatch.setattr(classification.run, "fit", explode)  # the same run: its result is there
    assert finetune.main(by_folder) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["num_hidden_layers"] == 4


def test_stopped_then_anew_then_on(tmp_path, finished, capsys):
    assert run(tmp_path, "--stop-after", "3") == 0
    assert "stopped and saved" in capsys.readouterr().out
    assert newest_state(tmp_path / "state").name == "step-00000003"
    (tmp_path / "notes.txt").write_text("mine")
    assert (
        run(tmp_path, "--no-resume", "--seed", "1", "--stop-after", "2") == 0
    )  # another run: deletes the first
    assert newest_state(tmp_path / "state").name == "step-00000002"
    assert run(tmp_path, "--no-resume", "--stop-after", "5") == 0
    assert run(tmp_path) == 0
    assert read_json(tmp_path / "result.json")["resumed_from_steps"] == [5]
    assert (tmp_path / "model.safetensors").read_bytes() == (
        finished / "model.safetensors"
    ).read_bytes()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_no_resume_of_a_finished_run_trains_again(tmp_path):
    assert run(tmp_path) == 0
    first = read_json(tmp_path / "result.json")
    assert run(tmp_path, "--no-resume", "--seed", "1") == 0
    second = read_json(tmp_path / "result.json")
    assert second["seed"] == 1 and second["curve"] != first["curve"]


# --- what goes wrong ------------------------------------------------------------------------------

ROWS = tiny_reviews(24)
BAD_REVIEWS = {
    "one class only": ({"train": [row for row in ROWS if row["label"]]}, "no example has label 0"),
    "empty texts": (
        {
            "train": [
                {**row, "text": " "} if number == 5 else row for number, row in enumerate(ROWS)
            ]
        },
        "1 of 24 texts are empty, the first at index 5",
    ),
    "labels outside the range": (
        {"train": [{**row, "label": 7} if number == 5 else row for number, row in enumerate(ROWS)]},
        "label.*7",
    ),
    "an unlabelled test": (
        {"test": [{**row, "label": -1} for row in ROWS]},
        "24 of 24 labels lie outside 0 to 1",
    ),
}


@pytest.mark.parametrize("case", BAD_REVIEWS)
@pytest.mark.parametrize("held_out", ["0", "8"])
def test_unfit_data_is_told_in_one_line_before_any_work(
    case, held_out, tmp_path, monkeypatch, capfd
):
    splits, words = BAD_REVIEWS[case]
    monkeypatch.setattr(registry, "COURSE_FOLDER", write_reviews(tmp_path / "reviews", **splits))
    monkeypatch.setattr(classification.run, "start_from", explode)
    assert run(tmp_path / "out", "--validation-examples", held_out) == 1
    out, err = capfd.readouterr()
    err = without_progress(err)
    assert (
        out == "" and err.count("\n") == 1 and err.startswith("error: ") and re.search(words, err)
    ), err


def test_a_truncated_file_is_told_in_one_line(tmp_path, monkeypatch, capfd):
    folder = write_reviews(tmp_path / "reviews")
    (folder / "train.parquet").write_bytes((folder / "train.parquet").read_bytes()[:-9])
    monkeypatch.setattr(registry, "COURSE_FOLDER", folder)
    assert run(tmp_path / "out") == 1
    assert re.fullmatch(
        r"error: .*train\.parquet is cut short.*\n", without_progress(capfd.readouterr().err)
    )


def test_a_folder_that_cannot_be_written_is_told_before_any_work(tmp_path, monkeypatch, capfd):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(data, "load_reviews", explode)
    assert run(tmp_path / "file" / "out") == 1
    err = capfd.readouterr().err
    assert re.fullmatch(r"error: .*cannot write to the output folder.*choose another.*\n", err)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--checkpoint", "no/such/place"], "neither a folder here nor a name on the Hub"),
        (
            ["--checkpoint", "course-bert"],
            "course-bert ships with the course, and this copy has no",
        ),
        (["--max-length", "9999"], "max_length=9999 exceeds the 512 positions"),
        (["--train-examples", "500"], "train_examples=500 exceeds the 16 training reviews"),
        (["--precision", "fp16"], '"fp16" needs a GPU'),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(arguments, words, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(classification.run.hardware, "find_device", lambda: "cpu")
    monkeypatch.setattr(
        classification.run.hub, "_SHIPPED", tmp_path
    )  # as where the package stands alone
    assert run(tmp_path, *arguments) == 1
    err = without_progress(capfd.readouterr().err)
    assert err.count("\n") == 1 and words in err


def test_a_run_that_diverges_ends_with_1(tmp_path, capfd):
    assert run(tmp_path, "--learning-rate", "1e30", "--max-grad-norm", "0") == 1
    assert re.search(r"error: the loss is .*take a lower learning_rate", capfd.readouterr().err)
    assert not (tmp_path / "result.json").exists()


def files_in(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("arguments", [["--resume"], ["--no-resume"]])
@pytest.mark.parametrize("records", [True, False])
def test_a_run_into_the_folder_that_it_starts_from_is_refused(
    records, arguments, finished, tmp_path, capsys
):
    """With its records (by which --no-resume would delete the weights) and without,
    as a folder from others.
    """
    start = tmp_path / "start"
    shutil.copytree(finished, start)
    for name in () if records else ("run.json", "result.json"):
        (start / name).unlink()
    before = files_in(start)
    for checkpoint in (start, f"{start}/../start/"):
        assert run(start, "--checkpoint", str(checkpoint), *arguments) == 1
        err = capsys.readouterr().err
        assert (
            err.count("\n") == 1
            and f"starts from {checkpoint} and would write over it; choose another" in err
        )
    assert files_in(start) == before


@pytest.mark.parametrize("arguments", [["--early-stopping-patience", "2"], ["--eval-steps", "3"]])
def test_evaluations_with_nothing_to_evaluate_on_are_refused(
    arguments, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(data, "load_reviews", explode)
    assert run(tmp_path / "out", "--validation-examples", "0", *arguments) == 1
    err = capsys.readouterr().err
    name, value = arguments[0].strip("-").replace("-", "_"), arguments[1]
    assert (
        err.count("\n") == 1
        and f"{name}={value}" in err
        and "set validation_examples above 0" in err
    )
    assert not (tmp_path / "out").exists()


# --- kills ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place", ["before the weights", "before the result", "before the states go"]
)
def test_a_kill_at_the_finish_loses_nothing(place, tmp_path, reviews, finished):
    arguments = [*QUICK, "--output-dir", str(tmp_path / "run")]
    log = tmp_path / "log"
    assert finish(start(run_command_line, arguments, reviews, log, place)) == -signal.SIGKILL
    assert (tmp_path / "run" / "result.json").exists() == (place == "before the states go")
    assert finish(start(run_command_line, arguments, reviews, log)) == 0, log.read_text()
    assert sorted(os.listdir(tmp_path / "run")) == sorted(os.listdir(finished))
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (
        finished / "model.safetensors"
    ).read_bytes()
    one, other = read_json(finished / "result.json"), read_json(tmp_path / "run" / "result.json")
    assert other["metrics"] == one["metrics"] and other["curve"] == one["curve"]


@pytest.mark.skipif(
    not (ROOT / "data" / "reviews" / "train.parquet").is_file(), reason="needs data/reviews"
)
@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_the_real_command_killed_and_stopped_ends_bit_for_bit(tmp_path, monkeypatch):
    """On the course's own reviews, with processes of its own: a kill, then a polite stop,
    then to the end.
    """
    monkeypatch.setattr(registry, "COURSE_FOLDER", ROOT / "data" / "reviews")
    arguments = [
        *QUICK,
        "--train-examples",
        "64",
        "--num-train-epochs",
        "6",
        "--save-steps",
        "1",
    ]  # 96 updates
    assert finetune.main([*arguments, "--output-dir", str(tmp_path / "alone")]) == 0
    folder = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "course_utils.finetune",
        *arguments,
        "--output-dir",
        str(folder),
    ]

    def begin(until_step):
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while (
            until_step
            and (newest_state(folder / "state") or Path("step-0")).name < f"step-{until_step:08d}"
        ):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.002)
        return process

    process = begin(3)
    process.kill()
    process.communicate()
    process = begin(20)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert (
        process.returncode == 130
        and "saved; start again to go on" in err
        and "Traceback" not in err
    )
    process = begin(None)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "accuracy" in out and "update" in err  # the progress bar
    assert (folder / "model.safetensors").read_bytes() == (
        tmp_path / "alone" / "model.safetensors"
    ).read_bytes()
    one, other = read_json(tmp_path / "alone" / "result.json"), read_json(folder / "result.json")
    assert other["metrics"] == one["metrics"]
    first, second = other["resumed_from_steps"]
    assert 3 <= first < 20 <= second < 96


# --- predict --------------------------------------------------------------------------------------


def test_predict_cuts_as_training_did(tmp_path, finished, capsys):
    """Trained on 16 tokens, half of them the end: what stands between does not count."""
    tokenizer, model = classification.load_classifier(finished)
    for parameter in model.parameters():
        parameter.data *= 20  # so that every word tells
    classification.save_classifier(tmp_path, model, tokenizer)
    middle, ends = "gripping " * 50, "the film and then a scene we"
    long = f"{ends} {middle} {ends}"

    def shown(text):
        assert predict.main(["--checkpoint", str(tmp_path), text]) == 0
        return capsys.readouterr().out.split()[:2]

    uncut = shown(long)
    (tmp_path / "result.json").write_bytes((finished / "result.json").read_bytes())
    assert shown(long) == shown(f"{ends} {ends}") != uncut


def test_predict_takes_any_text(finished, capsys):
    texts = [
        "😀 film",
        "这部电影很好看",
        "<script>alert(1)</script> dull",
        "dull " * 20_000,
        "two\nlines",
    ]
    assert predict.main(["--checkpoint", str(finished), *texts]) == 0
    out = capsys.readouterr().out
    assert all(
        re.fullmatch(r"(neg|pos)  [01]\.\d{3}  .{1,80}", line) for line in out.splitlines()
    ), out
    assert len(out.splitlines()) == len(texts)


def test_predict_reads_lines(finished, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", iter(["dull\n", "lovely\n"]))
    assert predict.main(["--checkpoint", str(finished)]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["dull", "lovely"]
    monkeypatch.setattr(sys, "stdin", iter([]))
    with pytest.raises(SystemExit) as left:
        predict.main(["--checkpoint", str(finished)])
    assert (
        left.value.code == 2 and "expected at least one text, got none" in capsys.readouterr().err
    )


def test_predict_tells_errors_in_one_line(finished, tmp_path, capsys):
    for arguments, words in (
        (["--checkpoint", str(finished), "dull", "<br />"], "text 1 is empty after cleaning"),
        (["--checkpoint", str(tmp_path), "dull"], "expected a fine-tuned folder"),
    ):
        assert predict.main(arguments) == 1
        err = capsys.readouterr().err
        assert err.startswith("error: ") and err.count("\n") == 1 and words in err
