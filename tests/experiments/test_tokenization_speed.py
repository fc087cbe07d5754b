"""The speed of encoding and of learning merges, measured at tiny size; and that the contenders do
the same work.
"""

import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest


def imported(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A program that asks the library for one thread when it is imported; afterwards the variables
    are as they were.
    """
    for variable in ("TOKENIZERS_PARALLELISM", "RAYON_NUM_THREADS"):
        monkeypatch.setenv(variable, "1")
    return importlib.import_module(f"experiments.{name}")


@pytest.mark.parametrize("with_minilm", [True, False])
def test_encoding(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    with_minilm: bool,
) -> None:
    encoding = imported("encoding_speed", monkeypatch)
    if not with_minilm:
        monkeypatch.setattr(encoding, "find_spec", lambda name: None)
    output = tmp_path / "speed.json"
    command = ["--texts", "50", "--block", "20", "--rounds", "2", "--vocab-size", "500"]
    assert encoding.main([*command, "--output", str(output)]) == 0
    said = capsys.readouterr().out
    record = json.loads(output.read_text(encoding="utf-8"))
    assert "50 texts" in said and "3 blocks of 20 texts, 2 rounds" in said
    assert "different ids: 0" in said
    least, most = (float(re.search(rf"{word} (\d+\.\d+) x", said)[1]) for word in ("least", "most"))
    assert 0 < least <= most
    ratios = []
    for own, theirs in zip(record["seconds"]["ours"], record["seconds"]["library"], strict=True):
        ratios.append(theirs / own)
    assert len(ratios) == 6
    assert (record["ratio"]["min"], record["ratio"]["max"]) == (min(ratios), max(ratios))
    assert record["command"].endswith(" --vocab-size 500 --output $OUTPUT")

    monkeypatch.setattr(encoding.WordPieceTokenizer, "encode", lambda self, text: [len(text)])
    assert encoding.main(command) == 1
    assert "different ids: 100" in capsys.readouterr().out  # each of the 50, in both rounds


def test_bpe_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bpe = imported("bpe_training_speed", monkeypatch)
    output = tmp_path / "speed.json"
    command = ["--characters", "5000", "--merges", "20", "--plain-merges", "5", "--rounds", "2"]
    assert bpe.main([*command, "--output", str(output)]) == 0
    said = capsys.readouterr().out
    text = output.read_text(encoding="utf-8")
    record = json.loads(text)
    assert "5,000 characters" in said and "plain versions: 5 merges, times 4; 2 rounds" in said
    seconds = record["seconds"]
    ratios = []
    for one, ours in zip(seconds["plain, on counted words"], seconds["incremental"], strict=True):
        ratios.append(one / ours)
    assert f"{min(ratios):.2f}" in said and f"{max(ratios):.2f}" in said
    assert str(tmp_path) not in text


def test_the_plain_versions_learn_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the ratio would compare different work."""
    bpe = imported("bpe_training_speed", monkeypatch)
    words = {tuple("low"): 5, tuple("lower"): 2, tuple("newest"): 6, tuple("widest"): 3}
    assert bpe.plain_on_words(words, 6) == [
        ["low"],
        ["low", "e", "r"],
        ["new", "est"],
        ["w", "i", "d", "est"],
    ]
    merges = ["+".join(pair) for pair in bpe.learn_merges(words, 6)]
    assert merges == ["e+s", "es+t", "l+o", "lo+w", "e+w", "n+ew"]
    assert bpe.plain_on_text("ababab", 2) == [257, 256]
