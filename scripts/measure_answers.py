"""Fine-tune course-bert as notebook 10 says, and store what it answers to every text of that notebook.

python scripts/measure_answers.py     writes data/results/evaluation_answers.json: one to five minutes of training

The notebook itself is run, with TRAIN = True and a cell of its own that notes each text and its logits. So a text that
the notebook asks cannot be missing from the record. The notebook's file stays as it is.
"""

import argparse
import json
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from run_notebooks import ROOT, make_client, read_notebook

NOTEBOOK = ROOT / "notebooks" / "10_evaluation.ipynb"
RECORD = ROOT / "data" / "results" / "evaluation_answers.json"
SWITCH, ASKING = "TRAIN = False", "def bert_logits("  # what the notebook must hold
NOTE = """
answered, untold = {}, bert_logits


def bert_logits(texts, max_length=MAX_LENGTH):
    values = untold(texts, max_length)
    keys = [records.answer_key(text, max_length) for text in texts]
    answered.update((key, [round(value, 4) for value in row]) for key, row in zip(keys, values.tolist(), strict=True))
    return values
"""
KEEP = """
Path({path!r}).write_text(json.dumps({{
    "num_updates": fitted.num_updates, "train_seconds": round(fitted.train_seconds, 1), "config": recipe.to_dict(),
    "precision": fitted.hardware.to_dict(), "accuracy": by_bert, "logits": answered}}))
"""


def recording(notebook: nbformat.NotebookNode, path: Path) -> nbformat.NotebookNode:
    """The notebook, made to train, to note its questions and answers, and to write them to `path` at its end.

    Raises ValueError if it lacks the switch or the function that asks.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    switch = next((cell for cell in code if SWITCH in cell.source), None)
    asking = next((cell for cell in code if ASKING in cell.source), None)
    if switch is None or asking is None:
        raise ValueError(f"the notebook must hold a cell with {SWITCH!r} and one with {ASKING!r}")
    switch.source = switch.source.replace(SWITCH, "TRAIN = True")
    notebook.cells.insert(notebook.cells.index(asking) + 1, nbformat.v4.new_code_cell(NOTE))
    notebook.cells.append(nbformat.v4.new_code_cell(KEEP.format(path=str(path))))
    return notebook


def measure(notebook_path: Path, timeout: float) -> dict[str, Any]:
    """Run the notebook; what it trained, asked and was answered, with the machine and the versions."""
    from course_utils.hardware import describe

    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(COURSE_RUNS_DIR=folder, COURSE_PROGRESS_FILE="", OMP_WAIT_POLICY="PASSIVE")
        written = Path(folder) / "answers.json"
        notebook = recording(read_notebook(notebook_path), written)
        make_client(notebook, notebook_path, timeout).execute()
        answers = json.loads(written.read_text(encoding="utf-8"))
    return {"command": "python scripts/measure_answers.py", "hardware": describe(),
            "versions": {name: version(name) for name in ("torch", "transformers", "datasets", "scikit-learn")},
            **answers}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RECORD, help="where the record goes")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds that one cell may take (1800)")
    options = parser.parse_args(arguments)
    try:
        record = measure(NOTEBOOK, options.timeout)
    except (ValueError, OSError, CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    options.output.write_text(json.dumps(record) + "\n", encoding="utf-8")
    print(f"{len(record['logits']):,} answers, {record['train_seconds']} s of training: {options.output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
