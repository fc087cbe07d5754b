"""Measure TF-IDF with logistic regression, single words and word pairs, on a data set's official split.

python scripts/measure_baselines.py --dataset imdb --output data/results/imdb_tfidf.json
"""

import argparse
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from course_utils.checkpoint import write_json
from course_utils.data import load_reviews
from course_utils.evaluation import tfidf_baseline
from course_utils.hardware import describe


def measure(dataset: str) -> list[dict[str, Any]]:
    """Accuracy of both on the test split, trained on the train split, with the interval and the seconds it took."""
    reviews = load_reviews(dataset)
    train, test = reviews["train"], reviews["test"]
    rows = []
    for ngram_range in ((1, 1), (1, 2)):
        start = time.perf_counter()
        found = tfidf_baseline(train["text"], train["label"], test["text"], test["label"], ngram_range=ngram_range)
        rows.append({"ngram_range": list(ngram_range), "accuracy": found.accuracy, "f1": found.f1,
                     "interval": list(found.interval), "seconds": round(time.perf_counter() - start, 1)})
    return rows


def main() -> None:
    """Measure, print a line each, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="imdb", choices=("course", "imdb"))
    parser.add_argument("--output", type=Path, help="where the JSON goes; printed only, if absent")
    args = parser.parse_args()
    rows = measure(args.dataset)
    for row in rows:
        print(f"{args.dataset}, n-grams {row['ngram_range']}: {100 * row['accuracy']:.2f} % in {row['seconds']:.0f} s")
    if args.output:
        command = f"python scripts/measure_baselines.py --dataset {args.dataset} --output $OUTPUT"
        write_json(args.output, {
            "dataset": args.dataset, "scored_split": "test", "baselines": rows, "command": command,
            "hardware": describe(), "versions": {"python": platform.python_version(),
                                                 "scikit-learn": version("scikit-learn")}})


if __name__ == "__main__":
    main()
