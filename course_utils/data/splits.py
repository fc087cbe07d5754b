"""Checking labelled examples, and holding some of them out."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

from course_utils.data.registry import describe_counts
from course_utils.text import clean

if TYPE_CHECKING:  # datasets takes most of a second to import, and batches do without it
    from datasets import Dataset


def check_examples(dataset: Dataset, *, num_labels: int = 2, name: str) -> None:
    """Raise ValueError unless no text is empty, each label lies in [0, num_labels),
    and each label occurs.

    The message counts what is wrong in `name` (say "the training data") and gives the index of the
    first.
    """
    texts, labels = dataset["text"][:], dataset["label"][:]
    empty = [
        index for index, text in enumerate(texts) if text is None or not clean(text)
    ]  # "<br />" is no text
    outside = [
        index for index, label in enumerate(labels) if label is None or not 0 <= label < num_labels
    ]
    if empty:
        raise ValueError(
            f"{name}: {len(empty):,} of {len(texts):,} texts are empty, the first at index "
            f"{empty[0]}; drop these rows"
        )
    if outside:
        raise ValueError(
            f"{name}: {len(outside):,} of {len(labels):,} labels lie outside 0 to "
            f"{num_labels - 1}, the first at index {outside[0]} ({labels[outside[0]]}); "
            "drop or renumber these rows"
        )
    if absent := sorted(set(range(num_labels)) - set(labels)):
        raise ValueError(
            f"{name}: no example has label {', '.join(map(str, absent))}; the {len(labels):,} are "
            f"{describe_counts(Counter(labels)) or 'none'}. "
            "Was sorted data cut before it was shuffled?"
        )


def hold_out(dataset: Dataset, size: int, *, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Split into (train, validation), `size` examples in validation,
    both in the dataset's own order.

    Each label keeps its share. Repeats of a text stay on one side, so that nothing held out was
    trained on. The choice depends on the seed and the texts alone: it is the same everywhere, in
    whatever order they come.
    Raises ValueError unless both sides get examples of all labels, of which there must be two at
    least, and where repeats leave no choice of exactly `size`.
    """
    labels = dataset["label"][:]
    wanted = _shares(Counter(labels), size)
    groups: dict[str, list[int]] = {}
    for index, text in enumerate(dataset["text"][:]):
        groups.setdefault(text, []).append(index)
    held: list[int] = []
    for text in sorted(groups, key=lambda text: hashlib.sha256(f"{seed}:{text}".encode()).digest()):
        group = Counter(labels[index] for index in groups[text])
        if group <= wanted:
            wanted -= group
            held += groups[text]
    if len(held) != size:
        raise ValueError(
            f"cannot hold out {size:,} of {len(labels):,} examples with repeats of a text on one "
            f"side and the labels' shares kept; {len(held):,} would do"
        )
    rest = sorted(set(range(len(labels))) - set(held))
    return dataset.select(rest), dataset.select(sorted(held))


def _shares(counts: Counter[int], size: int) -> Counter[int]:
    """How many of `size` examples get each label: its share, rounded so that they sum to `size`."""
    total = sum(counts.values())
    exact = {label: size * counts[label] / max(total, 1) for label in sorted(counts)}
    shares = Counter({label: int(share) for label, share in exact.items()})
    by_remainder = sorted(exact, key=lambda label: shares[label] - exact[label])
    shares.update(by_remainder[: size - sum(shares.values())])
    if len(counts) < 2 or not all(1 <= shares[label] < counts[label] for label in counts):
        raise ValueError(
            f"cannot hold out {size:,} of {total:,} examples ({describe_counts(counts)}): both "
            "sides need examples of each label, and of two labels at least"
        )
    return shares
