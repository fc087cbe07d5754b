"""Count the words of a data set: how often each occurs, how many different ones there are, and how
many words of the test split do not occur in the training split.

It also counts how often each token of course-bert's vocabulary occurs in the training split. A
model that knows nothing but these frequencies is the unigram baseline of notebook 06.

    python -m experiments.words --dataset imdb --output data/results/imdb_words.json
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from course_utils.data import hub, load_reviews
from course_utils.text import clean, normalize, pre_tokenize
from course_utils.tokenization import WordPieceTokenizer
from experiments.command_line import (
    add_dataset,
    add_output,
    command_in_words,
    exit_status,
    make_parser,
)
from experiments.record import origin, write_record

VOCABULARY_SIZES = (2_000, 8_000, 32_000)  # words


def words_of(texts: Iterable[str]) -> list[list[str]]:
    """The words of each text as BERT splits them: lower case, no accents, each punctuation mark a
    word of its own.
    """
    return [pre_tokenize(normalize(clean(text))) for text in texts]


def growth(texts: Iterable[list[str]], start: int = 1_000) -> list[tuple[int, int]]:
    """(words read, different words among them) after `start` words, after twice as many, and so on,
    and at the end.
    """
    seen: set[str] = set()
    num_read = 0
    points = []
    for text in texts:
        for word in text:
            num_read += 1
            seen.add(word)
            if num_read == start * 2 ** len(points):
                points.append((num_read, len(seen)))
    ends_with_a_point = bool(points) and points[-1][0] == num_read
    if not ends_with_a_point:
        points.append((num_read, len(seen)))
    return points


def frequencies(counts: Counter[str]) -> list[tuple[int, int]]:
    """(rank, count) at the ranks 1, 2, 4, 8 and so on, and at the last rank."""
    ordered = sorted(counts.values(), reverse=True)
    points = []
    rank = 1
    while rank < len(ordered):
        points.append((rank, ordered[rank - 1]))
        rank *= 2
    points.append((len(ordered), ordered[-1]))
    return points


def unknown_share(counts: Counter[str], texts: Sequence[list[str]], size: int) -> float:
    """The share of the texts' words that are not among the `size` most frequent words of `counts`.

    Of equally frequent words, the first by the alphabet counts as the more frequent one.
    """
    by_frequency = sorted(counts, key=lambda word: (-counts[word], word))
    known = set(by_frequency[:size])
    num_words = 0
    num_unknown = 0
    for text in texts:
        num_words += len(text)
        num_unknown += sum(word not in known for word in text)
    return num_unknown / num_words


def share_with_an_unknown_word(counts: Counter[str], texts: Sequence[list[str]]) -> float:
    """The share of texts with at least one word that `counts` lacks."""
    num_texts = 0
    for text in texts:
        num_texts += any(word not in counts for word in text)
    return num_texts / len(texts)


def token_counts(texts: Iterable[str], tokenizer: WordPieceTokenizer) -> list[int]:
    """How often each token of the vocabulary occurs in the cleaned texts, by its id."""
    counts: Counter[int] = Counter()
    for text in texts:
        counts.update(tokenizer.encode(clean(text), add_special_tokens=False))
    return [counts[token_id] for token_id in range(tokenizer.vocab_size)]


def measure(dataset: str) -> dict[str, Any]:
    """The growth and frequencies of the training words, and the unknown words of the test split."""
    reviews = load_reviews(dataset)
    tokenizer = WordPieceTokenizer.load(hub.shipped_folder(hub.COURSE_BERT))
    train = words_of(reviews["train"]["text"])
    test = words_of(reviews["test"]["text"])

    counts: Counter[str] = Counter()
    for text in train:
        counts.update(text)

    unknown = {}
    for size in (*VOCABULARY_SIZES, len(counts)):
        if size <= len(counts):
            unknown[str(size)] = unknown_share(counts, test, size)
    return {
        "growth": growth(train),
        "frequencies": frequencies(counts),
        "token_counts": token_counts(reviews["train"]["text"], tokenizer),
        "train_words": counts.total(),
        "train_types": len(counts),
        "train_types_once": sum(count == 1 for count in counts.values()),
        "ratios": {
            "unknown_words_of_test": unknown,
            "test_reviews_with_an_unknown_word": share_with_an_unknown_word(counts, test),
        },
    }


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("words", __doc__)
    add_dataset(parser, "imdb")
    add_output(parser)
    return parser


def run(options: argparse.Namespace) -> None:
    """Count, print a summary, and write the record."""
    found = measure(options.dataset)
    print(
        f"{options.dataset}: {found['train_types']:,} different words among "
        f"{found['train_words']:,}; {found['ratios']}"
    )
    if options.output:
        command = command_in_words(build_parser(), options)
        write_record(options.output, {"dataset": options.dataset, **found, **origin(command)})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = build_parser().parse_args(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    raise SystemExit(main())
