"""Is this machine ready for the course? Each finding says what is needed, what is here,
and what to do.
"""

from __future__ import annotations

import shutil
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

from course_utils import container

ROOT = Path(__file__).resolve().parents[1]
MIN_MEMORY_GIB, MIN_DISK_GIB = (
    2.0,
    1.0,
)  # the notebooks stay below 1.2 GiB each; a finished run fills about 0.3


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what it is, what the course needs, what is here,
    and what to do if that will not do.
    """

    name: str
    needed: str
    found: str
    is_fine: bool
    advice: str


def check_environment(folder: Path = ROOT) -> list[Finding]:
    """Look at Python, the packages (against pyproject.toml), memory,
    disk and the course's own files.

    folder: the course's root. Nothing is installed, written or downloaded.
    """
    return [_python(), *_packages(folder), _memory(), _disk(folder), _reviews(folder)]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        "Python",
        "3.11 or newer",
        found,
        sys.version_info >= (3, 11),
        "install a newer Python from python.org and run `make lab` again",
    )


def _packages(folder: Path) -> list[Finding]:
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [_package(Requirement(text)) for text in project["dependencies"]]


def _package(requirement: Requirement) -> Finding:
    advice = f'install it into this environment: pip install "{requirement}"'
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return Finding(requirement.name, str(requirement.specifier), "nothing", False, advice)
    is_fine = requirement.specifier.contains(found, prereleases=True)
    return Finding(requirement.name, str(requirement.specifier), found, is_fine, advice)


def _memory() -> Finding:
    gib = _available_memory_gib()
    found = "unknown" if gib is None else f"{gib:.1f} GiB"
    return Finding(
        "free memory",
        f"{MIN_MEMORY_GIB:.0f} GiB",
        found,
        gib is None or gib >= MIN_MEMORY_GIB,
        "close other programs and notebooks (Kernel > Shut Down All Kernels)",
    )


def _available_memory_gib() -> float | None:
    """Memory that a new program can have, in GiB, within the container's limit;
    None where the system does not say.

    Linux alone says so.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    of_machine = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    in_container = container.memory_available()
    available = [*of_machine, *([] if in_container is None else [in_container])]
    return min(available) / 2**30 if available else None


def _disk(folder: Path) -> Finding:
    gib = shutil.disk_usage(folder).free / 2**30
    return Finding(
        "free disk",
        f"{MIN_DISK_GIB:.0f} GiB",
        f"{gib:.1f} GiB",
        gib >= MIN_DISK_GIB,
        "free some space, or delete old runs in the folder runs/",
    )


def _reviews(folder: Path) -> Finding:
    files = sorted(file.name for file in (folder / "data" / "reviews").glob("*.parquet"))
    return Finding(
        "the course's reviews",
        "5 files",
        f"{len(files)} files",
        len(files) == 5,
        "fetch the course again: git clone, or git checkout data/reviews",
    )


def summary(findings: Sequence[Finding]) -> str:
    """One line if all is well, else one for each thing to mend, with what to do."""
    wrong = [finding for finding in findings if not finding.is_fine]
    if not wrong:
        return f"all {len(findings)} checks passed: this machine is ready"
    return "\n".join(
        f"{finding.name}: needed {finding.needed}, found {finding.found}; {finding.advice}"
        for finding in wrong
    )
