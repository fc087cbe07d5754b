"""Where a notebook's runs are kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from course_utils.training import runs


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable, and no Drive."""
    monkeypatch.delenv("COURSE_RUNS_DIR", raising=False)
    monkeypatch.setattr(runs, "COLAB_DRIVE", tmp_path / "no drive")


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("course/notebooks", "course/runs/00"),
        ("course/work", "course/runs/00"),
        ("course/notebooks/solutions", "course/runs/00"),
        ("course/work/solutions", "course/runs/00"),
        ("course", "course/runs/00"),
        ("elsewhere/notebooks", "elsewhere/notebooks/runs/00"),
    ],
)
def test_runs_lie_beside_the_notebooks(
    folder: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "course" / "data").mkdir(parents=True)
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / folder)
    assert runs.run_folder("00") == tmp_path / expected
    assert not (tmp_path / expected).exists()


def test_a_mounted_drive_keeps_them_on_colab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "MyDrive").mkdir()
    monkeypatch.setattr(runs, "COLAB_DRIVE", tmp_path / "MyDrive")
    assert runs.run_folder("00") == tmp_path / "MyDrive" / "words-to-bert" / "runs" / "00"
    monkeypatch.setenv("COURSE_RUNS_DIR", str(tmp_path / "mine"))
    assert runs.run_folder("00") == tmp_path / "mine" / "00"


def test_a_temporary_folder_ends_with_the_process(tmp_path: Path) -> None:
    code = (
        "from course_utils.training import run_folder; folder = run_folder('00'); folder.mkdir(); "
        "(folder / 'weights').write_text('x'); print(folder)"
    )
    environment = {**os.environ, "COURSE_RUNS_DIR": "", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    folder = Path(done.stdout.strip())
    assert folder.name == "00" and tmp_path in folder.parents
    assert list(tmp_path.glob("course-runs-*")) == []
