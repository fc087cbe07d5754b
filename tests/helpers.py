"""A BERT that trains in milliseconds, its data,
and processes that start without importing torch again.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import BertConfig, BertForSequenceClassification

from course_utils import files, finetune, models
from course_utils.config import TrainConfig
from course_utils.data import collate, registry
from course_utils.training import FitResult, Objective, fit, saved_state

SHAPE = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}
# Nothing is measured, so that a run costs milliseconds and is the same everywhere.
FIXED = {"precision": "fp32", "num_threads": 1}


def tiny_model(
    kind: type[nn.Module] = BertForSequenceClassification,
    *,
    seed: int = 0,
    dropout: float = 0.0,
    **settings: Any,
) -> nn.Module:
    """A BERT with fresh weights of its own seed; the global random state stays as it was."""
    shape = {
        **SHAPE,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        **settings,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind(BertConfig(**shape))


def publish(folder: Path, model: nn.Module, tokenizer: Any) -> None:
    """A checkpoint as others publish it: a model and a tokenizer of `transformers`, saved by it."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def tiny_features(
    count: int, *, seed: int = 0, longest: int = 24, per_token: bool = False
) -> list[dict[str, Any]]:
    """Examples of 3 to `longest` ids; the label says whether id 5 occurs, or, per token,
    whether the id is even.

    Of token labels, every example has another number that is ignored (-100), from none to all but
    one.
    """
    rng = random.Random(seed)
    features: list[dict[str, Any]] = []
    for number in range(count):
        ids = [2, *rng.choices(range(6, SHAPE["vocab_size"]), k=rng.randint(1, longest - 2)), 3]
        if number % 2:
            ids[1] = 5
        labels: Any = number % 2
        if per_token:
            labels = [index % 2 for index in ids]
            for position in rng.sample(range(len(ids)), rng.randrange(len(ids))):
                labels[position] = -100
        features.append({"input_ids": ids, "labels": labels})
    return features


def compute_loss(model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Mean cross-entropy over the labels that are not -100, one an example or one a token."""
    logits = model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits
    return nn.functional.cross_entropy(logits.flatten(0, -2), batch["labels"].flatten())


def at_update(
    number: int, action: Callable[[nn.Module, torch.Tensor], torch.Tensor]
) -> Callable[..., torch.Tensor]:
    """A compute_loss that does something else in one call: at that update, if batches are whole."""
    calls = 0

    def loss_of(model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        nonlocal calls
        calls += 1
        loss = compute_loss(model, batch)
        return action(model, loss) if calls == number else loss

    return loss_of


def accuracy_on(features: Sequence[Mapping[str, Any]]) -> Callable[..., dict[str, float]]:
    """An `evaluate` for fit: accuracy and loss of a sequence classifier on `features`."""
    batch = collate(features)

    @torch.no_grad()
    def evaluate(model: nn.Module, accelerator: object) -> dict[str, float]:
        model.eval()
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        right = model(**inputs).logits.argmax(-1) == batch["labels"]
        return {"accuracy": right.float().mean().item(), "loss": compute_loss(model, batch).item()}

    return evaluate


def tiny_config(**settings: Any) -> TrainConfig:
    """A recipe in which nothing is measured."""
    return TrainConfig(**{**FIXED, "batch_size": 4, "learning_rate": 1e-3, **settings})


def tiny_fit(
    model: nn.Module,
    features: Sequence[Mapping[str, Any]],
    config: TrainConfig | None = None,
    **options: Any,
) -> FitResult:
    """fit with the tiny model's own parts where nothing else is said;
    torch's number of threads is put back.
    """
    named = {"loss": "compute_loss", "collate": "collate"}
    named |= {"evaluate": "evaluate", "best_metric": "best_metric"}
    parts = {"compute_loss": compute_loss, "collate": collate, **options}
    chosen = {field: parts.pop(name) for field, name in named.items() if name in parts}
    threads = torch.get_num_threads()
    try:
        return fit(model, features, config or tiny_config(), Objective(**chosen), **parts)
    finally:
        torch.set_num_threads(threads)


def losses(result: FitResult) -> list[float]:
    return [entry["loss"] for entry in result.history if "loss" in entry]


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every weight."""
    return {name: tensor.clone() for name, tensor in models.model_tensors(model).items()}


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Whether two sets of tensors are equal to the last bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@contextmanager
def recorded_gradients() -> Iterator[list[list[torch.Tensor]]]:
    """The gradients that every optimizer step inside is given, one list a step."""
    steps: list[list[torch.Tensor]] = []

    def record(optimizer: torch.optim.Optimizer, *_: object) -> None:
        steps.append(
            [
                parameter.grad.clone()
                for group in optimizer.param_groups
                for parameter in group["params"]
            ]
        )

    handle = register_optimizer_step_pre_hook(record)
    try:
        yield steps
    finally:
        handle.remove()


# --- reviews --------------------------------------------------------------------------------------

GOOD, BAD = ("warm", "witty", "gripping", "lovely"), ("dull", "clumsy", "tedious", "hollow")


def tiny_reviews(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Reviews that one word decides, as data/reviews holds them."""
    rng = random.Random(seed)
    rest = [
        "the film",
        "its plot",
        "a scene",
        "we saw",
        "on Sunday",
        "the actor",
        "<br />",
        "and then",
    ]
    return [
        {
            "text": (
                f"{' '.join(rng.choices(rest, k=rng.randint(3, 9)))} "
                f"{rng.choice((BAD, GOOD)[number % 2])} "
                f"{' '.join(rng.choices(rest, k=3))} {seed}-{number}."
            ),
            "label": number % 2,
            "phenomenon": ("plain", "negation")[number // 2 % 2],
        }
        for number in range(count)
    ]


def write_reviews(folder: Path, **splits: Sequence[Mapping[str, Any]]) -> Path:
    """A folder like data/reviews: each split as given, else a few tiny reviews."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, split in enumerate(("train", "validation", "test", "unsupervised", "handwritten")):
        rows = splits.get(split) or tiny_reviews(24, seed=number)
        pq.write_table(pa.Table.from_pylist(list(rows)), folder / f"{split}.parquet")
    return folder


# --- processes ------------------------------------------------------------------------------------

# Children are forked from a server that has imported torch once: a start takes a tenth of a second,
# not four.
_forks = "forkserver" in multiprocessing.get_all_start_methods()
context = multiprocessing.get_context("forkserver" if _forks else "spawn")
if _forks:
    context.set_forkserver_preload(["helpers", "course_utils.tasks.classification"])


def start(target: Callable[..., object], *arguments: Any) -> multiprocessing.Process:
    """Run `target` in a process of its own."""
    process = context.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def finish(process: multiprocessing.Process) -> int:
    """Wait for its end; returns the exit code."""
    process.join(timeout=300)
    assert process.exitcode is not None, "the process did not end"
    return process.exitcode


# 30 examples: 96 updates. What wins by loss depends on dropout, the average, the schedule and the
# optimizer's memory.
LONG_RUN = tiny_config(
    num_train_epochs=12, num_warmup_steps=5, average_decay=0.9, eval_steps=7, seed=3, save_steps=1
)


def train_to_file(
    folder: Path, crash_at: tuple[int, str] | None = None, config: TrainConfig = LONG_RUN
) -> None:
    """A run in which every part of the state matters; ends in model.safetensors and result.json.

    crash_at (step, place): kill this very process while it saves that step, at that place.
    """
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored where the tests run in the background
    if crash_at:
        step, (module, name, path) = crash_at[0], CRASHES[crash_at[1]]
        _die_before(
            module, name, path.format(step=f"step-{step:08d}", before=f"step-{step - 1:08d}")
        )
    model = tiny_model(dropout=0.2)
    try:
        result = tiny_fit(
            model,
            tiny_features(30),
            config,
            output_dir=folder,
            best_metric="loss",
            evaluate=accuracy_on(tiny_features(16, seed=9)),
        )
    except KeyboardInterrupt:
        sys.exit(130)
    saved_state.save_file(models.model_tensors(model), folder / "model.safetensors")
    files.write_json(
        folder / "result.json",
        {
            "resumed_from_steps": result.resumed_from_steps,
            "best_step": result.best_step,
            "losses": losses(result),
        },
    )


# a call, and how the first path that it is given must end for the process to die before it
CRASHES = {
    "between two files": (saved_state, "save_file", ".{step}.partial/optimizer.safetensors"),
    "before the last file": (saved_state, "write_json", ".{step}.partial/progress.json"),
    "before its name": (os, "rename", ".{step}.partial"),
    "before the old one goes": (shutil, "rmtree", "/{before}"),
    "before the weights": (os, "replace", ".model/model.safetensors"),
    "before the result": (files, "write_json", "result.json"),
    "before the states go": (saved_state, "remove_states", "state"),
}


def _die_before(module: Any, name: str, path: str) -> None:
    original = getattr(module, name)

    def dying(*arguments: Any, **options: Any) -> Any:
        if next(str(argument) for argument in arguments if isinstance(argument, Path)).endswith(
            path
        ):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(module, name, dying)


def run_command_line(
    arguments: Sequence[str], reviews: Path, log: Path, crash_at: str | None = None
) -> None:
    """`python -m course_utils.finetune ARGUMENTS` with another folder in the
    place of data/reviews.
    """
    registry.COURSE_FOLDER = reviews
    if crash_at:
        _die_before(*CRASHES[crash_at])
    with log.open("a", buffering=1) as file:
        sys.stdout = sys.stderr = file
        sys.exit(finetune.main(arguments))


def without_progress(err: str) -> str:
    """What a command wrote to stderr, without the progress bars and phases that
    were drawn there first.
    """
    lines = re.sub(r"\r[^\r\n]*", "", err).splitlines(keepends=True)
    return "".join(line for line in lines if line.strip())


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


gc.collect()
# each fit ends with a garbage collection, which need not walk through all of torch and transformers
# again
gc.freeze()


def change_tokenizer(folder: Path, **sections: object) -> None:
    """Overwrite settings in a saved tokenizer.json: whole sections, or some settings of one."""
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text("utf-8"))
    for name, value in sections.items():
        content[name] = (
            {**content[name], **value} if isinstance(value, dict) and content[name] else value
        )
    file.write_text(json.dumps(content), "utf-8")
