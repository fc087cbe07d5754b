"""The answers of notebook 10: what is asked is stored, and what was not asked is told."""

import json
from dataclasses import replace
from pathlib import Path

import measure_answers
import nbformat
import numpy as np
import pytest
from run_notebooks import read_notebook

from course_utils import evaluation

ANSWERS, TOYS = measure_answers.RECORDINGS["answers"], measure_answers.RECORDINGS["toys"]
RECORD = json.loads(ANSWERS.record.read_text(encoding="utf-8"))
ASK = """
class Fitted:
    num_updates, train_seconds, hardware = 3, 0.25, type("H", (), {"to_dict": lambda self: {"precision": "fp32"}})()
recipe, fitted, by_bert = Fitted.hardware, Fitted(), {"test": 0.5}
bert_logits(["a", "b"])
bert_logits(["a"], max_length=4)
"""


def toy(*sources: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


def test_what_a_notebook_asks_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports = (
        "import json\nfrom pathlib import Path\nimport numpy as np\n"
        "from course_utils import evaluation\n"
        "MAX_LENGTH = 8"
    )
    define = (
        "def bert_logits(texts, max_length=MAX_LENGTH):\n"
        "    return np.full((len(texts), 2), max_length / 3)"
    )
    path = tmp_path / "toy.ipynb"
    nbformat.write(toy(f"{imports}\nTRAIN = False", f"assert TRAIN\n{define}", ASK), path)
    before = path.read_bytes()
    monkeypatch.setitem(measure_answers.RECORDINGS, "answers", replace(ANSWERS, notebook=path))
    assert measure_answers.main(["--output", str(tmp_path / "record.json")]) == 0
    record = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    assert path.read_bytes() == before
    assert (record["num_updates"], record["accuracy"], record["config"]) == (
        3,
        {"test": 0.5},
        {"precision": "fp32"},
    )
    assert np.allclose(evaluation.stored_logits(record["logits"], ["b", "a"], 8), 8 / 3, atol=1e-4)
    assert np.allclose(evaluation.stored_logits(record["logits"], ["a"], 4), 4 / 3, atol=1e-4)
    assert len(record["logits"]) == 3


@pytest.mark.parametrize("sources", [("TRAIN = False",), ("def bert_logits(texts): ...",)])
def test_a_notebook_without_its_switch_is_refused(sources: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must hold a cell with 'TRAIN = False' and one with"):
        measure_answers.recorded(toy(*sources), ANSWERS, tmp_path)


@pytest.mark.parametrize("name", measure_answers.RECORDINGS)
def test_the_notebook_can_be_recorded(name: str, tmp_path: Path) -> None:
    recording = measure_answers.RECORDINGS[name]
    notebook = measure_answers.recorded(
        read_notebook(recording.notebook), recording, tmp_path / "answers"
    )
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert sum("TRAIN = True  #" in source for source in code) == 1
    assert not any(measure_answers.SWITCH in source for source in code)


def test_the_stored_toys_are_probabilities() -> None:
    toys = json.loads(TOYS.record.read_text(encoding="utf-8"))["toys"]
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
    seeds = json.loads((ANSWERS.record.parent / "course_seeds.json").read_text(encoding="utf-8"))[
        "runs"
    ]
    accuracies = [run["accuracy"] for run in seeds]
    assert min(accuracies) - 0.02 < RECORD["accuracy"]["test"] < max(accuracies) + 0.02
