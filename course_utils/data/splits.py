"""Labelled examples: the names of their labels, checking them, and holding some of them out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from course_utils.data.reading import describe_counts
from course_utils.text import clean

if TYPE_CHECKING:  # datasets takes most of a second to import, and batches do without it
    from datasets import Dataset


def label_names(dataset: Dataset) -> tuple[str, ...]:
    """The names of label 0, label 1, ..., as the data set itself gives them.

    Raises ValueError where its column "label" has no names (is no `datasets.ClassLabel`).
    """
    names = _names_if_any(dataset)
    if not names:
        raise ValueError(
            'the labels have no names; expected a column "label" of the type ClassLabel, got '
            f"{dataset.features.get('label')}. Name them: dataset.cast_column("
            '"label", datasets.ClassLabel(names=["neg", "pos"]))'
        )
    return names


def _names_if_any(dataset: Dataset) -> tuple[str, ...]:
    return tuple(getattr(dataset.features.get("label"), "names", None) or ())


def check_examples(dataset: Dataset, *, num_labels: int | None = None, name: str) -> None:
    """Raise ValueError unless no text is empty, each label lies in [0, num_labels),
    and each label occurs.

    num_labels: if None, as many as the data set names (see `label_names`), and two where it names
    none. The message counts what is wrong in `name` (say "the training data") and gives the index
    of the first.
    """
    names = _names_if_any(dataset)
    if num_labels is None:
        num_labels = len(names) or 2
    texts, labels = dataset["text"][:], dataset["label"][:]
    _refuse_empty_texts(texts, name)
    _refuse_other_labels(labels, num_labels, name)
    absent = [str(label) for label in sorted(set(range(num_labels)) - set(labels))]
    if absent:
        raise ValueError(
            f"{name}: no example has label {', '.join(absent)}; the {len(labels):,} are "
            f"{describe_counts(Counter(labels), names) or 'none'}. "
            "Was sorted data cut before it was shuffled?"
        )


def _refuse_empty_texts(texts: Sequence[str | None], name: str) -> None:
    """Texts are empty if nothing is left after cleaning: "<br />" is no text."""
    empty = [index for index, text in enumerate(texts) if text is None or not clean(text)]
    if empty:
        raise ValueError(
            f"{name}: {len(empty):,} of {len(texts):,} texts are empty, the first at index "
            f"{empty[0]}; drop these rows"
        )


def _refuse_other_labels(labels: Sequence[int | None], num_labels: int, name: str) -> None:
    outside = [
        index for index, label in enumerate(labels) if label is None or not 0 <= label < num_labels
    ]
    if outside:
        raise ValueError(
            f"{name}: {len(outside):,} of {len(labels):,} labels lie outside 0 to "
            f"{num_labels - 1}, the first at index {outside[0]} ({labels[outside[0]]}); "
            "drop or renumber these rows"
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
    wanted = _shares(Counter(labels), size, _names_if_any(dataset))

    # All rows with the same text form one group.
    groups: dict[str, list[int]] = {}
    for index, text in enumerate(dataset["text"][:]):
        groups.setdefault(text, []).append(index)

    # In an order that seed and text decide, take each group for which there is still room.
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


def _shares(counts: Counter[int], size: int, names: Sequence[str]) -> Counter[int]:
    """How many of `size` examples get each label: its share, rounded so that they sum to `size`."""
    total = sum(counts.values())
    exact = {label: size * counts[label] / max(total, 1) for label in sorted(counts)}
    shares = Counter({label: int(share) for label, share in exact.items()})
    # What rounding down has left over goes to the labels that lost most by it.
    by_remainder = sorted(exact, key=lambda label: shares[label] - exact[label])
    shares.update(by_remainder[: size - sum(shares.values())])
    if len(counts) < 2 or not all(1 <= shares[label] < counts[label] for label in counts):
        raise ValueError(
            f"cannot hold out {size:,} of {total:,} examples ({describe_counts(counts, names)}): "
            "both sides need examples of each label, and of two labels at least"
        )
    return shares
