"""How the set-up runs its commands, and how it ends when somebody ends it.
Standard library only.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

POSIX = os.name == "posix"
PATIENCE = 5.0  # seconds that an ended command has for going by itself


class Stopped(BaseException):
    """A signal asked the set-up to end: Ctrl-C (INT), a closed terminal (HUP), or kill (TERM)."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Surroundings:
    """What every command gets from the set-up: the lock, and a folder for temporary files."""

    def __init__(self) -> None:
        self.descriptors: tuple[int, ...] = ()
        self.work: Path | None = None

    def variables(self) -> dict[str, str]:
        """The environment variables that name the folder on the various systems."""
        return dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self.work)) if self.work else {}


class Signals:
    """Turns the signals that ask for an end into Stopped,
    but never while a command is being started.
    """

    NUMBERS = tuple(
        getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
    )

    def __init__(self) -> None:
        self.held = False
        self.pending = 0

    def catch(self) -> None:
        """From here on, a signal raises Stopped.
        What is ignored on purpose (nohup) stays ignored.
        """
        for number in self.NUMBERS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.received)

    def received(self, number: int, frame: FrameType | None) -> None:
        """The handler: raise Stopped, or remember the signal if this is the wrong moment."""
        if self.held:
            self.pending = self.pending or number
            return
        for each in self.NUMBERS:
            signal.signal(
                each, signal.SIG_IGN
            )  # a second Ctrl-C must not interrupt the cleaning up
        raise Stopped(number)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Between the birth of a process and the moment when we know its name,
        it could not be ended.
        """
        self.held = True
        try:
            yield
        finally:
            self.held = False

    def deliver(self) -> None:
        """Act on a signal that came while they were held."""
        if self.pending:
            self.received(self.pending, None)


SIGNALS = Signals()
SURROUNDINGS = Surroundings()


def end(process: subprocess.Popen[str]) -> None:
    """End a command and whatever it started, politely at first."""

    def send(number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)

    if not POSIX:  # Ctrl-C reaches every program of a Windows console; this is for the rest
        process.kill()
        process.wait()
        return
    send(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(PATIENCE)
    send(signal.SIGKILL)  # also for a grandchild that outlived its parent
    process.wait()


def run(
    command: list[str | Path],
    *,
    quiet: bool = False,
    timeout: float | None = None,
    folder: Path | None = None,
    variables: dict[str, str] | None = None,
) -> str:
    """Run a command; returns what it printed if quiet. Raises CalledProcessError if it fails.

    Each command leads a session of its own, so that Ctrl-C reaches only this script, which then
    ends the command with all its children: one message instead of one from each. If this script is
    killed, nothing ends the command; it then still holds the lock that it inherited (see
    setup_stamp.alone).
    """
    kept = subprocess.PIPE if quiet else None
    inherited = {"pass_fds": SURROUNDINGS.descriptors, "start_new_session": True} if POSIX else {}
    environment = os.environ | SURROUNDINGS.variables() | (variables or {})
    sys.stdout.flush()
    with SIGNALS.hold():
        process = subprocess.Popen(
            command, text=True, stdout=kept, stderr=kept, cwd=folder, env=environment, **inherited
        )
    try:
        SIGNALS.deliver()
        printed, complaints = process.communicate(timeout=timeout)
    except BaseException:
        end(process)
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
        raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, printed, complaints)
    return printed or ""
