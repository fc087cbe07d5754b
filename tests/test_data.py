"""Reviews: what is loaded is whole, or the error says what is wrong; splits part no repeats;
batches lose nothing.
"""

import contextlib
import functools
import hashlib
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset, DatasetDict
from huggingface_hub import constants
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback_hub import connect, serve

from course_utils import data
from course_utils.data import (
    DataError,
    check_examples,
    collate,
    cut_text,
    hold_out,
    hub,
    load_reviews,
    make_batches,
    registry,
    truncate_ids,
)
from course_utils.text import clean
from course_utils.tokenization import WordPieceTokenizer

ROOT = Path(__file__).resolve().parents[1]
REAL_IMDB = Path(os.environ.get("COURSE_IMDB_DIR") or ROOT.parent / "shared" / "imdb")
needs_imdb = pytest.mark.skipif(
    not (REAL_IMDB / "plain_text").is_dir(),
    reason="needs the real IMDb data: set COURSE_IMDB_DIR to its folder",
)
needs_reviews = pytest.mark.skipif(
    not (ROOT / "data" / "reviews").is_dir(), reason="needs data/reviews"
)
# The same examples each time, and no clock: a busy machine changes nothing.
steady = settings(
    deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
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
OFFICIAL = {
    split: data.OfficialSplit(dict(Counter(label for _, label in rows)), sha256_of_rows(rows))
    for split, rows in ROWS.items()
}


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
    monkeypatch.setattr(registry, "IMDB_SPLITS", OFFICIAL)


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
        hub, "with_retries", functools.partial(hub.with_retries, sleep=lambda _: None)
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


def test_the_content_hash_is_that_of_the_rows():
    for rows in (*ROWS.values(), [("", 0), ("é", 1)], []):
        table = pa.table(
            {
                "text": pa.array([text for text, _ in rows], pa.string()),
                "label": pa.array([label for _, label in rows], pa.int64()),
            }
        )
        assert data.content_hash(table) == sha256_of_rows(rows)
    table = to_table(ROWS["train"])
    assert data.content_hash(
        pa.concat_tables([table.slice(3, 4), table.slice(7, 9)])
    ) == sha256_of_rows(ROWS["train"][3:16])


def test_unknown_names_list_the_choices():
    with pytest.raises(ValueError, match='"course" and "imdb", got \'yelp\''):
        load_reviews("yelp")


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
            registry._check_official(table, OFFICIAL["test"], "IMDb's test split")
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
    assert [len(reviews[split]) for split in data.COURSE_SPLITS[:4]] == [
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
            registry._read_parquet(tmp_path / file.name)


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
        registry._read_parquet(tmp_path / "reviews.parquet")


@needs_reviews
def test_no_home_folder_is_needed_for_local_data(tmp_path):
    (tmp_path / "file").write_text("where a folder should be, nothing can be written")
    result = run("course", HF_HOME=str(tmp_path / "file" / "home"), HF_HUB_OFFLINE="1")
    assert result.stdout.startswith("6000 1000 2000 20000"), result.stderr
    assert result.stderr == ""


# --- checks and held-out examples -----------------------------------------------------------------


def dataset(labels, texts=None):
    return Dataset.from_dict(
        {"text": texts or [f"review {index}" for index in range(len(labels))], "label": labels}
    )


def test_good_examples_pass():
    check_examples(dataset([0, 1, 1]), name="mine")
    check_examples(dataset([0, 1, 2]), num_labels=3, name="mine")


@pytest.mark.parametrize(
    ("labels", "texts", "message"),
    [
        ([0, 1, 1], ["good", "", " \n\t"], "mine: 2 of 3 texts are empty, the first at index 1"),
        ([0, 1, 1], ["good", "bad", None], "mine: 1 of 3 texts are empty, the first at index 2"),
        (
            [0, 1, 1],
            ["good", "<br /><br />", "bad"],
            "mine: 1 of 3 texts are empty, the first at index 1",
        ),
        (
            [0, 1, -1, 2],
            None,
            r"mine: 2 of 4 labels lie outside 0 to 1, the first at index 2 \(-1\)",
        ),
        ([0, 0, 0], None, "mine: no example has label 1; the 3 are 3 neg. Was sorted data cut"),
        ([], None, "mine: no example has label 0, 1; the 0 are none"),
    ],
)
def test_bad_examples_are_counted_and_the_first_is_named(labels, texts, message):
    with pytest.raises(ValueError, match=message):
        check_examples(dataset(labels, texts), name="mine")


def test_hold_out_is_stratified_disjoint_and_complete():
    rows = dataset([0] * 300 + [1] * 100)
    train, validation = hold_out(rows, 40)
    assert Counter(validation["label"][:]) == {0: 30, 1: 10}
    both = [*train["text"][:], *validation["text"][:]]
    assert sorted(both) == sorted(rows["text"][:])
    assert [int(text.split()[1]) for text in train["text"][:]] == sorted(
        int(text.split()[1]) for text in train["text"][:]
    ), "the order of the rows is kept"


def test_hold_out_depends_on_the_seed_and_the_texts_alone():
    rows = dataset([0, 1] * 50)
    chosen = set(hold_out(rows, 20, seed=1)[1]["text"][:])
    assert set(hold_out(rows.shuffle(seed=5), 20, seed=1)[1]["text"][:]) == chosen
    assert set(hold_out(rows, 20, seed=2)[1]["text"][:]) != chosen


@steady
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=2, max_size=60), st.data()
)
def test_hold_out_never_parts_repeats(rows, draw):
    labels, texts = [label for label, _ in rows], [f"review {number}" for _, number in rows]
    size = draw.draw(st.integers(0, len(rows)))
    try:
        train, validation = hold_out(dataset(labels, texts), size)
    except ValueError as error:
        assert "cannot hold out" in str(
            error
        )  # one label, a size too large, or repeats that do not fit
        return
    assert len(validation) == size and len(train) == len(rows) - size
    assert not set(train["text"][:]) & set(validation["text"][:])
    assert set(train["label"][:]) == set(validation["label"][:]) == set(labels)


@pytest.mark.parametrize(
    ("labels", "size"),
    [
        ([0, 1] * 5, 10),
        ([0, 1] * 5, 11),
        ([0, 1] * 5, 0),
        ([0, 1] * 5, 1),
        ([0, 1] * 5, -1),
        ([0] * 10, 4),
        ([], 1),
    ],
)
def test_hold_out_refuses_what_would_leave_a_side_without_a_label(labels, size):
    with pytest.raises(ValueError, match=r"cannot hold out -?\d+ of \d+ examples"):
        hold_out(dataset(labels), size)


def test_hold_out_refuses_sizes_that_would_part_repeats():
    with pytest.raises(ValueError, match="repeats of a text on one side"):
        hold_out(dataset([0] * 4 + [1] * 4, ["a"] * 4 + ["b"] * 4), 2)


# --- batches --------------------------------------------------------------------------------------


def test_truncation_keeps_head_and_tail():
    ids = [101, *range(1, 11), 102]
    assert truncate_ids(ids, 12) == ids
    assert truncate_ids(ids, 6) == [101, 1, 2, 3, 4, 102]
    assert truncate_ids(ids, 6, tail_share=0.5) == [101, 1, 2, 9, 10, 102]
    assert truncate_ids(ids, 6, tail_share=1.0) == [101, 7, 8, 9, 10, 102]


@steady
@given(st.integers(2, 80), st.integers(3, 60), st.floats(0, 1))
def test_truncation_is_exact_and_in_order(length, max_length, tail_share):
    cut = truncate_ids(range(length), max_length, tail_share=tail_share)
    assert len(cut) == min(length, max_length)
    assert cut == sorted(set(cut))
    assert (cut[0], cut[-1]) == (0, length - 1)


@pytest.mark.parametrize(("max_length", "tail_share"), [(2, 0.0), (8, -0.1), (8, 1.1)])
def test_truncation_refuses_what_makes_no_sense(max_length, tail_share):
    with pytest.raises(ValueError, match=r"must (be at least 3|lie in \[0, 1\])"):
        truncate_ids([1, 2, 3], max_length, tail_share=tail_share)


def test_a_cut_text_holds_what_is_left_of_its_ids():
    text, spans = "One two, three four.", [(0, 3), (4, 7), (7, 8), (9, 14), (15, 19), (19, 20)]
    assert cut_text(text, spans, 8) == text
    assert cut_text(text, spans, 6) == "One two, three"
    assert cut_text(text, spans, 6, tail_share=0.5) == "One two four."
    assert cut_text(text, spans, 6, tail_share=1.0) == ", three four."
    assert cut_text("", [], 3) == ""
    with pytest.raises(ValueError, match="at least 3"):
        cut_text(text, spans, 2)


@pytest.mark.parametrize("tail_share", [0.0, 0.5, 1.0])
def test_the_tokens_of_a_cut_text_are_those_of_its_cut_ids(tail_share):
    tokenizer = WordPieceTokenizer.load(ROOT / "data" / "checkpoints" / "course-bert")
    texts = [clean(text) for text in load_reviews("course")["validation"]["text"][:100]]
    same = 0
    for text in texts:
        cut = cut_text(text, tokenizer.offsets(text), 40, tail_share=tail_share)
        same += tokenizer.encode(cut) == truncate_ids(
            tokenizer.encode(text), 40, tail_share=tail_share
        )
    assert (
        same > 80
    )  # in the others a word is cut between its pieces, and the rest of it is read anew


def test_collate_pads_and_masks():
    batch = collate(
        [
            {"input_ids": [5, 6, 7], "token_type_ids": [0, 1, 1], "labels": 1},
            {"input_ids": [8], "token_type_ids": [1], "labels": 0},
        ],
        pad_token_id=9,
        multiple_of=4,
    )
    assert batch["input_ids"].tolist() == [[5, 6, 7, 9], [8, 9, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 1, 1, 0], [1, 0, 0, 0]]
    assert batch["labels"].tolist() == [1, 0]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_collate_pads_token_labels_with_ignored_ones():
    batch = collate(
        [{"input_ids": [5, 6], "labels": [-100, 6]}, {"input_ids": [7], "labels": [7]}],
        multiple_of=4,
    )
    assert batch["labels"].tolist() == [[-100, 6, -100, -100], [7, -100, -100, -100]]
    assert set(batch) == {"input_ids", "attention_mask", "labels"}
    assert set(collate([{"input_ids": [5]}])) == {"input_ids", "attention_mask"}


@steady
@given(
    st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=40), min_size=1, max_size=8),
    st.integers(1, 32),
)
def test_collate_loses_nothing(rows, multiple_of):
    batch = collate([{"input_ids": row} for row in rows], multiple_of=multiple_of)
    seq_length = batch["input_ids"].shape[1]
    assert seq_length % multiple_of == 0
    assert seq_length - max(map(len, rows)) < multiple_of
    unpadded = [ids[mask.bool()].tolist() for ids, mask in zip(*batch.values(), strict=True)]
    assert unpadded == rows


@steady
@given(
    st.lists(st.integers(1, 512), max_size=300),
    st.integers(1, 40),
    st.booleans(),
    st.integers(0, 9),
)
def test_every_index_comes_exactly_once(lengths, batch_size, group_by_length, seed):
    batches = make_batches(
        lengths,
        batch_size,
        generator=torch.Generator().manual_seed(seed),
        group_by_length=group_by_length,
    )
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert sum(len(batch) != batch_size for batch in batches) <= 1


def test_batches_follow_the_generator():
    def order(seed, **options):
        return make_batches(lengths, 8, generator=torch.Generator().manual_seed(seed), **options)

    lengths = random.Random(0).choices(range(10, 500), k=1_000)
    assert order(1) == order(1)
    assert order(1) != order(2)
    first = [batch[0] for batch in order(1)]
    assert first != sorted(first, key=lambda index: -lengths[index]), (
        "sorted batches would teach from long to short"
    )


def test_grouping_by_length_saves_most_of_the_padding():
    lengths = random.Random(0).choices(range(10, 500), k=1_000)

    def padding(group_by_length):
        batches = make_batches(
            lengths, 16, generator=torch.Generator().manual_seed(0), group_by_length=group_by_length
        )
        return sum(
            len(batch) * max(lengths[i] for i in batch) - sum(lengths[i] for i in batch)
            for batch in batches
        )

    assert padding(True) < 0.2 * padding(False)
