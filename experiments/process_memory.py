"""Memory and processor time of a process and of all the processes that it starts. Used by
notebook_costs.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")  # Linux alone has it
EVERY = 0.2  # seconds between two looks at the memory


@dataclass(frozen=True)
class Memory:
    """In KiB. resident: of a process and its descendants, now. peak: the most that the process
    alone ever had.
    """

    resident: int
    peak: int


def memory_of(pid: int) -> Memory:
    """The memory of a process and its descendants. Pages that they share count for each.

    A process that is gone has none.
    """
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    peak = 0
    for status in PROC.glob("[0-9]*/status"):
        try:
            text = status.read_text(encoding="utf-8", errors="replace")
        except OSError:  # it ended in the meantime
            continue
        found = dict(re.findall(r"(?m)^(Pid|PPid|VmRSS|VmHWM):\s+(\d+)", text))
        if "VmRSS" not in found:  # a kernel thread or a zombie
            continue
        member = int(found["Pid"])
        parents[member] = int(found["PPid"])
        resident[member] = int(found["VmRSS"])
        if member == pid:
            peak = int(found["VmHWM"])
    return Memory(sum(resident[member] for member in family_of(pid, parents)), peak)


def family_of(pid: int, parents: Mapping[int, int]) -> set[int]:
    """A process and all its descendants; empty if it is gone. parents: {process: its parent}."""
    family: set[int] = set()
    generation = {pid} & parents.keys()
    while generation:
        family |= generation
        generation = {child for child, parent in parents.items() if parent in generation}
    return family


class MemoryWatch:
    """The most memory, in KiB, that a process and its descendants had at once.

    It looks every fifth of a second, and whenever `look` is called. A peak of the process alone is
    never missed; a short one of its descendants may be.
    """

    def __init__(self) -> None:
        self.pid = 0  # set it once the process has started
        self.peak = 0
        self._done = threading.Event()

    def look(self, **_: Any) -> None:
        """Look now."""
        if self.pid:
            memory = memory_of(self.pid)
            self.peak = max(self.peak, memory.resident, memory.peak)

    def __enter__(self) -> MemoryWatch:
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)
        self._thread.start()
        return self

    def _keep_looking(self) -> None:
        while not self._done.wait(EVERY):
            self.look()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def cpu_seconds_of_children() -> float:
    """User and system time of all processes that this one started and that ended, and of theirs."""
    import resource  # not on Windows

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
