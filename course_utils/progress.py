"""Saying what goes on: a line for each phase of a job that takes more than a moment,
and the package's log.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm


def is_first_process() -> bool:
    """Whether this is the process of a run that speaks for all (torchrun and
    accelerate set RANK).
    """
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def phase(words: str, *, show: bool) -> Iterator[None]:
    """Show `words` while the block runs, and at its end how long it took (minutes:seconds).

    Nothing is shown unless `show`, nor by another process than the first.
    """
    with tqdm(
        desc=words,
        total=1,
        bar_format="{desc} ({elapsed})",
        disable=not (show and is_first_process()),
    ):
        yield


class _AboveBars(logging.Handler):
    """Writes to stderr without breaking a progress bar that is being drawn there."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


@contextmanager
def log_on_stderr() -> Iterator[None]:
    """Let the package's log appear on stderr while the block runs,
    of the first process: one line a message.
    """
    logger, handler = logging.getLogger("course_utils"), _AboveBars()
    former = logger.level
    logger.setLevel(logging.INFO if is_first_process() else logging.ERROR)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(former)
