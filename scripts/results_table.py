"""Write the table of measured results into the README, and its picture, from the JSON records in data/results.

python scripts/results_table.py           write both
python scripts/results_table.py --check   change nothing; exit code 1 if the table differs
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from badges import replace_block

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results (written by scripts/results_table.py) -->", "<!-- end of results -->"
NAMES = {"all-MiniLM-L6-v2": "BERT, all-MiniLM-L6-v2's weights (6 layers, 384 units)",
         "tiny-random": "BERT, tiny (2 layers, 64 units), random weights"}


def read_records(folder: Path = ROOT / "data" / "results") -> dict[str, dict[str, Any]]:
    """All records by file name, without the .json."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def rows(records: dict[str, dict[str, Any]]) -> list[tuple[str, str, float, tuple[float, float], str]]:
    """(data set, model, accuracy, interval, record) of everything that was scored on a test split."""
    found = []
    for name, record in records.items():
        for baseline in record.get("baselines", []):
            words = "TF-IDF words" + (" and pairs" if baseline["ngram_range"][1] == 2 else "") + ", logistic regression"
            found.append((record["dataset"], words, baseline["accuracy"], tuple(baseline["interval"]), name))
        if record.get("scored_split") == "test" and "accuracy" in record:
            model = NAMES.get(record["checkpoint_name"], record["checkpoint_name"])
            model += f", seed {record['seed']}, {record['train_seconds'] / 60:.0f} min of training"
            found.append((record["dataset"], model, record["accuracy"], tuple(record["interval"]), name))
    return sorted(found, key=lambda row: (row[0] != "imdb", row[2]))


def table(records: dict[str, dict[str, Any]]) -> str:
    """The rows as Markdown; every number comes from a record, which holds its command."""
    lines = ["| test split of | model | accuracy | 95 % interval | record |", "| --- | --- | --- | --- | --- |"]
    for dataset, model, accuracy, (low, high), name in rows(records):
        lines.append(f"| {dataset} | {model} | {100 * accuracy:.2f} % | {100 * low:.2f} to {100 * high:.2f} | "
                     f"[{name}](data/results/{name}.json) |")
    return "\n".join([BEGIN, *lines, END])


def draw(records: dict[str, dict[str, Any]], path: Path) -> None:
    """The IMDb rows as a picture."""
    from course_utils import plots  # only to draw: --check needs no matplotlib

    found = {model.split(", seed")[0]: (accuracy, *interval)
             for dataset, model, accuracy, interval, _ in rows(records) if dataset == "imdb"}
    axes = plots.accuracy_bars(found, highlight=list(found)[-1])
    path.parent.mkdir(exist_ok=True)
    axes.figure.savefig(path, dpi=150, bbox_inches="tight")


def main() -> int:
    """Write, or with --check compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if it differs")
    check = parser.parse_args().check
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    wanted = replace_block(text, BEGIN, END, table(read_records()))
    if wanted is None:
        print(f"README.md lacks the markers {BEGIN} and {END}", file=sys.stderr)
        return 1
    if not check:
        readme.write_text(wanted, encoding="utf-8")
        draw(read_records(), ROOT / "docs" / "results.png")
    if wanted != text:
        print("README.md differs; run: python scripts/results_table.py" if check else "written: README.md")
    return int(check and wanted != text)


if __name__ == "__main__":
    raise SystemExit(main())
