"""Downloads from the Hugging Face Hub that are retried, checked and healed.

The Hub's own client repeats some failed requests but not all, and never looks at the bytes that
arrived: a flipped bit in a weight loads in silence, now and from the cache later. Here a whole call
is repeated, within bounds; what arrived is held to the hash that the Hub gave for it; and what is
wrong is fetched afresh, once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import OfflineModeIsEnabled
from safetensors import SafetensorError, safe_open

from course_utils.files import COURSE_ROOT, sha256

T = TypeVar("T")

# What a checkpoint needs, and never a pickle (*.bin): weights come as safetensors or not at all.
_CHECKPOINT_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
COURSE_BERT = "course-bert"  # the name, everywhere, of the checkpoint that ships with the course
_SHIPPED = COURSE_ROOT / "data" / "checkpoints"
_HTTP_LIBRARIES = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3")
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")  # NAME or OWNER/NAME


class DataError(RuntimeError):
    """Data or weights that are missing, incomplete or damaged.
    The message says which, and what to do.
    """


# --- retries --------------------------------------------------------------------------------------


def _with_retries(
    call: Callable[[], T],
    *,
    attempts: int = 4,
    first_delay: float = 1.0,
    max_delay: float = 60.0,
    sleep: Callable[[float], object] = time.sleep,
) -> T:
    """Return `call()`, repeated while it fails in a way that may pass by itself (`_is_transient`).

    Waits `first_delay` seconds, then twice as long each time, or what the server asks for in
    Retry-After; never longer than `max_delay`. Raises the last error after `attempts` calls, and
    any other error at once.
    """
    for attempt in range(1, attempts + 1):
        try:
            return call()
        except Exception as error:
            if attempt == attempts or not _is_transient(error):
                raise
            delay = max(first_delay * 2 ** (attempt - 1), _retry_after(error))
        sleep(min(delay, max_delay))
    raise ValueError(f"attempts must be at least 1, got {attempts}")


def _is_transient(error: BaseException) -> bool:
    """Whether an error may pass by itself: a server's 5xx, 408 or 429, a lost,
    slow or truncated connection.

    Clients wrap errors in errors, so the first of the chain that tells decides. A refusal (401,
    404), the offline mode and a full disk do not pass by themselves.
    """
    for link in _chain(error):
        if isinstance(link, OfflineModeIsEnabled):
            return False
        status = getattr(getattr(link, "response", None), "status_code", None)
        if status is not None:
            return status in (408, 429) or status >= 500
        if isinstance(link, (ConnectionError, TimeoutError)):
            return True
        if "Consistency check failed" in str(link):
            return True
        # Each version of the client brings its own HTTP library, and these share no base class but
        # Exception.
        if type(link).__module__.partition(".")[0] in _HTTP_LIBRARIES:
            return True
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, its cause, the cause's cause, and so on."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _retry_after(error: BaseException) -> float:
    """Seconds that the server asked to wait, or 0."""
    for link in _chain(error):
        response = getattr(link, "response", None)
        headers = getattr(response, "headers", {})
        value = str(headers.get("Retry-After", ""))
        if value.isdecimal():
            return float(value)
    return 0.0


# --- downloads ------------------------------------------------------------------------------------


def _is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids every request.

    The Hub's client reads the variable when it is first imported.
    """
    return bool(constants.HF_HUB_OFFLINE)


def fetch_checked(
    repo_id: str,
    check: Callable[[Path], T],
    *,
    files: Sequence[str],
    advice: str,
    repo_type: str = "model",
    force_download: bool = False,
) -> T:
    """Fetch `files` (names or patterns) of a repository and return `check(folder)`.

    A cached copy that passes the check needs no network. What is missing is downloaded; what
    `check` refuses, by raising DataError, is downloaded afresh once and checked again. Raises
    DataError that ends in `advice`.
    """

    def from_cache() -> Path | None:
        return _cached(repo_id, repo_type, files)

    def completed() -> Path:
        return _download(repo_id, repo_type, files, False, advice)

    def afresh() -> Path:
        return _download(repo_id, repo_type, files, True, advice)

    problem: DataError | None = None
    for fetch in (afresh,) if force_download else (from_cache, completed, afresh):
        folder = fetch()
        if folder is None:
            continue
        try:
            return check(folder)
        except DataError as error:
            problem = error
        if _is_offline():
            raise DataError(f"{problem} HF_HUB_OFFLINE forbids a new download. {advice}") from None
    raise DataError(f"{problem} A forced download has not healed it. {advice}") from None


def _cached(repo_id: str, repo_type: str, files: Sequence[str]) -> Path | None:
    """The newest snapshot in the cache, without a request;
    None where there is none, or a part of one.
    """
    try:
        return Path(
            snapshot_download(
                repo_id, repo_type=repo_type, allow_patterns=list(files), local_files_only=True
            )
        )
    except OSError:
        return None


def _download(repo_id: str, repo_type: str, files: Sequence[str], force: bool, advice: str) -> Path:
    """The snapshot with all `files`, downloaded where they are missing, or all if `force`."""
    if force and _is_offline():
        raise DataError(f"HF_HUB_OFFLINE forbids a new download of {repo_id}. {advice}")

    download = partial(
        snapshot_download,
        repo_id,
        repo_type=repo_type,
        allow_patterns=list(files),
        force_download=force,
    )
    try:
        if force:
            _forget_copies(repo_id, repo_type, files)
        return Path(_with_retries(download))
    except Exception as error:
        # The client raises whatever its HTTP library, its cache and the disk raise.
        raise DataError(f"{_explain(repo_id, repo_type, error)} {advice}") from None


def _forget_copies(repo_id: str, repo_type: str, files: Sequence[str]) -> None:
    """Where the cache cannot link (Windows), a forced download would leave the
    old copy in its place.
    """
    snapshot = _cached(repo_id, repo_type, files)
    if snapshot is None:
        return
    for pattern in files:
        for file in list(snapshot.glob(pattern)):
            if not file.is_symlink():
                file.unlink()


def _explain(repo_id: str, repo_type: str, error: Exception) -> str:
    """One sentence for a learner: what could not be downloaded, and why."""
    chain = list(_chain(error))
    if any(isinstance(link, OfflineModeIsEnabled) for link in chain):
        return (
            f"The {repo_type} {repo_id} is not in the cache ({constants.HF_HUB_CACHE}), and "
            "HF_HUB_OFFLINE forbids every download."
        )
    for link in chain:
        status = getattr(getattr(link, "response", None), "status_code", None)
        if status in (401, 403, 404):
            return (
                f"The Hub ({constants.ENDPOINT}) has no {repo_type} {repo_id}, or keeps it private "
                f"(HTTP {status})."
            )
        if status is not None:
            return (
                f"The Hub ({constants.ENDPOINT}) answered HTTP {status} to each "
                f"request for {repo_id}."
            )
    cause = chain[-1]
    return (
        f"{repo_id} could not be downloaded to {constants.HF_HUB_CACHE}: "
        f"{type(cause).__name__}: {cause}."
    )


# --- checkpoints ----------------------------------------------------------------------------------


def shipped_folder(name: str) -> str:
    """The folder of the checkpoint that ships with the course, for its name "course-bert";
    any other name as it is.

    It lies beside the package, wherever the working directory is; a folder of one's own that is
    called the same is written ./course-bert. Raises FileNotFoundError where the package stands
    alone, without the course's data.
    """
    if name != COURSE_BERT:
        return name
    folder = _SHIPPED / COURSE_BERT
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(
            f"{COURSE_BERT} ships with the course, and this copy has no {folder}; fetch the whole "
            "course (git clone), or name another checkpoint, such as tiny-random"
        )
    return str(folder)


def fetch_checkpoint(name_or_folder: str | Path, *, force_download: bool = False) -> Path:
    """The folder of a checkpoint: "course-bert" or a local one as it is,
    or one fetched by its Hub name and verified.

    From the Hub come only config, safetensors and tokenizer files. A verified copy in the cache is
    returned without a request, so `HF_HUB_OFFLINE=1` works after one download; `force_download`
    asks the Hub anyway.
    Raises FileNotFoundError where a local folder is no checkpoint, DataError where weights are
    missing or damaged.
    """
    if isinstance(name_or_folder, str):
        name_or_folder = shipped_folder(name_or_folder)
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            found = ", ".join(sorted(os.listdir(folder))[:8]) or "nothing"
            raise FileNotFoundError(
                f"{folder} is no checkpoint: expected config.json and model.safetensors, "
                f"found {found}"
            )
        if (folder / "model.safetensors").is_file():
            check_safetensors(folder / "model.safetensors")
        return folder
    name = str(name_or_folder)
    if isinstance(name_or_folder, Path) or not _HUB_NAME.fullmatch(name):
        raise FileNotFoundError(
            f"{name} is neither a folder here nor a name on the Hub (NAME or OWNER/NAME)"
        )
    return fetch_checked(
        name,
        lambda snapshot: _check_checkpoint(name, snapshot),
        files=_CHECKPOINT_FILES,
        advice="Check the name and the network and run again, or pass a local folder with "
        "config.json and model.safetensors.",
        force_download=force_download,
    )


def _check_checkpoint(name: str, snapshot: Path) -> Path:
    for file in ("config.json", "model.safetensors"):
        if not (snapshot / file).is_file():
            raise DataError(f"{name} has no {file} in {snapshot}.")
    check_safetensors(snapshot / "model.safetensors")
    if damaged := _find_damaged(name, snapshot):
        raise DataError(
            f"{name}: damaged in {snapshot}, by the Hub's own hash: {', '.join(damaged)}."
        )
    return snapshot


def check_safetensors(file: Path) -> None:
    """Raise DataError unless `file` is as long as its header says.

    The format: 8 bytes with the header's length, the header in JSON, then the tensors.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            header_size = int.from_bytes(stream.read(8), "little")
            if header_size > size:
                raise ValueError("a header longer than the file")
            header = json.loads(stream.read(header_size))
        tensors = [value for key, value in header.items() if key != "__metadata__"]
        ends = [tensor["data_offsets"][1] for tensor in tensors]
        expected = 8 + header_size + max(ends, default=0)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{file} ({size:,} bytes) is no safetensors file: {error}.") from None
    if size != expected:
        raise DataError(
            f"{file} is not whole: its header promises {expected:,} bytes, it has {size:,}."
        )
    try:
        with safe_open(file, "pt"):  # looks at the type and the place of each tensor, too
            pass
    except SafetensorError as error:
        raise DataError(f"{file} is damaged: {error}.") from None


def _find_damaged(repo_id: str, snapshot: Path) -> list[str]:
    """Names of the files in a cached snapshot whose bytes differ from the Hub's hash of them.

    The cache stores each file under the hash that the Hub announced for it (sha256 for large files,
    git's sha1 for small ones), and the snapshot links there, so no request is needed, which the
    client's own `verify_repo_checksums` makes each time. Where the cache has no links (Windows),
    the client asks the Hub; while it cannot be reached, nothing is known to be damaged.
    """
    files = [file for file in sorted(snapshot.iterdir()) if file.name in _CHECKPOINT_FILES]
    announced = {file: _announced_hash(file) for file in files}
    if all(announced.values()):
        return [file.name for file in files if not _has_hash(file, announced[file])]
    if _is_offline():
        return []
    verify = partial(HfApi().verify_repo_checksums, repo_id, revision=snapshot.name)
    try:
        found = _with_retries(verify, attempts=2)
    except Exception as error:
        if _is_transient(error):
            return []
        raise
    damaged = [mismatch["path"] for mismatch in found.mismatches]
    return [path for path in damaged if path in _CHECKPOINT_FILES]


def _announced_hash(file: Path) -> str:
    """The hash in the name of the blob that `file` links to (it may link on, to
    a shared one), or "".
    """
    name = Path(os.readlink(file)).name if file.is_symlink() else ""
    return name if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name) else ""


def _has_hash(file: Path, announced: str) -> bool:
    """Whether a file has that sha256 (64 digits) or, as git hashes a blob, sha1 (40 digits)."""
    if len(announced) == 64:
        return sha256(file) == announced
    content = file.read_bytes()  # git's hash is only announced for small files
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == announced
