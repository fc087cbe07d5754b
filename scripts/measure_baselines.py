"""Measure TF-IDF with logistic regression, single words and word pairs,
on a data set's official split.

python scripts/measure_baselines.py --dataset imdb --output data/results/imdb_tfidf.json
python scripts/measure_baselines.py --dataset imdb --max-length 512 --output data/results/imdb_tfidf_512.json

With --max-length it gets of each review what course-bert reads at this length: the first and the
last tokens.
"""

import argparse
import platform
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from course_utils.data import cut_text, hub, load_reviews
from course_utils.evaluation import tfidf_baseline
from course_utils.files import write_json
from course_utils.text import clean
from course_utils.tokenization import WordPieceTokenizer
from course_utils.training.hardware import describe


def cut(texts: Iterable[str], tokenizer: WordPieceTokenizer, max_length: int) -> list[str]:
    """Of each text what a BERT with this vocabulary reads: half from its beginning and half
    from its end; 0: all.
    """
    if not max_length:
        return list(texts)
    return [
        cut_text(text, tokenizer.offsets(text), max_length, tail_share=0.5)
        for text in map(clean, texts)
    ]


def measure(dataset: str, max_length: int = 0) -> list[dict[str, Any]]:
    """Accuracy of both on the test split, trained on the train split,
    with the interval and the seconds it took.
    """
    reviews = load_reviews(dataset)
    train, test = reviews["train"], reviews["test"]
    tokenizer = WordPieceTokenizer.load(hub.shipped_folder(hub.COURSE_BERT))
    texts, test_texts = (cut(split["text"], tokenizer, max_length) for split in (train, test))
    rows = []
    for ngram_range in ((1, 1), (1, 2)):
        start = time.perf_counter()
        found = tfidf_baseline(
            texts, train["label"], test_texts, test["label"], ngram_range=ngram_range
        )
        rows.append(
            {
                "ngram_range": list(ngram_range),
                "accuracy": found.accuracy,
                "f1": found.f1,
                "interval": list(found.interval),
                "seconds": round(time.perf_counter() - start, 1),
            }
        )
    return rows


def main() -> None:
    """Measure, print a line each, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="imdb", choices=("course", "imdb"))
    parser.add_argument(
        "--max-length", type=int, default=0, help="tokens of each review, special ones too [all]"
    )
    parser.add_argument("--output", type=Path, help="where the JSON goes; printed only, if absent")
    args = parser.parse_args()
    rows = measure(args.dataset, args.max_length)
    for row in rows:
        print(
            f"{args.dataset}, n-grams {row['ngram_range']}: {100 * row['accuracy']:.2f} % in "
            f"{row['seconds']:.0f} s"
        )
    if args.output:
        options = f"--dataset {args.dataset}" + (
            f" --max-length {args.max_length}" if args.max_length else ""
        )
        command = f"python scripts/measure_baselines.py {options} --output $OUTPUT"
        write_json(
            args.output,
            {
                "dataset": args.dataset,
                "max_length": args.max_length or None,
                "scored_split": "test",
                "baselines": rows,
                "command": command,
                "hardware": describe(),
                "versions": {
                    "python": platform.python_version(),
                    "scikit-learn": version("scikit-learn"),
                },
            },
        )


if __name__ == "__main__":
    main()
