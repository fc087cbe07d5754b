"""Accuracy against the number of labels, at tiny size: what is measured, what a record holds, how
it goes on. Also what a recipe builds.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from course_utils.data import registry
from experiments import finetuning
from experiments import finetuning_labels as program
from experiments.finetuning import EVERYTHING, Outcome, Recipe, Workbench, build

QUICK = [
    *("--dataset", "course", "--validation-examples", "8", "--test-examples", "8"),
    *("--max-length", "24", "--precision", "fp32", "--num-threads", "1"),
]
SMALL = ["--sizes", "4", "12", "--trial-sizes", "4", "--updates", "3"]


@pytest.fixture(autouse=True)
def tiny_world(small_reviews: Path, same_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny reviews and few seeds."""
    monkeypatch.setattr(registry, "COURSE_FOLDER", small_reviews)
    monkeypatch.setattr(program, "SEEDS", {4: 2})


def run(folder: Path, output: Path) -> int:
    """The exit status of the whole program, at tiny size."""
    return program.main(["--checkpoint", str(folder), "--output", str(output), *QUICK, *SMALL])


def measure(folder: Path, output: Path) -> dict[str, Any]:
    """The record of the whole program, at tiny size."""
    assert run(folder, output) == 0
    return json.loads(output.read_text(encoding="utf-8"))


def weights_of(folder: Path, **recipe: Any) -> dict[str, torch.Tensor]:
    model = build(Recipe(**recipe), folder)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


# --- what a recipe builds -------------------------------------------------------------------------


def test_the_body_comes_from_the_folder_and_the_head_from_the_seed(small_berts: list[Path]) -> None:
    one, again, other = (weights_of(small_berts[0], seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    changed = {name for name in one if not torch.equal(one[name], other[name])}
    assert changed == {"classifier.weight"}


def test_random_weights_take_the_shape_alone(small_berts: list[Path]) -> None:
    pretrained = weights_of(small_berts[0])
    fresh = weights_of(small_berts[0], start="random")
    assert pretrained.keys() == fresh.keys()
    for name in pretrained:
        assert pretrained[name].shape == fresh[name].shape
    name = "bert.encoder.layers.0.attention.query.weight"
    assert not torch.equal(pretrained[name], fresh[name])


@pytest.mark.parametrize(
    ("frozen", "learning"),
    [
        (0, {"embeddings", "0", "1", "pooler", "classifier"}),
        (1, {"0", "1", "pooler", "classifier"}),
        (2, {"1", "pooler", "classifier"}),
        (EVERYTHING, {"pooler", "classifier"}),
    ],
)
def test_frozen_parts_are_the_lowest(
    small_berts: list[Path], frozen: int, learning: set[str]
) -> None:
    model = build(Recipe(frozen=frozen), small_berts[0])
    names = set()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            names.add(name.removeprefix("bert.").removeprefix("encoder.layers.").split(".")[0])
    assert names == learning


def test_layers_are_taken_from_the_top_and_added_there(small_berts: list[Path]) -> None:
    whole, fewer, more = (weights_of(small_berts[0], num_layers=count) for count in (2, 1, 3))
    second = {name for name in whole if ".layers.1." in name}
    assert {name for name in whole if name not in fewer} == second
    third = {name.replace(".layers.1.", ".layers.2.") for name in second}
    assert {name for name in more if name not in whole} == third
    below = [name for name in whole if name.startswith("bert.") and name in more]
    assert below and all(torch.equal(whole[name], more[name]) for name in below)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_pooling_leaves_out_padding(small_berts: list[Path], pooling: str) -> None:
    model = build(Recipe(pooling=pooling), small_berts[0]).eval()
    ids, mask = torch.tensor([[2, 7, 9, 3]]), torch.ones(1, 4, dtype=torch.int64)
    padding = torch.zeros(1, 5, dtype=torch.int64)
    states = model.bert(ids, mask).sequence_output[0]  # [seq, hidden]
    wanted = model.classifier(states.mean(0) if pooling == "mean" else states.amax(0))
    torch.testing.assert_close(model(ids, mask).logits[0], wanted)
    padded = model(torch.cat([ids, padding], dim=1), torch.cat([mask, padding], dim=1))
    torch.testing.assert_close(padded.logits[0], wanted)


# --- labels ---------------------------------------------------------------------------------------


def test_every_start_is_measured_on_every_draw(small_berts: list[Path], tmp_path: Path) -> None:
    record = measure(small_berts[0], tmp_path / "labels.json")
    places = {(row["start"], row["train_examples"], row["seed"]) for row in record["rows"]}
    wanted = set()
    for start in ("tfidf", "tfidf, cut", "random", "course-bert"):
        wanted |= {(start, 4, 0), (start, 4, 1), (start, 12, 0)}
    assert places == wanted
    assert all(0 <= row["accuracy"] <= 1 for row in record["rows"])
    assert len(record["trials"]) == 6 and {row["train_examples"] for row in record["trials"]} == {4}
    assert str(small_berts[0]) not in json.dumps(record)


def test_the_command_measures_the_same_again(small_berts: list[Path], tmp_path: Path) -> None:
    parser = program.build_parser()
    plain = ["--checkpoint", "/tmp/bert", "--output", "/tmp/out.json"]
    start = "python -m experiments.finetuning_labels --checkpoint $CHECKPOINT --output $OUTPUT"
    assert program.command_in_words(parser, parser.parse_args(plain)) == start
    record = measure(small_berts[0], tmp_path / "labels.json")
    assert record["command"].startswith(f"{start} --dataset course --validation-examples 8 ")
    arguments = record["command"].partition("finetuning_labels ")[2].split()
    again = parser.parse_args(arguments)
    assert (again.sizes, again.trial_sizes, again.updates) == ([4, 12], [4], 3)


def test_the_rate_is_the_best_of_the_trials_on_validation(
    small_berts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = []

    def pretend(bench: Workbench, recipe: Recipe, size: int, split: str) -> Outcome:
        scored.append(split)
        accuracy = 0.9 if recipe.learning_rate == 1e-4 else 0.6
        found = type("Found", (), {"accuracy": accuracy})
        return Outcome(found, num_updates=1, train_seconds=0.0)

    monkeypatch.setattr(Workbench, "run_on_reviews", pretend)
    record = measure(small_berts[0], tmp_path / "labels.json")
    rates = {row["learning_rate"] for row in record["rows"] if "tfidf" not in row["start"]}
    assert rates == {1e-4}
    assert scored.count("validation") == len(record["trials"])
    assert scored.count("test") == 6


def test_draws_are_balanced_and_keep_off_validation_and_test(small_berts: list[Path]) -> None:
    options = program.build_parser().parse_args(
        ["--checkpoint", str(small_berts[0]), "--output", "x", *QUICK]
    )
    bench = program.make_bench(options)
    draws = [bench.draw(6, seed) for seed in (0, 0, 1)]
    assert all(sorted(draw["label"]) == [0, 0, 0, 1, 1, 1] for draw in draws)
    assert draws[0]["text"][:] == draws[1]["text"][:] != draws[2]["text"][:]
    others = {*bench.splits["validation"]["text"], *bench.splits["test"]["text"]}
    assert len(others) == 16
    for draw in draws:
        assert not set(draw["text"]) & others
    assert len(bench.draw(1000, 0)) == len(bench.splits["train"]) == 32


def test_a_record_goes_on_where_it_was(
    small_berts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "labels.json"
    whole = measure(small_berts[0], output)
    output.write_text(json.dumps({**whole, "rows": whole["rows"][:-1]}), encoding="utf-8")
    runs = []
    former = Workbench.run

    def remember(self: Workbench, *args: Any) -> Outcome:
        runs.append(1)
        return former(self, *args)

    monkeypatch.setattr(Workbench, "run", remember)
    again = measure(small_berts[0], output)
    assert len(runs) == 1
    assert [row["accuracy"] for row in again["rows"]] == [row["accuracy"] for row in whole["rows"]]


def test_another_checkpoint_is_refused(
    small_berts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(small_berts[0], tmp_path / "labels.json")
    before = (tmp_path / "labels.json").read_bytes()
    assert run(small_berts[1], tmp_path / "labels.json") == 1
    assert "holds other measurements: checkpoint_sha256 is" in capsys.readouterr().err
    assert (tmp_path / "labels.json").read_bytes() == before


def test_few_labels_are_read_until_there_were_enough_updates() -> None:
    plan = program.Plan(trial_sizes=[64, 1024], max_length=128, updates=64)
    for size, batch_size, epochs in ((16, 16, 64.0), (1024, 16, 3.0), (4096, 32, 2.0)):
        recipe = plan.recipe(size, finetuning.NAME, 3e-4, 0)
        assert (recipe.batch_size, recipe.num_train_epochs) == (batch_size, epochs)
    assert [plan.trial_size(size) for size in (16, 64, 1000, 25_000)] == [64, 64, 64, 1024]
