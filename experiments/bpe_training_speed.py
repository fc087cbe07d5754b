"""Compare how fast merges of byte-pair encoding are learned from review text: with counts that are
kept up to date, by two plain versions that count all pairs again for each merge, and by the
tokenizers library (Rust).

    python -m experiments.bpe_training_speed --dataset imdb --plain-merges 1000 --rounds 1 \\
        --output data/results/bpe_training_speed.json

The package's learn_merges keeps its counts up to date. The first plain version works on the same
counted words. The second works on the whole text as one list of ids, as a first version is often
written. It may join across words, so it learns other merges, but its work per merge is what such a
version needs.

The plain versions are slow. With --plain-merges below --merges they learn only the first ones, and
their time is multiplied up. Texts shrink from merge to merge, so the first merges cost more than
later ones, and the product is too large: at most by the factor by which the text shrinks in all
(2.9 for 1 MB of IMDb). What counts are the ratios within one run; seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from statistics import median
from time import perf_counter

# Read when the library loads: one thread against one.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAYON_NUM_THREADS", "1")

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from course_utils.data import load_reviews
from course_utils.tokenization import learn_merges
from experiments.command_line import (
    add_dataset,
    add_output,
    command_in_words,
    exit_status,
    make_parser,
)
from experiments.record import Run, origin
from experiments.speed import tell

Words = dict[tuple[str, ...], int]  # {a word's symbols: how often it occurs}


# --- the contenders -------------------------------------------------------------------------------


def join_everywhere(symbols: list, pair: tuple, joined: object) -> list:
    """The list with each occurrence of the pair, from left to right, as one symbol."""
    result = []
    place = 0
    while place < len(symbols):
        if place + 1 < len(symbols) and symbols[place] == pair[0] and symbols[place + 1] == pair[1]:
            result.append(joined)
            place += 2
        else:
            result.append(symbols[place])
            place += 1
    return result


def plain_on_words(words: Words, num_merges: int) -> list[list[str]]:
    """Count the pairs of all distinct words again for each merge; returns the words after it."""
    texts = [list(word) for word in words]
    weights = list(words.values())
    for _ in range(num_merges):
        counts: Counter[tuple[str, str]] = Counter()
        for text, weight in zip(texts, weights, strict=True):
            for pair in pairwise(text):
                counts[pair] += weight
        best = max(counts, key=counts.__getitem__)
        texts = [join_everywhere(text, best, best[0] + best[1]) for text in texts]
    return texts


def plain_on_text(text: str, num_merges: int) -> list[int]:
    """Count the pairs of the whole text again for each merge; returns the text's ids after it."""
    ids = list(text.encode())
    for new in range(256, 256 + num_merges):
        counts = Counter(pairwise(ids))
        ids = join_everywhere(ids, max(counts, key=counts.__getitem__), new)
    return ids


def library(lines: Sequence[str], vocab_size: int) -> None:
    """The library's trainer. Its time includes counting the words, which learn_merges is given."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, min_frequency=2, show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)


# --- measuring ------------------------------------------------------------------------------------


def seconds_of(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def review_text(dataset: str, size: int) -> str:
    """The first `size` characters of the training reviews, one review per line."""
    return "\n".join(load_reviews(dataset)["train"]["text"])[:size]


def measure_all(options: argparse.Namespace) -> Run:
    """All rounds, the contenders taking turns; returns the record, ready for JSON."""
    text = review_text(options.dataset, options.characters)
    counts = Counter(re.findall(r"\S+", text))
    words: Words = {tuple(word): count for word, count in counts.items()}
    vocab_size = len(set(text) - set(" \n")) + options.merges

    work: dict[str, Callable[[], object]] = {
        "incremental": partial(learn_merges, words, options.merges),
        "plain, on counted words": partial(plain_on_words, words, options.plain_merges),
        "plain, on the whole text": partial(plain_on_text, text, options.plain_merges),
        "library (Rust, one thread)": partial(library, text.split("\n"), vocab_size),
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(options.rounds):
        for name, contender in work.items():
            taken = seconds_of(contender)
            if name.startswith("plain"):
                taken *= options.merges / options.plain_merges
            seconds[name].append(taken)

    command = command_in_words(build_parser(), options)
    return {
        "dataset": options.dataset,
        "characters": len(text),
        "words": len(words),
        "merges": options.merges,
        "plain_merges": options.plain_merges,
        "seconds": seconds,
        **origin(command, ["tokenizers"]),
    }


def report(record: Run) -> str:
    """The record for people."""
    ours = record["seconds"]["incremental"]
    few = record["plain_merges"]
    lines = [
        f"{record['characters']:,} characters, {record['words']:,} distinct words, "
        f"{record['merges']:,} merges; plain versions: {few} merges, times "
        f"{record['merges'] / few:g}; {len(ours)} rounds",
        f"{'contender':28} {'seconds':>9} {'of incremental: median':>24} {'min':>8} {'max':>8}",
    ]
    for name, seconds in record["seconds"].items():
        ratios = [one / other for one, other in zip(seconds, ours, strict=True)]
        lines.append(
            f"{name:28} {median(seconds):9.2f} {median(ratios):24.2f} "
            f"{min(ratios):8.2f} {max(ratios):8.2f}"
        )
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("bpe_training_speed", __doc__)
    add_dataset(parser, "course")
    parser.add_argument("--characters", type=int, default=1_000_000, help="[%(default)s]")
    parser.add_argument("--merges", type=int, default=1000, help="[%(default)s]")
    parser.add_argument(
        "--plain-merges",
        type=int,
        default=20,
        help="merges that the plain versions learn [%(default)s]",
    )
    parser.add_argument("--rounds", type=int, default=3, help="[%(default)s]")
    add_output(parser)
    return parser


def run(options: argparse.Namespace) -> None:
    """Measure, print, and write the record."""
    tell(measure_all(options), report, options.output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = build_parser().parse_args(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    raise SystemExit(main())
