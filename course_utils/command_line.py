"""What the command lines of finetune and pretrain share: options from the configurations,
errors in one line.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from course_utils.progress import is_first_process, log_on_stderr


def build_parser(
    name: str, description: str | None, epilog: str, task: type, recipe: type
) -> argparse.ArgumentParser:
    """The command line of `python -m course_utils.NAME`: one option for each field of
    the two configurations.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m course_utils.{name}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--output-dir",
        type=_folder,
        default=Path(f"runs/{name}"),
        metavar="DIR",
        help=f"where the model and result.json go [runs/{name}]",
    )
    run.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with what --output-dir holds; --no-resume deletes that run and "
        "starts anew [--resume]",
    )
    run.add_argument(
        "--stop-after", type=_count, metavar="N", help="save and stop after N updates in all"
    )
    for title, config in (("what to learn, from what", task), ("the recipe", recipe)):
        group = parser.add_argument_group(title)
        for setting in fields(config):
            _add_option(group, setting.name, setting.default, setting.metadata["help"])
    return parser


def _folder(name: str) -> Path:
    if not name:  # which Path would take for the current folder
        raise argparse.ArgumentTypeError("expected a folder, got an empty name")
    return Path(name).expanduser()


def _count(number: str) -> int:
    if not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {number!r}")
    return int(number)


def _add_option(group: argparse._ArgumentGroup, name: str, default: Any, help: str) -> None:
    option = "--" + name.replace("_", "-")
    help = f"{help} [{default}]".replace("%", "%%")
    if isinstance(default, bool):
        group.add_argument(
            option, action=argparse.BooleanOptionalAction, default=default, help=help
        )
    else:
        kind = type(default)
        group.add_argument(
            option, type=kind, default=default, metavar=kind.__name__.upper(), help=help
        )


def command_in_words(name: str, arguments: Sequence[str]) -> str:
    """The command that was given, with every path of this machine as a shell variable:
    `--output-dir $OUTPUT_DIR`.
    """
    words, shown = list(arguments), []
    for number, word in enumerate(words):
        option, _, value = word.partition("=")
        before = words[number - 1] if number else ""
        if value and _is_path(option, value):
            shown.append(f"{option}=${_variable(option)}")
        elif before.startswith("--") and "=" not in before and _is_path(before, word):
            shown.append(f"${_variable(before)}")
        else:
            shown.append(shlex.quote(word))
    return " ".join([f"python -m course_utils.{name}", *shown])


def _is_path(option: str, value: str) -> bool:
    may_be_a_folder = option in ("--checkpoint", "--start-from")  # or a name
    return option == "--output-dir" or (may_be_a_folder and Path(value).expanduser().exists())


def _variable(option: str) -> str:
    return option.strip("-").replace("-", "_").upper()


def _read_config(kind: type, options: Mapping[str, Any]) -> Any:
    """A configuration from the options of the same names."""
    return kind.from_dict({setting.name: options[setting.name] for setting in fields(kind)})


def run(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    task: type,
    recipe: type,
    job: Callable[..., dict[str, Any] | None],
    summary: Callable[[dict[str, Any] | None, Path], str],
) -> int:
    """Read the arguments, do the job, print its summary.

    Returns the exit status: 0, 1 for a failure told in one line, 130 when interrupted. `job` is
    called with the two configurations, the folder, and resume, stop_after, progress and command.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = vars(parser.parse_args(arguments))
    try:
        configs = [_read_config(kind, options) for kind in (task, recipe)]
    except ValueError as error:
        parser.error(str(error))
    # Read when torch loads; busy waiting would stall shared cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    name, output_dir = parser.prog.rpartition(".")[2], options["output_dir"]
    if "torch" not in sys.modules and is_first_process():
        # It takes some seconds, on a cold disk more.
        print(f"{name}: loading PyTorch ...", file=sys.stderr, flush=True)
    try:
        with log_on_stderr():
            result = job(
                *configs,
                output_dir,
                resume=options["resume"],
                stop_after=options["stop_after"],
                progress=True,
                command=command_in_words(name, arguments),
            )
    except KeyboardInterrupt as error:
        print(f"\n{error or 'interrupted'}", file=sys.stderr)
        return 130
    except (ValueError, OSError, RuntimeError, ArithmeticError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if is_first_process():
        print(summary(result, output_dir))
    return 0
