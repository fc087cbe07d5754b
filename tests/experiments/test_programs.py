"""What every program owes: a help that is whole, a place in the README, and a stored command that
still works.
"""

import argparse
import ast
import importlib
import json
import re
import runpy
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
WITHOUT_RECORD = {"merge_seeds"}  # it measures nothing
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


class Parsed(Exception):
    """The command line was understood."""


def start(name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a program as `python -m experiments.NAME ARGUMENTS` does. Raises Parsed as soon as it has
    understood its arguments, and SystemExit if it has not.
    """
    parse_args = argparse.ArgumentParser.parse_args

    def parse(self: argparse.ArgumentParser, given: list[str] | None = None) -> None:
        parse_args(self, given)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    for variable in ("TOKENIZERS_PARALLELISM", "RAYON_NUM_THREADS"):
        monkeypatch.setenv(variable, "1")  # so that what a program sets is taken back
    path = FOLDER / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    runpy.run_path(str(path), run_name="__main__")


@each_program
def test_the_help_shows_the_whole_docstring(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as stop:
        start(name, ["--help"], monkeypatch)
    help_text = capsys.readouterr().out
    docstring = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")))
    assert stop.value.code == 0
    assert docstring in help_text
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


def test_there_is_a_record_of_every_measuring_program() -> None:
    stored = {command.removeprefix(PREFIX).split()[0] for _, command in stored_commands()}
    assert {*PROGRAMS} - stored - WITHOUT_RECORD == set()


@pytest.mark.parametrize(("record", "command"), stored_commands())
def test_a_stored_command_is_still_understood(
    record: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its program has these options. A path is a shell variable."""
    name, *arguments = shlex.split(command.removeprefix(PREFIX))
    assert [word for word in arguments if "/" in word] == []
    with pytest.raises(Parsed):
        start(name, arguments, monkeypatch)


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
