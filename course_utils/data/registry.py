"""The registry of data sets: what each is called, where it comes from, and what it must hold.

To add a data set, add one entry to `DATASETS` here, and its card to data/README.md. A data set is
made of Parquet files, one or more for each split, with the columns `text` (string) and `label`
(int64, -1 = unlabelled) and any others; see `course_utils.data.reading.read_split`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from course_utils.data.hub import DataError, fetch_checked
from course_utils.data.reading import (
    UNLABELLED,
    check_published,
    content_hash,
    read_split,
    to_dataset_dict,
)
from course_utils.files import COURSE_ROOT

if TYPE_CHECKING:  # datasets takes most of a second to import, and batches do without it
    from datasets import DatasetDict

_Purpose = Literal["train", "validation", "test", "unsupervised", "extra"]


# --- what a declaration says ----------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """One split: what it is for and, if the data set is published, what it must hold.

    With `label_counts` and `sha256`, a split is held to them when it is read, so that scores on it
    can be compared with anyone's.
    """

    purpose: _Purpose  # "unsupervised" has no labels; "extra" is a further test
    label_counts: Mapping[int, int] = field(default_factory=dict)  # rows with each label
    sha256: str = ""  # `content_hash` of its texts and labels


@dataclass(frozen=True)
class CourseFolder:
    """A source that ships with the course: a folder with SPLIT.parquet for each split."""

    locate: Callable[[], Path]  # asked at each load


@dataclass(frozen=True)
class HubRepository:
    """A source on the Hub: a data set's repository, or a folder that holds the same files."""

    repo_id: str  # OWNER/NAME
    subfolder: str  # of the repository, with SPLIT-*.parquet for each split
    environment_variable: str  # names a folder of one's own, which is then read instead


@dataclass(frozen=True)
class DatasetSpec:
    """All that the course knows about a data set before it is read."""

    description: str  # one line
    splits: Mapping[str, Split]  # by their names, in the order in which they are shown
    label_names: tuple[str, ...]  # of label 0, label 1, ...
    source: CourseFolder | HubRepository
    advice: str  # what to do when the data cannot be had: one or two sentences

    def __post_init__(self) -> None:
        known = {UNLABELLED, *range(len(self.label_names))}
        for name, split in self.splits.items():
            if bool(split.label_counts) != bool(split.sha256) or not known >= {*split.label_counts}:
                raise ValueError(
                    f"split {name!r} needs both label_counts and sha256, or neither, and counts of "
                    f"labels among {sorted(known)}; got {dict(split.label_counts)} and "
                    f"sha256={split.sha256!r}"
                )


# --- the data sets --------------------------------------------------------------------------------

LABEL_NAMES = ("neg", "pos")  # of the reviews: of label 0 and of label 1
COURSE_FOLDER = COURSE_ROOT / "data" / "reviews"

DATASETS: Mapping[str, DatasetSpec] = {
    "course": DatasetSpec(
        description="29,280 reviews written for the course, each with its phenomenon",
        splits={
            "train": Split("train"),
            "validation": Split("validation"),
            "test": Split("test"),
            "unsupervised": Split("unsupervised"),
            "handwritten": Split("extra"),
        },
        label_names=LABEL_NAMES,
        source=CourseFolder(lambda: COURSE_FOLDER),
        advice="Fetch the course again: git clone, or git checkout data/reviews.",
    ),
    # Maas et al., "Learning Word Vectors for Sentiment Analysis", ACL 2011. The hashes are of the
    # published data.
    "imdb": DatasetSpec(
        description="the Large Movie Review Dataset: 100,000 reviews from IMDb, half labelled",
        splits={
            "train": Split(
                "train",
                {0: 12_500, 1: 12_500},
                "8b58e22d4fe6cabeba1e0bcb1daab2ded3cc127f350cd0f2984d6d033f59fdc9",
            ),
            "test": Split(
                "test",
                {0: 12_500, 1: 12_500},
                "d0dcd6733dade4ba6708fce5785a637d5899dc32b5e9a1b9c45b3438dac2f099",
            ),
            "unsupervised": Split(
                "unsupervised",
                {UNLABELLED: 50_000},
                "11826f0306a7ab8199f236bacae71740053f164074c8c1ba3e75a116c7a40933",
            ),
        },
        label_names=LABEL_NAMES,
        source=HubRepository("stanfordnlp/imdb", "plain_text", "COURSE_IMDB_DIR"),
        advice=(
            "Go online and run again, or set COURSE_IMDB_DIR to a folder that holds the official "
            "files, plain_text/train-00000-of-00001.parquet and so on for test and unsupervised."
        ),
    ),
}


# --- loading --------------------------------------------------------------------------------------


def load_reviews(name: str, *, force_download: bool = False) -> DatasetDict:
    """Load a registered data set with the source's own splits: `text`, and `label` (-1 = none).

    "course": the course's own reviews (0 = neg, 1 = pos), each with its `phenomenon` besides;
    splits train, validation, test, unsupervised and handwritten. "imdb": the official Large Movie
    Review Dataset (0 = neg, 1 = pos); splits train, test and unsupervised. IMDb is read from the
    folder that COURSE_IMDB_DIR names (laid out as on the Hub, or just the Parquet files), else from
    the Hub's `stanfordnlp/imdb`, where a copy in the cache needs no network; `force_download`
    fetches it afresh. IMDb's counts, classes and a content hash are checked. All data is held in
    memory (IMDb: 130 MB), and nothing is written but the Hub's cache.

    Raises ValueError for another name; DataError, which says what is wrong and what to do, for data
    that is missing, cut short or changed. What came from the Hub is first downloaded afresh, once.
    """
    spec = _spec_of(name)
    return to_dataset_dict(_read(name, spec, force_download), spec.label_names)


def fingerprint(name: str) -> str:
    """What identifies a data set's texts and labels: a hash of 64 hexadecimal digits.

    It is made of the published hashes, to which the data are held whenever they are read; of data
    without these, it is made of what is there now, so that a changed label changes it. Raises what
    `load_reviews` does.
    """
    spec = _spec_of(name)
    known = {split_name: split.sha256 for split_name, split in spec.splits.items()}
    if not all(known.values()):
        tables = _read(name, spec, force_download=False)
        known = {key: content_hash(table["text"], table["label"]) for key, table in tables.items()}
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def _spec_of(name: str) -> DatasetSpec:
    """The declaration of a data set; ValueError for a name that is not registered."""
    if name in DATASETS:
        return DATASETS[name]
    choices = " and ".join(f'"{known}"' for known in DATASETS)
    raise ValueError(
        f"load_reviews knows {choices}, got {name!r}. For texts of your own, build a "
        'datasets.Dataset with the columns "text" and "label", or declare them in '
        "course_utils/data/registry.py"
    )


def _read(name: str, spec: DatasetSpec, force_download: bool) -> dict[str, pa.Table]:
    """All splits from the data set's source."""
    if isinstance(spec.source, CourseFolder):
        return _read_course_folder(name, spec, spec.source)
    return _read_repository(name, spec, spec.source, force_download)


def _read_course_folder(name: str, spec: DatasetSpec, source: CourseFolder) -> dict[str, pa.Table]:
    try:
        return _read_splits(name, spec, source.locate())
    except DataError as error:
        raise DataError(f"{error} {spec.advice}") from None


def _read_repository(
    name: str, spec: DatasetSpec, source: HubRepository, force_download: bool
) -> dict[str, pa.Table]:
    """From the folder that the environment variable names, else from the Hub or its cache."""

    def read(folder: Path) -> dict[str, pa.Table]:
        subfolder = folder / source.subfolder
        return _read_splits(name, spec, subfolder if subfolder.is_dir() else folder)

    variable = source.environment_variable
    own_folder = os.environ.get(variable)
    if own_folder:
        try:
            return read(Path(own_folder).expanduser())
        except DataError as error:
            raise DataError(
                f"{variable}={own_folder}: {error} Mend that folder, or unset {variable} to "
                "download the data from the Hub."
            ) from None
    return fetch_checked(
        source.repo_id,
        read,
        files=[f"{source.subfolder}/*.parquet"],
        advice=spec.advice,
        repo_type="dataset",
        force_download=force_download,
    )


def _read_splits(name: str, spec: DatasetSpec, folder: Path) -> dict[str, pa.Table]:
    """All splits, each as published where that is known; raises DataError."""
    tables: dict[str, pa.Table] = {}
    for split_name, split in spec.splits.items():
        table = read_split(folder, split_name)
        if split.sha256:
            check_published(
                table,
                split.label_counts,
                split.sha256,
                label_names=spec.label_names,
                what=f"{name}'s {split_name} split",
            )
        tables[split_name] = table
    return tables
