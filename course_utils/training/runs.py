"""The run folder: what identifies a run, and when a folder is refused, resumed or deleted.

run.json      identity and hardware of the run that the folder belongs to; written first
state/        the last saved state, to go on from; deleted once the run is finished
result.json   what the finished run reached; written after the model
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_utils import files
from course_utils.training import saved_state

# Where google.colab's drive.mount("/content/drive") puts the Drive.
COLAB_DRIVE = Path("/content/drive/MyDrive")


# --- identity -------------------------------------------------------------------------------------


def identity_of(settings: Mapping[str, Any], start: str) -> dict[str, Any]:
    """The settings that identify a run, without a path of this machine.

    Where settings[start] is a folder, it is known by its own name and by the hash of its weights,
    so that another checkpoint of the same name is another run.
    """
    checkpoint = settings[start]
    weights = Path(checkpoint).expanduser() / "model.safetensors"
    known = {}
    if checkpoint and weights.is_file():
        known[f"{start}_sha256"] = files.sha256(weights)
    return {**settings, start: checkpoint_name(checkpoint), **known}


def checkpoint_name(checkpoint: str) -> str:
    """A Hub name as it is; of a folder only its own name, since the rest belongs to one machine."""
    folder = Path(checkpoint).expanduser()
    return folder.absolute().name if checkpoint and folder.exists() else checkpoint


# --- the folder -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    path: the folder, which need not exist.
    identity: every setting that decides the final weights, and a hash of the data, by name.
    """

    path: Path
    identity: Mapping[str, Any]

    @property
    def states(self) -> Path:
        """The folder that the saved states lie in."""
        return self.path / "state"

    def start(self) -> dict[str, Any]:
        """Claim the folder for this run: its record (run.json) if it was started before, else {}.

        Raises OSError if the folder cannot be written, ValueError if it holds another run.
        """
        files.ensure_writable(self.path)
        record = self._read("run.json")
        if record is None:
            if self.states.exists():  # of a run whose deletion was cut short
                saved_state.remove_states(self.states)
            return {}
        self.refuse_other(record.get("identity", {}))
        return record

    def write_record(self, hardware: Mapping[str, Any]) -> None:
        """Write run.json: whose the folder is, and what it computes with."""
        record = {"identity": dict(self.identity), "hardware": dict(hardware)}
        files.write_json(self.path / "run.json", record)

    def result(self) -> dict[str, Any] | None:
        """The result of this run if it is finished; None if there is something left to do.

        What is None can be written. Nothing is deleted but the states of a finished run, if it was
        killed before it could do that itself. Raises ValueError if the folder holds another run,
        OSError if it cannot be written.
        """
        result = self._read("result.json")
        if result is not None:
            self._refuse_other_settings(result.get("config", {}))
            saved_state.remove_states(self.states)
            return result
        files.ensure_writable(self.path)
        record = self._read("run.json")
        if record is not None:
            self._refuse_other_settings(record.get("identity", {}))
        return None

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write result.json, then drop the states; the model must be there already.

        In this order a kill in between loses nothing.
        """
        files.write_json(self.path / "result.json", result)
        saved_state.remove_states(self.states)

    def delete(self) -> None:
        """Delete what a run wrote here to go on by or to be read; leave everything else.

        A folder without run.json and result.json holds no run, and stays as it is.
        """
        if not any((self.path / name).exists() for name in ("run.json", "result.json")):
            return
        saved_state.remove_states(self.states)
        # run.json goes last: it says whose the rest is.
        for name in ("result.json", "model.safetensors", "run.json"):
            (self.path / name).unlink(missing_ok=True)

    def refuse_other(self, saved: Mapping[str, Any]) -> None:
        """Raise ValueError, naming a setting and both its values, if `saved` is not this run's
        identity.
        """
        for name in {**saved, **self.identity}:
            there, here = saved.get(name), self.identity.get(name)
            if there != here:
                raise ValueError(
                    f"{self.path} holds another run: {name} is {there!r} there and {here!r} here; "
                    "choose another folder, or delete that one"
                )

    def _refuse_other_settings(self, saved: Mapping[str, Any]) -> None:
        """The same, for a record that holds more than the identity."""
        self.refuse_other({name: saved.get(name) for name in self.identity})

    def _read(self, name: str) -> dict[str, Any] | None:
        """The content of a file of this folder, None if it is not there."""
        path = self.path / name
        return files.read_json(path) if path.exists() else None


def refuse_own_start(checkpoint: str, output_dir: Path) -> None:
    """Raise ValueError where a run would write over the weights that it starts from."""
    if checkpoint and Path(checkpoint).expanduser().resolve() == output_dir.resolve():
        raise ValueError(
            f"the run starts from {checkpoint} and would write over it; choose another output "
            f"folder than {output_dir}"
        )


# --- where a notebook keeps its runs --------------------------------------------------------------


def run_folder(name: str) -> Path:
    """The folder in which a notebook keeps its runs, so that a killed kernel loses nothing.

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
