"""Fine-tune a BERT to tell good reviews from bad ones, and measure it.

Writes into --output-dir: result.json (accuracy with its interval, beside the TF-IDF baseline's), and the model with
its config and tokenizer, a folder that transformers loads. Started again with the same --output-dir, it goes on where
it was stopped, or killed; a finished run only shows its result again.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from course_utils.config import ClassificationConfig, TrainConfig

EPILOG = """examples:
  python -m course_utils.finetune
  python -m course_utils.finetune --dataset imdb --checkpoint bert-base-uncased --max-length 512 --output-dir runs/imdb
  torchrun --standalone --nproc-per-node 2 -m course_utils.finetune --dataset imdb --checkpoint bert-base-uncased
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line: one option for each field of ClassificationConfig and TrainConfig."""
    parser = argparse.ArgumentParser(prog="python -m course_utils.finetune", description=__doc__, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    run = parser.add_argument_group("the run")
    run.add_argument("--output-dir", type=Path, default=Path("runs/finetune"), metavar="DIR",
                     help="where the model and result.json go [runs/finetune]")
    run.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True,
                     help="go on with what --output-dir holds; --no-resume deletes that run and starts anew [--resume]")
    run.add_argument("--stop-after", type=int, metavar="N", help="save and stop after N updates in all")
    for title, config in (("what to learn, from what", ClassificationConfig), ("the recipe", TrainConfig)):
        group = parser.add_argument_group(title)
        for setting in fields(config):
            _add_option(group, setting.name, setting.default, setting.metadata["help"])
    return parser


def _add_option(group: argparse._ArgumentGroup, name: str, default: Any, help: str) -> None:
    option = "--" + name.replace("_", "-")
    help = f"{help} [{default}]".replace("%", "%%")
    if isinstance(default, bool):
        group.add_argument(option, action=argparse.BooleanOptionalAction, default=default, help=help)
    else:
        kind = type(default)
        group.add_argument(option, type=kind, default=default, metavar=kind.__name__.upper(), help=help)


def command_in_words(arguments: Sequence[str]) -> str:
    """The command that was given, with every path of this machine as a shell variable: `--output-dir $OUTPUT_DIR`."""
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
    return " ".join(["python -m course_utils.finetune", *shown])


def _is_path(option: str, value: str) -> bool:
    return option == "--output-dir" or (option == "--checkpoint" and Path(value).expanduser().exists())


def _variable(option: str) -> str:
    return option.strip("-").replace("-", "_").upper()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for a failure told in one line, 130 when interrupted."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = build_parser()
    options = vars(parser.parse_args(arguments))
    try:
        task, config = (kind.from_dict({setting.name: options[setting.name] for setting in fields(kind)})
                        for kind in (ClassificationConfig, TrainConfig))
    except ValueError as error:
        parser.error(str(error))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads; busy waiting stalls shared cores
    from course_utils.classification import finetune  # only now: --help should not wait for torch

    output_dir = options["output_dir"]
    try:
        result = finetune(task, config, output_dir, resume=options["resume"], stop_after=options["stop_after"],
                          progress=True, command=command_in_words(arguments))
    except KeyboardInterrupt as error:
        print(f"\n{error or 'interrupted'}", file=sys.stderr)
        return 130
    except (ValueError, OSError, RuntimeError, FloatingPointError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if os.environ.get("RANK", "0") == "0":
        print(summary(result, output_dir))
    return 0


def summary(result: dict[str, Any] | None, output_dir: Path) -> str:
    """The outcome in a few lines for people."""
    if result is None:
        return f"stopped and saved in {output_dir}; the same command without --stop-after goes on"
    low, high = result["interval"]
    return "\n".join([
        f"computed with {result['precision']['reason']}",
        f"accuracy {100 * result['accuracy']:.2f} % (95 % interval {100 * low:.2f} to {100 * high:.2f}), "
        f"F1 {100 * result['f1']:.2f} %, on {result['test_examples']:,} {result['scored_split']} reviews",
        f"TF-IDF baseline {100 * result['baseline_accuracy']:.2f} %, same reviews",
        f"{result['train_seconds']:.0f} s of training, {result['examples_per_second']:.1f} examples/s; "
        f"model and result.json in {output_dir}"])


if __name__ == "__main__":
    sys.exit(main())
