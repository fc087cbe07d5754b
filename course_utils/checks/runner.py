"""The machinery of the exercises' checks: run an answer, compare it, say what came of it, remember what is solved."""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
import io
import json
import linecache
import math
import numbers
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

TOPICS = {"00": "start_here", "01": "words_to_vectors", "02": "tokenization", "03": "embeddings", "04": "attention",
          "05": "bert_math", "06": "pretraining", "07": "bert_gpt_roberta", "08": "finetuning", "09": "imdb",
          "10": "evaluation"}
WIDTH = 160  # characters of a value that a message shows


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
    """One exercise; its answer is a function (reference and cases), a value (value), or free (judge).

    cases: the hidden calls, smallest first. hint: where a case has none. hints_for(got): a hint for this wrong value.
    judge(answer): None if it is right. same(got, expected): another comparison than `same`. show(value): another
    rendering. seconds: the time that all cases may take together.
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


class _NotAnswered(Exception):
    """The answer is still the starter's; the message says why it looks so."""


class _Wrong(Exception):
    """The rows of a message about a wrong answer: (name, text)."""

    def __init__(self, **rows: str) -> None:
        self.rows = {name: text for name, text in rows.items() if text}


class _TooSlow(BaseException):  # not an Exception: a learner's "except Exception" must not swallow it
    """The time of all cases is over."""


# --- one check ---------------------------------------------------------------------------------------------------


def check(number: str, answer: Any) -> None:
    """Check an answer to exercise `number` ("02.3") and print what came of it; a right one is remembered.

    answer: the learner's function itself, or a value where the exercise asks for one. Nothing that the answer does
    raises here. Raises ValueError for an exercise that does not exist.
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
    notebook, _, name = str(number).partition(".")
    if notebook not in TOPICS or not isinstance(number, str):
        raise ValueError(f'exercises have numbers such as "02.3", in quotes, of notebooks {", ".join(TOPICS)}; got '
                         f"{number!r}")
    exercises = exercises_of(notebook)
    if name not in exercises:
        raise ValueError(f"notebook {notebook} has the exercises "
                         f"{', '.join(f'{notebook}.{known}' for known in exercises)}; got {number!r}")
    return exercises[name]


def exercises_of(notebook: str) -> dict[str, Exercise]:
    """The exercises of a notebook ("02") by their number within it; none if it has no checks yet."""
    name = f"{__package__}.{TOPICS[notebook]}"
    try:
        return importlib.import_module(name).EXERCISES
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return {}


def _examine(exercise: Exercise, answer: Any) -> str:
    """What to praise, if the answer is right. Raises _NotAnswered or _Wrong."""
    if _is_open(answer):
        raise _NotAnswered("replace the ... and run the cell again")
    if exercise.reference is not None:
        return _examine_function(exercise, answer)
    if exercise.judge is not None:
        verdict = exercise.judge(answer)
    else:
        expected = exercise.value()
        verdict = None if (exercise.same or same)(answer, expected) else Verdict(
            "another value", answer, (exercise.hints_for and exercise.hints_for(answer)) or exercise.hint)
    if verdict:
        raise _Wrong(expected=_text(verdict.expected), got=_render(exercise, verdict.got), hint=verdict.hint)
    return "right."


def _text(expected: Any) -> str:
    return expected if isinstance(expected, str) else show(expected)


def _examine_function(exercise: Exercise, answer: Any) -> str:
    if not callable(answer):
        raise _Wrong(expected="your function itself", got=show(answer), hint="Its name alone, without parentheses.")
    cases = exercise.cases()
    with _time_limit(exercise.seconds):
        for number, case in enumerate(cases):
            _examine_case(exercise, answer, case, first=number == 0)
    return f"right on all {len(cases)} cases."


def _examine_case(exercise: Exercise, answer: Callable[..., Any], case: Case, *, first: bool) -> None:
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
        raise _Wrong(call=call, got=f"no answer within {exercise.seconds:g} seconds: does a loop never end?") from None
    except KeyboardInterrupt:
        raise _Wrong(call=call, got="interrupted") from None
    except NotImplementedError:
        raise _NotAnswered("replace the line that raises NotImplementedError") from None
    except (Exception, SystemExit) as error:
        raise _Wrong(call=call, error=f"{type(error).__name__}: {error}"[:WIDTH],
                     **_learners_line(error.__traceback__), hint=hint) from None
    if first and (_is_open(got) or (got is None and expected is not None)):
        raise _NotAnswered("your function returns None; is a return missing?" if got is None
                           else "replace the ... and run the cell again")
    if not (exercise.same or same)(got, expected):
        changed = "" if same(args, case.args) else "your function changes what it is given; work on a copy"
        raise _Wrong(call=call, expected=_render(exercise, expected), got=_render(exercise, got),
                     printed=show(printed.getvalue()) if printed.getvalue() else "", note=changed, hint=hint)


def _is_open(value: Any) -> bool:
    """Whether an answer still holds the starter's "..."."""
    if isinstance(value, Mapping):
        value = [*value.values()]
    if isinstance(value, list | tuple):
        return any(map(_is_open, value))
    return value is ... or value is NotImplemented


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise _TooSlow in the block after this time, where the system has an alarm; else say how to interrupt."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        print("(If this does not end: Kernel > Interrupt.)")
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise _TooSlow

    former = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)  # again and again, if a bare "except:" swallowed it
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


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


# --- comparison and words ----------------------------------------------------------------------------------------


def same(got: Any, expected: Any) -> bool:
    """Equality as a learner would understand it.

    Numbers and arrays to 1e-6 of their size, or 1e-8; arrays and tensors by shape and kind (a mask is no number);
    list and tuple are alike, order counts; dictionaries by their items. NaN equals NaN.
    """
    if isinstance(expected, np.ndarray) or hasattr(expected, "detach"):
        return _same_array(got, expected)
    if isinstance(expected, bool | np.bool_):
        return isinstance(got, bool | np.bool_) and bool(got) == bool(expected)
    if isinstance(expected, numbers.Real):
        return _is_number(got) and _same_array(float(got), float(expected))
    if isinstance(expected, list | tuple):
        got = got.tolist() if hasattr(got, "tolist") else got
        return (isinstance(got, list | tuple) and len(got) == len(expected)
                and all(map(same, got, expected)))
    if isinstance(expected, Mapping):
        return (isinstance(got, Mapping) and got.keys() == expected.keys()
                and all(same(got[key], value) for key, value in expected.items()))
    return type(got) is type(expected) and bool(got == expected)


def _is_number(value: Any) -> bool:
    value = value.item() if getattr(value, "shape", None) == () else value
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _same_array(got: Any, expected: Any) -> bool:
    try:
        one, other = (np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
                      for value in (got, expected))
    except (ValueError, TypeError, RuntimeError):  # rows of several lengths, say
        return False
    if one.shape != other.shape or (one.dtype.kind == "b") != (other.dtype.kind == "b"):
        return False
    if one.dtype.kind not in "biuf" or other.dtype.kind not in "biuf":
        return bool(np.array_equal(one, other))
    return bool(np.allclose(one, other, rtol=1e-6, atol=1e-8, equal_nan=True))


def show(value: Any, *, with_shape: bool = True) -> str:
    """A value in one short line, without memory addresses; arrays with their shape, if that is wanted."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        rows = np.array2string(value, separator=", ", precision=4, threshold=24, edgeitems=2, max_line_width=10_000)
        text = " ".join(rows.split()) + (f", shape {list(value.shape)}" if with_shape else "")
    elif isinstance(value, float | np.floating):
        text = f"{float(value):.6g}" if math.isfinite(value) else str(float(value))
    elif callable(value):
        text = f"the function {getattr(value, '__name__', type(value).__name__)}"
    else:
        text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 40]} ... {text[-30:]}"


def _render(exercise: Exercise, value: Any, *, with_shape: bool = True) -> str:
    try:
        return exercise.show(value) if exercise.show else show(value, with_shape=with_shape)
    except Exception:  # a wrong answer may be of any kind
        return show(value, with_shape=with_shape)


def _call_in_words(exercise: Exercise, answer: Callable[..., Any], case: Case) -> str:
    words = [_render(exercise, value, with_shape=False) for value in case.args]
    words += [f"{name}={_render(exercise, value, with_shape=False)}" for name, value in case.kwargs.items()]
    return f"{getattr(answer, '__name__', type(answer).__name__)}({', '.join(words)})"


# --- progress ----------------------------------------------------------------------------------------------------


def progress() -> dict[str, tuple[int, int]]:
    """{notebook: (exercises solved, exercises there are)} of every notebook with exercises."""
    solved = _read_progress()
    totals = {notebook: exercises_of(notebook) for notebook in TOPICS}
    return {notebook: (len(solved.get(notebook, set()) & set(exercises)), len(exercises))
            for notebook, exercises in totals.items() if exercises}


def _progress_file() -> Path:
    """$COURSE_PROGRESS_FILE, or a file in the home folder; OSError if the variable is empty: none is wanted."""
    named = os.environ.get("COURSE_PROGRESS_FILE")
    if named == "":
        raise OSError("COURSE_PROGRESS_FILE is empty: nothing is remembered")
    return Path(named).expanduser() if named else Path.home() / ".words_to_bert_progress.json"


def _read_progress() -> dict[str, set[str]]:
    """What is solved; nothing, if the file is missing, broken or of another kind."""
    try:
        saved = json.loads(_progress_file().read_text(encoding="utf-8"))
        return {str(notebook): {str(name) for name in names} for notebook, names in saved.items()}
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
