"""Nothing is lost: a run killed anywhere and started again ends in the very bits of one
that was left alone.
"""

import os
import random
import shutil
import signal
import time
from dataclasses import replace

import pytest
from helpers import (
    LONG_RUN,
    accuracy_on,
    compute_loss,
    finish,
    losses,
    read_json,
    same,
    start,
    tiny_config,
    tiny_features,
    tiny_fit,
    tiny_model,
    train_to_file,
    weights,
)

from course_utils.training.saved_state import newest_state

# --- kills ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert finish(start(train_to_file, folder)) == 0
    return folder


def step_of(folder):
    state = newest_state(folder / "state")
    return int(state.name.removeprefix("step-")) if state else 0


def wait_for(folder, step, process):
    deadline = time.monotonic() + 120
    while step_of(folder) < step:
        assert process.is_alive() and time.monotonic() < deadline, f"update {step} was never saved"
        time.sleep(0.001)


def assert_same_outcome(folder, uninterrupted, resumed_from):
    one, other = read_json(uninterrupted / "result.json"), read_json(folder / "result.json")
    assert (folder / "model.safetensors").read_bytes() == (
        uninterrupted / "model.safetensors"
    ).read_bytes()
    assert one["resumed_from_steps"] == [] and other["resumed_from_steps"] == resumed_from
    assert other["losses"] == one["losses"] and len(one["losses"]) == 96
    assert 7 < one["best_step"] == other["best_step"]


def test_killed_ten_times_it_ends_bit_for_bit_as_if_left_alone(uninterrupted, tmp_path):
    rng, seen = random.Random(1), []
    for place in [
        None,
        "between two files",
        None,
        "before the last file",
        None,
        None,
        "before its name",
        None,
        "before the old one goes",
        None,
    ]:
        before = step_of(tmp_path)
        if place:  # within saving
            step = before + rng.randint(2, 6)
            process = start(train_to_file, tmp_path, (step, place))
            assert finish(process) == -signal.SIGKILL
            assert step_of(tmp_path) == (
                step if place == "before the old one goes" else step - 1
            ), place
        else:  # at any time after some update
            process = start(train_to_file, tmp_path)
            wait_for(tmp_path, before + rng.randint(1, 5), process)
            time.sleep(rng.uniform(0, 0.03))
            process.kill()
            assert finish(process) == -signal.SIGKILL
        seen.append(step_of(tmp_path))
    assert finish(start(train_to_file, tmp_path)) == 0
    assert_same_outcome(tmp_path, uninterrupted, seen)


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_ends_with_130_and_loses_nothing(number, uninterrupted, tmp_path):
    config = replace(LONG_RUN, save_steps=20)
    process = start(train_to_file, tmp_path, None, config)
    wait_for(tmp_path, 20, process)
    os.kill(process.pid, number)
    assert finish(process) == 130
    step = step_of(tmp_path)
    assert 20 < step < 96 and step % 20  # saved because of the signal
    assert os.listdir(tmp_path / "state") == [f"step-{step:08d}"]
    assert finish(start(train_to_file, tmp_path)) == 0
    assert_same_outcome(tmp_path, uninterrupted, [step])


# --- stopped on purpose ---------------------------------------------------------------------------

FEATURES, HELD_OUT = tiny_features(10), accuracy_on(tiny_features(8, seed=1))
CONFIG = tiny_config(
    num_train_epochs=3, average_decay=0.7, save_steps=2, learning_rate=3e-3
)  # 9 updates


def run(folder=None, *, config=CONFIG, features=FEATURES, model=None, **options):
    model = tiny_model(dropout=0.2) if model is None else model
    return tiny_fit(
        model, features, config, output_dir=folder, **{"evaluate": HELD_OUT, **options}
    ), weights(model)


def explode(model, batch):
    pytest.fail("work was done")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("same_model", [True, False])
def test_stopped_and_resumed_equals_one_go(precision, same_model, tmp_path):
    config = replace(CONFIG, precision=precision)
    expected, final = run(config=config)
    model = tiny_model(dropout=0.2) if same_model else None
    for stop_after in (3, 4, 7):
        result, _ = run(tmp_path, config=config, stop_after=stop_after, model=model)
        assert (result.num_updates, result.finished) == (stop_after, False)
    result, resumed = run(tmp_path, config=config, model=model)
    assert result.finished and result.resumed_from_steps == [3, 4, 7]
    assert same(resumed, final)
    assert result.history == expected.history and result.best_step == expected.best_step


@pytest.mark.parametrize("stop_after", [2, 4])
def test_a_run_that_is_beyond_its_stop_does_not_go_on(stop_after, tmp_path):
    run(tmp_path, stop_after=4)
    result, _ = run(tmp_path, stop_after=stop_after, compute_loss=explode)
    assert (result.num_updates, result.finished) == (4, False)


def test_a_stop_after_the_end_is_the_end(tmp_path):
    assert run(tmp_path, stop_after=9)[0].finished
    assert run(tmp_path, stop_after=100)[0].finished


def test_a_stopped_run_holds_the_best_weights_so_far(tmp_path):
    shown = []

    def evaluate(model, accelerator):
        shown.append(weights(model))
        return {"accuracy": [0.9, 0.1, 0.1][len(shown) - 1]}

    _, left = run(tmp_path, stop_after=7, evaluate=evaluate)
    assert same(left, shown[0])


def test_a_finished_run_returns_at_once(tmp_path):
    first, final = run(tmp_path)
    again, weights_again = run(tmp_path, compute_loss=explode)
    assert again.finished and same(weights_again, final)
    assert again.history == first.history and again.resumed_from_steps == []
    assert again.train_seconds == first.train_seconds


def test_patience_survives_a_stop(tmp_path):
    """The features of an evaluation are labelled the wrong way round: the better it learns,
    the worse the score.
    """
    config = replace(CONFIG, num_train_epochs=8, early_stopping_patience=3, eval_steps=1)
    wrong = accuracy_on([{**feature, "labels": 1 - feature["labels"]} for feature in FEATURES])
    alone, final = run(config=config, evaluate=wrong, best_metric="loss")
    assert 4 < alone.num_updates < 24
    for stop_after in range(2, alone.num_updates, 2):
        run(tmp_path, config=config, evaluate=wrong, best_metric="loss", stop_after=stop_after)
    resumed, weights_resumed = run(tmp_path, config=config, evaluate=wrong, best_metric="loss")
    assert resumed.num_updates == alone.num_updates and same(weights_resumed, final)
    assert run(tmp_path, config=config, evaluate=wrong, best_metric="loss", compute_loss=explode)[
        0
    ].finished


def test_states_are_saved_by_the_clock_too(tmp_path):
    saved = []

    def loss_of(model, batch):
        saved.append(newest_state(tmp_path / "state"))
        return compute_loss(model, batch)

    run(tmp_path, config=replace(CONFIG, save_steps=0, save_minutes=1e-9), compute_loss=loss_of)
    assert [state and state.name for state in saved] == [
        None,
        *(f"step-{n:08d}" for n in range(1, 9)),
    ]
    saved.clear()
    run(tmp_path / "b", config=replace(CONFIG, save_steps=0, save_minutes=60), compute_loss=loss_of)
    assert (
        newest_state(tmp_path / "b" / "state").name == "step-00000009"
    )  # the end is saved in any case


# --- whose folder it is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"config": replace(CONFIG, learning_rate=5e-4)},
            "learning_rate is 0.003 there and 0.0005 here",
        ),
        ({"config": replace(CONFIG, num_train_epochs=4)}, "num_train_epochs is 3 there and 4 here"),
        ({"features": FEATURES[:9]}, "num_examples is 10 there and 9 here"),
        (
            {"features": FEATURES[::-1]},
            "data_sha256 is '[0-9a-f]{64}' there and '[0-9a-f]{64}' here",
        ),
        ({"identity": {"dataset": "imdb"}}, "dataset is 'course' there and 'imdb' here"),
        ({"identity": {}}, "dataset is 'course' there and None here"),
        (
            {"identity": {"dataset": "course", "max_length": 9}},
            "max_length is None there and 9 here",
        ),
    ],
)
def test_the_folder_of_another_run_is_refused(change, words, tmp_path):
    run(tmp_path, stop_after=2, identity={"dataset": "course"})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(
        ValueError, match=f"{tmp_path} holds another run: {words}; choose another folder"
    ):
        run(tmp_path, compute_loss=explode, **{"identity": {"dataset": "course"}, **change})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "bf16"},
        {"save_steps": 5},
        {"gradient_accumulation_steps": 2},
        {"num_threads": 2},
    ],
)
def test_how_to_compute_and_save_may_change(change, tmp_path):
    run(tmp_path, stop_after=3)
    result, _ = run(tmp_path, config=replace(CONFIG, **change))
    assert result.resumed_from_steps == [3] and result.num_updates == 9
    assert losses(result) == pytest.approx(losses(run()[0]), rel=0.1)


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "optimizer.safetensors",
        "average.safetensors",
        "best.safetensors",
        "progress.json",
    ],
)
def test_a_damaged_state_is_named_and_left_alone(name, tmp_path):
    run(tmp_path, stop_after=4)
    file = newest_state(tmp_path / "state") / name
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(
        ValueError, match=rf"the saved state is damaged: {file} .*; delete {file.parent} to start"
    ):
        run(tmp_path, compute_loss=explode)
    shutil.rmtree(file.parent)  # as it says
    result, resumed = run(tmp_path)
    assert result.resumed_from_steps == [] and same(resumed, run()[1])


def test_what_a_kill_left_behind_is_dropped(tmp_path):
    run(tmp_path, stop_after=2)
    shutil.copytree(
        tmp_path / "state" / "step-00000002", tmp_path / "state" / ".step-00000003.partial"
    )
    run(tmp_path)
    assert os.listdir(tmp_path / "state") == ["step-00000009"]


def test_states_that_no_record_goes_with_are_not_resumed_from(tmp_path):
    """As a deletion leaves them that was killed half-way: nobody knows any more of
    which settings they are.
    """
    run(tmp_path, stop_after=4)
    (tmp_path / "run.json").unlink()
    other = replace(CONFIG, learning_rate=5e-4)
    result, found = run(tmp_path, config=other)
    assert result.resumed_from_steps == [] and result.num_updates == 9
    assert same(found, run(config=other)[1])
