"""fit, the one training loop, and what it stands on: run folder, saved state,
optimizer, hardware.
"""

from course_utils.training.interrupts import Interrupted, interrupts_in_one_line
from course_utils.training.loop import FitResult, fit
from course_utils.training.objective import Batch, Objective
from course_utils.training.runs import run_folder

__all__ = [
    "Batch",
    "FitResult",
    "Interrupted",
    "Objective",
    "fit",
    "interrupts_in_one_line",
    "run_folder",
]
