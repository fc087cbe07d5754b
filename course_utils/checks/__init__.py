"""The exercises' checks, one module a notebook: `check("02.3", answer)` and `progress()`."""

from course_utils.checks.engine import check, progress

__all__ = ["check", "progress"]
