"""Merge the runs of one fine-tune with several seeds into one record.

Run the fine-tune once per seed, each into a folder of its own, and name these folders:

    python -m course_utils.finetune --dataset imdb --seed 0 --output-dir runs/imdb-0 ...
    python -m course_utils.finetune --dataset imdb --seed 1 --output-dir runs/imdb-1 ...
    python -m experiments.merge_seeds runs/imdb-0 runs/imdb-1 --output data/results/imdb_NAME.json

A record on IMDb that was scored on the test split then appears in the README's table:
run python scripts/results_table.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from course_utils.files import read_json
from experiments.command_line import exit_status, make_parser
from experiments.record import merge_seeds, write_record


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("merge_seeds", __doc__)
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="FOLDER", help="folders that hold a result.json"
    )
    parser.add_argument(
        "--model-name", help="what the README's table calls the model [the checkpoint's name]"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the record")
    return parser


def merge(folders: Sequence[Path], model_name: str | None) -> dict[str, Any]:
    """The merged record of finished runs. Raises ValueError if a folder holds no result.json."""
    runs = []
    for folder in folders:
        path = folder / "result.json"
        if not path.exists():
            raise ValueError(f"{path} does not exist; expected the folder of a finished fine-tune")
        runs.append(read_json(path))
    record = merge_seeds(runs)
    if model_name:
        record = {"model_name": model_name, **record}
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = build_parser().parse_args(arguments)
    return exit_status(
        lambda: write_record(options.output, merge(options.runs, options.model_name))
    )


if __name__ == "__main__":
    raise SystemExit(main())
