"""Ours beside the library's: the two are measured alike, and compared round by round."""

import json

import pytest

from experiments import own_bert


def run_of(seconds: float, memory: float, *losses: float) -> dict:
    return {"seconds_per_update": seconds, "peak_memory_gib": memory, "losses": list(losses)}


def test_ratios_are_those_of_the_rounds() -> None:
    ours = [run_of(1.0, 2.0, 0.7, 0.6), run_of(3.0, 2.2, 0.7, 0.6), run_of(2.0, 2.0, 0.7, 0.6)]
    library = [run_of(2.0, 2.0, 0.7, 0.6), run_of(2.0, 2.0, 0.7, 0.5), run_of(2.0, 4.0, 0.7, 0.6)]
    found = own_bert.compare(ours, library)
    assert found["time_ratios"] == [0.5, 1.5, 1.0] and found["time_ratio"] == 1.0
    assert found["memory_ratios"] == [1.0, 1.1, 0.5] and found["memory_ratio"] == 1.0
    assert found["largest_loss_difference"] == pytest.approx(0.1)


def test_both_learn_the_same_from_the_same_start(capsys: pytest.CaptureFixture[str]) -> None:
    losses = {}
    for kind in (own_bert.OURS, own_bert.LIBRARY):
        own_bert.run(["--kind", kind, "--updates", "2", "--max-length", "16", "--threads", "1"])
        measured = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert measured["seconds_per_update"] > 0 and measured["peak_memory_gib"] > 0
        losses[kind] = measured["losses"]
    assert len(losses[own_bert.OURS]) == 2
    assert losses[own_bert.OURS] == pytest.approx(losses[own_bert.LIBRARY], abs=1e-5)
