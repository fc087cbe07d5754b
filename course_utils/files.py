"""Files and folders that are whole or absent, whatever stops the writing; JSON;
a file's fingerprint.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

COURSE_ROOT = Path(__file__).resolve().parents[1]  # the checkout, where data/ lies


def ensure_writable(folder: Path) -> None:
    """Create `folder` and try to write in it. Raises OSError that says what to do,
    before any work is done.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        try:
            probe.write_bytes(b"0")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot write to the output folder ({error.strerror}); choose another one or free it",
            str(folder),
        ) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON so that `path` holds the old content or the new one, never a part."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file. Raises ValueError that names the file where it is
    no whole JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, not an object")
    except ValueError as error:
        raise ValueError(
            f"{path} is cut short or damaged ({error}); restore it, or choose another folder"
        ) from None
    return content


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a scratch folder that becomes `path` at the end;
    on an error it goes, and `path` never comes to be.

    All files reach the disk before the name changes. Raises FileExistsError if `path` exists, as a
    folder cannot be replaced in one step; OSError (a full disk, say) that names the folder and says
    that nothing was lost.
    """
    if path.exists():
        raise FileExistsError(errno.EEXIST, "expected a name that is free", str(path))
    scratch = path.with_name(f".{path.name}.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir(parents=True)
        yield scratch
        for file in scratch.iterdir():
            with file.open("r+b") as handle:  # Windows syncs only what may be written
                os.fsync(handle.fileno())
        os.rename(scratch, path)
    except (
        OSError,
        SafetensorError,
    ) as error:  # safetensors tells a full disk by an error of its own kind
        shutil.rmtree(scratch, ignore_errors=True)
        number, reason = getattr(error, "errno", errno.EIO), getattr(error, "strerror", error)
        raise OSError(
            number,
            f"could not save ({reason}); what was saved before is untouched. Free some space and "
            "start the same command again",
            str(path),
        ) from error
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


@contextmanager
def replaced_files(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder whose files replace those of `folder` at the end, each in one step,
    weights last.
    """
    scratch = folder / ".model"
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed right here
    with atomic_folder(scratch) as new:
        yield new
    for file in sorted(scratch.iterdir(), key=lambda file: file.suffix == ".safetensors"):
        os.replace(file, folder / file.name)
    scratch.rmdir()


def sha256(path: Path) -> str:
    """The file's content as a fingerprint of 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
