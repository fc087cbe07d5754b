"""WordPiece: equal to the library on every text, and clear about what it cannot take."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torture import TORTURE
from transformers import AutoTokenizer

from course_utils.data import load_reviews
from course_utils.tokenization import SPECIAL_TOKENS, VocabularyError, WordPieceTokenizer

LETTERS = [*"abcdefghijklmnopqrstuvwxyz0123456789.,!?'\"-<>/[]σ单电"]
TOKENS = [*SPECIAL_TOKENS, *LETTERS, *(f"##{letter}" for letter in LETTERS), "the", "film", "##ing", "good", "##ly"]
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


def test_all_course_reviews(theirs):
    texts = [text for split in load_reviews("course").values() for text in split["text"]]
    encodings = theirs.backend_tokenizer.encode_batch_fast(texts)
    assert [OURS.encode(text) for text in texts] == [encoding.ids for encoding in encodings]


@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text(theirs, text):
    assert_equal(theirs, text)


@pytest.mark.parametrize("text", ["Café ÉÉ film!", "a[SEP]b 单x", "ﬁlm e\u0301t\u0301", " \0The\x85film İ "])
def test_offsets(theirs, text):
    assert OURS.offsets(text) == theirs.backend_tokenizer.encode(text, add_special_tokens=False).offsets


def test_pairs_are_cut_as_by_transformers(theirs):
    rng = random.Random(0)
    for _ in range(500):
        first, second = (" ".join("a" * rng.randint(0, 12)) for _ in "ab")
        expected = theirs(first, second, truncation="longest_first", max_length=(size := rng.randint(3, 24)))
        ids = OURS.encode(first, second, max_length=size)
        assert (ids, OURS.token_type_ids(ids)) == (expected["input_ids"], expected["token_type_ids"])


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


# --- training ------------------------------------------------------------------------------------------------------


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
