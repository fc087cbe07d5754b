"""The run folder: what identifies a run, when a folder is refused, resumed or deleted,
and the record of a run.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from course_utils.files import ensure_writable, read_json, sha256
from course_utils.training.saved_state import remove_states


def refuse_other_run(folder: Path, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise ValueError, naming a setting and both its values,
    if `folder` holds a run with other settings.
    """
    for name in {**saved, **now}:
        there, here = saved.get(name), now.get(name)
        if there != here:
            raise ValueError(
                f"{folder} holds another run: {name} is {there!r} there and {here!r} here; choose "
                "another folder, or delete that one"
            )


def read_run(folder: Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    """The record (run.json) of the run in `folder`, {} for a new one.
    Raises ValueError if it is another run.
    """
    path = folder / "run.json"
    if not path.exists():
        return {}
    record = read_json(path)
    refuse_other_run(folder, record.get("identity", {}), identity)
    return record


def delete_run(folder: Path) -> None:
    """Delete what a run wrote into `folder` to go on by or to be read,
    and leave everything else there.
    """
    if not any((folder / name).exists() for name in ("run.json", "result.json")):
        return  # what lies there is no run's
    remove_states(folder / "state")
    for name in (
        "result.json",
        "model.safetensors",
        "run.json",
    ):  # which says whose the rest is, so it goes last
        (folder / name).unlink(missing_ok=True)


COLAB_DRIVE = Path(
    "/content/drive/MyDrive"
)  # where google.colab's drive.mount("/content/drive") puts it


def checkpoint_name(checkpoint: str) -> str:
    """A Hub name as it is; of a folder only its own name, since the rest belongs to one machine."""
    folder = Path(checkpoint).expanduser()
    return folder.absolute().name if checkpoint and folder.exists() else checkpoint


def identity_of(settings: Mapping[str, Any], start: str) -> dict[str, Any]:
    """The settings without a path of this machine: where settings[start] is a folder,
    it is known by its weights.
    """
    checkpoint = settings[start]
    weights = Path(checkpoint).expanduser() / "model.safetensors"
    known = {f"{start}_sha256": sha256(weights)} if checkpoint and weights.is_file() else {}
    return {**settings, start: checkpoint_name(checkpoint), **known}


def refuse_own_start(checkpoint: str, output_dir: Path) -> None:
    """Raise ValueError where a run would write over (or, without resume, delete) the weights
    that it starts from.
    """
    if checkpoint and Path(checkpoint).expanduser().resolve() == output_dir.resolve():
        raise ValueError(
            f"the run starts from {checkpoint} and would write over it; choose another output "
            f"folder than {output_dir}"
        )


def finished_result(
    output_dir: Path, identity: Mapping[str, Any], *, resume: bool = True
) -> dict[str, Any] | None:
    """The result of a run that is over; None if there is still something to do,
    and then the folder can be written.

    Without `resume` the run that the folder holds is deleted first. Raises ValueError if it holds
    another run, OSError if it cannot be written.
    """
    if not resume:
        delete_run(output_dir)
    path = output_dir / "result.json"
    if not path.exists():
        ensure_writable(output_dir)
        if (
            output_dir / "run.json"
        ).exists():  # refused here, before any work and before anything is written
            saved = read_json(output_dir / "run.json").get("identity", {})
            refuse_other_run(output_dir, {name: saved.get(name) for name in identity}, identity)
        return None
    result = read_json(path)
    saved = result.get("config", {})
    refuse_other_run(output_dir, {name: saved.get(name) for name in identity}, identity)
    remove_states(output_dir / "state")  # if it was killed before it could
    return result


def run_folder(name: str) -> Path:
    """The folder in which a notebook keeps its runs,
    so that a killed kernel or a new day loses nothing.

    It is runs/NAME beside the notebooks' folder; on Colab, whose disk is gone with the machine, a
    folder of the Drive if that is mounted. The variable COURSE_RUNS_DIR names another place; empty,
    it asks for a temporary folder, which ends with the process. Nothing is made yet, but for a
    temporary folder.
    """
    named = os.environ.get("COURSE_RUNS_DIR")
    if named:
        return Path(named).expanduser() / name
    if named == "":
        temporary = Path(tempfile.mkdtemp(prefix="course-runs-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        return temporary / name
    if COLAB_DRIVE.is_dir():
        return COLAB_DRIVE / "words-to-bert" / "runs" / name
    here = Path.cwd()
    folder = here.parent if here.name == "solutions" else here
    beside = folder.name in ("notebooks", "work") and (folder.parent / "data").is_dir()
    return (folder.parent if beside else here) / "runs" / name
