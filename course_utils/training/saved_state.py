"""The state of a training run, written so that a crash at any moment loses nothing."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from course_utils.files import atomic_folder, read_json, write_json
from course_utils.models import Tensors

# --- the state of a run ---------------------------------------------------------------------------


def random_states() -> dict[str, Any]:
    """Every global random state that training may draw from (Python, NumPy, torch, each GPU),
    ready for JSON.
    """
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [name, keys.tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state().tolist(),
        "cuda": [state.tolist() for state in torch.cuda.get_rng_state_all()]
        if torch.cuda.is_available()
        else [],
        "mps": torch.mps.get_rng_state().tolist() if torch.backends.mps.is_available() else [],
    }


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Put back what `random_states` returned, also after a detour through JSON."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(torch.tensor(states["torch"], dtype=torch.uint8))
    if states["cuda"] and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all(
            [torch.tensor(state, dtype=torch.uint8) for state in states["cuda"]]
        )
    if states.get("mps") and torch.backends.mps.is_available():
        torch.mps.set_rng_state(torch.tensor(states["mps"], dtype=torch.uint8))


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimizer's memory, flat: "INDEX.exp_avg" and so on."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{key}": value.contiguous()
        for index, entry in state.items()
        for key, value in entry.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what `optimizer_tensors` returned;
    the groups (rates, decay) stay those of `optimizer`.
    """
    state: dict[int, Tensors] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )


def save_state(
    folder: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, torch.Tensor]],
    progress: Mapping[str, Any],
) -> None:
    """Write `folder`/step-N with one safetensors file a group of tensors and progress.json;
    then drop older ones.

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


def remove_states(folder: Path) -> None:
    """Delete the states of a run that is finished and whose model is saved."""
    shutil.rmtree(folder, ignore_errors=True)


def load_state(state: Path, names: Iterable[str]) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """Read a state back. Raises ValueError that names a damaged file and says what to do."""
    file = state / "progress.json"
    try:
        tensors, progress = {}, read_json(file)
        for name in names:
            file = state / f"{name}.safetensors"
            tensors[name] = load_file(
                file, backend="pread"
            )  # not mapped: the file may be deleted meanwhile
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"the saved state is damaged: {file} ({error}); delete {state} to start again"
        ) from error
    return tensors, progress
