"""A record in data/results: what each one says of its origin, how it is written and continued, and
how the runs of several seeds become one record.

A record is a JSON file. Beside its numbers stand the command that measures them again, the date,
the machine, and the versions of the libraries.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from course_utils.files import COURSE_ROOT, read_json, write_json
from course_utils.training import hardware
from course_utils.training.records import versions

RESULTS = COURSE_ROOT / "data" / "results"
Run = dict[str, Any]  # what is stored of one run


def origin(command: str, packages: Sequence[str] = ()) -> dict[str, Any]:
    """Where numbers come from, ready for JSON: the command, today's date, this machine, versions.

    command: what measures the numbers again, without a path of this machine.
    packages: the distributions whose versions matter. Python's version is always included.
    """
    return {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "hardware": hardware.describe(),
        "versions": versions(packages),
    }


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write a record in one step: the file holds the old content or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
    print(f"written: {path}")


class Record:
    """A record that grows run by run. Its file is whole after every run.

    If the file exists already, its runs are kept, and a program measures only those that it lacks.
    Runs that are added on another machine, or with other versions, are announced in the record
    under "continued_on".
    """

    def __init__(
        self,
        path: Path,
        *,
        identity: Mapping[str, Any],
        origin: Mapping[str, Any],
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the record at `path`, or begin a new one. Nothing is written yet.

        identity: what decides the numbers: data set, sizes, start weights, ...; ready for JSON.
        origin: as the function `origin` returns it.
        notes: facts that do not change the numbers, such as an explanation.
        Raises ValueError if the file holds a record with another identity.
        """
        self.path = path
        self._origin = dict(origin)
        self.content: Run = {**identity, **(notes or {}), **origin}
        if path.exists():
            saved = read_json(path)
            refuse_other_identity(path, saved, identity)
            self.content = {**saved, **(notes or {}), "command": origin["command"]}

    def find(self, table: str, **wanted: Any) -> list[Run]:
        """The runs of a table that have all the wanted values, in the order of their measuring."""
        found = []
        for run in self.content.get(table, []):
            if all(run.get(name) == value for name, value in wanted.items()):
                found.append(run)
        return found

    def add(self, table: str, run: Run) -> None:
        """Add a run to a table, and write the file."""
        self.content["date"] = self._origin["date"]
        self._note_other_machine()
        self.content.setdefault(table, []).append(run)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, self.content)

    def _note_other_machine(self) -> None:
        """Say so in the record if this run is not from where the latest ones are."""
        here = {name: self._origin[name] for name in ("hardware", "versions")}
        stays = self.content.get("continued_on", [])
        latest = stays[-1] if stays else self.content
        if any(latest.get(name) != here[name] for name in here):
            stay = {"date": self._origin["date"], **here}
            self.content["continued_on"] = [*stays, stay]


def refuse_other_identity(
    path: Path, saved: Mapping[str, Any], identity: Mapping[str, Any]
) -> None:
    """Raise ValueError, naming the first difference and both its values, unless all of `identity`
    stands in `saved`.
    """
    wanted = json.loads(json.dumps(identity))  # as it would stand in the file
    for name, here in _flat(wanted).items():
        there = _flat(saved).get(name)
        if there != here:
            raise ValueError(
                f"{path} holds other measurements: {name} is {there!r} there and {here!r} here; "
                "name another file with --output, or delete that one"
            )


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one: {"settings": {"seeds": 3}} becomes {"settings.seeds": 3}."""
    flat = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def merge_seeds(runs: Sequence[Run]) -> Run:
    """One record of a fine-tune that was run with several seeds, in the order of the seeds.

    runs: the content of each run's result.json. Seed, precision and threads may differ, and
    whatever was measured.
    Raises ValueError for no run, for a seed that occurs twice, and for any other difference in the
    data set, the checkpoint or the configuration.
    """
    if not runs:
        raise ValueError("expected at least one run to merge, got none")
    ordered = sorted(runs, key=lambda run: run["seed"])
    first = ordered[0]
    for run, following in pairwise(ordered):
        if run["seed"] == following["seed"]:
            raise ValueError(f"two runs have seed {run['seed']}; merge runs of different seeds")
    for run in ordered[1:]:
        _refuse_other_recipe(first, run)
    return {
        "dataset": first["dataset"],
        "checkpoint_name": first["checkpoint_name"],
        "runs": ordered,
    }


def _refuse_other_recipe(first: Run, run: Run) -> None:
    """Raise ValueError unless two runs may stand in one record."""
    kept = ("dataset", "checkpoint_name", "scored_split", "config")
    expected = _flat({name: first.get(name) for name in kept})
    found = _flat({name: run.get(name) for name in kept})
    for name in sorted({*expected, *found}):
        if name in ("config.seed", "config.precision", "config.num_threads"):
            continue
        if expected.get(name) != found.get(name):
            raise ValueError(
                f"the runs of seeds {first['seed']} and {run['seed']} have different recipes: "
                f"{name} is {expected.get(name)!r} in the first and {found.get(name)!r} in the "
                "second; merge runs that differ in the seed only"
            )
