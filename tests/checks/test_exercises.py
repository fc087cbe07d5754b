"""Every exercise of every notebook: the solution is right, the untouched starter waits,
wrong answers are caught.

The wrong answers to notebook 05_bert_math lie in wrong_05_bert_math.py: in WRONG at least three per
exercise, in GIVEAWAYS what no hint may say, in RIGHT other answers that are right.
"""

import importlib
import os
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import numpy as np
import pytest

from course_utils.checks import check, engine

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / "notebooks"
# {"05": "05_bert_math"}: the name of the notebook that a check module belongs to, by its number
NAMES = {number: name.rpartition(".n")[2] for number, name in engine._check_modules().items()}
NOTEBOOKS = [*NAMES]
EXERCISES = [
    f"{notebook}.{name}" for notebook in NOTEBOOKS for name in engine._exercises_of(notebook)
]
each_exercise = pytest.mark.parametrize("number", EXERCISES)


@pytest.fixture(autouse=True)
def nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_PROGRESS_FILE", "")


def path_of(notebook: str, folder: str = ".") -> Path:
    return FOLDER / folder / f"{NAMES[notebook]}.ipynb"


def wrong_answers(notebook: str) -> ModuleType:
    return importlib.import_module(f"wrong_{NAMES[notebook]}")


@cache
def cells_with_checks(path: Path) -> list[nbformat.NotebookNode]:
    return [
        cell
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code" and f'check("{path.stem[:2]}.' in cell.source
    ]


@cache
def answers(path: Path) -> dict[str, Any]:
    """What each `check(number, answer)` of a notebook is given.

    Only the cell that finds the course, the set-up cell and the cells with a check run.
    """
    given: dict[str, Any] = {}
    cells = nbformat.read(path, as_version=4).cells
    find_course, setup = [cell for cell in cells if cell.cell_type == "code"][:2]
    names: dict[str, Any] = {}
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        exec(find_course.source, names)
        exec(setup.source, names)
        names["check"] = given.__setitem__
        for cell in cells_with_checks(path):
            exec(cell.source, names)
    finally:
        os.chdir(before)
    return given


def said(number: str, answer: Any, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert check(number, answer) is None
    return capsys.readouterr().out


def test_notebook_check_module_and_wrong_answers_have_one_name() -> None:
    modules = sorted(path.stem for path in Path(engine.__file__).parent.glob("n[0-9]*.py"))
    assert modules == [f"n{name}" for name in NAMES.values()], "two modules of one number"
    assert [path.stem for path in sorted(FOLDER.glob("*.ipynb"))] == [*NAMES.values()]
    wrong = sorted(path.stem for path in HERE.glob("wrong_*.py"))
    assert wrong == [f"wrong_{name}" for name in NAMES.values()]


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_notebook_and_solution_have_every_exercise_once_in_order(notebook: str) -> None:
    numbers = [number for number in EXERCISES if number[:2] == notebook]
    assert len(numbers) >= 4
    for folder in (".", "solutions"):
        assert list(answers(path_of(notebook, folder))) == numbers
        assert len(cells_with_checks(path_of(notebook, folder))) == len(numbers)


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_stored_outputs_say_what_the_checks_say(notebook: str) -> None:
    for folder, words in ((".", "not answered yet"), ("solutions", "✓")):
        for cell in cells_with_checks(path_of(notebook, folder)):
            text = "".join(output.get("text", "") for output in cell.outputs)
            assert words in text, f"{folder} {cell.id}: {text}"


@each_exercise
def test_solution_is_right(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "✓" in said(number, answers(path_of(number[:2], "solutions"))[number], capsys)


@each_exercise
def test_untouched_starter_is_not_answered_yet(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(number, answers(path_of(number[:2]))[number], capsys)
    assert "not answered yet" in text and text.count("\n") == 1


@each_exercise
def test_wrong_answers_are_caught_with_a_hint_that_gives_nothing_away(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    known, name = wrong_answers(number[:2]), number[3:]
    assert len(known.WRONG[name]) >= 3 and known.GIVEAWAYS[name]
    for place, answer in enumerate(known.WRONG[name]):
        with np.errstate(all="ignore"):
            text = said(number, answer, capsys)
        assert "✗" in text, f"wrong answer {place} passes: {text}"
        hint = text.partition("     hint ")[2]
        assert hint.strip(), f"wrong answer {place} gets no hint: {text}"
        assert not any(giveaway in hint for giveaway in known.GIVEAWAYS[name]), hint


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_right_variants_are_right(notebook: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name, variants in wrong_answers(notebook).RIGHT.items():
        for answer in variants:
            assert "✓" in said(f"{notebook}.{name}", answer, capsys)
