"""Compare how fast a BERT is pre-trained by the course's own BERT under fit, and by
transformers.Trainer with its collator for masked language modelling.

    python -m experiments.pretraining_speed --dataset imdb \\
        --output data/results/pretraining_speed.json

Both train a BERT of the same sizes, from the same start weights, on the same pieces of the same
reviews, in batches of the same size. They take turns in every round. Further contenders are ours
with one thing taken back, which shows what that thing gives. What counts are the ratios within one
run; tokens per second (padding not counted) depend on the machine.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import BertForMaskedLM, BertTokenizerFast, DataCollatorForLanguageModeling

from course_utils.config import BertConfig, PretrainConfig
from course_utils.data import hub, load_reviews
from course_utils.models import BertForPreTraining, save_pretrained
from course_utils.tasks.pretraining import collate_masked, masked_loss, token_examples
from course_utils.text import clean
from course_utils.tokenization import WordPieceTokenizer
from course_utils.training import Batch, Objective, hardware
from experiments.command_line import (
    add_dataset,
    add_output,
    command_in_words,
    exit_status,
    make_parser,
)
from experiments.contenders import run_fit, train_ours, train_trainer
from experiments.record import Run, origin
from experiments.speed import (
    BATCH_SIZE,
    CONFIG,
    NONE,
    OURS,
    PACKAGES,
    SEED,
    THEIRS,
    Contender,
    Setup,
    add_rounds,
    first_lines,
    outcome,
    quiet_library,
    tables,
    take_turns,
    tell,
    timed,
    training_flops,
)

SHAPES = {
    "course-bert": PretrainConfig(),
    "tiny": PretrainConfig(
        vocab_size=500, hidden_size=32, num_hidden_layers=2, intermediate_size=64
    ),
}
DROPOUT = BertConfig().hidden_dropout_prob  # BERT's own, 0.1; a transformers config has it too
CHOSEN_SHARE = 0.15  # of the tokens, to be guessed; both collators choose so many
FUSED = "ours, fused attention"  # a third kind of start models

PAIRS = [
    ("ours", "trainer"),
    ("ours", "trainer-bf16"),
    ("ours", "trainer-bf16-none"),
    ("ours-dropout", "trainer-bf16"),
    ("ours", "ours-everywhere"),
    ("ours", "ours-fused"),
    ("ours", "ours-dropout"),
    ("ours", "ours-fp32"),
]


# --- what all contenders share --------------------------------------------------------------------


def make_setup(options: argparse.Namespace) -> tuple[Setup, WordPieceTokenizer]:
    """Draw reviews, cut them into pieces, and build start models with equal weights. Also returns
    the course's own tokenizer.
    """
    shape = SHAPES[options.shape]
    num_pieces = BATCH_SIZE * options.updates
    reviews = load_reviews(options.dataset)["train"].shuffle(seed=SEED)
    reviews = reviews.select(range(num_pieces))  # at least one piece each
    texts = [clean(text) for text in reviews["text"]]

    if options.shape == "course-bert":
        tokenizer = WordPieceTokenizer.load(hub.shipped_folder(hub.COURSE_BERT))
    else:
        tokenizer = WordPieceTokenizer.train(texts, shape.vocab_size)
    pieces = token_examples(texts, tokenizer, options.max_length)
    order = torch.randperm(len(pieces), generator=torch.Generator().manual_seed(SEED)).tolist()

    with tempfile.TemporaryDirectory() as folder, quiet_library():
        tokenizer.save(folder)
        models = start_models(shape.bert(tokenizer.vocab_size), Path(folder))
        their_tokenizer = BertTokenizerFast.from_pretrained(folder)
    setup = Setup(
        features=[pieces[index] for index in order[:num_pieces]],
        tokenizer=their_tokenizer,
        models=models,
        max_length=options.max_length,
        num_threads=torch.get_num_threads(),
        device=hardware.find_device(),
    )
    return setup, tokenizer


def start_models(config: BertConfig, folder: Path) -> dict[str, nn.Module]:
    """Each kind of model with each dropout, "KIND NONE" and "KIND CONFIG", all with equal weights.

    folder: where the weights are saved for the library's model to read.
    """
    torch.manual_seed(SEED)
    first = BertForPreTraining(config, attention="explicit")
    save_pretrained(first, folder)

    models: dict[str, nn.Module] = {}
    for name, share in ((NONE, 0.0), (CONFIG, DROPOUT)):
        dropout = {"hidden_dropout_prob": share, "attention_probs_dropout_prob": share}
        own_config = BertConfig(**{**config.to_dict(), **dropout})
        for kind, attention in ((OURS, "explicit"), (FUSED, "sdpa")):
            model = BertForPreTraining(own_config, attention=attention)
            model.load_state_dict(first.state_dict())
            models[f"{kind} {name}"] = model
        theirs = BertForMaskedLM.from_pretrained(folder, dtype=torch.float32, **dropout)
        models[f"{THEIRS} {name}"] = theirs
    return models


def loss_everywhere(model: nn.Module, batch: Batch) -> torch.Tensor:
    """`masked_loss` the usual way: logits at every position, of which the loss reads 15 %."""
    logits = model(batch["input_ids"], batch["attention_mask"]).mlm_logits  # [batch, seq, vocab]
    return nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())


# --- contenders -----------------------------------------------------------------------------------


def our_contenders(
    choice: hardware.Hardware, tokenizer: WordPieceTokenizer
) -> dict[str, Contender]:
    """`fit` with its defaults, and four variants with one thing taken back.

    choice: what `fit` chose by its own measurement for our model without dropout.
    """
    collate = partial(collate_masked, tokenizer=tokenizer)
    ours = partial(train_ours, choice=choice, objective=Objective(masked_loss, collate))
    fp32 = hardware.Hardware(choice.device, "fp32", choice.num_threads, "to compare")

    def contender(words: str, train: Any, *, dropout: str = NONE, kind: str = OURS) -> Contender:
        return Contender(f"fit, {words}", dropout, train, kind)

    everywhere = partial(ours, objective=Objective(loss_everywhere, collate))
    return {
        "ours": contender(f"{choice.precision}, grouped, head where needed", ours),
        "ours-everywhere": contender("the head at every position", everywhere),
        "ours-fused": contender("fused attention (sdpa)", ours, kind=FUSED),
        "ours-dropout": contender("with BERT's dropout", ours, dropout=CONFIG),
        "ours-fp32": contender("fp32", partial(ours, choice=fp32)),
    }


def their_contenders(setup: Setup) -> dict[str, Contender]:
    """transformers.Trainer with its defaults, and tuned."""
    collator = DataCollatorForLanguageModeling(setup.tokenizer)
    trainer = partial(train_trainer, data_collator=collator)
    tuned = partial(trainer, bf16=True, train_sampling_strategy="group_by_length")
    defaults = "Trainer's defaults (fp32, not grouped)"
    return {
        "trainer": Contender(defaults, CONFIG, trainer, THEIRS),
        "trainer-bf16": Contender("Trainer, bf16, grouped", CONFIG, tuned, THEIRS),
        "trainer-bf16-none": Contender("Trainer, bf16, grouped", NONE, tuned, THEIRS),
    }


def make_contenders(
    choice: hardware.Hardware, tokenizer: WordPieceTokenizer, setup: Setup
) -> dict[str, Contender]:
    """All contenders by name, in the order of their turns."""
    ours = our_contenders(choice, tokenizer)
    return {"ours": ours["ours"], **their_contenders(setup), **ours}


# --- measuring ------------------------------------------------------------------------------------


def head_flops(config: BertConfig, lengths: Sequence[int]) -> float:
    """What the MLM head's two matrices cost, forward and backward, where the head is needed: at
    15 % of the tokens that are not special.
    """
    num_chosen = CHOSEN_SHARE * sum(length - 2 for length in lengths)  # without [CLS] and [SEP]
    return 6.0 * config.hidden_size * (config.hidden_size + config.vocab_size) * num_chosen


def measure(contender: Contender, setup: Setup) -> Run:
    """One round of one contender. flops are those that the task needs, even if a contender computes
    more.
    """
    timing = timed(contender, setup)
    head = head_flops(timing.model.config, timing.lengths)
    return {
        "seconds": timing.seconds,
        "tokens_per_second": sum(timing.lengths) / timing.seconds,
        "padding_share": timing.padding_share,
        "flops": training_flops(timing.model, timing.lengths) + head,
        "flops_with_padding": training_flops(timing.model, timing.padded_lengths) + head,
    }


def measure_all(options: argparse.Namespace) -> Run:
    """All rounds; returns the record, ready for JSON."""
    setup, tokenizer = make_setup(options)
    first = setup.models[f"{OURS} {NONE}"]
    objective = Objective(masked_loss, partial(collate_masked, tokenizer=tokenizer))
    fitted = run_fit(copy.deepcopy(first), setup.longest_batch(), setup, objective=objective)
    contenders = make_contenders(fitted.hardware, tokenizer, setup)
    rounds = take_turns(
        contenders, partial(measure, setup=setup), fitted.hardware, options.rounds, "tokens"
    )
    command = command_in_words(build_parser(), options)
    return {
        "dataset": options.dataset,
        "shape": options.shape,
        "model": first.config.to_dict(),
        "max_length": options.max_length,
        "batch_size": BATCH_SIZE,
        "updates": options.updates,
        "rounds": options.rounds,
        "seed": SEED,
        "mean_tokens": setup.mean_tokens(),
        "precision": {NONE: fitted.hardware.to_dict()},
        **outcome(contenders, rounds, PAIRS),
        **origin(command, PACKAGES),
    }


def report(record: Run) -> str:
    """The record as tables for people."""
    sizes = record["model"]
    lines = [
        *first_lines(record),
        f"{sizes['num_hidden_layers']} layers, hidden_size {sizes['hidden_size']}, vocabulary "
        f"{sizes['vocab_size']:,}; {record['updates']} updates of {record['batch_size']} pieces of "
        f"{record['dataset']} reviews, {record['mean_tokens']:.0f} tokens on average, "
        f"{record['max_length']} at most; medians of {record['rounds']} rounds",
        *tables(record, "tokens"),
    ]
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("pretraining_speed", __doc__)
    parser.add_argument(
        "--shape",
        choices=tuple(SHAPES),
        default="course-bert",
        help="course-bert's (4 layers, hidden_size 256, its vocabulary), or tiny [%(default)s]",
    )
    add_dataset(parser, "course")
    parser.add_argument(
        "--max-length",
        type=int,
        default=PretrainConfig().max_length,
        help="tokens of a piece [%(default)s]",
    )
    add_rounds(parser, updates=16)
    add_output(parser)
    return parser


def run(options: argparse.Namespace) -> None:
    """Measure, print the tables, and write the record."""
    tell(measure_all(options), report, options.output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = build_parser().parse_args(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    raise SystemExit(main())
