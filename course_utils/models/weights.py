"""Weights in and out: our BERT in the files of `transformers`."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_utils.config import BertConfig
from course_utils.files import ensure_writable, read_json, replaced_files, write_json
from course_utils.models.bert import Attention, BertModel
from course_utils.models.heads import BertForCausalLM, BertForSequenceClassification

Tensors = dict[str, torch.Tensor]


def save_classifier(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Write model.safetensors, config and tokenizer into `folder`, each file whole;
    `transformers` loads the folder.
    """
    with replaced_files(folder) as scratch:
        model.save_pretrained(scratch)
        try:
            tokenizer.save_pretrained(scratch)
        except Exception as error:  # the Rust library tells a full disk by no other kind
            raise OSError(errno.EIO, str(error)) from error


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
    """What `transformers` calls the parameter that model.py calls `name`."""
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
    """Read a BERT as `transformers` saves it (config.json and model.safetensors) into our own
    model, in eval mode.

    model_class: BertModel, or a class with a head, whose weights the file must hold too; heads that
    the class does not have are left out. Raises FileNotFoundError for a missing file, ValueError
    that names each tensor that is missing, extra (but for the old buffer embeddings.position_ids)
    or misshapen, and for a config that is no BERT of ours.
    """
    folder = Path(folder).expanduser()
    config = read_config(folder)
    tensors = _read_weights(folder / "model.safetensors")
    labels = (
        {"num_labels": tensors["classifier.bias"].numel()}
        if (model_class is BertForSequenceClassification and "classifier.bias" in tensors)
        else {}
    )
    model = model_class(config, attention=attention, **labels).to(dtype)
    if model_class is BertModel:
        tensors = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
    own = {their_name(name): name for name in own_tensors(model)}
    unwanted = {
        name for name in tensors if name.startswith(("cls.", "classifier.")) and name not in own
    }
    found = {
        own.get(name, name): tensor for name, tensor in tensors.items() if name not in unwanted
    }
    try:
        load_tensors(model, found)
    except ValueError as error:
        raise ValueError(f"{folder} does not fit {model_class.__name__}: {error}") from None
    return model.eval()


def read_config(folder: Path) -> BertConfig:
    """The BertConfig of a folder of `transformers`. Raises FileNotFoundError,
    or ValueError for another kind.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"expected config.json and model.safetensors of a BERT in {folder}; found no config"
        )
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
    """Write a model of model.py as `transformers` reads it, in its own dtype;
    each file is whole or as it was.
    """
    folder = Path(folder).expanduser()
    ensure_writable(folder)
    tensors = {their_name(name): tensor for name, tensor in model_tensors(model).items()}
    dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
    with replaced_files(folder) as scratch:
        write_json(
            scratch / "config.json",
            {
                "architectures": [type(model).__name__],
                **_FIXED_CONFIG,
                "dtype": dtype,
                **model.config.to_dict(),
                **_of_the_head(model),
            },
        )
        save_file(tensors, scratch / "model.safetensors", metadata={"format": "pt"})


def _of_the_head(model: nn.Module) -> dict[str, Any]:
    """What transformers must know beside the body: that it looks back only,
    or how many labels there are.
    """
    if isinstance(model, BertForCausalLM):
        return {"architectures": ["BertLMHeadModel"], "is_decoder": True}
    if isinstance(model, BertForSequenceClassification):
        names = {number: f"LABEL_{number}" for number in range(model.classifier.out_features)}
        return {"id2label": names, "label2id": {name: number for number, name in names.items()}}
    return {}


def model_tensors(model: nn.Module) -> Tensors:
    """Every parameter and buffer by name, each shared (tied) one once;
    views of the model's own where possible.
    """
    return {name: tensor.contiguous() for name, tensor in own_tensors(model).items()}


def own_tensors(model: nn.Module) -> Tensors:
    return {
        name: tensor.detach()
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
    }


def load_tensors(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors into the model. Raises ValueError naming a tensor that is missing,
    extra or misshapen.
    """
    own = own_tensors(model)
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
