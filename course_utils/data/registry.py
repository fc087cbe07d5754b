"""The registry of data sets: what each is called, where it comes from, and how it is checked."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from course_utils.data.hub import DataError, fetch_checked
from course_utils.files import COURSE_ROOT

if TYPE_CHECKING:  # datasets takes most of a second to import, and batches do without it
    from datasets import Dataset, DatasetDict


# --- reviews --------------------------------------------------------------------------------------

LABEL_NAMES = ("neg", "pos")  # of label 0 and of label 1; -1 is unlabelled
COURSE_SPLITS = ("train", "validation", "test", "unsupervised", "handwritten")
COURSE_FOLDER = COURSE_ROOT / "data" / "reviews"


@dataclass(frozen=True)
class OfficialSplit:
    """What one split of published data must be,
    so that scores on it can be compared with anyone's.
    """

    label_counts: Mapping[int, int]  # rows with each label
    sha256: str  # of all texts and labels in their order, see `content_hash`


# Maas et al., "Learning Word Vectors for Sentiment Analysis", ACL 2011; the hashes are of the
# published data.
IMDB_SPLITS = {
    "train": OfficialSplit(
        {0: 12_500, 1: 12_500}, "8b58e22d4fe6cabeba1e0bcb1daab2ded3cc127f350cd0f2984d6d033f59fdc9"
    ),
    "test": OfficialSplit(
        {0: 12_500, 1: 12_500}, "d0dcd6733dade4ba6708fce5785a637d5899dc32b5e9a1b9c45b3438dac2f099"
    ),
    "unsupervised": OfficialSplit(
        {-1: 50_000}, "11826f0306a7ab8199f236bacae71740053f164074c8c1ba3e75a116c7a40933"
    ),
}
_IMDB_ADVICE = (
    "Go online and run again, or set COURSE_IMDB_DIR to a folder that holds the official files, "
    "plain_text/train-00000-of-00001.parquet and so on for test and unsupervised."
)


def load_reviews(name: str, *, force_download: bool = False) -> DatasetDict:
    """Load "course" or "imdb" with the source's own splits: `text`,
    and `label` (0 = neg, 1 = pos, -1 = none).

    "course": the course's own reviews, each with its `phenomenon` besides; splits train,
    validation, test, unsupervised and handwritten. "imdb": the official Large Movie Review Dataset;
    splits train, test and unsupervised. IMDb is read from the folder that COURSE_IMDB_DIR names
    (laid out as on the Hub, or just the Parquet files), else from the Hub's `stanfordnlp/imdb`,
    where a copy in the cache needs no network; `force_download` fetches it afresh. IMDb's counts,
    classes and a content hash are checked. All data is held in memory (IMDb: 130 MB), and nothing
    is written but the Hub's cache.

    Raises ValueError for another name; DataError, which says what is wrong and what to do, for data
    that is missing, cut short or changed. What came from the Hub is first downloaded afresh, once.
    """
    if name == "course":
        try:
            return _to_dataset_dict(
                {split: read_split(COURSE_FOLDER, split) for split in COURSE_SPLITS}
            )
        except DataError as error:
            raise DataError(
                f"{error} Fetch the course again: git clone, or git checkout data/reviews."
            ) from None
    if name != "imdb":
        raise ValueError(f'load_reviews knows "course" and "imdb", got {name!r}')
    if folder := os.environ.get("COURSE_IMDB_DIR"):
        try:
            return _to_dataset_dict(_read_imdb(Path(folder).expanduser()))
        except DataError as error:
            raise DataError(
                f"COURSE_IMDB_DIR={folder}: {error} Mend that folder, or unset COURSE_IMDB_DIR to "
                "download the data from the Hub."
            ) from None
    return _to_dataset_dict(
        fetch_checked(
            "stanfordnlp/imdb",
            _read_imdb,
            files=["plain_text/*.parquet"],
            advice=_IMDB_ADVICE,
            repo_type="dataset",
            force_download=force_download,
        )
    )


def _read_imdb(folder: Path) -> dict[str, pa.Table]:
    """All splits of IMDb, each as published; raises DataError."""
    folder = folder / "plain_text" if (folder / "plain_text").is_dir() else folder
    tables = {}
    for split, official in IMDB_SPLITS.items():
        tables[split] = read_split(folder, split)
        _check_official(tables[split], official, f"IMDb's {split} split")
    return tables


def read_split(folder: Path, split: str) -> pa.Table:
    """Read `SPLIT-*.parquet` (in order) or `SPLIT.parquet`: text as string, label as int64,
    other columns as is.

    Page checksums are verified where the file has them. Raises DataError that names the file.
    """
    files = sorted(folder.glob(f"{split}-*.parquet")) or [folder / f"{split}.parquet"]
    return pa.concat_tables([_read_parquet(file) for file in files])


def _read_parquet(file: Path) -> pa.Table:
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            table = parquet.read().replace_schema_metadata()
        table.validate(full=True)  # a flipped bit may still decode, into text that is not UTF-8
        for column, kind in (("text", pa.string()), ("label", pa.int64())):
            if column not in table.column_names or table[column].null_count:
                raise ValueError(
                    f'each row must have a "{column}"; the columns are {table.column_names}'
                )
            table = table.set_column(
                table.column_names.index(column), column, table[column].cast(kind)
            )
        return table
    except FileNotFoundError:
        found = (
            ", ".join(sorted(os.listdir(file.parent))[:8])
            if file.parent.is_dir()
            else "no such folder"
        )
        raise DataError(f"{file} is missing (found there: {found or 'nothing'}).") from None
    except (OSError, ValueError, MemoryError, pa.ArrowException) as error:
        raise DataError(
            f"{file} is cut short, damaged or unreadable: {str(error).rstrip('.')}."
        ) from None


def _check_official(table: pa.Table, official: OfficialSplit, what: str) -> None:
    """Raise DataError unless the table is the published one, naming the plainest difference."""
    num_rows = sum(official.label_counts.values())
    if table.num_rows != num_rows:
        raise DataError(
            f"{what} is not whole: expected {num_rows:,} rows, found {table.num_rows:,}."
        )
    counts = Counter(table["label"].to_numpy().tolist())
    if counts != official.label_counts:
        raise DataError(
            f"{what} has the wrong classes: expected {describe_counts(official.label_counts)}; "
            f"found {describe_counts(counts)}."
        )
    if (found := content_hash(table)) != official.sha256:
        raise DataError(
            f"{what} has the right counts, but its content is not the published one: expected "
            f"sha256 {official.sha256[:12]}..., found {found[:12]}... ."
        )


def content_hash(table: pa.Table) -> str:
    """sha256 of the texts' lengths, the texts (UTF-8) and the labels,
    however they were stored or chunked.
    """
    text = pa.concat_arrays(
        [pa.array([], pa.large_string()), *table["text"].cast(pa.large_string()).chunks]
    )
    offsets = np.frombuffer(text.buffers()[1], dtype=np.int64)[
        text.offset : text.offset + len(text) + 1
    ]
    digest = hashlib.sha256(np.diff(offsets).tobytes())
    digest.update(memoryview(text.buffers()[2] or b"")[offsets[0] : offsets[-1]])
    digest.update(table["label"].to_numpy().tobytes())
    return digest.hexdigest()


def describe_counts(counts: Mapping[int, int]) -> str:
    names = {-1: "unlabelled", **dict(enumerate(LABEL_NAMES))}
    return ", ".join(
        f"{counts[label]:,} {names.get(label, f'labelled {label}')}" for label in sorted(counts)
    )


def _to_dataset_dict(tables: Mapping[str, pa.Table]) -> DatasetDict:
    """In memory, so that a read-only cache does no harm;
    the same content gets the same fingerprint.
    """
    from datasets import ClassLabel, Dataset, DatasetDict, DatasetInfo, Features, NamedSplit, Value

    def to_dataset(split: str, table: pa.Table) -> Dataset:
        features = Features({column: Value("string") for column in table.column_names})
        features["label"] = ClassLabel(names=list(LABEL_NAMES))
        return Dataset(
            table.cast(features.arrow_schema),
            info=DatasetInfo(features=features),
            split=NamedSplit(split),
            fingerprint=content_hash(table)[:16],
        )

    return DatasetDict({split: to_dataset(split, table) for split, table in tables.items()})
