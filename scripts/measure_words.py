"""Count the words of a data set: how often each occurs, how many are new,
and how many of the test split are unknown.

Also how often each token of course-bert's vocabulary occurs in train, which is what a model that
knows frequencies only would go by.

python scripts/measure_words.py --dataset imdb --output data/results/imdb_words.json
"""

import argparse
import platform
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from course_utils.data import hub, load_reviews
from course_utils.files import write_json
from course_utils.text import clean, normalize, pre_tokenize
from course_utils.tokenization import WordPieceTokenizer
from course_utils.training.hardware import describe

VOCABULARY_SIZES = (2_000, 8_000, 32_000)


def words_of(texts: Iterable[str]) -> list[list[str]]:
    """The words of each text as BERT parts them: lower case, no accents,
    each punctuation sign by itself.
    """
    return [pre_tokenize(normalize(clean(text))) for text in texts]


def growth(texts: Iterable[list[str]], start: int = 1_000) -> list[tuple[int, int]]:
    """(words read, different words among them) at `start`, twice as many, and so on,
    and at the end.
    """
    seen: set[str] = set()
    num_read, points = 0, []
    for text in texts:
        for word in text:
            num_read += 1
            seen.add(word)
            if num_read == start * 2 ** len(points):
                points.append((num_read, len(seen)))
    return points if points and points[-1][0] == num_read else [*points, (num_read, len(seen))]


def frequencies(counts: Counter[str]) -> list[tuple[int, int]]:
    """(rank, count) at the ranks 1, 2, 4, 8 ... and the last."""
    ordered = sorted(counts.values(), reverse=True)
    ranks = [
        *(2**n for n in range(len(ordered).bit_length()) if 2**n <= len(ordered)),
        len(ordered),
    ]
    return [(rank, ordered[rank - 1]) for rank in dict.fromkeys(ranks)]


def unknown_share(counts: Counter[str], texts: list[list[str]], size: int) -> float:
    """Share of the texts' words that are not among the `size` most frequent of `counts`;
    among equals by alphabet.
    """
    known = set(sorted(counts, key=lambda word: (-counts[word], word))[:size])
    return sum(word not in known for text in texts for word in text) / sum(map(len, texts))


def token_counts(texts: Iterable[str], tokenizer: WordPieceTokenizer) -> list[int]:
    """How often each token of the vocabulary occurs in the cleaned texts, by its id."""
    counts = Counter(
        number
        for text in texts
        for number in tokenizer.encode(clean(text), add_special_tokens=False)
    )
    return [counts[number] for number in range(tokenizer.vocab_size)]


def measure(dataset: str) -> dict[str, Any]:
    """Growth and frequencies of train's words; unknown words of test."""
    reviews = load_reviews(dataset)
    tokenizer = WordPieceTokenizer.load(hub.shipped_folder(hub.COURSE_BERT))
    train, test = (words_of(reviews[split]["text"]) for split in ("train", "test"))
    counts = Counter(word for text in train for word in text)
    sizes = [*(size for size in VOCABULARY_SIZES if size < len(counts)), len(counts)]
    return {
        "growth": growth(train),
        "frequencies": frequencies(counts),
        "token_counts": token_counts(reviews["train"]["text"], tokenizer),
        "train_words": counts.total(),
        "train_types": len(counts),
        "train_types_once": sum(count == 1 for count in counts.values()),
        "ratios": {
            "unknown_words_of_test": {
                str(size): unknown_share(counts, test, size) for size in sizes
            },
            "test_reviews_with_an_unknown_word": sum(
                any(word not in counts for word in text) for text in test
            )
            / len(test),
        },
    }


def main() -> None:
    """Measure, print a summary, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="imdb", choices=("course", "imdb"))
    parser.add_argument("--output", type=Path, help="where the JSON goes; printed only, if absent")
    args = parser.parse_args()
    found = measure(args.dataset)
    print(
        f"{args.dataset}: {found['train_types']:,} different words among {found['train_words']:,}; "
        f"{found['ratios']}"
    )
    if args.output:
        command = f"python scripts/measure_words.py --dataset {args.dataset} --output $OUTPUT"
        write_json(
            args.output,
            {
                "dataset": args.dataset,
                **found,
                "command": command,
                "hardware": describe(),
                "versions": {"python": platform.python_version()},
            },
        )


if __name__ == "__main__":
    main()
