"""The speed of training, measured from end to end on a tiny model; and that the work is counted
right. No assertion on time.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertForSequenceClassification

from course_utils.data import collate
from course_utils.files import COURSE_ROOT
from course_utils.models import BertForPreTraining
from course_utils.tasks.classification import compute_loss
from course_utils.tasks.pretraining import collate_masked, masked_loss
from experiments import pretraining_speed, speed, training_speed
from experiments.speed import CONFIG, NONE

NAMES = ["ours", "tutorial", "trainer", "trainer-bf16", "ours-dropout", "trainer-bf16-none"]


def run_program(name: str, folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """The record of a program at its smallest, and what it printed. What both programs owe is
    checked here.
    """
    output = folder / "speed.json"
    small = ["--max-length", "32", "--updates", "2", "--rounds", "1", "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-m", f"experiments.{name}", *arguments, *small],
        capture_output=True,
        text=True,
        cwd=COURSE_ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    text = output.read_text(encoding="utf-8")
    assert str(folder) not in text, "the record holds a path of this machine"
    record = json.loads(text)
    seconds = {}
    for contender, entry in record["contenders"].items():
        line = rf"^{re.escape(contender)} .* \d+\.\d+$"
        assert re.search(line, done.stdout, re.MULTILINE), f"no line: {contender}"
        seconds[contender] = entry["runs"][0]["seconds"]
    for ratio in record["ratios"]:
        assert ratio["median"] == pytest.approx(seconds[ratio["other"]] / seconds[ratio["ours"]])
        assert f"{ratio['ours']} / {ratio['other']} " in done.stdout
    assert 0 < record["peak_share"]["flops"] <= record["peak_share"]["flops_with_padding"]
    return record, done.stdout


# --- fine-tuning ----------------------------------------------------------------------------------


def test_training_speed_is_measured(tmp_path: Path) -> None:
    record, _ = run_program("training_speed", tmp_path, "--checkpoint", "tiny-random")
    assert list(record["contenders"]) == NAMES
    padding = {}
    for name, entry in record["contenders"].items():
        [run] = entry["runs"]
        padding[name] = run["padding_share"]
        assert run["examples_per_second"] == pytest.approx(64 / run["seconds"])  # 2 updates of 32
        # the same reviews for all
        assert run["flops"] == record["contenders"]["ours"]["runs"][0]["flops"]
    # padded to max_length
    assert padding["tutorial"] == pytest.approx(1 - record["mean_tokens"] / 32)
    assert padding["trainer-bf16"] <= padding["trainer"] <= padding["tutorial"]
    assert len(record["ratios"]) == 6
    assert record["command"] == (
        "python -m experiments.training_speed --checkpoint tiny-random --max-length 32 "
        "--updates 2 --rounds 1 --output $OUTPUT"
    )


def test_start_weights_are_equal_and_dropout_is_not() -> None:
    arguments = ["--checkpoint", "tiny-random", "--max-length", "16", "--updates", "1"]
    setup = training_speed.make_setup(training_speed.build_parser().parse_args(arguments))
    assert len(setup.models) == 4 and len(setup.features) == 32
    for kind in (speed.OURS, speed.THEIRS):
        without, with_dropout = setup.models[f"{kind} {NONE}"], setup.models[f"{kind} {CONFIG}"]
        for name, tensor in without.state_dict().items():
            assert tensor.equal(with_dropout.state_dict()[name]), name
        for model, share in ((without, 0.0), (with_dropout, 0.1)):
            dropouts = [part for part in model.modules() if isinstance(part, torch.nn.Dropout)]
            assert {part.p for part in dropouts} == {share}
    assert model.config._attn_implementation == "sdpa"

    batch = collate(setup.features, pad_token_id=setup.tokenizer.pad_token_id)
    with torch.no_grad():
        theirs = setup.models[f"{speed.THEIRS} {NONE}"].eval()(**batch).loss
        ours = compute_loss(setup.models[f"{speed.OURS} {NONE}"].eval(), batch)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_flops_are_three_times_what_a_counter_sees_forward() -> None:
    config = BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        attn_implementation="eager",
    )
    model = BertForSequenceClassification(config)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.ones(3, 20, dtype=torch.int64))
    head = 2 * 3 * (32 * 32 + 32 * 2)  # pooler and classifier, which the formula leaves out
    assert speed.training_flops(model, [20] * 3) == 3 * (counter.get_total_flops() - head)


def test_the_command_names_no_path(tmp_path: Path) -> None:
    arguments = ["--checkpoint", str(tmp_path), "--dataset", "imdb", "--max-length", "512"]
    arguments += ["--updates", "4", "--rounds", "2", "--output", str(tmp_path / "out.json")]
    options = training_speed.build_parser().parse_args(arguments)
    assert training_speed.stored_command(options) == (
        "python -m experiments.training_speed --checkpoint $CHECKPOINT --dataset imdb "
        "--max-length 512 --updates 4 --rounds 2 --output $OUTPUT"
    )


def test_a_missing_package_is_skipped_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training_speed, "find_spec", lambda name: None)
    assert training_speed.main(["--checkpoint", "minilm"]) == 0
    said = capsys.readouterr().out
    assert "skipped" in said and training_speed.MINILM_PACKAGE in said


# --- pre-training ---------------------------------------------------------------------------------


def test_pretraining_speed_is_measured(tmp_path: Path) -> None:
    record, said = run_program("pretraining_speed", tmp_path, "--shape", "tiny")
    contenders = set(record["contenders"])
    assert contenders == {name for pair in pretraining_speed.PAIRS for name in pair}
    assert contenders > {"ours", "trainer", "trainer-bf16", "trainer-bf16-none"}
    tokens = record["mean_tokens"] * 64  # 2 updates of 32 pieces
    for entry in record["contenders"].values():
        [run] = entry["runs"]
        assert run["tokens_per_second"] == pytest.approx(tokens / run["seconds"])
        # the same pieces for all
        assert run["flops"] == record["contenders"]["ours"]["runs"][0]["flops"]
    assert record["model"]["hidden_size"] == 32 and "2 layers, hidden_size 32" in said
    assert record["dataset"] == "course"
    assert record["command"] == (
        "python -m experiments.pretraining_speed --shape tiny --max-length 32 --updates 2 "
        "--rounds 1 --output $OUTPUT"
    )


def test_pretraining_models_are_equal_but_for_dropout() -> None:
    """All kinds give the same loss without dropout, wherever ours computes its head, and none gives
    it with dropout.
    """
    arguments = ["--shape", "tiny", "--max-length", "32", "--updates", "1"]
    options = pretraining_speed.build_parser().parse_args(arguments)
    setup, tokenizer = pretraining_speed.make_setup(options)
    assert len(setup.models) == 6 and len(setup.features) == 32
    batch = collate_masked(setup.features, tokenizer, generator=torch.Generator().manual_seed(0))
    losses = {}
    for name, model in setup.models.items():
        model.train()
        torch.manual_seed(0)
        shares = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
        if name.startswith(speed.THEIRS):
            assert model.config._attn_implementation == "sdpa"
            losses[name] = model(**batch).loss.item()
        else:
            losses[name] = masked_loss(model, batch).item()
            shares |= {layer.attention.dropout_prob for layer in model.bert.encoder.layers}
        assert shares == {0.1 if name.endswith(CONFIG) else 0.0}, name
    first = f"{speed.OURS} {NONE}"
    expected = losses.pop(first)
    everywhere = pretraining_speed.loss_everywhere(setup.models[first], batch)
    assert everywhere.item() == pytest.approx(expected, rel=1e-5)
    for name, loss in losses.items():
        assert (loss == pytest.approx(expected, rel=1e-5)) == name.endswith(NONE), name


def test_pretraining_flops_are_three_times_what_a_counter_sees_forward() -> None:
    config = pretraining_speed.SHAPES["tiny"].bert(500)
    model = BertForPreTraining(config, attention="explicit")
    ids, chosen = torch.ones(20, 22, dtype=torch.int64), torch.zeros(20, 22, dtype=torch.bool)
    chosen[:, 1:4] = True  # 15 % of the 20 tokens that are not special
    with FlopCounterMode(display=False) as counter:
        model(ids, chosen=chosen)
    pooler = 2 * 20 * (32 * 32 + 32 * 2)  # with the other head; the formula leaves both out
    lengths = [22] * 20
    found = speed.training_flops(model, lengths) + pretraining_speed.head_flops(config, lengths)
    assert found == pytest.approx(3 * (counter.get_total_flops() - pooler), rel=1e-12)
