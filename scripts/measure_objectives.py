"""Train one small body by several objectives on the same reviews,
and measure what each can do (for notebook 07).

python scripts/measure_objectives.py --output data/results/objectives.json

The record is written after each run; started again, the command goes on with the runs that the
record lacks.
"""

import argparse
import json
import math
import platform
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from course_utils import data, evaluation
from course_utils.config import PretrainConfig, TrainConfig
from course_utils.data import Features
from course_utils.evaluation import tfidf_baseline
from course_utils.files import write_json
from course_utils.models import (
    BertForCausalLM,
    BertForPreTraining,
    BertModel,
    ClassifierOutput,
    load_pretrained,
)
from course_utils.tasks import pretraining
from course_utils.tasks.classification import compute_loss
from course_utils.text import clean
from course_utils.tokenization import SPECIAL_TOKENS, WordPieceTokenizer
from course_utils.training import fit, hardware

# From BERT's recipe to RoBERTa's masking in two steps, one change each; a GPT's objective beside
# them.
OBJECTIVES: dict[str, dict[str, Any]] = {
    "causal": {"objective": "clm"},
    "masked + NSP, static": {"objective": "mlm+nsp", "static_masking": True},
    "masked, static": {"objective": "mlm", "static_masking": True},
    "masked, dynamic": {"objective": "mlm"},
}
UNTRAINED, COUNTED = "random weights", "TF-IDF"  # what the labelled reviews alone achieve
LOOKED_UP = "lookup"  # what remembering the training text word for word achieves
NextTokenLogits = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that decides the result. Lengths are in tokens;
    the budget is the same for every objective.
    """

    seeds: int = 3
    train_texts: int = 7500
    validation_texts: int = 300
    vocab_size: int = 1000
    hidden_size: int = 128
    num_hidden_layers: int = 2
    max_length: int = 64
    batch_size: int = 64
    num_updates: int = 3000
    learning_rate: float = 1e-3
    targets_per_text: int = 4
    labelled_reviews: int = 1000
    tested_reviews: int = 2000
    finetune_epochs: int = 3
    finetune_learning_rate: float = 5e-4
    num_generated: int = 20
    generated_tokens: int = 50
    precision: str = "auto"
    num_threads: int = 0


# --- training -------------------------------------------------------------------------------------


def pretrain(
    settings: Settings, name: str, seed: int, folder: Path
) -> tuple[nn.Module, dict[str, Any]]:
    """The model of an objective after its updates, and how the training went."""
    task = PretrainConfig(
        **OBJECTIVES[name],
        train_texts=settings.train_texts,
        validation_texts=settings.validation_texts,
        vocab_size=settings.vocab_size,
        hidden_size=settings.hidden_size,
        max_length=settings.max_length,
        num_hidden_layers=settings.num_hidden_layers,
        intermediate_size=4 * settings.hidden_size,
        max_position_embeddings=settings.max_length,
    )
    config = TrainConfig(
        num_train_epochs=settings.num_updates
        / math.ceil(_num_examples(task, seed) / settings.batch_size),
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        adam_beta2=0.98,
        seed=seed,
        eval_steps=max(1, settings.num_updates // 10),
        precision=settings.precision,
        num_threads=settings.num_threads,
    )
    result = pretraining.pretrain(task, config, folder)
    kind = BertForCausalLM if name == "causal" else BertForPreTraining
    evaluations = [
        {
            "step": entry["step"],
            "loss": entry["eval_loss"],
            "unigram_loss": entry["eval_unigram_loss"],
            "guessed_right": entry["eval_accuracy"],
        }
        for entry in result["evaluations"]
    ]
    pairs = (
        {"pairs_told_apart": result["held_out"]["nsp_accuracy"]}
        if "nsp_accuracy" in result["held_out"]
        else {}
    )
    kept = ("num_updates", "train_examples", "train_tokens", "train_seconds", "precision")
    return load_pretrained(folder, model_class=kind), {
        **{key: result[key] for key in kept},
        "epochs": config.num_train_epochs,
        "evaluations": evaluations,
        **pairs,
    }


def _num_examples(task: PretrainConfig, seed: int) -> int:
    """How many examples an epoch has, so that every objective can be given the
    same number of updates.
    """
    texts, _ = pretraining.training_texts(task)
    tokenizer = WordPieceTokenizer.train(texts, task.vocab_size)
    if task.objective == "mlm+nsp":
        generator = torch.Generator().manual_seed(seed)
        return len(
            pretraining.pair_examples(texts, tokenizer, task.max_length, generator=generator)
        )
    return len(pretraining.token_examples(texts, tokenizer, task.max_length))


# --- which fills blanks, which continues text -----------------------------------------------------


def draw_targets(examples: Sequence[Features], per_text: int) -> list[tuple[list[int], int]]:
    """(ids, place) of tokens to be guessed: the same ones for every model,
    never [CLS] or the closing [SEP].
    """
    generator = torch.Generator().manual_seed(0)
    targets = []
    for example in examples:
        ids = list(example["input_ids"])
        order = torch.randperm(len(ids) - 2, generator=generator)[:per_text]
        targets += [(ids, 1 + place) for place in sorted(order.tolist())]
    return targets


@torch.inference_mode()
def score_targets(
    logits_of: Callable[[Sequence[tuple[list[int], int]]], torch.Tensor],
    targets: Sequence[tuple[list[int], int]],
) -> dict[str, float]:
    """Mean loss in nats, and the share guessed right."""
    loss, right = 0.0, 0
    targets = sorted(targets, key=lambda target: len(target[0]))  # little padding
    for start in range(0, len(targets), 64):
        part = targets[start : start + 64]
        logits, wanted = logits_of(part), torch.tensor([ids[place] for ids, place in part])
        loss += float(cross_entropy(logits, wanted, reduction="sum"))
        right += int((logits.argmax(-1) == wanted).sum())
    return {"loss": loss / len(targets), "guessed_right": right / len(targets)}


def causal_logits(model: BertForCausalLM, part: Sequence[tuple[list[int], int]]) -> torch.Tensor:
    """What a causal model says of each target, [targets, vocab]: it stands in the row before,
    and knows the left.
    """
    batch = data.collate([{"input_ids": ids} for ids, _ in part])
    places = torch.tensor([place for _, place in part])
    return model(batch["input_ids"], batch["attention_mask"]).logits[
        torch.arange(len(part)), places - 1
    ]


def masked_logits(
    model: BertForPreTraining,
    tokenizer: WordPieceTokenizer,
    part: Sequence[tuple[list[int], int]],
    *,
    both_sides: bool,
) -> torch.Tensor:
    """What a masked model says of each target, [targets, vocab],
    put to it as [MASK]: within the text, or at its end.

    both_sides: the whole text around the [MASK]; else what stands left of it, the [MASK] and [SEP].
    """
    ends = [ids[place + 1 :] if both_sides else [tokenizer.sep_token_id] for ids, place in part]
    batch = data.collate(
        [
            {"input_ids": [*ids[:place], tokenizer.mask_token_id, *end]}
            for (ids, place), end in zip(part, ends, strict=True)
        ]
    )
    chosen = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
    chosen[torch.arange(len(part)), torch.tensor([place for _, place in part])] = True
    return model(batch["input_ids"], batch["attention_mask"], chosen=chosen).mlm_logits


def guess(
    model: nn.Module, tokenizer: WordPieceTokenizer, targets: Sequence[tuple[list[int], int]]
) -> dict[str, dict[str, float]]:
    """{"fill": ..., "continue": ...}: each target with both sides in sight,
    and with the left one only.
    """
    if isinstance(
        model, BertForCausalLM
    ):  # it cannot use the right side: both numbers are the same
        found = score_targets(partial(causal_logits, model), targets)
        return {"fill": found, "continue": found}
    return {
        task: score_targets(
            partial(masked_logits, model, tokenizer, both_sides=task == "fill"), targets
        )
        for task in ("fill", "continue")
    }


def guess_by_frequency(
    unigrams: torch.Tensor, targets: Sequence[tuple[list[int], int]]
) -> dict[str, dict[str, float]]:
    """The same two numbers for the frequencies of the tokens, which see neither side."""
    found = score_targets(lambda part: unigrams.expand(len(part), -1), targets)
    return {"fill": found, "continue": found}


BETWEEN = ((2, 2), (1, 1), (1, 0), (0, 0))  # neighbours to look up: two on each side, then fewer
AFTER = ((4, 0), (3, 0), (2, 0), (1, 0), (0, 0))  # the last four tokens, then fewer


def guess_by_lookup(
    texts: Sequence[Sequence[int]],
    targets: Sequence[tuple[list[int], int]],
    windows: Sequence[tuple[int, int]],
) -> float:
    """The share guessed right by the token that most often stood between the same
    neighbours in `texts`.

    windows: (tokens at the left, tokens at the right), the first of which is tried first; where it
    was never seen, the next one. Of two equally frequent tokens it takes the one seen first.
    """

    def around(
        ids: Sequence[int], place: int, left: int, right: int
    ) -> tuple[tuple[int, ...], ...]:
        return tuple(ids[max(0, place - left) : place]), tuple(ids[place + 1 : place + 1 + right])

    tables: list[dict[Any, Counter[int]]] = [{} for _ in windows]
    for ids in texts:
        for place in range(1, len(ids)):
            for table, window in zip(tables, windows, strict=True):
                table.setdefault(around(ids, place, *window), Counter())[ids[place]] += 1
    best = [
        {context: counts.most_common(1)[0][0] for context, counts in table.items()}
        for table in tables
    ]
    right = 0
    for ids, place in targets:
        known = (
            table.get(around(ids, place, *window))
            for table, window in zip(best, windows, strict=True)
        )
        right += next((token for token in known if token is not None), -1) == ids[place]
    return right / len(targets)


def pairs_by_length(train: Sequence[Features], held_out: Sequence[Features]) -> float:
    """The share of held-out pairs told apart by how long they are: each length's
    commoner label in `train`.
    """
    votes: dict[int, int] = {}
    for pair in train:
        length = len(pair["input_ids"])
        votes[length] = votes.get(length, 0) + (1 if pair["labels"] else -1)
    return sum(
        (votes.get(len(pair["input_ids"]), 0) > 0) == bool(pair["labels"]) for pair in held_out
    ) / len(held_out)


# --- which writes ---------------------------------------------------------------------------------

STRATEGIES: dict[str, dict[str, float]] = {
    "greedy": {"temperature": 0.0},
    "temperature 0.7": {"temperature": 0.7},
    "temperature 1": {},
    "top-k 40": {"top_k": 40},
    "top-p 0.9": {"top_p": 0.9},
}


def choose(
    logits: torch.Tensor,
    generator: torch.Generator,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> torch.Tensor:
    """One token for each row of logits [texts, vocab]; temperature 0 is the best one, always."""
    if temperature == 0:
        return logits.argmax(-1)
    probs, order = (logits / temperature).softmax(-1).sort(dim=-1, descending=True, stable=True)
    probs[:, top_k or probs.shape[1] :] = 0
    probs[probs.cumsum(-1) - probs >= top_p] = 0  # what is before it has enough already
    return order.gather(-1, torch.multinomial(probs, 1, generator=generator))[:, 0]


@torch.inference_mode()
def write(
    next_logits: NextTokenLogits,
    starts: torch.Tensor,
    num_tokens: int,
    forbidden: Sequence[int],
    seed: int,
    **strategy: float,
) -> torch.Tensor:
    """Go on with starts [texts, seq] by so many tokens, one at a time;
    none of `forbidden` is ever taken.
    """
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_tokens):
        logits = next_logits(starts)  # [texts, vocab]
        logits[:, list(forbidden)] = -torch.inf
        starts = torch.cat([starts, choose(logits, generator, **strategy)[:, None]], dim=1)
    return starts


def next_logits_of(model: nn.Module, tokenizer: WordPieceTokenizer) -> NextTokenLogits:
    """Ids [texts, seq] to logits of the next token [texts, vocab];
    a masked model is asked by an appended [MASK].
    """
    if isinstance(model, BertForCausalLM):
        return lambda ids: model(ids).logits[:, -1].clone()
    question = torch.tensor([tokenizer.mask_token_id, tokenizer.sep_token_id])

    def ask(ids: torch.Tensor) -> torch.Tensor:
        asked = torch.cat([ids, question.expand(len(ids), 2)], dim=1)  # [texts, seq + 2]
        chosen = (asked == tokenizer.mask_token_id) & (torch.arange(asked.shape[1]) == ids.shape[1])
        return model(asked, chosen=chosen).mlm_logits

    return ask


def repetition(texts: Sequence[Sequence[int]]) -> dict[str, float]:
    """How much texts repeat themselves, mean over texts.

    repeated: share of tokens that occurred earlier in the same text. distinct_2, distinct_4:
    different runs of so many tokens as a share of all such runs.
    """

    def distinct(text: Sequence[int], size: int) -> float:
        runs = [tuple(text[start : start + size]) for start in range(len(text) - size + 1)]
        return len(set(runs)) / max(1, len(runs))

    def mean(size: int) -> float:
        return sum(distinct(list(text), size) for text in texts) / len(texts)

    return {"repeated": 1 - mean(1), "distinct_2": mean(2), "distinct_4": mean(4)}


def write_samples(
    model: nn.Module,
    tokenizer: WordPieceTokenizer,
    starts: torch.Tensor,
    num_tokens: int,
    seed: int,
) -> dict[str, Any]:
    """{strategy: how much its texts repeat themselves, and the first two of them}."""
    forbidden = [tokenizer.vocab[token] for token in SPECIAL_TOKENS]
    found = {}
    for name, strategy in STRATEGIES.items():
        texts = write(
            next_logits_of(model, tokenizer), starts, num_tokens, forbidden, seed, **strategy
        ).tolist()
        found[name] = {
            **repetition([text[starts.shape[1] :] for text in texts]),
            "texts": [tokenizer.decode(text[1:]) for text in texts[:2]],
        }
    return found


# --- which classifies -----------------------------------------------------------------------------


class MeanClassifier(nn.Module):
    """A body with one linear layer on the mean of its tokens' vectors: alike for a body that looks
    to both sides and one that looks back, whose [CLS] would see nothing but itself.
    """

    def __init__(self, body: BertModel) -> None:
        super().__init__()
        self.body = body
        self.classifier = nn.Linear(body.config.hidden_size, 2)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> ClassifierOutput:
        vectors = self.body(input_ids, attention_mask).sequence_output  # [batch, seq, hidden]
        weights = attention_mask[..., None].to(vectors.dtype)
        return ClassifierOutput(self.classifier((vectors * weights).sum(1) / weights.sum(1)))


def classify(
    body: BertModel, tokenizer: WordPieceTokenizer, settings: Settings, seed: int
) -> dict[str, float]:
    """Fine-tune the body on some labelled reviews, and score it on the test split."""
    torch.manual_seed(seed)
    model = MeanClassifier(body)
    labelled, tested = labelled_reviews(settings, seed)

    def encode(split: Mapping[str, Any]) -> list[Features]:
        return [
            {
                "input_ids": data.truncate_ids(
                    tokenizer.encode(clean(text)), settings.max_length, tail_share=0.5
                ),
                "labels": label,
            }
            for text, label in zip(split["text"], split["label"], strict=True)
        ]

    config = TrainConfig(
        num_train_epochs=settings.finetune_epochs,
        learning_rate=settings.finetune_learning_rate,
        seed=seed,
        precision=settings.precision,
        num_threads=settings.num_threads,
    )
    fitted = fit(model, encode(labelled), config, compute_loss=compute_loss, collate=data.collate)
    found = evaluation.evaluate(
        model, encode(tested), collate=data.collate, accelerator=fitted.accelerator
    )
    return {
        "accuracy": found.accuracy,
        "loss": found.loss,
        "train_seconds": round(fitted.train_seconds, 1),
    }


def labelled_reviews(settings: Settings, seed: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Reviews to learn from, others in each seed, and those of the test split to be scored on."""
    reviews = data.load_reviews("course")
    labelled = data.hold_out(reviews["train"], settings.labelled_reviews, seed=seed)[1]
    return labelled[:], reviews["test"][: settings.tested_reviews]


# --- the record -----------------------------------------------------------------------------------


def measure_one(settings: Settings, name: str, seed: int, folder: Path) -> dict[str, Any]:
    """One entry of the record: a model, what it was given, and what it can do."""
    task = PretrainConfig(
        train_texts=settings.train_texts, validation_texts=settings.validation_texts
    )
    texts, held_out_texts = pretraining.training_texts(task)
    tokenizer = WordPieceTokenizer.train(texts, settings.vocab_size)
    held_out = pretraining.token_examples(held_out_texts, tokenizer, settings.max_length)
    targets = draw_targets(held_out, settings.targets_per_text)
    entry: dict[str, Any] = {"model": name, "seed": seed}
    if name == LOOKED_UP:
        learnt = [
            list(one["input_ids"])
            for one in pretraining.token_examples(texts, tokenizer, settings.max_length)
        ]
        pairs = [
            pretraining.pair_examples(
                some, tokenizer, settings.max_length, generator=torch.Generator().manual_seed(seed)
            )
            for some in (texts, held_out_texts)
        ]
        return {
            **entry,
            "fill": {"guessed_right": guess_by_lookup(learnt, targets, BETWEEN)},
            "continue": {"guessed_right": guess_by_lookup(learnt, targets, AFTER)},
            "pairs_told_apart": pairs_by_length(*pairs),
        }
    if name == COUNTED:
        unigrams = pretraining.unigram_log_probs(
            pretraining.token_examples(texts, tokenizer, settings.max_length), tokenizer.vocab_size
        )
        labelled, tested = labelled_reviews(settings, seed)
        found = tfidf_baseline(labelled["text"], labelled["label"], tested["text"], tested["label"])
        return {
            **entry,
            **guess_by_frequency(unigrams, targets),
            "finetuned": {"accuracy": found.accuracy},
        }
    if name == UNTRAINED:
        model, training = _untrained(settings, tokenizer, seed), {}
    else:
        model, training = pretrain(settings, name, seed, folder)
        starts = _starts(held_out, settings)
        training |= {
            **guess(model, tokenizer, targets),
            "num_targets": len(targets),
            "written": {
                **write_samples(model, tokenizer, starts, settings.generated_tokens, seed),
                "reviews": _as_written(held_out, settings),
            },
        }
    return {**entry, **training, "finetuned": classify(model.bert, tokenizer, settings, seed)}


def _untrained(settings: Settings, tokenizer: WordPieceTokenizer, seed: int) -> nn.Module:
    task = PretrainConfig(
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.num_hidden_layers,
        intermediate_size=4 * settings.hidden_size,
        max_length=settings.max_length,
        max_position_embeddings=settings.max_length,
    )
    torch.manual_seed(seed)
    return BertForPreTraining(task.bert(tokenizer.vocab_size))


def _long_enough(held_out: Sequence[Features], settings: Settings) -> list[list[int]]:
    rows = [list(example["input_ids"]) for example in held_out]
    rows = [row for row in rows if len(row) >= 6 + settings.generated_tokens]
    return rows[: settings.num_generated]


def _starts(held_out: Sequence[Features], settings: Settings) -> torch.Tensor:
    """[CLS] and the first four tokens of held-out texts, [texts, 5]."""
    return torch.tensor([row[:5] for row in _long_enough(held_out, settings)])


def _as_written(held_out: Sequence[Features], settings: Settings) -> dict[str, float]:
    """How much the held-out texts themselves repeat, over as many tokens as are generated."""
    return repetition(
        [row[5 : 5 + settings.generated_tokens] for row in _long_enough(held_out, settings)]
    )


def measure(settings: Settings, output: Path) -> dict[str, Any]:
    """Run what the record lacks, one seed after the other, and write it after each run."""
    record = (
        json.loads(output.read_text(encoding="utf-8"))
        if output.exists()
        else {"dataset": "course", "settings": asdict(settings), "models": []}
    )
    if record["settings"] != asdict(settings):
        raise SystemExit(
            f"{output} holds a record of other settings; delete it, or name another file"
        )
    done = {(entry["model"], entry["seed"]) for entry in record["models"]}
    for seed in range(settings.seeds):
        for name in (*OBJECTIVES, UNTRAINED, COUNTED, LOOKED_UP):
            if (name, seed) not in done:
                with tempfile.TemporaryDirectory() as folder:
                    record["models"].append(measure_one(settings, name, seed, Path(folder)))
                _write(record, settings, output)
    return record


def _write(record: dict[str, Any], settings: Settings, output: Path) -> None:
    versions = {
        name: version(name)
        for name in ("torch", "transformers", "datasets", "accelerate", "scikit-learn")
    }
    options = "".join(
        f" --{name.replace('_', '-')} {value}"
        for name, value in asdict(settings).items()
        if value != getattr(Settings(), name)
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    write_json(
        output,
        {
            **record,
            "command": f"python scripts/measure_objectives.py --output $OUTPUT{options}",
            "hardware": hardware.describe(),
            "versions": {"python": platform.python_version(), **versions},
        },
    )


def main() -> None:
    """Measure, and print a line a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=Path, required=True, help="the record, which grows run by run"
    )
    for field in fields(Settings):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=field.type,
            default=field.default,
            help="%(default)s",
        )
    args = vars(parser.parse_args())
    for entry in measure(
        Settings(**{field.name: args[field.name] for field in fields(Settings)}), args["output"]
    )["models"]:
        guesses = {
            task: round(entry[task]["guessed_right"], 3)
            for task in ("fill", "continue")
            if task in entry
        }
        accuracy = (
            f", accuracy {entry['finetuned']['accuracy']:.3f}" if "finetuned" in entry else ""
        )
        print(f"{entry['model']}, seed {entry['seed']}: guessed right {guesses}{accuracy}")


if __name__ == "__main__":
    main()
