"""The program behind notebook 07's table, run at tiny size; and its parts, each against what it
must not do.
"""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from course_utils.config import BertConfig
from course_utils.models import BertForCausalLM, BertForPreTraining
from course_utils.tokenization import SPECIAL_TOKENS, WordPieceTokenizer
from experiments import guessing, objectives, writing
from experiments.guessing import Target, Window
from experiments.record import Run

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


def model_of(kind: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(CONFIG).eval()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def options_of(settings: dict[str, int]) -> list[str]:
    words = []
    for name, value in settings.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words


# --- the whole program ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the whole program writes, at tiny size."""
    output = tmp_path_factory.mktemp("objectives") / "record.json"
    threads = torch.get_num_threads()
    assert objectives.main(["--output", str(output), *options_of(TINY)]) == 0
    torch.set_num_threads(threads)
    return output


def test_every_model_is_measured_on_the_same_targets(record: Path) -> None:
    found = json.loads(record.read_text(encoding="utf-8"))
    entries = {entry["model"]: entry for entry in found["models"]}
    assert list(entries) == [*objectives.OBJECTIVES, "random weights", "TF-IDF", "lookup"]
    trained = [entries[name] for name in objectives.OBJECTIVES]
    assert {entry["num_updates"] for entry in trained} == {6}
    assert len({entry["num_targets"] for entry in trained}) == 1
    for entry in [*trained, entries["TF-IDF"]]:
        assert 0 < entry["fill"]["loss"] < 20 and 0 <= entry["continue"]["guessed_right"] <= 1
    for name, entry in entries.items():
        assert name == "lookup" or 0 <= entry["finetuned"]["accuracy"] <= 1
    assert 0 < entries["lookup"]["fill"]["guessed_right"] < 1
    assert 0 < entries["lookup"]["pairs_told_apart"] < 1
    assert all(set(entry["written"]) == {*writing.STRATEGIES, "reviews"} for entry in trained)
    assert entries["causal"]["fill"] == entries["causal"]["continue"]
    assert entries["masked, static"]["fill"] != entries["masked, static"]["continue"]
    assert "pairs_told_apart" in entries["masked + NSP, static"]
    assert found["command"].startswith(
        "python -m experiments.objectives --output $OUTPUT --seeds 1"
    )
    assert found["hardware"]["processor"]
    assert str(Path.home()) not in record.read_text(encoding="utf-8")


def test_what_is_finished_is_not_run_again(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = json.loads(record.read_text(encoding="utf-8"))
    kept["models"] = kept["models"][:3]
    other = record.with_name("part.json")
    other.write_text(json.dumps(kept), encoding="utf-8")
    asked = []

    def pretend(settings: objectives.Settings, name: str, seed: int, folder: Path) -> Run:
        asked.append(name)
        return {"model": name, "seed": seed}

    monkeypatch.setattr(objectives, "measure_one", pretend)
    settings = objectives.Settings(**TINY)
    objectives.measure(settings, objectives.open_record(settings, other, "python"))
    assert asked == ["masked, dynamic", "random weights", "TF-IDF", "lookup"]
    written = json.loads(other.read_text(encoding="utf-8"))["models"]
    assert [entry["model"] for entry in written[3:]] == asked
    changed = objectives.Settings(**{**TINY, "num_updates": 7})
    with pytest.raises(ValueError, match=r"settings\.num_updates is 6 there and 7 here"):
        objectives.open_record(changed, other, "python")


# --- guessing -------------------------------------------------------------------------------------


def test_targets_are_tokens_of_the_text_and_the_same_each_time() -> None:
    short = IDS[:4] + IDS[-1:]
    examples = [{"input_ids": IDS}, {"input_ids": short}]
    targets = guessing.draw_targets(examples, 5)
    assert targets == guessing.draw_targets(examples, 5)
    drawn = [target.ids for target in targets]
    assert (drawn.count(IDS), drawn.count(short)) == (5, 3)
    assert all(0 < target.place < len(target.ids) - 1 for target in targets)


def test_a_lookup_takes_what_stood_there_most_often() -> None:
    texts = [[2, 5, 6, 7, 3], [2, 5, 8, 7, 3], [2, 5, 8, 7, 3], [2, 9, 6, 4, 3]]

    def guessed(ids: list[int], place: int, *windows: tuple[int, int]) -> float:
        named = [Window(*window) for window in windows]
        return guessing.guess_by_lookup(texts, [Target(ids, place)], named)

    assert guessed([2, 5, 8, 7, 3], 2, (1, 1)) == 1  # 8 is commoner
    assert guessed([2, 5, 6, 7, 3], 2, (1, 1)) == 0
    assert guessed([2, 9, 6, 1, 3], 2, (1, 1)) == 0
    assert guessed([2, 9, 6, 1, 3], 2, (1, 1), (1, 0)) == 1
    assert guessed([2, 5, 8, 7, 3], 3, (2, 0)) == 1
    assert guessed([2, 5, 8, 6, 3], 3, (2, 0)) == 0
    assert guessed([1, 1, 1], 1, (2, 2)) == 0  # never seen, and nothing else to try


def test_pairs_are_told_apart_by_their_length_alone() -> None:
    short, long = {"input_ids": [2, 5, 3]}, {"input_ids": [2, 5, 5, 5, 3]}

    def labelled(pairs: list[tuple[dict, int]]) -> list[dict]:
        return [{**pair, "labels": label} for pair, label in pairs]

    train = labelled([(short, 0), (short, 0), (short, 1), (long, 1)])
    held_out = labelled([(short, 0), (short, 1), (long, 1), (long, 1)])
    assert guessing.pairs_by_length(train, held_out) == 3 / 4


def test_a_causal_model_is_asked_with_the_left_side_only() -> None:
    model, place = model_of(BertForCausalLM), 4

    def logits(ids: list[int]) -> torch.Tensor:
        with torch.no_grad():
            return guessing.causal_logits(model, [Target(ids, place)])

    one = logits(IDS)
    same = logits([*IDS[:place], *reversed(IDS[place:])])
    changed = logits([*IDS[:3], IDS[5], *IDS[4:]])
    assert torch.allclose(one, same, atol=1e-5) and not torch.allclose(one, changed, atol=1e-3)


@pytest.mark.parametrize("both_sides", [True, False])
def test_a_masked_model_does_not_see_the_answer(both_sides: bool) -> None:
    model, place = model_of(BertForPreTraining), 4

    def logits(ids: list[int]) -> torch.Tensor:
        with torch.no_grad():
            return guessing.masked_logits(
                model, TOKENIZER, [Target(ids, place)], both_sides=both_sides
            )

    one = logits(IDS)
    same = logits([*IDS[:place], IDS[1], *IDS[place + 1 :]])  # another answer
    moved = logits([*IDS[: place + 1], IDS[1], *IDS[place + 2 :]])  # another right side
    assert torch.allclose(one, same, atol=1e-5)
    assert torch.allclose(one, moved, atol=1e-5) != both_sides


@pytest.mark.parametrize("kind", [BertForCausalLM, BertForPreTraining])
def test_padding_changes_no_guess(kind: type[nn.Module]) -> None:
    model = model_of(kind)
    targets = [Target(IDS, 3), Target(IDS[:5] + IDS[-1:], 2)]

    def logits(asked: list[Target]) -> torch.Tensor:
        with torch.no_grad():
            if kind is BertForCausalLM:
                return guessing.causal_logits(model, asked)
            return guessing.masked_logits(model, TOKENIZER, asked, both_sides=True)

    apart = torch.cat([logits(targets[:1]), logits(targets[1:])])
    assert torch.allclose(logits(targets), apart, atol=1e-4)


# --- writing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        ({"temperature": 0}, [0, 1, 0, 0]),
        ({}, [0.1, 0.4, 0.2, 0.3]),
        ({"temperature": 0.5}, [1 / 30, 16 / 30, 4 / 30, 9 / 30]),
        ({"top_k": 2}, [0, 4 / 7, 0, 3 / 7]),
        ({"top_p": 0.6}, [0, 4 / 7, 0, 3 / 7]),
    ],
)
def test_strategies_choose_what_they_promise(
    strategy: dict[str, float], wanted: list[float]
) -> None:
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log().expand(4000, 4)
    chosen = writing.choose(logits, generator(), **strategy)
    shares = torch.bincount(chosen, minlength=4) / 4000
    assert torch.allclose(shares, torch.tensor(wanted, dtype=torch.float), atol=0.03)


@pytest.mark.parametrize("kind", [BertForCausalLM, BertForPreTraining])
def test_writing_goes_on_from_the_start_without_special_tokens(kind: type[nn.Module]) -> None:
    starts = torch.tensor([IDS[:3], IDS[:2] + IDS[4:5]])
    forbidden = [TOKENIZER.vocab[token] for token in SPECIAL_TOKENS]
    ask = writing.next_logits_of(model_of(kind), TOKENIZER)
    written = writing.write(ask, starts, 7, forbidden, 0)
    assert written.shape == (2, 10) and torch.equal(written[:, :3], starts)
    assert not torch.isin(written[:, 3:], torch.tensor(forbidden)).any()
    assert torch.equal(written, writing.write(ask, starts, 7, forbidden, 0))


def test_repetition_is_counted_within_a_text() -> None:
    nothing_twice = {"repeated": 0, "distinct_2": 1, "distinct_4": 1}
    assert writing.repetition([[1, 2, 3, 4]]) == nothing_twice
    assert writing.repetition([[1, 1, 1, 1, 1]]) == pytest.approx(
        {"repeated": 0.8, "distinct_2": 0.25, "distinct_4": 0.5}
    )
    assert writing.repetition([[1, 2], [1, 2]])["repeated"] == 0
