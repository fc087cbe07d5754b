"""The body of BERT from the bottom up: embeddings, attention, feed-forward, layers,
encoder, pooler.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", NAACL 2019, on the encoder
of Vaswani et al., "Attention Is All You Need", NeurIPS 2017. Shapes: batch_size, seq_length,
hidden_size, num_heads, head_dim.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_utils.config import BertConfig

Attention = Literal["sdpa", "explicit"]


@dataclass(frozen=True)
class BertOutput:
    """What the body makes of a batch.

    sequence_output: [batch_size, seq_length, hidden_size], the last layer's vector of each token.
    pooled_output: [batch_size, hidden_size], or None for a body without pooler. hidden_states (if
    asked for): the embeddings and each layer's output, num_hidden_layers + 1 of them.
    attention_probs (if asked for): one [batch_size, num_heads, seq_length, seq_length] a layer,
    each row over the tokens that are attended to.
    """

    sequence_output: Tensor
    pooled_output: Tensor | None
    hidden_states: tuple[Tensor, ...] | None = None
    attention_probs: tuple[Tensor, ...] | None = None


class BertEmbeddings(nn.Module):
    """input_ids, token_type_ids [batch_size, seq_length] -> [batch_size, seq_length, hidden_size].

    The sum of three table rows a token (its own, its position's, its segment's), then LayerNorm and
    dropout.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.token_embeddings = nn.Embedding(
            config.vocab_size, config.hidden_size, config.pad_token_id
        )
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        position_ids = torch.arange(input_ids.shape[1], device=input_ids.device)  # [seq]
        summed = (
            self.token_embeddings(input_ids)
            + self.token_type_embeddings(token_type_ids)
            + self.position_embeddings(position_ids)
        )  # [batch, seq, hidden]
        return self.dropout(self.layer_norm(summed))


class BertSelfAttention(nn.Module):
    """hidden_states [batch_size, seq_length, hidden_size] -> (the same shape,
    attention_probs or None).

    Each head scores every token against every other, softmax(Q K^T / sqrt(head_dim)), and sums the
    values by these shares; `output` mixes the heads. `visible`, bool
    [batch_size, 1, 1 or seq_length, seq_length], is False where a token must not be attended to;
    None: all may. attention "sdpa" is torch's fused kernel, "explicit" the formula; the fused one
    does not give attention_probs [batch_size, num_heads, seq_length, seq_length].
    """

    def __init__(self, config: BertConfig, attention: Attention) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.attention = (
            config.num_attention_heads,
            config.head_dim,
            attention,
        )
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout_prob = config.attention_probs_dropout_prob

    def forward(
        self, hidden_states: Tensor, visible: Tensor | None = None, output_attentions: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        query, key, value = (
            self._split_heads(project(hidden_states))
            for project in (self.query, self.key, self.value)
        )  # [batch, heads, seq, head_dim]
        dropout_prob = self.dropout_prob if self.training else 0.0
        if self.attention == "sdpa" and not output_attentions:
            context = functional.scaled_dot_product_attention(
                query, key, value, visible, dropout_prob
            )
            return self.output(self._merge_heads(context)), None
        scores = (
            query @ key.transpose(-2, -1) / math.sqrt(self.head_dim)
        )  # [batch, heads, seq, seq]
        if visible is not None:
            scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
        attention_probs = scores.softmax(dim=-1)
        context = (
            functional.dropout(attention_probs, dropout_prob) @ value
        )  # [batch, heads, seq, head_dim]
        return self.output(self._merge_heads(context)), attention_probs

    def _split_heads(self, projected: Tensor) -> Tensor:
        batch_size, seq_length, _ = projected.shape
        heads = projected.view(batch_size, seq_length, self.num_heads, self.head_dim)
        return heads.transpose(1, 2)  # [batch, heads, seq, head_dim]

    def _merge_heads(self, context: Tensor) -> Tensor:
        return context.transpose(1, 2).flatten(2)  # [batch, seq, hidden]


class BertFeedForward(nn.Module):
    """[batch_size, seq_length, hidden_size] -> the same: each token by itself, widened,
    bent by GELU, narrowed.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.intermediate = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.output(functional.gelu(self.intermediate(hidden_states)))


class BertLayer(nn.Module):
    """hidden_states [batch_size, seq_length, hidden_size] -> (the same shape,
    attention_probs or None).

    Attention, then feed-forward; each result is dropped out, added to what went in, and normalized
    ("post-LN").
    """

    def __init__(self, config: BertConfig, attention: Attention) -> None:
        super().__init__()
        self.attention = BertSelfAttention(config, attention)
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = BertFeedForward(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, hidden_states: Tensor, visible: Tensor | None = None, output_attentions: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        attended, attention_probs = self.attention(hidden_states, visible, output_attentions)
        hidden_states = self.attention_norm(
            hidden_states + self.dropout(attended)
        )  # [batch, seq, hidden]
        changed = self.dropout(self.feed_forward(hidden_states))
        return self.feed_forward_norm(hidden_states + changed), attention_probs


class BertEncoder(nn.Module):
    """[batch_size, seq_length, hidden_size] -> (all hidden states, first the input; all
    attention_probs or Nones).
    """

    def __init__(self, config: BertConfig, attention: Attention) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            BertLayer(config, attention) for _ in range(config.num_hidden_layers)
        )

    def forward(
        self, hidden_states: Tensor, visible: Tensor | None = None, output_attentions: bool = False
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
        all_states, all_probs = [hidden_states], []
        for layer in self.layers:
            hidden_states, attention_probs = layer(hidden_states, visible, output_attentions)
            all_states.append(hidden_states)
            all_probs.append(attention_probs)
        return tuple(all_states), tuple(all_probs)


class BertPooler(nn.Module):
    """sequence_output [batch_size, seq_length, hidden_size] -> [batch_size, hidden_size]: tanh
    of a layer on [CLS].
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, sequence_output: Tensor) -> Tensor:
        return torch.tanh(self.dense(sequence_output[:, 0]))


class BertModel(nn.Module):
    """The body: ids in, one vector a token out; see `BertOutput`.

    causal: each token attends to itself and what stands before it only (a GPT's mask).
    add_pooler=False leaves the pooler out. Weights are drawn from torch's global generator: normal
    with initializer_range, biases 0.
    """

    def __init__(
        self,
        config: BertConfig,
        *,
        attention: Attention = "sdpa",
        causal: bool = False,
        add_pooler: bool = True,
    ) -> None:
        super().__init__()
        if attention not in ("sdpa", "explicit"):
            raise ValueError(f'attention must be "sdpa" or "explicit", got {attention!r}')
        self.config, self.causal = config, causal
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config, attention)
        self.pooler = BertPooler(config) if add_pooler else None
        self.apply(lambda module: init_weights(module, config))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> BertOutput:
        """input_ids, attention_mask (1 = real; None: all are),
        token_type_ids (None: all 0): [batch_size, seq_length].

        Raises ValueError for ids of another shape, or more of them than there are positions.
        """
        self._check(input_ids, attention_mask, token_type_ids)
        token_type_ids = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        states, probs = self.encoder(
            self.embeddings(input_ids, token_type_ids),
            self._visible(input_ids, attention_mask),
            output_attentions,
        )
        pooled_output = None if self.pooler is None else self.pooler(states[-1])
        return BertOutput(
            states[-1],
            pooled_output,
            states if output_hidden_states else None,
            probs if output_attentions else None,
        )

    def _check(self, input_ids: Tensor, *others: Tensor | None) -> None:
        limit = self.config.max_position_embeddings
        if input_ids.ndim != 2 or not 1 <= input_ids.shape[1] <= limit:
            raise ValueError(
                f"expected input_ids of shape [batch_size, 1 to {limit} tokens], got "
                f"{list(input_ids.shape)}; truncate longer texts"
            )
        for name, other in zip(("attention_mask", "token_type_ids"), others, strict=True):
            if other is not None and other.shape != input_ids.shape:
                raise ValueError(
                    f"{name} has shape {list(other.shape)}, input_ids {list(input_ids.shape)}; "
                    "they must be equal"
                )

    def _visible(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor | None:
        """Which query may attend to which key, bool [batch_size, 1, 1 or seq_length, seq_length];
        None where all may.
        """
        visible = None
        if (
            attention_mask is not None and not attention_mask.all()
        ):  # no mask at all is the faster path
            visible = attention_mask.bool()[:, None, None, :]  # [batch, 1, 1, seq]
        if self.causal:
            seq_length = input_ids.shape[1]
            past = torch.ones(
                seq_length, seq_length, dtype=torch.bool, device=input_ids.device
            ).tril()[None, None]
            visible = past if visible is None else past & visible  # [1 or batch, 1, seq, seq]
        return visible


def init_weights(module: nn.Module, config: BertConfig) -> None:
    """Fresh weights as BERT's: normal with standard deviation initializer_range,
    biases and [PAD]'s row 0.
    """
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=config.initializer_range)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        nn.init.zeros_(module.weight[module.padding_idx])
