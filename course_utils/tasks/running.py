"""What the runs of all tasks share: started again, a run goes on or shows its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from course_utils.progress import phase
from course_utils.training import interrupts_in_one_line
from course_utils.training.runs import RunFolder


@dataclass(frozen=True)
class Start:
    """How a run is started; nothing here changes what it computes.

    resume: go on where the folder's run was; False: delete that run first.
    stop_after: stop, saved, once this many updates are done in all; None: at the end.
    progress: show bars and phases.
    command: the command line in words, for the record.
    """

    resume: bool = True
    stop_after: int | None = None
    progress: bool = False
    command: str = ""


def run_or_show(
    folder: RunFolder, start: Start, job: Callable[[], dict[str, Any] | None]
) -> dict[str, Any] | None:
    """The result of the folder's run if it is finished; else what `job` returns.

    Without `start.resume` the run that the folder holds is deleted first. Raises ValueError if the
    folder holds another run, OSError if it cannot be written.
    """
    if not start.resume:
        folder.delete()
    finished = folder.result()
    if finished is not None:
        where = f"this run was finished before: its result is read from {folder.path}"
        with phase(where, show=start.progress):
            return finished
    with interrupts_in_one_line("stopped; what was saved last is untouched, start again to go on"):
        return job()
