"""What is written is whole or absent, whatever happens meanwhile, and comes back as it was."""

import errno
import json
import os
import random
import shutil
import sys

import numpy as np
import pytest
import torch
from helpers import SHAPE, finish, same, start, tiny_model, weights
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForMaskedLM,
)

from course_utils import files, models
from course_utils.config import BertConfig
from course_utils.models import BertForCausalLM, BertForSequenceClassification, their_name
from course_utils.tasks.classification import classifiers
from course_utils.tokenization import WordPieceTokenizer
from course_utils.training import runs, saved_state
from course_utils.training.runs import RunFolder

# Where a process may die: in the lines of these files.
MORTAL = [module.__file__ for module in (runs, saved_state, files, shutil)]

# --- a kill at every line -------------------------------------------------------------------------


def kill_at_every_line(folder, prepare, write, check):
    """For n = 1, 2, ...: prepare a folder, let a fork die before the n-th line (of the files in
    MORTAL), check.

    Runs in a process of its own; os._exit ends a fork as a kill does: no `finally`, no `except`,
    nothing is flushed.
    """
    killed = 0
    while True:
        scene = folder / str(killed)
        scene.mkdir()
        prepare(scene)
        if (pid := os.fork()) == 0:
            _die_after(killed)
            write(scene)
            os._exit(0)
        exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if exit_code == 0:
            break
        assert exit_code == 9, "write failed by itself"
        check(scene)
        killed += 1
    (folder / "killed").write_text(str(killed))


def _die_after(num_lines):
    left = num_lines

    def trace(frame, event, _):
        nonlocal left
        if frame.f_code.co_filename not in MORTAL:
            return None
        if event == "line":
            if left == 0:
                os._exit(9)
            left -= 1
        return trace

    sys.settrace(trace)


def survives_every_kill(folder, *scenario, at_least):
    """Run kill_at_every_line; returns how many lines it died at."""
    assert finish(start(kill_at_every_line, folder, *scenario)) == 0
    assert int((folder / "killed").read_text()) >= at_least


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
OLD, NEW = {"content": "old"}, {"content": "new " * 5000}


def write_old_json(folder):
    files.write_json(folder / "a.json", OLD)


def write_new_json(folder):
    files.write_json(folder / "a.json", NEW)


def check_json(folder):
    assert json.loads((folder / "a.json").read_text(encoding="utf-8")) in (OLD, NEW)
    write_new_json(folder)  # and what was left does not stand in the way
    assert json.loads((folder / "a.json").read_text(encoding="utf-8")) == NEW
    assert os.listdir(folder) == ["a.json"]


@needs_fork
def test_json_is_old_or_new_after_a_kill_at_any_line(tmp_path):
    survives_every_kill(tmp_path, write_old_json, write_new_json, check_json, at_least=7)


def tensors_of(number):
    return {"model": {"weight": torch.full((3, 2), float(number))}, "best": {}}


def write_state(folder, number):
    saved_state.save_state(folder / "state", number, tensors_of(number), {"step": number})


def write_state_1(folder):
    write_state(folder, 1)


def write_state_2(folder):
    write_state(folder, 2)


def check_state(folder):
    state = saved_state.newest_state(folder / "state")
    tensors, progress = saved_state.load_state(state, ["model", "best"])
    assert progress["step"] in (1, 2) and state.name == f"step-{progress['step']:08d}"
    assert same(tensors["model"], tensors_of(progress["step"])["model"])
    write_state(folder, 3)
    assert os.listdir(folder / "state") == ["step-00000003"]


@needs_fork
def test_a_whole_state_remains_after_a_kill_at_any_line(tmp_path):
    survives_every_kill(tmp_path, write_state_1, write_state_2, check_state, at_least=25)


def tiny_tokenizer():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "film", "of", "words"]
    return WordPieceTokenizer(words)


def own_classifier(seed=0):
    torch.manual_seed(seed)
    return BertForSequenceClassification(BertConfig(**SHAPE))


def write_notes(folder):
    (folder / "notes.txt").write_text("mine")


def write_classifier(folder):
    classifiers.save_classifier(folder, own_classifier(), tiny_tokenizer())


def check_classifier(folder):
    if (
        folder / "model.safetensors"
    ).exists():  # the weights come last: with them, the folder is whole
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        saved = {their_name(name): tensor for name, tensor in weights(own_classifier()).items()}
        assert all(torch.equal(tensor, saved[name]) for name, tensor in model.named_parameters())
        assert AutoTokenizer.from_pretrained(folder)("a film")["input_ids"] == [2, 5, 6, 3]
    write_classifier(folder)
    assert not [name for name in os.listdir(folder) if name.startswith(".")]
    assert (folder / "notes.txt").read_text() == "mine"


@needs_fork
def test_a_folder_with_weights_is_whole_after_a_kill_at_any_line(tmp_path):
    survives_every_kill(tmp_path, write_notes, write_classifier, check_classifier, at_least=15)


RECORDS = ("run.json", "result.json", "model.safetensors")


def write_run(folder):
    write_notes(folder)
    write_state_1(folder)
    for name in RECORDS:
        (folder / name).write_text("x")


def delete_run(folder):
    RunFolder(folder, {}).delete()


def check_that_what_is_left_has_an_owner(folder):
    left = set(os.listdir(folder)) - {"notes.txt"}
    assert "run.json" in left or not left  # without it, the weights and states would be anybody's
    delete_run(folder)
    assert os.listdir(folder) == ["notes.txt"]


@needs_fork
def test_a_run_that_is_half_deleted_can_be_told_after_a_kill_at_any_line(tmp_path):
    survives_every_kill(
        tmp_path, write_run, delete_run, check_that_what_is_left_has_an_owner, at_least=8
    )


# --- errors ---------------------------------------------------------------------------------------


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_json_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    write_old_json(tmp_path)
    with pytest.raises(TypeError):
        files.write_json(tmp_path / "a.json", {"a": 1, "b": object()})
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_new_json(tmp_path)
    assert os.listdir(tmp_path) == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == OLD


@pytest.mark.parametrize("call", [(os, "fsync"), (os, "rename"), (saved_state, "save_file")])
def test_a_state_that_cannot_be_written_leaves_the_old_one(call, tmp_path, monkeypatch):
    write_state(tmp_path, 1)
    monkeypatch.setattr(*call, full_disk)
    with pytest.raises(
        OSError, match=r"could not save.*No space left.*before is untouched.*step-00000002"
    ) as caught:
        write_state(tmp_path, 2)
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path / "state") == ["step-00000001"]
    assert saved_state.load_state(tmp_path / "state" / "step-00000001", ["model"])[1] == {"step": 1}


def write_beyond_the_limit(folder):
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    tensors = {"model": {"weight": torch.zeros(10_000)}}
    try:
        saved_state.save_state(folder / "state", 2, tensors, {"step": 2})
    except OSError as error:
        (folder / "error").write_text(f"{error.errno} {error}")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit that the system keeps")
def test_a_disk_that_takes_no_more_is_told_in_words(tmp_path):
    write_state(tmp_path, 1)
    assert finish(start(write_beyond_the_limit, tmp_path)) == 0
    message = (tmp_path / "error").read_text()
    assert (
        "could not save" in message and "File too large" in message and "step-00000002" in message
    )
    assert os.listdir(tmp_path / "state") == ["step-00000001"]


def test_a_tokenizer_that_cannot_be_written_leaves_the_old_files(tmp_path, monkeypatch):
    write_notes(tmp_path)
    write_classifier(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_, **__):
        raise Exception("No space left on device (os error 28)")  # as the Rust library tells it

    tokenizer = tiny_tokenizer()
    monkeypatch.setattr(tokenizer, "save", full)
    with pytest.raises(
        OSError, match=r"could not save \(No space left on device \(os error 28\)\).*untouched"
    ):
        classifiers.save_classifier(tmp_path, own_classifier(seed=1), tokenizer)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    with (
        pytest.raises(FileExistsError, match="a name that is free"),
        files.atomic_folder(tmp_path / "a"),
    ):
        pytest.fail("came in")


def test_an_error_inside_leaves_no_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt), files.atomic_folder(tmp_path / "a") as scratch:
        (scratch / "part").write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_ensure_writable_leaves_nothing(tmp_path):
    files.ensure_writable(tmp_path / "a" / "b")
    assert os.listdir(tmp_path / "a" / "b") == []


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_is_no_output_folder(place, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        OSError, match=rf"cannot write to the output folder.*choose another.*{place}"
    ):
        files.ensure_writable(tmp_path / place)


def test_a_full_disk_is_told_before_any_work(tmp_path, monkeypatch):
    def write_a_part(path, data):
        path.touch()
        full_disk()

    monkeypatch.setattr(files.Path, "write_bytes", write_a_part)
    with pytest.raises(OSError, match=r"cannot write.*No space left") as caught:
        files.ensure_writable(tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("damage", ["cut", "emptied", "gone", "no json"])
def test_a_damaged_state_is_named(damage, tmp_path):
    write_state(tmp_path, 1)
    state = saved_state.newest_state(tmp_path / "state")
    file = state / ("progress.json" if damage == "no json" else "model.safetensors")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(
            {"cut": file.read_bytes()[:-1], "emptied": b"", "no json": b'{"step": '}[damage]
        )
    with pytest.raises(
        ValueError, match=rf"damaged: .*{file.name}.*delete .*step-00000001 to start again"
    ):
        saved_state.load_state(state, ["model", "best"])


def test_too_little_memory_is_no_damage(tmp_path, monkeypatch):
    write_state(tmp_path, 1)

    def no_memory(*_, **__):
        raise MemoryError

    monkeypatch.setattr(saved_state, "load_file", no_memory)
    with pytest.raises(MemoryError):
        saved_state.load_state(tmp_path / "state" / "step-00000001", ["model"])


# --- the folder of a run --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "here", "words"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "b is 2 there and 3 here"),
        ({"a": 1}, {"a": 1, "b": 3}, "b is None there and 3 here"),
        ({"a": 1, "b": 2}, {"a": 1}, "b is 2 there and None here"),
    ],
)
def test_another_run_is_refused_with_both_values(there, here, words, tmp_path):
    with pytest.raises(
        ValueError, match=f"{tmp_path} holds another run: {words}; choose another folder"
    ):
        RunFolder(tmp_path, here).refuse_other(there)


def test_the_same_run_is_not_refused(tmp_path):
    files.write_json(
        tmp_path / "run.json", {"identity": {"rate": 0.1, "name": "a"}, "hardware": {}}
    )
    assert RunFolder(tmp_path, {"name": "a", "rate": 0.1}).start()["hardware"] == {}
    assert RunFolder(tmp_path / "elsewhere", {"name": "b"}).start() == {}


def test_the_newest_state_is_the_last_whole_one(tmp_path):
    assert saved_state.newest_state(tmp_path / "state") is None
    for number in (9, 10, 100):
        (tmp_path / f"step-{number:08d}").mkdir()
    (tmp_path / ".step-00000200.partial").mkdir()
    assert saved_state.newest_state(tmp_path).name == "step-00000100"


def test_saving_drops_older_states_and_what_a_kill_left(tmp_path):
    write_state(tmp_path, 1)
    (tmp_path / "state" / ".step-00000002.partial").mkdir()
    write_state(tmp_path, 5)
    assert os.listdir(tmp_path / "state") == ["step-00000005"]


def test_delete_run_leaves_what_is_not_its_own(tmp_path):
    write_state(tmp_path, 1)
    for name in (*RECORDS, "notes.txt"):
        (tmp_path / name).write_text("x")
    RunFolder(tmp_path, {}).delete()
    assert os.listdir(tmp_path) == ["notes.txt"]
    RunFolder(tmp_path / "nothing there", {}).delete()


@pytest.mark.parametrize("record", ["run.json", "result.json", None])
def test_weights_are_deleted_only_where_a_record_says_that_a_run_made_them(record, tmp_path):
    for name in ("model.safetensors", "config.json", *([record] if record else [])):
        (tmp_path / name).write_text("x")
    RunFolder(tmp_path, {}).delete()
    assert sorted(os.listdir(tmp_path)) == [
        "config.json",
        *([] if record else ["model.safetensors"]),
    ]


# --- our models with a head, as transformers reads them -------------------------------------------

IDS = torch.tensor([[2, 7, 9, 11, 3], [2, 20, 21, 22, 3]])


def save_ours(kind, folder, **options):
    """One of model.py's own, of large random weights, in eval mode, and in `folder`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(
            BertConfig(
                vocab_size=40,
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=32,
                initializer_range=0.3,
            ),
            **options,
        )
    models.save_pretrained(model.eval(), folder)
    return model


@torch.no_grad()
def assert_same_logits(ours, theirs):
    expected = ours(IDS).logits
    assert expected.std() > 0.05
    torch.testing.assert_close(theirs.eval()(IDS).logits, expected, rtol=0, atol=1e-5)


def test_transformers_reads_a_causal_model_as_one_that_looks_back_only(tmp_path):
    ours = save_ours(BertForCausalLM, tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert (type(theirs).__name__, theirs.config.is_decoder) == ("BertLMHeadModel", True)
    assert theirs.config.architectures == ["BertLMHeadModel"]
    assert_same_logits(ours, theirs)
    assert same(
        weights(ours), weights(models.load_pretrained(tmp_path, model_class=BertForCausalLM))
    )


@pytest.mark.parametrize("num_labels", [1, 2, 3])
def test_transformers_reads_a_classifier_with_all_its_labels(num_labels, tmp_path):
    ours = save_ours(BertForSequenceClassification, tmp_path, num_labels=num_labels)
    theirs, loading = AutoModelForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not loading["missing_keys"] and theirs.config.num_labels == num_labels
    assert theirs.config.id2label == {number: f"LABEL_{number}" for number in range(num_labels)}
    assert_same_logits(ours, theirs)
    back = models.load_pretrained(tmp_path, model_class=BertForSequenceClassification)
    assert same(weights(ours), weights(back))


# --- tensors --------------------------------------------------------------------------------------


def test_random_states_come_back_through_json():
    def draw():
        return [
            random.random(),
            random.gauss(0, 1),
            *np.random.standard_normal(3),
            np.random.randint(1000),
            *torch.randn(3).tolist(),
            *torch.rand(17).tolist(),
            *torch.randperm(5).tolist(),
        ]

    (
        random.gauss(0, 1),
        np.random.standard_normal(),
        torch.randn(1),
    )  # each leaves half a pair of normals behind
    states = json.loads(json.dumps(saved_state.random_states()))
    first = draw()
    assert draw() != first
    saved_state.restore_random_states(states)
    assert draw() == first


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path):
    model, other = tiny_model(BertForMaskedLM, seed=1), tiny_model(BertForMaskedLM, seed=2)
    tensors = models.model_tensors(model)
    assert "cls.predictions.decoder.weight" not in tensors
    saved_state.save_file(tensors, tmp_path / "a.safetensors")
    models.load_tensors(other, saved_state.load_file(tmp_path / "a.safetensors"))
    assert same(weights(model), weights(other))
    assert other.cls.predictions.decoder.weight is other.bert.embeddings.word_embeddings.weight


def test_a_transposed_parameter_is_loaded_too():
    def transposed(value):
        module = nn.Module()
        module.weight = nn.Parameter(torch.full((2, 3), value).T)
        return module

    module = transposed(0.0)
    assert not module.weight.is_contiguous()
    models.load_tensors(module, models.model_tensors(transposed(1.0)))
    assert module.weight.eq(1).all()


def test_weights_of_another_model_are_named():
    tensors = models.model_tensors(nn.Linear(2, 3))
    with pytest.raises(ValueError, match=r"missing: \['scale'\], extra: \['bias', 'weight'\]"):
        module = nn.Module()
        module.scale = nn.Parameter(torch.zeros(1))
        models.load_tensors(module, tensors)
    with pytest.raises(ValueError, match=r"weight has shape \(3, 4\) here, \(3, 2\) in the file"):
        models.load_tensors(nn.Linear(4, 3), tensors)


def test_an_optimizer_goes_on_as_if_never_stopped(tmp_path):
    def steps(layer, optimizer, count):
        for number in range(count):
            layer(torch.ones(1, 2) * (number + 1)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    def fresh():
        torch.manual_seed(0)
        layer = nn.Linear(2, 3)
        return layer, torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)

    one, optimizer = fresh()
    steps(one, optimizer, 3)
    saved_state.save_file(
        saved_state.optimizer_tensors(optimizer), tmp_path / "optimizer.safetensors"
    )
    other, fresh_optimizer = fresh()
    models.load_tensors(other, models.model_tensors(one))
    saved_state.load_optimizer(
        fresh_optimizer, saved_state.load_file(tmp_path / "optimizer.safetensors")
    )
    steps(one, optimizer, 2)
    steps(other, fresh_optimizer, 2)
    assert same(weights(one), weights(other))
