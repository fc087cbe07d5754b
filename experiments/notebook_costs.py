"""Measure what each notebook costs, time and memory, and write both into the README's table of
notebooks.

    python -m experiments.notebook_costs                        run all, on a quiet machine
    python -m experiments.notebook_costs --precision fp32       the same, as on a CPU without a
                                                                bf16 unit
    python -m experiments.notebook_costs NOTEBOOK ...           run these, print what they cost,
                                                                and change nothing
    python -m experiments.notebook_costs --store NOTEBOOK ...   the same, and replace what the
                                                                record says about these

The record has two parts, and the table two columns: CPUs with a bf16 unit and CPUs without. A
measurement fills the part of the precision in which `fit` trains, by its own choice or by
--precision. The other part stays. If fp32 was only asked for, on a CPU with AVX-512, a notebook
must stay below 60 s: a CPU without AVX-512 has half its speed.

Each notebook runs in a fresh kernel, on two cores at most, with a new folder for its runs. Seconds
and CPU seconds (user and system, of the kernel and all processes that it started) include the start
of the kernel. Peak memory is the resident memory of the kernel and of the processes that it
started, together; pages that they share count for each. Measuring needs Linux, since it reads
/proc.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from notebooks_table import README, update_readme
from run_notebooks import make_client, notebook_paths, read_notebook
from torch import nn

from course_utils.files import COURSE_ROOT, read_json
from course_utils.training import hardware
from experiments.command_line import command_in_words, exit_status, make_parser
from experiments.process_memory import PROC, MemoryWatch, cpu_seconds_of_children
from experiments.record import RESULTS, Run, origin, write_record

RECORD = RESULTS / "notebooks.json"
MAX_SECONDS = 90
MAX_SECONDS_BY_REQUEST = 60  # in an fp32 that was only asked for, on a CPU with AVX-512
MAX_MEBIBYTES = 1229  # 1.2 GiB
MAX_CORES = 2
SETTINGS = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "COURSE_PROGRESS_FILE": ""}
PACKAGES = ("torch", "transformers", "datasets", "nbclient", "ipykernel")
Cost = dict[str, float]  # seconds, cpu_seconds, peak_mebibytes


# --- what a notebook costs ------------------------------------------------------------------------


def measure(path: Path, timeout: float = 600) -> Cost:
    """Run one notebook, throw its outputs away, and return what it cost.

    timeout: seconds that one cell may take. Raises RuntimeError if a cell fails.
    """
    cpu_seconds_before = cpu_seconds_of_children()
    start = time.perf_counter()
    with MemoryWatch() as watch:
        client = make_client(read_notebook(path), path, timeout)

        def remember_kernel(**_: Any) -> None:
            watch.pid = client.km.provisioner.pid

        client.on_cell_execute = remember_kernel
        client.on_cell_complete = watch.look
        try:
            client.execute()
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise RuntimeError(f"{path.name} failed: {error}") from error
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(cpu_seconds_of_children() - cpu_seconds_before, 1),
        "peak_mebibytes": round(watch.peak / 1024),
    }


def measure_fresh(path: Path, timeout: float) -> Cost:
    """What a notebook costs that finds no finished run from an earlier day."""
    with tempfile.TemporaryDirectory() as runs:
        os.environ["COURSE_RUNS_DIR"] = runs
        return measure(path, timeout)


def measure_all(paths: Sequence[Path], timeout: float, repeat: int = 1) -> dict[str, Cost]:
    """The cost of each notebook by name, printed as it goes. Of several runs, the fastest counts.

    Raises OSError where there is no /proc.
    """
    if not (PROC / "self" / "status").exists():
        raise OSError("measuring memory needs /proc, which only Linux has")
    os.environ.update(SETTINGS)
    os.environ.pop("OMP_NUM_THREADS", None)  # as a learner runs them
    cores = sorted(os.sched_getaffinity(0))[:MAX_CORES]
    os.sched_setaffinity(0, cores)  # the kernels inherit it
    costs = {}
    for path in paths:
        runs = [measure_fresh(path, timeout) for _ in range(repeat)]
        cost = min(runs, key=lambda run: run["seconds"])
        costs[name_of(path)] = cost
        print(
            f"{name_of(path):32}{cost['seconds']:7.1f} s{cost['cpu_seconds']:8.1f} s of CPU"
            f"{cost['peak_mebibytes']:7.0f} MiB",
            flush=True,
        )
    return costs


def name_of(path: Path) -> str:
    """A notebook's name in the record: "00_start_here", "solutions/00_start_here"."""
    folder = COURSE_ROOT / "notebooks"
    if path.is_relative_to(folder):
        return path.relative_to(folder).with_suffix("").as_posix()
    return path.stem


# --- limits ---------------------------------------------------------------------------------------


def complaints(name: str, cost: Cost, max_seconds: float = MAX_SECONDS) -> list[str]:
    """One sentence for each limit that a notebook exceeds."""
    found = []
    if cost["seconds"] > max_seconds:
        found.append(f"{name} takes {cost['seconds']:g} s; at most {max_seconds:g} s are allowed")
    if cost["peak_mebibytes"] > MAX_MEBIBYTES:
        found.append(
            f"{name} takes {cost['peak_mebibytes']:g} MiB; at most {MAX_MEBIBYTES} MiB are allowed"
        )
    return found


def max_seconds_of(part: Mapping[str, Any]) -> float:
    """The time limit for the notebooks of one part of the record."""
    is_by_request = "--precision fp32" in part["command"]
    is_fast = part["hardware"].get("instructions") == "AVX512"
    return MAX_SECONDS_BY_REQUEST if is_by_request and is_fast else MAX_SECONDS


def all_complaints(part: Mapping[str, Any]) -> list[str]:
    """One sentence for each limit that a notebook of this part exceeds."""
    found = []
    for name, cost in part["notebooks"].items():
        found += complaints(name, cost, max_seconds_of(part))
    return found


# --- the record -----------------------------------------------------------------------------------


def natural_precision() -> str:
    """The precision in which `fit` trains a BERT on this machine if it is left to choose."""
    return hardware.choose(nn.Linear(256, 1024), num_rows=4096).precision


def make_part(costs: Mapping[str, Cost], command: str) -> Run:
    """One part of the record, ready for JSON."""
    return with_total({**origin(command, PACKAGES), "notebooks": dict(costs)})


def with_total(part: Run) -> Run:
    """The part with the sum of its notebooks' seconds."""
    total = sum(cost["seconds"] for cost in part["notebooks"].values())
    return {**part, "total_seconds": round(total, 1)}


def with_others(part: Run, former: Run | None) -> Run:
    """The former part, in which the notebooks of `part` replace their earlier measurements.

    Raises ValueError if the two parts are not of the same machine and the same options.
    """
    is_alike = former is not None and (
        former["hardware"] == part["hardware"] and former["command"] == part["command"]
    )
    if not is_alike:
        raise ValueError(
            "--store replaces single notebooks of a record that the same machine made with the "
            "same options; measure all of them"
        )
    return with_total({**part, "notebooks": {**former["notebooks"], **part["notebooks"]}})


def store(part: Run, options: argparse.Namespace, stored: Path, readme: Path) -> None:
    """Put the part into the record, and write the README's table from it."""
    record = read_json(stored) if stored.exists() else {}
    key = options.precision or natural_precision()
    record[key] = with_others(part, record.get(key)) if options.notebooks else part
    write_record(stored, record)
    if update_readme(record, readme, write=True):
        print(f"written: {readme.name}")


# --- the command line -----------------------------------------------------------------------------


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("notebook_costs", __doc__)
    parser.add_argument(
        "notebooks",
        nargs="*",
        type=Path,
        metavar="NOTEBOOK",
        help="which ones; all if none is named",
    )
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
        help="run each N times and keep the fastest, if others use the machine too [%(default)s]",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=600,
        help="seconds that one cell may take [%(default)s]",
    )
    return parser


def run(options: argparse.Namespace, readme: Path = README, stored: Path = RECORD) -> int:
    """Measure, and store if all notebooks were measured or --store asks for it.

    Returns the exit status: 1 if a notebook exceeds a limit.
    """
    command = command_in_words(build_parser(), options, leave_out=("notebooks", "store", "timeout"))
    if options.precision:
        os.environ["COURSE_PRECISION"] = options.precision  # the kernels inherit it
    paths = [path.resolve() for path in options.notebooks] or notebook_paths()
    part = make_part(measure_all(paths, options.timeout, options.repeat), command)
    too_much = all_complaints(part)
    for sentence in too_much:
        print(sentence, file=sys.stderr)
    if options.store or not options.notebooks:
        store(part, options, stored, readme)
    return int(bool(too_much))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = build_parser().parse_args(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    raise SystemExit(main())
