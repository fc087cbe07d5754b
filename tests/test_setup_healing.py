"""A set-up that is ended, at any moment and by any signal, is healed by the next one."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import setup_stamp
from setup_fakes import LOCK, PYTHON, ROOT

pytestmark = pytest.mark.skipif(
    os.name == "nt", reason="shell scripts stand in for Python, and Windows has no signals"
)
MOMENTS = 7  # of the set-up itself, of its commands, and of both at once
STOPPED = "Stopped. Run the same command again to go on."
STATUS = {"INT": 130, "TERM": 143, "HUP": 129, "KILL": -signal.SIGKILL}


class Children:
    """Runs set-ups in processes of their own (setup_child.py)."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "setup_child.py")],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, root: Path, **environment: object) -> tuple[int, str]:
        """Set up once; returns the exit status and what was printed."""
        log = root / "log"
        values = {name: str(value) for name, value in environment.items()}
        job = json.dumps({"root": str(root), "log": str(log), "environment": values})
        print(job, file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline()), log.read_text()


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    started = Children()
    with started.process:
        yield started
        started.process.stdin.close()


def fresh(root: Path) -> Path:
    """A course of two pins, with the shell script for Python."""
    root.mkdir()
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / "requirements.lock").write_text(LOCK)
    (root / "python").write_text(PYTHON)
    (root / "python").chmod(0o755)
    return root


def is_running(root: Path) -> bool:
    """True if one of the commands is still at work."""
    try:
        os.kill(int((root / "busy").read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def assert_heals(children: Children, root: Path) -> None:
    """The next run makes everything ready, beside no other; the one after that does nothing."""
    status, printed = children.run(root)
    assert (status, "Traceback" in printed) == (0, False), printed
    assert setup_stamp.read_state(root / ".venv")["phase"] == setup_stamp.READY
    site = root / ".venv" / "site-packages"
    for name in ("pip", "sklearn", "uv", "torch", "course_utils"):
        assert (site / name / "__init__.py").read_text() == "# whole\n"
    assert len(list(site.glob("*.dist-info/RECORD"))) == 5
    assert not (root / "overlap").exists(), "two commands worked at the same time"
    assert not (root / ".venv" / setup_stamp.WORK).exists()
    steps = (root / "steps").read_text()
    assert children.run(root) == (0, "")
    assert (root / "steps").read_text() == steps


def spread(total: int) -> list[int]:
    """Moments from the first to the last, evenly spread."""
    assert total >= MOMENTS
    return [1 + round(index * (total - 1) / (MOMENTS - 1)) for index in range(MOMENTS)]


@pytest.mark.parametrize("by", STATUS)
def test_ended_at_any_moment_it_heals(children: Children, tmp_path: Path, by: str) -> None:
    root = fresh(tmp_path / "whole")
    assert children.run(root)[0] == 0
    changes, steps = (
        int((root / "changes").read_text()),
        len((root / "steps").read_text().splitlines()),
    )
    moments = [{"STOP_AT": number, "STOP_BY": f"SIG{by}"} for number in spread(changes)]
    moments += [{"STOP_STEP": number, "STOP_BY": by} for number in spread(steps)]
    moments += [{"STOP_STEP": number, "STOP_BY": by, "STOP_ALL": "yes"} for number in spread(steps)]
    for number, moment in enumerate(moments):
        root = fresh(tmp_path / str(number))
        status, printed = children.run(root, **moment)
        assert status == STATUS[by], (moment, printed)
        if by != "KILL":
            assert printed.splitlines()[-1] == STOPPED, moment
            assert "Traceback" not in printed
            assert not is_running(root), moment
        assert_heals(children, root)


def test_what_a_killed_set_up_left_running_is_waited_for(
    children: Children, tmp_path: Path
) -> None:
    root = fresh(tmp_path / "course")
    assert children.run(root, STOP_STEP=8, STOP_BY="KILL")[0] == -signal.SIGKILL
    assert is_running(root)
    assert_heals(children, root)


def test_two_at_once_do_not_meet(children: Children, tmp_path: Path) -> None:
    root = fresh(tmp_path / "course")
    other = Children()
    with other.process:
        # Slow from the third step on: the second one starts in the middle.
        job = {
            "root": str(root),
            "log": str(root / "first"),
            "environment": {"STOP_STEP": "3", "STOP_BY": "CONT"},
        }
        print(json.dumps(job), file=other.process.stdin, flush=True)
        deadline = time.monotonic() + 20
        while not (root / "steps").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        status, printed = children.run(root)
        assert (status, other.process.stdout.readline()) == (0, "0\n")
        assert printed.startswith("Another set-up is running")
        assert printed.endswith("waiting for it ...\nReady.\n")
        other.process.stdin.close()
    assert_heals(children, root)


@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_a_real_set_up_ends_with_one_line(tmp_path: Path, name: str) -> None:
    """The script itself, called as make calls it: while Python makes the venv,
    its whole family is ended.
    """
    root = fresh(tmp_path / "course")
    shutil.copytree(
        ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__")
    )
    process = subprocess.Popen(
        [sys.executable, "scripts/setup_env.py"],
        cwd=root,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline().startswith("Creating .venv")
    while not (root / ".venv" / "bin").exists():  # Python is at work
        time.sleep(0.01)
    process.send_signal(getattr(signal, f"SIG{name}"))
    printed, complaints = process.communicate(timeout=30)
    assert (process.returncode, printed, complaints) == (STATUS[name], "", f"{STOPPED}\n")
    assert setup_stamp.read_state(root / ".venv")["phase"] == setup_stamp.CREATING
