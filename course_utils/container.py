"""The limits of the container that this process runs in: CPU cores and memory,
from cgroup v2 or v1 (Linux).

A limit can be set on the process's own cgroup or on any above it; the tightest one counts. A file
that is missing, unreadable or malformed sets no limit. See the kernel's documentation:
admin-guide/cgroup-v2, admin-guide/cgroup-v1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

NO_LIMIT = 2**60  # v1 writes "none" as the largest number of pages it can count, about 2**63 bytes


def cpu_limit(root: Path = Path("/")) -> float | None:
    """CPU cores that the container's processes may use together, such as 0.5; None without a limit.

    root: the folder that holds proc/ and sys/.
    """
    v2 = (_ratio(_read(folder / "cpu.max")) for folder in _folders(root, ""))
    v1 = (
        _ratio(f"{_read(folder / 'cpu.cfs_quota_us')} {_read(folder / 'cpu.cfs_period_us')}")
        for folder in _folders(root, "cpu")
    )
    return min((limit for limit in (*v2, *v1) if limit is not None), default=None)


def memory_limit(root: Path = Path("/")) -> int | None:
    """Bytes of memory that the container's processes may hold together; None without a limit.

    root: the folder that holds proc/ and sys/.
    """
    return min((limit for limit, _ in _memory(root)), default=None)


def memory_available(root: Path = Path("/")) -> int | None:
    """Bytes that are left below the memory limit; None without a limit.

    Cached files that the kernel drops when memory is needed do not count as used. The machine
    itself may have less.
    root: the folder that holds proc/ and sys/.
    """
    return min((max(0, limit - used) for limit, used in _memory(root)), default=None)


def _memory(root: Path) -> Iterator[tuple[int, int]]:
    """(limit, use) in bytes of each cgroup that has a limit;
    where the use cannot be read, it counts as none.
    """
    # name of the controller, limit, use, and the use that can be reclaimed, in the cgroup and all
    # below it
    for controller, limit_file, used_file, cache in (
        ("", "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        for folder in _folders(root, controller):
            limit = _number(_read(folder / limit_file))
            if limit is not None and 0 < limit < NO_LIMIT:
                used = _number(_read(folder / used_file)) or 0
                yield limit, max(0, used - _statistic(_read(folder / "memory.stat"), cache))


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the process's cgroup and of all above it; controller: v1's, or "" for v2.

    In a container with a namespace of its own, the path that /proc names can lie outside of what is
    mounted. Its folders are missing then, and the last one, the mount's root, is the container's
    own.
    """
    path, places = _cgroup(root, controller)
    for place in places:
        folder = root / "sys" / "fs" / "cgroup" / place
        yield from (folder / parent for parent in (path, *path.parents))


def _cgroup(root: Path, controller: str) -> tuple[PurePosixPath, list[str]]:
    """The process's cgroup, and where that hierarchy may be mounted below sys/fs/cgroup."""
    places = [controller] if controller else [".", "unified"]  # "unified": v2 beside v1 (hybrid)
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        is_it = controller in names.split(",") if controller else number == "0" and not names
        if is_it:
            within = PurePosixPath(path.strip().lstrip("/"))
            if controller and names != controller:
                places.append(names)  # mounted together, such as "cpu,cpuacct"
            return PurePosixPath() if ".." in within.parts else within, places
    return PurePosixPath(), places


def _read(file: Path) -> str:
    """A small file's text; empty if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _number(text: str) -> int | None:
    """A whole number; None for anything else, such as "max"."""
    try:
        return int(text)
    except ValueError:
        return None


def _ratio(text: str) -> float | None:
    """Quota over period, of "50000 100000"; None unless both are positive numbers."""
    numbers = [_number(word) for word in text.split()]
    if len(numbers) != 2 or any(number is None or number <= 0 for number in numbers):
        return None
    return numbers[0] / numbers[1]


def _statistic(text: str, name: str) -> int:
    """One number of memory.stat; 0 if it is not there."""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == name:
            return _number(words[1]) or 0
    return 0
