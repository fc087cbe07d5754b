"""Run a notebook with its training switched on, and keep what its models answered. Used by
evaluation_answers and pretraining_toys.

The notebook itself is run, with TRAIN = True and cells of our own that note what was asked and
answered. So nothing that the notebook asks can be missing from the record. The notebook's file
stays as it is.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from run_notebooks import make_client, read_notebook

from course_utils.files import read_json
from experiments.command_line import command_in_words, make_parser
from experiments.record import origin, write_record

SWITCH = "TRAIN = False"  # what the notebook must hold
PACKAGES = ("torch", "transformers", "datasets", "scikit-learn")


@dataclass(frozen=True)
class Recording:
    """How a notebook is recorded.

    notebook: its file.
    asking: what the cell contains that defines how a model is asked.
    note: code to run after that cell, which notes the answers; may be empty.
    keep: code to run at the end, which writes the answers to {path!r}, as JSON.
    """

    notebook: Path
    asking: str
    note: str
    keep: str


def prepare(
    notebook: nbformat.NotebookNode, recording: Recording, path: Path
) -> nbformat.NotebookNode:
    """The notebook, changed so that it trains, notes questions and answers, and writes them to
    `path`.

    Raises ValueError if it lacks the switch or the function that asks.
    """
    switch, asking = None, None
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if switch is None and SWITCH in cell.source:
            switch = cell
        if asking is None and recording.asking in cell.source:
            asking = cell
    if switch is None or asking is None:
        raise ValueError(
            f"the notebook must hold a cell with {SWITCH!r} and one with {recording.asking!r}"
        )
    switch.source = switch.source.replace(SWITCH, "TRAIN = True")
    place = notebook.cells.index(asking) + 1
    notebook.cells.insert(place, nbformat.v4.new_code_cell(recording.note))
    notebook.cells.append(nbformat.v4.new_code_cell(recording.keep.format(path=str(path))))
    return notebook


def answers_of(recording: Recording, timeout: float) -> dict[str, Any]:
    """Run the notebook in a fresh kernel; returns what its last cell wrote.

    timeout: seconds that one cell may take. Raises RuntimeError if a cell fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(COURSE_RUNS_DIR=folder, COURSE_PROGRESS_FILE="")
        written = Path(folder) / "answers.json"
        notebook = prepare(read_notebook(recording.notebook), recording, written)
        try:
            make_client(notebook, recording.notebook, timeout).execute()
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise RuntimeError(f"{recording.notebook.name} failed: {error}") from error
        return read_json(written)


def build_parser(name: str, description: str | None, record: Path) -> argparse.ArgumentParser:
    """The command line of a program that records a notebook."""
    parser = make_parser(name, description)
    parser.add_argument(
        "--output",
        type=Path,
        default=record,
        metavar="FILE",
        help=f"the record, as JSON [data/results/{record.name}]",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=1800.0,
        help="seconds that one cell may take [%(default)g]",
    )
    return parser


def record_notebook(
    parser: argparse.ArgumentParser, recording: Recording, arguments: Sequence[str] | None
) -> None:
    """Run the notebook, and write the record."""
    options = parser.parse_args(arguments)
    answers = answers_of(recording, options.timeout)
    command = command_in_words(parser, options, leave_out=("output", "timeout"))
    write_record(options.output, {**origin(command, PACKAGES), **answers})
