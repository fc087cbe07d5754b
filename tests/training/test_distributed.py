"""Two processes against one: the same losses at every update, the same weights,
one folder for both.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import (
    accuracy_on,
    at_update,
    losses,
    read_json,
    same,
    tiny_config,
    tiny_features,
    tiny_fit,
    tiny_model,
    weights,
    write_reviews,
)
from safetensors.torch import load_file, save_file
from transformers import BertForTokenClassification

from course_utils import files, finetune, pretrain
from course_utils.data import registry

# Thirteen examples in batches of four: the last batch has one, so the second process has none. A
# large epsilon keeps AdamW from blowing rounding errors up to full steps where the gradient is
# nothing but rounding.
SETTINGS = {"num_train_epochs": 2, "learning_rate": 3e-3, "adam_epsilon": 1e-3}
CASES = {
    "every batch full": (12, {}),
    "a process without example": (13, {}),
    "accumulated": (13, {"batch_size": 6, "gradient_accumulation_steps": 3}),
    "more parts than examples": (5, {"batch_size": 4, "gradient_accumulation_steps": 4}),
    "averaged": (13, {"average_decay": 0.8}),
    "labels a token": (13, {"gradient_accumulation_steps": 2}),
}
STOPPED = tiny_config(**SETTINGS, save_steps=3)
COMMAND = [
    "--num-train-epochs",
    "1",
    "--batch-size",
    "5",
    "--precision",
    "fp32",
    "--num-threads",
    "1",
    "--validation-examples",
    "8",
    "--max-length",
    "16",
    "--learning-rate",
    "1e-3",
]
# Texts masked by themselves alone, so that two processes mask what one would; rounding as above.
PRETRAIN = [
    "--num-train-epochs",
    "1",
    "--batch-size",
    "5",
    "--precision",
    "fp32",
    "--num-threads",
    "1",
    "--max-length",
    "16",
    "--hidden-size",
    "16",
    "--num-hidden-layers",
    "1",
    "--num-attention-heads",
    "2",
    "--intermediate-size",
    "32",
    "--vocab-size",
    "120",
    "--validation-texts",
    "8",
    "--static-masking",
    "--learning-rate",
    "1e-3",
    "--adam-epsilon",
    "1e-3",
]


def run_case(name):
    count, settings = CASES[name]
    per_token = name == "labels a token"
    model = tiny_model(BertForTokenClassification) if per_token else tiny_model()
    config = tiny_config(**{**SETTINGS, **settings})
    evaluate = None if per_token else accuracy_on(tiny_features(8, seed=1))
    result = tiny_fit(model, tiny_features(count, per_token=per_token), config, evaluate=evaluate)
    return losses(result), weights(model)


# --- what each of the two processes does (torchrun starts this file) ------------------------------


def main(folder: Path, rank: int) -> None:
    outcome = {}
    for name in CASES:
        outcome[name], tensors = run_case(name)
        save_file(tensors, folder / f"{name} {rank}.safetensors")

    tiny_fit(tiny_model(), tiny_features(13), STOPPED, output_dir=folder / "stopped", stop_after=4)
    outcome["whole with dropout"] = run_with_dropout(None) == run_with_dropout(
        folder / "dropout", 3, 5
    )
    outcome["signal"] = run_until_error(rank, signalled, folder / "signal")
    outcome["nan"] = run_until_error(rank, diverging, folder / "nan")
    registry.COURSE_FOLDER = folder / "reviews"
    outcome["command"] = finetune.main([*COMMAND, "--output-dir", str(folder / "command")])
    outcome["again"] = finetune.main([*COMMAND, "--output-dir", str(folder / "command")])
    outcome["pretrain"] = pretrain.main([*PRETRAIN, "--output-dir", str(folder / "pretrain")])
    files.write_json(folder / f"{rank}.json", outcome)


def run_with_dropout(folder, *stops):
    """The weights, as bytes, of a run with dropout, stopped and resumed now and then."""
    for stop_after in (*stops, None):
        model = tiny_model(dropout=0.3)
        result = tiny_fit(
            model, tiny_features(13), STOPPED, output_dir=folder, stop_after=stop_after
        )
    assert result.resumed_from_steps == list(stops)
    return {name: tensor.numpy().tobytes() for name, tensor in weights(model).items()}


def signalled(model, loss):
    signal.raise_signal(signal.SIGTERM)
    return loss


def diverging(model, loss):
    return loss * float("nan")


def run_until_error(rank, action, folder):
    """What a process is told when something happens at the second update in process 1 alone."""
    loss_of = at_update(2 if rank == 1 else -1, action)
    try:
        tiny_fit(
            tiny_model(),
            tiny_features(12),
            tiny_config(save_steps=1),
            output_dir=folder,
            compute_loss=loss_of,
        )
    except (KeyboardInterrupt, FloatingPointError) as error:
        return f"{type(error).__name__}: {error}"


# --- the tests ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    write_reviews(folder / "reviews")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        __file__,
        folder,
    ]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(str(Path(__file__).resolve().parents[up]) for up in (1, 2)),
    }
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", CASES)
def test_two_processes_learn_what_one_learns(name, two):
    """Within rounding: 1e-5 for a loss near 0.7, at each update."""
    expected, tensors = run_case(name)
    for rank in (0, 1):
        assert read_json(two / f"{rank}.json")[name] == pytest.approx(expected, abs=1e-5)
        found = load_file(two / f"{name} {rank}.safetensors")
        for key, tensor in tensors.items():
            torch.testing.assert_close(
                found[key], tensor, rtol=1e-3, atol=2e-5, msg=lambda text, key=key: key + text
            )
    assert same(found, load_file(two / f"{name} 0.safetensors"))


def test_one_process_goes_on_where_two_stopped(two):
    expected = losses(tiny_fit(tiny_model(), tiny_features(13), STOPPED))
    result = tiny_fit(tiny_model(), tiny_features(13), STOPPED, output_dir=two / "stopped")
    assert result.resumed_from_steps == [4] and result.finished
    assert losses(result) == pytest.approx(expected, abs=1e-5)


def test_two_processes_resume_bit_for_bit(two):
    """With dropout: each process gets its own random state back."""
    assert [read_json(two / f"{rank}.json")["whole with dropout"] for rank in (0, 1)] == [
        True,
        True,
    ]


def test_a_signal_to_one_process_stops_both_at_the_same_update(two):
    told = [read_json(two / f"{rank}.json")["signal"] for rank in (0, 1)]
    assert told == ["Interrupted: stopped after update 2, saved; start again to go on"] * 2
    assert os.listdir(two / "signal" / "state") == ["step-00000002"]


def test_a_loss_that_diverges_in_one_process_stops_both(two):
    told = [read_json(two / f"{rank}.json")["nan"] for rank in (0, 1)]
    assert all(
        "FloatingPointError: the loss is nan" in words and "at update 2" in words for words in told
    )
    assert os.listdir(two / "nan" / "state") == ["step-00000001"]


def test_the_command_line_gives_the_same_result(two, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "COURSE_FOLDER", two / "reviews")
    threads = torch.get_num_threads()
    assert finetune.main([*COMMAND, "--output-dir", str(tmp_path)]) == 0
    torch.set_num_threads(threads)
    for rank in (0, 1):
        outcome = read_json(two / f"{rank}.json")
        assert (outcome["command"], outcome["again"]) == (0, 0)
    one, other = read_json(tmp_path / "result.json"), read_json(two / "command" / "result.json")
    assert [entry["loss"] for entry in other["curve"]] == pytest.approx(
        [entry["loss"] for entry in one["curve"]], abs=2e-5
    )  # result.json keeps five digits
    assert other["metrics"]["loss"] == pytest.approx(one["metrics"]["loss"], abs=1e-4)
    for name in (
        "accuracy",
        "baseline_accuracy",
        "train_examples",
        "test_examples",
        "best_step",
        "config",
    ):
        assert other[name] == one[name], name


def test_two_processes_pretrain_as_one_does(two, tmp_path, monkeypatch):
    """By the default objective, to which two parts of the model give nothing: nobody may wait
    for their gradients.
    """
    assert [read_json(two / f"{rank}.json")["pretrain"] for rank in (0, 1)] == [0, 0]
    monkeypatch.setattr(registry, "COURSE_FOLDER", two / "reviews")
    threads = torch.get_num_threads()
    assert pretrain.main([*PRETRAIN, "--output-dir", str(tmp_path)]) == 0
    torch.set_num_threads(threads)
    one, other = read_json(tmp_path / "result.json"), read_json(two / "pretrain" / "result.json")
    assert one["config"] == other["config"] and one["config"]["objective"] == "mlm"
    assert other["num_updates"] == one["num_updates"] > 5
    assert [entry["loss"] for entry in other["curve"]] == pytest.approx(
        [entry["loss"] for entry in one["curve"]], abs=2e-5
    )  # result.json keeps five digits
    assert other["held_out"] == pytest.approx(one["held_out"], abs=1e-4)
    assert (tmp_path / "vocab.txt").read_bytes() == (two / "pretrain" / "vocab.txt").read_bytes()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(os.environ["RANK"]))
