"""Write the table of results on the real IMDb into the README, and its picture, from the records in
data/results.

python scripts/results_table.py           write both
python scripts/results_table.py --check   change nothing; exit code 1 if the table differs

A record appears in the table if it says that it was scored on IMDb's test split: "dataset" is
"imdb" and "scored_split" is "test", of the record or of each of its "runs". Its "model_name" names
the model (without it, the checkpoint's name does), and "highlight" sets it off in the picture.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from badges import replace_block

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "data" / "results"
BEGIN = "<!-- results (written by scripts/results_table.py) -->"
END = "<!-- end of results -->"
COLUMNS = ("model", "accuracy", "95 % interval", "seeds", "cost", "record")
NOTE = (
    "Of several seeds: the mean of their accuracies and, in brackets, the lowest and the highest; "
    "the interval is\n"
    "the mean of theirs. It reflects the sampling error of the test set, which all seeds share, "
    "not the variation\n"
    "between seeds. Minutes are those of the fastest seed, on two cores that did other work as "
    "well. TF-IDF:\n"
    "logistic regression on its weights."
)
Record = dict[str, Any]
Run = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model on IMDb's test split.

    accuracy: the mean over the seeds. interval: see `pooled`. accuracies: one per seed.
    record: the name of its file, without .json.
    """

    model: str
    accuracy: float
    interval: tuple[float, float]
    accuracies: tuple[float, ...]
    cost: str
    record: str


# --- the records ----------------------------------------------------------------------------------


def read_folder(folder: Path) -> dict[str, Record]:
    """The content of all files by name, without the .json."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    return found


def read_records(folder: Path = FOLDER) -> dict[str, Record]:
    """All records by name. A file of "jobs" that nobody has run yet is no record."""
    return {name: content for name, content in read_folder(folder).items() if "jobs" not in content}


def read_not_run(folder: Path = FOLDER) -> list[dict[str, str]]:
    """The full-size jobs that nobody has run yet: their model, what they need, and the command."""
    jobs = []
    for content in read_folder(folder).values():
        jobs += content.get("jobs", [])
    return jobs


def pooled(intervals: Iterable[Sequence[float]]) -> tuple[float, float]:
    """The means of the seeds' lower bounds and of their upper bounds.

    Each seed's interval reflects the sampling error of the test set. The seeds share this set, so
    the mean of their accuracies has an error of about the same size: its standard deviation is at
    most the mean of theirs, and equal to it if all seeds err on the same reviews.
    """
    lows, highs = [], []
    for low, high in intervals:
        lows.append(low)
        highs.append(high)
    return mean(lows), mean(highs)


def fine_tunes(records: Mapping[str, Record]) -> dict[str, list[Run]]:
    """{record: its runs on the full IMDb that were scored on the test split, one per seed}."""
    found = {}
    for name, record in records.items():
        runs = record.get("runs", [record])
        is_scored = [run.get("scored_split") == "test" and "accuracy" in run for run in runs]
        if record.get("dataset") == "imdb" and all(is_scored):
            found[name] = runs
    return found


# --- the rows -------------------------------------------------------------------------------------


def baseline_rows(name: str, record: Record) -> list[Row]:
    """The rows of a record of TF-IDF."""
    found = []
    for baseline in record["baselines"]:
        model = "TF-IDF words"
        if baseline["ngram_range"][1] == 2:
            model += " and pairs"
        if record.get("max_length"):
            model += f", {record['max_length']} tokens of each review"
        found.append(
            Row(
                model=model,
                accuracy=baseline["accuracy"],
                interval=tuple(baseline["interval"]),
                accuracies=(baseline["accuracy"],),
                cost=f"{baseline['seconds']:.0f} s",
                record=name,
            )
        )
    return found


def fine_tune_row(name: str, record: Record, runs: Sequence[Run]) -> Row:
    """The row of a fine-tune, with all its seeds."""
    accuracies = tuple(run["accuracy"] for run in runs)
    minutes = min(run["train_seconds"] for run in runs) / 60
    max_length = runs[0]["config"]["max_length"]
    return Row(
        model=record.get("model_name", record["checkpoint_name"]),
        accuracy=mean(accuracies),
        interval=pooled(run["interval"] for run in runs),
        accuracies=accuracies,
        cost=f"{max_length} tokens, {minutes:.0f} min of training",
        record=name,
    )


def rows(records: Mapping[str, Record]) -> list[Row]:
    """Everything that was scored on IMDb's test split, the lowest accuracy first."""
    found = []
    for name, record in records.items():
        if record.get("dataset") == "imdb" and "baselines" in record:
            found += baseline_rows(name, record)
    for name, runs in fine_tunes(records).items():
        found.append(fine_tune_row(name, records[name], runs))
    return sorted(found, key=lambda row: row.accuracy)


# --- the table and the picture --------------------------------------------------------------------


def line_of(cells: Iterable[str]) -> str:
    """One line of a Markdown table."""
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def row_in_markdown(row: Row) -> str:
    """A row of the table; its number of seeds with the lowest and the highest accuracy."""
    seeds = str(len(row.accuracies))
    if len(row.accuracies) > 1:
        seeds += f" ({100 * min(row.accuracies):.2f} to {100 * max(row.accuracies):.2f})"
    return line_of(
        [
            row.model,
            f"{100 * row.accuracy:.2f} %",
            f"{100 * row.interval[0]:.2f} to {100 * row.interval[1]:.2f}",
            seeds,
            row.cost,
            f"[{row.record}](data/results/{row.record}.json)",
        ]
    )


def table(records: Mapping[str, Record], not_run: Sequence[Mapping[str, str]]) -> str:
    """The rows as Markdown. Every number comes from a record, which holds its command."""
    lines = [line_of(COLUMNS), line_of(["---"] * len(COLUMNS))]
    lines += [row_in_markdown(row) for row in rows(records)]
    for job in not_run:
        lines.append(
            line_of(
                [job["model"], "not run", "", "", f"needs {job['needs']}", f"`{job['command']}`"]
            )
        )
    return "\n".join([BEGIN, *lines, "", NOTE, END])


def labels_of(found: Sequence[Row]) -> list[str]:
    """What the picture calls each row: its model, with the cost where several rows share it."""
    models = [row.model for row in found]
    labels = []
    for row in found:
        is_alone = models.count(row.model) == 1
        labels.append(row.model if is_alone else f"{row.model}, {row.cost}")
    return labels


def draw(records: Mapping[str, Record], path: Path) -> None:
    """The rows as a picture."""
    from course_utils import plots  # only to draw: --check needs no matplotlib

    found = rows(records)
    labels = labels_of(found)
    bars = {}
    highlight = labels[-1]
    for row, label in zip(found, labels, strict=True):
        bars[label] = (row.accuracy, *row.interval)
        if records[row.record].get("highlight"):
            highlight = label
    axes = plots.accuracy_bars(bars, highlight=highlight)
    path.parent.mkdir(exist_ok=True)
    axes.figure.savefig(path, dpi=150, bbox_inches="tight")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write, or with --check compare; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit code 1 if the table differs"
    )
    check = parser.parse_args(arguments).check
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    wanted = replace_block(text, BEGIN, END, table(read_records(), read_not_run()))
    if wanted is None:
        print(f"README.md lacks the markers {BEGIN} and {END}", file=sys.stderr)
        return 1
    if not check:
        readme.write_text(wanted, encoding="utf-8")
        draw(read_records(), ROOT / "docs" / "results.png")
    if wanted != text:
        print(
            "README.md differs; run: python scripts/results_table.py"
            if check
            else "written: README.md"
        )
    return int(check and wanted != text)


if __name__ == "__main__":
    raise SystemExit(main())
