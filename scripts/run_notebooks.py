"""Run notebooks and store their outputs, normalized: python scripts/run_notebooks.py [NOTEBOOK ...]

Without names: all of them in order, the teaching ones first, then the solutions. Each runs in its
own folder. A notebook whose cell fails keeps what it had; nothing half-written is ever stored.

A cell that shows a picture carries the picture's alt text in its metadata: "alt": "A line that
rises." (a list, if it shows several). It is written into the stored picture, where web pages made
from the notebook find it. --keep does only this, and runs nothing. Without an "alt", the figure's
own label is taken (course_utils.plots.diagrams sets one), and if there is none, the cell is named.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parent.parent
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
PICTURE = "image/png"
WIDGET = "application/vnd.jupyter.widget-view+json"
KEPT_METADATA = ("alt", "cellView", "tags")  # of a cell, with jupyter.source_hidden
# Run by a kernel at its start: a figure that has a label gives it to its picture as alt text.
LABELS_AS_ALT_TEXTS = (
    "get_ipython().display_formatter.mimebundle_formatter.for_type_by_name("
    "'matplotlib.figure', 'Figure', lambda figure, **_: "
    "({}, {'image/png': {'alt': figure.get_label()}} if figure.get_label() else {}))"
)


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


def _ids(cell: dict[str, Any]) -> Iterator[str]:
    """The ids that a cell may get, the best one first."""
    if cell.get("id"):
        yield cell["id"]
    digest = hashlib.sha256("".join(cell["source"]).encode()).hexdigest()[:8]
    yield digest
    for number in range(2, 10_000):
        yield f"{digest}-{number}"


def write_notebook(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook in one step, in nbformat's own layout, with a newline at the end."""
    unfinished = path.with_name(f"{path.name}.tmp")
    with unfinished.open("w", encoding="utf-8", newline="\n") as file:
        nbformat.write(notebook, file)
    os.replace(unfinished, path)


# --- what is stored -------------------------------------------------------------------------------


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


def pictures_of(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The outputs of a code cell that are pictures."""
    return [output for output in cell.outputs if PICTURE in output.get("data", {})]


def alt_texts_of(cell: nbformat.NotebookNode) -> list[str]:
    """The alt texts in a cell's metadata, one per picture; none if there are none."""
    found = cell.metadata.get("alt", [])
    return [found] if isinstance(found, str) else [*found]


def stored_alt_text(picture: nbformat.NotebookNode) -> str | None:
    """The alt text that stands in a stored picture, None if there is none."""
    return picture.get("metadata", {}).get(PICTURE, {}).get("alt")


def write_alt_texts(cell: nbformat.NotebookNode) -> None:
    """Write the alt texts of a cell's metadata into its pictures.

    A cell without any leaves its pictures as they are. Raises ValueError if the numbers differ.
    """
    texts, pictures = alt_texts_of(cell), pictures_of(cell)
    if not texts:
        return
    if len(texts) != len(pictures):
        raise ValueError(
            f'cell {cell.id} has {len(texts)} alt text(s) in its metadata ("alt"), and shows '
            f"{len(pictures)} picture(s). Give it one text per picture, in their order"
        )
    for text, picture in zip(texts, pictures, strict=True):
        picture.metadata.setdefault(PICTURE, nbformat.NotebookNode())["alt"] = text


def normalize_cell(cell: nbformat.NotebookNode) -> None:
    """Keep of a cell's metadata what the course uses."""
    kept: dict[str, Any] = {}
    for name in KEPT_METADATA:
        if cell.metadata.get(name):
            kept[name] = cell.metadata[name]
    if cell.metadata.get("jupyter", {}).get("source_hidden"):
        kept["jupyter"] = {"source_hidden": True}
    cell.metadata = nbformat.from_dict(kept)


def normalize_output(output: nbformat.NotebookNode, count: int) -> None:
    """Drop from an output of code cell `count` what differs between runs and machines."""
    if output.output_type == "execute_result":
        output.execution_count = count
    # A widget's name lies in one kernel's memory; its text stays.
    output.get("data", {}).pop(WIDGET, None)
    if output.output_type == "error":
        # The full traceback names files of the machine that ran it.
        output.traceback = [f"{output.ename}: {output.evalue}"]


def normalize(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what differs from run to run and machine to machine, number the code cells from 1, and
    write the alt texts into the pictures. Raises ValueError if an alt text is missing or too many.
    """
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNELSPEC, "language_info": {"name": "python"}}
    )
    count = 0
    for cell in notebook.cells:
        normalize_cell(cell)
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        cell.outputs = merge_streams(cell.outputs)
        for output in cell.outputs:
            normalize_output(output, count)
        write_alt_texts(cell)
    return notebook


# --- running --------------------------------------------------------------------------------------


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
        extra_arguments=[f"--IPKernelApp.exec_lines={LABELS_AS_ALT_TEXTS}"],
        resources={"metadata": {"path": str(path.parent)}},
    )


def run_notebook(path: Path, timeout: float) -> float:
    """Run one notebook and store it; returns seconds. A cell may take `timeout` seconds."""
    notebook = read_notebook(path)
    start = time.perf_counter()
    make_client(notebook, path, timeout).execute()
    write_notebook(normalize(notebook), path)
    return time.perf_counter() - start


def report_alt_texts(path: Path) -> list[str]:
    """Which cells of a stored notebook take their alt text from the figure, and which have none."""
    lines = []
    for cell in read_notebook(path).cells:
        if cell.cell_type != "code" or alt_texts_of(cell):
            continue
        for picture in pictures_of(cell):
            text = stored_alt_text(picture)
            said = f'alt text from its figure: "{text}"' if text else "no alt text"
            lines.append(f"  cell {cell.id}: {said}")
    return lines


def main() -> int:
    """Run the notebooks named on the command line, or all; stop at the first that fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebooks", nargs="*", type=Path, help="which ones; all if none is named")
    parser.add_argument(
        "--timeout", type=float, default=600, help="seconds that one cell may take (600)"
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="run nothing: number the cells, and write the alt texts into the stored pictures",
    )
    args = parser.parse_args()
    # What somebody solved or trained on this machine must not be stored.
    os.environ["COURSE_PROGRESS_FILE"] = os.environ["COURSE_RUNS_DIR"] = ""
    for path in [file.resolve() for file in args.notebooks] or notebook_paths():
        try:
            if args.keep:
                write_notebook(normalize(read_notebook(path)), path)
                print(f"{path.stem:28}    kept", flush=True)
            else:
                print(f"{path.stem:28}{run_notebook(path, args.timeout):7.1f} s", flush=True)
        except (CellExecutionError, CellTimeoutError, DeadKernelError, ValueError) as error:
            print(f"{path} failed and is left as it was:\n{error}", file=sys.stderr)
            return 1
        print("".join(f"{line}\n" for line in report_alt_texts(path)), end="", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
