"""Learning 1,000 merges from 1 MB of review text: incremental counts against counting all again,
and the library.

Four contenders: the package's `learn_merges`; the plain algorithm on the same counted words, all
pairs counted again at each merge; the plain algorithm on the whole text as one list of ids, as a
first version is often written; and the trainer of the `tokenizers` library (Rust). The text as one
list may join across words, so its merges are others, while its work a merge is what that version
needs. The plain ones are slow: with `--plain-merges` below `--merges` they make the first ones
only, and their time is multiplied up. As texts shrink, first merges cost more than later ones, so
the product is too much for them, at most by the factor that the text shrinks in all (2.9 for 1 MB
of IMDb). Ratios within one run count; seconds belong to the machine.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault(
    "RAYON_NUM_THREADS", "1"
)  # read when the library loads: one thread against one

from measuring import machine, tell
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from course_utils.data import load_reviews
from course_utils.tokenization import learn_merges

Words = dict[tuple[str, ...], int]


def join_everywhere(symbols: list, pair: tuple, joined: object) -> list:
    """The list with each occurrence of the pair, from left to right, as one symbol."""
    result, place = [], 0
    while place < len(symbols):
        if place + 1 < len(symbols) and symbols[place] == pair[0] and symbols[place + 1] == pair[1]:
            result.append(joined)
            place += 2
        else:
            result.append(symbols[place])
            place += 1
    return result


def plain_on_words(words: Words, num_merges: int) -> list[list[str]]:
    """Count the pairs of all distinct words again for each merge;
    returns the words as they are then.
    """
    texts, weights = [list(word) for word in words], list(words.values())
    for _ in range(num_merges):
        counts: Counter[tuple[str, str]] = Counter()
        for text, weight in zip(texts, weights, strict=True):
            for pair in pairwise(text):
                counts[pair] += weight
        best = max(counts, key=counts.__getitem__)
        texts = [join_everywhere(text, best, best[0] + best[1]) for text in texts]
    return texts


def plain_on_text(text: str, num_merges: int) -> list[int]:
    """Count the pairs of the whole text again for each merge; returns the text's ids then."""
    ids = list(text.encode())
    for new in range(256, 256 + num_merges):
        counts = Counter(pairwise(ids))
        ids = join_everywhere(ids, max(counts, key=counts.__getitem__), new)
    return ids


def library(lines: Sequence[str], vocab_size: int) -> None:
    """The library's trainer; its time includes counting the words,
    which the incremental version is given.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, min_frequency=2, show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)


def seconds_of(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def review_text(name: str, size: int) -> str:
    """The first `size` characters of the training reviews, one review a line."""
    return "\n".join(load_reviews(name)["train"]["text"])[:size]


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All rounds, contenders taking turns; returns the record, ready for JSON."""
    text = review_text(args.dataset, args.characters)
    words: Words = {tuple(word): n for word, n in Counter(re.findall(r"\S+", text)).items()}
    lines, vocab_size = text.split("\n"), len(set(text) - set(" \n")) + args.merges
    few, scale = args.plain_merges, args.merges / args.plain_merges
    contenders: dict[str, Callable[[], float]] = {
        "incremental": lambda: seconds_of(lambda: learn_merges(words, args.merges)),
        "plain, on counted words": lambda: scale * seconds_of(lambda: plain_on_words(words, few)),
        "plain, on the whole text": lambda: scale * seconds_of(lambda: plain_on_text(text, few)),
        "library (Rust, one thread)": lambda: seconds_of(lambda: library(lines, vocab_size)),
    }
    rounds = [{name: time() for name, time in contenders.items()} for _ in range(args.rounds)]
    return {
        "command": f"python tests/benchmarks/bench_bpe_training.py --dataset {args.dataset} "
        f"--characters {args.characters} --merges {args.merges} --plain-merges {few} "
        f"--rounds {args.rounds} --output $OUTPUT",
        "dataset": args.dataset,
        "characters": len(text),
        "words": len(words),
        "merges": args.merges,
        "plain_merges": few,
        "seconds": {name: [entry[name] for entry in rounds] for name in contenders},
        **machine("tokenizers"),
    }


def report(record: dict[str, Any]) -> str:
    """The record for people."""
    ours, few = record["seconds"]["incremental"], record["plain_merges"]
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=("course", "imdb"), default="course", help="[course]")
    parser.add_argument("--characters", type=int, default=1_000_000, help="[1,000,000]")
    parser.add_argument("--merges", type=int, default=1000, help="[1000]")
    parser.add_argument(
        "--plain-merges", type=int, default=20, help="merges that the plain versions make [20]"
    )
    parser.add_argument("--rounds", type=int, default=3, help="[3]")
    parser.add_argument("--output", type=Path, help="where the record goes, as JSON")
    args = parser.parse_args(arguments)
    record = run(args)
    tell(record, report, args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
