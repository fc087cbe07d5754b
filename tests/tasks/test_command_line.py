"""What finetune and pretrain refuse before anything is loaded."""

import pytest

from course_utils import finetune, pretrain
from course_utils.training.runs import RunFolder

each_command = pytest.mark.parametrize(
    "command", [finetune, pretrain], ids=["finetune", "pretrain"]
)


@each_command
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--stop-after", "0"],
            "argument --stop-after: expected a whole number from 1 on, got '0'",
        ),
        (["--stop-after=-5"], "argument --stop-after: expected a whole number from 1 on, got '-5'"),
        (
            ["--stop-after", "two"],
            "argument --stop-after: expected a whole number from 1 on, got 'two'",
        ),
        (["--output-dir", ""], "argument --output-dir: expected a folder, got an empty name"),
        (["--seed", "-1"], "seed must lie in [0, 2**32), got -1"),
        (
            ["--num-warmup-steps", "inf"],
            "num_warmup_steps must be finite and not negative, got inf",
        ),
        (["--num-threads", "10000"], "num_threads must lie between 0 and 1024, got 10000"),
    ],
)
def test_wrong_arguments_end_with_usage(command, arguments, words, capsys):
    with pytest.raises(SystemExit) as left:
        command.main(arguments)
    assert left.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("usage:") and words in err


@pytest.mark.parametrize("content", ['{"config": {"seed"', "[1, 2]", ""])
def test_a_damaged_record_is_named(content, tmp_path, capsys):
    for name in ("result.json", "run.json"):
        (tmp_path / name).write_text(content, encoding="utf-8")
    for command in (finetune, pretrain):
        assert command.main(["--output-dir", str(tmp_path)]) == 1
        assert (
            f"error: {tmp_path / 'result.json'} is cut short or damaged" in capsys.readouterr().err
        )
    with pytest.raises(ValueError, match=r"run\.json is cut short or damaged"):
        RunFolder(tmp_path, {}).start()
    assert (tmp_path / "result.json").read_text(encoding="utf-8") == content


@each_command
def test_a_tilde_after_an_equals_sign_is_the_home_folder(command, tmp_path, monkeypatch, capsys):
    """Which the shell leaves as it is."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "result.json").write_text("cut short", encoding="utf-8")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").write_text("no folder of that name can be made here")
    assert command.main(["--output-dir=~/x"]) == 1
    assert (
        f"error: {tmp_path / 'x' / 'result.json'} is cut short or damaged"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "error", [OverflowError("math range error"), ZeroDivisionError("division by zero")]
)
def test_a_number_out_of_range_is_told_in_one_line(error, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(finetune, "_job", fail)
    assert finetune.main(["--output-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: {error}\n"
