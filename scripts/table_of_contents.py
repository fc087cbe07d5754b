"""Write the course's table of contents, from the notebooks' own title cells, into the README and
into notebook 00 (the map).

python scripts/table_of_contents.py           write both
python scripts/table_of_contents.py --check   change nothing; exit code 1 if a table differs

A title cell holds a small table. Two of its rows are read here:
  | In short | what the notebook shows, in a few words |
  | Time | 40 minutes of reading, 40 of exercises, ... |
The README's columns of costs stay as they are (scripts/notebooks_table.py writes them).
The map is written where notebook 00 has its two markers.
"""

import argparse
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from run_notebooks import ROOT, normalize, read_notebook, write_notebook

TABLE = re.compile(r"(<!-- notebooks\b[^\n]*-->\n)(.*?)(\n\n)", re.DOTALL)  # up to the empty line
MAP_BEGIN = "<!-- map (written by scripts/table_of_contents.py) -->"
MAP_END = "<!-- end of map -->"
MAP = re.compile(f"{re.escape(MAP_BEGIN)}\n(.*?)\n{re.escape(MAP_END)}", re.DOTALL)
NUM_WRITTEN_COLUMNS = 4  # of the README's table: number, name, in short, minutes
UNKNOWN_COST = "not measured"


@dataclass(frozen=True)
class Entry:
    """What the tables say of one notebook.

    file: the notebook's name without ending, such as 05_bert_math; in_short: what it shows;
    reading, exercises: minutes.
    """

    file: str
    in_short: str
    reading: int
    exercises: int

    @property
    def number(self) -> str:
        return self.file[:2]

    @property
    def topic(self) -> str:
        return self.file[3:]


def entry_of(path: Path) -> Entry:
    """Read a notebook's title cell. Raises ValueError if a row is missing or of another form."""
    title = read_notebook(path).cells[0].source
    in_short = re.search(r"(?m)^\| In short \| ([^|\n]*[^|\s]) *\|$", title)
    time = re.search(r"(?m)^\| Time \| (\d+) minutes of reading, (\d+) of exercises\b", title)
    if in_short is None:
        raise ValueError(f"{path.name}: its title cell needs a row | In short | a few words |")
    if time is None:
        raise ValueError(
            f"{path.name}: its title cell needs a row | Time | 40 minutes of reading, 30 of "
            "exercises, ... |"
        )
    return Entry(path.stem, in_short[1], int(time[1]), int(time[2]))


def entries(root: Path = ROOT) -> list[Entry]:
    """The entries of all teaching notebooks, in order."""
    return [entry_of(path) for path in sorted((root / "notebooks").glob("*.ipynb"))]


def cells_of(row: str) -> list[str]:
    """The cells of a row of a Markdown table."""
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def readme_table(text: str, wanted: list[Entry]) -> str:
    """The README with one row per notebook. Raises ValueError if it has no such table."""
    found = TABLE.search(text)
    if found is None:
        raise ValueError("README.md lacks the table that begins with <!-- notebooks ... -->")
    header, rule, *rows = found[2].splitlines()
    costs = {}
    for row in rows:
        number, *others = cells_of(row)
        costs[number] = others[NUM_WRITTEN_COLUMNS - 1 :]
    unknown = [UNKNOWN_COST] * (len(cells_of(header)) - NUM_WRITTEN_COLUMNS)
    lines = [header, rule]
    for entry in wanted:
        written = [
            entry.number,
            f"[{entry.topic}](notebooks/{entry.file}.ipynb)",
            entry.in_short,
            f"{entry.reading} + {entry.exercises} min",
        ]
        lines.append(f"| {' | '.join([*written, *costs.get(entry.number, unknown)])} |")
    return text[: found.start(2)] + "\n".join(lines) + text[found.end(2) :]


def map_table(wanted: list[Entry]) -> str:
    """The table of notebook 00, with its markers."""
    lines = [MAP_BEGIN, "| | notebook | in short |", "| --- | --- | --- |"]
    for entry in wanted:
        name = f"[{entry.topic}]({entry.file}.ipynb)"
        if entry.number == "00":
            name = f"{entry.topic} (you are here)"
        lines.append(f"| {entry.number} | {name} | {entry.in_short} |")
    return "\n".join([*lines, MAP_END])


def update_readme(root: Path, wanted: list[Entry], *, write: bool) -> bool:
    """Whether the README's table differs from the notebooks; `write` mends it."""
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    after = readme_table(text, wanted)
    if write and after != text:
        unfinished = readme.with_name("README.md.tmp")
        unfinished.write_text(after, encoding="utf-8")
        os.replace(unfinished, readme)
    return after != text


def update_map(root: Path, wanted: list[Entry], *, write: bool) -> bool:
    """Whether the map in notebook 00 differs from the notebooks; `write` mends it."""
    path = root / "notebooks" / f"{wanted[0].file}.ipynb"
    notebook = read_notebook(path)
    differs = False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            after = MAP.sub(lambda _: map_table(wanted), cell.source)
            differs = differs or after != cell.source
            cell.source = after
    if write and differs:
        write_notebook(normalize(notebook), path)
    return differs


def stale_files(root: Path = ROOT, *, write: bool) -> list[str]:
    """The files whose table differs from the notebooks' title cells; `write` mends them."""
    wanted = entries(root)
    stale = []
    if update_readme(root, wanted, write=write):
        stale.append("README.md")
    if update_map(root, wanted, write=write):
        stale.append(f"notebooks/{wanted[0].file}.ipynb")
    return stale


def main() -> int:
    """Write, or with --check compare; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if stale")
    check = parser.parse_args().check
    try:
        stale = stale_files(write=not check)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name in stale:
        print(f"{'differs' if check else 'written'}: {name}")
    if stale and check:
        print("Run: python scripts/table_of_contents.py", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
