"""Stopping a run by hand: after a whole update, and told in one line."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupted(KeyboardInterrupt):
    """A run that was stopped by Ctrl-C, by the notebook's stop button or by SIGTERM,
    after a whole update.

    The message says after which one, and whether it was saved. In a notebook it is all that is
    shown.
    """

    def _render_traceback_(
        self,
    ) -> list[str]:  # IPython asks for it, and would show a hundred lines else
        return [str(self)]


@contextmanager
def interrupts_in_one_line(message: str) -> Iterator[None]:
    """Let a bare KeyboardInterrupt out of the block as an Interrupted with this message."""
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt:
        raise Interrupted(message) from None


@contextmanager
def finish_update_on_signal() -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event while training, in the main thread;
    a second one acts at once.
    """
    signalled = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield signalled
        return
    former = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) not in (None, signal.SIG_IGN)
    }  # what nohup ignores stays ignored

    def remember(number: int, frame: object) -> None:
        signalled.set()
        signal.signal(number, former[number])

    try:
        for number in former:
            signal.signal(number, remember)
        yield signalled
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
