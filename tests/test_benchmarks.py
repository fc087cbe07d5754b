"""The benchmark runs from end to end on a tiny model, and counts right. No assertion on time."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertForSequenceClassification

from course_utils.models import BertForPreTraining
from course_utils.tasks.pretraining import collate_masked, masked_loss

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "benchmarks"
NAMES = ["ours", "tutorial", "trainer", "trainer-bf16", "ours-dropout", "trainer-bf16-none"]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("bench_training")


@pytest.fixture
def pretraining(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("bench_pretraining")


def run_script(name: str, folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """The record of a benchmark at its smallest, and what it printed;
    what both of them owe is checked here.
    """
    output = folder / "speed.json"
    command = [
        sys.executable,
        str(FOLDER / name),
        *arguments,
        "--max-length",
        "32",
        "--updates",
        "2",
        "--rounds",
        "1",
        "--output",
        str(output),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(output.read_text(encoding="utf-8"))
    assert str(folder) not in output.read_text(encoding="utf-8"), (
        "the record holds a path of this machine"
    )
    for contender in record["contenders"]:
        assert re.search(rf"^{re.escape(contender)} .* \d+\.\d+$", done.stdout, re.MULTILINE), (
            f"no line: {contender}"
        )
    seconds = {
        contender: entry["runs"][0]["seconds"] for contender, entry in record["contenders"].items()
    }
    for ratio in record["ratios"]:
        assert ratio["median"] == pytest.approx(seconds[ratio["other"]] / seconds[ratio["ours"]])
        assert f"{ratio['ours']} / {ratio['other']} " in done.stdout
    assert 0 < record["peak_share"]["flops"] <= record["peak_share"]["flops_with_padding"]
    return record, done.stdout


def test_smoke(tmp_path: Path) -> None:
    record, _ = run_script("bench_training.py", tmp_path, "--checkpoint", "tiny-random")
    assert list(record["contenders"]) == NAMES
    padding = {}
    for name, entry in record["contenders"].items():
        [run] = entry["runs"]
        padding[name] = run["padding_share"]
        assert run["examples_per_second"] == pytest.approx(64 / run["seconds"])  # 2 updates of 32
        assert (
            run["flops"] == record["contenders"]["ours"]["runs"][0]["flops"]
        )  # the same reviews for all
    assert padding["tutorial"] == pytest.approx(
        1 - record["mean_tokens"] / 32
    )  # padded to max_length
    assert padding["trainer-bf16"] <= padding["trainer"] <= padding["tutorial"]
    assert len(record["ratios"]) == 6


def test_start_weights_are_equal_and_dropout_is_not(bench: ModuleType) -> None:
    setup = bench.make_setup(
        SimpleNamespace(checkpoint="tiny-random", dataset="course", max_length=16, updates=1)
    )
    without, with_dropout = setup.models[bench.NONE], setup.models[bench.CONFIG]
    for name, tensor in without.state_dict().items():
        assert tensor.equal(with_dropout.state_dict()[name]), name
    for model, share in ((without, 0.0), (with_dropout, 0.1)):
        assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {
            share
        }
        assert model.config._attn_implementation == "sdpa"
    assert len(setup.features) == 32


def test_flops_are_three_times_what_a_counter_sees_forward(bench: ModuleType) -> None:
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
    assert bench.training_flops(model, [20] * 3) == 3 * (counter.get_total_flops() - head)


def test_pretraining_smoke(tmp_path: Path, pretraining: ModuleType) -> None:
    record, said = run_script(
        "bench_pretraining.py", tmp_path, "--shape", "tiny", "--dataset", "course"
    )
    names = {"ours", "trainer", "trainer-bf16", "trainer-bf16-none"}
    assert (
        names < set(record["contenders"]) == {name for pair in pretraining.PAIRS for name in pair}
    )
    tokens = record["mean_tokens"] * 64  # 2 updates of 32 pieces
    for entry in record["contenders"].values():
        [run] = entry["runs"]
        assert run["tokens_per_second"] == pytest.approx(tokens / run["seconds"])
        assert (
            run["flops"] == record["contenders"]["ours"]["runs"][0]["flops"]
        )  # the same pieces for all
    assert record["model"]["hidden_size"] == 32 and "2 layers, hidden_size 32" in said
    assert record["command"] == (
        "python tests/benchmarks/bench_pretraining.py --shape tiny --dataset course "
        "--max-length 32 --updates 2 --rounds 1 --output $OUTPUT"
    )


def test_pretraining_models_are_equal_but_for_dropout(pretraining: ModuleType) -> None:
    """All kinds give the same loss without dropout, wherever ours computes its head,
    and none with it.
    """
    setup, tokenizer = pretraining.make_setup(
        SimpleNamespace(shape="tiny", dataset="course", max_length=32, updates=1)
    )
    assert len(setup.models) == 6 and len(setup.features) == 32
    batch = collate_masked(setup.features, tokenizer, generator=torch.Generator().manual_seed(0))
    losses = {}
    for name, model in setup.models.items():
        model.train()
        torch.manual_seed(0)
        shares = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
        if name.startswith(pretraining.THEIRS):
            assert model.config._attn_implementation == "sdpa"
            losses[name] = model(**batch).loss.item()
        else:
            losses[name] = masked_loss(model, batch).item()
            shares |= {layer.attention.dropout_prob for layer in model.bert.encoder.layers}
        assert shares == {0.1 if name.endswith(pretraining.CONFIG) else 0.0}, name
    expected = losses.pop(f"{pretraining.OURS} {pretraining.NONE}")
    everywhere = pretraining.loss_everywhere(
        setup.models[f"{pretraining.OURS} {pretraining.NONE}"], batch
    )
    assert everywhere.item() == pytest.approx(expected, rel=1e-5)
    for name, loss in losses.items():
        assert (loss == pytest.approx(expected, rel=1e-5)) == name.endswith(pretraining.NONE), name


def test_pretraining_flops_are_three_times_what_a_counter_sees_forward(
    pretraining: ModuleType,
) -> None:
    config = pretraining.SHAPES["tiny"].bert(500)
    model = BertForPreTraining(config, attention="explicit")
    ids, chosen = torch.ones(20, 22, dtype=torch.int64), torch.zeros(20, 22, dtype=torch.bool)
    chosen[:, 1:4] = True  # 15 % of the 20 tokens that are not special
    with FlopCounterMode(display=False) as counter:
        model(ids, chosen=chosen)
    pooler = 2 * 20 * (32 * 32 + 32 * 2)  # with the other head; the formula leaves both out
    found = pretraining.training_flops(model, [22] * 20) + pretraining.head_flops(config, [22] * 20)
    assert found == pytest.approx(3 * (counter.get_total_flops() - pooler), rel=1e-12)


def test_record_names_no_path(bench: ModuleType, tmp_path: Path) -> None:
    args = SimpleNamespace(
        checkpoint=str(tmp_path),
        dataset="imdb",
        max_length=256,
        updates=8,
        rounds=3,
        output=tmp_path / "out.json",
    )
    assert bench.command_in_words(args) == (
        "python tests/benchmarks/bench_training.py --checkpoint $CHECKPOINT --dataset imdb "
        "--max-length 256 --updates 8 --rounds 3 --output $OUTPUT"
    )


def test_missing_package_is_skipped_by_name(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "find_spec", lambda name: None)
    assert bench.main(["--checkpoint", "minilm"]) == 0
    assert "skipped" in (said := capsys.readouterr().out) and bench.MINILM_PACKAGE in said


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("TOKENIZERS_PARALLELISM", "RAYON_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # so that what the import sets is taken back


@pytest.mark.parametrize("with_minilm", [True, False])
def test_encoding(
    one_thread: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    with_minilm: bool,
) -> None:
    encoding = importlib.import_module("bench_encoding")
    if not with_minilm:
        monkeypatch.setattr(encoding, "find_spec", lambda name: None)
    command = ["--texts", "50", "--block", "20", "--rounds", "2", "--vocab-size", "500"]
    assert encoding.main([*command, "--output", str(tmp_path / "speed.json")]) == 0
    said, record = (
        capsys.readouterr().out,
        json.loads((tmp_path / "speed.json").read_text(encoding="utf-8")),
    )
    assert (
        "50 texts" in said
        and "3 blocks of 20 texts, 2 rounds" in said
        and "different ids: 0" in said
    )
    least, most = (float(re.search(rf"{word} (\d+\.\d+) x", said)[1]) for word in ("least", "most"))
    assert 0 < least <= most
    ratios = [
        theirs / own
        for own, theirs in zip(record["seconds"]["ours"], record["seconds"]["library"], strict=True)
    ]
    assert len(ratios) == 6 and (record["ratio"]["min"], record["ratio"]["max"]) == (
        min(ratios),
        max(ratios),
    )

    monkeypatch.setattr(encoding.WordPieceTokenizer, "encode", lambda self, text: [len(text)])
    assert encoding.main(command) == 1
    assert "different ids: 100" in capsys.readouterr().out  # each of the 50, in both rounds


def test_bpe_training(one_thread: None, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bpe = importlib.import_module("bench_bpe_training")
    output = tmp_path / "speed.json"
    assert (
        bpe.main(
            [
                "--characters",
                "5000",
                "--merges",
                "20",
                "--plain-merges",
                "5",
                "--rounds",
                "2",
                "--output",
                str(output),
            ]
        )
        == 0
    )
    said, record = capsys.readouterr().out, json.loads(output.read_text(encoding="utf-8"))
    assert "5,000 characters" in said and "plain versions: 5 merges, times 4; 2 rounds" in said
    seconds = record["seconds"]["plain, on counted words"]
    ratios = [
        one / ours for one, ours in zip(seconds, record["seconds"]["incremental"], strict=True)
    ]
    assert f"{min(ratios):.2f}" in said and f"{max(ratios):.2f}" in said
    assert str(tmp_path) not in output.read_text(encoding="utf-8")


def test_the_plain_versions_learn_the_same(one_thread: None) -> None:
    """Else the ratio would compare different work."""
    bpe = importlib.import_module("bench_bpe_training")
    words = {tuple("low"): 5, tuple("lower"): 2, tuple("newest"): 6, tuple("widest"): 3}
    assert bpe.plain_on_words(words, 6) == [
        ["low"],
        ["low", "e", "r"],
        ["new", "est"],
        ["w", "i", "d", "est"],
    ]
    assert ["+".join(pair) for pair in bpe.learn_merges(words, 6)] == [
        "e+s",
        "es+t",
        "l+o",
        "lo+w",
        "e+w",
        "n+ew",
    ]
    assert bpe.plain_on_text("ababab", 2) == [257, 256]
