"""Predictions that do not depend on batches, padding or processes."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from course_utils import data
from course_utils.evaluation import evaluate, predict_logits, score

ROOT = Path(__file__).resolve().parents[2]
collate = partial(data.collate, pad_token_id=0)


def tiny_bert(num_labels: int = 2) -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=80,
        num_labels=num_labels,
        initializer_range=0.5,
    )  # large weights: the logits differ from text to text
    return BertForSequenceClassification(config)


def random_features(count: int, seed: int = 0, max_length: int = 60) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "input_ids": rng.integers(1, 50, rng.integers(3, max_length)).tolist(),
            "labels": index % 2,
        }
        for index in range(count)
    ]


class Recorder(nn.Module):
    """A "classifier" whose logits are the length and the first id of each text;
    remembers what it was given.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.calls: list[dict[str, torch.Tensor]] = []
        self.seen: list[tuple[bool, bool, torch.dtype]] = []

    def forward(self, **inputs: torch.Tensor) -> object:
        self.calls.append(inputs)
        product = torch.ones(2, 2) @ torch.ones(2, 2)  # what autocast would make bf16
        self.seen.append((self.training, torch.is_grad_enabled(), product.dtype))
        first, length = inputs["input_ids"][:, 0], inputs["attention_mask"].sum(1)
        return type(
            "Output", (), {"logits": torch.stack([first, length], dim=1).float() + self.weight}
        )


@pytest.mark.parametrize("batch_size", [1, 4, 7, 64])
def test_logits_do_not_depend_on_batches_or_padding(batch_size: int) -> None:
    model, features = tiny_bert().eval(), random_features(23)  # 23: the last batch is uneven
    with torch.no_grad():  # one by one, with no padding at all
        alone = np.concatenate(
            [model(torch.tensor([f["input_ids"]])).logits.numpy() for f in features]
        )
    together = predict_logits(model, features, collate=collate, batch_size=batch_size)
    assert together.dtype == np.float32 and together.shape == (23, 2)
    assert (
        np.ptp(alone, axis=0).min() > 0.5
    )  # the texts differ, so that a wrong order could not pass
    assert np.abs(together - alone).max() < 1e-5


def test_batches_are_longest_first_and_order_is_kept() -> None:
    features = random_features(10)
    model = Recorder()
    logits = predict_logits(model, features, collate=collate, batch_size=4)
    assert logits.tolist() == [[f["input_ids"][0], len(f["input_ids"])] for f in features]
    lengths = [length for call in model.calls for length in call["attention_mask"].sum(1).tolist()]
    assert lengths == sorted(lengths, reverse=True)
    assert [len(call["input_ids"]) for call in model.calls] == [4, 4, 2]


def test_labels_stay_outside_the_model() -> None:
    model = Recorder()
    predict_logits(model, random_features(3), collate=collate)
    assert set(model.calls[0]) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_eval_without_gradients_and_then_restored(training: bool) -> None:
    model = Recorder().train(training)
    model.frozen = nn.Dropout().train(not training)
    predict_logits(model, random_features(3), collate=collate)
    assert model.seen == [(False, False, torch.float32)]
    assert model.training is training and model.frozen.training is not training


def test_mode_is_restored_after_an_error() -> None:
    model = tiny_bert().train()
    with pytest.raises(IndexError):
        predict_logits(
            model, [{"input_ids": [1, 99, 2]}], collate=collate
        )  # 99: beyond the vocabulary
    assert model.training


def test_training_goes_on_after_a_prediction() -> None:
    model, features = tiny_bert().train(), random_features(4)
    predict_logits(model, features, collate=collate)
    model(**collate(features)).loss.backward()
    assert model.classifier.weight.grad.abs().max() > 0


def test_autocast_of_the_accelerator_is_used() -> None:
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    accelerator, model = Accelerator(cpu=True, mixed_precision="bf16"), Recorder()
    logits = predict_logits(model, random_features(3), collate=collate, accelerator=accelerator)
    AcceleratorState._reset_state()
    assert model.seen[0][2] == torch.bfloat16
    assert logits.dtype == np.float32


def test_progress_is_shown_when_asked(capsys: pytest.CaptureFixture) -> None:
    predict_logits(Recorder(), random_features(3), collate=collate)
    assert capsys.readouterr() == ("", "")
    predict_logits(Recorder(), random_features(3), collate=collate, batch_size=2, progress=True)
    assert "2/2" in capsys.readouterr().err


def test_no_features_is_an_error() -> None:
    with pytest.raises(ValueError, match="no examples to predict; expected at least one"):
        predict_logits(Recorder(), [], collate=collate)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        predict_logits(Recorder(), random_features(1), collate=collate, batch_size=0)


def test_logits_that_are_not_finite_name_the_first_example() -> None:
    model, features = Recorder(), random_features(9)
    huge = {5: float("nan"), 7: float("inf")}

    def poison(module: nn.Module, args: tuple, output: object) -> None:
        for index, value in huge.items():
            output.logits[output.logits[:, 1] == len(features[index]["input_ids"]), 0] = value

    features[5]["input_ids"], features[7]["input_ids"] = [1] * 70, [1] * 71
    model.register_forward_hook(poison)
    with pytest.raises(
        FloatingPointError, match=r"2 of 9 examples are not finite, the first at index 5 \(\[nan"
    ):
        predict_logits(model, features, collate=collate, batch_size=2)


def test_a_model_that_is_no_classifier_is_refused() -> None:
    model = Recorder()
    model.register_forward_hook(
        lambda module, args, output: type("Output", (), {"logits": torch.zeros(3, 8, 50)})
    )
    with pytest.raises(
        ValueError, match=r"expected logits of shape \[3, num_labels\].* got \[3, 8, 50\]"
    ):
        predict_logits(model, random_features(3), collate=collate)


TWO_PROCESSES = """
import sys
sys.path[:0] = sys.argv[1:3]
import numpy as np, torch
from accelerate import Accelerator
from torch.nn.parallel import DistributedDataParallel
from test_predictions import collate, random_features, tiny_bert
from course_utils.evaluation import evaluate, predict_logits

torch.set_num_threads(1)
accelerator = Accelerator(cpu=True)
assert accelerator.num_processes == 2
model = tiny_bert()
options = {"collate": collate, "batch_size": 4, "accelerator": accelerator}
# Seven batches: four and three, the last uneven.
whole = predict_logits(model, random_features(27), **options)
wrapped = predict_logits(DistributedDataParallel(model), random_features(27), **options)
# The second process has nothing to do.
single = predict_logits(model, random_features(1), **options)
accuracy = evaluate(model, random_features(27), **options).accuracy
found = {"whole": whole, "wrapped": wrapped, "single": single, "accuracy": accuracy}
np.savez(f"{sys.argv[3]}/{accelerator.process_index}.npz", **found)
accelerator.end_training()
"""


def test_two_processes_equal_one(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO_PROCESSES, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
        str(ROOT),
        str(ROOT / "tests" / "evaluation"),
        str(tmp_path),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    model, threads = tiny_bert(), torch.get_num_threads()
    torch.set_num_threads(1)
    whole = predict_logits(model, random_features(27), collate=collate, batch_size=4)
    single = predict_logits(model, random_features(1), collate=collate, batch_size=4)
    torch.set_num_threads(threads)
    accuracy = score([f["labels"] for f in random_features(27)], whole).accuracy
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as found:
            assert np.array_equal(found["whole"], whole)
            assert np.array_equal(found["wrapped"], whole)
            assert np.array_equal(found["single"], single)
            assert found["accuracy"] == accuracy


# --- predictions that are scored ------------------------------------------------------------------


def test_evaluate_is_predict_then_score() -> None:
    model, features = tiny_bert(), random_features(301)
    found = evaluate(model, features, collate=collate, seed=3)
    logits, labels = (
        predict_logits(model, features, collate=collate),
        [feature["labels"] for feature in features],
    )
    assert found == score(labels, logits, seed=3)
    assert found.interval != score(labels, logits, seed=4).interval


def test_evaluate_needs_labels() -> None:
    with pytest.raises(ValueError, match='every feature needs "labels"'):
        evaluate(Recorder(), [{"input_ids": [1, 2]}], collate=collate)
