"""Measure TF-IDF with logistic regression on a data set's official split, once with single words
and once with words and word pairs.

    python -m experiments.tfidf --output data/results/imdb_tfidf.json
    python -m experiments.tfidf --max-length 512 --output data/results/imdb_tfidf_512.json

With --max-length it reads of each review what course-bert reads at this length: the first and the
last tokens.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from typing import Any

from course_utils.data import hub, load_reviews
from course_utils.evaluation import tfidf_baseline
from course_utils.text import clean
from course_utils.tokenization import WordPieceTokenizer
from experiments.command_line import (
    add_dataset,
    add_output,
    command_in_words,
    exit_status,
    make_parser,
)
from experiments.cutting import cut_text
from experiments.record import origin, write_record

NGRAM_RANGES = ((1, 1), (1, 2))  # single words; words and word pairs


def cut(texts: Iterable[str], tokenizer: WordPieceTokenizer, max_length: int | None) -> list[str]:
    """What a BERT with this vocabulary reads of each text: half from its beginning, half from its
    end, `max_length` tokens in all with [CLS] and [SEP]. None: the whole text as it is.
    """
    if max_length is None:
        return list(texts)
    shorter = []
    for text in texts:
        cleaned = clean(text)
        offsets = tokenizer.offsets(cleaned)
        shorter.append(cut_text(cleaned, offsets, max_length, tail_share=0.5))
    return shorter


def measure(dataset: str, max_length: int | None = None) -> list[dict[str, Any]]:
    """Train on the train split and score on the test split: accuracy, F1, the interval, seconds."""
    reviews = load_reviews(dataset)
    train, test = reviews["train"], reviews["test"]
    tokenizer = WordPieceTokenizer.load(hub.shipped_folder(hub.COURSE_BERT))
    texts = cut(train["text"], tokenizer, max_length)
    test_texts = cut(test["text"], tokenizer, max_length)

    rows = []
    for ngram_range in NGRAM_RANGES:
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


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("tfidf", __doc__)
    add_dataset(parser, "imdb")
    parser.add_argument(
        "--max-length", type=int, help="tokens of each review, with [CLS] and [SEP] [all]"
    )
    add_output(parser)
    return parser


def run(options: argparse.Namespace) -> None:
    """Measure, print one line per n-gram range, and write the record."""
    rows = measure(options.dataset, options.max_length)
    for row in rows:
        print(
            f"{options.dataset}, n-grams {row['ngram_range']}: {100 * row['accuracy']:.2f} % in "
            f"{row['seconds']:.0f} s"
        )
    if options.output:
        command = command_in_words(build_parser(), options)
        record = {
            "dataset": options.dataset,
            "max_length": options.max_length,
            "scored_split": "test",
            "baselines": rows,
            **origin(command, ["scikit-learn"]),
        }
        write_record(options.output, record)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = build_parser().parse_args(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    raise SystemExit(main())
