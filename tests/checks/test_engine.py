"""The machinery of the checks: every kind of answer gets its message, nothing raises,
progress survives anything.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from course_utils import checks
from course_utils.checks import check, engine, progress
from course_utils.checks.engine import Case, Exercise, Verdict
from course_utils.checks.values import same, show


def double(numbers: list[int]) -> list[int]:
    return [2 * number for number in numbers]


EXERCISES = {
    "1": Exercise(
        title="Double",
        reference=double,
        hint="twice",
        seconds=0.3,
        cases=lambda: [
            Case(args=([],), hint="nothing stays nothing"),
            Case(args=([1],)),
            Case(kwargs={"numbers": [3, -2]}),
        ],
    ),
    "2": Exercise(
        title="Value",
        value=lambda: 42,
        hint="general",
        hints_for=lambda got: "half of it" if got == 21 else None,
    ),
    "3": Exercise(
        title="Plan",
        judge=lambda plan: None if plan == "good" else Verdict("a good plan", plan, "think"),
    ),
    "4": Exercise(
        title="Shown",
        reference=len,
        cases=lambda: [Case(args=("abc",))],
        show=lambda value: f"<{value}>",
    ),
}


@pytest.fixture
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the check modules of a course of one notebook."""
    folder = tmp_path_factory.mktemp("checks")
    (folder / "n77_made_up.py").touch()
    return folder


@pytest.fixture(autouse=True)
def course(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, modules: Path) -> Path:
    """A course of one notebook with the exercises above; returns its progress file."""
    module = ModuleType("course_utils.checks.n77_made_up")
    module.EXERCISES = EXERCISES  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(checks, "__path__", [str(modules)])
    file = tmp_path / "progress.json"
    monkeypatch.setenv("COURSE_PROGRESS_FILE", str(file))
    return file


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str, Any], str]:
    def said(number: str, answer: Any) -> str:
        assert check(number, answer) is None
        return capsys.readouterr().out

    return said


Say = Callable[[str, Any], str]


# --- answers --------------------------------------------------------------------------------------


def test_a_right_answer_gets_one_line_and_is_remembered(say: Say, course: Path) -> None:
    assert say("77.1", double) == "77.1 ✓ Double: right on all 3 cases.\n"
    assert say("77.2", 42) == "77.2 ✓ Value: right.\n"
    assert say("77.3", "good") == "77.3 ✓ Plan: right.\n"
    assert json.loads(course.read_text()) == {"77": ["1", "2", "3"]}
    assert progress() == {"77": (3, 4)}


@pytest.mark.parametrize(
    "answer",
    [
        lambda numbers: ...,
        lambda numbers: None,
        lambda numbers: [1, ...],
        lambda numbers: NotImplemented,
        ...,
        (1, ...),
        {"a": ...},
    ],
)
def test_an_untouched_starter_is_not_answered_yet(answer: Any, say: Say, course: Path) -> None:
    said = say("77.1", answer)
    assert said.startswith("77.1 · not answered yet: ") and said.count("\n") == 1
    assert not course.exists()


def test_a_raised_not_implemented_is_not_answered_yet(say: Say) -> None:
    def answer(numbers: list[int]) -> list[int]:
        raise NotImplementedError

    assert "not answered yet" in say("77.1", answer)


def test_a_not_implemented_with_a_message_is_an_error_like_any(say: Say) -> None:
    def answer(numbers: list[int]) -> list[int]:
        raise NotImplementedError("no kernel for 'Int'")  # as torch raises it

    said = say("77.1", answer)
    assert (
        said.startswith("77.1 ✗") and "error     NotImplementedError: no kernel for 'Int'" in said
    )
    assert "raise NotImplementedError(" in said and "not answered yet" not in said


def test_the_smallest_failing_case_is_shown(say: Say, course: Path) -> None:
    def answer(numbers: list[int]) -> list[int]:
        return [number + number**2 for number in numbers]

    assert say("77.1", answer).splitlines() == [
        "77.1 ✗ Double",
        "     call      answer(numbers=[3, -2])",
        "     expected  [6, -4]",
        "     got       [12, 2]",
        "     hint      twice",
    ]
    assert not course.exists()


def test_a_case_has_its_own_hint(say: Say) -> None:
    assert "nothing stays nothing" in say("77.1", lambda numbers: [0])


def test_an_error_is_told_at_the_learners_line(say: Say) -> None:
    def helper(numbers: list[int]) -> int:
        return numbers[5]  # here

    def answer(numbers: list[int]) -> list[int]:
        return [helper(numbers)]

    said = say("77.1", answer)
    line = helper.__code__.co_firstlineno + 1
    assert "error     IndexError: list index out of range" in said
    assert f"line {line}" in said and "return numbers[5]  # here" in said
    assert "Traceback" not in said


def test_an_error_within_a_library_is_told_at_the_learners_line(say: Say) -> None:
    def answer(numbers: list[int]) -> list[int]:
        return json.loads("{" * (1 + len(numbers)))  # mine

    said = say("77.1", answer)
    assert "JSONDecodeError" in said and "# mine" in said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda: [], "takes 0 positional arguments"),
        (lambda numbers: exit(3), "SystemExit: 3"),
        ([2], "Its name alone, without parentheses"),
    ],
)
def test_odd_answers_are_told(answer: Any, words: str, say: Say) -> None:
    assert words in say("77.1", answer)


def test_endless_recursion_is_told(say: Say) -> None:
    def answer(numbers: list[int]) -> list[int]:
        return answer(numbers)

    assert "RecursionError" in say("77.1", answer)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no alarm")
def test_an_endless_loop_is_stopped_and_the_alarm_is_put_back(say: Say) -> None:
    def answer(numbers: list[int]) -> list[int]:
        while True:
            with contextlib.suppress(Exception):
                time.sleep(0.01)

    former = signal.getsignal(signal.SIGALRM)
    start = time.monotonic()
    assert "no answer within 0.3 seconds" in say("77.1", answer)
    assert time.monotonic() - start < 10
    assert signal.getsignal(signal.SIGALRM) is former
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no alarm")
def test_a_result_that_takes_too_long_to_be_looked_at_is_told(say: Say) -> None:
    class Slow:
        shape = ()

        def item(self) -> float:
            time.sleep(5)
            return 0.0

    start = time.monotonic()
    assert "no end within 0.3 seconds" in say("77.1", lambda numbers: [Slow()] if numbers else [])
    assert time.monotonic() - start < 4


def test_without_an_alarm_the_learner_is_told_how_to_interrupt(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def slow(numbers: list[int]) -> list[int]:
        time.sleep(0.2)  # the three cases together may take 0.3 seconds
        return double(numbers)

    for answer, words in ((double, []), (slow, ["(If this does not end: Kernel > Interrupt.)"])):
        thread = threading.Thread(target=check, args=("77.1", answer))
        thread.start()
        thread.join()
        assert capsys.readouterr().out.splitlines() == [
            *words,
            "77.1 ✓ Double: right on all 3 cases.",
        ]


def test_what_an_answer_prints_is_shown_where_it_fails_only(say: Say) -> None:
    def loud(numbers: list[int]) -> list[int]:
        print("numbers:", numbers)
        return double(numbers) if len(numbers) < 2 else []

    said = say("77.1", loud)
    assert said.count("numbers:") == 1 and "printed   'numbers: [3, -2]" in said
    assert say("77.1", lambda numbers: print("x") or double(numbers)).count("\n") == 1


def test_an_answer_that_changes_its_input_is_told(say: Say) -> None:
    def answer(numbers: list[int]) -> list[int]:
        numbers.append(0)
        return double(numbers)

    assert "your function changes what it is given" in say("77.1", answer)


def test_where_arguments_must_be_kept_a_right_result_is_no_excuse(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(numbers: list[int]) -> list[int]:
        numbers[:] = double(numbers)
        return list(numbers)

    assert "✓" in say("77.1", answer)
    monkeypatch.setitem(EXERCISES, "1", replace(EXERCISES["1"], keeps_arguments=True))
    assert say("77.1", answer).splitlines() == [
        "77.1 ✗ Double",
        "     call      answer([1])",
        "     got       the right result, but what was given is no longer what it was",
        "     hint      your function changes what it is given; work on a copy",
    ]
    assert "✓" in say("77.1", double)


def test_of_several_arrays_the_first_that_differs_is_shown(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    def three(number: int) -> tuple[np.ndarray, np.ndarray, int]:
        return np.full(2, number), np.zeros((1, 2)), number

    monkeypatch.setitem(
        EXERCISES, "5", Exercise(title="Three", reference=three, cases=lambda: [Case(args=(1,))])
    )
    assert "✓" in say("77.5", three) and "✓" in say(
        "77.5", lambda number: [*map(torch.tensor, three(number))]
    )
    assert say("77.5", lambda number: (np.ones(2), np.ones((1, 2)), 7)).splitlines()[2:] == [
        "     differs   result 2 of 3",
        "     expected  [[0., 0.]], shape [1, 2]",
        "     got       [[1., 1.]], shape [1, 2]",
    ]
    assert "result 1 of 3" in say("77.5", lambda number: three(number)[::-1])
    assert "differs" not in say("77.5", lambda number: three(number)[:2])  # no pairs to be compared


def test_cases_are_not_changed_by_an_answer(say: Say) -> None:
    def answer(numbers: list[int]) -> list[int]:
        numbers[:] = double(numbers)
        return numbers

    assert "✓" in say("77.1", answer)


def test_a_generator_counts_as_its_list(say: Say) -> None:
    assert "✓" in say("77.1", lambda numbers: (2 * number for number in numbers))


def test_a_wrong_value_gets_its_hint(say: Say) -> None:
    assert "half of it" in say("77.2", 21)
    assert "general" in say("77.2", 7)


def test_a_judge_says_what_is_missing(say: Say) -> None:
    assert say("77.3", "bad").splitlines()[1:] == [
        "     expected  a good plan",
        "     got       'bad'",
        "     hint      think",
    ]


@pytest.fixture
def calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exercise 77.5: a judge that calls the learner's function."""
    monkeypatch.setitem(
        EXERCISES,
        "5",
        Exercise(
            title="Called",
            seconds=0.3,
            hint="look",
            judge=lambda plan: None if plan() == 1 else Verdict("1", "not 1"),
        ),
    )


@pytest.mark.usefixtures("calls_it")
def test_what_a_judge_calls_is_silent(say: Say) -> None:
    assert say("77.5", lambda: print("x") or 1) == "77.5 ✓ Called: right.\n"
    assert say("77.5", lambda: print("x") or 2).splitlines() == [
        "77.5 ✗ Called",
        "     expected  1",
        "     got       'not 1'",
    ]


@pytest.mark.usefixtures("calls_it")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda: exit(3), "SystemExit: 3"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda plan: 1, "TypeError: "),
        (1, "TypeError: 'int' object is not callable"),
    ],
)
def test_what_a_judge_calls_may_fail(answer: Any, words: str, say: Say) -> None:
    said = say("77.5", answer)
    assert said.startswith("77.5 ✗") and words in said and "hint      look" in said


@pytest.mark.usefixtures("calls_it")
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no alarm")
def test_what_a_judge_calls_is_stopped_and_the_alarm_is_put_back(say: Say) -> None:
    def answer() -> int:
        while True:
            with contextlib.suppress(Exception):
                time.sleep(0.01)

    former = signal.getsignal(signal.SIGALRM)
    start = time.monotonic()
    said = say("77.5", answer)
    assert "an end within 0.3 seconds" in said and "Does a loop never end?" in said
    assert time.monotonic() - start < 10
    assert (
        signal.getsignal(signal.SIGALRM) is former and signal.getitimer(signal.ITIMER_REAL)[0] == 0
    )


def test_own_words_for_values(say: Say) -> None:
    assert "<lambda>(<abc>)" in say("77.4", lambda text: 9) and "got       <9>" in say(
        "77.4", lambda text: 9
    )


@pytest.mark.parametrize("number", ["99.1", "7", "", 77.1, None, "n77.1"])
def test_an_unknown_notebook_is_refused_with_those_there_are(number: Any) -> None:
    expected = f'such as "02.3", in quotes, of notebooks 77; got {number!r}'
    with pytest.raises(ValueError, match=re.escape(expected)):
        check(number, double)


@pytest.mark.parametrize("number", ["77.9", "77", "77."])
def test_an_unknown_exercise_is_refused_with_those_there_are(number: str) -> None:
    expected = f"notebook 77 has the exercises 77.1, 77.2, 77.3, 77.4; got {number!r}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        check(number, double)


class Nameless:
    """A value that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize(
    "odd",
    [
        lambda: 10**400,
        lambda: -(10**400),
        lambda: 10**5000,
        lambda: [10**400],
        lambda: "\ud800",
        lambda: torch.eye(2).to_sparse(),
        lambda: (torch.eye(2).to_sparse(), 1),
        lambda: torch.ones(2, dtype=torch.bfloat16),
        lambda: torch.ones(2, device="meta"),
        lambda: complex(0, 1),
        Nameless,
        lambda: [Nameless()],
    ],
)
def test_odd_values_are_wrong_like_any(
    odd: Callable[[], Any], say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Exercise(title="Pair", reference=lambda: (np.ones(2), 1), cases=lambda: [Case()])
    huge = replace(EXERCISES["2"], hints_for=lambda got: "half" if got / 2 == 21 else None)
    for name, exercise in (("5", pair), ("6", huge)):
        monkeypatch.setitem(EXERCISES, name, exercise)
    for number, answer in (
        ("77.1", lambda numbers: odd()),
        ("77.2", odd()),
        ("77.3", odd()),
        ("77.5", odd),
        ("77.5", lambda: (odd(), 1)),
        ("77.6", odd()),
    ):
        said = say(number, answer)
        assert (
            said.startswith(f"{number} ✗")
            and "got  " in said
            and len(max(said.splitlines(), key=len)) < 180
        )


def test_an_error_that_cannot_be_said_is_told(say: Say) -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def answer(numbers: list[int]) -> list[int]:
        raise ValueError("\ud800") if len(numbers) else Silent

    assert "error     Silent" in say("77.1", answer)
    assert r"error     ValueError: \ud800" in say(
        "77.1", lambda numbers: answer(numbers) if numbers else []
    )


# --- check modules --------------------------------------------------------------------------------


def test_a_new_check_module_is_found_by_its_name(modules: Path) -> None:
    (modules / "n03_new.py").write_text(
        "from course_utils.checks.engine import Exercise\n"
        "EXERCISES = {'1': Exercise(title='New', value=lambda: 1)}\n"
    )
    for other in ("values.py", "n3_short.py", "n123_long.py", "number.py", "n04_no_module.txt"):
        (modules / other).touch()
    assert engine._check_modules() == {
        "03": "course_utils.checks.n03_new",
        "77": "course_utils.checks.n77_made_up",
    }
    try:
        assert [*engine._exercises_of("03")] == ["1"]
        assert progress() == {"03": (0, 1), "77": (0, 4)}
    finally:
        del sys.modules["course_utils.checks.n03_new"]


def test_an_error_inside_a_check_module_is_not_hidden(modules: Path) -> None:
    (modules / "n78_broken.py").write_text("import no_such_library\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        check("78.1", double)


def test_a_check_imports_no_other_notebooks_checks(tmp_path: Path) -> None:
    """Also where the folder with the notebooks is not there."""
    code = (
        "import sys\n"
        "from course_utils.checks import check\n"
        "check('00.1', ...)\n"
        "print(*sorted(name for name in sys.modules if name.startswith('course_utils.checks.n')))\n"
    )
    package = Path(checks.__file__).parents[1]
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, tmp_path / "course_utils", ignore=ignored)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "00.1 · not answered yet: replace the ... and run the cell again",
        "course_utils.checks.n00_start_here",
    ]


# --- comparison -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (1 / 3, 0.33333333333),
        (np.float32(0.5), 0.5),
        (np.array(3), 3),
        (torch.tensor(2.5), 2.5),
        (3.0, 3),
        ([1, 2], (1, 2)),
        (np.array([1, 2]), [1, 2]),
        ([[1, 2]], np.array([[1, 2]])),
        (np.array([1]), np.array([1.0])),
        (torch.ones(2), np.ones(2)),
        (np.ones(2), torch.ones(2)),
        (float("nan"), float("nan")),
        (np.array([np.nan]), np.array([np.nan])),
        (Counter("aab"), {"a": 2, "b": 1}),
        ({1, 2}, {2, 1}),
        (None, None),
        (np.True_, True),
        (np.array(True), True),
        (torch.tensor(True), True),
        (np.str_("a"), "a"),
        ([np.str_("a")], ["a"]),
        ("a", "a"),
        (torch.ones(2, requires_grad=True), torch.ones(2)),
        (["a", [1.0]], ["a", [1]]),
    ],
)
def test_what_is_the_same(got: Any, expected: Any) -> None:
    assert same(got, expected)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (0.334, 1 / 3),
        (True, 1),
        (1, True),
        ("3", 3),
        (None, 0),
        ([1], [1, 2]),
        ({1, 2}, [1, 2]),
        ([2, 1], [1, 2]),
        (np.ones((1, 2)), np.ones(2)),
        (np.ones(2, dtype=bool), np.ones(2)),
        (np.ones(2), np.ones(2, dtype=bool)),
        ([[1], [1, 2]], np.ones((2, 2))),
        (float("nan"), 1.0),
        ({"a": 1}, {"a": 2}),
        ({"a": 1, "b": 1}, {"a": 1}),
        (np.array(1), True),
        (np.array(True), 1),
        (np.array("a"), 1),
        (np.array([True]), True),
        ([("a", 1)], {"a": 1}),
        ("a", "b"),
        ("abc", ["a", "b", "c"]),
        (1, "1"),
        (object(), np.ones(1)),
        (b"a", "a"),
    ],
)
def test_what_is_not_the_same(got: Any, expected: Any) -> None:
    assert not same(got, expected)


def test_numbers_too_large_for_a_float_are_compared() -> None:
    assert same(10**400, 10**400) and same([10**400], [10**400])
    assert not same(10**400, 10**400 + 1) and not same(10**400, 1.0)
    assert (
        not same(10**400, float("inf"))
        and not same([10**400], np.ones(1))
        and not same(-(10**400), {})
    )


def test_values_are_shown_in_one_short_line_without_addresses() -> None:
    assert show(np.eye(2)) == "[[1., 0.], [0., 1.]], shape [2, 2]"
    assert show(torch.zeros(3), with_shape=False) == "[0., 0., 0.]"
    assert show(1 / 3) == "0.333333" and show(float("inf")) == "inf"
    assert show(double) == "the function double"
    for value in (
        SimpleNamespace(x=object()),
        list(range(10_000)),
        "x" * 100_000,
        np.zeros((50, 50)),
        "a\nb",
    ):
        text = show(value)
        assert len(text) <= engine.WIDTH and "\n" not in text and "0x" not in text


# --- progress -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"77": 3}', b'{"77": null}', b"\xff"])
def test_a_broken_file_is_started_anew(content: bytes, course: Path, say: Say) -> None:
    course.write_bytes(content)
    assert progress() == {"77": (0, 4)}
    say("77.2", 42)
    assert progress() == {"77": (1, 4)}


def test_two_notebooks_add_up(course: Path, say: Say) -> None:
    course.write_text('{"05": ["3"], "77": ["1"]}')
    say("77.2", 42)
    assert json.loads(course.read_text()) == {"05": ["3"], "77": ["1", "2"]}


def test_a_file_that_cannot_be_written_is_no_reason_to_fail(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for place in (
        tmp_path,
        tmp_path / "file" / "progress.json",
    ):  # a folder; a file where a folder should be
        monkeypatch.setenv("COURSE_PROGRESS_FILE", str(place))
        assert "✓" in say("77.2", 42)
        assert progress() == {"77": (0, 4)}
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


def test_without_a_name_the_file_lies_in_the_home_folder(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COURSE_PROGRESS_FILE")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    say("77.2", 42)
    assert os.listdir(tmp_path) == [".words_to_bert_progress.json"]


def test_an_empty_name_means_that_nothing_is_remembered(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSE_PROGRESS_FILE", "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert "✓" in say("77.2", 42)
    assert progress() == {"77": (0, 4)} and os.listdir(tmp_path) == []
