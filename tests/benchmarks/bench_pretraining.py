"""Pre-training speed side by side: the course's own BERT under fit,
and transformers.Trainer with its MLM collator.

Both train a BERT of the same sizes, from the same start weights, on the same pieces of the same
reviews in batches of the same size, and take turns in every round. Further contenders are ours with
one thing taken back, to see what each gives. What counts are the ratios within one run; tokens/s
(padding not counted) belong to the machine.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # read when torch loads; busy waiting stalls shared cores

import measuring
import torch
import transformers
from contenders import run_fit, train_ours, train_trainer
from measuring import BATCH_SIZE, CONFIG, NONE, SEED, Contender, Run, Setup, training_flops
from torch import nn
from transformers import BertForMaskedLM, BertTokenizerFast, DataCollatorForLanguageModeling

from course_utils.config import BertConfig, PretrainConfig
from course_utils.data import load_reviews
from course_utils.models import BertForPreTraining, save_pretrained
from course_utils.tasks.pretraining import collate_masked, masked_loss, token_examples
from course_utils.text import clean
from course_utils.tokenization import WordPieceTokenizer
from course_utils.training import Batch, hardware

VOCABULARY = Path(__file__).resolve().parents[2] / "data" / "checkpoints" / "course-bert"
SHAPES = {
    "course-bert": PretrainConfig(),
    "tiny": PretrainConfig(
        vocab_size=500, hidden_size=32, num_hidden_layers=2, intermediate_size=64
    ),
}
DROPOUT = BertConfig().hidden_dropout_prob  # BERT's own, 0.1, which a transformers config has too
CHOSEN_SHARE = 0.15  # of the tokens, to be guessed: of both collators
OURS, THEIRS, FUSED = "ours", "theirs", "ours, fused attention"  # kinds of start models

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


def make_setup(args: argparse.Namespace) -> tuple[Setup, WordPieceTokenizer]:
    """Reviews drawn at random and cut into pieces, and start models of equal weights,
    by kind and dropout.
    """
    shape = SHAPES[args.shape]
    num_pieces = BATCH_SIZE * args.updates
    reviews = (
        load_reviews(args.dataset)["train"].shuffle(seed=SEED).select(range(num_pieces))
    )  # a piece each at least
    texts = [clean(text) for text in reviews["text"]]
    tokenizer = (
        WordPieceTokenizer.load(VOCABULARY)
        if args.shape == "course-bert"
        else WordPieceTokenizer.train(texts, shape.vocab_size)
    )
    pieces = token_examples(texts, tokenizer, args.max_length)
    order = torch.randperm(len(pieces), generator=torch.Generator().manual_seed(SEED)).tolist()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        models = start_models(shape.bert(tokenizer.vocab_size), Path(folder))
        their_tokenizer = BertTokenizerFast.from_pretrained(folder)
    setup = Setup(
        [pieces[index] for index in order[:num_pieces]],
        their_tokenizer,
        models,
        args.max_length,
        torch.get_num_threads(),
        hardware.find_device(),
    )
    return setup, tokenizer


def start_models(config: BertConfig, folder: Path) -> dict[str, nn.Module]:
    """Each kind of model with each dropout, "KIND NONE" and "KIND CONFIG",
    all with one draw of weights.
    """
    torch.manual_seed(SEED)
    first = BertForPreTraining(config, attention="explicit")
    save_pretrained(first, folder)
    models: dict[str, nn.Module] = {}
    for name, share in ((NONE, 0.0), (CONFIG, DROPOUT)):
        dropout = {"hidden_dropout_prob": share, "attention_probs_dropout_prob": share}
        for kind, attention in ((OURS, "explicit"), (FUSED, "sdpa")):
            model = BertForPreTraining(
                BertConfig(**{**config.to_dict(), **dropout}), attention=attention
            )
            model.load_state_dict(first.state_dict())
            models[f"{kind} {name}"] = model
        verbosity = transformers.logging.get_verbosity()
        transformers.logging.set_verbosity_error()  # ours has a pooler, which theirs leaves out
        transformers.logging.disable_progress_bar()
        models[f"{THEIRS} {name}"] = BertForMaskedLM.from_pretrained(
            folder, dtype=torch.float32, **dropout
        )
        transformers.logging.set_verbosity(verbosity)
    return models


def loss_everywhere(model: nn.Module, batch: Batch) -> torch.Tensor:
    """`masked_loss` the usual way: logits at every position, of which the loss then reads 15 %."""
    logits = model(batch["input_ids"], batch["attention_mask"]).mlm_logits  # [batch, seq, vocab]
    return nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())


def make_contenders(
    choice: hardware.Hardware, tokenizer: WordPieceTokenizer, setup: Setup
) -> dict[str, Contender]:
    """All contenders by name. choice: what fit's own measurement chose for ours without dropout."""
    ours = partial(
        train_ours,
        choice=choice,
        compute_loss=masked_loss,
        collate=partial(collate_masked, tokenizer=tokenizer),
    )
    fp32 = hardware.Hardware(choice.device, "fp32", choice.num_threads, "to compare")
    trainer = partial(train_trainer, data_collator=DataCollatorForLanguageModeling(setup.tokenizer))
    tuned = partial(trainer, bf16=True, train_sampling_strategy="group_by_length")

    def ours_with(
        words: str, train: Any = ours, *, dropout: str = NONE, kind: str = OURS
    ) -> Contender:
        return Contender(f"fit, {words}", dropout, train, f"{kind} {dropout}")

    return {
        "ours": ours_with(f"{choice.precision}, grouped, head where needed"),
        "trainer": Contender(
            "Trainer's defaults (fp32, not grouped)", CONFIG, trainer, f"{THEIRS} {CONFIG}"
        ),
        "trainer-bf16": Contender("Trainer, bf16, grouped", CONFIG, tuned, f"{THEIRS} {CONFIG}"),
        "trainer-bf16-none": Contender("Trainer, bf16, grouped", NONE, tuned, f"{THEIRS} {NONE}"),
        "ours-everywhere": ours_with(
            "the head at every position", partial(ours, compute_loss=loss_everywhere)
        ),
        "ours-fused": ours_with("fused attention (sdpa)", kind=FUSED),
        "ours-dropout": ours_with("with BERT's dropout", dropout=CONFIG),
        "ours-fp32": ours_with("fp32", partial(ours, choice=fp32)),
    }


def head_flops(config: BertConfig, lengths: Sequence[int]) -> float:
    """What the MLM head's two matrices cost, forward and backward,
    where it is needed: 15 % of the real tokens.
    """
    num_chosen = CHOSEN_SHARE * sum(
        length - 2 for length in lengths
    )  # [CLS] and [SEP] are never chosen
    return 6.0 * config.hidden_size * (config.hidden_size + config.vocab_size) * num_chosen


def measure(contender: Contender, setup: Setup) -> Run:
    """One round of one contender. flops are those that the task needs,
    however much more a contender computes.
    """
    seconds, real, padded, model = measuring.timed(contender, setup)
    head = head_flops(model.config, real)
    return {
        "seconds": seconds,
        "tokens_per_second": sum(real) / seconds,
        "padding_share": 1 - sum(real) / sum(padded),
        "flops": training_flops(model, real) + head,
        "flops_with_padding": training_flops(model, padded) + head,
    }


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All rounds; returns the record, ready for JSON."""
    setup, tokenizer = make_setup(args)
    choice = run_fit(
        copy.deepcopy(setup.models[f"{OURS} {NONE}"]),
        setup.longest_batch(),
        setup,
        compute_loss=masked_loss,
        collate=partial(collate_masked, tokenizer=tokenizer),
    ).hardware
    contenders = make_contenders(choice, tokenizer, setup)
    runs, peak = measuring.take_turns(
        contenders, partial(measure, setup=setup), choice, args.rounds, "tokens"
    )
    return {
        "command": command_in_words(args),
        "dataset": args.dataset,
        "shape": args.shape,
        "model": setup.models[f"{OURS} {NONE}"].config.to_dict(),
        "max_length": args.max_length,
        "batch_size": BATCH_SIZE,
        "updates": args.updates,
        "rounds": args.rounds,
        "seed": SEED,
        "mean_tokens": sum(len(feature["input_ids"]) for feature in setup.features)
        / len(setup.features),
        "precision": {NONE: choice.to_dict()},
        **measuring.outcome(contenders, runs, PAIRS, peak),
    }


def report(record: dict[str, Any]) -> str:
    """The record as tables for people."""
    sizes = record["model"]
    lines = [
        "",
        ", ".join(f"{name}: {words}" for name, words in record["hardware"].items()),
        f"fit chose {record['precision'][NONE]['reason']}",
        f"{sizes['num_hidden_layers']} layers, hidden_size {sizes['hidden_size']}, vocabulary "
        f"{sizes['vocab_size']:,}; {record['updates']} updates of {record['batch_size']} pieces of "
        f"{record['dataset']} reviews, {record['mean_tokens']:.0f} tokens on average, "
        f"{record['max_length']} at most; medians of {record['rounds']} rounds",
    ]
    return "\n".join([*lines, *measuring.tables(record, "tokens")])


def command_in_words(args: argparse.Namespace) -> str:
    """The command that was given, with every path of this machine as a shell variable."""
    return (
        f"python tests/benchmarks/bench_pretraining.py --shape {args.shape} --dataset "
        f"{args.dataset} --max-length {args.max_length} --updates {args.updates} "
        f"--rounds {args.rounds}" + (" --output $OUTPUT" if args.output else "")
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--shape",
        choices=tuple(SHAPES),
        default="course-bert",
        help="course-bert's (4 layers, hidden_size 256, its vocabulary), or tiny [course-bert]",
    )
    parser.add_argument("--dataset", choices=("course", "imdb"), default="course", help="[course]")
    parser.add_argument(
        "--max-length", type=int, default=PretrainConfig().max_length, help="tokens a piece [128]"
    )
    parser.add_argument(
        "--updates", type=int, default=16, help="timed updates, a contender and round [16]"
    )
    parser.add_argument("--rounds", type=int, default=3, help="[3]")
    parser.add_argument("--output", type=Path, help="where the record goes, as JSON")
    args = parser.parse_args(arguments)
    record = run(args)
    measuring.tell(record, report, args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
