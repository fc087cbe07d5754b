"""Figures about the finished reviews: the grammar, the texts,
and how far a bag of words gets with them.
"""

import html
import re
from collections.abc import Mapping, Sequence

from course_utils.evaluation import Evaluation, accuracy_by, tfidf_baseline

from .films import catalogue
from .phrases import PHENOMENA, all_pools, family
from .review import Review

SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+|<br />")
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def report(splits: Mapping[str, Sequence[Review]]) -> str:
    """The figures as Markdown."""
    return "\n\n".join([_grammar(), _texts(splits), _overlap(splits), _baseline(splits)])


def _grammar() -> str:
    counts: dict[str, int] = {}
    alternatives = 0
    for name, phrases in all_pools().items():
        counts[family(name)] = counts.get(family(name), 0) + len(phrases)
        alternatives += sum(phrase.text.count("|") for phrase in phrases)
    films = {side: len(catalogue(side)) for side in ("train", "test")}
    return _table(
        ("grammar", "count"),
        [
            ("frames (whole sentences with slots)", counts["frame"]),
            ("phrases inside frames", counts["phrase"] + counts["shared"]),
            ("facts of films (titles, roles, plots, places, surnames)", counts["fact"]),
            ("further wordings within frames and phrases", alternatives),
            ("films, train side", films["train"]),
            ("films, test side", films["test"]),
        ],
    )


def _texts(splits: Mapping[str, Sequence[Review]]) -> str:
    rows = []
    for name, reviews in splits.items():
        texts = [review.text for review in reviews]
        words = [WORD.findall(plain(text)) for text in texts]
        lengths = sorted(map(len, words))
        types = len({word.lower() for text in words for word in text})
        mean_sentences = sum(len(sentences(text)) for text in texts) / len(texts)
        broken = sum("<br />" in text for text in texts) / len(texts)
        row = [
            name,
            len(texts),
            f"{sum(lengths) / len(texts):.1f}",
            f"{lengths[0]} to {lengths[-1]}",
        ]
        row += [
            f"{mean_sentences:.1f}",
            types,
            f"{types / sum(lengths):.4f}",
            f"{100 * broken:.1f} %",
        ]
        rows.append(row)
    head = (
        "split, reviews, mean words, fewest to most, mean sentences, types, type/token, with <br />"
    )
    return _table(head.split(", "), rows)


def _overlap(splits: Mapping[str, Sequence[Review]]) -> str:
    seen = {sentence for review in splits["train"] for sentence in _keys(review.text)}
    rows = []
    for name in [name for name in splits if name != "train"]:
        found = [sentence in seen for review in splits[name] for sentence in _keys(review.text)]
        rows.append((name, f"{100 * sum(found) / len(found):.2f} %"))
    return _table(("split", "sentences that occur verbatim in train"), rows)


def _baseline(splits: Mapping[str, Sequence[Review]]) -> str:
    names = [name for name in splits if name not in ("train", "unsupervised")]
    found = {name: _score(splits["train"], splits[name]) for name in names}
    slices = {}
    for name in names:
        phenomena = [review.phenomenon for review in splits[name]]
        slices[name] = accuracy_by(phenomena, found[name])
    rows = []
    for phenomenon in PHENOMENA:
        cells = [_percent(*slices[name][phenomenon]) for name in names]
        rows.append((phenomenon, *cells))
    rows.append(("all", *(_percent(found[name].accuracy, len(splits[name])) for name in names)))
    return _table(("TF-IDF bigrams, accuracy % (reviews)", *names), rows)


def _score(train: Sequence[Review], scored: Sequence[Review]) -> Evaluation:
    return tfidf_baseline(
        [review.text for review in train],
        [review.label for review in train],
        [review.text for review in scored],
        [review.label for review in scored],
    )


def _percent(accuracy: float, count: int) -> str:
    return f"{100 * accuracy:.1f} ({count})"


def plain(text: str) -> str:
    """`text` without tags and entities."""
    return html.unescape(re.sub(r"<[^>]*>", " ", text))


def sentences(text: str) -> list[str]:
    """The sentences of a review, roughly."""
    return [part for part in SENTENCE_END.split(text) if WORD.search(part)]


def _keys(text: str) -> list[str]:
    return [" ".join(WORD.findall(plain(sentence).lower())) for sentence in sentences(text)]


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(content: object) -> str:
    return f"{content:,}" if isinstance(content, int) else str(content)
