"""Pre-training from nothing: texts in, a checkpoint that `transformers` loads out."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from torch import nn

from course_utils import data, files, models
from course_utils.config import PretrainConfig, TrainConfig
from course_utils.data import Features
from course_utils.models import BertForCausalLM, BertForPreTraining
from course_utils.progress import phase
from course_utils.text import clean
from course_utils.tokenization import SPECIAL_TOKENS, WordPieceTokenizer
from course_utils.training import Batch, fit, hardware, interrupts_in_one_line, saved_state
from course_utils.training.records import record_of
from course_utils.training.runs import finished_result, identity_of, refuse_own_start

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class HeldOutScore:
    """How well a model guesses held-out tokens, at [MASK] only (for 'clm': every
    next token), and pairs.

    loss, unigram_loss: nats a token, of the model, and of the train texts' token frequencies on the
    same targets; accuracy: share of targets guessed right; nsp_accuracy: share of pairs told apart,
    None without pairs.
    """

    loss: float
    unigram_loss: float
    accuracy: float
    num_targets: int
    nsp_accuracy: float | None
    num_pairs: int


# --- texts to examples ----------------------------------------------------------------------------


def training_texts(task: PretrainConfig) -> tuple[list[str], list[str]]:
    """(texts to train on, texts held out): cleaned, each once, of train and unsupervised;
    none that is in test too.

    Which are held out depends on the texts alone. Raises ValueError where too few are left to train
    on.
    """
    reviews = data.load_reviews(task.dataset)
    unseen = {
        clean(text)
        for split in reviews
        if split not in ("train", "unsupervised")
        for text in reviews[split]["text"]
    }
    own = dict.fromkeys(
        clean(text) for split in ("train", "unsupervised") for text in reviews[split]["text"]
    )
    texts = sorted(
        (text for text in own if text and text not in unseen),
        key=lambda text: hashlib.sha256(text.encode()).digest(),
    )
    if len(texts) <= task.validation_texts:
        raise ValueError(
            f"validation_texts={task.validation_texts} leaves nothing of "
            f"{len(texts):,} texts to train on"
        )
    train = texts[task.validation_texts :]
    return train[: task.train_texts or len(train)], texts[: task.validation_texts]


def token_examples(
    texts: Iterable[str], tokenizer: WordPieceTokenizer, max_length: int
) -> list[Features]:
    """[CLS] ... [SEP] examples of at most `max_length` ids;
    a longer text is cut into equal chunks.
    """
    examples: list[Features] = []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False)
        num_chunks = -(-len(ids) // (max_length - 2))
        cuts = [len(ids) * number // num_chunks for number in range(num_chunks + 1)] if ids else []
        examples += [
            {"input_ids": [tokenizer.cls_token_id, *ids[start:end], tokenizer.sep_token_id]}
            for start, end in pairwise(cuts)
        ]
    return examples


def pair_examples(
    texts: Iterable[str],
    tokenizer: WordPieceTokenizer,
    max_length: int,
    *,
    generator: torch.Generator,
) -> list[Features]:
    """[CLS] A [SEP] B [SEP] examples for next sentence prediction,
    "labels" 0 (B follows A) or 1 (from elsewhere).

    A text's sentences are gathered into stretches of about `max_length` ids, each cut into A and B
    at random.
    """
    room = max_length - 3
    stretches: list[list[list[int]]] = []
    for text in texts:
        stretch: list[list[int]] = []
        for sentence in _SENTENCE_END.split(text):
            ids = tokenizer.encode(sentence, add_special_tokens=False)[: room // 2]
            if stretch and sum(map(len, stretch)) + len(ids) > room:
                stretches.append(stretch)
                stretch = []
            stretch.append(ids)
        stretches.append(stretch)
    examples: list[Features] = []
    for first, second, label in data.sentence_pairs(stretches, generator=generator):
        second = second[: room - min(len(first), room - 1)]
        first = first[: room - len(second)]
        ids = [
            tokenizer.cls_token_id,
            *first,
            tokenizer.sep_token_id,
            *second,
            tokenizer.sep_token_id,
        ]
        examples.append(
            {"input_ids": ids, "token_type_ids": tokenizer.token_type_ids(ids), "labels": label}
        )
    return examples


# --- examples to batches and losses ---------------------------------------------------------------


def collate_masked(
    examples: Sequence[Features],
    tokenizer: WordPieceTokenizer,
    *,
    generator: torch.Generator | None = None,
    static: bool = False,
) -> Batch:
    """Pad and corrupt: "labels" [batch_size, seq_length] hold the chosen tokens;
    a pair's go to "next_sentence_label".

    generator: of the choice, None for torch's global one (which a saved run restores). static: a
    choice that depends on the example's ids alone, the same in each epoch.
    """
    batch = data.collate(examples, pad_token_id=tokenizer.pad_token_id)
    if "labels" in batch:
        batch["next_sentence_label"] = batch.pop("labels")  # [batch]
    mask = partial(
        data.mask_tokens,
        mask_token_id=tokenizer.mask_token_id,
        vocab_size=tokenizer.vocab_size,
        special_ids=[tokenizer.vocab[token] for token in SPECIAL_TOKENS],
    )
    if static:
        seeds = [zlib.crc32(json.dumps(example["input_ids"]).encode()) for example in examples]
        rows = [
            mask(row, generator=torch.Generator().manual_seed(seed))
            for row, seed in zip(batch["input_ids"], seeds, strict=True)
        ]
        batch["input_ids"], batch["labels"] = (
            torch.stack(part) for part in zip(*rows, strict=True)
        )
    else:
        batch["input_ids"], batch["labels"] = mask(
            batch["input_ids"], generator=generator or torch.default_generator
        )
    return batch


def collate_causal(examples: Sequence[Features], tokenizer: WordPieceTokenizer) -> Batch:
    """Pad; "labels" [batch_size, seq_length] hold the next token,
    -100 at the last one and on padding.
    """
    batch = data.collate(examples, pad_token_id=tokenizer.pad_token_id)
    following = batch["input_ids"].roll(-1, dims=1)  # [batch, seq]
    has_next = batch["attention_mask"].roll(-1, dims=1).bool()
    has_next[:, -1] = False
    batch["labels"] = following.masked_fill(~has_next, -100)
    return batch


def masked_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy of the chosen tokens in nats,
    plus that of the pairs where the batch has any.

    With gradient accumulation or several processes, `fit` weighs a part by its chosen tokens, for
    its pairs too.
    """
    chosen = _filled_up(batch["labels"] != -100)  # [batch, seq]
    output = model(
        batch["input_ids"], batch["attention_mask"], batch.get("token_type_ids"), chosen=chosen
    )
    loss = nn.functional.cross_entropy(
        output.mlm_logits, batch["labels"][chosen]
    )  # -100 is ignored
    if "next_sentence_label" in batch:
        loss = loss + nn.functional.cross_entropy(output.nsp_logits, batch["next_sentence_label"])
    return loss


def _filled_up(chosen: torch.Tensor, multiple: int = 64) -> torch.Tensor:
    """The mask with the first places that are not chosen added, up to a multiple in all;
    bool, the same shape.

    Each batch has another number of chosen tokens, and oneDNN keeps a program, with its memory, for
    each size of matrix that it has met: half a gigabyte after some hundred updates of a small BERT.
    """
    free = (~chosen).flatten().nonzero().flatten()
    filled = chosen.flatten().clone()
    filled[free[: -int(filled.sum()) % multiple]] = True
    return filled.view_as(chosen)


def causal_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy of the next tokens in nats."""
    logits = model(batch["input_ids"], batch["attention_mask"]).logits  # [batch, seq, vocab]
    return nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())


# --- how well it guesses --------------------------------------------------------------------------


def unigram_log_probs(examples: Sequence[Features], vocab_size: int) -> torch.Tensor:
    """log of each token's share in the examples, one added to every count; float32 [vocab_size]."""
    counts = torch.ones(vocab_size, dtype=torch.float64)
    for example in examples:
        counts += torch.bincount(torch.tensor(example["input_ids"]), minlength=vocab_size)
    return (counts / counts.sum()).log().float()


@torch.inference_mode()
def score_held_out(
    model: nn.Module,
    batches: Iterable[Batch],
    unigrams: torch.Tensor,
    *,
    mask_token_id: int,
    accelerator: Accelerator | None = None,
) -> HeldOutScore:
    """Measure a model on corrupted (or causal) batches;
    `unigrams` as `unigram_log_probs` gives them.

    Of the chosen tokens only those count that were replaced by [MASK]: a kept or a random one would
    flatter or blur.
    """
    model.eval()
    accelerator = accelerator or hardware.make_accelerator()
    first = next(
        model.parameters(), None
    )  # where the model is, which need not be the accelerator's device
    device = accelerator.device if first is None else first.device
    sums = torch.zeros(6, dtype=torch.float64)
    for batch in batches:
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        targets, logits, pair_logits = _guess(model, batch, mask_token_id, accelerator)
        losses = nn.functional.cross_entropy(logits.float(), targets, reduction="sum")
        pairs = batch.get("next_sentence_label", torch.empty(0))
        right_pairs = (pair_logits.argmax(-1) == pairs).sum().item() if len(pairs) else 0
        sums += torch.tensor(
            [
                losses.item(),
                -unigrams[targets.cpu()].sum().item(),
                len(targets),
                len(pairs),
                (logits.argmax(-1) == targets).sum().item(),
                right_pairs,
            ]
        )
    loss, unigram_loss, num_targets, num_pairs, right, right_pairs = sums.tolist()
    if not num_targets:
        raise ValueError("no token was masked in the held-out batches; give more text")
    return HeldOutScore(
        loss / num_targets,
        unigram_loss / num_targets,
        right / num_targets,
        int(num_targets),
        right_pairs / num_pairs if num_pairs else None,
        int(num_pairs),
    )


def _guess(
    model: nn.Module, batch: Batch, mask_token_id: int, accelerator: Accelerator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """(targets [num], their logits [num, vocab_size], logits of the pairs or None)."""
    with accelerator.autocast():
        if isinstance(model, BertForCausalLM):
            chosen = batch["labels"] != -100
            return (
                batch["labels"][chosen],
                model(batch["input_ids"], batch["attention_mask"]).logits[chosen],
                None,
            )
        chosen = (batch["labels"] != -100) & (batch["input_ids"] == mask_token_id)
        filled = _filled_up(chosen)
        output = model(
            batch["input_ids"], batch["attention_mask"], batch.get("token_type_ids"), chosen=filled
        )
        return batch["labels"][chosen], output.mlm_logits[chosen[filled]], output.nsp_logits


# --- the run --------------------------------------------------------------------------------------


def pretrain(
    task: PretrainConfig,
    config: TrainConfig,
    output_dir: Path,
    *,
    resume: bool = True,
    stop_after: int | None = None,
    progress: bool = False,
    command: str = "",
) -> dict[str, Any] | None:
    """Pre-train and write model (float16), config, vocabulary and result.json into `output_dir`;
    return the result.

    Started again with the same settings it goes on where it was, or returns the finished result at
    once; without `resume` it first deletes the run that the folder holds. With `stop_after` updates
    in all the weights so far are written, and None is returned. Raises ValueError when the folder
    holds another run, or the data are unfit.
    """
    refuse_own_start(task.start_from, output_dir)
    identity = identity_of(task.to_dict(), "start_from")
    if finished := finished_result(output_dir, {**identity, **config.identity()}, resume=resume):
        with phase(
            f"this run was finished before: its result is read from {output_dir}", show=progress
        ):
            return finished
    with interrupts_in_one_line("stopped; what was saved last is untouched, start again to go on"):
        return _pretrain(task, config, output_dir, identity, stop_after, progress, command)


def _pretrain(
    task: PretrainConfig,
    config: TrainConfig,
    output_dir: Path,
    identity: dict[str, Any],
    stop_after: int | None,
    progress: bool,
    command: str,
) -> dict[str, Any] | None:
    with (
        phase(f"reading the texts of {task.dataset!r}, and a vocabulary", show=progress),
        hardware.make_accelerator().main_process_first(),
    ):
        texts, held_out_texts = training_texts(task)
        tokenizer = _tokenizer(task, texts, output_dir)
    to_examples, collate, compute_loss = _objective(task, tokenizer, config.seed)
    with phase(f"tokenizing {len(texts) + len(held_out_texts):,} texts", show=progress):
        examples, held_out = to_examples(texts), to_examples(held_out_texts)
    measure = partial(
        _measure,
        batches=_held_out_batches(task, tokenizer, held_out),
        unigrams=unigram_log_probs(examples, tokenizer.vocab_size),
        mask_token_id=tokenizer.mask_token_id,
    )
    model = _model(task, tokenizer.vocab_size, config.seed)
    if (
        task.objective == "mlm"
    ):  # no loss reaches these, and several processes would wait for their gradients
        model.bert.pooler.requires_grad_(False)
        model.nsp.requires_grad_(False)
    fitted = fit(
        model,
        examples,
        config,
        compute_loss=compute_loss,
        collate=collate,
        output_dir=output_dir,
        evaluate=measure,
        best_metric="loss",
        stop_after=stop_after,
        progress=progress,
        identity=identity,
    )
    with phase("measuring the held-out loss", show=progress):
        found = measure(model, fitted.accelerator)
    result = {
        "held_out": found,
        "dataset": task.dataset,
        "train_texts": len(texts),
        "train_examples": len(examples),
        "train_tokens": sum(len(one["input_ids"]) for one in examples),
        **record_of(fitted, {**identity, **config.to_dict()}, command),
    }
    if PartialState().is_main_process:
        models.save_pretrained(copy.deepcopy(model).half(), output_dir)
        if fitted.finished:
            files.write_json(output_dir / "result.json", result)
            saved_state.remove_states(output_dir / "state")
    PartialState().wait_for_everyone()
    return result if fitted.finished else None


def _tokenizer(task: PretrainConfig, texts: Sequence[str], output_dir: Path) -> WordPieceTokenizer:
    """The vocabulary of the folder to start from (its weights know no other),
    of this run's own start, or a new one.
    """
    if task.start_from:
        tokenizer = WordPieceTokenizer.load(Path(task.start_from).expanduser())
    elif (
        output_dir / "run.json"
    ).exists() or not PartialState().is_main_process:  # else it is another run's
        tokenizer = WordPieceTokenizer.load(output_dir)
    else:
        tokenizer = WordPieceTokenizer.train(texts, task.vocab_size)
    if PartialState().is_main_process and not (output_dir / "run.json").exists():
        tokenizer.save(output_dir)
    return tokenizer


def _objective(
    task: PretrainConfig, tokenizer: WordPieceTokenizer, seed: int
) -> tuple[Callable[..., Any], ...]:
    """(texts to examples, examples to a batch, model and batch to a loss) of
    the task's objective.
    """
    to_examples = partial(token_examples, tokenizer=tokenizer, max_length=task.max_length)
    if task.objective == "clm":
        return to_examples, partial(collate_causal, tokenizer=tokenizer), causal_loss
    if task.objective == "mlm+nsp":

        def to_examples(texts: Sequence[str]) -> list[Features]:
            return pair_examples(
                texts, tokenizer, task.max_length, generator=torch.Generator().manual_seed(seed)
            )

    return (
        to_examples,
        partial(collate_masked, tokenizer=tokenizer, static=task.static_masking),
        masked_loss,
    )


def _held_out_batches(
    task: PretrainConfig, tokenizer: WordPieceTokenizer, examples: list[Features]
) -> list[Batch]:
    """The held-out examples in batches, corrupted once and for all,
    so that every evaluation asks for the same.
    """
    generator = torch.Generator().manual_seed(0)
    ordered = sorted(examples, key=lambda example: len(example["input_ids"]))  # little padding
    parts = [ordered[start : start + 64] for start in range(0, len(ordered), 64)]
    if task.objective == "clm":
        return [collate_causal(part, tokenizer) for part in parts]
    return [collate_masked(part, tokenizer, generator=generator) for part in parts]


def _measure(model: nn.Module, accelerator: Accelerator, **held_out: Any) -> dict[str, float]:
    found = score_held_out(model, accelerator=accelerator, **held_out)
    return {name: value for name, value in asdict(found).items() if value is not None}


def _model(task: PretrainConfig, vocab_size: int, seed: int) -> nn.Module:
    """A fresh model, or one that starts from saved weights with the task's dropout;
    ValueError if its sizes differ.
    """
    torch.manual_seed(seed)
    kind, config = (
        BertForCausalLM if task.objective == "clm" else BertForPreTraining,
        task.bert(vocab_size),
    )
    if not task.start_from:
        return kind(config, attention=task.attention)
    start = models.load_pretrained(task.start_from, model_class=kind)
    for name in (
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "max_position_embeddings",
    ):
        there, here = getattr(start.config, name), getattr(config, name)
        if there != here:
            raise ValueError(
                f"start_from={task.start_from} has {name} {there}, the settings say {here}; "
                "give the same"
            )
    dropout = {
        name: getattr(config, name)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob")
    }
    model = kind(replace(start.config, **dropout), attention=task.attention)
    model.load_state_dict(start.state_dict())
    return model
