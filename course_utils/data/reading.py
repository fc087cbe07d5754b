"""From Parquet files to a DatasetDict: read, held to what was published, with named labels."""

from __future__ import annotations

import hashlib
import operator
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from course_utils.data.hub import DataError

if TYPE_CHECKING:  # datasets takes most of a second to import, and batches do without it
    from datasets import Dataset, DatasetDict

UNLABELLED = -1  # the label of a text that has none, as in IMDb


def read_split(folder: Path, split: str) -> pa.Table:
    """Read `SPLIT-*.parquet` (in order) or `SPLIT.parquet`: text as string, label as int64,
    other columns as is.

    Page checksums are verified where the file has them. Raises DataError that names the file.
    """
    files = sorted(folder.glob(f"{split}-*.parquet")) or [folder / f"{split}.parquet"]
    return pa.concat_tables([_read_parquet(file) for file in files])


def _read_parquet(file: Path) -> pa.Table:
    """The table of one file; DataError for whatever is wrong with it."""
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            table = parquet.read().replace_schema_metadata()
        table.validate(full=True)  # a flipped bit may still decode, into text that is not UTF-8
        table = _with_type(table, "text", pa.string())
        return _with_type(table, "label", pa.int64())
    except FileNotFoundError:
        raise DataError(f"{file} is missing (found there: {_contents(file.parent)}).") from None
    except (OSError, ValueError, MemoryError, pa.ArrowException) as error:
        reason = str(error).rstrip(".")
        raise DataError(f"{file} is cut short, damaged or unreadable: {reason}.") from None


def _with_type(table: pa.Table, column: str, kind: pa.DataType) -> pa.Table:
    """The table with one column cast; ValueError unless each row has a value in it."""
    if column not in table.column_names or table[column].null_count:
        raise ValueError(f'each row must have a "{column}"; the columns are {table.column_names}')
    place = table.column_names.index(column)
    return table.set_column(place, column, table[column].cast(kind))


def _contents(folder: Path) -> str:
    """Names of the first files in a folder, for a message."""
    if not folder.is_dir():
        return "no such folder"
    return ", ".join(sorted(os.listdir(folder))[:8]) or "nothing"


def check_published(
    table: pa.Table,
    label_counts: Mapping[int, int],
    sha256: str,
    *,
    label_names: Sequence[str],
    what: str,
) -> None:
    """Raise DataError unless the table is the published one, naming the plainest difference.

    label_counts: rows with each label; sha256: the published `content_hash`; what: the split's
    name in the message, such as "IMDb's test split".
    """
    num_rows = sum(label_counts.values())
    if table.num_rows != num_rows:
        raise DataError(
            f"{what} is not whole: expected {num_rows:,} rows, found {table.num_rows:,}."
        )
    counts = Counter(table["label"].to_numpy().tolist())
    if counts != label_counts:
        raise DataError(
            f"{what} has the wrong classes: expected {describe_counts(label_counts, label_names)}; "
            f"found {describe_counts(counts, label_names)}."
        )
    found = content_hash(table["text"], table["label"])
    if found != sha256:
        raise DataError(
            f"{what} has the right counts, but its content is not the published one: expected "
            f"sha256 {sha256[:12]}..., found {found[:12]}... ."
        )


def describe_counts(counts: Mapping[int, int], label_names: Sequence[str] = ()) -> str:
    """Say "3 neg, 5 pos"; a label without a name is "labelled 2", and -1 is "unlabelled"."""
    names = dict(enumerate(label_names))
    names[UNLABELLED] = "unlabelled"
    parts = [
        f"{counts[label]:,} {names.get(label, f'labelled {label}')}" for label in sorted(counts)
    ]
    return ", ".join(parts)


def content_hash(
    texts: Sequence[str] | pa.ChunkedArray, labels: Sequence[int] | pa.ChunkedArray | None = None
) -> str:
    """A fingerprint of texts and their labels, in their order: sha256 as 64 hexadecimal digits.

    Hashed are the lengths of the texts in bytes, the texts (UTF-8), and the labels, however they
    are stored; so lists, columns of a `datasets.Dataset` and columns of a table give the same.
    100,000 reviews take about a second. Raises TypeError for one str in the place of several;
    ValueError for a text or label that is missing or of another kind, and for another number of
    labels than of texts.
    """
    if isinstance(texts, str):
        raise TypeError(f"expected several texts, got one str: {texts!r:.50}; put it into a list")
    text_array = _text_array(texts)
    offsets, content = _text_buffers(text_array)
    digest = hashlib.sha256(np.diff(offsets).tobytes())
    digest.update(content)
    if labels is not None:
        numbers = _whole_numbers(labels)
        if len(numbers) != len(text_array):
            raise ValueError(
                f"expected one label for each of {len(text_array):,} texts, got {len(numbers):,}"
            )
        digest.update(np.array(numbers, dtype=np.int64).tobytes())
    return digest.hexdigest()


def _text_array(texts: Sequence[str] | pa.ChunkedArray) -> pa.LargeStringArray:
    """All texts in one Arrow array; ValueError where one is missing or no text."""
    if isinstance(texts, pa.ChunkedArray):
        chunks = texts.cast(pa.large_string()).chunks
        array = pa.concat_arrays([pa.array([], pa.large_string()), *chunks])
    else:
        try:
            # [:] reads a whole column of a Dataset at once.
            array = pa.array(texts[:], pa.large_string())
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ValueError(f"each text must be a str: {error}") from None
    if array.null_count:
        raise ValueError(f"{array.null_count:,} of {len(array):,} texts are missing")
    return array


def _whole_numbers(labels: Sequence[int] | pa.ChunkedArray) -> list[int]:
    """The labels as ints; ValueError for one that is none, as int() would make 0 of 0.7."""
    values = labels.to_pylist() if isinstance(labels, pa.ChunkedArray) else labels[:]
    numbers = []
    for index, value in enumerate(values):
        try:
            numbers.append(operator.index(value))
        except TypeError:
            raise ValueError(
                f"each label must be a whole number, got {value!r} at index {index}"
            ) from None
    return numbers


def _text_buffers(array: pa.LargeStringArray) -> tuple[np.ndarray, memoryview]:
    """Where each text begins and ends, int64 [num_texts + 1], and the bytes of all texts."""
    _, offset_buffer, byte_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)
    offsets = offsets[array.offset : array.offset + len(array) + 1]
    return offsets, memoryview(byte_buffer or b"")[offsets[0] : offsets[-1]]


def to_dataset_dict(tables: Mapping[str, pa.Table], label_names: Sequence[str]) -> DatasetDict:
    """The tables as splits, with named labels.

    All is held in memory, so that a read-only cache does no harm. The same content gets the same
    fingerprint.
    """
    from datasets import DatasetDict

    splits = {split: _to_dataset(split, table, label_names) for split, table in tables.items()}
    return DatasetDict(splits)


def _to_dataset(split: str, table: pa.Table, label_names: Sequence[str]) -> Dataset:
    from datasets import ClassLabel, Dataset, DatasetInfo, Features, NamedSplit, Value

    features = Features({column: Value("string") for column in table.column_names})
    features["label"] = ClassLabel(names=list(label_names))
    return Dataset(
        table.cast(features.arrow_schema),
        info=DatasetInfo(features=features),
        split=NamedSplit(split),
        fingerprint=content_hash(table["text"], table["label"])[:16],
    )
