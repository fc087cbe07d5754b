"""Write what opens every notebook: the links below its title, and the cell that finds the course.

python scripts/first_cells.py           write both into all notebooks
python scripts/first_cells.py --check   change nothing; exit code 1 if any notebook differs

A notebook begins with its title (markdown), goes on with the folded code cell below, which is the
same in all of them, and then with its own set-up cell. The repository's address comes from
pyproject.toml. Outputs stay; the code cells are numbered anew.
"""

import argparse
import sys
from pathlib import Path

import nbformat
from badges import address_of, binder_address, colab_address, put_below_title
from run_notebooks import ROOT, normalize, notebook_paths, read_notebook, write_notebook

LINKS_BEGIN = "<!-- links (written by scripts/first_cells.py) -->"
LINKS_END = "<!-- end of links -->"
CELL_ID = "find-the-course"
# JupyterLab and Binder fold a cell by the first key, Colab by the second.
FOLDED = {"jupyter": {"source_hidden": True}, "cellView": "form"}
ADDRESS_OF_COURSE = "ADDRESS_OF_COURSE"  # what stands for the address in the source below
SOURCE = '''\
# @title Find the course (on Colab and Kaggle: fetch it)
# The same cell opens every notebook. scripts/first_cells.py writes it.
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

# Threads that wait must sleep: busy waiting stalls a machine whose cores are shared.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported


class CourseNotFound(Exception):
    """Why this notebook cannot start."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows: one line, no traceback."""
        return [f"CourseNotFound: {self}"]


def find_course(here: Path, address: str) -> Path:
    """The course's folder: `here`, a folder above, or on Colab and Kaggle one fetched into `here`.

    Raises CourseNotFound, which says what to do.
    """
    fetched = here / address.rsplit("/", 1)[1]
    installed = importlib.util.find_spec("course_utils") is not None
    for folder in (here, *here.parents, fetched):
        has_package = installed or (folder / "course_utils").is_dir()
        if has_package and (folder / "data/checkpoints/course-bert").is_dir():
            return folder
    if "google.colab" not in sys.modules and not Path("/kaggle/working").is_dir():
        raise CourseNotFound(
            f"{here} does not lie in the course's folder. Open this notebook inside that folder "
            f"(make lab does), or fetch the course first: git clone {address}"
        )
    clone = ["git", "clone", "--quiet", "--depth", "1", address, str(fetched)]
    done = subprocess.run(clone, capture_output=True, text=True)
    if done.returncode != 0:
        raise CourseNotFound(
            f"git could not fetch {address}. Is the network on (on Kaggle: Settings, Internet)? "
            f"Then run this cell again. git said: {' '.join(done.stderr.split())}"
        )
    return fetched


ROOT = find_course(Path.cwd(), "ADDRESS_OF_COURSE")
if Path.cwd().parent != ROOT:
    os.chdir(ROOT / "notebooks")  # wherever it was started: runs/ lies beside the notebooks
if importlib.util.find_spec("course_utils") is None:
    sys.path.insert(0, str(ROOT))'''


def links(address: str, notebook: str) -> str:
    """Markdown that opens `notebook` (a path inside the repository) in Colab and in Binder.

    Words, not pictures: they also read well where the network is off.
    """
    colab, binder = colab_address(address, notebook), binder_address(address, notebook)
    return "\n".join(
        [LINKS_BEGIN, f"[Open in Colab]({colab}) · [Open in Binder]({binder})", LINKS_END]
    )


def find_course_cell(address: str) -> nbformat.NotebookNode:
    """The folded cell."""
    source = SOURCE.replace(ADDRESS_OF_COURSE, address)
    cell = nbformat.v4.new_code_cell(source, metadata=FOLDED)
    cell.id = CELL_ID
    return cell


def update_notebook(
    notebook: nbformat.NotebookNode, address: str, path: str
) -> nbformat.NotebookNode:
    """Bring the links and the folded cell of a notebook up to date, and number its code cells.

    path: the notebook's path inside the repository. Raises ValueError if the notebook does not
    begin with a title.
    """
    title = notebook.cells[0]
    if title.cell_type != "markdown" or not title.source.startswith("# "):
        raise ValueError(
            f'{path} must begin with a markdown cell that begins with "# " and a title'
        )
    title.source = put_below_title(title.source, links(address, path), LINKS_BEGIN, LINKS_END)
    others = [cell for cell in notebook.cells[1:] if cell.id != CELL_ID]
    notebook.cells = [title, find_course_cell(address), *others]
    return normalize(notebook)


def stale_notebooks(root: Path = ROOT, *, write: bool) -> list[Path]:
    """The notebooks whose first cells differ from what they should be; `write` mends them."""
    address = address_of(root)
    stale = []
    for path in notebook_paths(root):
        wanted = update_notebook(read_notebook(path), address, path.relative_to(root).as_posix())
        if wanted != read_notebook(path):
            stale.append(path)
            if write:
                write_notebook(wanted, path)
    return stale


def main() -> int:
    """Write, or with --check compare; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if stale")
    check = parser.parse_args().check
    stale = stale_notebooks(write=not check)
    for path in stale:
        print(f"{'differs' if check else 'written'}: {path.relative_to(ROOT)}")
    if stale and check:
        print("Run: python scripts/first_cells.py", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
