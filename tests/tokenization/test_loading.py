"""One way to load a tokenizer: equal to the library's whatever the folder says, or an error."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import change_tokenizer, tiny_model
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models, pre_tokenizers
from torture import TORTURE
from transformers import AutoTokenizer, PreTrainedTokenizerFast, pipeline

from course_utils.data import load_reviews
from course_utils.tokenization import (
    BytePairTokenizer,
    LibraryTokenizer,
    Tokenizer,
    WordPieceTokenizer,
    load_tokenizer,
)

ROOT = Path(__file__).resolve().parents[2]
COURSE_BERT = ROOT / "data" / "checkpoints" / "course-bert"
REVIEWS = load_reviews("course")["train"]["text"][:300]
TEXTS = [
    *TORTURE,
    *REVIEWS[:50],
    "Été ÉTÉ a[SEP]b [END] x<|endoftext|>y <s>z</s> New_Token",
    "a film of words " * 200,
]
WORD_PIECE = WordPieceTokenizer.train(REVIEWS, 1500)
CASED = WordPieceTokenizer.train(REVIEWS, 1500, lowercase=False)
BYTE_PAIR = BytePairTokenizer.train(REVIEWS, 1000)


def set_config(folder, name="tokenizer_config.json", **settings):
    """Change settings in one of the folder's JSON files, which may be new."""
    file = folder / name
    content = json.loads(file.read_text("utf-8")) if file.exists() else {}
    file.write_text(json.dumps({**content, **settings}), "utf-8")


def save_vocabulary_alone(folder, tokenizer):
    tokenizer.save(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


def save_as_gpt2(folder, **settings):
    """The files of openai-community/gpt2, with our vocabulary."""
    BYTE_PAIR.save(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    set_config(folder, "vocab.json", **BYTE_PAIR.vocab)
    merges = "\n".join(" ".join(pair) for pair in BYTE_PAIR.merges)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", "utf-8")
    set_config(folder, tokenizer_class="GPT2Tokenizer", **settings)
    set_config(folder, "config.json", model_type="gpt2")


def save_words(folder, **special_tokens):
    """A vocabulary of whole words, which is neither WordPiece nor byte-pair encoding."""
    vocab = {"[UNK]": 0, "<pad>": 1, "</s>": 2, "a": 3, "film": 4, "of": 5, "words": 6}
    rust = RustTokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    library = PreTrainedTokenizerFast(tokenizer_object=rust, unk_token="[UNK]", **special_tokens)
    library.save_pretrained(folder)


# --- what is loaded -------------------------------------------------------------------------------


def word_piece(folder):
    WORD_PIECE.save(folder)


def cased_word_piece(folder):
    CASED.save(folder, model_max_length=64)
    set_config(folder, "config.json", model_type="bert")


def word_piece_of_another_model(folder):
    WORD_PIECE.save(folder)
    set_config(folder, "config.json", model_type="distilbert")


def word_piece_that_cuts_and_pads(folder):
    WORD_PIECE.save(folder)
    change_tokenizer(
        folder,
        truncation={"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        padding={
            "strategy": {"Fixed": 32},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
    )


def word_piece_as_the_library_saves_it(folder):
    WORD_PIECE.save(folder)
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)


def vocabulary_alone(folder):
    save_vocabulary_alone(folder, WORD_PIECE)
    set_config(folder, "config.json", model_type="bert")


def cased_vocabulary_alone(folder):
    save_vocabulary_alone(folder, CASED)
    set_config(folder, tokenizer_class="BertTokenizer", do_lower_case=False)


def two_files_that_contradict_each_other(folder):
    WORD_PIECE.save(folder)
    set_config(folder, do_lower_case=False)


def byte_pair(folder):
    BYTE_PAIR.save(folder)


def byte_pair_that_adds_nothing(folder):
    BytePairTokenizer(BYTE_PAIR.tokens, BYTE_PAIR.merges, adds_end=False).save(folder)


def gpt2(folder):
    save_as_gpt2(folder)


OURS = [
    (word_piece, WordPieceTokenizer),
    (cased_word_piece, WordPieceTokenizer),
    (word_piece_of_another_model, WordPieceTokenizer),
    (word_piece_that_cuts_and_pads, WordPieceTokenizer),
    (word_piece_as_the_library_saves_it, WordPieceTokenizer),
    (vocabulary_alone, WordPieceTokenizer),
    (cased_vocabulary_alone, WordPieceTokenizer),
    (two_files_that_contradict_each_other, WordPieceTokenizer),
    (byte_pair, BytePairTokenizer),
    (byte_pair_that_adds_nothing, BytePairTokenizer),
    (gpt2, BytePairTokenizer),
]


def accents_kept(folder):
    WORD_PIECE.save(folder)
    set_config(folder, strip_accents=False)


def accents_kept_by_the_tokenizer_file(folder):
    WORD_PIECE.save(folder)
    change_tokenizer(folder, normalizer={"strip_accents": False})
    (folder / "tokenizer_config.json").unlink()
    set_config(folder, tokenizer_class="PreTrainedTokenizerFast", pad_token="[PAD]")


def another_token_added_by_the_config(folder):
    WORD_PIECE.save(folder)
    set_config(folder, extra_special_tokens=["New_Token"])


def special_tokens_split(folder):
    WORD_PIECE.save(folder)
    set_config(folder, split_special_tokens=True)


def another_token_for_padding(folder):
    WORD_PIECE.save(folder)
    set_config(folder, pad_token="[MASK]")


def a_token_map(folder):
    WORD_PIECE.save(folder)
    (folder / "tokenizer_config.json").unlink()
    set_config(folder, tokenizer_class="BertTokenizer")
    set_config(folder, "special_tokens_map.json", additional_special_tokens=["New_Token"])


def gpt2_with_a_token_for_padding(folder):
    save_as_gpt2(folder, pad_token="[END]")


def blanks_before_a_text(folder):
    save_as_gpt2(folder, add_prefix_space=True)


def whole_words(folder):
    save_words(folder, pad_token="<pad>", eos_token="</s>")


def whole_words_without_padding(folder):
    save_words(folder, eos_token="</s>")


THEIRS = [
    accents_kept,
    accents_kept_by_the_tokenizer_file,
    another_token_added_by_the_config,
    special_tokens_split,
    another_token_for_padding,
    a_token_map,
    gpt2_with_a_token_for_padding,
    blanks_before_a_text,
    whole_words,
    whole_words_without_padding,
]
ALL = [*OURS, *((make, LibraryTokenizer) for make in THEIRS)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.mark.parametrize(("make", "kind"), ALL, ids=lambda value: value.__name__)
def test_every_folder_gives_the_ids_of_the_library(make, kind, folder):
    make(folder)
    theirs = AutoTokenizer.from_pretrained(folder)
    tokenizer = load_tokenizer(folder)
    assert type(tokenizer) is kind and isinstance(tokenizer, Tokenizer)
    assert tokenizer.vocab_size == len(theirs)
    if theirs.pad_token_id is not None:
        assert tokenizer.pad_token_id == theirs.pad_token_id
    assert 0 <= tokenizer.pad_token_id < tokenizer.vocab_size
    expected = [theirs(text)["input_ids"] for text in TEXTS]
    assert [tokenizer.encode(text) for text in TEXTS] == expected
    assert tokenizer.encode_batch(TEXTS) == expected
    for text in TEXTS[:20]:
        assert (
            tokenizer.encode(text, add_special_tokens=False)
            == theirs(text, add_special_tokens=False)["input_ids"]
        )
        pair = theirs(text, "a film", truncation="longest_first", max_length=9)
        assert tokenizer.encode(text, "a film", max_length=9) == pair["input_ids"]


@pytest.mark.parametrize(("make", "kind"), ALL, ids=lambda value: value.__name__)
def test_what_is_saved_is_the_same_to_the_library_and_to_us(make, kind, folder):
    make(folder / "first")
    tokenizer = load_tokenizer(folder / "first")
    tokenizer.save(folder / "second", model_max_length=40)
    theirs, again = (
        AutoTokenizer.from_pretrained(folder / "second"),
        load_tokenizer(folder / "second"),
    )
    assert type(again) is kind and again.pad_token_id == tokenizer.pad_token_id
    assert theirs.model_max_length == 40
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert again.encode(text) == ids == theirs(text)["input_ids"]
        assert again.decode(ids) == tokenizer.decode(ids)
    assert len(theirs(TEXTS[-1], truncation=True)["input_ids"]) == 40


def test_no_limit_is_saved_where_none_is_given(folder):
    WORD_PIECE.save(folder)
    assert AutoTokenizer.from_pretrained(folder).model_max_length > 1e20


def test_course_bert_is_loaded_without_the_library():
    code = (
        "import sys; from course_utils.tokenization import load_tokenizer; "
        "tokenizer = load_tokenizer(sys.argv[1]); "
        "print(type(tokenizer).__name__, 'transformers' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(COURSE_BERT)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["WordPieceTokenizer", "False"]


def test_the_librarys_pipeline_takes_a_folder_of_ours(folder):
    settings = {"vocab_size": WORD_PIECE.vocab_size, "id2label": {0: "neg", 1: "pos"}}
    model = tiny_model(**settings).eval()
    model.save_pretrained(folder)
    limit = model.config.max_position_embeddings
    WORD_PIECE.save(folder, model_max_length=limit)
    classify = pipeline("text-classification", str(folder), top_k=None)
    texts = ["A fine film.", TEXTS[-1]]
    found = classify(texts, truncation=True, batch_size=2)
    for text, answer in zip(texts, found, strict=True):
        ids = torch.tensor([WORD_PIECE.encode(text, max_length=limit)])
        with torch.no_grad():
            expected = model(ids).logits.softmax(-1)[0]
        scores = {label["label"]: label["score"] for label in answer}
        assert scores == pytest.approx(
            {"neg": expected[0].item(), "pos": expected[1].item()}, abs=1e-5
        )


# --- errors ---------------------------------------------------------------------------------------


def test_a_folder_without_a_tokenizer_says_so(folder):
    set_config(folder, "config.json", model_type="bert")
    with pytest.raises(
        ValueError, match=r"holds no tokenizer; expected tokenizer\.json or vocab\.txt"
    ):
        load_tokenizer(folder)


def test_a_folder_that_does_not_exist_is_not_asked_of_the_hub(folder):
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist; expected a folder"):
        load_tokenizer(folder / "nowhere")


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_file_that_is_cut_short_is_named(name, folder):
    WORD_PIECE.save(folder)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"the tokenizer in .* cannot be read .*; fetch or copy"):
        load_tokenizer(folder)


def test_a_tokenizer_that_cannot_pad_is_refused(folder):
    save_words(folder)
    with pytest.raises(
        ValueError, match=r'no token for padding.*"pad_token" in its tokenizer_config'
    ):
        load_tokenizer(folder)


@pytest.fixture(params=[word_piece, byte_pair, whole_words])
def any_tokenizer(request, folder):
    request.param(folder)
    return load_tokenizer(folder)


@pytest.mark.parametrize("wrong", [None, 3, b"bytes", ["a"]])
def test_anything_but_a_str_is_refused(any_tokenizer, wrong):
    with pytest.raises(TypeError, match=type(wrong).__name__):
        any_tokenizer.encode(wrong)
    with pytest.raises(TypeError, match=type(wrong).__name__):
        any_tokenizer.encode_batch(["a", wrong])


def test_other_wrong_input_is_refused(any_tokenizer):
    with pytest.raises(
        TypeError, match="expected several texts, got one str: 'a film'; put it into"
    ):
        any_tokenizer.encode_batch("a film")
    with pytest.raises(ValueError, match="position 3"):
        any_tokenizer.encode_batch(["abc\ud83d"])
    assert any_tokenizer.encode_batch([]) == []


def test_a_library_tokenizer_needs_room_for_special_tokens(folder):
    accents_kept(folder)
    tokenizer = load_tokenizer(folder)
    with pytest.raises(ValueError, match="max_length must be at least 3, the number of special"):
        tokenizer.encode("a", "b", max_length=2)
    with pytest.raises(ValueError, match="at least 2"):
        tokenizer.encode("a", max_length=1)
    assert tokenizer.encode("a film", max_length=1, add_special_tokens=False)
    assert tokenizer.encode("a", "") == tokenizer.encode("a")


def test_a_library_tokenizer_decodes_as_the_library(folder):
    accents_kept(folder)
    tokenizer, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        ids = tokenizer.encode(text)
        for skip in (False, True):
            assert tokenizer.decode(ids, skip_special_tokens=skip) == theirs.decode(
                ids, skip_special_tokens=skip
            )
