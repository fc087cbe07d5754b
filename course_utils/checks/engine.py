"""The machinery of the exercises' checks: run an answer, compare it, say what came of it,
remember what is solved.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
import io
import json
import linecache
import os
import pkgutil
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from course_utils.checks.values import WIDTH, same, show

PACKAGE = "course_utils.checks"


@dataclass(frozen=True)
class Case:
    """One hidden call of the learner's function, and what to think of where it fails."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    hint: str = ""


@dataclass(frozen=True)
class Verdict:
    """Why an answer is not right: what was expected, what came, and where to look."""

    expected: Any
    got: Any
    hint: str = ""


@dataclass(frozen=True)
class Exercise:
    """One exercise; its answer is a function (reference and cases), a value (value),
    or free (judge).

    cases: the hidden calls, smallest first. hint: where a case has none. hints_for(got): a hint for
    this wrong value.
    judge(answer): None if it is right. same(got, expected): another comparison than `same`.
    show(value): another rendering. seconds: the time that all cases may take together.
    keeps_arguments: a right result is no excuse for having changed what the function was given.
    """

    title: str
    reference: Callable[..., Any] | None = None
    cases: Callable[[], Sequence[Case]] | None = None
    value: Callable[[], Any] | None = None
    judge: Callable[[Any], Verdict | None] | None = None
    hint: str = ""
    hints_for: Callable[[Any], str | None] | None = None
    same: Callable[[Any, Any], bool] | None = None
    show: Callable[[Any], str] | None = None
    seconds: float = 10.0
    keeps_arguments: bool = False


class _NotAnswered(Exception):
    """The answer is still the starter's; the message says why it looks so."""


class _Wrong(Exception):
    """The rows of a message about a wrong answer: (name, text)."""

    def __init__(self, **rows: str) -> None:
        self.rows: dict[str, str] = {}
        for name, text in rows.items():
            if text:  # half a surrogate has no bytes: it is written as an escape
                self.rows[name] = text.encode("utf-8", "backslashreplace").decode("utf-8")


class _TooSlow(BaseException):
    """The time of all cases is over.

    Not an Exception: a learner's "except Exception" must not swallow it.
    """


# --- one check ------------------------------------------------------------------------------------


def check(number: str, answer: Any) -> None:
    """Check an answer to exercise `number` ("02.3") and print what came of it;
    a right one is remembered.

    answer: the learner's function itself, or a value where the exercise asks for one. Nothing that
    the answer does raises here. Raises ValueError for an exercise that does not exist.
    """
    exercise = _find(number)
    try:
        right = _examine(exercise, answer)
    except _NotAnswered as reason:
        print(f"{number} · not answered yet: {reason}")
    except _Wrong as wrong:
        print(f"{number} ✗ {exercise.title}")
        for name, text in wrong.rows.items():
            print(f"     {name:10}{text}")
    else:
        print(f"{number} ✓ {exercise.title}: {right}")
        _remember(number)


def _find(number: str) -> Exercise:
    known = _check_modules()
    notebook, _, name = str(number).partition(".")
    if notebook not in known or not isinstance(number, str):
        raise ValueError(
            f'exercises have numbers such as "02.3", in quotes, of notebooks {", ".join(known)}; '
            f"got {number!r}"
        )
    exercises = _exercises_of(notebook)
    if name not in exercises:
        raise ValueError(
            f"notebook {notebook} has the exercises "
            f"{', '.join(f'{notebook}.{known}' for known in exercises)}; got {number!r}"
        )
    return exercises[name]


def _check_modules() -> dict[str, str]:
    """The full name of each notebook's check module by the notebook's number, in order:
    {"05": "course_utils.checks.n05_bert_math"}.

    The names of the files in this folder say it. Nothing is imported to find out, and the folder
    with the notebooks is not needed.
    """
    folders = importlib.import_module(PACKAGE).__path__
    found = {}
    for module in pkgutil.iter_modules(folders):
        if named := re.fullmatch(r"n(\d\d)_\w+", module.name):
            found[named[1]] = f"{PACKAGE}.{module.name}"
    return dict(sorted(found.items()))


def _exercises_of(notebook: str) -> dict[str, Exercise]:
    """The exercises of a notebook ("02") by their number within it.
    Raises KeyError if no check module has this number.
    """
    return importlib.import_module(_check_modules()[notebook]).EXERCISES


def _examine(exercise: Exercise, answer: Any) -> str:
    """What to praise, if the answer is right. Raises _NotAnswered or _Wrong."""
    if _is_open(answer):
        raise _NotAnswered("replace the ... and run the cell again")
    if exercise.reference is not None:
        return _examine_function(exercise, answer)
    if exercise.judge is not None:
        verdict = _judged(exercise, answer)
    else:
        expected = exercise.value()
        verdict = (
            None
            if _equal(exercise, answer, expected)
            else Verdict("another value", answer, _hint_for(exercise, answer) or exercise.hint)
        )
    if verdict:
        raise _Wrong(
            expected=_text(verdict.expected), got=_render(exercise, verdict.got), hint=verdict.hint
        )
    return "right."


def _hint_for(exercise: Exercise, got: Any) -> str | None:
    with contextlib.suppress(Exception):  # a wrong answer may be of any kind
        return exercise.hints_for(got) if exercise.hints_for else None
    return None


def _judged(exercise: Exercise, answer: Any) -> Verdict | None:
    """A judge may call functions of the learner's: they are stopped,
    silenced and caught like any answer.
    """
    try:
        with _time_limit(exercise.seconds), contextlib.redirect_stdout(io.StringIO()):
            return exercise.judge(answer)
    except _TooSlow:
        return Verdict(
            f"an end within {exercise.seconds:g} seconds", "none", "Does a loop never end?"
        )
    except KeyboardInterrupt:
        return Verdict("an end", "interrupted")
    except (Exception, SystemExit) as error:
        return Verdict("an answer that can be looked at", _error_in_words(error), exercise.hint)


def _equal(exercise: Exercise, got: Any, expected: Any) -> bool:
    try:
        return bool((exercise.same or same)(got, expected))
    except Exception:  # a wrong answer may be of any kind
        return False


def _text(expected: Any) -> str:
    return expected if isinstance(expected, str) else show(expected)


def _examine_function(exercise: Exercise, answer: Any) -> str:
    if not callable(answer):
        raise _Wrong(
            expected="your function itself",
            got=show(answer),
            hint="Its name alone, without parentheses.",
        )
    cases = exercise.cases()
    try:
        with _time_limit(exercise.seconds):
            for number, case in enumerate(cases):
                _examine_case(exercise, answer, case, first=number == 0)
    except _TooSlow:  # not within the learner's function: while its result was looked at
        raise _Wrong(
            got=f"no end within {exercise.seconds:g} seconds", hint="How large is your result?"
        ) from None
    return f"right on all {len(cases)} cases."


def _examine_case(
    exercise: Exercise, answer: Callable[..., Any], case: Case, *, first: bool
) -> None:
    """Compare one call with the reference's. Raises _NotAnswered or _Wrong."""
    hint = case.hint or exercise.hint
    call = _call_in_words(exercise, answer, case)
    expected = exercise.reference(*copy.deepcopy(case.args), **copy.deepcopy(dict(case.kwargs)))
    args, kwargs = copy.deepcopy(case.args), copy.deepcopy(dict(case.kwargs))
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            got = answer(*args, **kwargs)
            got = list(got) if inspect.isgenerator(got) else got
    except _TooSlow:
        raise _Wrong(
            call=call, got=f"no answer within {exercise.seconds:g} seconds: does a loop never end?"
        ) from None
    except KeyboardInterrupt:
        raise _Wrong(call=call, got="interrupted") from None
    except (Exception, SystemExit) as error:
        # torch raises NotImplementedError too, with a message.
        if isinstance(error, NotImplementedError) and not error.args:
            raise _NotAnswered("replace the line that raises NotImplementedError") from None
        raise _Wrong(
            call=call,
            error=_error_in_words(error),
            **_learners_line(error.__traceback__),
            hint=hint,
        ) from None
    if first and (_is_open(got) or (got is None and expected is not None)):
        raise _NotAnswered(
            "your function returns None; is a return missing?"
            if got is None
            else "replace the ... and run the cell again"
        )
    changed = (
        "" if same(args, case.args) else "your function changes what it is given; work on a copy"
    )
    if changed and exercise.keeps_arguments and _equal(exercise, got, expected):
        raise _Wrong(
            call=call,
            got="the right result, but what was given is no longer what it was",
            hint=changed,
        )
    if not _equal(exercise, got, expected):
        expected, got, which = _part_that_differs(exercise, got, expected)
        raise _Wrong(
            call=call,
            differs=which,
            expected=_render(exercise, expected),
            got=_render(exercise, got),
            printed=show(printed.getvalue()) if printed.getvalue() else "",
            note=changed,
            hint=hint,
        )


def _part_that_differs(exercise: Exercise, got: Any, expected: Any) -> tuple[Any, Any, str]:
    """Expected and got; where several arrays are asked for, the first pair that differs,
    and which one that is.
    """
    several = (
        isinstance(expected, tuple) and isinstance(got, list | tuple) and len(got) == len(expected)
    )
    if exercise.same is None and several and any(hasattr(part, "shape") for part in expected):
        place = next(
            place
            for place, pair in enumerate(zip(got, expected, strict=True))
            if not _equal(exercise, *pair)
        )
        return expected[place], got[place], f"result {place + 1} of {len(expected)}"
    return expected, got, ""


def _is_open(value: Any) -> bool:
    """Whether an answer still holds the starter's "..."."""
    if isinstance(value, Mapping):
        value = [*value.values()]
    if isinstance(value, list | tuple):
        return any(map(_is_open, value))
    return value is ... or value is NotImplemented


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise _TooSlow in the block after this time, where the system has an alarm;
    else say how to interrupt.
    """
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        words = "(If this does not end: Kernel > Interrupt.)"
        # The stdout of now: what an answer itself prints is caught.
        reminder = threading.Timer(min(seconds / 2, 3.0), print, [words], {"file": sys.stdout})
        reminder.start()
        try:
            yield
        finally:
            reminder.cancel()
        return

    def stop(number: int, frame: object) -> None:
        raise _TooSlow

    former = signal.signal(signal.SIGALRM, stop)
    try:
        # Again and again, every 0.1 seconds, in case a bare "except:" swallowed it.
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def _error_in_words(error: BaseException) -> str:
    with contextlib.suppress(Exception):  # a learner's own error may be of any kind
        return f"{type(error).__name__}: {error}"[:WIDTH]
    return type(error).__name__


def _learners_line(traceback: TracebackType | None) -> dict[str, str]:
    """The last line of the learner's own file in a traceback, as a row of the message."""
    frames = []
    while traceback is not None:
        frames.append((traceback.tb_frame.f_code.co_filename, traceback.tb_lineno))
        traceback = traceback.tb_next
    learners = [frame for frame in frames if frame[0] != __file__]
    own = [frame for frame in learners if frame[0] == learners[0][0]]
    if not own:
        return {}
    file, line = own[-1]
    return {f"line {line}": linecache.getline(file, line).strip()}


def _render(exercise: Exercise, value: Any, *, with_shape: bool = True) -> str:
    try:
        return exercise.show(value) if exercise.show else show(value, with_shape=with_shape)
    except Exception:  # a wrong answer may be of any kind
        return show(value, with_shape=with_shape)


def _call_in_words(exercise: Exercise, answer: Callable[..., Any], case: Case) -> str:
    words = [_render(exercise, value, with_shape=False) for value in case.args]
    words += [
        f"{name}={_render(exercise, value, with_shape=False)}"
        for name, value in case.kwargs.items()
    ]
    return f"{getattr(answer, '__name__', type(answer).__name__)}({', '.join(words)})"


# --- progress -------------------------------------------------------------------------------------


def progress() -> dict[str, tuple[int, int]]:
    """{notebook: (exercises solved, exercises there are)} of every notebook with exercises."""
    solved = _read_progress()
    totals = {}
    for notebook in _check_modules():
        exercises = set(_exercises_of(notebook))
        totals[notebook] = (len(solved.get(notebook, set()) & exercises), len(exercises))
    return totals


def _progress_file() -> Path:
    """$COURSE_PROGRESS_FILE, or a file in the home folder;
    OSError if the variable is empty: none is wanted.
    """
    named = os.environ.get("COURSE_PROGRESS_FILE")
    if named == "":
        raise OSError("COURSE_PROGRESS_FILE is empty: nothing is remembered")
    return Path(named).expanduser() if named else Path.home() / ".words_to_bert_progress.json"


def _read_progress() -> dict[str, set[str]]:
    """What is solved; nothing, if the file is missing, broken or of another kind."""
    try:
        saved = json.loads(_progress_file().read_text(encoding="utf-8"))
        return {str(notebook): set(map(str, names)) for notebook, names in saved.items()}
    except (OSError, ValueError, AttributeError, TypeError, RuntimeError):
        return {}


def _remember(number: str) -> None:
    """Add an exercise to those solved; a file that cannot be written is no reason to fail."""
    notebook, _, name = number.partition(".")
    solved = _read_progress()  # just now: another notebook may have written meanwhile
    solved.setdefault(notebook, set()).add(name)
    content = json.dumps({key: sorted(names) for key, names in sorted(solved.items())}, indent=1)
    with contextlib.suppress(OSError, RuntimeError):
        path = _progress_file()
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(content + "\n", encoding="utf-8")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
