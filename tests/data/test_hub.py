"""Downloads under every fault that the loopback Hub can inject: each is healed,
or ends in a clear error.
"""

import contextlib
import functools
import itertools
import json

import numpy as np
import pytest
from huggingface_hub import constants, file_download
from loopback_hub import connect, serve
from safetensors.numpy import load_file, save_file

from course_utils.data import DataError, hub
from course_utils.data.hub import _is_transient, _with_retries, check_safetensors, fetch_checkpoint

NAME = "some-owner/tiny-bert"
WEIGHTS = {
    "weight": np.random.default_rng(0).standard_normal((200, 200)).astype(np.float32)
}  # 160 KB


class Refusal(Exception):
    """An error as HTTP clients raise it."""

    def __init__(self, status_code, **headers):
        super().__init__(f"status {status_code}")
        self.response = type("Response", (), {"status_code": status_code, "headers": headers})()


def failing(errors, result="done"):
    """A function that raises each of the errors in turn, then returns the result;
    it counts its calls.
    """

    def call():
        call.count += 1
        if call.count <= len(errors):
            raise errors[call.count - 1]
        return result

    call.count = 0
    return call


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    write_checkpoint(root / "models" / NAME)
    return root


def write_checkpoint(folder):
    folder.mkdir(parents=True)
    save_file(WEIGHTS, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"something else")
    return folder


@pytest.fixture
def start(root, tmp_path, monkeypatch):
    """Start a Hub with the given faults; every pause between tries is noted, and hardly taken."""
    pauses = []
    monkeypatch.setattr(hub, "_with_retries", functools.partial(_with_retries, sleep=pauses.append))
    with contextlib.ExitStack() as stack:

        def start(*faults, folder=root):
            server = stack.enter_context(serve(folder, faults, log_file=None))
            connect(monkeypatch, server, tmp_path / "cache")
            server.pauses = pauses
            return server

        yield start


def is_whole(folder):
    return np.array_equal(load_file(folder / "model.safetensors")["weight"], WEIGHTS["weight"])


# --- retries --------------------------------------------------------------------------------------


def test_retries_wait_longer_each_time_and_end():
    pauses, call = [], failing([ConnectionResetError("reset")] * 9)
    with pytest.raises(ConnectionResetError):
        _with_retries(call, attempts=4, first_delay=0.5, sleep=pauses.append)
    assert call.count == 4
    assert pauses == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    "error",
    [
        Refusal(500),
        Refusal(503),
        Refusal(429),
        Refusal(408),
        ConnectionResetError(),
        TimeoutError(),
        OSError("Consistency check failed: file should be of size 3"),
    ],
)
def test_transient_errors_are_tried_again(error):
    call = failing([error, error])
    assert _with_retries(call, sleep=lambda _: None) == "done"
    assert call.count == 3


@pytest.mark.parametrize(
    "error",
    [
        Refusal(401),
        Refusal(403),
        Refusal(404),
        PermissionError("read-only"),
        KeyError(),
        OSError(28, "No space left"),
        hub.OfflineModeIsEnabled("offline"),
    ],
)
def test_other_errors_are_raised_at_once(error):
    call = failing([error])
    with pytest.raises(type(error)):
        _with_retries(call, sleep=lambda _: pytest.fail("waited for an error that does not pass"))
    assert call.count == 1


@pytest.mark.parametrize(
    ("asked", "waited"), [("7", 7.0), ("0", 1.0), ("4000", 60.0), ("Wed, 21 Oct", 1.0)]
)
def test_retry_after_is_honoured_within_bounds(asked, waited):
    pauses = []
    _with_retries(failing([Refusal(429, **{"Retry-After": asked})]), sleep=pauses.append)
    assert pauses == [waited]


def test_a_wrapped_error_is_judged_by_its_cause():
    def wrap(cause):
        error = FileNotFoundError("cannot find the requested files in the cache")
        error.__cause__ = cause
        return error

    assert _is_transient(wrap(Refusal(502)))
    assert _is_transient(wrap(wrap(TimeoutError())))
    assert not _is_transient(wrap(Refusal(404)))
    assert not _is_transient(wrap(None))


def test_no_attempts_is_an_error():
    with pytest.raises(ValueError, match="attempts must be at least 1, got 0"):
        _with_retries(lambda: None, attempts=0)


# --- checkpoints from the Hub ---------------------------------------------------------------------


def test_only_what_is_needed_is_fetched_and_then_nothing(start):
    server = start()
    folder = fetch_checkpoint(NAME)
    assert is_whole(folder)
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "vocab.txt",
    ]
    assert server.count(r"pytorch_model\.bin|onnx/") == 0
    requests = len(server.requests)
    assert fetch_checkpoint(NAME) == folder
    assert len(server.requests) == requests, "a verified copy in the cache needs no request"


def test_a_bare_name_is_found(start):
    start()
    assert is_whole(fetch_checkpoint("tiny-bert"))


@pytest.mark.parametrize("kind", ["500", "429", "reset", "drop"])
def test_each_file_failing_once_is_healed(start, kind):
    server = start(f"{kind}:x1@^GET .*/resolve/")
    assert is_whole(fetch_checkpoint(NAME))
    assert server.count(f"fault={kind}") == 4


@pytest.mark.parametrize("kind", ["500", "429", "reset", "drop"])
def test_the_listing_failing_once_is_healed(start, kind):
    server = start(f"{kind}:x1@/api/")
    assert is_whole(fetch_checkpoint(NAME))
    assert server.count(f"fault={kind}") >= 1


def test_a_hub_that_stays_down_is_a_clear_error(start):
    server = start("500:1.0")
    with pytest.raises(
        DataError, match=r"HTTP 500 .* some-owner/tiny-bert.*pass a local folder"
    ) as caught:
        fetch_checkpoint(NAME)
    assert server.pauses == [1.0, 2.0, 4.0]
    assert caught.value.__suppress_context__, (
        "a learner should read one message, not four tracebacks"
    )


def test_nobody_listening_is_a_clear_error(start):
    server = start()
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match=r"could not be downloaded.*Connect"):
        fetch_checkpoint(NAME)


def test_an_unknown_name_is_an_error_without_retries(start):
    server = start()
    with pytest.raises(DataError, match=r"has no model some-owner/no-such-bert"):
        fetch_checkpoint("some-owner/no-such-bert")
    assert server.pauses == []


def test_corrupt_weights_are_fetched_afresh_once(start):
    server = start(r"corrupt:x1@^GET .*/resolve/.*\.safetensors")
    assert is_whole(fetch_checkpoint(NAME))
    assert server.count(r"GET .*model\.safetensors 200") == 2
    assert is_whole(fetch_checkpoint(NAME))
    assert server.count(r"GET .*model\.safetensors 200") == 2


def test_a_corrupt_small_file_is_noticed_too(start):
    server = start(r"corrupt:x1@^GET .*/resolve/.*vocab\.txt")
    assert (fetch_checkpoint(NAME) / "vocab.txt").read_text() == "[PAD]\n[UNK]\n"
    assert server.count(r"GET .*vocab\.txt 200") == 2


def test_weights_that_stay_corrupt_end_in_an_error_after_one_forced_download(start):
    server = start(r"corrupt:1.0@^GET .*/resolve/.*\.safetensors")
    with pytest.raises(
        DataError, match=r"model\.safetensors.*forced download has not healed.*local folder"
    ):
        fetch_checkpoint(NAME)
    assert server.count(r"GET .*model\.safetensors 200") == 2


def test_force_download_asks_once_more_and_only_once(start):
    server = start(r"corrupt:1.0@^GET .*/resolve/.*\.safetensors")
    with pytest.raises(DataError, match="forced download"):
        fetch_checkpoint(NAME, force_download=True)
    assert server.count(r"GET .*model\.safetensors 200") == 1


def test_a_bit_that_flips_in_the_cache_is_noticed_and_healed(start):
    server = start()
    file = fetch_checkpoint(NAME) / "model.safetensors"
    flip_last_byte(file)
    assert not is_whole(file.parent)
    assert is_whole(fetch_checkpoint(NAME))
    assert server.count(r"GET .*model\.safetensors 200") == 2


def test_a_cache_without_links_is_verified_by_asking_the_hub(start, monkeypatch):
    monkeypatch.setattr(file_download, "are_symlinks_supported", lambda *_: False)
    server = start(r"corrupt:x1@^GET .*/resolve/.*\.safetensors")
    folder = fetch_checkpoint(NAME)
    assert not (folder / "model.safetensors").is_symlink()
    assert is_whole(folder)
    assert server.count(r"GET .*model\.safetensors 200") == 2


def test_offline_without_links_a_truncated_file_is_still_noticed(start, monkeypatch):
    monkeypatch.setattr(file_download, "are_symlinks_supported", lambda *_: False)
    server = start()
    folder = fetch_checkpoint(NAME)
    server.shutdown()
    server.server_close()
    assert fetch_checkpoint(NAME) == folder, (
        "a Hub that cannot be reached is no reason to refuse the cached copy"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch_checkpoint(NAME) == folder
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(
        DataError, match=r"is not whole: its header promises .* HF_HUB_OFFLINE forbids"
    ):
        fetch_checkpoint(NAME)


def test_offline_a_forced_download_is_refused(start, monkeypatch):
    start()
    folder = fetch_checkpoint(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="HF_HUB_OFFLINE forbids"):
        fetch_checkpoint(NAME, force_download=True)
    assert is_whole(folder)


def test_a_part_of_a_checkpoint_in_the_cache_is_completed(start):
    start()
    hub._download(NAME, "model", ["config.json", "vocab.txt"], False, "")
    assert is_whole(fetch_checkpoint(NAME))


def test_a_repository_without_safetensors_is_refused(start, tmp_path):
    folder = write_checkpoint(tmp_path / "other" / "models" / NAME)
    (folder / "model.safetensors").unlink()
    server = start(folder=tmp_path / "other")
    with pytest.raises(DataError, match=r"no model\.safetensors"):
        fetch_checkpoint(NAME)
    assert server.count("pytorch_model") == 0


def test_offline_needs_the_cache_and_says_so(start, monkeypatch):
    server = start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"not in the cache .*HF_HUB_OFFLINE.*local folder"):
        fetch_checkpoint(NAME)
    assert server.count("GET|HEAD") == 0


def test_offline_takes_the_cached_copy_but_not_a_damaged_one(start, monkeypatch):
    start()
    folder = fetch_checkpoint(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch_checkpoint(NAME) == folder
    flip_last_byte(folder / "model.safetensors")
    with pytest.raises(DataError, match=r"damaged .*model\.safetensors.*HF_HUB_OFFLINE forbids"):
        fetch_checkpoint(NAME)


def test_an_unwritable_cache_is_a_clear_error(start, tmp_path, monkeypatch):
    start()
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(
        DataError, match=r"could not be downloaded to .*file.cache: NotADirectoryError"
    ):
        fetch_checkpoint(NAME)


# --- checkpoints from a folder --------------------------------------------------------------------


def flip_last_byte(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_a_local_folder_is_taken_as_it_is(tmp_path):
    folder = write_checkpoint(tmp_path / "mine")
    assert fetch_checkpoint(folder) == fetch_checkpoint(str(folder)) == folder


def test_a_folder_that_is_no_checkpoint_says_what_was_expected(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        FileNotFoundError, match=r"expected config\.json and model\.safetensors, found notes\.txt"
    ):
        fetch_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "name", ["./nowhere", "/no/such/folder", "a/b/c", "../up", "C:\\bert", "a b/c"]
)
def test_a_path_that_does_not_exist_is_not_asked_of_the_hub(name, start):
    server = start()
    with pytest.raises(FileNotFoundError, match="neither a folder here nor a name on the Hub"):
        fetch_checkpoint(name)
    assert server.count("GET|HEAD") == 0


@pytest.mark.parametrize("size", [0, 4, 7, 8, 60, 1000, 159_999])
def test_truncated_safetensors_are_named(tmp_path, size):
    folder = write_checkpoint(tmp_path / "mine")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(DataError, match=r"model\.safetensors.*(not whole|no safetensors file)"):
        fetch_checkpoint(folder)


@pytest.mark.parametrize(
    "content", [b"\xff" * 100, b"\x02" + bytes(7) + b"[]", b"\x02" + bytes(7) + b"{]"]
)
def test_what_is_no_safetensors_file_is_named(tmp_path, content):
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(DataError, match="no safetensors file"):
        check_safetensors(file)


def test_no_changed_bit_of_a_header_gives_another_kind_of_error(tmp_path):
    """What is refused is refused as damaged, and what is not can be read."""
    save_file({"weight": np.ones((2, 3), dtype=np.float32)}, tmp_path / "whole.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    file, refused = tmp_path / "model.safetensors", 0
    for place, bit in itertools.product(
        range(len(whole) - 24), range(8)
    ):  # the tensor's 24 bytes come last
        content = bytearray(whole)
        content[place] ^= 1 << bit
        file.write_bytes(content)
        try:
            check_safetensors(file)
        except DataError as error:
            refused += 1
            assert str(file) in str(error)
        else:
            load_file(file)
    assert refused > 400
