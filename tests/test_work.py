"""make work: a copy of the notebooks that is the learner's, and what a second call does to it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import run_notebooks
import work

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("00_start_here.ipynb", "01_words.ipynb", "solutions/01_words.ipynb")


def notebook(source: str, output: str = "", **metadata: Any) -> bytes:
    """A notebook of one cell, as Jupyter stores it."""
    outputs = [{"output_type": "stream", "name": "stdout", "text": [output]}] if output else []
    cell = {
        "cell_type": "code",
        "execution_count": 7 if output else None,
        "metadata": {},
        "outputs": outputs,
        "source": source.splitlines(keepends=True),
    }
    return json.dumps(
        {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    ).encode()


class Course:
    """A course of three notebooks in a folder of its own, and the learner's work/ in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in NAMES:
            self.publish(name, notebook(f"# first {name}"))

    def publish(self, name: str, content: bytes) -> None:
        """The course has a new version of a notebook."""
        (self.root / "notebooks" / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / "notebooks" / name).write_bytes(content)

    def write(self, name: str, content: bytes) -> None:
        """The learner saves a file in work/."""
        (self.root / "work" / name).write_bytes(content)

    def read(self, name: str) -> bytes:
        return (self.root / "work" / name).read_bytes()

    def update(self) -> str:
        """make work; returns what it says."""
        return "\n".join(work.copy_notebooks(self.root))

    def files(self) -> dict[str, bytes]:
        """Everything in work/, with its content."""
        folder = self.root / "work"
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return Course(tmp_path / "a course")


def test_all_notebooks_are_copied(course: Course) -> None:
    assert course.update() == "work/: 3 added."
    assert set(course.files()) == {*NAMES, work.RECORD}
    for name in NAMES:
        assert course.read(name) == (course.root / "notebooks" / name).read_bytes()


def test_a_second_call_changes_nothing(course: Course) -> None:
    course.update()
    before = course.files()
    assert course.update() == "work/: 3 unchanged."
    assert course.files() == before


def test_an_empty_work_folder_is_filled(course: Course) -> None:
    """A container's volume starts like this."""
    (course.root / "work").mkdir()
    assert course.update() == "work/: 3 added."


def test_what_nobody_touched_is_replaced_by_the_new_version(course: Course) -> None:
    course.update()
    course.publish("01_words.ipynb", notebook("# second"))
    course.publish("02_new.ipynb", notebook("# new"))
    assert course.update() == "work/: 1 added, 1 replaced by the course's new version, 2 unchanged."
    assert course.read("01_words.ipynb") == notebook("# second")
    assert course.read("02_new.ipynb") == notebook("# new")


def test_new_outputs_of_the_course_reach_a_copy_that_nobody_touched(course: Course) -> None:
    course.update()
    course.publish("01_words.ipynb", notebook("# first 01_words.ipynb", output="new"))
    assert "1 replaced" in course.update()
    assert course.read("01_words.ipynb") == notebook("# first 01_words.ipynb", output="new")


def test_what_was_only_run_keeps_its_outputs_until_the_course_changes_its_cells(
    course: Course,
) -> None:
    course.update()
    ran = notebook(
        "# first 01_words.ipynb", output="80 seconds of training", kernelspec={"name": "mine"}
    )
    course.write("01_words.ipynb", ran)
    course.publish("01_words.ipynb", notebook("# first 01_words.ipynb", output="the course's own"))
    assert course.update() == "work/: 3 unchanged."
    assert course.read("01_words.ipynb") == ran
    course.publish("01_words.ipynb", notebook("# second"))
    assert "1 replaced" in course.update()
    assert course.read("01_words.ipynb") == notebook("# second")
    assert not (course.root / "work" / "01_words.new.ipynb").exists()


def test_what_the_learner_wrote_stays_and_the_new_version_lies_beside_it(course: Course) -> None:
    course.update()
    mine = notebook("answer = 42")
    course.write("solutions/01_words.ipynb", mine)
    assert course.update() == "work/: 2 unchanged, 1 kept, with what you have written."
    course.publish("solutions/01_words.ipynb", notebook("# second"))
    assert "work/solutions/01_words.new.ipynb. Delete it when" in course.update()
    assert course.read("solutions/01_words.ipynb") == mine
    assert course.read("solutions/01_words.new.ipynb") == notebook("# second")
    assert (
        "Still there, with the course's new version: work/solutions/01_words.new.ipynb"
        in course.update()
    )


def test_a_pasted_picture_counts_as_writing(course: Course) -> None:
    course.update()
    content = json.loads(course.read("01_words.ipynb"))
    content["cells"][0]["attachments"] = {"image.png": {"image/png": "AAAA"}}
    mine = json.dumps(content).encode()
    course.write("01_words.ipynb", mine)
    course.publish("01_words.ipynb", notebook("# second"))
    course.update()
    assert course.read("01_words.ipynb") == mine


def changed(course: Course) -> bytes:
    """The learner has written in notebook 01,
    and the second version of the course lies beside it.
    """
    course.update()
    mine = notebook("answer = 42")
    course.write("01_words.ipynb", mine)
    course.publish("01_words.ipynb", notebook("# second"))
    course.update()
    return mine


def test_an_earlier_new_version_is_replaced_by_a_newer_one(course: Course) -> None:
    mine = changed(course)
    course.write("01_words.new.ipynb", notebook("# second", output="tried"))
    course.publish("01_words.ipynb", notebook("# third"))
    assert "01_words.new.ipynb" in course.update()
    assert (course.read("01_words.ipynb"), course.read("01_words.new.ipynb")) == (
        mine,
        notebook("# third"),
    )


def test_a_new_version_that_the_learner_wrote_in_stays(course: Course) -> None:
    mine = changed(course)
    course.write("01_words.new.ipynb", notebook("notes in the second"))
    course.publish("01_words.ipynb", notebook("# third"))
    assert "is in its way and has changes of yours" in course.update()
    assert course.read("01_words.ipynb") == mine
    assert course.read("01_words.new.ipynb") == notebook("notes in the second")


def test_a_new_version_that_was_deleted_is_not_offered_again(course: Course) -> None:
    changed(course)
    (course.root / "work" / "01_words.new.ipynb").unlink()
    assert course.update() == "work/: 2 unchanged, 1 kept, with what you have written."
    assert not (course.root / "work" / "01_words.new.ipynb").exists()
    course.publish("01_words.ipynb", notebook("# third"))
    course.update()
    assert course.read("01_words.new.ipynb") == notebook("# third")


def test_taking_the_new_version_over_ends_the_matter(course: Course) -> None:
    changed(course)
    os.replace(course.root / "work" / "01_words.new.ipynb", course.root / "work" / "01_words.ipynb")
    assert course.update() == "work/: 3 unchanged."
    course.publish("01_words.ipynb", notebook("# third"))
    assert "1 replaced" in course.update()


def test_a_copy_that_was_deleted_starts_over(course: Course) -> None:
    changed(course)
    (course.root / "work" / "01_words.ipynb").unlink()
    course.update()
    assert course.read("01_words.ipynb") == notebook("# second")


def test_nothing_is_deleted(course: Course) -> None:
    course.update()
    course.write("my notes.ipynb", notebook("mine"))
    (course.root / "notebooks" / "01_words.ipynb").unlink()
    course.update()
    assert {"my notes.ipynb", "01_words.ipynb"} <= set(course.files())


@pytest.mark.parametrize(
    "content", [b"", b"{", b"<<<<<<< HEAD", b"[]", b'{"cells": [3]}', b"\xff\xfe"]
)
def test_a_copy_that_is_no_notebook_any_more_is_the_learners(
    course: Course, content: bytes
) -> None:
    course.update()
    course.write("01_words.ipynb", content)
    course.publish("01_words.ipynb", notebook("# second"))
    course.update()
    assert course.read("01_words.ipynb") == content
    assert course.read("01_words.new.ipynb") == notebook("# second")


def test_without_a_record_everything_that_differs_is_the_learners(course: Course) -> None:
    course.update()
    course.write("01_words.ipynb", notebook("answer = 42"))
    (course.root / "work" / work.RECORD).unlink()
    course.publish("00_start_here.ipynb", notebook("# second"))
    course.update()
    assert course.read("01_words.ipynb") == notebook("answer = 42")
    assert {"00_start_here.new.ipynb", "01_words.new.ipynb"} <= set(course.files())


# --- what can be wrong ----------------------------------------------------------------------------


def fails(course: Course, message: str) -> None:
    """One clear error, and work/ as it was."""
    before = course.files()
    with pytest.raises(work.WorkError, match=message) as failure:
        course.update()
    assert "\n" not in str(failure.value)
    assert course.files() == before


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"01_words.ipynb": 3}', '{"01_words.ipynb": {}}']
)
def test_a_damaged_record_is_not_guessed_at(course: Course, content: str) -> None:
    course.update()
    course.publish("01_words.ipynb", notebook("# second"))
    (course.root / "work" / work.RECORD).write_text(content)
    fails(course, r"\.origin\.json is damaged.*Restore it, or delete it")


def test_a_course_without_notebooks_is_named(course: Course) -> None:
    shutil.rmtree(course.root / "notebooks")
    fails(course, "holds no notebooks. Fetch the course again")


def test_a_notebook_of_the_course_that_is_damaged_stops_everything(course: Course) -> None:
    course.update()
    course.publish("00_start_here.ipynb", notebook("# second"))
    course.publish("solutions/01_words.ipynb", b"<<<<<<< HEAD")
    fails(course, r"notebooks/solutions/01_words\.ipynb is not a notebook .*git checkout")


@pytest.mark.parametrize("name", ["work", "work/solutions"])
def test_a_file_in_the_place_of_a_folder_is_named(course: Course, name: str) -> None:
    (course.root / name).parent.mkdir(exist_ok=True)
    (course.root / name).write_text("mine")
    fails(course, "is a file, but a folder of that name is needed")
    assert (course.root / name).read_text() == "mine"


def test_a_folder_in_the_place_of_a_notebook_is_named(course: Course) -> None:
    (course.root / "work" / "01_words.ipynb").mkdir(parents=True)
    fails(course, r"01_words\.ipynb: ")


@pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_read_only_folder_is_named(course: Course) -> None:
    course.root.chmod(0o500)
    try:
        fails(course, "work: Permission denied.*copy the course to one of your own")
    finally:
        course.root.chmod(0o700)


def test_a_full_disk_leaves_whole_files_and_a_true_record(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    course.update()
    for name in NAMES:
        course.publish(name, notebook(f"# second {name}"))
    replace = os.replace

    def failing(source: Path, target: Path) -> None:
        if Path(target).name == "01_words.ipynb":
            raise OSError(28, "No space left on device", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(work.WorkError, match="No space left on device"):
        course.update()
    monkeypatch.undo()
    assert set(course.files()) == {*NAMES, work.RECORD}
    assert course.read("00_start_here.ipynb") == notebook("# second 00_start_here.ipynb")
    assert course.read("01_words.ipynb") == notebook("# first 01_words.ipynb")
    assert course.update() == "work/: 2 replaced by the course's new version, 1 unchanged."


def test_the_command_says_what_it_did_or_fails_in_one_line(course: Course) -> None:
    (course.root / "scripts").mkdir()
    script = shutil.copy(work.__file__, course.root / "scripts")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "work/: 3 added.",
        "make lab opens work/00_start_here.ipynb. After a git pull, run make work again.",
    ]
    shutil.rmtree(course.root / "notebooks")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)


# --- the course as it is --------------------------------------------------------------------------


def test_every_notebook_of_the_course_can_be_copied_and_keeps_its_links(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "notebooks",
        tmp_path / "notebooks",
        ignore=shutil.ignore_patterns(".ipynb_checkpoints"),
    )
    work.copy_notebooks(tmp_path)
    copies = sorted((tmp_path / "work").rglob("*.ipynb"))
    assert len(copies) == len(run_notebooks.notebook_paths())
    links = {
        (copy.parent, link)
        for copy in copies
        for cell in json.loads(copy.read_bytes())["cells"]
        if cell["cell_type"] == "markdown"
        for link in re.findall(r"\]\((?!https?:|#|attachment:)([^)#\s]+)", "".join(cell["source"]))
    }
    assert links
    for folder, link in links:
        # work/ lies beside notebooks/: a link out of it leads to the same place
        target = (folder / link).resolve().relative_to(tmp_path.resolve())
        assert (tmp_path / target).exists() or (ROOT / target).exists(), f"{folder}: {link}"


def test_git_ignores_work() -> None:
    assert "work/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_make_clean_leaves_work_alone() -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make on this machine")
    says = subprocess.run(
        [make, "--no-print-directory", "--dry-run", "clean"],
        cwd=ROOT,
        check=True,
        text=True,
        capture_output=True,
    ).stdout
    assert not re.search(r"\b(work|runs)\b", says)
