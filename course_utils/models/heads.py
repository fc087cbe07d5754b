"""The heads on BERT's body: pre-training, classification, and a causal language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from course_utils.config import BertConfig
from course_utils.models.bert import Attention, BertModel, init_weights


@dataclass(frozen=True)
class ClassifierOutput:
    """logits: [batch_size, num_labels]."""

    logits: Tensor


@dataclass(frozen=True)
class CausalOutput:
    """logits: [batch_size, seq_length, vocab_size], each row about the next token."""

    logits: Tensor


@dataclass(frozen=True)
class PreTrainingOutput:
    """mlm_logits: [batch_size, seq_length, vocab_size], or [num_chosen, vocab_size] at chosen
    positions; nsp_logits: [batch_size, 2], of "B follows A" (0) and "B is from elsewhere" (1).
    """

    mlm_logits: Tensor
    nsp_logits: Tensor


class MaskedLanguageModelHead(nn.Module):
    """Vectors [..., hidden_size] -> logits [..., vocab_size];
    the last product is with the token table itself.
    """

    def __init__(self, config: BertConfig, token_embeddings: nn.Embedding) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.apply(lambda module: init_weights(module, config))
        # Tied: words are read and guessed by one and the same table.
        self.decoder.weight = token_embeddings.weight

    def forward(self, vectors: Tensor) -> Tensor:
        return self.decoder(self.layer_norm(functional.gelu(self.dense(vectors))))


class BertForPreTraining(nn.Module):
    """The body with both pre-training heads; see `PreTrainingOutput`."""

    def __init__(self, config: BertConfig, *, attention: Attention = "sdpa") -> None:
        super().__init__()
        self.config = config
        self.bert = BertModel(config, attention=attention)
        self.mlm = MaskedLanguageModelHead(config, self.bert.embeddings.token_embeddings)
        self.nsp = nn.Linear(config.hidden_size, 2)
        init_weights(self.nsp, config)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        chosen: Tensor | None = None,
    ) -> PreTrainingOutput:
        """chosen: bool [batch_size, seq_length], where the MLM head is wanted (15 % of the work);
        None: everywhere.
        """
        body = self.bert(input_ids, attention_mask, token_type_ids)
        vectors = body.sequence_output  # [batch, seq, hidden]
        if chosen is not None:
            vectors = vectors[chosen]  # [num_chosen, hidden]
        return PreTrainingOutput(self.mlm(vectors), self.nsp(body.pooled_output))


class BertForSequenceClassification(nn.Module):
    """The body with dropout and one linear layer on the pooled output; see `ClassifierOutput`.

    num_labels: rows of the head; not needed where label_names says it.
    label_names: what the labels 0, 1, ... are called; by default LABEL_0, LABEL_1, ...
    Raises ValueError where these two disagree, or name no label.
    """

    def __init__(
        self,
        config: BertConfig,
        num_labels: int | None = None,
        *,
        label_names: Sequence[str] | None = None,
        attention: Attention = "sdpa",
    ) -> None:
        super().__init__()
        if label_names is None:
            label_names = [f"LABEL_{number}" for number in range(num_labels or 2)]
        num_labels = num_labels or len(label_names)
        if num_labels != len(label_names) or not num_labels:
            raise ValueError(
                "expected at least one label and a name for each, got "
                f"num_labels={num_labels} and label_names={list(label_names)}"
            )
        self.config = config
        self.label_names = tuple(label_names)
        self.bert = BertModel(config, attention=attention)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, num_labels)
        init_weights(self.classifier, config)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> ClassifierOutput:
        pooled_output = self.bert(input_ids, attention_mask, token_type_ids).pooled_output
        return ClassifierOutput(self.classifier(self.dropout(pooled_output)))


class BertForCausalLM(nn.Module):
    """The same body under a causal mask, with the MLM head; see `CausalOutput`.

    It is a GPT, but for the place of its LayerNorms.
    """

    def __init__(self, config: BertConfig, *, attention: Attention = "sdpa") -> None:
        super().__init__()
        self.config = config
        self.bert = BertModel(config, attention=attention, causal=True, add_pooler=False)
        self.mlm = MaskedLanguageModelHead(config, self.bert.embeddings.token_embeddings)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> CausalOutput:
        return CausalOutput(
            self.mlm(self.bert(input_ids, attention_mask, token_type_ids).sequence_output)
        )
