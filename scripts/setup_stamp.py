"""What the set-up remembers in .venv, what it finds there,
and how two set-ups keep out of each other's way.

Standard library only: this runs before .venv exists.
"""

import contextlib
import csv
import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import setup_commands

if os.name == "nt":
    import msvcrt
else:
    import fcntl

STATE = "setup.json"  # in .venv: how far the set-up came, and with what
LOCK = "setup.lock"  # in .venv: held by the set-up that is running
# in .venv: for temporary files, so that those of a killed pip are found and removed
WORK = "setup.tmp"
# How far it came. After CREATING and BROKEN, .venv is made anew; after the others, it is mended in
# place.
CREATING, INSTALLING, FAILED, BROKEN, READY = "creating", "installing", "failed", "broken", "ready"
# torch's own dependencies on a GPU are in no lock; whoever brings torch brings them.
WITH_TORCH = re.compile(r"torch$|nvidia-|cuda-|triton|pytorch-triton")


def read_state(venv: Path) -> dict[str, Any]:
    """What the last set-up wrote down; empty if there was none."""
    try:
        state = json.loads((venv / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(venv: Path, phase: str, **more: object) -> None:
    """Write the state whole or not at all."""
    unfinished = venv / f"{STATE}.tmp"
    state = {"phase": phase, "since": time.strftime("%H:%M on %d %B")} | more
    unfinished.write_text(json.dumps(state, indent=1), encoding="utf-8")
    os.replace(unfinished, venv / STATE)


def empty(venv: Path) -> None:
    """Remove everything but what the set-up itself needs.
    The stamp above all: it must outlive an interruption.
    """
    for child in venv.iterdir():
        if child.name in (STATE, LOCK, WORK):
            continue
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


# --- one at a time --------------------------------------------------------------------------------


def try_lock(descriptor: int) -> bool:
    """Take the lock if it is free. It belongs to the open file,
    so the system frees it however its holder ends.

    filelock does the same in more ways, but it comes from the package index, and here .venv does
    not exist yet.
    """
    try:
        if os.name == "nt":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network folders know no locks. A set-up without one is better than none.
        return error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
    return True


@contextlib.contextmanager
def alone(venv: Path, pause: float = 0.2) -> Iterator[int]:
    """Wait until no other set-up works on this .venv; yields the descriptor that holds the lock.

    The set-up's commands inherit the descriptor, and the lock with it (not on Windows, which
    cannot). So a pip that outlives a killed set-up keeps the lock until it has ended too: the next
    set-up waits for it instead of writing to the same files. A lock file that nobody holds means
    nothing and is left lying.
    """
    told = False
    while True:
        venv.mkdir(exist_ok=True)
        descriptor = os.open(venv / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            while not try_lock(descriptor):
                if not told:
                    told = True
                    state = read_state(venv)
                    since = (
                        f" (since {state['since']})"
                        if state.get("phase") in (CREATING, INSTALLING)
                        else ""
                    )
                    print(f"Another set-up is running{since}; waiting for it ...", flush=True)
                time.sleep(pause)
            if is_the_lock(descriptor, venv):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def is_the_lock(descriptor: int, venv: Path) -> bool:
    """False if the folder was removed (make clean) while we waited: then we hold
    the lock of nothing.
    """
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(venv / LOCK))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def surroundings(venv: Path, lock: int) -> Iterator[None]:
    """Let each command inherit the lock, and keep its temporary files here,
    where no killed pip can litter /tmp.
    """
    given, work = setup_commands.SURROUNDINGS, venv / WORK
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    given.descriptors, given.work = (lock,), work
    try:
        yield
    finally:
        given.descriptors, given.work = (), None
        shutil.rmtree(work, ignore_errors=True)


# --- what is installed ----------------------------------------------------------------------------


def normal(name: str) -> str:
    """A distribution's name as every tool would write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def owner(entry: str) -> str:
    """The name in "scikit_learn-1.9.0.dist-info"; empty for anything else in site-packages."""
    return normal(entry.split("-")[0]) if entry.endswith(".dist-info") else ""


def records(site: Path) -> dict[str, list[Path]]:
    """The dist-info folders in site-packages, by distribution.
    More than one: an upgrade was interrupted.
    """
    found: dict[str, list[Path]] = {}
    for entry in sorted(os.listdir(site)) if site.is_dir() else []:
        if owner(entry):
            found.setdefault(owner(entry), []).append(site / entry)
    return found


def files(info: Path) -> list[tuple[Path, int | None]] | None:
    """The files of one distribution with their sizes; None if it has no list of them,
    as after an interrupted pip.
    """
    try:
        lines = (info / "RECORD").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    if not lines or not (info / "METADATA").exists():
        return None
    # A line is a path, a hash and a size. What pip compiled has neither hash nor size, and does not
    # matter.
    listed = [row for row in csv.reader(lines) if len(row) == 3 and not row[0].endswith(".pyc")]
    return [(info.parent / path, int(size) if size else None) for path, _, size in listed]


def is_whole(info: Path) -> bool:
    """True if every file that a distribution brought is there, at its full size."""
    listed = files(info)
    if listed is None:
        return False
    for file, size in listed:
        try:
            found = file.stat().st_size
        except OSError:
            return False
        if size is not None and size != found:
            return False
    return True


def damaged(site: Path, ours: Callable[[str], bool]) -> list[str]:
    """Which of our distributions are there, but not whole."""
    return [
        name
        for name, infos in records(site).items()
        if ours(name) and (len(infos) > 1 or not is_whole(infos[0]))
    ]


def forget(site: Path, name: str) -> None:
    """Remove what is left of a distribution. pip cannot: to uninstall,
    it wants everything that it installed.
    """
    for info in records(site).get(name, []):
        for file, _ in files(info) or []:
            if ".." not in file.parts:  # the commands in bin/ are simply overwritten
                file.unlink(missing_ok=True)
        shutil.rmtree(info, ignore_errors=True)


def sweep(site: Path) -> None:
    """Remove the folders ("~orch") into which an interrupted pip had put away what
    it wanted to replace.
    """
    for leftover in site.glob("~*"):
        shutil.rmtree(leftover, ignore_errors=True)


def inventory(site: Path, ours: Callable[[str], bool]) -> dict[str, list[str]]:
    """For each of our distributions its dist-info folder, and one file of every folder that it
    has in site-packages.

    These few hundred names can be looked for in milliseconds at every later run.
    """
    kept = {}
    for name, infos in records(site).items():
        if not ours(name):
            continue
        samples: dict[str, str] = {}
        for file, _ in files(infos[0]) or []:
            parts = file.relative_to(site).parts
            if parts[0] != ".." and parts[0] != infos[0].name:
                samples.setdefault(parts[0], "/".join(parts))
                if parts[-1] == "__init__.py" and len(parts) == 2:
                    samples[parts[0]] = "/".join(parts)
        kept[name] = [infos[0].name, *samples.values()]
    return kept


def missing(site: Path, kept: dict[str, list[str]]) -> list[str]:
    """Which distributions of the inventory are gone, whole or in part.
    One that you replaced yourself is not.
    """
    try:
        present = set(os.listdir(site))
    except OSError:
        return sorted(kept)
    owners = {owner(entry) for entry in present}
    gone = []
    for name, (info, *samples) in kept.items():
        if info in present:
            lost = any(
                file not in present if "/" not in file else not os.path.exists(site / file)
                for file in samples
            )
        else:
            lost = name not in owners
        if lost:
            gone.append(name)
    return gone
