"""What every program owes: a help that is whole, a place in the README, and a stored command that
still works.
"""

import ast
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from course_utils.files import COURSE_ROOT
from experiments.record import RESULTS

FOLDER = COURSE_ROOT / "experiments"
COURSE_BERT = "data/checkpoints/course-bert"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
PROGRAMS = sorted(
    path.stem
    for path in FOLDER.glob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)
SHARED = sorted({path.stem for path in FOLDER.glob("*.py")} - {*PROGRAMS, "__init__"})
PREFIX = "python -m experiments."
each_program = pytest.mark.parametrize("name", PROGRAMS)


def commands_in(value: Any) -> Iterator[str]:
    """Every command in a record, at whatever depth."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name == "command":
                yield part
            else:
                yield from commands_in(part)
    if isinstance(value, list):
        for part in value:
            yield from commands_in(part)


def stored_commands() -> list[tuple[str, str]]:
    """(record, command) of everything that was measured by a program in this folder."""
    found = set()
    for path in RESULTS.glob("*.json"):
        for command in commands_in(json.loads(path.read_text(encoding="utf-8"))):
            if command.startswith(PREFIX):
                found.add((path.name, command))
    return sorted(found)


@each_program
def test_the_help_shows_the_whole_docstring(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", os.environ.get("TOKENIZERS_PARALLELISM", "1"))
    monkeypatch.setenv("RAYON_NUM_THREADS", os.environ.get("RAYON_NUM_THREADS", "1"))
    program = importlib.import_module(f"experiments.{name}")
    with pytest.raises(SystemExit) as stop:
        program.main(["--help"])
    help_text = capsys.readouterr().out
    assert stop.value.code == 0
    assert program.__doc__.strip() in help_text
    assert help_text.startswith(f"usage: {PREFIX}{name} ")


def test_a_program_starts_from_the_repositorys_root() -> None:
    command = [sys.executable, "-m", "experiments.merge_seeds", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=COURSE_ROOT)
    assert done.returncode == 0 and done.stderr == ""


def test_the_readme_names_every_program_and_its_record() -> None:
    rows = re.findall(r"^\| `(\w+)` \|(.*)$", README, re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted([*PROGRAMS, *SHARED])
    cells = dict(rows)
    for record, command in stored_commands():
        name = command.removeprefix(PREFIX).split()[0]
        assert record in cells[name], f"{record} was measured by {name}"
    for record in re.findall(r"\.\./data/results/([\w.]+)\)", README):
        assert (RESULTS / record).is_file(), record


def test_there_are_stored_commands_of_every_measuring_program() -> None:
    names = {command.removeprefix(PREFIX).split()[0] for _, command in stored_commands()}
    assert names == {*PROGRAMS} - {"merge_seeds"}


@pytest.mark.parametrize(("record", "command"), stored_commands())
def test_a_stored_command_is_still_understood(
    record: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its program has these options; a path is a shell variable."""
    name, *arguments = shlex.split(command.removeprefix(PREFIX))
    program = importlib.import_module(f"experiments.{name}")
    if name in ("evaluation_answers", "pretraining_toys"):
        parser = program.build_parser(name, program.__doc__, program.RECORD)
    else:
        parser = program.build_parser()
    parser.parse_args(arguments)
    paths = [word for word in arguments if "/" in word]
    assert paths == []


# --- plain code -----------------------------------------------------------------------------------

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_no_comprehension_lies_within_another(path: Path) -> None:
    nested = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, COMPREHENSIONS):
            inner = [part for part in ast.walk(node) if isinstance(part, COMPREHENSIONS)]
            if len(inner) > 1:
                nested.append(node.lineno)
    assert nested == []


# --- the stored records ---------------------------------------------------------------------------

GROWING = {  # {record: (its program, what it would call to measure more)}
    "course_seeds.json": ("seeds", "FineTune"),
    "finetuning_labels.json": ("finetuning_labels", "make_bench"),
    "finetuning_choices.json": ("finetuning_choices", "Workbench"),
    "objectives.json": ("objectives", "measure_one"),
}


class Untouchable:
    """Stands in for whatever measures: to use it is an error."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.folders = dict.fromkeys(("course-bert", "early", "middle", "late"))

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was used: something is missing in the record")


def never(*_: Any, **__: Any) -> None:
    raise AssertionError("something is missing in the record")


@pytest.mark.parametrize("record", GROWING)
def test_the_stored_record_is_complete_and_can_be_continued(
    record: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own command, started again with it, finds the same identity and nothing to measure."""
    name, measuring = GROWING[record]
    program = importlib.import_module(f"experiments.{name}")
    monkeypatch.setattr(program, measuring, never if measuring == "measure_one" else Untouchable)
    output = tmp_path / record
    output.write_bytes((RESULTS / record).read_bytes())

    command = json.loads(output.read_text(encoding="utf-8"))["command"]
    command = command.replace("$OUTPUT", output.as_posix())
    command = command.replace("$CHECKPOINT", (COURSE_ROOT / COURSE_BERT).as_posix())
    assert program.main(shlex.split(command.removeprefix(PREFIX))[1:]) == 0
    assert output.read_bytes() == (RESULTS / record).read_bytes()
