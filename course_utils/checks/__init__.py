"""The exercises' checks: `check("02.3", answer)` and `progress()`.

The checks of notebook 02_tokenization lie in the module n02_tokenization, which is found by this
name. `EXERCISES` in it maps "3" to the exercise 02.3.
"""

from course_utils.checks.engine import check, progress

__all__ = ["check", "progress"]
