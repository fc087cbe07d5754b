"""Store what the three small models of notebook 06 predict for the tokens that they see, so that
nobody has to train them while reading.

    python -m experiments.pretraining_toys

It runs notebook 06 with TRAIN = True.
"""

from __future__ import annotations

from collections.abc import Sequence

from course_utils.files import COURSE_ROOT
from experiments.command_line import exit_status
from experiments.record import RESULTS
from experiments.recorded_notebook import Recording, build_parser, record_notebook

KEEP = """
rounded = {{}}
for name, said in toys.items():
    own = [round(value, 4) for value in said["own"]]
    rounded[name] = {{"own": own, "named": round(said["named"], 4)}}
Path({path!r}).write_text(json.dumps({{"toys": rounded}}), encoding="utf-8")
"""
RECORDING = Recording(
    notebook=COURSE_ROOT / "notebooks" / "06_pretraining.ipynb",
    asking="def ask_toy(",
    note="",
    keep=KEEP,
)
RECORD = RESULTS / "pretraining_toys.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = build_parser("pretraining_toys", __doc__, RECORD)
    return exit_status(lambda: record_notebook(parser, RECORDING, arguments))


if __name__ == "__main__":
    raise SystemExit(main())
