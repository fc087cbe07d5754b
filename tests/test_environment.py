"""The self-check of notebook 00: it must notice what is wrong, and say what to do."""

import shutil
import sys
from pathlib import Path

import pytest

from course_utils import environment

ROOT = Path(__file__).resolve().parents[1]


def named(findings: list[environment.Finding], name: str) -> environment.Finding:
    return next(finding for finding in findings if finding.name == name)


def test_the_tests_own_environment_is_fine() -> None:
    findings = environment.check_environment()
    software = [f for f in findings if not f.name.startswith("free ")]
    assert [f for f in software if not f.is_fine] == []
    assert {"Python", "torch", "transformers", "the course's reviews"} <= {f.name for f in software}


def test_an_old_python_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 8, 18))
    finding = named(environment.check_environment(), "Python")
    assert not finding.is_fine
    assert finding.found == "3.8.18"


@pytest.mark.parametrize(
    ("requirement", "found"), [("no-such-package>=1", "nothing"), ("numpy>=999", None)]
)
def test_a_missing_or_old_package_is_noticed(
    tmp_path: Path, requirement: str, found: str | None
) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[project]\ndependencies = ["{requirement}"]\n')
    findings = environment.check_environment(tmp_path)
    finding = findings[1]
    assert not finding.is_fine
    assert found is None or finding.found == found
    assert f'pip install "{requirement}"' in environment.summary(findings)


def test_missing_reviews_are_noticed(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    finding = named(environment.check_environment(tmp_path), "the course's reviews")
    assert (finding.is_fine, finding.found) == (False, "0 files")


def test_little_memory_and_disk_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_available_memory_gib", lambda: 0.5)
    monkeypatch.setattr(environment, "MIN_DISK_GIB", 1e9)
    findings = environment.check_environment()
    assert not named(findings, "free memory").is_fine
    assert not named(findings, "free disk").is_fine
    assert "close other programs" in environment.summary(findings)


def test_a_containers_limit_of_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container of one gigabyte on a machine that has plenty."""
    monkeypatch.setattr(environment.container, "memory_available", lambda: None)
    free = environment._available_memory_gib()
    assert free is None or free > 0
    monkeypatch.setattr(environment.container, "memory_available", lambda: 2**29)
    finding = named(environment.check_environment(), "free memory")
    assert free is None or (finding.found == "0.5 GiB" and not finding.is_fine)


def test_summary_is_one_line_when_all_is_well() -> None:
    fine = environment.Finding("Python", "3.11 or newer", "3.12.1", True, "nothing")
    assert environment.summary([fine, fine]) == "all 2 checks passed: this machine is ready"
