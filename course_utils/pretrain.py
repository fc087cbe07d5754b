"""Pre-train a BERT (or, with --objective clm, a GPT) from nothing on movie reviews,
and measure it on held-out ones.

Writes into --output-dir: the model in float16 with its config and vocabulary, a folder that
transformers loads, and result.json. Started again with the same --output-dir, it goes on where it
was stopped, or killed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from course_utils import command_line
from course_utils.config import PretrainConfig, TrainConfig

EPILOG = """examples:
  python -m course_utils.pretrain --num-train-epochs 1 --learning-rate 1e-3 --batch-size 64
  python -m course_utils.pretrain --dataset imdb --num-train-epochs 4 --learning-rate 1e-3 \\
      --output-dir runs/pretrained
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for a failure told in one line,
    130 when interrupted.
    """
    parser = command_line.build_parser("pretrain", __doc__, EPILOG, PretrainConfig, TrainConfig)
    return command_line.run(parser, arguments, PretrainConfig, TrainConfig, _job, summary)


def _job(*args: Any, **kwargs: Any) -> dict[str, Any] | None:
    # Only now: --help should not wait for torch.
    from course_utils.tasks.pretraining import pretrain

    return pretrain(*args, **kwargs)


def summary(result: dict[str, Any] | None, output_dir: Path) -> str:
    """The outcome in a few lines for people."""
    if result is None:
        return (
            f"stopped; the weights so far are in {output_dir}; the same command without "
            "--stop-after goes on"
        )
    held_out = result["held_out"]
    pairs = (
        f"; {100 * held_out['nsp_accuracy']:.1f} % of {held_out['num_pairs']:,} pairs told apart"
        if "nsp_accuracy" in held_out
        else ""
    )
    return "\n".join(
        [
            f"computed with {result['precision']['reason']}",
            f"held-out loss {held_out['loss']:.3f} nats a token (token frequencies alone: "
            f"{held_out['unigram_loss']:.3f}), {100 * held_out['accuracy']:.1f} % of "
            f"{held_out['num_targets']:,} guessed right{pairs}",
            f"{result['train_seconds']:.0f} s of training on {result['train_tokens']:,} tokens an "
            f"epoch; model and result.json in {output_dir}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
