"""Copy the notebooks into work/, where they are yours to change: python scripts/work.py

make work calls this; run it again after each "git pull". Git ignores work/, so your changes never
stop a pull. Standard library only. Nothing is ever deleted, and nothing that you wrote is
overwritten. A notebook that
- is not in work/ is copied (delete your copy to start that notebook over);
- you have not written in is replaced by the course's new version;
- you have written in stays. A new version of the course's is put beside it once, as
  NN_topic.new.ipynb; delete that file when you have read it.

"Written in" means the text of the cells: code, prose and pasted pictures. Running a notebook and
saving it changes outputs and numbers only. Such a copy keeps its outputs as long as the course's
cells are the same, and is replaced when the course has changed them: run it again to get new
outputs.

work/.origin.json remembers for each copy the version of the course that it came from.
"""

import argparse
import hashlib
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# In work/: {path of a copy within work/: {"file": sha256, "cells": sha256}}
RECORD = ".origin.json"


class Outcome(Enum):
    """What becomes of one notebook."""

    ADDED = "it was not in work/"
    UPDATED = "the copy is replaced by the course's new version"
    UNCHANGED = "the copy is the course's version"
    YOURS = "the copy stays, with what was written in it"
    BESIDE = "the copy stays, and the course's new version is put beside it"
    WAITING = "the copy stays, and the course's new version already lies beside it"
    BLOCKED = "the copy stays, and a file with changes lies where the new version should"


class WorkError(Exception):
    """Why nothing (more) was copied, in words for the learner."""


@dataclass(frozen=True)
class Version:
    """One version of a notebook, known by two hashes: of the file, and of what its cells say."""

    file: str
    cells: str

    @classmethod
    def of(cls, content: bytes) -> "Version":
        """The version that a file's content is. Raises ValueError if it is no notebook."""
        try:
            cells = [
                [cell["cell_type"], "".join(cell["source"]), cell.get("attachments", {})]
                for cell in json.loads(content)["cells"]
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a notebook ({type(error).__name__}: {error})") from None
        text = json.dumps(cells, sort_keys=True).encode()
        return cls(hashlib.sha256(content).hexdigest(), hashlib.sha256(text).hexdigest())

    def wrote(self, content: bytes) -> bool:
        """Whether the learner has written in this version: the cells of `content` differ."""
        if hashlib.sha256(content).hexdigest() == self.file:
            return False
        try:
            return Version.of(content).cells != self.cells
        except ValueError:
            return True  # half-saved, or edited by hand: that is the learner's, too


@dataclass(frozen=True)
class Step:
    """What is to be done with one file of work/.

    name: its path within work/; outcome: what becomes of it; content: what to write, None if
    nothing; version: what to remember, None to leave the record as it is.
    """

    name: str
    outcome: Outcome
    content: bytes | None = None
    version: Version | None = None


def read_course(root: Path) -> dict[str, bytes]:
    """The course's notebooks by their path within notebooks/, solutions included.
    Raises WorkError.
    """
    folder = root / "notebooks"
    files = [
        file
        for pattern in ("*.ipynb", "solutions/*.ipynb")
        for file in sorted(folder.glob(pattern))
        if not file.name.startswith(".")
    ]
    if not files:
        raise WorkError(
            f"{folder} holds no notebooks. Fetch the course again: git clone, "
            "or git checkout notebooks"
        )
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def read_record(work: Path) -> dict[str, Version]:
    """What was copied before; nothing if there is no record yet.
    Raises WorkError if it is damaged.
    """
    file = work / RECORD
    if not file.exists():
        return {}
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        return {
            str(name): Version(str(entry["file"]), str(entry["cells"]))
            for name, entry in saved.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise WorkError(
            f"{file} is damaged; it says which notebooks you have changed. Restore it, or delete "
            "it: then every notebook that differs from the course's counts as "
            "changed by you, and stays"
        ) from None


def read_copy(file: Path) -> bytes | None:
    """A copy's content; None if it is not there."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def plan(name: str, course: bytes, work: Path, record: dict[str, Version]) -> Step:
    """What to do about one notebook; course: the course's present version. Writes nothing."""
    try:
        new = Version.of(course)
    except ValueError as error:
        raise WorkError(
            f"notebooks/{name} is {error}. Get the course's own: git checkout notebooks/{name}"
        ) from None
    mine, origin = read_copy(work / name), record.get(name)
    if mine is None:
        return Step(name, Outcome.ADDED, course, new)
    if not new.wrote(mine):
        stale = (
            origin is not None
            and mine != course
            and hashlib.sha256(mine).hexdigest() == origin.file
        )
        return (
            Step(name, Outcome.UPDATED, course, new)
            if stale
            else Step(name, Outcome.UNCHANGED, None, new)
        )
    if origin is not None and not origin.wrote(mine):
        return Step(name, Outcome.UPDATED, course, new)
    if origin is not None and origin.cells == new.cells:
        return Step(name, Outcome.YOURS)
    return plan_beside(beside(name), course, new, work, record)


def beside(name: str) -> str:
    """The name of the course's version beside a changed copy."""
    return f"{name.removesuffix('.ipynb')}.new.ipynb"


def plan_beside(
    name: str, course: bytes, new: Version, work: Path, record: dict[str, Version]
) -> Step:
    """What to do about a new version beside a changed copy: it is offered once,
    and your own file stays.
    """
    there, offered = read_copy(work / name), record.get(name)
    if there is None:
        seen = offered is not None and offered.cells == new.cells
        return Step(name, Outcome.YOURS) if seen else Step(name, Outcome.BESIDE, course, new)
    if not new.wrote(there):
        return Step(name, Outcome.WAITING, None, new)
    if offered is not None and not offered.wrote(there):
        return Step(name, Outcome.BESIDE, course, new)
    return Step(name, Outcome.BLOCKED)


def write(file: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


def carry_out(steps: list[Step], work: Path, record: dict[str, Version]) -> None:
    """Do what is planned. The record is saved after each file: whenever this is stopped,
    it tells no lie.
    """
    before = dict(record)
    for step in steps:
        if step.version is not None:
            record[step.name] = step.version
        if step.content is not None:
            write(work / step.name, step.content)
            save_record(record, work)
    if record != before or not (work / RECORD).exists():
        save_record(record, work)


def save_record(record: dict[str, Version], work: Path) -> None:
    """Save the record, sorted by name."""
    entries = {
        name: {"file": version.file, "cells": version.cells}
        for name, version in sorted(record.items())
    }
    write(work / RECORD, f"{json.dumps(entries, indent=1)}\n".encode())


def report(steps: list[Step]) -> list[str]:
    """What was done, in a few lines."""
    count = Counter(step.outcome for step in steps)
    stayed = (Outcome.YOURS, Outcome.BESIDE, Outcome.WAITING, Outcome.BLOCKED)
    numbers = {
        "added": count[Outcome.ADDED],
        "replaced by the course's new version": count[Outcome.UPDATED],
        "unchanged": count[Outcome.UNCHANGED],
        "kept, with what you have written": sum(count[outcome] for outcome in stayed),
    }
    parts = [f"{number} {words}" for words, number in numbers.items() if number]
    lines = [f"work/: {', '.join(parts)}."]
    for step in steps:
        if step.outcome == Outcome.BESIDE:
            lines.append(
                f"The course has a new version of a notebook of yours: work/{step.name}. Delete it "
                "when you have taken over what you want."
            )
        elif step.outcome == Outcome.WAITING:
            lines.append(f"Still there, with the course's new version: work/{step.name}.")
        elif step.outcome == Outcome.BLOCKED:
            lines.append(
                f"The course has a new version, but work/{step.name} is in its way and has changes "
                "of yours. Rename or delete that file, and run this again."
            )
    return lines


def copy_notebooks(root: Path = ROOT) -> list[str]:
    """Bring work/ up to date; returns what to tell the learner.
    Raises WorkError, with nothing half-written.
    """
    work = root / "work"
    for folder in (work, work / "solutions"):
        if folder.exists() and not folder.is_dir():
            raise WorkError(
                f"{folder} is a file, but a folder of that name is needed. Rename the file"
            )
    try:
        record = read_record(work)
        steps = [plan(name, content, work, record) for name, content in read_course(root).items()]
        carry_out(steps, work, record)
    except OSError as error:
        raise WorkError(
            f"{error.filename or work}: {error.strerror or error}. Every copy in work/ is whole, "
            "an old one or a new one. If the folder is read-only, "
            "copy the course to one of your own"
        ) from None
    return report(steps)


def main() -> int:
    """Copy, and say what came of it."""
    raw = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=raw).parse_args()
    try:
        lines = copy_notebooks()
    except WorkError as error:
        print(f"{error}.", file=sys.stderr)
        return 1
    lines.append("make lab opens work/00_start_here.ipynb. After a git pull, run make work again.")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
