"""What opens every notebook: the links below the title, and the cell that finds the course.

The cell is tried in real kernels that start in every kind of place.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import badges
import first_cells
import nbformat
import pytest
import run_notebooks
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = badges.address_of()
NAME = ADDRESS.rsplit("/", 1)[1]
# What a kernel does before the first cell.
NOT_INSTALLED = (
    "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f)]"
)
ON_COLAB = "import sys, types; sys.modules['google.colab'] = types.ModuleType('google.colab')"
WHERE = """
import json, os
import course_utils
print(json.dumps({
    "folder": os.getcwd(),
    "root": str(ROOT),
    "package": course_utils.__file__,
    "data": os.path.isdir("../data"),
    "path": sys.path.count(str(ROOT)),
    "waiting": os.environ["OMP_WAIT_POLICY"],
}))
"""


def run_in_kernel(
    folder: Path, sources: list[str], before: list[str], environment: dict[str, str] | None = None
) -> list[nbformat.NotebookNode]:
    """Run cells in a fresh kernel that starts in `folder`; returns the code cells with outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    lines = "\n".join(["import warnings", *before])
    client = NotebookClient(
        notebook,
        timeout=60,
        kernel_name="python3",
        allow_errors=True,
        extra_arguments=[f"--IPKernelApp.exec_lines={lines}"],
        resources={"metadata": {"path": str(folder)}},
    )
    surroundings = {**os.environ, **(environment or {})}
    surroundings.pop("OMP_WAIT_POLICY", None)
    client.execute(env=surroundings)
    return notebook.cells


def where(cell: nbformat.NotebookNode) -> dict[str, object]:
    """What the cell WHERE printed."""
    assert [output.output_type for output in cell.outputs] == ["stream"], cell.outputs
    return json.loads(cell.outputs[0].text)


def cell_source() -> str:
    return first_cells.find_course_cell(ADDRESS).source


def make_course(root: Path) -> Path:
    """A course with all its folders; of its content, the package alone."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "course_utils", root / "course_utils", ignore=ignored)
    for name in ("notebooks/solutions", "work/solutions", "data/checkpoints/course-bert"):
        (root / name).mkdir(parents=True)
        (root / name / "any.txt").touch()
    return root


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_course(tmp_path_factory.mktemp("place") / "my cours\u00e9")


# --- on one's own machine -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "folder"),
    [
        (".", "notebooks"),
        ("notebooks", "notebooks"),
        ("notebooks/solutions", "notebooks"),
        ("work", "work"),
        ("work/solutions", "notebooks"),
    ],
)
def test_the_course_is_found_from_each_of_its_folders(
    start: str, folder: str, course: Path
) -> None:
    cells = run_in_kernel(
        course / start, [cell_source(), cell_source(), WHERE], before=[NOT_INSTALLED]
    )
    assert [cell.outputs for cell in cells[:2]] == [[], []], "also if it is run twice, it is silent"
    assert where(cells[2]) == {
        "folder": str(course / folder),
        "root": str(course),
        "package": str(course / "course_utils" / "__init__.py"),
        "data": True,
        "path": 1,
        "waiting": "PASSIVE",
    }


def test_an_installed_package_is_used_with_a_learners_own_notebooks_and_data(
    tmp_path: Path,
) -> None:
    """A classroom's recipe: the course is shared, each learner has copies of two folders."""
    for name in ("notebooks", "data/checkpoints/course-bert"):
        (tmp_path / name).mkdir(parents=True)
    cells = run_in_kernel(tmp_path / "notebooks", [cell_source(), WHERE], before=[])
    found = where(cells[1])
    assert (found["folder"], found["root"]) == (str(tmp_path / "notebooks"), str(tmp_path))
    assert (found["package"], found["path"]) == (str(ROOT / "course_utils" / "__init__.py"), 0)


@pytest.mark.parametrize("before", [[], [NOT_INSTALLED]])
def test_elsewhere_one_line_says_what_to_do(before: list[str], tmp_path: Path) -> None:
    (tmp_path / "data" / "checkpoints").mkdir(parents=True)  # somebody's own
    cells = run_in_kernel(tmp_path, [cell_source(), "print('went on')"], before=before)
    (output,) = cells[0].outputs
    assert output.traceback == [
        f"CourseNotFound: {tmp_path} does not lie in the course's folder. Open this notebook "
        "inside that folder (make lab does), or fetch the course first: git clone "
        f"{ADDRESS}"
    ]
    assert os.listdir(tmp_path) == ["data"]


# --- on Colab and Kaggle --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course in a git repository of its own."""
    folder = make_course(tmp_path_factory.mktemp("remote") / "course")
    identity = ["-c", "user.name=rehearsal", "-c", "user.email=rehearsal@example.org"]
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["commit", "--quiet", "--message", "all"],
    ):
        subprocess.run(["git", *identity, *command], cwd=folder, check=True)
    return folder


def behind_the_address(remote: Path, tools: Path) -> dict[str, str]:
    """Variables for a kernel: git finds `remote` at the course's address, and pip does nothing."""
    tools.mkdir(parents=True)
    for name in ("pip", "pip3", "uv", "conda"):
        (tools / name).write_text(f"#!/bin/sh\ntouch '{tools}/called'\n")
        (tools / name).chmod(0o755)
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{remote}.insteadOf",
        "GIT_CONFIG_VALUE_0": ADDRESS,
        "GIT_TERMINAL_PROMPT": "0",
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.mark.skipif(os.name == "nt", reason="Colab and Kaggle are Linux")
@pytest.mark.parametrize("place", ["colab", "kaggle"])
def test_colab_and_kaggle_fetch_the_course_once(place: str, tmp_path: Path, remote: Path) -> None:
    content = tmp_path / "content"
    content.mkdir()
    environment = behind_the_address(remote, tmp_path / "tools")
    source, before = cell_source(), [NOT_INSTALLED]
    if place == "colab":
        before.append(ON_COLAB)
    else:
        source = source.replace("/kaggle/working", str(content))
    for _ in range(2):  # the second time as after a restart: the clone is there
        cells = run_in_kernel(content, [source, source, WHERE], before, environment)
        assert [cell.outputs for cell in cells[:2]] == [[], []]
        assert where(cells[2]) == {
            "folder": str(content / NAME / "notebooks"),
            "root": str(content / NAME),
            "package": str(content / NAME / "course_utils" / "__init__.py"),
            "data": True,
            "path": 1,
            "waiting": "PASSIVE",
        }
        environment["GIT_CONFIG_KEY_0"] = "url.file:///nowhere.insteadOf"
    assert os.listdir(content) == [NAME]
    assert not (tmp_path / "tools" / "called").exists(), "something was installed"


@pytest.mark.skipif(os.name == "nt", reason="Colab and Kaggle are Linux")
def test_without_a_network_one_line_says_so(tmp_path: Path) -> None:
    environment = behind_the_address(tmp_path / "nowhere", tmp_path / "tools")
    cells = run_in_kernel(tmp_path, [cell_source()], [NOT_INSTALLED, ON_COLAB], environment)
    (line,) = cells[0].outputs[0].traceback
    assert line.startswith(f"CourseNotFound: git could not fetch {ADDRESS}. Is the network on ")
    assert "Then run this cell again. git said: fatal: " in line
    assert "\n" not in line


# --- the script -----------------------------------------------------------------------------------


def small_course(root: Path) -> Path:
    """A course of one notebook that begins with nothing but its title; returns its path."""
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, root)
    output = nbformat.v4.new_output("execute_result", {"text/plain": "42"}, execution_count=1)
    cells = [
        nbformat.v4.new_markdown_cell("# 00 · Start\n\nA promise."),
        nbformat.v4.new_code_cell("answer = 42\nanswer", outputs=[output], execution_count=1),
    ]
    path = root / "notebooks" / "00_start_here.ipynb"
    path.parent.mkdir()
    run_notebooks.write_notebook(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_the_first_cells_are_put_before_a_notebooks_own(tmp_path: Path) -> None:
    path = small_course(tmp_path)
    assert first_cells.stale_notebooks(tmp_path, write=True) == [path]
    assert first_cells.stale_notebooks(tmp_path, write=False) == []
    title, find_course, setup = run_notebooks.read_notebook(path).cells
    assert title.source.startswith("# 00 · Start\n\n<!-- links")
    assert title.source.endswith("<!-- end of links -->\n\nA promise.")
    assert (find_course.source, find_course.outputs) == (cell_source(), [])
    assert find_course.metadata == {"jupyter": {"source_hidden": True}, "cellView": "form"}
    assert (setup.execution_count, setup.outputs[0].execution_count) == (2, 2)
    assert setup.outputs[0].data == {"text/plain": "42"}


def test_a_new_address_reaches_every_file(tmp_path: Path) -> None:
    path = small_course(tmp_path)
    first_cells.stale_notebooks(tmp_path, write=True)
    assert not badges.update_readme(tmp_path, write=True)
    settings = (tmp_path / "pyproject.toml").read_text(encoding="utf-8")
    mine = "https://github.com/me/mine"
    (tmp_path / "pyproject.toml").write_text(settings.replace(ADDRESS, mine), encoding="utf-8")
    assert first_cells.stale_notebooks(tmp_path, write=True) == [path]
    assert first_cells.stale_notebooks(tmp_path, write=False) == []
    assert badges.update_readme(tmp_path, write=True)
    assert not badges.update_readme(tmp_path, write=False)
    page = (
        "https://colab.research.google.com/github/me/mine/blob/main/notebooks/00_start_here.ipynb"
    )
    title, find_course, _ = run_notebooks.read_notebook(path).cells
    assert page in title.source
    assert page in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f'find_course(Path.cwd(), "{mine}")' in find_course.source
    assert ADDRESS not in path.read_text(encoding="utf-8")


def test_a_notebook_without_a_title_is_refused(tmp_path: Path) -> None:
    path = small_course(tmp_path)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("answer = 42")])
    run_notebooks.write_notebook(notebook, path)
    with pytest.raises(ValueError, match=r"00_start_here\.ipynb must begin with a markdown cell"):
        first_cells.stale_notebooks(tmp_path, write=True)


@pytest.mark.parametrize(
    "url", ["http://github.com/a/b", "https://github.com/a", 'https://github.com/a/b"; rm']
)
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[project.urls]\nRepository = '{url}'\n")
    with pytest.raises(ValueError, match=r"must be https://github\.com/OWNER/NAME, got " + url[:9]):
        badges.address_of(tmp_path)


def test_links_and_badges_have_words() -> None:
    """What is left of them without pictures, and without the page's colours."""
    block = first_cells.links(ADDRESS, "notebooks/00_start_here.ipynb") + badges.badges(ADDRESS)
    words = re.findall(r"!?\[(?:!\[)?([^]\[]+)\]", block)
    assert words == ["Open in Colab", "Open in Binder", "Open in Colab", "Launch on Binder"]


def test_everything_is_up_to_date() -> None:
    assert first_cells.stale_notebooks(write=False) == [], "run: python scripts/first_cells.py"
    assert not badges.update_readme(write=False), "run: python scripts/badges.py"


def test_the_commands_check_in_silence() -> None:
    for script in ("first_cells.py", "badges.py"):
        command = [sys.executable, str(ROOT / "scripts" / script), "--check"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
