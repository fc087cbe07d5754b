"""Every setting of the course: frozen, validated on construction, free of torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


Bound = tuple[str, Callable[[Any], bool]]  # what a value must be, in words, and whether it is
ABOVE_0: Bound = ("be above 0", lambda value: 0 < value < math.inf)
FROM_1: Bound = ("be at least 1", lambda value: value >= 1)
FROM_0: Bound = ("not be negative", lambda value: value >= 0)
FINITE: Bound = ("be finite and not negative", lambda value: 0 <= value < math.inf)
BELOW_1: Bound = ("lie in [0, 1)", lambda value: 0 <= value < 1)
# What NumPy and scikit-learn take.
SEED: Bound = ("lie in [0, 2**32)", lambda value: 0 <= value < 2**32)
# 10,000 would freeze the machine.
THREADS: Bound = ("lie between 0 and 1024", lambda value: 0 <= value <= 1024)
ANYTHING: Bound = ("be anything", lambda value: True)


def _setting(default: Any, help: str, bound: Bound = ANYTHING) -> Any:
    """A field with its meaning and unit, which the command lines' --help shows too,
    and the range of its values.
    """
    return field(default=default, metadata={"help": help, "bound": bound})


class _Settings:
    """What all configurations share: values within their bounds; to and from plain dictionaries."""

    def __post_init__(self) -> None:
        for setting in fields(self):  # type: ignore[arg-type]
            words, holds = setting.metadata["bound"]
            value = getattr(self, setting.name)
            if callable(getattr(value, "item", None)):  # NumPy's numbers, which JSON does not know
                value = value.item()
                object.__setattr__(self, setting.name, value)
            kinds = (int, float) if isinstance(setting.default, float) else (type(setting.default),)
            _require(
                type(value) in kinds,
                f"{setting.name} must be of type {kinds[-1].__name__}, got {value!r}",
            )
            _require(holds(value), f"{setting.name} must {words}, got {value}")

    def to_dict(self) -> dict[str, Any]:
        """The settings as a plain dictionary, ready for JSON."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """Build from a dictionary; raises ValueError that names every unknown key."""
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(settings) - known)
        _require(
            not unknown,
            f"{cls.__name__} knows no {', '.join(unknown)}; it knows {', '.join(sorted(known))}",
        )
        return cls(**settings)


@dataclass(frozen=True, kw_only=True)
class BertConfig(_Settings):
    """The shape of a BERT; the defaults are bert-base-uncased (Devlin et al., 2019, section 3).

    Raises ValueError, naming the values, for sizes that are not positive or do not fit each other.
    """

    vocab_size: int = _setting(30522, "rows of the token embedding table", FROM_1)
    hidden_size: int = _setting(768, "width of each token's vector", FROM_1)
    num_hidden_layers: int = _setting(12, "encoder layers, one above the other", FROM_1)
    num_attention_heads: int = _setting(
        12, "heads per layer; they share the hidden_size evenly", FROM_1
    )
    intermediate_size: int = _setting(
        3072, "width of the feed-forward layer, usually 4 * hidden_size", FROM_1
    )
    max_position_embeddings: int = _setting(512, "longest sequence, in tokens", FROM_1)
    type_vocab_size: int = _setting(2, "segments: first and second text", FROM_1)
    hidden_dropout_prob: float = _setting(
        0.1, "share of units dropped after embeddings and sub-layers, in [0, 1)", BELOW_1
    )
    attention_probs_dropout_prob: float = _setting(
        0.1, "share of attention weights dropped, in [0, 1)", BELOW_1
    )
    layer_norm_eps: float = _setting(1e-12, "added to the variance before its root", FROM_0)
    initializer_range: float = _setting(0.02, "standard deviation of fresh weights", FROM_0)
    pad_token_id: int = _setting(0, "id of [PAD]")

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(
            self.hidden_size % self.num_attention_heads == 0,
            f"hidden_size={self.hidden_size} is not divisible by "
            f"num_attention_heads={self.num_attention_heads}",
        )
        _require(
            0 <= self.pad_token_id < self.vocab_size,
            f"pad_token_id={self.pad_token_id} lies outside the vocab_size={self.vocab_size}",
        )

    @property
    def head_dim(self) -> int:
        """Width of one attention head: hidden_size / num_attention_heads."""
        return self.hidden_size // self.num_attention_heads


@dataclass(frozen=True, kw_only=True)
class TrainConfig(_Settings):
    """The recipe of one training run: everything that decides the final weights, given the data.

    Raises ValueError, naming the values, for settings out of range or at odds with each other.
    """

    num_train_epochs: float = _setting(
        2.0, "passes over the training data; a fraction stops within a pass", ABOVE_0
    )
    batch_size: int = _setting(
        32, "examples per update, over all processes and accumulated micro-batches", FROM_1
    )
    gradient_accumulation_steps: int = _setting(
        1, "micro-batches per update, on each process", FROM_1
    )
    learning_rate: float = _setting(1e-4, "the peak, reached at the end of the warm-up", ABOVE_0)
    layer_learning_rate_decay: float = _setting(
        1.0, "factor per layer, from the top down; 1 = the same rate everywhere"
    )
    weight_decay: float = _setting(0.01, "AdamW's, per step; none on biases and LayerNorm", FROM_0)
    num_warmup_steps: float = _setting(0.1, "updates; below 1, a share of all updates", FINITE)
    max_grad_norm: float = _setting(
        1.0, "gradients are scaled down to this norm; 0 = never", FROM_0
    )
    adam_beta1: float = _setting(0.9, "memory of the mean gradient", BELOW_1)
    adam_beta2: float = _setting(0.999, "memory of the squared gradient", BELOW_1)
    adam_epsilon: float = _setting(1e-8, "added to the root of the squared gradient", ABOVE_0)
    average_decay: float = _setting(
        0.0, "moving average of the weights, its decay per update; 0 = the last weights", BELOW_1
    )
    seed: int = _setting(0, "of the batches' order and of dropout, in [0, 2**32)", SEED)
    length_grouping: bool = _setting(True, "batches of similar length, so that little is padded")
    precision: str = _setting("auto", "'auto' (measured), 'fp32', 'bf16' or 'fp16'")
    num_threads: int = _setting(0, "CPU threads per process; 0 = measured", THREADS)
    eval_steps: int = _setting(0, "updates between evaluations; 0 = after each epoch", FROM_0)
    early_stopping_patience: int = _setting(
        0, "evaluations without a gain before stopping; 0 = never", FROM_0
    )
    save_steps: int = _setting(0, "updates between saved states; 0 = by time", FROM_0)
    save_minutes: float = _setting(
        5.0, "minutes between saved states, where save_steps is 0", ABOVE_0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(
            0 < self.layer_learning_rate_decay <= 1,
            f"layer_learning_rate_decay must lie in (0, 1], got {self.layer_learning_rate_decay}",
        )
        _require(
            self.precision in ("auto", "fp32", "bf16", "fp16"),
            f'precision must be "auto", "fp32", "bf16" or "fp16", got "{self.precision}"',
        )
        _require(
            self.batch_size % self.gradient_accumulation_steps == 0,
            f"batch_size={self.batch_size} is not divisible by "
            f"gradient_accumulation_steps={self.gradient_accumulation_steps}",
        )

    def identity(self) -> dict[str, Any]:
        """The settings that decide the final weights, up to rounding;
        how to compute and to save may change.
        """
        free = {
            "gradient_accumulation_steps",
            "precision",
            "num_threads",
            "save_steps",
            "save_minutes",
        }
        return {name: value for name, value in self.to_dict().items() if name not in free}

    def num_updates(self, num_examples: int) -> int:
        """Updates of the whole run on `num_examples` training examples (the last batch of an
        epoch may be smaller).
        """
        return max(
            1, math.ceil(self.num_train_epochs * math.ceil(num_examples / self.batch_size) - 1e-9)
        )

    def warmup_updates(self, num_updates: int) -> int:
        """Updates during which the learning rate rises, of `num_updates` in all."""
        steps = self.num_warmup_steps
        return min(num_updates, int(steps if steps >= 1 else steps * num_updates))


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig(_Settings):
    """What a fine-tuning run reads, starts from and is scored on.
    Raises ValueError for values out of range.
    """

    dataset: str = _setting(
        "course", "a data set that data/registry.py names, such as 'course' or 'imdb'"
    )
    checkpoint: str = _setting(
        "course-bert",
        "'course-bert' (ships with the course), a folder, a name on the Hub, or "
        "untrained: 'course-bert-random', the same network, or 'tiny-random'",
    )
    max_length: int = _setting(
        256, "longest input in tokens; what exceeds it is cut out of the middle or the end"
    )
    tail_share: float = _setting(
        0.5, "share of a cut review that is its end, in [0, 1]; 0 keeps the beginning only"
    )
    hidden_dropout_prob: float = _setting(
        0.0, "share of units dropped in training, in [0, 1)", BELOW_1
    )
    attention_probs_dropout_prob: float = _setting(
        0.0, "share of attention weights dropped, in [0, 1); slow on CPUs", BELOW_1
    )
    train_examples: int = _setting(
        0, "training reviews, drawn evenly from both classes; 0 = all", FROM_0
    )
    validation_examples: int = _setting(
        0, "reviews held out of train to keep the best weights by; 0 = none", FROM_0
    )
    scored_split: str = _setting(
        "test", "'test', or 'validation' to choose a recipe without reading the test set"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.max_length >= 3, f"max_length must be at least 3, got {self.max_length}")
        _require(0 <= self.tail_share <= 1, f"tail_share must lie in [0, 1], got {self.tail_share}")
        _require(
            self.scored_split in ("test", "validation"),
            f"scored_split must be 'test' or 'validation', got {self.scored_split!r}",
        )
        _require(
            self.scored_split == "test" or self.validation_examples > 0,
            "scored_split='validation' needs validation_examples above 0, got 0",
        )


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(_Settings):
    """What a pre-training run reads, which BERT it makes, and by which objective.
    Raises ValueError for bad values.
    """

    dataset: str = _setting(
        "course", "a data set that data/registry.py names, such as 'course' or 'imdb'"
    )
    objective: str = _setting(
        "mlm", "'mlm' (masked tokens), 'mlm+nsp' (and the next sentence) or 'clm' (a GPT's)"
    )
    static_masking: bool = _setting(False, "mask a text the same way in each epoch, not anew")
    start_from: str = _setting(
        "", "a folder of an earlier run to go on from; empty: random weights, a new vocabulary"
    )
    vocab_size: int = _setting(8192, "tokens of a new vocabulary, at most")
    hidden_size: int = _setting(256, "width of each token's vector")
    num_hidden_layers: int = _setting(4, "encoder layers")
    num_attention_heads: int = _setting(4, "heads per layer")
    intermediate_size: int = _setting(1024, "width of the feed-forward layer")
    max_position_embeddings: int = _setting(
        512, "longest sequence that the model can ever read, in tokens"
    )
    hidden_dropout_prob: float = _setting(0.0, "share of units dropped in training, in [0, 1)")
    attention: str = _setting(
        "explicit", "'sdpa' (fused) or 'explicit' (the formula; faster on CPUs at 128 tokens)"
    )
    max_length: int = _setting(
        128, "longest training sequence in tokens; longer texts are cut into equal chunks"
    )
    train_texts: int = _setting(
        0, "texts to train on; 0 = all of train and unsupervised but those held out", FROM_0
    )
    validation_texts: int = _setting(500, "texts held out of these to measure the loss on", FROM_1)

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(
            self.objective in ("mlm", "mlm+nsp", "clm"),
            f"objective must be 'mlm', 'mlm+nsp' or 'clm', got {self.objective!r}",
        )
        _require(
            self.attention in ("sdpa", "explicit"),
            f"attention must be 'sdpa' or 'explicit', got {self.attention!r}",
        )
        _require(
            8 <= self.max_length <= self.max_position_embeddings,
            "max_length must lie between 8 and "
            f"max_position_embeddings={self.max_position_embeddings}, got {self.max_length}",
        )
        padded = -(-self.max_length // 16) * 16
        _require(
            padded <= self.max_position_embeddings,
            f"max_length={self.max_length} is padded to {padded}, more "
            f"than max_position_embeddings={self.max_position_embeddings}",
        )
        self.bert(self.vocab_size)  # which checks the sizes

    def bert(self, vocab_size: int) -> BertConfig:
        """The shape of the model with a vocabulary of this size."""
        own = {field.name for field in fields(self)}
        shared = own & {field.name for field in fields(BertConfig)}
        settings = {name: getattr(self, name) for name in shared}
        settings |= {"vocab_size": vocab_size, "attention_probs_dropout_prob": 0.0}
        return BertConfig(**settings)
