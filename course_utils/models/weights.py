"""Weights in and out: our BERT in the files of `transformers`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from course_utils.config import BertConfig
from course_utils.files import ensure_writable, read_json, replaced_files, write_json
from course_utils.models.bert import Attention, BertModel
from course_utils.models.heads import BertForCausalLM, BertForSequenceClassification

Tensors = dict[str, torch.Tensor]


# --- our BERT in transformers' files --------------------------------------------------------------

_THEIR_NAMES = (  # our fragment of a parameter's name, transformers' fragment
    ("embeddings.token_embeddings.", "embeddings.word_embeddings."),
    ("encoder.layers.", "encoder.layer."),
    ("embeddings.layer_norm.", "embeddings.LayerNorm."),
    (".attention.output.", ".attention.output.dense."),
    (".attention.query.", ".attention.self.query."),
    (".attention.key.", ".attention.self.key."),
    (".attention.value.", ".attention.self.value."),
    (".attention_norm.", ".attention.output.LayerNorm."),
    (".feed_forward.intermediate.", ".intermediate.dense."),
    (".feed_forward.output.", ".output.dense."),
    (".feed_forward_norm.", ".output.LayerNorm."),
    ("mlm.dense.", "cls.predictions.transform.dense."),
    ("mlm.layer_norm.", "cls.predictions.transform.LayerNorm."),
    ("mlm.decoder.bias", "cls.predictions.bias"),
    ("nsp.", "cls.seq_relationship."),
)
_FIXED_CONFIG = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
_Model = TypeVar("_Model", bound=nn.Module)


def their_name(name: str) -> str:
    """What `transformers` calls the parameter that we call `name`."""
    for ours, theirs in _THEIR_NAMES:
        name = name.replace(ours, theirs)
    return name


def load_pretrained(
    folder: str | Path,
    dtype: torch.dtype = torch.float32,
    *,
    model_class: type[_Model] = BertModel,
    attention: Attention = "sdpa",
) -> _Model:
    """Our own model with the weights of a folder of `transformers`, in eval mode.

    folder: with config.json and model.safetensors.
    dtype: of the model, whatever that of the file.
    model_class: BertModel, or a class with a head, whose weights the file must hold too; heads that
        the class does not have are left out.
    attention: as for BertModel.

    Raises FileNotFoundError for a missing file, ValueError that names each tensor that is missing,
    extra (but for the old buffer embeddings.position_ids) or misshapen, and for a config that is no
    BERT of ours.
    """
    folder = Path(folder).expanduser()
    config = read_config(folder)
    options: dict[str, Any] = {"attention": attention}
    if model_class is BertForSequenceClassification:
        options["label_names"] = _label_names(folder)
    model = model_class(config, **options).to(dtype)
    load_weights(model, folder)
    return model.eval()


def load_weights(model: nn.Module, folder: str | Path, *, may_be_fresh: str = "") -> set[str]:
    """Copy the weights of a folder of `transformers` into a model of ours.

    may_be_fresh: the beginning of the names of parameters that the folder may lack, or hold in
        another shape, such as "classifier."; these are left as they are, and their names returned.
    Raises what `load_pretrained` does.
    """
    folder = Path(folder).expanduser()
    own, found = _own_tensors(model), _tensors_for(model, folder)
    fresh = set()
    if may_be_fresh:
        for name in own:
            fits = name in found and found[name].shape == own[name].shape
            if name.startswith(may_be_fresh) and not fits:
                found[name] = own[name]
                fresh.add(name)
    try:
        load_tensors(model, found)
    except ValueError as error:
        raise ValueError(f"{folder} does not fit {type(model).__name__}: {error}") from None
    return fresh


def missing_weights(model: nn.Module, folder: str | Path) -> list[str]:
    """The weights of `model` that a folder of `transformers` lacks, by the library's names."""
    found = _tensors_for(model, Path(folder).expanduser())
    return sorted(their_name(name) for name in _own_tensors(model) if name not in found)


def _tensors_for(model: nn.Module, folder: Path) -> Tensors:
    """The folder's tensors by the model's own names, without heads that the model does not have."""
    tensors = _read_weights(folder / "model.safetensors")  # mapped: nothing is copied yet
    if isinstance(model, BertModel):
        tensors = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
    elif not any(name.startswith("bert.") for name in tensors):  # a body published by itself
        tensors = {f"bert.{name}": tensor for name, tensor in tensors.items()}
    our_names = {their_name(name): name for name in _own_tensors(model)}
    found: Tensors = {}
    for name, tensor in tensors.items():
        head_of_another_class = name.startswith(("cls.", "classifier.")) and name not in our_names
        if not head_of_another_class:
            found[our_names.get(name, name)] = tensor
    return found


def is_our_bert(folder: str | Path) -> bool:
    """Whether a folder's config.json is of a BERT that our own classes compute.

    That is an encoder of the type "bert" with GELU and absolute positions, as published. Raises
    FileNotFoundError without a config.json, ValueError where it is damaged.
    """
    settings = read_json(_config_file(Path(folder).expanduser()))
    same = all(settings.get(name, wanted) == wanted for name, wanted in _FIXED_CONFIG.items())
    return same and settings.get("model_type") == "bert" and not settings.get("is_decoder")


def _label_names(folder: Path) -> list[str] | None:
    """One name for each row of the folder's classifier, by config.json, else LABEL_0, LABEL_1, ...

    None where the folder has no classifier.
    """
    tensors = _read_weights(folder / "model.safetensors")  # mapped: nothing is copied yet
    if "classifier.bias" not in tensors:
        return None
    num_labels = len(tensors["classifier.bias"])
    names = read_json(_config_file(folder)).get("id2label") or {}
    by_number = {int(number): name for number, name in names.items()}
    return [by_number.get(number, f"LABEL_{number}") for number in range(num_labels)]


def _config_file(folder: Path) -> Path:
    """The folder's config.json. Raises FileNotFoundError if there is none."""
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"expected config.json and model.safetensors of a BERT in {folder}; found no config"
        )
    return path


def read_config(folder: Path) -> BertConfig:
    """The BertConfig of a folder of `transformers`. Raises FileNotFoundError,
    or ValueError for another kind.
    """
    path = _config_file(folder)
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
        raise ValueError(
            f"{path} is cut short or damaged ({error}); fetch or copy it again"
        ) from error
    modern = {
        name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
            "LayerNorm.beta", "LayerNorm.bias"
        ): tensor
        for name, tensor in tensors.items()
        if not name.endswith("embeddings.position_ids")
    }
    copies = (
        "cls.predictions.decoder.weight",
        "cls.predictions.decoder.bias",
    )  # of the token table, and of the bias
    return {name: tensor for name, tensor in modern.items() if name not in copies}


def save_pretrained(model: nn.Module, folder: str | Path) -> None:
    """Write a model of ours as `transformers` reads it, in its own dtype.

    Each file is whole or as it was. Raises OSError if it cannot be written.
    """
    folder = Path(folder).expanduser()
    ensure_writable(folder)
    with replaced_files(folder) as scratch:
        write_pretrained(model, scratch)


def write_pretrained(model: nn.Module, folder: Path) -> None:
    """Write config.json and model.safetensors into a folder that nothing reads yet."""
    tensors = {their_name(name): tensor for name, tensor in model_tensors(model).items()}
    dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
    config = {
        "architectures": [type(model).__name__],
        **_FIXED_CONFIG,
        "dtype": dtype,
        **model.config.to_dict(),
        **_of_the_head(model),
    }
    write_json(folder / "config.json", config)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _of_the_head(model: nn.Module) -> dict[str, Any]:
    """What transformers must know beside the body: that it looks back only,
    or how many labels there are.
    """
    if isinstance(model, BertForCausalLM):
        return {"architectures": ["BertLMHeadModel"], "is_decoder": True}
    if isinstance(model, BertForSequenceClassification):
        names = dict(enumerate(model.label_names))
        return {"id2label": names, "label2id": {name: number for number, name in names.items()}}
    return {}


def model_tensors(model: nn.Module) -> Tensors:
    """Every parameter and buffer by name, each shared (tied) one once;
    views of the model's own where possible.
    """
    return {name: tensor.contiguous() for name, tensor in _own_tensors(model).items()}


def _own_tensors(model: nn.Module) -> Tensors:
    """The model's parameters and buffers by name, the tensors themselves."""
    return {
        name: tensor.detach()
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
    }


def load_tensors(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors into the model. Raises ValueError naming a tensor that is missing,
    extra or misshapen.
    """
    own = _own_tensors(model)
    if own.keys() != tensors.keys():
        raise ValueError(
            "the saved weights belong to another model; missing: "
            f"{sorted(own.keys() - tensors.keys())}, extra: {sorted(tensors.keys() - own.keys())}"
        )
    for name, tensor in own.items():
        if tensor.shape != tensors[name].shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)} here, "
                f"{tuple(tensors[name].shape)} in the file"
            )
        tensor.copy_(tensors[name])
