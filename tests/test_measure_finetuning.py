"""The measurements of fine-tuning, at tiny size: what each run changes, what a record holds,
and how it goes on.
"""

import json

import measure_finetuning as script
import pytest
import torch
from helpers import SHAPE, tiny_reviews, write_reviews

from course_utils.config import BertConfig
from course_utils.data import registry
from course_utils.models import BertForPreTraining, save_pretrained
from course_utils.tokenization import WordPieceTokenizer

QUICK = [
    "--dataset",
    "course",
    "--validation-examples",
    "8",
    "--test-examples",
    "8",
    "--train-examples",
    "12",
    "--max-length",
    "24",
    "--precision",
    "fp32",
    "--num-threads",
    "1",
    "--seeds",
    "2",
    "--held-out-texts",
    "8",
]
SMALL = ["--sizes", "4", "12", "--trial-sizes", "4", "--updates", "3"]


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    splits = {
        name: [
            {**row, "text": f"{row['text']} We went home. The rain fell on {name} again."}
            for row in tiny_reviews(32, seed=number)
        ]
        for number, name in enumerate(("train", "test", "unsupervised"))
    }
    return write_reviews(tmp_path_factory.mktemp("reviews"), **splits)


@pytest.fixture(autouse=True)
def tiny_world(reviews, monkeypatch):
    """Tiny reviews and few seeds; no memory of another test's bench;
    torch's threads as they were.
    """
    monkeypatch.setattr(registry, "COURSE_FOLDER", reviews)
    monkeypatch.setattr(script, "SEEDS", {4: 2})
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders with one vocabulary and weights of different seeds,
    none of which a recipe has.
    """
    made = []
    for seed in (10, 11):
        folder = tmp_path_factory.mktemp(f"bert-{seed}")
        tokenizer = WordPieceTokenizer.train(
            [row["text"] for row in tiny_reviews(40)], vocab_size=120
        )
        config = BertConfig(
            **{
                **SHAPE,
                "vocab_size": tokenizer.vocab_size,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
            }
        )
        torch.manual_seed(seed)
        save_pretrained(BertForPreTraining(config), folder)
        tokenizer.save(folder)
        made.append(folder)
    return made


def measure(job, folder, output, *more):
    script.main([job, "--checkpoint", str(folder), "--output", str(output), *QUICK, *more])
    return json.loads(output.read_text(encoding="utf-8"))


def weights_of(recipe, folder, **more):
    model = script.build(script.Recipe(**recipe, **more), folder)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


# --- what a recipe builds -------------------------------------------------------------------------


def test_the_body_comes_from_the_folder_and_the_head_from_the_seed(folders):
    one, again, other = (weights_of({}, folders[0], seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert {name for name in one if not torch.equal(one[name], other[name])} == {
        "classifier.weight"
    }


def test_random_weights_take_the_shape_alone(folders):
    pretrained, fresh = weights_of({}, folders[0]), weights_of({"start": "random"}, folders[0])
    assert {name: tensor.shape for name, tensor in pretrained.items()} == {
        name: tensor.shape for name, tensor in fresh.items()
    }
    name = "bert.encoder.layers.0.attention.query.weight"
    assert not torch.equal(pretrained[name], fresh[name])


@pytest.mark.parametrize(
    ("frozen", "learning"),
    [
        (0, {"embeddings", "0", "1", "pooler", "classifier"}),
        (1, {"0", "1", "pooler", "classifier"}),
        (2, {"1", "pooler", "classifier"}),
        (script.EVERYTHING, {"pooler", "classifier"}),
    ],
)
def test_frozen_parts_are_the_lowest(folders, frozen, learning):
    model = script.build(script.Recipe(frozen=frozen), folders[0])
    names = {
        name.removeprefix("bert.").removeprefix("encoder.layers.").split(".")[0]
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    assert names == learning


def test_layers_are_taken_from_the_top_and_added_there(folders):
    whole, fewer, more = (weights_of({"num_layers": count}, folders[0]) for count in (2, 1, 3))
    assert {name for name in whole if name not in fewer} == {
        name for name in whole if ".layers.1." in name
    }
    assert {name for name in more if name not in whole} == {
        name.replace(".layers.1.", ".layers.2.") for name in whole if ".layers.1." in name
    }
    below = [name for name in whole if name.startswith("bert.") and name in more]
    assert all(torch.equal(whole[name], more[name]) for name in below)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_pooling_leaves_out_padding(folders, pooling):
    model = script.build(script.Recipe(pooling=pooling), folders[0]).eval()
    ids, mask = torch.tensor([[2, 7, 9, 3]]), torch.ones(1, 4, dtype=torch.int64)
    padded = torch.cat([ids, torch.zeros(1, 5, dtype=torch.int64)], dim=1)
    longer = torch.cat([mask, torch.zeros(1, 5, dtype=torch.int64)], dim=1)
    states = model.bert(ids, mask).sequence_output[0]  # [seq, hidden]
    wanted = model.classifier(states.mean(0) if pooling == "mean" else states.amax(0))
    torch.testing.assert_close(model(ids, mask).logits[0], wanted)
    torch.testing.assert_close(model(padded, longer).logits[0], wanted)


# --- labels ---------------------------------------------------------------------------------------


def test_labels_measures_every_start_on_every_draw(folders, tmp_path):
    record = measure("labels", folders[0], tmp_path / "labels.json", *SMALL)
    places = {(row["start"], row["train_examples"], row["seed"]) for row in record["rows"]}
    assert places == {
        (start, *draw)
        for start in ("tfidf", "tfidf, cut", "random", "course-bert")
        for draw in ((4, 0), (4, 1), (12, 0))
    }
    assert all(0 <= row["accuracy"] <= 1 for row in record["rows"])
    assert (
        record["command"]
        == "python scripts/measure_finetuning.py labels --checkpoint $CHECKPOINT --output $OUTPUT"
    )
    assert len(record["trials"]) == 6 and {row["train_examples"] for row in record["trials"]} == {4}
    assert str(folders[0]) not in json.dumps(record)


def test_the_rate_is_the_best_of_the_trials_on_validation(folders, tmp_path, monkeypatch):
    scored = []

    def pretend(bench, recipe, size, split):
        scored.append(split)
        found = type("Found", (), {"accuracy": 0.9 if recipe.learning_rate == 1e-4 else 0.6})
        return found, type("Fitted", (), {"num_updates": 1}), 0.0

    monkeypatch.setattr(script.Bench, "run_on_reviews", pretend)
    record = measure("labels", folders[0], tmp_path / "labels.json", *SMALL)
    assert {row["learning_rate"] for row in record["rows"] if "tfidf" not in row["start"]} == {1e-4}
    assert scored.count("validation") == len(record["trials"])
    assert scored.count("test") == 6


def test_draws_are_balanced_and_keep_off_validation_and_test(folders, tmp_path):
    options = script.parse(
        ["labels", "--checkpoint", str(folders[0]), "--output", str(tmp_path / "x"), *QUICK]
    )
    bench = script.Bench(options, {"course-bert": folders[0]})
    draws = [bench.draw(6, seed) for seed in (0, 0, 1)]
    assert all(sorted(draw["label"]) == [0, 0, 0, 1, 1, 1] for draw in draws)
    assert draws[0]["text"][:] == draws[1]["text"][:] != draws[2]["text"][:]
    splits = bench.splits()
    for draw in draws:
        assert not set(draw["text"]) & {*splits["validation"]["text"], *splits["test"]["text"]}
    assert len(bench.draw(1000, 0)) == len(splits["train"]) == 32


def test_a_record_goes_on_where_it_was(folders, tmp_path, monkeypatch):
    output = tmp_path / "labels.json"
    whole = measure("labels", folders[0], output, *SMALL)
    output.write_text(json.dumps({**whole, "rows": whole["rows"][:-1]}), encoding="utf-8")
    runs = []
    former = script.Bench.run
    monkeypatch.setattr(
        script.Bench, "run", lambda self, *args: runs.append(1) or former(self, *args)
    )
    again = measure("labels", folders[0], output, *SMALL)
    assert len(runs) == 1
    assert [row["accuracy"] for row in again["rows"]] == [row["accuracy"] for row in whole["rows"]]


def test_another_checkpoint_is_refused(folders, tmp_path):
    measure("labels", folders[0], tmp_path / "labels.json", *SMALL)
    with pytest.raises(ValueError, match="holds other measurements: checkpoint_sha256 differ"):
        measure("labels", folders[1], tmp_path / "labels.json", *SMALL)


# --- choices --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def choices(folders, reviews, tmp_path_factory):
    """The record of all questions, with one earlier checkpoint; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "COURSE_FOLDER", reviews)
        threads = torch.get_num_threads()
        record = measure(
            "choices",
            folders[0],
            tmp_path_factory.mktemp("record") / "choices.json",
            "--tokens",
            "900",
            "--earlier",
            "middle",
            "500",
            str(folders[1]),
        )
        torch.set_num_threads(threads)
    return record


def test_choices_answers_every_question(choices):
    wanted = {
        (question, choice, seed)
        for question, changes in script.QUESTIONS.items()
        for choice in changes
        for seed in range(2)
        if choice not in ("early", "late")
    }  # no folder was given
    wanted |= {
        (f"further tasks{start}, rate {rate}", task, seed)
        for start in ("", ", random start")
        for rate in ("3e-05", "0.0001", "0.0003", "0.001")
        for task in ("phenomenon", "second part follows")
        for seed in range(2)
    }
    assert {(row["question"], row["choice"], row["seed"]) for row in choices["rows"]} == wanted
    assert all(0 <= row.get("accuracy", row.get("share_right")) <= 1 for row in choices["rows"])
    assert "--tokens 900 --earlier middle 500 $MIDDLE --output $OUTPUT" in choices["command"]


def test_questions_use_the_rate_in_their_name_or_the_best(choices):
    rates = {}
    for row in choices["rows"]:
        if row["question"] == "learning rate":
            rates.setdefault(row["choice"], []).append(row["accuracy"])
    best = float(max(rates, key=lambda rate: sum(rates[rate])))
    others = [row for row in choices["rows"] if "rate" not in row["question"] + row["choice"]]
    assert {row["recipe"]["learning_rate"] for row in others} == {best}
    named = [
        (row["question"].split("rate ")[1], row["recipe"]["learning_rate"])
        for row in choices["rows"]
        if ", rate" in row["question"]
    ]
    assert all(float(name) == rate for name, rate in named) and {rate for _, rate in named} == {
        3e-5,
        1e-4,
        3e-4,
        1e-3,
    }


def test_random_starts_are_random(choices):
    starts = {
        (row["question"].split(", rate")[0], row["recipe"]["start"])
        for row in choices["rows"]
        if "tasks" in row["question"]
    }
    assert starts == {("further tasks", "course-bert"), ("further tasks, random start", "random")}


def test_equal_recipes_are_run_once(choices):
    kept = [
        [row["train_seconds"], row["accuracy"]]
        for row in choices["rows"]
        if (row["question"], row["choice"])
        in (
            ("frozen layers", "none"),
            ("pooling", "[CLS] with pooler"),
            ("layers removed", "4 layers kept"),
        )
        and row["seed"] == 0
    ]
    assert len(kept) == 3 and kept[0] == kept[1] == kept[2]
    for question, rate in (("checkpoint, rate 0.0001", "1e-4"), ("checkpoint, rate 0.001", "1e-3")):
        final, of_rate = (
            [
                [row["train_seconds"], row["accuracy"]]
                for row in choices["rows"]
                if (row["question"], row["choice"]) == place
            ]
            for place in ((question, "final"), ("learning rate", rate))
        )
        assert len(final) == 2 and final == of_rate


def test_checkpoints_are_told_with_their_tokens_and_loss(choices):
    facts = {
        row["choice"]: (row["pretraining_tokens"], row["held_out_loss"])
        for row in choices["rows"]
        if row["question"] == "checkpoint, rate 0.0003"
    }
    assert {name: tokens for name, (tokens, _) in facts.items()} == {
        "random": 0,
        "middle": 500,
        "final": 900,
    }
    losses = [loss for _, loss in facts.values()]
    assert len(set(losses)) == 3 and all(
        3 < loss < 6 for loss in losses
    )  # none of them learnt: about ln 120 = 4.8


def test_further_tasks_stand_beside_a_baseline(choices):
    rows = {
        row["choice"]: row
        for row in choices["rows"]
        if row["question"] == "further tasks, rate 0.0001"
    }
    for row in rows.values():
        assert 0 <= row["baseline_accuracy"] <= 1 and 0 <= row["recall"] <= 1
        assert row["train_examples"] == row["test_examples"] == 32
        assert row["num_labels"] == 2 and row["majority_share"] >= 0.5


def test_more_than_two_labels_are_a_share(folders, tmp_path, monkeypatch):
    three = tiny_reviews(30, seed=5)
    for number, row in enumerate(three):
        row["phenomenon"] = ("plain", "irony", "contrast")[number % 3]
    monkeypatch.setattr(
        registry, "COURSE_FOLDER", write_reviews(tmp_path / "reviews", train=three, test=three)
    )
    options = script.parse(
        ["choices", "--checkpoint", str(folders[0]), "--output", str(tmp_path / "x"), *QUICK]
    )
    bench = script.Bench(options, {"course-bert": folders[0]})
    row = script.task_row(bench, script.phenomenon_examples, script.Recipe())
    assert "accuracy" not in row and 0 <= row["share_right"] <= 1
    assert row["num_labels"] == 3 and row["majority_share"] == pytest.approx(1 / 3)
