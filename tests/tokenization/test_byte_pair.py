"""Byte-level byte-pair encoding: equal to the library on every text, and nothing is lost."""

import json
import random

import pytest
from helpers import change_tokenizer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torture import TORTURE
from transformers import AutoTokenizer

from course_utils.data import load_reviews
from course_utils.tokenization import BytePairTokenizer, VocabularyError

END = "<|endoftext|>"
REVIEWS = load_reviews("course")
# other scripts, too, so that there are merges within and across characters of several bytes
TRAINING = [
    *REVIEWS["train"]["text"][:1500],
    *(text for text in TORTURE if len(text) < 200),
    *["单词处理 👍🏽 é"] * 3,
]
OURS = BytePairTokenizer.train(TRAINING, 2500)
BYTES = list(map(chr, [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x144)]))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    OURS.save(folder)
    return AutoTokenizer.from_pretrained(folder)


def assert_equal(theirs, text, ours=OURS):
    encoding = theirs.encode(text, add_special_tokens=False)
    ids = ours.encode(text, add_special_tokens=False)
    assert ids == encoding.ids
    assert ours.tokenize(text) == encoding.tokens
    assert ours.offsets(text) == encoding.offsets
    assert ours.decode(ids) == text
    assert ours.decode(ids[1:-1]) == theirs.decode(
        ids[1:-1], skip_special_tokens=False
    )  # may cut a character


@pytest.mark.parametrize("number", range(len(TORTURE)))
def test_torture(theirs, number):
    assert_equal(theirs.backend_tokenizer, TORTURE[number])


def test_all_course_reviews(theirs):
    texts = [text for split in REVIEWS.values() for text in split["text"]]
    encodings = theirs.backend_tokenizer.encode_batch_fast(texts)
    ours = [OURS.encode(text) for text in texts]
    assert ours == [encoding.ids for encoding in encodings]
    assert [OURS.decode(ids, skip_special_tokens=True) for ids in ours] == texts


# text() seldom has two blanks in a row, or what GPT-2's pattern looks for
PIECES = [
    " ",
    "\n",
    "\u3000",
    "\x1c",
    "'",
    "'s",
    "'LL",
    "re",
    "the",
    "é",
    "\u0301",
    "单",
    "7",
    "²",
    "👍🏽",
    END,
    "<|",
]
any_text = st.text(st.characters(exclude_categories=["Cs"])) | st.lists(
    st.sampled_from(PIECES)
).map("".join)


@settings(deadline=None, derandomize=True, max_examples=1000)
@given(any_text)
@example(f"a {END}{END}  b{END[:-1]}")
def test_any_text(theirs, text):
    assert_equal(theirs.backend_tokenizer, text)


@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.lists(st.integers(0, OURS.vocab_size - 1)), st.booleans())
def test_any_ids(theirs, ids, skip):
    expected = theirs.backend_tokenizer.decode(ids, skip_special_tokens=skip)
    assert OURS.decode(ids, skip_special_tokens=skip) == expected


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=25),
    st.text("abc", max_size=40),
)
@example([(1, 2), (0, 3), (4, 0), (0, 1)], "abcabcabc")
def test_any_merges_in_any_order(numbers, text):
    """Also merges that no training would give, where an early one needs what a late one makes."""
    tokens, merges = [*"abc"], []
    for left, right in numbers:
        pair = tokens[left % len(tokens)], tokens[right % len(tokens)]
        if pair not in merges and len("".join(pair)) < 20:
            merges.append(pair)
            tokens += [] if "".join(pair) in tokens else ["".join(pair)]
    random.Random(0).shuffle(merges)
    vocab = [END, *BYTES, *tokens[3:]]
    theirs = Tokenizer(models.BPE({token: number for number, token in enumerate(vocab)}, merges))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert BytePairTokenizer(vocab, merges).tokenize(text) == theirs.encode(text).tokens


def test_training_learns_what_the_library_learns():
    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.train_from_iterator(
        TRAINING,
        trainers.BpeTrainer(
            vocab_size=2500,
            min_frequency=2,
            special_tokens=[END],
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    model = json.loads(theirs.to_str())["model"]
    assert OURS.vocab == model["vocab"] and OURS.vocab_size == 2500
    assert [list(pair) for pair in OURS.merges] == model["merges"]


def test_training_on_nothing_and_on_too_little_room():
    tokenizer = BytePairTokenizer.train([], 300)
    assert tokenizer.tokens == (END, *BYTES) and tokenizer.merges == ()
    assert tokenizer.tokenize("é it") == ["Ã", "©", "Ġ", "i", "t"]
    with pytest.raises(ValueError, match="at least 257"):
        BytePairTokenizer.train(["text"], 256)
    with pytest.raises(TypeError, match="NoneType"):
        BytePairTokenizer.train(["abc", None])


def test_texts_and_pairs_end_and_are_cut_as_by_transformers(theirs):
    assert OURS.encode("the film") == theirs("the film")["input_ids"]
    assert OURS.encode("the film")[-1] == OURS.eos_token_id == theirs.eos_token_id
    rng = random.Random(0)
    for _ in range(300):
        first, second = (" a" * rng.randint(0, 12) for _ in "ab")
        expected = theirs(
            first, second, truncation="longest_first", max_length=(size := rng.randint(2, 24))
        )
        assert OURS.encode(first, second, max_length=size) == expected["input_ids"]
    with pytest.raises(ValueError, match="at least 2"):
        OURS.encode("a", "b", max_length=1)


@pytest.mark.parametrize("name", ["", "tokenizer.json"])
@pytest.mark.parametrize("adds_end", [True, False])
def test_what_was_saved_is_loaded(tmp_path, name, adds_end):
    BytePairTokenizer(OURS.tokens, OURS.merges, adds_end=adds_end).save(tmp_path)
    loaded = BytePairTokenizer.load(tmp_path / name)
    assert (loaded.tokens, loaded.merges, loaded.adds_end) == (OURS.tokens, OURS.merges, adds_end)
    assert (
        loaded.encode("The end") == AutoTokenizer.from_pretrained(tmp_path)("The end")["input_ids"]
    )


def test_errors():
    with pytest.raises(TypeError, match="bytes"):
        OURS.encode(b"bytes")
    with pytest.raises(ValueError, match="position 3"):
        OURS.encode("abc\ud83d")
    with pytest.raises(ValueError, match="position 0"):
        OURS.offsets("\udc00")
    for wrong in (-1, OURS.vocab_size):
        with pytest.raises(ValueError, match=f"got {wrong}"):
            OURS.decode([0, wrong])


@pytest.mark.parametrize(
    ("tokens", "merges", "said"),
    [
        (BYTES, [], "endoftext"),
        ([END, *BYTES[1:]], [], "'!' is wrong"),
        ([END, *BYTES, "ab"], [("ab", "c")], "'abc' is wrong"),
        ([END, *BYTES, "a "], [], "' ' is wrong"),
        ([END, *BYTES, ""], [], "'' is wrong"),
        ([END, *BYTES, "a"], [], "'a' has the ids"),
    ],
)
def test_vocabularies_that_cannot_be(tokens, merges, said):
    with pytest.raises(VocabularyError, match=said):
        BytePairTokenizer(tokens, merges)


# --- the files of others --------------------------------------------------------------------------


def test_gpt2s_own_file_is_read(tmp_path):
    """Its settings, as openai-community/gpt2 has them: merges as text, another post-processor,
    one setting left out.
    """
    OURS.save(tmp_path)
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False}
    end = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))["added_tokens"][0]
    change_tokenizer(tmp_path, post_processor=None, decoder=None)
    change_tokenizer(
        tmp_path,
        post_processor=byte_level,
        decoder={**byte_level, "trim_offsets": True},
        pre_tokenizer=None,
        added_tokens=[{**end, "normalized": True}],
        truncation={"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        model={
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "merges": [" ".join(pair) for pair in OURS.merges],
        },
    )
    change_tokenizer(tmp_path, pre_tokenizer={**byte_level, "add_prefix_space": False})
    tokenizer = BytePairTokenizer.load(tmp_path)
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    theirs.no_truncation()
    assert (tokenizer.merges, tokenizer.adds_end) == (OURS.merges, False)
    for text in TORTURE:
        assert tokenizer.encode(text) == theirs.encode(text).ids


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"normalizer": {"type": "NFC"}}, "normalizer must be None, got {'type': 'NFC'}"),
        (
            {"pre_tokenizer": {"add_prefix_space": True}},
            "pre_tokenizer.add_prefix_space must be False, got True",
        ),
        (
            {"pre_tokenizer": {"use_regex": False}},
            "pre_tokenizer.use_regex must be True, got False",
        ),
        (
            {"pre_tokenizer": {"type": "Whitespace"}},
            "pre_tokenizer.type must be 'ByteLevel', got 'Whitespace'",
        ),
        ({"decoder": None}, "decoder must be"),
        ({"model": {"dropout": 0.1}}, "model.dropout must be None, got 0.1"),
        (
            {"model": {"end_of_word_suffix": "</w>"}},
            "model.end_of_word_suffix must be None, got '</w>'",
        ),
        ({"model": {"ignore_merges": True}}, "model.ignore_merges must be False, got True"),
        ({"added_tokens": []}, r"added_tokens.<\|endoftext\|> must be"),
        (
            {"post_processor": {"type": "RobertaProcessing"}},
            "post_processor.type must be 'TemplateProcessing'",
        ),
        ({"model": {"type": "WordPiece"}}, "must hold a BPE model"),
        ({"model": {"merges": [["a"]]}}, "merges"),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, sections, said):
    OURS.save(tmp_path)
    change_tokenizer(tmp_path, **sections)
    with pytest.raises(VocabularyError, match=said):
        BytePairTokenizer.load(tmp_path)
