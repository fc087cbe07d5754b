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
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_utils.config import BertConfig
from course_utils.model import Attention, BertForCausalLM, BertForSequenceClassification, BertModel

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


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file. Raises ValueError that names the file where it is no whole JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, not an object")
    except ValueError as error:
        raise ValueError(f"{path} is cut short or damaged ({error}); restore it, or choose another folder") from None
    return content


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
    record = read_json(path)
    refuse_other_run(folder, record.get("identity", {}), identity)
    return record


def save_classifier(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write model.safetensors, config and tokenizer into `folder`, each file whole; `transformers` loads the folder."""
    with _replaced_files(folder) as scratch:
        model.save_pretrained(scratch)
        try:
            tokenizer.save_pretrained(scratch)
        except Exception as error:  # the Rust library tells a full disk by no other kind
            raise OSError(errno.EIO, str(error)) from error


@contextmanager
def _replaced_files(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder whose files replace those of `folder` at the end, each in one step, weights last."""
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


# --- our BERT in transformers' files -----------------------------------------------------------------------------

_THEIR_NAMES = (  # our fragment of a parameter's name, transformers' fragment
    ("embeddings.token_embeddings.", "embeddings.word_embeddings."), ("encoder.layers.", "encoder.layer."),
    ("embeddings.layer_norm.", "embeddings.LayerNorm."), (".attention.output.", ".attention.output.dense."),
    (".attention.query.", ".attention.self.query."), (".attention.key.", ".attention.self.key."),
    (".attention.value.", ".attention.self.value."), (".attention_norm.", ".attention.output.LayerNorm."),
    (".feed_forward.intermediate.", ".intermediate.dense."), (".feed_forward.output.", ".output.dense."),
    (".feed_forward_norm.", ".output.LayerNorm."), ("mlm.dense.", "cls.predictions.transform.dense."),
    ("mlm.layer_norm.", "cls.predictions.transform.LayerNorm."), ("mlm.decoder.bias", "cls.predictions.bias"),
    ("nsp.", "cls.seq_relationship."))
_FIXED_CONFIG = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
_Model = TypeVar("_Model", bound=nn.Module)


def their_name(name: str) -> str:
    """What `transformers` calls the parameter that model.py calls `name`."""
    for ours, theirs in _THEIR_NAMES:
        name = name.replace(ours, theirs)
    return name


def load_pretrained(folder: str | Path, dtype: torch.dtype = torch.float32, *, model_class: type[_Model] = BertModel,
                    attention: Attention = "sdpa") -> _Model:
    """Read a BERT as `transformers` saves it (config.json and model.safetensors) into our own model, in eval mode.

    model_class: BertModel, or a class with a head, whose weights the file must hold too; heads that the class does not
    have are left out. Raises FileNotFoundError for a missing file, ValueError that names each tensor that is missing,
    extra (but for the old buffer embeddings.position_ids) or misshapen, and for a config that is no BERT of ours.
    """
    folder = Path(folder).expanduser()
    config = read_config(folder)
    tensors = _read_weights(folder / "model.safetensors")
    labels = {"num_labels": tensors["classifier.bias"].numel()} if (
        model_class is BertForSequenceClassification and "classifier.bias" in tensors) else {}
    model = model_class(config, attention=attention, **labels).to(dtype)
    if model_class is BertModel:
        tensors = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
    own = {their_name(name): name for name in _own_tensors(model)}
    unwanted = {name for name in tensors if name.startswith(("cls.", "classifier.")) and name not in own}
    found = {own.get(name, name): tensor for name, tensor in tensors.items() if name not in unwanted}
    try:
        load_tensors(model, found)
    except ValueError as error:
        raise ValueError(f"{folder} does not fit {model_class.__name__}: {error}") from None
    return model.eval()


def read_config(folder: Path) -> BertConfig:
    """The BertConfig of a folder of `transformers`. Raises FileNotFoundError, or ValueError for another kind."""
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"expected config.json and model.safetensors of a BERT in {folder}; found no config")
    settings = read_json(path)
    for name, wanted in _FIXED_CONFIG.items():
        if settings.get(name, wanted) != wanted:
            raise ValueError(f"{path}: {name} is {settings[name]!r}; our BERT has {wanted!r} only")
    known = {field.name for field in fields(BertConfig)}
    return BertConfig.from_dict({name: value for name, value in settings.items() if name in known})


def _read_weights(path: Path) -> Tensors:
    """The tensors of a file by transformers' names of today."""
    if not path.is_file():
        raise FileNotFoundError(f"expected the weights in {path}; the file is missing")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is cut short or damaged ({error}); fetch or copy it again") from error
    modern = {name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias"): tensor
              for name, tensor in tensors.items() if not name.endswith("embeddings.position_ids")}
    copies = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias")  # of the token table, and of the bias
    return {name: tensor for name, tensor in modern.items() if name not in copies}


def save_pretrained(model: nn.Module, folder: str | Path) -> None:
    """Write a model of model.py as `transformers` reads it, in its own dtype; each file is whole or as it was."""
    folder = Path(folder).expanduser()
    ensure_writable(folder)
    tensors = {their_name(name): tensor for name, tensor in model_tensors(model).items()}
    dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
    with _replaced_files(folder) as scratch:
        write_json(scratch / "config.json", {"architectures": [type(model).__name__], **_FIXED_CONFIG, "dtype": dtype,
                                             **model.config.to_dict(), **_of_the_head(model)})
        save_file(tensors, scratch / "model.safetensors", metadata={"format": "pt"})


def _of_the_head(model: nn.Module) -> dict[str, Any]:
    """What transformers must know beside the body: that it looks back only, or how many labels there are."""
    if isinstance(model, BertForCausalLM):
        return {"architectures": ["BertLMHeadModel"], "is_decoder": True}
    if isinstance(model, BertForSequenceClassification):
        names = {number: f"LABEL_{number}" for number in range(model.classifier.out_features)}
        return {"id2label": names, "label2id": {name: number for number, name in names.items()}}
    return {}


# --- the state of a run ------------------------------------------------------------------------------------------


def random_states() -> dict[str, Any]:
    """Every global random state that training may draw from (Python, NumPy, torch, each GPU), ready for JSON."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {"python": random.getstate(), "numpy": [name, keys.tolist(), position, has_gauss, cached],
            "torch": torch.get_rng_state().tolist(),
            "cuda": [state.tolist() for state in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else [],
            "mps": torch.mps.get_rng_state().tolist() if torch.backends.mps.is_available() else []}


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Put back what `random_states` returned, also after a detour through JSON."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(torch.tensor(states["torch"], dtype=torch.uint8))
    if states["cuda"] and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all([torch.tensor(state, dtype=torch.uint8) for state in states["cuda"]])
    if states.get("mps") and torch.backends.mps.is_available():
        torch.mps.set_rng_state(torch.tensor(states["mps"], dtype=torch.uint8))


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
    if not any((folder / name).exists() for name in ("run.json", "result.json")):
        return  # what lies there is no run's
    remove_states(folder / "state")
    for name in ("result.json", "model.safetensors", "run.json"):  # which says whose the rest is, so it goes last
        (folder / name).unlink(missing_ok=True)


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
            tensors[name] = load_file(file, backend="pread")  # not mapped: the file may be deleted meanwhile
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(f"the saved state is damaged: {file} ({error}); delete {state} to start again") from error
    return tensors, progress
