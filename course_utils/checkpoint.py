"""Weights in and out, and the state of a training run, written so that a crash at any moment loses nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

Tensors = dict[str, torch.Tensor]


# --- files that are whole or absent ------------------------------------------------------------------------------


def ensure_writable(folder: Path) -> None:
    """Create `folder` and try to write in it. Raises OSError that says what to do, before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        try:
            probe.write_bytes(b"0")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, f"cannot write to the output folder ({error.strerror}); choose another one or "
                                   "free it", str(folder)) from error


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


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a scratch folder that becomes `path` at the end; on an error it goes, and `path` never comes to be.

    All files reach the disk before the name changes. Raises FileExistsError if `path` exists, as a folder cannot be
    replaced in one step; OSError (a full disk, say) that names the folder and says that nothing was lost.
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
    except (OSError, SafetensorError) as error:  # safetensors tells a full disk by an error of its own kind
        shutil.rmtree(scratch, ignore_errors=True)
        number, reason = getattr(error, "errno", errno.EIO), getattr(error, "strerror", error)
        raise OSError(number, f"could not save ({reason}); what was saved before is untouched. Free some space and "
                              "start the same command again", str(path)) from error
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def refuse_other_run(folder: Path, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise ValueError, naming a setting and both its values, if `folder` holds a run with other settings."""
    for name in {**saved, **now}:
        there, here = saved.get(name), now.get(name)
        if there != here:
            raise ValueError(f"{folder} holds another run: {name} is {there!r} there and {here!r} here; choose "
                             "another folder, or delete that one")


def read_run(folder: Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    """The record (run.json) of the run in `folder`, {} for a new one. Raises ValueError if it is another run."""
    path = folder / "run.json"
    if not path.exists():
        return {}
    record = json.loads(path.read_text(encoding="utf-8"))
    refuse_other_run(folder, record["identity"], identity)
    return record


def save_classifier(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write model.safetensors, config and tokenizer into `folder`, each file whole; `transformers` loads the folder."""
    scratch = folder / ".model"
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed right here
    with atomic_folder(scratch) as new:
        model.save_pretrained(new)
        tokenizer.save_pretrained(new)
    for file in sorted(scratch.iterdir(), key=lambda file: file.suffix == ".safetensors"):  # the weights come last
        os.replace(file, folder / file.name)
    scratch.rmdir()


def sha256(path: Path) -> str:
    """The file's content as a fingerprint of 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- the state of a run ------------------------------------------------------------------------------------------


def random_states() -> dict[str, Any]:
    """Every global random state that training may draw from (Python, NumPy, torch, each GPU), ready for JSON."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {"python": random.getstate(), "numpy": [name, keys.tolist(), position, has_gauss, cached],
            "torch": torch.get_rng_state().tolist(),
            "cuda": [state.tolist() for state in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else []}


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Put back what `random_states` returned, also after a detour through JSON."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(torch.tensor(states["torch"], dtype=torch.uint8))
    if states["cuda"] and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all([torch.tensor(state, dtype=torch.uint8) for state in states["cuda"]])


def model_tensors(model: nn.Module) -> Tensors:
    """Every parameter and buffer by name, each shared (tied) one once; views of the model's own where possible."""
    return {name: tensor.contiguous() for name, tensor in _own_tensors(model).items()}


def _own_tensors(model: nn.Module) -> Tensors:
    return {name: tensor.detach() for name, tensor in (*model.named_parameters(), *model.named_buffers())}


def load_tensors(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors into the model. Raises ValueError naming a tensor that is missing, extra or misshapen."""
    own = _own_tensors(model)
    if own.keys() != tensors.keys():
        raise ValueError(f"the saved weights belong to another model; missing: {sorted(own.keys() - tensors.keys())}, "
                         f"extra: {sorted(tensors.keys() - own.keys())}")
    for name, tensor in own.items():
        if tensor.shape != tensors[name].shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)} here, {tuple(tensors[name].shape)} in the file")
        tensor.copy_(tensors[name])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimizer's memory, flat: "INDEX.exp_avg" and so on."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{key}": value.contiguous() for index, entry in state.items() for key, value in entry.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what `optimizer_tensors` returned; the groups (rates, decay) stay those of `optimizer`."""
    state: dict[int, Tensors] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def save_state(folder: Path, step: int, tensors: Mapping[str, Mapping[str, torch.Tensor]],
               progress: Mapping[str, Any]) -> None:
    """Write `folder`/step-N with one safetensors file a group of tensors and progress.json; then drop older ones.

    A kill at any moment leaves at least one whole state: the new folder gets its name last.
    """
    for leftover in folder.glob(".step-*"):  # of a run that was killed while saving
        shutil.rmtree(leftover, ignore_errors=True)
    with atomic_folder(folder / f"step-{step:08d}") as scratch:
        for name, group in tensors.items():
            save_file(dict(group), scratch / f"{name}.safetensors")
        write_json(scratch / "progress.json", progress)
    for older in sorted(folder.glob("step-*"))[:-1]:
        shutil.rmtree(older, ignore_errors=True)


def newest_state(folder: Path) -> Path | None:
    """The last whole state in `folder`, or None."""
    return max(folder.glob("step-*"), default=None)


def delete_run(folder: Path) -> None:
    """Delete what a run wrote into `folder` to go on by or to be read, and leave everything else there."""
    for name in ("result.json", "run.json", "model.safetensors"):
        (folder / name).unlink(missing_ok=True)
    remove_states(folder / "state")


def remove_states(folder: Path) -> None:
    """Delete the states of a run that is finished and whose model is saved."""
    shutil.rmtree(folder, ignore_errors=True)


def load_state(state: Path, names: Iterable[str]) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """Read a state back. Raises ValueError that names a damaged file and says what to do."""
    file = state / "progress.json"
    try:
        tensors, progress = {}, json.loads(file.read_text(encoding="utf-8"))
        for name in names:
            file = state / f"{name}.safetensors"
            tensors[name] = load_file(file, backend="pread")  # not mapped: the file may be deleted meanwhile
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(f"the saved state is damaged: {file} ({error}); delete {state} to start again") from error
    return tensors, progress
