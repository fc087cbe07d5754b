"""What result.json tells of a run: its settings, time, curve, machine and versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from course_utils.training import hardware
from course_utils.training.loop import FitResult

# The distributions that decide a result.
LIBRARIES = ("torch", "transformers", "datasets", "accelerate", "tokenizers", "scikit-learn")


def record_of(fitted: FitResult, config: Mapping[str, Any], command: str) -> dict[str, Any]:
    """How a run went, JSON-ready: its settings, time, curve, machine and versions,
    with no path of this machine.
    """
    peak = hardware.peak_memory_gib()
    return {
        "seed": config["seed"],
        "num_updates": fitted.num_updates,
        "train_seconds": round(fitted.train_seconds, 3),
        "examples_per_second": round(fitted.examples_per_second, 2),
        "peak_memory_gib": peak and round(peak, 2),  # of the whole process so far
        "resumed_from_steps": fitted.resumed_from_steps,
        "best_step": fitted.best_step,
        "config": dict(config),
        "precision": fitted.hardware.to_dict(),
        "hardware": hardware.describe(),
        "command": command,
        "versions": versions(),
        "curve": _thin_curve(fitted.history),
        "evaluations": [entry for entry in fitted.history if "loss" not in entry],
    }


def versions(packages: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """The versions of Python and of these distributions."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _thin_curve(
    history: Sequence[dict[str, float]], num_points: int = 200
) -> list[dict[str, float]]:
    """The loss curve as at most `num_points` means over equal stretches of updates."""
    updates = [entry for entry in history if "loss" in entry]
    curve = []
    for numbers in np.array_split(np.arange(len(updates)), num_points):
        if len(numbers):
            last = updates[numbers[-1]]
            loss = float(np.mean([updates[number]["loss"] for number in numbers]))
            curve.append({**last, "loss": round(loss, 5)})
    return curve
