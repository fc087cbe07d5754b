"""Labels on the command line: whatever text it is given,
it is shown in one line or refused in one.
"""

import io
import re
import sys

import pytest
from helpers import tiny_model

from course_utils import predict
from course_utils.tokenization import WordPieceTokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A classifier that knows ten words."""
    folder = tmp_path_factory.mktemp("classifier")
    tokenizer = WordPieceTokenizer.train(["a good film and a bad plot", "the film is good"] * 2, 60)
    tokenizer.save(folder)
    model = tiny_model(
        vocab_size=tokenizer.vocab_size, max_position_embeddings=256, id2label={0: "neg", 1: "pos"}
    )
    model.save_pretrained(folder)
    return folder


def lines_of(folder, *texts, capsys):
    assert predict.main(["--checkpoint", str(folder), *texts]) == 0
    return capsys.readouterr().out.split("\n")[:-1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a good film", "a good film"),
        ("two\n\tlines  and\u2028more", "two lines and more"),
        ("bad \udcff film", "bad \ufffd film"),  # a byte that is no UTF-8, as Python hands it over
        ("a\x00b \x1b[2Jc\x9bd", "a\ufffdb \ufffd[2Jc\ufffdd"),  # the terminal clears no screen
        ("<i>so</i> 😍 👨\u200d👩\u200d👧 这部电影", "<i>so</i> 😍 👨\u200d👩\u200d👧 这部电影"),
        ("[CLS] [SEP] [MASK]", "[CLS] [SEP] [MASK]"),
        ("good " * 20_000, f"{'good ' * 15}go..."),
        ("x" * 100_000, f"{'x' * 77}..."),
    ],
)
def test_any_text_is_shown_in_one_line(folder, text, shown, capsys):
    [line] = lines_of(folder, text, capsys=capsys)
    assert re.fullmatch(r"(neg|pos)  [01]\.\d{3}  .*", line) and line[12:] == shown


def test_a_terminal_that_lacks_a_character_shows_another(folder, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert predict.main(["--checkpoint", str(folder), "good 😍 déjà vu"]) == 0
    terminal.flush()
    assert terminal.buffer.getvalue().decode("cp1252").rstrip().endswith("  good ? déjà vu")


@pytest.mark.parametrize(
    "text", ["", " \n", "<br />", "<script>alert(1)</script>", "\u200b", "\x01"]
)
def test_a_text_without_a_word_is_refused(folder, text, capsys):
    assert predict.main(["--checkpoint", str(folder), "good", text]) == 1
    assert (
        capsys.readouterr().err
        == f"error: text 1 is empty after cleaning: {text!r}; expected at least one word\n"
    )


def test_standard_input_is_read_line_by_line(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("a good film\na bad plot\n"))
    assert [line[12:] for line in lines_of(folder, capsys=capsys)] == ["a good film", "a bad plot"]


def test_blank_lines_are_passed_over(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\na good film\n \t\n\na bad plot"))
    assert [line[12:] for line in lines_of(folder, capsys=capsys)] == ["a good film", "a bad plot"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n \n"))
    with pytest.raises(SystemExit) as left:
        predict.main(["--checkpoint", str(folder)])
    assert (
        left.value.code == 2 and "expected at least one text, got none" in capsys.readouterr().err
    )


def test_an_interruption_while_reading_ends_with_130(folder, monkeypatch, capsys):
    def typed():
        yield "a good film\n"
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", typed())
    try:
        status = predict.main(["--checkpoint", str(folder)])
    except KeyboardInterrupt:  # which would end all tests
        pytest.fail("the interruption came through")
    assert status == 130 and capsys.readouterr().out == ""


def test_text_of_another_encoding_is_told_in_one_line(folder, monkeypatch, capsys):
    latin = io.TextIOWrapper(
        io.BytesIO("a good film\nun café\n".encode("latin-1")), encoding="utf-8"
    )
    monkeypatch.setattr(sys, "stdin", latin)
    assert predict.main(["--checkpoint", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert (
        out == ""
        and err.startswith("error: 'utf-8' codec can't decode byte 0xe9")
        and err.count("\n") == 1
    )
