"""What the command lines of all experiments share: their help, their errors, and the command that
a record stores.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any


def make_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The parser of `python -m experiments.NAME`, with the module's whole docstring as its help."""
    return argparse.ArgumentParser(
        prog=f"python -m experiments.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_dataset(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --dataset: a name that `course_utils.data.load_reviews` knows."""
    parser.add_argument(
        "--dataset", default=default, metavar="NAME", help='"course" or "imdb" [%(default)s]'
    )


def add_output(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Add --output: the record's file. Where it is required, the record grows run by run."""
    words = (
        "the record, as JSON: written after every run, and continued if it exists already"
        if required
        else "where to write the record, as JSON; without it, the result is only printed"
    )
    parser.add_argument("--output", type=Path, required=required, metavar="FILE", help=words)


def command_in_words(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    *,
    shown: Mapping[str, Any] | None = None,
    leave_out: Collection[str] = (),
) -> str:
    """The command that measures the same again, without any path of this machine.

    Options with their default value are left out. A path becomes a shell variable that is named
    after its option: `--output $OUTPUT`.

    parser: the program's own; options: what it parsed.
    shown: {option: value} to write in place of the value in `options`.
    leave_out: options that do not change what is measured.
    """
    words = [parser.prog]
    for name, parsed in vars(options).items():
        if name in leave_out or parsed == parser.get_default(name):
            continue
        value = (shown or {}).get(name, parsed)
        words += _option_in_words(name, value)
    return " ".join(words)


def _option_in_words(name: str, value: Any) -> list[str]:
    """The words of one option: `--name value`, `--name a b c` for a list, `--name` for True."""
    option = f"--{name.replace('_', '-')}"
    if value is True:
        return [option]
    if isinstance(value, Path):
        return [option, f"${name.upper()}"]
    if not isinstance(value, list | tuple):
        return [option, _quoted(value)]
    if value and isinstance(value[0], list | tuple):  # an option that may be given several times
        words = []
        for one in value:
            words += _option_in_words(name, one)
        return words
    return [option, *(_quoted(one) for one in value)]


def _quoted(value: Any) -> str:
    """A word as the shell needs it. A shell variable stays one."""
    word = str(value)
    return word if word.startswith("$") else shlex.quote(word)


def exit_status(program: Callable[[], int | None]) -> int:
    """Run a program. Returns its own exit status (0 for None), or 1 after an error, which is told
    in one line on stderr.
    """
    try:
        return program() or 0
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
