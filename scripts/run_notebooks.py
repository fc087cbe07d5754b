"""Run notebooks and store their outputs, normalized: python scripts/run_notebooks.py [NOTEBOOK ...]

Without names: all of them in order, the teaching ones first, then the solutions. Each runs in its
own folder. A notebook whose cell fails keeps what it had; nothing half-written is ever stored.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parent.parent
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WIDGET = "application/vnd.jupyter.widget-view+json"


def notebook_paths(root: Path = ROOT) -> list[Path]:
    """All notebooks of the course in order: the teaching ones, then the solutions."""
    folder = root / "notebooks"
    return [*sorted(folder.glob("*.ipynb")), *sorted((folder / "solutions").glob("*.ipynb"))]


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read a notebook; a cell without an id gets one that depends on its text alone,
    the same every time.
    """
    raw = json.loads(path.read_text(encoding="utf-8"))
    seen: set[str] = set()
    for cell in raw["cells"]:
        cell["id"] = next(name for name in _ids(cell) if name not in seen)
        seen.add(cell["id"])
    raw["nbformat"], raw["nbformat_minor"] = 4, 5
    return nbformat.reads(json.dumps(raw), as_version=4)


def _ids(cell: dict) -> Iterator[str]:
    if cell.get("id"):
        yield cell["id"]
    digest = hashlib.sha256("".join(cell["source"]).encode()).hexdigest()
    yield from (
        f"{digest[:8]}{suffix}" for suffix in ("", *(f"-{number}" for number in range(2, 10_000)))
    )


def write_notebook(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook in one step, in nbformat's own layout, with a newline at the end."""
    unfinished = path.with_name(f"{path.name}.tmp")
    with unfinished.open("w", encoding="utf-8", newline="\n") as file:
        nbformat.write(notebook, file)
    os.replace(unfinished, path)


def merge_streams(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Join neighbours that belong to one stream: a kernel cuts its text at random places."""
    merged: list[nbformat.NotebookNode] = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output.output_type == "stream" and output.get("name") == last.get("name"):
            last["text"] += output.text
        else:
            merged.append(output)
    return merged


def normalize(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what differs from run to run and machine to machine; number the code cells from 1."""
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNELSPEC, "language_info": {"name": "python"}}
    )
    count = 0
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        cell.outputs = merge_streams(cell.outputs)
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
            output.get("data", {}).pop(
                WIDGET, None
            )  # a name in one kernel's memory; its text stays
            if (
                output.output_type == "error"
            ):  # the full traceback names files of the machine that ran it
                output.traceback = [f"{output.ename}: {output.evalue}"]
    return notebook


def make_client(notebook: nbformat.NotebookNode, path: Path, timeout: float) -> NotebookClient:
    """What runs a notebook in a fresh kernel, in its own folder.
    A cell may take `timeout` seconds.
    """
    return NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )


def run_notebook(path: Path, timeout: float) -> float:
    """Run one notebook and store it; returns seconds. A cell may take `timeout` seconds."""
    notebook = read_notebook(path)
    start = time.perf_counter()
    make_client(notebook, path, timeout).execute()
    write_notebook(normalize(notebook), path)
    return time.perf_counter() - start


def main() -> int:
    """Run the notebooks named on the command line, or all; stop at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="which ones; all if none is named")
    parser.add_argument(
        "--timeout", type=float, default=600, help="seconds that one cell may take (600)"
    )
    args = parser.parse_args()
    # What somebody solved or trained on this machine must not be stored.
    os.environ["COURSE_PROGRESS_FILE"] = os.environ["COURSE_RUNS_DIR"] = ""
    for path in [file.resolve() for file in args.notebooks] or notebook_paths():
        try:
            print(f"{path.stem:28}{run_notebook(path, args.timeout):7.1f} s", flush=True)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            print(f"{path} failed and is left as it was:\n{error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
