"""What result.json tells of a run: its settings, time, curve, machine and versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from course_utils.training import hardware
from course_utils.training.loop import FitResult


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
        "versions": {
            "python": platform.python_version(),
            **{
                name: version(name)
                for name in (
                    "torch",
                    "transformers",
                    "datasets",
                    "accelerate",
                    "tokenizers",
                    "scikit-learn",
                )
            },
        },
        "curve": thin_curve(fitted.history),
        "evaluations": [entry for entry in fitted.history if "loss" not in entry],
    }


def thin_curve(
    history: Sequence[dict[str, float]], num_points: int = 200
) -> list[dict[str, float]]:
    """The loss curve as at most `num_points` means over equal stretches of updates."""
    updates = [entry for entry in history if "loss" in entry]
    stretches = [part for part in np.array_split(np.arange(len(updates)), num_points) if len(part)]
    return [
        {
            "step": updates[part[-1]]["step"],
            "learning_rate": updates[part[-1]]["learning_rate"],
            "loss": round(float(np.mean([updates[i]["loss"] for i in part])), 5),
        }
        for part in stretches
    ]
