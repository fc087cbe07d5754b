"""Measure what each notebook costs, time and memory,
and write both into the README's table of notebooks.

python scripts/measure_notebooks.py                   run all, store the record, write the table: on
                                                      a quiet machine
python scripts/measure_notebooks.py --precision fp32  the same, as on a CPU without a bf16 unit
python scripts/measure_notebooks.py NOTEBOOK ...      run these, print what they cost, and change
                                                      nothing
python scripts/measure_notebooks.py --store NOTEBOOK ...  the same, and replace what the record says
                                                          of these
python scripts/measure_notebooks.py --table           write the table from the stored record
python scripts/measure_notebooks.py --check           change nothing; exit code 1 if the table
                                                      differs from the record

The record has two parts, and the table two columns: CPUs with a bf16 unit and CPUs without. A
measurement fills the part of the precision in which `fit` trains, by its own choice or by
--precision; the other part stays. fp32 that was only asked for, on a CPU with AVX-512, must stay
below 60 s: a CPU without AVX-512 has half its speed.

Each notebook runs in a fresh kernel, on two cores at most, with a new folder for its runs. Seconds,
and CPU seconds (user and system, of the kernel and all that it started), include the start of the
kernel. Peak memory is the resident memory of the kernel and of what it started, together; pages
that they share count for each. Measuring needs Linux, as it reads /proc.
"""

import argparse
import datetime
import json
import os
import platform
import re
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from badges import replace_block
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from run_notebooks import ROOT, make_client, notebook_paths, read_notebook

RECORD = ROOT / "data" / "results" / "notebooks.json"
BEGIN, END = (
    "<!-- notebooks (costs written by scripts/measure_notebooks.py) -->",
    "<!-- end of notebooks -->",
)
MAX_SECONDS, MAX_MEBIBYTES = 90, 1229  # what a notebook may cost: 1.2 GiB
MAX_SECONDS_BY_REQUEST = 60  # in an fp32 that was only asked for, on a CPU with AVX-512
COLUMNS = {
    "with a bf16 unit": "bf16",
    "without": "fp32",
}  # of the table, and the parts of the record
MAX_CORES = 2
SETTINGS = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "COURSE_PROGRESS_FILE": ""}
EVERY = 0.2  # seconds between two looks at the memory


# --- what a notebook costs ------------------------------------------------------------------------


def memory_of(pid: int) -> tuple[int, int]:
    """(resident memory of a process and its descendants now, the most that the process
    alone ever had), in KiB.
    """
    parents, resident, peak = {}, {}, 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text(encoding="utf-8", errors="replace")
        except OSError:  # it ended in the meantime
            continue
        found = dict(re.findall(r"(?m)^(Pid|PPid|VmRSS|VmHWM):\s+(\d+)", text))
        if "VmRSS" in found:  # no kernel thread, no zombie
            parents[int(found["Pid"])], resident[int(found["Pid"])] = (
                int(found["PPid"]),
                int(found["VmRSS"]),
            )
            peak = int(found["VmHWM"]) if int(found["Pid"]) == pid else peak
    family, generation = set(), {pid} & parents.keys()
    while generation:
        family |= generation
        generation = {child for child, parent in parents.items() if parent in generation}
    return sum(resident[member] for member in family), peak


class MemoryWatch:
    """The most memory that a process and its descendants had at once,
    looked at every fifth of a second.
    """

    def __init__(self) -> None:
        self.pid, self.peak, self._done = 0, 0, threading.Event()

    def look(self, **_: Any) -> None:
        """Look now. A peak of the process alone is never missed, one of its descendants may be."""
        if self.pid:
            self.peak = max(self.peak, *memory_of(self.pid))

    def __enter__(self) -> "MemoryWatch":
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)
        self._thread.start()
        return self

    def _keep_looking(self) -> None:
        while not self._done.wait(EVERY):
            self.look()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def cpu_seconds_of_children() -> float:
    """User and system time of all processes that this one started and that ended, and of theirs."""
    import resource  # not on Windows

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(path: Path, timeout: float = 600) -> dict[str, float]:
    """Run one notebook and throw its outputs away; what it cost.
    A cell may take `timeout` seconds.
    """
    before, start = cpu_seconds_of_children(), time.perf_counter()
    with MemoryWatch() as watch:
        client = make_client(read_notebook(path), path, timeout)

        def remember_kernel(**_: Any) -> None:
            watch.pid = client.km.provisioner.pid

        client.on_cell_execute, client.on_cell_complete = remember_kernel, watch.look
        client.execute()
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(cpu_seconds_of_children() - before, 1),
        "peak_mebibytes": round(watch.peak / 1024),
    }


def name_of(path: Path) -> str:
    """A notebook's name in the record: "00_start_here", "solutions/00_start_here"."""
    folder = ROOT / "notebooks"
    return (
        path.relative_to(folder).with_suffix("").as_posix()
        if path.is_relative_to(folder)
        else path.stem
    )


def complaints(name: str, cost: dict[str, float], max_seconds: float = MAX_SECONDS) -> list[str]:
    """In what a notebook exceeds its limits."""
    found = [(cost["seconds"], max_seconds, "s"), (cost["peak_mebibytes"], MAX_MEBIBYTES, "MiB")]
    return [
        f"{name} takes {value:g} {unit}; at most {limit} {unit} are allowed"
        for value, limit, unit in found
        if value > limit
    ]


def max_seconds_of(part: dict[str, Any]) -> float:
    """The limit for the notebooks of one part of the record."""
    by_request = (
        "--precision fp32" in part["command"] and part["hardware"].get("instructions") == "AVX512"
    )
    return MAX_SECONDS_BY_REQUEST if by_request else MAX_SECONDS


def natural_precision() -> str:
    """The precision in which `fit` trains a BERT on this machine if it is left to choose."""
    from torch import nn

    from course_utils.training import hardware

    return hardware.choose(nn.Linear(256, 1024), num_rows=4096).precision


def make_part(costs: dict[str, dict[str, float]], command: str) -> dict[str, Any]:
    """One part of the record, ready for JSON."""
    from course_utils.training.hardware import describe

    names = ("torch", "transformers", "datasets", "nbclient", "ipykernel")
    return {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "hardware": describe(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in names},
        },
        "total_seconds": round(sum(cost["seconds"] for cost in costs.values()), 1),
        "notebooks": costs,
    }


def with_others(part: dict[str, Any], former: dict[str, Any] | None) -> dict[str, Any]:
    """The former part with these notebooks measured anew.
    Raises ValueError if it is of another machine.
    """
    if (
        former is None
        or former["hardware"] != part["hardware"]
        or former["command"] != part["command"]
    ):
        raise ValueError(
            "--store replaces single notebooks of a record that the same machine made with the "
            "same options; measure all of them"
        )
    costs = {**former["notebooks"], **part["notebooks"]}
    return {
        **part,
        "notebooks": costs,
        "total_seconds": round(sum(cost["seconds"] for cost in costs.values()), 1),
    }


# --- the README's table ---------------------------------------------------------------------------


def cells_of(line: str) -> list[str]:
    """The cells of a Markdown table's line."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def table_block(text: str) -> str:
    """The lines between the markers. Raises ValueError if they are not there."""
    found = re.search(f"{re.escape(BEGIN)}\n(.*?)\n{re.escape(END)}", text, re.DOTALL)
    if not found:
        raise ValueError(f"the markers {BEGIN} and {END} are missing")
    return found[1]


def shown(cost: dict[str, float] | None) -> str:
    """One cost as the table has it: whole seconds, memory in steps of 10 MiB."""
    if cost is None:
        return "not measured"
    return f"{cost['seconds']:.0f} s, {round(cost['peak_mebibytes'], -1):.0f} MiB"


def in_words(title: str, part: dict[str, Any]) -> str:
    """What the line below the table says of one column."""
    machine = part["hardware"]
    instructions = f" ({machine['instructions']})" if "instructions" in machine else ""
    return f"{title}: {machine['processor']}{instructions}, {part['date']}, `{part['command']}`"


def with_costs(text: str, record: dict[str, Any]) -> str:
    """The README with the costs in each row of its table of notebooks;
    all other cells stay as they are.
    """
    header, rule, *rows = (line for line in table_block(text).splitlines() if line.startswith("|"))
    places = {cells_of(header).index(title): part for title, part in COLUMNS.items()}
    lines = [header, rule]
    for row in rows:
        cells, link = cells_of(row), re.search(r"\(notebooks/([\w/]+)\.ipynb\)", row)
        if link is None:
            raise ValueError(
                "each row must link to its notebook, "
                f"as in (notebooks/00_start_here.ipynb); got {row}"
            )
        for place, part in places.items():
            cells[place] = shown(record.get(part, {}).get("notebooks", {}).get(link[1]))
        lines.append(f"| {' | '.join(cells)} |")
    words = [in_words(title, record[part]) for title, part in COLUMNS.items() if part in record]
    return (
        replace_block(text, BEGIN, END, "\n".join([BEGIN, *lines, "", "<br>\n".join(words), END]))
        or text
    )


def update_readme(record: dict[str, Any], readme: Path, *, write: bool) -> bool:
    """Whether the README's table differs from the record;
    with `write`, it is brought up to date.
    """
    text = readme.read_text(encoding="utf-8")
    wanted = with_costs(text, record)
    if write and wanted != text:
        readme.write_text(wanted, encoding="utf-8")
    return wanted != text


# --- the command line -----------------------------------------------------------------------------


def measure_once(path: Path, timeout: float) -> dict[str, float]:
    """What a notebook costs that finds no run of yesterday finished."""
    with tempfile.TemporaryDirectory() as runs:
        os.environ["COURSE_RUNS_DIR"] = runs
        return measure(path, timeout)


def measure_all(paths: list[Path], timeout: float, repeat: int = 1) -> dict[str, dict[str, float]]:
    """The cost of each notebook by name, printed as it goes: of several runs, the fastest one's."""
    if not Path("/proc/self/status").exists():
        raise OSError("measuring memory needs /proc, that is Linux")
    os.environ.update(SETTINGS)
    os.environ.pop("OMP_NUM_THREADS", None)  # as a learner runs them
    os.sched_setaffinity(
        0, sorted(os.sched_getaffinity(0))[:MAX_CORES]
    )  # what this process starts inherits it
    costs = {}
    for path in paths:
        name = name_of(path)
        cost = min(
            (measure_once(path, timeout) for _ in range(repeat)), key=lambda one: one["seconds"]
        )
        costs[name] = cost
        print(
            f"{name:32}{cost['seconds']:7.1f} s{cost['cpu_seconds']:8.1f} s of "
            f"CPU{cost['peak_mebibytes']:7.0f} MiB",
            flush=True,
        )
    return costs


def run(args: argparse.Namespace, readme: Path = ROOT / "README.md", stored: Path = RECORD) -> int:
    """Measure, or write or check the table; returns the exit status."""
    too_much: list[str] = []
    record = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else {}
    if not (args.table or args.check):
        command = "python scripts/measure_notebooks.py"
        command += f" --precision {args.precision}" if args.precision else ""
        command += f" --repeat {args.repeat}" if args.repeat > 1 else ""
        if args.precision:
            os.environ["COURSE_PRECISION"] = args.precision
        costs = measure_all(
            [path.resolve() for path in args.notebooks] or notebook_paths(),
            args.timeout,
            args.repeat,
        )
        part = make_part(costs, command)
        too_much = [
            words
            for name, cost in costs.items()
            for words in complaints(name, cost, max_seconds_of(part))
        ]
        print("\n".join(too_much), end="\n" if too_much else "", file=sys.stderr)
        if args.notebooks and not args.store:
            return int(bool(too_much))
        key = args.precision or natural_precision()
        record[key] = with_others(part, record.get(key)) if args.notebooks else part
        stored.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    differs = update_readme(record, readme, write=not args.check)
    if differs:
        print(
            "README.md differs; run: python scripts/measure_notebooks.py --table"
            if args.check
            else "written: README.md"
        )
    return int(bool(too_much) or (args.check and differs))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebooks", nargs="*", type=Path, help="which ones; all if none is named")
    parser.add_argument(
        "--store", action="store_true", help="with notebooks named: put their costs into the record"
    )
    parser.add_argument(
        "--precision",
        choices=["fp32", "bf16"],
        help="train in this precision wherever a notebook leaves the choice to the machine",
    )
    parser.add_argument(
        "--repeat",
        type=int,
        default=1,
        metavar="N",
        help="run each N times and keep the fastest: on a machine that others disturb (1)",
    )
    parser.add_argument(
        "--table", action="store_true", help="only write the table, from the stored record"
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit code 1 if the table differs"
    )
    parser.add_argument(
        "--timeout", type=float, default=600, help="seconds that one cell may take (600)"
    )
    try:
        return run(parser.parse_args(arguments))
    except (ValueError, OSError, CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
