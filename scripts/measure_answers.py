"""Store what models say that take too long to train while a learner waits: notebooks 06 and
10 read these records.

python scripts/measure_answers.py      course-bert, fine-tuned, to every text of notebook 10: one to
                                       five minutes
python scripts/measure_answers.py toys the three toys of notebook 06 to the tokens that they see: about half a minute

The notebook itself is run, with TRAIN = True and cells of its own that note what was asked and
answered. So nothing that the notebook asks can be missing from the record. The notebook's file
stays as it is.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from run_notebooks import ROOT, make_client, read_notebook

RESULTS = ROOT / "data" / "results"
SWITCH = "TRAIN = False"  # what each of the notebooks must hold


@dataclass(frozen=True)
class Recording:
    """notebook, record: their files; asking: what the cell holds after which `note` is run; keep:
    the last cell, which writes to {path!r}.
    """

    notebook: Path
    record: Path
    asking: str
    note: str
    keep: str


NOTE = """
answered, untold = {}, bert_logits


def bert_logits(texts, max_length=MAX_LENGTH):
    values = untold(texts, max_length)
    keys = [evaluation.answer_key(text, max_length) for text in texts]
    answered.update((key, [round(value, 4) for value in row]) for key, row in zip(keys, values.tolist(), strict=True))
    return values
"""
KEEP = """
Path({path!r}).write_text(json.dumps({{
    "num_updates": fitted.num_updates, "train_seconds": round(fitted.train_seconds, 1), "config": recipe.to_dict(),
    "precision": fitted.hardware.to_dict(), "accuracy": by_bert, "logits": answered}}))
"""


KEEP_TOYS = """
rounded = {{name: {{"own": [round(value, 4) for value in said["own"]], "named": round(said["named"], 4)}}
           for name, said in toys.items()}}
Path({path!r}).write_text(json.dumps({{"toys": rounded}}))
"""
RECORDINGS = {
    "answers": Recording(
        ROOT / "notebooks" / "10_evaluation.ipynb",
        RESULTS / "evaluation_answers.json",
        "def bert_logits(",
        NOTE,
        KEEP,
    ),
    "toys": Recording(
        ROOT / "notebooks" / "06_pretraining.ipynb",
        RESULTS / "pretraining_toys.json",
        "def ask_toy(",
        "",
        KEEP_TOYS,
    ),
}


def recorded(
    notebook: nbformat.NotebookNode, recording: Recording, path: Path
) -> nbformat.NotebookNode:
    """The notebook, made to train, to note its questions and answers, and to write them to `path`.

    Raises ValueError if it lacks the switch or the function that asks.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    switch = next((cell for cell in code if SWITCH in cell.source), None)
    asking = next((cell for cell in code if recording.asking in cell.source), None)
    if switch is None or asking is None:
        raise ValueError(
            f"the notebook must hold a cell with {SWITCH!r} and one with {recording.asking!r}"
        )
    switch.source = switch.source.replace(SWITCH, "TRAIN = True")
    notebook.cells.insert(
        notebook.cells.index(asking) + 1, nbformat.v4.new_code_cell(recording.note)
    )
    notebook.cells.append(nbformat.v4.new_code_cell(recording.keep.format(path=str(path))))
    return notebook


def measure(name: str, timeout: float) -> dict[str, Any]:
    """Run the notebook; what it trained, asked and was answered,
    with the machine and the versions.
    """
    from course_utils.training.hardware import describe

    recording = RECORDINGS[name]
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            COURSE_RUNS_DIR=folder, COURSE_PROGRESS_FILE="", OMP_WAIT_POLICY="PASSIVE"
        )
        written = Path(folder) / "answers.json"
        notebook = recorded(read_notebook(recording.notebook), recording, written)
        make_client(notebook, recording.notebook, timeout).execute()
        answers = json.loads(written.read_text(encoding="utf-8"))
    command = "python scripts/measure_answers.py" + (f" {name}" if name != "answers" else "")
    versions = {
        name: version(name) for name in ("torch", "transformers", "datasets", "scikit-learn")
    }
    return {
        "command": command,
        "hardware": describe(),
        "versions": {"python": platform.python_version(), **versions},
        **answers,
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "name",
        nargs="?",
        choices=list(RECORDINGS),
        default="answers",
        help="which record (answers)",
    )
    parser.add_argument(
        "--output", type=Path, help="where the record goes, if not into data/results"
    )
    parser.add_argument(
        "--timeout", type=float, default=1800, help="seconds that one cell may take (1800)"
    )
    options = parser.parse_args(arguments)
    try:
        record = measure(options.name, options.timeout)
    except (ValueError, OSError, CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    output = options.output or RECORDINGS[options.name].record
    output.write_text(json.dumps(record) + "\n", encoding="utf-8")
    print(f"written: {output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
