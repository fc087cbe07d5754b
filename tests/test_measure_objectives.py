"""The script behind notebook 07's table, run at tiny size;
and its parts, each against what it must not do.
"""

import json
import sys
from pathlib import Path

import measure_objectives
import pytest
import torch
from measure_objectives import OBJECTIVES, STRATEGIES, choose, draw_targets, repetition

from course_utils.config import BertConfig
from course_utils.models import BertForCausalLM, BertForPreTraining
from course_utils.tokenization import SPECIAL_TOKENS, WordPieceTokenizer

TOKENIZER = WordPieceTokenizer.train(
    ["The film was good. The cast was better! A slow start, a dull middle."], 60, min_frequency=1
)
CONFIG = BertConfig(
    vocab_size=TOKENIZER.vocab_size,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=64,
    initializer_range=0.5,
)
TINY = {
    "seeds": 1,
    "train_texts": 40,
    "validation_texts": 12,
    "vocab_size": 300,
    "hidden_size": 16,
    "num_updates": 6,
    "labelled_reviews": 32,
    "tested_reviews": 40,
    "finetune_epochs": 1,
    "num_generated": 2,
    "generated_tokens": 6,
    "targets_per_text": 2,
}
IDS = TOKENIZER.encode("the film was good. the cast was dull")


def model_of(kind):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(CONFIG).eval()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """The whole script, at tiny size, with what it printed left out."""
    output = tmp_path_factory.mktemp("objectives") / "record.json"
    options = [
        word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    former, threads = sys.argv, torch.get_num_threads()
    sys.argv = ["measure_objectives.py", "--output", str(output), *options]
    try:
        measure_objectives.main()
    finally:
        sys.argv = former
        torch.set_num_threads(threads)
    return output


def test_every_model_is_measured_on_the_same_targets(record):
    found = json.loads(record.read_text())
    entries = {entry["model"]: entry for entry in found["models"]}
    assert list(entries) == [*OBJECTIVES, "random weights", "TF-IDF", "lookup"]
    trained = [entries[name] for name in OBJECTIVES]
    assert {(entry["num_updates"], entry["num_targets"]) for entry in trained} == {
        (6, trained[0]["num_targets"])
    }
    for entry in [*trained, entries["TF-IDF"]]:
        assert 0 < entry["fill"]["loss"] < 20 and 0 <= entry["continue"]["guessed_right"] <= 1
    assert all(
        0 <= entry["finetuned"]["accuracy"] <= 1
        for name, entry in entries.items()
        if name != "lookup"
    )
    looked_up = entries["lookup"]
    assert all(
        0 < share < 1
        for share in (looked_up["fill"]["guessed_right"], looked_up["pairs_told_apart"])
    )
    assert all(set(entry["written"]) == {*STRATEGIES, "reviews"} for entry in trained)
    assert entries["causal"]["fill"] == entries["causal"]["continue"]
    assert entries["masked, static"]["fill"] != entries["masked, static"]["continue"]
    assert "pairs_told_apart" in entries["masked + NSP, static"]
    assert (
        found["command"].startswith("python scripts/measure_objectives.py")
        and found["hardware"]["processor"]
    )
    assert str(Path.home()) not in record.read_text()


def test_what_is_finished_is_not_run_again(record, monkeypatch):
    kept = json.loads(record.read_text())
    kept["models"] = kept["models"][:3]
    other = record.with_name("part.json")
    other.write_text(json.dumps(kept))
    asked = []
    monkeypatch.setattr(
        measure_objectives,
        "measure_one",
        lambda settings, name, seed, folder: asked.append(name) or {"model": name, "seed": seed},
    )
    settings = measure_objectives.Settings(**TINY)
    measure_objectives.measure(settings, other)
    assert asked == ["masked, dynamic", "random weights", "TF-IDF", "lookup"]
    assert [entry["model"] for entry in json.loads(other.read_text())["models"][3:]] == asked
    with pytest.raises(SystemExit, match="a record of other settings"):
        measure_objectives.measure(measure_objectives.Settings(**{**TINY, "num_updates": 7}), other)


def test_targets_are_tokens_of_the_text_and_the_same_each_time():
    examples = [{"input_ids": IDS}, {"input_ids": IDS[:4] + IDS[-1:]}]
    targets = draw_targets(examples, 5)
    assert targets == draw_targets(examples, 5)
    assert [
        len([1 for ids, _ in targets if ids == example["input_ids"]]) for example in examples
    ] == [5, 3]
    assert all(0 < place < len(ids) - 1 for ids, place in targets)


def test_a_lookup_takes_what_stood_there_most_often():
    texts = [[2, 5, 6, 7, 3], [2, 5, 8, 7, 3], [2, 5, 8, 7, 3], [2, 9, 6, 4, 3]]

    def guessed(ids, place, *windows):
        return measure_objectives.guess_by_lookup(texts, [(ids, place)], windows)

    assert (
        guessed([2, 5, 8, 7, 3], 2, (1, 1)) == 1 and guessed([2, 5, 6, 7, 3], 2, (1, 1)) == 0
    )  # 8 is commoner
    assert (
        guessed([2, 9, 6, 1, 3], 2, (1, 1)) == 0
        and guessed([2, 9, 6, 1, 3], 2, (1, 1), (1, 0)) == 1
    )
    assert guessed([2, 5, 8, 7, 3], 3, (2, 0)) == 1 and guessed([2, 5, 8, 6, 3], 3, (2, 0)) == 0
    assert guessed([1, 1, 1], 1, (2, 2)) == 0  # never seen, and nothing else to try


def test_pairs_are_told_apart_by_their_length_alone():
    short, long = {"input_ids": [2, 5, 3]}, {"input_ids": [2, 5, 5, 5, 3]}
    train = [
        {**short, "labels": 0},
        {**short, "labels": 0},
        {**short, "labels": 1},
        {**long, "labels": 1},
    ]
    held_out = [
        {**short, "labels": 0},
        {**short, "labels": 1},
        {**long, "labels": 1},
        {**long, "labels": 1},
    ]
    assert measure_objectives.pairs_by_length(train, held_out) == 3 / 4


def test_a_causal_model_is_asked_with_the_left_side_only():
    model, place = model_of(BertForCausalLM), 4
    other = [*IDS[:place], *reversed(IDS[place:])]
    with torch.no_grad():
        one, same = (
            measure_objectives.causal_logits(model, [(ids, place)]) for ids in (IDS, other)
        )
        changed = measure_objectives.causal_logits(model, [([*IDS[:3], IDS[5], *IDS[4:]], place)])
    assert torch.allclose(one, same, atol=1e-5) and not torch.allclose(one, changed, atol=1e-3)


@pytest.mark.parametrize("both_sides", [True, False])
def test_a_masked_model_does_not_see_the_answer(both_sides):
    model, place = model_of(BertForPreTraining), 4
    answers = [[*IDS[:place], token, *IDS[place + 1 :]] for token in (IDS[place], IDS[1])]
    right = [*IDS[: place + 1], IDS[1], *IDS[place + 2 :]]
    with torch.no_grad():
        one, same, moved = (
            measure_objectives.masked_logits(
                model, TOKENIZER, [(ids, place)], both_sides=both_sides
            )
            for ids in (*answers, right)
        )
    assert torch.allclose(one, same, atol=1e-5)
    assert torch.allclose(one, moved, atol=1e-5) != both_sides


def test_padding_changes_no_guess():
    part = [(IDS, 3), (IDS[:5] + IDS[-1:], 2)]
    for ask in (
        lambda part: measure_objectives.causal_logits(model_of(BertForCausalLM), part),
        lambda part: measure_objectives.masked_logits(
            model_of(BertForPreTraining), TOKENIZER, part, both_sides=True
        ),
    ):
        with torch.no_grad():
            assert torch.allclose(ask(part), torch.cat([ask(part[:1]), ask(part[1:])]), atol=1e-4)


def test_strategies_choose_what_they_promise():
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log().expand(4000, 4)
    shares = {
        name: torch.bincount(choose(logits, generator(), **strategy), minlength=4) / 4000
        for name, strategy in {
            "greedy": {"temperature": 0},
            "plain": {},
            "cold": {"temperature": 0.5},
            "two": {"top_k": 2},
            "nucleus": {"top_p": 0.6},
        }.items()
    }
    expected = {
        "greedy": [0, 1, 0, 0],
        "plain": [0.1, 0.4, 0.2, 0.3],
        "cold": [1 / 30, 16 / 30, 4 / 30, 9 / 30],
        "two": [0, 4 / 7, 0, 3 / 7],
        "nucleus": [0, 4 / 7, 0, 3 / 7],
    }
    for name, wanted in expected.items():
        assert torch.allclose(shares[name], torch.tensor(wanted, dtype=torch.float), atol=0.03), (
            name
        )


@pytest.mark.parametrize("kind", [BertForCausalLM, BertForPreTraining])
def test_writing_goes_on_from_the_start_without_special_tokens(kind):
    starts = torch.tensor([IDS[:3], IDS[:2] + IDS[4:5]])
    forbidden = [TOKENIZER.vocab[token] for token in SPECIAL_TOKENS]
    ask = measure_objectives.next_logits_of(model_of(kind), TOKENIZER)
    written = measure_objectives.write(ask, starts, 7, forbidden, 0)
    assert written.shape == (2, 10) and torch.equal(written[:, :3], starts)
    assert not torch.isin(written[:, 3:], torch.tensor(forbidden)).any()
    assert torch.equal(written, measure_objectives.write(ask, starts, 7, forbidden, 0))


def test_repetition_is_counted_within_a_text():
    assert repetition([[1, 2, 3, 4]]) == {"repeated": 0, "distinct_2": 1, "distinct_4": 1}
    assert repetition([[1, 1, 1, 1, 1]]) == pytest.approx(
        {"repeated": 0.8, "distinct_2": 0.25, "distinct_4": 0.5}
    )
    assert repetition([[1, 2], [1, 2]])["repeated"] == 0
