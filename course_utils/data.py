"""Reviews, splits and batches. Everything here works on texts or on ids, never on a tokenizer object."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from course_utils.hub import DataError, fetch_checked
from course_utils.text import clean

if TYPE_CHECKING:  # datasets takes most of a second to import, and batches do without it
    from datasets import Dataset, DatasetDict

# --- reviews ------------------------------------------------------------------------------------------------

LABEL_NAMES = ("neg", "pos")  # of label 0 and of label 1; -1 is unlabelled
COURSE_SPLITS = ("train", "validation", "test", "unsupervised", "handwritten")
_COURSE_FOLDER = Path(__file__).resolve().parents[1] / "data" / "reviews"


@dataclass(frozen=True)
class OfficialSplit:
    """What one split of published data must be, so that scores on it can be compared with anyone's."""

    label_counts: Mapping[int, int]  # rows with each label
    sha256: str  # of all texts and labels in their order, see `content_hash`


# Maas et al., "Learning Word Vectors for Sentiment Analysis", ACL 2011; the hashes are of the published data.
IMDB_SPLITS = {
    "train": OfficialSplit({0: 12_500, 1: 12_500},
                           "8b58e22d4fe6cabeba1e0bcb1daab2ded3cc127f350cd0f2984d6d033f59fdc9"),
    "test": OfficialSplit({0: 12_500, 1: 12_500},
                          "d0dcd6733dade4ba6708fce5785a637d5899dc32b5e9a1b9c45b3438dac2f099"),
    "unsupervised": OfficialSplit({-1: 50_000},
                                  "11826f0306a7ab8199f236bacae71740053f164074c8c1ba3e75a116c7a40933"),
}
_IMDB_ADVICE = ("Go online and run again, or set COURSE_IMDB_DIR to a folder that holds the official files, "
                "plain_text/train-00000-of-00001.parquet and so on for test and unsupervised.")


def load_reviews(name: str, *, force_download: bool = False) -> DatasetDict:
    """Load "course" or "imdb" with the source's own splits: `text`, and `label` (0 = neg, 1 = pos, -1 = none).

    "course": the course's own reviews, each with its `phenomenon` besides; splits train, validation, test,
    unsupervised and handwritten. "imdb": the official Large Movie Review Dataset; splits
    train, test and unsupervised. IMDb is read from the folder that COURSE_IMDB_DIR names (laid out as on the
    Hub, or just the Parquet files), else from the Hub's `stanfordnlp/imdb`, where a copy in the cache needs
    no network; `force_download` fetches it afresh. IMDb's counts, classes and a content hash are checked.
    All data is held in memory (IMDb: 130 MB), and nothing is written but the Hub's cache.

    Raises ValueError for another name; DataError, which says what is wrong and what to do, for data that is
    missing, cut short or changed. What came from the Hub is first downloaded afresh, once.
    """
    if name == "course":
        try:
            return _to_dataset_dict({split: read_split(_COURSE_FOLDER, split) for split in COURSE_SPLITS})
        except DataError as error:
            raise DataError(f"{error} Fetch the course again: git clone, or git checkout data/reviews.") from None
    if name != "imdb":
        raise ValueError(f'load_reviews knows "course" and "imdb", got {name!r}')
    if folder := os.environ.get("COURSE_IMDB_DIR"):
        try:
            return _to_dataset_dict(_read_imdb(Path(folder).expanduser()))
        except DataError as error:
            raise DataError(f"COURSE_IMDB_DIR={folder}: {error} Mend that folder, or unset COURSE_IMDB_DIR to "
                            "download the data from the Hub.") from None
    return _to_dataset_dict(fetch_checked(
        "stanfordnlp/imdb", _read_imdb, files=["plain_text/*.parquet"], advice=_IMDB_ADVICE,
        repo_type="dataset", force_download=force_download))


def _read_imdb(folder: Path) -> dict[str, pa.Table]:
    """All splits of IMDb, each as published; raises DataError."""
    folder = folder / "plain_text" if (folder / "plain_text").is_dir() else folder
    tables = {}
    for split, official in IMDB_SPLITS.items():
        tables[split] = read_split(folder, split)
        _check_official(tables[split], official, f"IMDb's {split} split")
    return tables


def read_split(folder: Path, split: str) -> pa.Table:
    """Read `SPLIT-*.parquet` (in order) or `SPLIT.parquet`: text as string, label as int64, other columns as is.

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
                raise ValueError(f'each row must have a "{column}"; the columns are {table.column_names}')
            table = table.set_column(table.column_names.index(column), column, table[column].cast(kind))
        return table
    except FileNotFoundError:
        found = ", ".join(sorted(os.listdir(file.parent))[:8]) if file.parent.is_dir() else "no such folder"
        raise DataError(f"{file} is missing (found there: {found or 'nothing'}).") from None
    except (OSError, ValueError, MemoryError, pa.ArrowException) as error:
        raise DataError(f"{file} is cut short, damaged or unreadable: {str(error).rstrip('.')}.") from None


def _check_official(table: pa.Table, official: OfficialSplit, what: str) -> None:
    """Raise DataError unless the table is the published one, naming the plainest difference."""
    num_rows = sum(official.label_counts.values())
    if table.num_rows != num_rows:
        raise DataError(f"{what} is not whole: expected {num_rows:,} rows, found {table.num_rows:,}.")
    counts = Counter(table["label"].to_numpy().tolist())
    if counts != official.label_counts:
        raise DataError(f"{what} has the wrong classes: expected {_describe(official.label_counts)}; "
                        f"found {_describe(counts)}.")
    if (found := content_hash(table)) != official.sha256:
        raise DataError(f"{what} has the right counts, but its content is not the published one: expected "
                        f"sha256 {official.sha256[:12]}..., found {found[:12]}... .")


def content_hash(table: pa.Table) -> str:
    """sha256 of the texts' lengths, the texts (UTF-8) and the labels, however they were stored or chunked."""
    text = pa.concat_arrays([pa.array([], pa.large_string()), *table["text"].cast(pa.large_string()).chunks])
    offsets = np.frombuffer(text.buffers()[1], dtype=np.int64)[text.offset : text.offset + len(text) + 1]
    digest = hashlib.sha256(np.diff(offsets).tobytes())
    digest.update(memoryview(text.buffers()[2] or b"")[offsets[0] : offsets[-1]])
    digest.update(table["label"].to_numpy().tobytes())
    return digest.hexdigest()


def _describe(counts: Mapping[int, int]) -> str:
    names = {-1: "unlabelled", **dict(enumerate(LABEL_NAMES))}
    return ", ".join(f"{counts[label]:,} {names.get(label, f'labelled {label}')}" for label in sorted(counts))


def _to_dataset_dict(tables: Mapping[str, pa.Table]) -> DatasetDict:
    """In memory, so that a read-only cache does no harm; the same content gets the same fingerprint."""
    from datasets import ClassLabel, Dataset, DatasetDict, DatasetInfo, Features, NamedSplit, Value

    def to_dataset(split: str, table: pa.Table) -> Dataset:
        features = Features({column: Value("string") for column in table.column_names})
        features["label"] = ClassLabel(names=list(LABEL_NAMES))
        return Dataset(table.cast(features.arrow_schema), info=DatasetInfo(features=features),
                       split=NamedSplit(split), fingerprint=content_hash(table)[:16])

    return DatasetDict({split: to_dataset(split, table) for split, table in tables.items()})


def check_examples(dataset: Dataset, *, num_labels: int = 2, name: str) -> None:
    """Raise ValueError unless no text is empty, each label lies in [0, num_labels), and each label occurs.

    The message counts what is wrong in `name` (say "the training data") and gives the index of the first.
    """
    texts, labels = dataset["text"][:], dataset["label"][:]
    empty = [index for index, text in enumerate(texts) if text is None or not clean(text)]  # "<br />" is no text
    outside = [index for index, label in enumerate(labels) if label is None or not 0 <= label < num_labels]
    if empty:
        raise ValueError(f"{name}: {len(empty):,} of {len(texts):,} texts are empty, the first at index "
                         f"{empty[0]}; drop these rows")
    if outside:
        raise ValueError(f"{name}: {len(outside):,} of {len(labels):,} labels lie outside 0 to {num_labels - 1}, "
                         f"the first at index {outside[0]} ({labels[outside[0]]}); drop or renumber these rows")
    if absent := sorted(set(range(num_labels)) - set(labels)):
        raise ValueError(f"{name}: no example has label {', '.join(map(str, absent))}; the {len(labels):,} are "
                         f"{_describe(Counter(labels)) or 'none'}. Was sorted data cut before it was shuffled?")


def hold_out(dataset: Dataset, size: int, *, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Split into (train, validation), `size` examples in validation, both in the dataset's own order.

    Each label keeps its share. Repeats of a text stay on one side, so that nothing held out was trained on.
    The choice depends on the seed and the texts alone: it is the same everywhere, in whatever order they come.
    Raises ValueError unless both sides get examples of all labels, of which there must be two at least, and
    where repeats leave no choice of exactly `size`.
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
        raise ValueError(f"cannot hold out {size:,} of {len(labels):,} examples with repeats of a text on one "
                         f"side and the labels' shares kept; {len(held):,} would do")
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
        raise ValueError(f"cannot hold out {size:,} of {total:,} examples ({_describe(counts)}): both sides need "
                         "examples of each label, and of two labels at least")
    return shares


# --- batches -----------------------------------------------------------------------------------------------------

Features = Mapping[str, object]  # one example: "input_ids", maybe "token_type_ids", and "labels"


def truncate_ids(input_ids: Sequence[int], max_length: int, *, tail_share: float = 0.0) -> list[int]:
    """Cut `[CLS] ... [SEP]` to `max_length` ids: the beginning, and `tail_share` of the room for the end.

    A review often keeps its verdict for the last line, so head and tail together say more than the head alone
    (Sun et al., 2019, "How to fine-tune BERT for text classification?", section 5.3.1).
    Raises ValueError unless max_length >= 3 and tail_share lies in [0, 1].
    """
    if max_length < 3:
        raise ValueError(f"max_length must be at least 3 ([CLS], one token, [SEP]), got {max_length}")
    if not 0 <= tail_share <= 1:
        raise ValueError(f"tail_share must lie in [0, 1], got {tail_share}")
    if len(input_ids) <= max_length:
        return list(input_ids)
    room = max_length - 2
    num_tail = round(room * tail_share)
    body = input_ids[1:-1]
    return [input_ids[0], *body[: room - num_tail], *body[len(body) - num_tail :], input_ids[-1]]


def cut_text(text: str, spans: Sequence[tuple[int, int]], max_length: int, *, tail_share: float = 0.0) -> str:
    """What is left of a text when its ids are cut by `truncate_ids`: so that another model can be given the same.

    spans: where each of the text's tokens came from, (start, end), as a tokenizer's `offsets` says; without the two
    special tokens, for which `max_length` leaves room. Raises ValueError where `truncate_ids` does.
    """
    numbers = truncate_ids(range(-1, len(spans) + 1), max_length, tail_share=tail_share)[1:-1]
    if len(numbers) == len(spans):
        return text
    num_head = next((place for place, number in enumerate(numbers) if place != number), len(numbers))
    head = text[: spans[num_head - 1][1]] if num_head else ""
    tail = text[spans[numbers[num_head]][0] :] if num_head < len(numbers) else ""
    return f"{head} {tail}".strip()


def collate(features: Sequence[Features], *, pad_token_id: int = 0, multiple_of: int = 16,
            limit: int = sys.maxsize) -> dict[str, torch.Tensor]:
    """Pad examples to the longest of them, rounded up to a multiple (few shapes keep the memory small) within `limit`.

    Returns int64 tensors `input_ids` and `attention_mask` (1 = real) of shape [batch_size, seq_length], and
    `token_type_ids` and `labels` where the examples have them: labels [batch_size] if each is one number,
    else [batch_size, seq_length], padded with -100 (= ignored).
    """
    longest = max(len(feature["input_ids"]) for feature in features)
    seq_length = max(longest, min(limit, -(-longest // multiple_of) * multiple_of))

    def pad(rows: list[Sequence[int]], value: int) -> torch.Tensor:
        return torch.tensor([[*row, *[value] * (seq_length - len(row))] for row in rows])  # [batch, seq]

    rows = [feature["input_ids"] for feature in features]
    batch = {"input_ids": pad(rows, pad_token_id), "attention_mask": pad([[1] * len(row) for row in rows], 0)}
    if "token_type_ids" in features[0]:
        batch["token_type_ids"] = pad([feature["token_type_ids"] for feature in features], 0)
    if "labels" in features[0]:
        labels = [feature["labels"] for feature in features]
        batch["labels"] = torch.tensor(labels) if isinstance(labels[0], int) else pad(labels, -100)
    return batch


def make_batches(lengths: Sequence[int], batch_size: int, *, generator: torch.Generator,
                 group_by_length: bool = True) -> list[list[int]]:
    """Shuffle the indices of one epoch into batches; with `group_by_length`, of similar length.

    Grouping sorts within stretches of 50 batches of the shuffled order, so that a batch pads little and the order
    of batches stays random. Every index comes exactly once; only the last batch of the order may be smaller.
    """
    order = torch.randperm(len(lengths), generator=generator).tolist()
    if group_by_length:
        stretch = 50 * batch_size
        order = [index for start in range(0, len(order), stretch)
                 for index in sorted(order[start : start + stretch], key=lambda i: -lengths[i])]
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if group_by_length:
        batches = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
    return batches


# --- pre-training ------------------------------------------------------------------------------------------------


def mask_tokens(input_ids: torch.Tensor, *, mask_token_id: int, special_ids: Sequence[int], vocab_size: int,
                generator: torch.Generator, probability: float = 0.15) -> tuple[torch.Tensor, torch.Tensor]:
    """Corrupt ids for masked language modelling: (corrupted ids, labels), both int64 of the shape of `input_ids`.

    Each token but those in `special_ids` (padding among them) is chosen with `probability`. Of the chosen, 80 % become
    [MASK], 10 % a random token of the vocabulary, 10 % stay. labels: the true id where chosen, else -100 (= ignored).
    `input_ids` stays as it is, so that each epoch can choose anew (Devlin et al., 2019, section 3.1, appendix A.1;
    anew each time: Liu et al., 2019, "RoBERTa", section 4.1). Raises ValueError for a probability outside (0, 1).
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability must lie strictly between 0 and 1, got {probability}")
    special = torch.isin(input_ids, torch.tensor(list(special_ids)))
    chosen = (torch.rand(input_ids.shape, generator=generator) < probability) & ~special
    fate = torch.rand(input_ids.shape, generator=generator)
    random_ids = torch.randint(vocab_size, input_ids.shape, generator=generator)
    corrupted = torch.where(chosen & (fate < 0.8), mask_token_id, input_ids)
    corrupted = torch.where(chosen & (fate >= 0.9), random_ids, corrupted)
    return corrupted, torch.where(chosen, input_ids, -100)


def sentence_pairs(documents: Sequence[Sequence[Sequence[int]]], *,
                   generator: torch.Generator) -> list[tuple[list[int], list[int], int]]:
    """Pairs (A, B, label) for next sentence prediction, one for each document of two sentences or more.

    documents: each a list of sentences, each a list of ids without special tokens. A document is cut at a random
    sentence into A and the rest. With label 0 (for half of them, on average) B is that rest: B follows A. With label 1
    it is the end of another document, also cut at random (Devlin et al., 2019, section 3.1 and appendix A.2).
    Raises ValueError unless two documents have two sentences or more.
    """
    usable = [document for document in documents if len(document) >= 2]
    if len(usable) < 2:
        raise ValueError(f"expected at least two documents of two sentences or more, got {len(usable)} "
                         f"of {len(documents)}")

    def draw(end: int) -> int:
        return int(torch.randint(end, (), generator=generator))

    def cut(document: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
        place = 1 + draw(len(document) - 1)
        first, second = ([token for sentence in part for token in sentence]
                         for part in (document[:place], document[place:]))
        return first, second

    pairs = []
    for number, document in enumerate(usable):
        first, second = cut(document)
        label = draw(2)
        if label:
            other = (number + 1 + draw(len(usable) - 1)) % len(usable)  # any document but this one
            second = cut(usable[other])[1]
        pairs.append((first, second, label))
    return pairs
