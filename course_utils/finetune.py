"""Fine-tune a BERT to tell good reviews from bad ones, and measure it.

Writes into --output-dir: result.json (accuracy with its interval, beside the TF-IDF baseline's),
and the model with its config and tokenizer, a folder that transformers loads. Started again with
the same --output-dir, it goes on where it was stopped, or killed; a finished run only shows its
result again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from course_utils import command_line
from course_utils.config import ClassificationConfig, TrainConfig

EPILOG = """examples:
  python -m course_utils.finetune --max-length 128 --learning-rate 3e-4
  python -m course_utils.finetune --dataset imdb --max-length 512 --learning-rate 3e-4
  python -m course_utils.finetune --dataset imdb --max-length 512 --learning-rate 3e-5 \\
      --checkpoint bert-base-uncased --output-dir runs/bert_base
  torchrun --standalone --nproc-per-node 2 -m course_utils.finetune --dataset imdb \\
      --max-length 512 --learning-rate 3e-4
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for a failure told in one line,
    130 when interrupted.
    """
    parser = command_line.build_parser(
        "finetune", __doc__, EPILOG, ClassificationConfig, TrainConfig
    )
    return command_line.run(parser, arguments, ClassificationConfig, TrainConfig, _job, summary)


def _job(*args: Any, **kwargs: Any) -> dict[str, Any] | None:
    # Only now: --help should not wait for torch.
    from course_utils.tasks.classification import finetune

    return finetune(*args, **kwargs)


def summary(result: dict[str, Any] | None, output_dir: Path) -> str:
    """The outcome in a few lines for people."""
    if result is None:
        return f"stopped and saved in {output_dir}; the same command without --stop-after goes on"
    low, high = result["interval"]
    return "\n".join(
        [
            f"computed with {result['precision']['reason']}",
            f"accuracy {100 * result['accuracy']:.2f} % (95 % interval {100 * low:.2f} to "
            f"{100 * high:.2f}), F1 {100 * result['f1']:.2f} %, on {result['test_examples']:,} "
            f"{result['scored_split']} reviews",
            f"TF-IDF baseline {100 * result['baseline_accuracy']:.2f} %, same reviews",
            f"{result['train_seconds']:.0f} s of training, {result['examples_per_second']:.1f} "
            f"examples/s; model and result.json in {output_dir}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
