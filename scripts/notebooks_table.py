"""Write what each notebook costs into the README's table of notebooks, from
data/results/notebooks.json.

python scripts/notebooks_table.py           write the table
python scripts/notebooks_table.py --check   change nothing; exit code 1 if the table differs

The record comes from python -m experiments.notebook_costs.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from badges import replace_block

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "data" / "results" / "notebooks.json"
README = ROOT / "README.md"
BEGIN = "<!-- notebooks (costs written by scripts/notebooks_table.py) -->"
END = "<!-- end of notebooks -->"
COLUMNS = {"with a bf16 unit": "bf16", "without": "fp32"}  # {title: part of the record}


def table_block(text: str) -> str:
    """The lines between the markers. Raises ValueError if the markers are not there."""
    found = re.search(f"{re.escape(BEGIN)}\n(.*?)\n{re.escape(END)}", text, re.DOTALL)
    if not found:
        raise ValueError(f"the markers {BEGIN} and {END} are missing")
    return found[1]


def cells_of(line: str) -> list[str]:
    """The cells of one line of a Markdown table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def notebook_of(row: str) -> str:
    """The name of the notebook that a row of the table links to.

    Raises ValueError if it links to none.
    """
    link = re.search(r"\(notebooks/([\w/]+)\.ipynb\)", row)
    if link is None:
        raise ValueError(
            "each row must link to its notebook, as in (notebooks/00_start_here.ipynb); got " + row
        )
    return link[1]


def cost_in_words(cost: Mapping[str, float] | None) -> str:
    """One cost as the table shows it: whole seconds, memory in steps of 10 MiB."""
    if cost is None:
        return "not measured"
    return f"{cost['seconds']:.0f} s, {round(cost['peak_mebibytes'], -1):.0f} MiB"


def machine_in_words(title: str, part: Mapping[str, Any]) -> str:
    """The line below the table about one column: its machine, date and command."""
    machine = part["hardware"]
    instructions = f" ({machine['instructions']})" if "instructions" in machine else ""
    return f"{title}: {machine['processor']}{instructions}, {part['date']}, `{part['command']}`"


def with_costs(text: str, record: Mapping[str, Any]) -> str:
    """The README with the costs in each row of its table of notebooks. All other cells stay as they
    are.
    """
    lines = [line for line in table_block(text).splitlines() if line.startswith("|")]
    header, rule, *rows = lines
    titles = cells_of(header)

    new_lines = [header, rule]
    for row in rows:
        cells = cells_of(row)
        for title, part in COLUMNS.items():
            costs = record.get(part, {}).get("notebooks", {})
            cells[titles.index(title)] = cost_in_words(costs.get(notebook_of(row)))
        new_lines.append(f"| {' | '.join(cells)} |")

    machines = []
    for title, part in COLUMNS.items():
        if part in record:
            machines.append(machine_in_words(title, record[part]))
    block = "\n".join([BEGIN, *new_lines, "", "<br>\n".join(machines), END])
    return replace_block(text, BEGIN, END, block) or text


def update_readme(record: Mapping[str, Any], readme: Path, *, write: bool) -> bool:
    """Whether the README's table differs from the record. With `write`, the table is replaced."""
    text = readme.read_text(encoding="utf-8")
    wanted = with_costs(text, record)
    if write and wanted != text:
        readme.write_text(wanted, encoding="utf-8")
    return wanted != text


def main(arguments: list[str] | None = None, readme: Path = README, stored: Path = RECORD) -> int:
    """Write, or with --check compare; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit code 1 if the table differs"
    )
    check = parser.parse_args(arguments).check
    record = json.loads(stored.read_text(encoding="utf-8"))
    differs = update_readme(record, readme, write=not check)
    if differs and check:
        print("README.md differs; run: python scripts/notebooks_table.py")
    elif differs:
        print("written: README.md")
    return int(check and differs)


if __name__ == "__main__":
    raise SystemExit(main())
