"""The record of a run: what identifies it, and what result.json tells of how it went."""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from course_utils import checkpoint as checkpoints
from course_utils import hardware
from course_utils.training import FitResult

COLAB_DRIVE = Path("/content/drive/MyDrive")  # where google.colab's drive.mount("/content/drive") puts it


def checkpoint_name(checkpoint: str) -> str:
    """A Hub name as it is; of a folder only its own name, since the rest belongs to one machine."""
    folder = Path(checkpoint).expanduser()
    return folder.absolute().name if checkpoint and folder.exists() else checkpoint


def identity_of(settings: Mapping[str, Any], start: str) -> dict[str, Any]:
    """The settings without a path of this machine: where settings[start] is a folder, it is known by its weights."""
    checkpoint = settings[start]
    weights = Path(checkpoint).expanduser() / "model.safetensors"
    known = {f"{start}_sha256": checkpoints.sha256(weights)} if checkpoint and weights.is_file() else {}
    return {**settings, start: checkpoint_name(checkpoint), **known}


def refuse_own_start(checkpoint: str, output_dir: Path) -> None:
    """Raise ValueError where a run would write over (or, without resume, delete) the weights that it starts from."""
    if checkpoint and Path(checkpoint).expanduser().resolve() == output_dir.resolve():
        raise ValueError(f"the run starts from {checkpoint} and would write over it; choose another output folder than "
                         f"{output_dir}")


def finished_result(output_dir: Path, identity: Mapping[str, Any], *, resume: bool = True) -> dict[str, Any] | None:
    """The result of a run that is over; None if there is still something to do, and then the folder can be written.

    Without `resume` the run that the folder holds is deleted first. Raises ValueError if it holds another run, OSError
    if it cannot be written.
    """
    if not resume:
        checkpoints.delete_run(output_dir)
    path = output_dir / "result.json"
    if not path.exists():
        checkpoints.ensure_writable(output_dir)
        if (output_dir / "run.json").exists():  # refused here, before any work and before anything is written
            saved = checkpoints.read_json(output_dir / "run.json").get("identity", {})
            checkpoints.refuse_other_run(output_dir, {name: saved.get(name) for name in identity}, identity)
        return None
    result = checkpoints.read_json(path)
    saved = result.get("config", {})
    checkpoints.refuse_other_run(output_dir, {name: saved.get(name) for name in identity}, identity)
    checkpoints.remove_states(output_dir / "state")  # if it was killed before it could
    return result


def run_folder(name: str) -> Path:
    """The folder in which a notebook keeps its runs, so that a killed kernel or a new day loses nothing.

    It is runs/NAME beside the notebooks' folder; on Colab, whose disk is gone with the machine, a folder of the Drive
    if that is mounted. The variable COURSE_RUNS_DIR names another place; empty, it asks for a temporary folder, which
    ends with the process. Nothing is made yet, but for a temporary folder.
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


def record_of(fitted: FitResult, config: Mapping[str, Any], command: str) -> dict[str, Any]:
    """How a run went, JSON-ready: its settings, time, curve, machine and versions, with no path of this machine."""
    peak = hardware.peak_memory_gib()
    return {
        "seed": config["seed"], "num_updates": fitted.num_updates, "train_seconds": round(fitted.train_seconds, 3),
        "examples_per_second": round(fitted.examples_per_second, 2),
        "peak_memory_gib": peak and round(peak, 2),  # of the whole process so far
        "resumed_from_steps": fitted.resumed_from_steps, "best_step": fitted.best_step, "config": dict(config),
        "precision": fitted.hardware.to_dict(), "hardware": hardware.describe(), "command": command,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in (
            "torch", "transformers", "datasets", "accelerate", "tokenizers", "scikit-learn")}},
        "curve": thin_curve(fitted.history),
        "evaluations": [entry for entry in fitted.history if "loss" not in entry],
    }


def thin_curve(history: Sequence[dict[str, float]], num_points: int = 200) -> list[dict[str, float]]:
    """The loss curve as at most `num_points` means over equal stretches of updates."""
    updates = [entry for entry in history if "loss" in entry]
    stretches = [part for part in np.array_split(np.arange(len(updates)), num_points) if len(part)]
    return [{"step": updates[part[-1]]["step"], "learning_rate": updates[part[-1]]["learning_rate"],
             "loss": round(float(np.mean([updates[i]["loss"] for i in part])), 5)} for part in stretches]


# --- answers of a model to the texts of a notebook -----------------------------------------------------------------


def answer_key(text: str, max_length: int) -> str:
    """By what the answer to a text is stored that was cut to max_length tokens: the beginning of a hash of both."""
    return hashlib.sha256(f"{max_length} {text}".encode()).hexdigest()[:16]


def stored_logits(answers: Mapping[str, Sequence[float]], texts: Sequence[str], max_length: int) -> np.ndarray:
    """The stored logits of `texts`, float64 [num_texts, num_labels]. Raises KeyError for a text that was not asked."""
    for text in texts:
        if answer_key(text, max_length) not in answers:
            raise KeyError(f"no answer is stored for {text!r:.80} at {max_length} tokens; to ask a text of your own, "
                           "train the model in this notebook")
    return np.array([answers[answer_key(text, max_length)] for text in texts], dtype=float)
