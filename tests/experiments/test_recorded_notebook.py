"""The stored answers of notebooks 06 and 10: what is asked is stored, and the rest is told."""

import json
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
from run_notebooks import read_notebook

from course_utils import evaluation
from experiments import evaluation_answers, pretraining_toys
from experiments.record import RESULTS
from experiments.recorded_notebook import SWITCH, prepare

RECORD = json.loads(evaluation_answers.RECORD.read_text(encoding="utf-8"))
SETUP = """
import json
from pathlib import Path
import numpy as np
from course_utils import evaluation
MAX_LENGTH = 8
TRAIN = False
"""
DEFINE = """
assert TRAIN
def bert_logits(texts, max_length=MAX_LENGTH):
    return np.full((len(texts), 2), max_length / 3)
"""
ASK = """
class Precision:
    def to_dict(self):
        return {"precision": "fp32"}


class Fitted:
    num_updates, train_seconds, hardware = 3, 0.25, Precision()


recipe, fitted, by_bert = Precision(), Fitted(), {"test": 0.5}
bert_logits(["a", "b"])
bert_logits(["a"], max_length=4)
"""


def toy(*sources: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


def test_what_a_notebook_asks_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "toy.ipynb"
    nbformat.write(toy(SETUP, DEFINE, ASK), path)
    before = path.read_bytes()
    recording = replace(evaluation_answers.RECORDING, notebook=path)
    monkeypatch.setattr(evaluation_answers, "RECORDING", recording)
    assert evaluation_answers.main(["--output", str(tmp_path / "record.json")]) == 0
    record = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    assert path.read_bytes() == before
    assert record["command"] == "python -m experiments.evaluation_answers"
    assert (record["num_updates"], record["accuracy"]) == (3, {"test": 0.5})
    assert record["config"] == record["precision"] == {"precision": "fp32"}
    assert np.allclose(evaluation.stored_logits(record["logits"], ["b", "a"], 8), 8 / 3, atol=1e-4)
    assert np.allclose(evaluation.stored_logits(record["logits"], ["a"], 4), 4 / 3, atol=1e-4)
    assert len(record["logits"]) == 3


def test_what_the_toys_say_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "toy.ipynb"
    define = "def ask_toy(student):\n    return {'own': [student / 3], 'named': student / 7}"
    nbformat.write(toy(SETUP, define, "toys = {'a': ask_toy(1), 'b': ask_toy(2)}"), path)
    recording = replace(pretraining_toys.RECORDING, notebook=path)
    monkeypatch.setattr(pretraining_toys, "RECORDING", recording)
    assert pretraining_toys.main(["--output", str(tmp_path / "record.json")]) == 0
    record = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    assert record["toys"] == {
        "a": {"own": [0.3333], "named": 0.1429},
        "b": {"own": [0.6667], "named": 0.2857},
    }


def test_a_notebook_that_fails_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "toy.ipynb"
    nbformat.write(toy(SETUP, DEFINE, "1 / 0"), path)
    recording = replace(evaluation_answers.RECORDING, notebook=path)
    monkeypatch.setattr(evaluation_answers, "RECORDING", recording)
    assert evaluation_answers.main(["--output", str(tmp_path / "record.json")]) == 1
    assert "toy.ipynb failed" in capsys.readouterr().err
    assert not (tmp_path / "record.json").exists()


@pytest.mark.parametrize("sources", [("TRAIN = False",), ("def bert_logits(texts): ...",)])
def test_a_notebook_without_its_switch_is_refused(sources: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must hold a cell with 'TRAIN = False' and one with"):
        prepare(toy(*sources), evaluation_answers.RECORDING, tmp_path)


@pytest.mark.parametrize("program", [evaluation_answers, pretraining_toys])
def test_the_notebook_can_be_recorded(program: object, tmp_path: Path) -> None:
    recording = program.RECORDING
    notebook = prepare(read_notebook(recording.notebook), recording, tmp_path / "answers")
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert sum("TRAIN = True  #" in source for source in code) == 1
    assert not any(SWITCH in source for source in code)


def test_the_stored_toys_are_probabilities() -> None:
    toys = json.loads(pretraining_toys.RECORD.read_text(encoding="utf-8"))["toys"]
    assert list(toys) == ["100 / 0 / 0", "80 / 0 / 20", "80 / 10 / 10"]
    own = np.array([toy["own"] for toy in toys.values()])
    assert own.shape[1] > 5000 and own.min() >= 0 and own.max() <= 1
    assert all(0 < toy["named"] < 1 for toy in toys.values())


def test_a_text_that_was_not_asked_is_told() -> None:
    known = {evaluation.answer_key("a film", 8): [1.0, 2.0]}
    assert evaluation.stored_logits(known, ["a film"] * 2, 8).tolist() == [[1.0, 2.0]] * 2
    for text, length in (("a film!", 8), ("a film", 16)):
        with pytest.raises(
            KeyError,
            match=f"no answer is stored for '{text}' at {length} tokens; .* train the model",
        ):
            evaluation.stored_logits(known, ["a film", text], length)


def test_the_stored_answers_are_those_of_the_recipe() -> None:
    """One epoch of all the course's reviews; level with the three seeds of the same recipe."""
    assert RECORD["num_updates"] == 188 and RECORD["config"]["num_train_epochs"] == 1
    seeds = json.loads((RESULTS / "course_seeds.json").read_text(encoding="utf-8"))["runs"]
    accuracies = [run["accuracy"] for run in seeds]
    assert min(accuracies) - 0.02 < RECORD["accuracy"]["test"] < max(accuracies) + 0.02
