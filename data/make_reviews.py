"""Writes the course's movie reviews: data/reviews/*.parquet. See data/README.md for what they are.

python data/make_reviews.py             write all files (about a minute)
python data/make_reviews.py --check     write them again in memory and compare with the files
python data/make_reviews.py --report    print the figures of the data card
"""

import argparse
import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
from grammar.phrases import PHENOMENA
from grammar.review import Review, write_review
from grammar.template import shuffled

HERE = Path(__file__).resolve().parent
REVIEWS = HERE / "reviews"
HANDWRITTEN = HERE / "handwritten.jsonl"
SEED = 2018
LABELS = ("neg", "pos")
UNLABELLED, UNLABELLED_NAME = -1, "unlabelled"
SHARE_OF_PLAIN = 0.42
MIN_HANDWRITTEN = 240
COMPRESSION_LEVEL = 19
NEITHER_LETTER_NOR_DIGIT = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Split:
    """One file of the data set."""

    name: str
    rows: int
    side: str
    """Which side of the grammar writes it, "train" or "test"."""
    labelled: bool = True


SPLITS = (
    Split("test", 2_000, "test"),
    Split("train", 6_000, "train"),
    Split("validation", 1_000, "train"),
    Split("unsupervised", 20_000, "train", labelled=False),
)


FILES = ("train", "validation", "test", "handwritten", "unsupervised")
"""Names of the files, in the order of the data card."""


def plan(split: Split) -> list[tuple[int, str]]:
    """(label, phenomenon) of every row in the file's order: labels balanced,
    within each phenomenon too.
    """
    per_label = split.rows // 2
    others = PHENOMENA[1:]
    per_other = round(per_label * (1 - SHARE_OF_PLAIN) / len(others))
    counts = {name: per_other for name in others} | {"plain": per_label - per_other * len(others)}
    rows = [(label, name) for label in (0, 1) for name in PHENOMENA for _ in range(counts[name])]
    return shuffled(Random(f"{SEED}/{split.name}/order"), rows)


def write_row(split: Split, index: int, label: int, phenomenon: str, attempt: int = 0) -> Review:
    """Row `index` of `split`. Each row has its own generator,
    so that one needs none of the others.
    """
    rng = Random(f"{SEED}/{split.name}/{index}/{attempt}")
    return write_review(split.side, label, phenomenon, rng)


def write_split(split: Split, taken: set[str], limit: int | None = None) -> Iterator[Review]:
    """The rows of `split`. A text that `taken` has already is written anew; `taken` grows."""
    for index, (label, phenomenon) in enumerate(plan(split)[:limit]):
        attempt = 0
        while (
            key := normal(review := write_row(split, index, label, phenomenon, attempt)).text
        ) in taken:
            attempt += 1
        taken.add(key)
        yield review if split.labelled else Review(review.text, UNLABELLED, UNLABELLED_NAME)


def normal(review: Review) -> Review:
    """The review with its text as it counts in comparisons: letters and digits alone,
    in lower case.
    """
    text = NEITHER_LETTER_NOR_DIGIT.sub("", review.text.replace("<br /><br />", "").lower())
    return Review(text, review.label, review.phenomenon)


def write_all() -> dict[str, list[Review]]:
    """All splits, by name."""
    taken: set[str] = set()
    return {split.name: list(write_split(split, taken)) for split in SPLITS}


def read_handwritten(path: Path) -> list[Review]:
    """The reviews of a file of JSON lines (text, label 0 or 1, phenomenon);
    ValueError if one is off.
    """
    reviews = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            reviews.append(_handwritten_row(json.loads(line), f"{path.name}, line {number}"))
    _check_handwritten(reviews, path.name)
    return reviews


def _handwritten_row(row: dict, where: str) -> Review:
    if set(row) != {"text", "label", "phenomenon"}:
        raise ValueError(
            f"{where}: expected the fields text, label and phenomenon, got {sorted(row)}"
        )
    if type(row["label"]) is not int or row["label"] not in (0, 1):
        raise ValueError(
            f"{where}: expected label 0 (neg) or 1 (pos), got {row['label']!r}; mend the line"
        )
    if row["phenomenon"] not in PHENOMENA:
        raise ValueError(
            f"{where}: expected one of {', '.join(PHENOMENA)}, got {row['phenomenon']!r}"
        )
    if not isinstance(row["text"], str) or not row["text"].strip():
        raise ValueError(f"{where}: expected a text, got {row['text']!r}")
    return Review(row["text"], row["label"], row["phenomenon"])


def _check_handwritten(reviews: Sequence[Review], name: str) -> None:
    labels = Counter(review.label for review in reviews)
    if labels[0] != labels[1]:
        raise ValueError(
            f"{name}: expected as many neg as pos reviews, got {labels[0]} and {labels[1]}"
        )
    if len(reviews) < MIN_HANDWRITTEN:
        raise ValueError(
            f"{name}: expected at least {MIN_HANDWRITTEN} reviews, got {len(reviews)}; add some"
        )
    keys = Counter(normal(review).text for review in reviews)
    repeated = [review.text for review in reviews if keys[normal(review).text] > 1]
    if repeated:
        raise ValueError(
            f"{name}: expected each text once, got this one again: {repeated[0][:80]!r}"
        )


def to_table(reviews: Iterable[Review]) -> pa.Table:
    """The reviews as columns, with the metadata by which `datasets` knows the classes' names."""
    rows = list(reviews)
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": list(LABELS), "_type": "ClassLabel"},
        "phenomenon": {"dtype": "string", "_type": "Value"},
    }
    columns = {
        "text": pa.array([row.text for row in rows], pa.string()),
        "label": pa.array([row.label for row in rows], pa.int64()),
        "phenomenon": pa.array([row.phenomenon for row in rows], pa.string()),
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.table(columns).replace_schema_metadata(metadata)


def from_file(path: Path) -> list[Review]:
    """The rows of a file that `save` wrote."""
    columns = pq.read_table(path).to_pydict()
    rows = zip(columns["text"], columns["label"], columns["phenomenon"], strict=True)
    return [Review(*row) for row in rows]


def save(reviews: Iterable[Review], path: Path) -> None:
    """Writes the file under another name first, so that a half-written one is never seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".part")
    try:
        pq.write_table(
            to_table(reviews),
            half,
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
            use_dictionary=["phenomenon"],
            row_group_size=1 << 20,
            data_page_size=1 << 24,
            write_statistics=False,
            write_page_checksum=True,
        )
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


def content_hash(reviews: Iterable[Review]) -> str:
    """SHA-256 of the rows: the same on every machine, whatever wrote the file around them."""
    digest = hashlib.sha256()
    for review in reviews:
        row = [review.text, review.label, review.phenomenon]
        digest.update(json.dumps(row, ensure_ascii=False).encode("utf-8") + b"\n")
    return digest.hexdigest()


def everything() -> dict[str, list[Review]]:
    """All splits, and the reviews written by hand if there are any."""
    handwritten = (
        read_handwritten(HANDWRITTEN) if HANDWRITTEN.exists() else None
    )  # first: it may be refused
    splits = write_all()
    return splits if handwritten is None else splits | {"handwritten": handwritten}


def check(folder: Path) -> list[str]:
    """What differs between the files in `folder` and what this program writes;
    nothing, if all is well.
    """
    wrong = []
    for name, reviews in everything().items():
        path = folder / f"{name}.parquet"
        shipped = content_hash(from_file(path)) if path.exists() else "no file"
        fresh = content_hash(reviews)
        same = shipped == fresh
        print(
            f"{name:<13} {len(reviews):>6,} rows  {fresh[:16]}  {'same' if same else 'DIFFERENT'}"
        )
        if not same:
            wrong.append(
                f"{path.name}: expected {fresh[:16]}, got {shipped[:16]}; write the files again"
            )
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    does = parser.add_mutually_exclusive_group()
    does.add_argument(
        "--check", action="store_true", help="compare the files with what would be written"
    )
    does.add_argument("--report", action="store_true", help="print the figures of the data card")
    parser.add_argument(
        "--output-dir", type=Path, default=REVIEWS, help="folder (default: data/reviews)"
    )
    options = parser.parse_args(arguments)
    if options.check:
        wrong = check(options.output_dir)
        print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
        return int(bool(wrong))
    if options.report:
        from grammar.measure import report  # the course's package is needed for this alone

        paths = {name: options.output_dir / f"{name}.parquet" for name in FILES}
        print(report({name: from_file(path) for name, path in paths.items() if path.exists()}))
        return 0
    for name, reviews in everything().items():
        save(reviews, options.output_dir / f"{name}.parquet")
        print(f"{name:<13} {len(reviews):>6,} rows  {content_hash(reviews)[:16]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
