"""fit: the gradient is that of the whole batch however it is split, the best weights stay,
and errors come early.
"""

import logging
import math
import os
import signal
import threading
import time
from functools import partial
from itertools import chain

import pytest
import torch
from helpers import (
    accuracy_on,
    at_update,
    compute_loss,
    losses,
    read_json,
    recorded_gradients,
    same,
    tiny_config,
    tiny_features,
    tiny_fit,
    tiny_model,
    weights,
)
from torch.optim.optimizer import register_optimizer_step_post_hook
from transformers import BertForSequenceClassification, BertForTokenClassification

from course_utils import files, models
from course_utils.data import collate
from course_utils.training import Interrupted, hardware, saved_state

# --- gradients ------------------------------------------------------------------------------------


def in_double(kind=BertForSequenceClassification):
    """A tiny model in double precision, so that no rounding hides a wrong weighting; its weights
    are large enough for every position to matter.
    """
    return tiny_model(kind, initializer_range=0.5).double()


def gradients_of(
    features, *, steps=1, batch_size=7, kind=BertForSequenceClassification, collate=collate
):
    """The gradient and the loss of every update of one epoch."""
    model = in_double(kind)
    config = tiny_config(
        num_train_epochs=1,
        batch_size=batch_size,
        gradient_accumulation_steps=steps,
        max_grad_norm=0.0,
    )
    with recorded_gradients() as gradients:
        result = tiny_fit(model, features, config, collate=collate)
    return gradients, losses(result)


def assert_close(one, other, tolerance=1e-10):
    (gradients, values), (other_gradients, other_values) = one, other
    assert values == pytest.approx(other_values, rel=tolerance)
    assert len(gradients) == len(other_gradients)
    for step, other_step in zip(gradients, other_gradients, strict=True):
        for tensor, other_tensor in zip(step, other_step, strict=True):
            torch.testing.assert_close(tensor, other_tensor, rtol=tolerance, atol=tolerance)


TASKS = {"one label an example": {}, "one label a token": {"kind": BertForTokenClassification}}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("steps", [2, 3, 6])
def test_accumulated_gradients_are_those_of_the_full_batch(task, steps):
    """Eleven examples in batches of six: the second has five,
    which no number of parts divides evenly.
    """
    features = tiny_features(11, per_token=bool(TASKS[task]))
    whole = gradients_of(features, batch_size=6, **TASKS[task])
    assert len(whole[1]) == 2
    assert_close(gradients_of(features, steps=steps, batch_size=6, **TASKS[task]), whole)


@pytest.mark.parametrize("task", TASKS)
def test_the_gradient_is_that_of_the_plain_mean(task):
    """Against torch alone: each example by itself, unpadded,
    and the mean over all labels that count.
    """
    features = tiny_features(7, per_token=bool(TASKS[task]))
    model = in_double(**TASKS[task])
    rows = [
        (
            model(torch.tensor([f["input_ids"]])).logits.flatten(0, -2),
            torch.tensor(f["labels"]).flatten(),
        )
        for f in features
    ]
    logits, labels = (torch.cat(parts) for parts in zip(*rows, strict=True))
    loss = torch.nn.functional.cross_entropy(logits[labels != -100], labels[labels != -100])
    loss.backward()
    gradients, values = gradients_of(features, **TASKS[task])
    assert values == pytest.approx([loss.item()], rel=1e-10)
    norms, expected = (
        sorted(g.norm().item() for g in grads)
        for grads in (gradients[0], [p.grad for p in model.parameters()])
    )
    assert norms == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_padding_changes_nothing(task):
    features = tiny_features(7, per_token=bool(TASKS[task]))
    little, much = (partial(collate, multiple_of=size) for size in (1, 64))
    assert_close(
        gradients_of(features, collate=little, **TASKS[task]),
        gradients_of(features, collate=much, **TASKS[task]),
    )


def test_padding_would_change_much_without_its_mask():
    """The test above can fail: a collate that forgets the mask is found out."""

    def forgetful(features, multiple_of):
        return {
            **(batch := collate(features, multiple_of=multiple_of)),
            "attention_mask": torch.ones_like(batch["attention_mask"]),
        }

    features = tiny_features(7)
    with pytest.raises(AssertionError):
        assert_close(
            gradients_of(features, collate=partial(forgetful, multiple_of=1)),
            gradients_of(features, collate=partial(forgetful, multiple_of=64)),
            tolerance=1e-3,
        )


def test_padding_changes_no_logit():
    features, model = tiny_features(7), in_double().eval()
    with torch.no_grad():
        logits = model(
            **{k: v for k, v in collate(features, multiple_of=64).items() if k != "labels"}
        ).logits
        alone = torch.cat(
            [model(torch.tensor([feature["input_ids"]])).logits for feature in features]
        )
    torch.testing.assert_close(logits, alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 2])
def test_ignored_examples_change_nothing(steps):
    """Examples labelled -100 among the others: as if they were not there."""
    features = tiny_features(5)
    ignored = [{**feature, "labels": -100} for feature in tiny_features(3, seed=1)]
    with_ignored = gradients_of(features + ignored, batch_size=8, steps=steps)
    assert_close(with_ignored, gradients_of(features, batch_size=5))


@pytest.mark.parametrize("steps", [1, 2])
def test_a_batch_of_ignored_labels_alone_moves_nothing(steps):
    model = tiny_model()
    before = weights(model)
    features = [{**feature, "labels": -100} for feature in tiny_features(4)]
    result = tiny_fit(
        model, features, tiny_config(gradient_accumulation_steps=steps, weight_decay=0.0)
    )
    assert losses(result) == [0.0, 0.0]
    assert same(weights(model), before)


def test_gradients_are_clipped_to_the_norm():
    def largest_norm(max_grad_norm):
        with recorded_gradients() as steps:
            tiny_fit(tiny_model(), tiny_features(8), tiny_config(max_grad_norm=max_grad_norm))
        return max(math.sqrt(sum(float(g.square().sum()) for g in step)) for step in steps)

    assert largest_norm(0.0) > 0.1
    assert largest_norm(0.01) == pytest.approx(0.01, rel=1e-3)


# --- what is learned ------------------------------------------------------------------------------


def test_it_learns():
    model, features = tiny_model(), tiny_features(32)
    result = tiny_fit(
        model, features, tiny_config(num_train_epochs=12, learning_rate=5e-3, batch_size=8)
    )
    assert result.finished and result.num_updates == 48 and result.resumed_from_steps == []
    assert sum(losses(result)[:4]) / 4 > 0.6 and sum(losses(result)[-4:]) / 4 < 0.1
    assert accuracy_on(features)(model, None)["accuracy"] == 1.0
    assert not model.training
    assert result.train_seconds > 0
    assert result.examples_per_second == pytest.approx(12 * 32 / result.train_seconds)


@pytest.mark.parametrize("grouping", [True, False])
def test_every_example_comes_once_an_epoch(grouping):
    seen = []

    def noting(features):
        seen.append([feature["number"] for feature in features])
        return collate(
            [{key: feature[key] for key in ("input_ids", "labels")} for feature in features]
        )

    features = [{**feature, "number": number} for number, feature in enumerate(tiny_features(10))]
    tiny_fit(
        tiny_model(),
        features,
        tiny_config(num_train_epochs=2.5, length_grouping=grouping),
        collate=noting,
    )
    batches = seen
    assert len(batches) == 8  # two epochs of 4 + 4 + 2, and two batches more
    first, second = (sorted(chain(*batches[start : start + 3])) for start in (0, 3))
    assert first == second == list(range(10))
    assert batches[:3] != batches[3:6]


def test_the_seed_alone_decides():
    def run(**settings):
        model = tiny_model(dropout=0.3)
        tiny_fit(model, tiny_features(12), tiny_config(**settings))
        return weights(model)

    torch.manual_seed(1)
    first = run(seed=5)
    torch.manual_seed(2)
    assert same(run(seed=5), first)
    assert not same(run(seed=6), first)


@pytest.mark.parametrize("evaluated", [True, False])
def test_the_average_is_the_moving_average_of_the_weights(evaluated):
    trail, measured = [], []
    model = tiny_model()
    handle = register_optimizer_step_post_hook(lambda *_: trail.append(weights(model)))

    def evaluate(average, accelerator):
        measured.append(weights(average))
        return {"accuracy": float(len(measured))}

    try:
        tiny_fit(
            model,
            tiny_features(16),
            tiny_config(average_decay=0.8, learning_rate=0.01),
            evaluate=evaluate if evaluated else None,
        )
    finally:
        handle.remove()
    assert len(trail) == 8 and len(measured) == 2 * evaluated
    average = trail[0]
    for step in trail[1:]:
        average = {name: 0.8 * average[name] + 0.2 * tensor for name, tensor in step.items()}
    for name, tensor in model.named_parameters():
        torch.testing.assert_close(tensor.detach(), average[name], rtol=1e-5, atol=1e-7)
    assert (
        model.classifier.weight - trail[-1]["classifier.weight"]
    ).abs().max() > 0.001  # the last weights differ
    assert not evaluated or same(measured[-1], weights(model))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_average_is_what_is_measured(precision):
    """In bf16 Accelerate wraps forward, and a copied wrapper must not lead back to the
    weights in training.
    """
    batch, found = collate(tiny_features(6)), []

    @torch.no_grad()
    def evaluate(average, accelerator):
        with accelerator.autocast():
            found.append(average(batch["input_ids"], batch["attention_mask"]).logits)
            twin = tiny_model()
            models.load_tensors(twin, models.model_tensors(average))
            found.append(twin.eval()(batch["input_ids"], batch["attention_mask"]).logits.float())
        return {"accuracy": 0.0}

    config = tiny_config(
        precision=precision, average_decay=0.95, learning_rate=0.05, num_train_epochs=1
    )
    tiny_fit(tiny_model(), tiny_features(24), config, evaluate=evaluate)
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


# --- evaluation -----------------------------------------------------------------------------------


class Scripted:
    """An `evaluate` that gives the scores of a script, and keeps the weights that it was shown."""

    def __init__(self, name, scores):
        self.name, self.scores, self.weights, self.modes = name, list(scores), [], []

    def __call__(self, model, accelerator):
        self.weights.append(weights(model))
        model.eval()
        return {self.name: self.scores[len(self.weights) - 1]}


@pytest.mark.parametrize(
    ("metric", "scores", "best"),
    [
        ("accuracy", [0.5, 0.9, 0.7, 0.9], 2),
        ("loss", [0.5, 0.3, 0.4, 0.3], 2),
        ("accuracy", [0.1, 0.2, 0.3, 0.4], 4),
        ("loss", [0.9, 0.1, 0.2, math.nan], 2),
    ],
)
def test_the_best_weights_are_kept_and_put_back(metric, scores, best):
    model, evaluate = tiny_model(), Scripted(metric, scores)
    result = tiny_fit(
        model,
        tiny_features(8),
        tiny_config(num_train_epochs=4),
        evaluate=evaluate,
        best_metric=metric,
    )
    assert result.best_step == 2 * best  # two updates an epoch; of equals, the first
    assert same(weights(model), evaluate.weights[best - 1])
    assert len(evaluate.weights) == 4
    assert [(e["step"], e[f"eval_{metric}"]) for e in result.history if "loss" not in e][:2] == [
        (2, scores[0]),
        (4, scores[1]),
    ]


def test_training_goes_on_in_training_mode_after_an_evaluation():
    modes = []

    def loss_of(model, batch):
        modes.append(model.training)
        return compute_loss(model, batch)

    tiny_fit(
        tiny_model().eval(),
        tiny_features(8),
        compute_loss=loss_of,
        evaluate=Scripted("accuracy", [0, 1]),
    )
    assert modes == [True] * 4


@pytest.mark.parametrize(
    ("eval_steps", "at"), [(0, [3, 6]), (2, [2, 4, 6]), (4, [4, 6]), (100, [6])]
)
def test_evaluations_come_when_they_are_due(eval_steps, at):
    result = tiny_fit(
        tiny_model(),
        tiny_features(12),
        tiny_config(eval_steps=eval_steps),
        evaluate=Scripted("accuracy", range(9)),
    )
    assert [entry["step"] for entry in result.history if "eval_accuracy" in entry] == at


def test_patience_ends_a_run_that_gains_no_more():
    model, evaluate = tiny_model(), Scripted("accuracy", [0.5, 0.4, 0.6, 0.6, 0.5, 0.9])
    config = tiny_config(num_train_epochs=6, batch_size=8, early_stopping_patience=2)
    result = tiny_fit(model, tiny_features(8), config, evaluate=evaluate)
    assert (result.num_updates, result.best_step, result.finished) == (5, 3, True)
    assert same(weights(model), evaluate.weights[2])


def test_a_metric_that_is_missing_is_named():
    with pytest.raises(ValueError, match=r'must return "accuracy", it returned \[\'f1\'\]'):
        tiny_fit(tiny_model(), tiny_features(4), evaluate=Scripted("f1", [1]))


def test_an_error_in_evaluate_costs_no_more_than_the_update(tmp_path):
    def broken(model, accelerator):
        raise ZeroDivisionError("mine")

    config = tiny_config(save_steps=1)  # 8 examples: evaluations after updates 2 and 4
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError, match="mine"):
        tiny_fit(
            tiny_model(dropout=0.1), tiny_features(8), config, output_dir=tmp_path, evaluate=broken
        )
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    again, alone = tiny_model(dropout=0.1), tiny_model(dropout=0.1)
    whole = accuracy_on(tiny_features(6, seed=1))
    result = tiny_fit(again, tiny_features(8), config, output_dir=tmp_path, evaluate=whole)
    tiny_fit(alone, tiny_features(8), config, evaluate=whole)
    assert result.resumed_from_steps == [1]
    assert same(weights(again), weights(alone))


# --- errors ---------------------------------------------------------------------------------------


def not_a_number(model, loss):
    return loss * math.nan


def infinite(model, loss):
    return loss + math.inf


def endless_slope(model, loss):
    """A finite loss with a gradient that is not: the root at zero."""
    return loss + (model.classifier.weight * 0).square().sum().sqrt()


@pytest.mark.parametrize("action", [not_a_number, infinite, endless_slope])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_run_that_diverges_stops_before_it_saves(action, accumulation, tmp_path):
    config = tiny_config(save_steps=1, gradient_accumulation_steps=accumulation, learning_rate=0.02)
    loss_of = at_update(2 * accumulation + 1, action)
    with pytest.raises(
        FloatingPointError, match=r"nan|inf.*at update 3, learning rate 0\.01[0-9]*; take a lower"
    ):
        tiny_fit(tiny_model(), tiny_features(8), config, output_dir=tmp_path, compute_loss=loss_of)
    tensors, progress = saved_state.load_state(
        saved_state.newest_state(tmp_path / "state"), ["model", "optimizer"]
    )
    assert progress["step"] == 2
    assert all(tensor.isfinite().all() for group in tensors.values() for tensor in group.values())
    again, alone = tiny_model(), tiny_model()
    tiny_fit(again, tiny_features(8), config, output_dir=tmp_path)
    tiny_fit(alone, tiny_features(8), config)
    assert same(weights(again), weights(alone))


def exhausted(model, loss):
    return loss + torch.empty(10**15).sum()


def exhausted_gpu(model, loss):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


@pytest.mark.parametrize("action", [exhausted, exhausted_gpu])
@pytest.mark.parametrize("update", [1, 3])
def test_out_of_memory_says_what_to_make_smaller(action, update, tmp_path):
    config = tiny_config(save_steps=1, batch_size=4, gradient_accumulation_steps=1)
    with pytest.raises(
        MemoryError, match="batch_size=4, gradient_accumulation_steps=1; more of these"
    ):
        tiny_fit(
            tiny_model(),
            tiny_features(8),
            config,
            output_dir=tmp_path,
            compute_loss=at_update(update, action),
        )
    more = tiny_config(save_steps=1, batch_size=4, gradient_accumulation_steps=2)
    result = tiny_fit(
        tiny_model(), tiny_features(8), more, output_dir=tmp_path
    )  # the advice can be followed
    assert result.finished and result.resumed_from_steps == ([2] if update == 3 else [])


def test_other_errors_pass_as_they_are():
    def broken(model, loss):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        tiny_fit(tiny_model(), tiny_features(8), compute_loss=at_update(2, broken))


def test_no_examples():
    with pytest.raises(ValueError, match="no training examples; expected at least one"):
        tiny_fit(tiny_model(), [])


def explode(model, batch):
    pytest.fail("work was done")


def test_a_folder_that_cannot_be_written_is_told_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write to the output folder"):
        tiny_fit(
            tiny_model(),
            tiny_features(4),
            output_dir=tmp_path / "file" / "run",
            compute_loss=explode,
        )


# --- a good guest ---------------------------------------------------------------------------------


def test_nothing_is_printed_unless_asked_for(capfd):
    tiny_fit(tiny_model(), tiny_features(4))
    assert capfd.readouterr() == ("", "")
    tiny_fit(tiny_model(), tiny_features(4), progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "2/2" in err and "loss=" in err and "examples_per_s=" in err


@pytest.fixture
def usual_signals():
    """Python's own handlers, which a test that runs in the background may not have inherited."""
    former = (
        signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.signal(signal.SIGTERM, signal.SIG_DFL),
    )
    yield
    signal.signal(signal.SIGINT, former[0]), signal.signal(signal.SIGTERM, former[1])


def test_signal_handlers_stay_as_they_were(usual_signals):
    def mine(number, frame):
        raise AssertionError

    for handler in (mine, signal.SIG_IGN):
        signal.signal(signal.SIGTERM, handler), signal.signal(signal.SIGINT, handler)
        tiny_fit(tiny_model(), tiny_features(4))
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == (
            handler,
            handler,
        )


def test_a_signal_that_is_ignored_stays_ignored(usual_signals):
    """As under nohup, or in the background of a script."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def send(model, loss):
        signal.raise_signal(signal.SIGINT)
        return loss

    assert tiny_fit(tiny_model(), tiny_features(8), compute_loss=at_update(1, send)).finished


def test_it_works_off_the_main_thread(tmp_path):
    model, alone = tiny_model(), tiny_model()
    thread = threading.Thread(target=lambda: tiny_fit(model, tiny_features(8), output_dir=tmp_path))
    thread.start()
    thread.join()
    tiny_fit(alone, tiny_features(8))
    assert same(weights(model), weights(alone))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_update_end_and_saves(number, usual_signals, tmp_path):
    def send(model, loss):
        signal.raise_signal(number)
        return loss

    config = tiny_config(num_train_epochs=3, save_steps=100, average_decay=0.5)
    model, features = tiny_model(dropout=0.2), tiny_features(8)
    with pytest.raises(Interrupted, match="stopped after update 3, saved; start again to go on"):
        tiny_fit(model, features, config, output_dir=tmp_path, compute_loss=at_update(3, send))
    again, alone = tiny_model(dropout=0.2), tiny_model(dropout=0.2)
    result = tiny_fit(again, features, config, output_dir=tmp_path)
    tiny_fit(alone, features, config)
    assert result.resumed_from_steps == [3]
    assert same(weights(again), weights(alone))


def test_a_signal_in_the_last_update_is_not_lost(usual_signals, tmp_path):
    def send(model, loss):
        signal.raise_signal(signal.SIGINT)
        return loss

    with pytest.raises(KeyboardInterrupt, match="after update 4"):
        tiny_fit(
            tiny_model(), tiny_features(8), output_dir=tmp_path, compute_loss=at_update(4, send)
        )
    assert tiny_fit(
        tiny_model(), tiny_features(8), output_dir=tmp_path, compute_loss=explode
    ).finished


def test_a_second_signal_acts_at_once(usual_signals):
    def send_twice(model, loss):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on")

    with pytest.raises(KeyboardInterrupt) as caught:
        tiny_fit(tiny_model(), tiny_features(8), compute_loss=at_update(2, send_twice))
    assert str(caught.value) == "stopped at once; the state that was saved last is untouched"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_a_folder_an_interrupted_run_does_not_claim_to_be_saved(usual_signals):
    def send(model, loss):
        os.kill(os.getpid(), signal.SIGINT)
        return loss

    with pytest.raises(KeyboardInterrupt, match="after update 1, not saved"):
        tiny_fit(tiny_model(), tiny_features(8), compute_loss=at_update(1, send))


@pytest.mark.parametrize("order", [("bf16", "fp32", "bf16"), ("fp32", "bf16", "fp32")])
def test_a_model_can_be_trained_again_in_another_precision(order):
    model, seen = tiny_model(), []
    model.bert.register_forward_pre_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    for precision in order:
        result = tiny_fit(
            model, tiny_features(4), tiny_config(precision=precision, num_train_epochs=1)
        )
        assert result.hardware.precision == precision
    assert seen == [precision == "bf16" for precision in order]
    model(torch.tensor([[2, 7, 3]]))
    assert seen[-1] is False  # afterwards the model is a plain one
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_gradients_from_before_do_not_count():
    """As in a notebook that has just called backward by hand."""
    used, fresh = tiny_model(), tiny_model()
    compute_loss(used, collate(tiny_features(4, seed=9))).backward()
    tiny_fit(used, tiny_features(8))
    tiny_fit(fresh, tiny_features(8))
    assert same(weights(used), weights(fresh))


def test_a_failed_run_gives_the_model_back_too():
    model, seen = tiny_model(), []
    with pytest.raises(FloatingPointError):
        tiny_fit(
            model,
            tiny_features(4),
            tiny_config(precision="bf16"),
            compute_loss=at_update(1, not_a_number),
        )
    model.bert.register_forward_pre_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    tiny_fit(model, tiny_features(4), tiny_config(num_train_epochs=1))
    assert seen == [False]


def pretend_bf16_is_fast(monkeypatch):
    """A CPU whose products are faster in bf16, whatever this machine's are."""
    monkeypatch.setattr(hardware, "find_device", lambda: "cpu")
    monkeypatch.setattr(
        hardware,
        "_race",
        lambda candidates, *_: {
            candidate: 1.0 if candidate[0] == "bf16" else 2.0 for candidate in candidates
        },
    )


def test_the_choice_of_hardware_is_kept_and_told(tmp_path, monkeypatch, caplog):
    pretend_bf16_is_fast(monkeypatch)
    monkeypatch.setattr(hardware, "seconds_of_products", lambda *_: math.inf)  # so that bf16 stays
    caplog.set_level(logging.INFO)
    config = tiny_config(precision="auto", num_threads=1)
    first = tiny_fit(
        tiny_model(), tiny_features(8), config, output_dir=tmp_path, stop_after=1
    ).hardware
    assert first.precision == "bf16" and "fastest in bf16 on 1 threads" in first.reason
    assert caplog.messages == [f"computing with {first.reason}"]
    assert read_json(tmp_path / "run.json")["hardware"] == first.to_dict()
    monkeypatch.setattr(hardware, "_race", lambda *_: pytest.fail("measured again"))
    assert (
        tiny_fit(tiny_model(), tiny_features(8), config, output_dir=tmp_path, stop_after=2).hardware
        == first
    )
    other = tiny_config(precision="fp32", num_threads=1)
    asked = tiny_fit(tiny_model(), tiny_features(8), other, output_dir=tmp_path).hardware
    assert asked.precision == "fp32" and "as asked for" in asked.reason


def slow_in_bf16(seen):
    """A loss that notes the precision of each call, and takes a while in bf16: as where
    attention is slow in it.
    """

    def loss_of(model, batch):
        precision = "bf16" if getattr(model, "_original_forward", None) else "fp32"
        seen.append(precision)
        if precision == "bf16":
            time.sleep(0.25)
        return compute_loss(model, batch)

    return loss_of


@pytest.mark.parametrize("average_decay", [0.0, 0.5])
def test_bf16_that_turns_out_far_slower_is_given_up(average_decay, tmp_path, monkeypatch, caplog):
    pretend_bf16_is_fast(monkeypatch)
    config = tiny_config(
        precision="auto", num_threads=1, num_train_epochs=3, average_decay=average_decay
    )
    model, seen, evaluated = tiny_model(), [], []

    def evaluate(model, accelerator):
        evaluated.append(accelerator.mixed_precision)
        return accuracy_on(tiny_features(6))(model, accelerator)

    result = tiny_fit(
        model,
        tiny_features(8),
        config,
        output_dir=tmp_path,
        stop_after=4,
        evaluate=evaluate,
        compute_loss=slow_in_bf16(seen),
    )
    assert seen == ["bf16"] * 3 + ["fp32"] and evaluated == ["bf16", "no"]
    assert caplog.messages == [
        f"update 4: going on in fp32, as {result.hardware.reason.partition(': ')[2]}"
    ]
    assert (
        "the first updates in bf16 took" in result.hardware.reason
        and result.hardware.precision == "fp32"
    )
    assert read_json(tmp_path / "run.json")["hardware"] == result.hardware.to_dict()
    assert not hasattr(model, "_original_forward")
    resumed = tiny_fit(
        tiny_model(),
        tiny_features(8),
        config,
        output_dir=tmp_path,
        evaluate=evaluate,
        compute_loss=slow_in_bf16(seen),
    )
    assert (
        resumed.hardware == result.hardware
        and seen == ["bf16"] * 3 + ["fp32"] * 3
        and resumed.finished
    )
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_bf16_that_was_asked_for_stays(monkeypatch):
    pretend_bf16_is_fast(monkeypatch)
    seen = []
    result = tiny_fit(
        tiny_model(),
        tiny_features(16),
        tiny_config(precision="bf16"),
        compute_loss=slow_in_bf16(seen),
    )
    assert seen == ["bf16"] * 8 and result.hardware.precision == "bf16"


def test_bf16_that_is_as_fast_as_promised_stays(monkeypatch, caplog):
    pretend_bf16_is_fast(monkeypatch)
    monkeypatch.setattr(
        hardware, "seconds_of_products", lambda *_: 0.1
    )  # 0.25 s is not far too slow
    seen = []
    tiny_fit(
        tiny_model(),
        tiny_features(16),
        tiny_config(precision="auto"),
        compute_loss=slow_in_bf16(seen),
    )
    assert seen == ["bf16"] * 8 and caplog.messages == []


def test_short_updates_are_not_judged(monkeypatch, caplog):
    """On three short sentences an update is mostly what is no product, in any precision."""
    pretend_bf16_is_fast(monkeypatch)
    monkeypatch.setattr(hardware, "seconds_of_products", lambda *_: 1e-6)
    result = tiny_fit(tiny_model(), tiny_features(16), tiny_config(precision="auto", num_threads=1))
    assert result.hardware.precision == "bf16" and caplog.messages == []


def test_the_environment_is_read_when_a_run_starts(monkeypatch):
    pretend_bf16_is_fast(monkeypatch)
    monkeypatch.setenv("COURSE_PRECISION", "fp32")
    auto = tiny_config(precision="auto", num_threads=1)
    assert tiny_fit(tiny_model(), tiny_features(4), auto).hardware.precision == "fp32"
    assert (
        tiny_fit(tiny_model(), tiny_features(4), tiny_config(precision="bf16")).hardware.precision
        == "bf16"
    )
    monkeypatch.setenv("COURSE_PRECISION", "half")
    with pytest.raises(ValueError, match=r'COURSE_PRECISION must be .* got "half"'):
        tiny_fit(tiny_model(), tiny_features(4), auto)


def test_a_run_says_at_once_what_it_does(capfd, monkeypatch):
    said = []
    monkeypatch.setattr(
        hardware,
        "choose",
        lambda *args, choose=hardware.choose, **kwargs: (
            said.append(capfd.readouterr().err),
            choose(*args, **kwargs),
        )[1],
    )
    tiny_fit(tiny_model(), tiny_features(4), progress=True)
    assert (
        "choosing precision and threads" in said[0] and "training: 100%" in capfd.readouterr().err
    )


@pytest.mark.parametrize(
    "there", [{"device": "cuda", "precision": "fp16"}, {"device": "mps", "precision": "fp32"}]
)
def test_a_choice_for_another_device_is_made_anew(there, tmp_path, monkeypatch):
    """As when a run that began on a lent GPU goes on at home: with other bits, but it goes on."""
    pretend_bf16_is_fast(monkeypatch)
    monkeypatch.setattr(hardware, "_available_cores", lambda: 1)
    config = tiny_config(precision="auto", num_threads=0)
    tiny_fit(tiny_model(), tiny_features(8), config, output_dir=tmp_path, stop_after=1)
    record = read_json(tmp_path / "run.json")
    files.write_json(
        tmp_path / "run.json", {**record, "hardware": {"num_threads": 16, "reason": "", **there}}
    )
    result = tiny_fit(tiny_model(), tiny_features(8), config, output_dir=tmp_path)
    assert result.finished and result.resumed_from_steps == [1]
    assert (result.hardware.device, result.hardware.precision, result.hardware.num_threads) == (
        "cpu",
        "bf16",
        1,
    )
    assert read_json(tmp_path / "run.json")["hardware"] == result.hardware.to_dict()
