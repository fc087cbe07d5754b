"""Write the table of results on the real IMDb into the README, and its picture,
from the JSON records in data/results.

python scripts/results_table.py           write both
python scripts/results_table.py --check   change nothing; exit code 1 if the table differs
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from badges import replace_block

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "data" / "results"
BEGIN, END = "<!-- results (written by scripts/results_table.py) -->", "<!-- end of results -->"
NAMES = {
    "all-MiniLM-L6-v2": "BERT, all-MiniLM-L6-v2's weights (6 layers, 384 units)",
    "course-bert": "BERT, course-bert (4 layers, 256 units)",
    "course-bert-random": "BERT, course-bert's shape, random weights",
    "tiny-random": "BERT, tiny (2 layers, 64 units), random weights",
}
NOTE = (
    "Of several seeds: the mean of their accuracies and, in brackets, the lowest and the highest; "
    "the interval is\n"
    "the mean of theirs. It tells the luck of the test reviews, which all seeds share. "
    "Minutes are those of the\n"
    "fastest seed, on two cores that did other work as well. "
    "TF-IDF: logistic regression on its weights."
)


class Row(NamedTuple):
    """One model on IMDb's test split. accuracy: the mean over seeds; interval: see `pooled`;
    accuracies: one a seed.
    """

    model: str
    accuracy: float
    interval: tuple[float, float]
    accuracies: tuple[float, ...]
    cost: str
    record: str


def read_records(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """All records by file name, without the .json; what nobody has run yet is no record."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
        if path.stem != "not_run"
    }


def read_not_run(folder: Path = FOLDER) -> list[dict[str, str]]:
    """The full-size jobs that nobody has run yet: their model, what they need, and the command."""
    return json.loads((folder / "not_run.json").read_text(encoding="utf-8"))["jobs"]


def pooled(intervals: list[list[float]]) -> tuple[float, float]:
    """The means of the seeds' lower and of their upper bounds.

    Each seed's interval tells the luck of the test reviews. The seeds share these reviews, so their
    mean is about as lucky as one of them: its spread is at most the mean of their spreads, and
    equal to it if they err on the same ones.
    """
    lows, highs = zip(*intervals, strict=True)
    return mean(lows), mean(highs)


def fine_tunes(records: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """By record, the runs on the full IMDb that were scored on its test split: one a seed."""
    found = {
        name: record.get("runs", [record])
        for name, record in records.items()
        if record.get("dataset") == "imdb"
    }
    return {
        name: runs
        for name, runs in found.items()
        if all(run.get("scored_split") == "test" and "accuracy" in run for run in runs)
    }


def rows(records: dict[str, dict[str, Any]]) -> list[Row]:
    """What was scored on IMDb's test split, the lowest accuracy first."""
    found = []
    for name, record in records.items():
        for baseline in record.get("baselines", []) if record.get("dataset") == "imdb" else []:
            words = "TF-IDF words" + (" and pairs" if baseline["ngram_range"][1] == 2 else "")
            words += (
                f", {record['max_length']} tokens of each review"
                if record.get("max_length")
                else ""
            )
            found.append(
                Row(
                    words,
                    baseline["accuracy"],
                    tuple(baseline["interval"]),
                    (baseline["accuracy"],),
                    f"{baseline['seconds']:.0f} s",
                    name,
                )
            )
    for name, runs in fine_tunes(records).items():
        checkpoint = records[name]["checkpoint_name"]
        model = NAMES.get(checkpoint, checkpoint)
        accuracies = tuple(run["accuracy"] for run in runs)
        minutes = min(run["train_seconds"] for run in runs) / 60
        cost = f"{runs[0]['config']['max_length']} tokens, {minutes:.0f} min of training"
        found.append(
            Row(
                model,
                mean(accuracies),
                pooled([run["interval"] for run in runs]),
                accuracies,
                cost,
                name,
            )
        )
    return sorted(found, key=lambda row: row.accuracy)


def table(records: dict[str, dict[str, Any]], not_run: list[dict[str, str]]) -> str:
    """The rows as Markdown; every number comes from a record, which holds its command."""
    lines = ["| model | accuracy | 95 % interval | seeds | cost | record |", "| --- " * 6 + "|"]
    for row in rows(records):
        seeds = (
            ""
            if len(row.accuracies) == 1
            else (f" ({100 * min(row.accuracies):.2f} to {100 * max(row.accuracies):.2f})")
        )
        lines.append(
            f"| {row.model} | {100 * row.accuracy:.2f} % | {100 * row.interval[0]:.2f} to "
            f"{100 * row.interval[1]:.2f} | {len(row.accuracies)}{seeds} | {row.cost} | "
            f"[{row.record}](data/results/{row.record}.json) |"
        )
    lines += [
        f"| {job['model']} | not run | | | needs {job['needs']} | `{job['command']}` |"
        for job in not_run
    ]
    return "\n".join([BEGIN, *lines, "", NOTE, END])


def draw(records: dict[str, dict[str, Any]], path: Path) -> None:
    """The rows as a picture."""
    from course_utils import plots  # only to draw: --check needs no matplotlib

    models = [row.model for row in rows(records)]
    names = {
        row.record: row.model if models.count(row.model) == 1 else f"{row.model}, {row.cost}"
        for row in rows(records)
        if row.record in fine_tunes(records)
    }
    found = {
        names.get(row.record, row.model): (row.accuracy, *row.interval) for row in rows(records)
    }
    axes = plots.accuracy_bars(found, highlight=names.get("imdb_course_bert", list(found)[-1]))
    path.parent.mkdir(exist_ok=True)
    axes.figure.savefig(path, dpi=150, bbox_inches="tight")


def main() -> int:
    """Write, or with --check compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit code 1 if it differs"
    )
    check = parser.parse_args().check
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
