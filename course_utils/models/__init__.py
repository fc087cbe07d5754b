"""The BERT that the course builds, bottom up, with its heads, and its weights in and out."""

from course_utils.models.bert import (
    Attention,
    BertEmbeddings,
    BertEncoder,
    BertFeedForward,
    BertLayer,
    BertModel,
    BertOutput,
    BertPooler,
    BertSelfAttention,
    init_weights,
)
from course_utils.models.heads import (
    BertForCausalLM,
    BertForPreTraining,
    BertForSequenceClassification,
    ClassifierOutput,
    MaskedLanguageModelHead,
    PreTrainingOutput,
)
from course_utils.models.weights import (
    Tensors,
    load_pretrained,
    load_tensors,
    model_tensors,
    read_config,
    save_classifier,
    save_pretrained,
    their_name,
)

__all__ = [
    "Attention",
    "BertEmbeddings",
    "BertEncoder",
    "BertFeedForward",
    "BertForCausalLM",
    "BertForPreTraining",
    "BertForSequenceClassification",
    "BertLayer",
    "BertModel",
    "BertOutput",
    "BertPooler",
    "BertSelfAttention",
    "ClassifierOutput",
    "MaskedLanguageModelHead",
    "PreTrainingOutput",
    "Tensors",
    "init_weights",
    "load_pretrained",
    "load_tensors",
    "model_tensors",
    "read_config",
    "save_classifier",
    "save_pretrained",
    "their_name",
]
