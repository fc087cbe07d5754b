"""What is loaded is whole, or the error says what is wrong; and the registry declares all of it."""

import contextlib
import functools
import hashlib
import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict
from huggingface_hub import constants
from loopback_hub import connect, serve

from course_utils import data
from course_utils.data import (
    DATASETS,
    DataError,
    check_examples,
    content_hash,
    hold_out,
    hub,
    label_names,
    load_reviews,
    reading,
    registry,
)

ROOT = Path(__file__).resolve().parents[2]
REAL_IMDB = Path(os.environ.get("COURSE_IMDB_DIR") or ROOT.parent / "shared" / "imdb")
needs_imdb = pytest.mark.skipif(
    not (REAL_IMDB / "plain_text").is_dir(),
    reason="needs the real IMDb data: set COURSE_IMDB_DIR to its folder",
)
needs_reviews = pytest.mark.skipif(
    not (ROOT / "data" / "reviews").is_dir(), reason="needs data/reviews"
)
FILE = "{}-00000-of-00001.parquet"


def sha256_of_rows(rows):
    """The content hash, written out without Arrow."""
    texts = [text.encode() for text, _ in rows]
    numbers = [len(text) for text in texts]
    labels = [label for _, label in rows]
    as_bytes = [number.to_bytes(8, "little", signed=True) for number in numbers] + texts
    as_bytes += [label.to_bytes(8, "little", signed=True) for label in labels]
    return hashlib.sha256(b"".join(as_bytes)).hexdigest()


def rows_of(split, labels, count):
    rng = random.Random(split)
    words = [f"word{number}" for number in range(200)] + ["naïve", "电影", "😀", "<br />"]
    return [
        (f"{split} {index} " + " ".join(rng.choices(words, k=30)), label)
        for label in labels
        for index in range(count)
    ]


ROWS = {
    "train": rows_of("train", [0, 1], 400),
    "test": rows_of("test", [0, 1], 300),
    "unsupervised": rows_of("unsupervised", [-1], 500),
}


def published(split, rows):
    counts = Counter(label for _, label in rows)
    purpose = DATASETS["imdb"].splits[split].purpose
    return registry.Split(purpose, dict(counts), sha256_of_rows(rows))


PUBLISHED = {split: published(split, rows) for split, rows in ROWS.items()}


def to_table(rows):
    return pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]})


def write_imdb(folder, rows=ROWS, **options):
    folder.mkdir(parents=True)
    for split in rows:
        pq.write_table(to_table(rows[split]), folder / FILE.format(split), **options)
    return folder


@pytest.fixture
def tiny(monkeypatch):
    """Let the official IMDb be a tiny one, so that the mechanics are tested in milliseconds."""
    small = replace(DATASETS["imdb"], splits=PUBLISHED)
    monkeypatch.setattr(registry, "DATASETS", {**DATASETS, "imdb": small})


@pytest.fixture
def folder(tiny, tmp_path, monkeypatch):
    """A folder on disk, laid out as on the Hub, that COURSE_IMDB_DIR names."""
    monkeypatch.setenv("COURSE_IMDB_DIR", str(tmp_path / "imdb"))
    return write_imdb(tmp_path / "imdb" / "plain_text")


@pytest.fixture
def start(tiny, tmp_path, monkeypatch):
    """Start a Hub that serves the tiny IMDb with the given faults; COURSE_IMDB_DIR is unset."""
    monkeypatch.delenv("COURSE_IMDB_DIR", raising=False)
    monkeypatch.setattr(
        hub, "_with_retries", functools.partial(hub._with_retries, sleep=lambda _: None)
    )
    with contextlib.ExitStack() as stack:

        def start(*faults, rows=ROWS):
            repository = tmp_path / "hub" / "datasets" / "stanfordnlp" / "imdb"
            write_imdb(repository / "plain_text", rows)
            (repository / "README.md").write_text("# Large Movie Review Dataset")
            server = stack.enter_context(serve(tmp_path / "hub", faults, log_file=None))
            connect(monkeypatch, server, tmp_path / "cache")
            return server

        yield start


def assert_tiny(reviews):
    assert isinstance(reviews, DatasetDict)
    assert list(reviews) == ["train", "test", "unsupervised"]
    for split, rows in ROWS.items():
        assert reviews[split]["text"][:] == [text for text, _ in rows]
        assert reviews[split]["label"][:] == [label for _, label in rows]
        assert reviews[split].features["label"].names == ["neg", "pos"]


# --- the declarations -----------------------------------------------------------------------------


def test_every_data_set_is_declared_in_full():
    for name, spec in DATASETS.items():
        assert spec.description and "\n" not in spec.description, name
        assert spec.advice.endswith("."), name
        assert len(spec.label_names) >= 2 and len(set(spec.label_names)) == len(spec.label_names)
        purposes = Counter(split.purpose for split in spec.splits.values())
        assert purposes["train"] == 1 and purposes["test"] == 1, name


def test_every_data_set_has_its_place_in_the_data_card():
    card = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for name, spec in DATASETS.items():
        assert f'load_reviews("{name}")' in card, f"{name} is missing from data/README.md"
        if isinstance(spec.source, registry.CourseFolder):
            for split in spec.splits:
                assert f"| {split} |" in card, f"the split {split} of {name} is not in the table"


@pytest.mark.parametrize(
    ("counts", "sha256"), [({0: 3}, ""), ({}, "0" * 64), ({0: 3, 2: 3}, "0" * 64)]
)
def test_a_declaration_that_contradicts_itself_is_refused(counts, sha256):
    wrong = {"train": registry.Split("train", counts, sha256)}
    with pytest.raises(ValueError, match=r"split 'train' needs both .* among \[-1, 0, 1\]; got"):
        replace(DATASETS["course"], splits=wrong)


def test_one_entry_is_enough_for_a_new_data_set(tmp_path, monkeypatch):
    """Three classes, a column of its own, files in a folder of its own."""
    rows = {
        "text": ["good", "bad", "so so"],
        "label": [2, 0, 1],
        "domain": ["a", "b", "c"],
    }
    for split in ("train", "test"):
        pq.write_table(pa.table(rows), tmp_path / f"{split}.parquet")
    spec = registry.DatasetSpec(
        description="opinions",
        splits={"train": registry.Split("train"), "test": registry.Split("test")},
        label_names=("negative", "neutral", "positive"),
        source=registry.CourseFolder(lambda: tmp_path),
        advice="Write them again.",
    )
    monkeypatch.setattr(registry, "DATASETS", {**DATASETS, "opinions": spec})
    opinions = load_reviews("opinions")
    assert list(opinions) == ["train", "test"]
    assert opinions["train"].to_dict() == rows
    assert label_names(opinions["test"]) == ("negative", "neutral", "positive")
    check_examples(opinions["train"], name="train")
    (tmp_path / "test.parquet").unlink()
    with pytest.raises(DataError, match=r"test\.parquet is missing .* Write them again\."):
        load_reviews("opinions")


# --- the content hash -----------------------------------------------------------------------------


def test_the_content_hash_is_that_of_the_rows():
    for rows in (*ROWS.values(), [("", 0), ("é", 1)], []):
        texts, labels = [text for text, _ in rows], [label for _, label in rows]
        columns = pa.array(texts, pa.string()), pa.array(labels, pa.int64())
        table = pa.table(dict(zip(("text", "label"), columns, strict=True)))
        assert content_hash(table["text"], table["label"]) == sha256_of_rows(rows)
        assert content_hash(texts, labels) == sha256_of_rows(rows)
        assert content_hash(tuple(texts), np.array(labels, dtype=int)) == sha256_of_rows(rows)
    table = to_table(ROWS["train"])
    table = pa.concat_tables([table.slice(3, 4), table.slice(7, 9)])
    assert content_hash(table["text"], table["label"]) == sha256_of_rows(ROWS["train"][3:16])


def test_the_content_hash_of_columns_of_a_dataset():
    rows = Dataset.from_dict(to_table(ROWS["train"]).to_pydict())
    assert content_hash(rows["text"], rows["label"]) == sha256_of_rows(ROWS["train"])
    chosen = rows.select([5, 3, 4])
    expected = [ROWS["train"][index] for index in (5, 3, 4)]
    assert content_hash(chosen["text"], chosen["label"]) == sha256_of_rows(expected)


def test_the_content_hash_sees_texts_labels_order_and_borders():
    variants = [
        (["ab", "c"], [0, 1]),
        (["ab", "c"], [1, 0]),
        (["c", "ab"], [0, 1]),
        (["a", "bc"], [0, 1]),
        (["ab", "C"], [0, 1]),
        (["ab", "c", ""], [0, 1, 0]),
        (["ab"], [0]),
    ]
    hashes = {content_hash(texts, labels) for texts, labels in variants}
    hashes |= {content_hash(texts) for texts in (["ab", "c"], ["a", "bc"], [])}
    assert len(hashes) == len(variants) + 3


def test_the_content_hash_of_100_000_reviews_takes_under_two_seconds():
    texts = [
        f"{number} " + "a review of some length, as they are on IMDb " * 28 for number in range(100)
    ]
    texts, labels = texts * 1000, [0, 1] * 50_000
    start = time.process_time()
    content_hash(texts, labels)
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("texts", "labels", "error", "message"),
    [
        ("a review", [0], TypeError, "expected several texts, got one str: 'a review'"),
        (["a", None], [0, 1], ValueError, "1 of 2 texts are missing"),
        (["a", 3], [0, 1], ValueError, "each text must be a str"),
        (["a", "b"], [0, None], ValueError, "must be a whole number, got None at index 1"),
        (["a", "b"], [0, 0.5], ValueError, "must be a whole number, got 0.5 at index 1"),
        (["a", "b"], ["1", "0"], ValueError, "must be a whole number, got '1' at index 0"),
        (["a", "b"], [0], ValueError, "expected one label for each of 2 texts, got 1"),
        (["a\ud83d"], None, ValueError, "surrogates not allowed"),
    ],
)
def test_the_content_hash_refuses_what_it_cannot_tell_apart(texts, labels, error, message):
    with pytest.raises(error, match=message):
        content_hash(texts, labels)


# --- IMDb from a folder ---------------------------------------------------------------------------


def test_a_folder_in_the_layout_of_the_hub(folder):
    assert_tiny(load_reviews("imdb"))


def test_a_folder_with_the_files_alone(folder, monkeypatch):
    monkeypatch.setenv("COURSE_IMDB_DIR", str(folder))
    assert_tiny(load_reviews("imdb"))


def test_the_encoding_of_the_files_does_not_matter(tiny, tmp_path, monkeypatch):
    folder = write_imdb(
        tmp_path / "other", compression="zstd", row_group_size=37, use_dictionary=False
    )
    train = to_table(ROWS["train"])
    (folder / FILE.format("train")).unlink()
    for part, (start, stop) in enumerate([(0, 500), (500, 800)]):
        shard = train.slice(start, stop - start)
        shard = shard.cast(pa.schema([("text", pa.large_string()), ("label", pa.int8())]))
        pq.write_table(shard, folder / f"train-0000{part}-of-00002.parquet")
    monkeypatch.setenv("COURSE_IMDB_DIR", str(folder))
    assert_tiny(load_reviews("imdb"))


def test_unknown_names_list_the_choices():
    with pytest.raises(ValueError, match='"course" and "imdb", got \'yelp\'') as caught:
        load_reviews("yelp")
    assert 'a datasets.Dataset with the columns "text" and "label"' in str(caught.value)


def test_a_folder_that_does_not_exist(folder, monkeypatch):
    monkeypatch.setenv("COURSE_IMDB_DIR", str(folder / "nowhere"))
    with pytest.raises(
        DataError, match=r"COURSE_IMDB_DIR=.*nowhere: .*no such folder.*unset COURSE_IMDB_DIR"
    ):
        load_reviews("imdb")


def test_a_missing_file_is_named(folder):
    (folder / FILE.format("test")).unlink()
    with pytest.raises(DataError, match=r"test\.parquet is missing \(found there: train-00000"):
        load_reviews("imdb")


def test_a_folder_in_the_place_of_a_file_is_named(folder):
    (folder / FILE.format("test")).unlink()
    (folder / FILE.format("test")).mkdir()
    with pytest.raises(
        DataError, match=r"test-00000-of-00001\.parquet is cut short, damaged or unreadable"
    ):
        load_reviews("imdb")


@pytest.mark.parametrize("share", [0, 0.3, 0.999])
def test_a_truncated_file_is_named(folder, share):
    file = folder / FILE.format("train")
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        DataError, match=r"train-00000-of-00001\.parquet is cut short, damaged"
    ) as caught:
        load_reviews("imdb")
    assert caught.value.__suppress_context__


def test_no_flipped_byte_gets_through(folder):
    file, rng = folder / FILE.format("test"), random.Random(0)
    content, before = file.read_bytes(), data.read_split(folder, "test")
    outcomes = Counter()
    for _ in range(100):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= rng.randrange(1, 256)
        file.write_bytes(damaged)
        try:
            table = data.read_split(folder, "test")
            reading.check_published(
                table,
                PUBLISHED["test"].label_counts,
                PUBLISHED["test"].sha256,
                label_names=data.LABEL_NAMES,
                what="imdb's test split",
            )
            assert table.equals(before), "a flipped byte was accepted"
            outcomes["harmless"] += 1  # it struck the statistics, which nobody reads
        except DataError as error:
            outcomes["read" if "damaged" in str(error) else "changed content"] += 1
    assert outcomes["read"] > 5
    assert outcomes["changed content"] > 5, (
        "the hash, and not only the reader, must be what notices"
    )


def test_half_the_rows_are_not_enough(folder):
    pq.write_table(to_table(ROWS["train"][::2]), folder / FILE.format("train"))
    with pytest.raises(DataError, match="train split is not whole: expected 800 rows, found 400"):
        load_reviews("imdb")


def test_one_class_only_is_named(folder):
    pq.write_table(
        to_table([(text, 0) for text, _ in ROWS["train"]]), folder / FILE.format("train")
    )
    with pytest.raises(DataError, match="wrong classes: expected 400 neg, 400 pos; found 800 neg"):
        load_reviews("imdb")


def test_swapped_rows_are_noticed(folder):
    rows = [ROWS["train"][1], ROWS["train"][0], *ROWS["train"][2:]]
    pq.write_table(to_table(rows), folder / FILE.format("train"))
    with pytest.raises(
        DataError, match=r"right counts, but its content is not the published one: expected sha256"
    ):
        load_reviews("imdb")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            pa.table({"review": ["good"], "label": [1]}),
            r'must have a "text"; the columns are \[\'review\'',
        ),
        (pa.table({"text": ["good", None], "label": [1, 0]}), 'must have a "text"'),
        (pa.table({"text": ["good", "bad"], "label": [1, None]}), 'must have a "label"'),
        (pa.table({"text": ["good"], "label": ["pos"]}), "unreadable: Failed to parse"),
    ],
)
def test_foreign_columns_are_named(folder, table, message):
    pq.write_table(table, folder / FILE.format("test"))
    with pytest.raises(DataError, match=message):
        load_reviews("imdb")


def test_text_that_is_not_unicode_is_noticed(tmp_path):
    offsets, content = pa.array([0, 3], pa.int32()).buffers()[1], pa.py_buffer(b"a\xffb")
    text = pa.StringArray.from_buffers(1, offsets, content)
    pq.write_table(pa.table({"text": text, "label": [1]}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"damaged or unreadable: .*UTF8"):
        data.read_split(tmp_path, "train")


def test_page_checksums_find_every_flipped_byte(tmp_path):
    file, table, rng = tmp_path / "train.parquet", to_table(ROWS["train"]), random.Random(0)
    pq.write_table(table, file, write_page_checksum=True)
    content = file.read_bytes()
    found = 0
    for _ in range(100):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= rng.randrange(1, 256)
        file.write_bytes(damaged)
        try:
            assert data.read_split(tmp_path, "train").equals(table)
        except DataError:
            found += 1
    assert found > 80


# --- IMDb from the Hub ----------------------------------------------------------------------------


def test_the_hub_is_asked_once_then_the_cache(start):
    server = start()
    assert_tiny(load_reviews("imdb"))
    assert server.count(r"GET .*parquet 200") == 3
    requests = len(server.requests)
    assert_tiny(load_reviews("imdb"))
    assert len(server.requests) == requests
    load_reviews("imdb", force_download=True)
    assert server.count(r"GET .*parquet 200") == 6


@pytest.mark.parametrize("kind", ["500", "429", "reset", "drop"])
def test_every_file_failing_once_is_healed(start, kind):
    server = start(f"{kind}:x1@^GET .*/resolve/")
    assert_tiny(load_reviews("imdb"))
    assert server.count(f"fault={kind}") == 3


def test_one_request_in_four_failing_is_healed(start):
    start("500:0.1", "reset:0.1", "drop:0.05")
    assert_tiny(load_reviews("imdb"))


def test_corrupt_data_is_fetched_afresh_once(start):
    server = start(r"corrupt:x1@^GET .*/resolve/")
    assert_tiny(load_reviews("imdb"))
    assert server.count(r"GET .*parquet 200") == 6


def test_data_that_stays_corrupt_is_an_error_after_one_forced_download(start):
    server = start(r"corrupt:1.0@^GET .*/resolve/.*test")
    with pytest.raises(
        DataError, match=r"test.*forced download has not healed.*set COURSE_IMDB_DIR"
    ):
        load_reviews("imdb")
    assert server.count(r"GET .*test.*parquet 200") == 2


def test_half_a_data_set_on_the_hub_is_named(start):
    start(rows=ROWS | {"test": ROWS["test"][:300]})
    with pytest.raises(DataError, match="test split is not whole: expected 600 rows, found 300"):
        load_reviews("imdb")


def test_offline_without_a_cache_says_how_to_get_the_data(start, monkeypatch):
    server = start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        DataError, match=r"not in the cache.*HF_HUB_OFFLINE.*Go online.*COURSE_IMDB_DIR"
    ):
        load_reviews("imdb")
    assert server.count("GET|HEAD") == 0


def test_offline_with_a_cache_works(start, monkeypatch):
    start()
    load_reviews("imdb")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert_tiny(load_reviews("imdb"))


LOAD = """
from course_utils import data
reviews = data.load_reviews("{name}")
print(*(len(split) for split in reviews.values()))
"""


def run(name, **environment):
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key not in ("HF_HUB_OFFLINE", "COURSE_IMDB_DIR")
    }
    return subprocess.run(
        [sys.executable, "-c", LOAD.format(name=name)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=inherited | {"NO_PROXY": "127.0.0.1"} | environment,
        timeout=300,
    )


@needs_imdb
def test_the_real_imdb_from_a_hub_that_corrupts_it_once(tmp_path):
    links = tmp_path / "hub" / "datasets" / "stanfordnlp" / "imdb" / "plain_text"
    links.mkdir(parents=True)
    for file in (REAL_IMDB / "plain_text").glob("*.parquet"):
        (links / file.name).symlink_to(file.resolve())
    with serve(tmp_path / "hub", ["corrupt:x1@^GET .*/resolve/.*test"], log_file=None) as server:
        result = run("imdb", HF_ENDPOINT=server.url, HF_HOME=str(tmp_path / "home"))
    assert result.stdout == "25000 25000 50000\n", result.stderr
    assert server.count(r"GET .*test.*parquet 200") == 2


@needs_imdb
def test_the_real_imdb_from_a_folder(monkeypatch):
    monkeypatch.setenv("COURSE_IMDB_DIR", str(REAL_IMDB))
    reviews = load_reviews("imdb")
    assert {split: len(rows) for split, rows in reviews.items()} == {
        "train": 25_000,
        "test": 25_000,
        "unsupervised": 50_000,
    }
    train, validation = hold_out(reviews["train"], 2_500)
    assert (len(train), len(validation)) == (22_500, 2_500)
    assert Counter(validation["label"][:]) == {0: 1_250, 1: 1_250}
    assert not set(train["text"][:]) & set(validation["text"][:])


# --- the course's own reviews ---------------------------------------------------------------------


@needs_reviews
def test_the_course_reviews_are_whole():
    reviews = load_reviews("course")
    assert list(reviews) == ["train", "validation", "test", "unsupervised", "handwritten"]
    assert [len(rows) for rows in list(reviews.values())[:4]] == [
        6_000,
        1_000,
        2_000,
        20_000,
    ]
    assert len(reviews["handwritten"]) >= 240
    for split, rows in reviews.items():
        assert {"text", "label", "phenomenon"} <= set(rows.column_names)
        if split == "unsupervised":
            assert set(rows["label"][:]) == {-1}
        else:
            check_examples(rows, name=split)


@needs_reviews
def test_a_flipped_byte_in_the_course_reviews_is_noticed(tmp_path, monkeypatch):
    """Nothing but the page checksums in these files can notice it: they must have some."""
    monkeypatch.setattr(registry, "COURSE_FOLDER", tmp_path)
    for file in (ROOT / "data" / "reviews").glob("*.parquet"):
        content = bytearray(file.read_bytes())
        content[len(content) // 3] ^= 1
        (tmp_path / file.name).write_bytes(content)
        with pytest.raises(DataError, match="damaged"):
            reading._read_parquet(tmp_path / file.name)


def test_missing_course_reviews_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "COURSE_FOLDER", tmp_path)
    with pytest.raises(DataError, match=r"train\.parquet is missing \(found there: nothing\)"):
        load_reviews("course")


def test_missing_course_reviews_come_back_with_the_course(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "COURSE_FOLDER", tmp_path)
    with pytest.raises(
        DataError,
        match=r"train\.parquet is missing .*Fetch the course again: git clone, or git check",
    ):
        load_reviews("course")
    (tmp_path / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(
        DataError, match=r"train\.parquet is cut short.*Fetch the course again: git clone"
    ):
        load_reviews("course")


@pytest.mark.parametrize(
    "kind", [pa.ArrowNotImplementedError, pa.ArrowKeyError, pa.ArrowIndexError]
)
def test_whatever_arrow_raises_is_told_with_the_file(kind, tmp_path, monkeypatch):
    """A flipped byte may ask for what Arrow does not know: an error of yet another of its kinds."""

    def refuse(*_, **__):
        raise kind("Unknown encoding type.")

    monkeypatch.setattr(pq, "ParquetFile", refuse)
    with pytest.raises(
        DataError, match=r"reviews\.parquet is cut short, damaged or unreadable: .*Unknown encoding"
    ):
        reading._read_parquet(tmp_path / "reviews.parquet")


@needs_reviews
def test_no_home_folder_is_needed_for_local_data(tmp_path):
    (tmp_path / "file").write_text("where a folder should be, nothing can be written")
    result = run("course", HF_HOME=str(tmp_path / "file" / "home"), HF_HUB_OFFLINE="1")
    assert result.stdout.startswith("6000 1000 2000 20000"), result.stderr
    assert result.stderr == ""
