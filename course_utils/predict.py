"""Label texts with a fine-tuned folder: python -m course_utils.predict "A
film to fall asleep to."
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Print label and probability for each text; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m course_utils.predict",
        description="Label texts with a fine-tuned folder: neg or pos, and how sure.",
    )
    parser.add_argument(
        "texts",
        nargs="*",
        metavar="TEXT",
        help="one or more reviews; none: one a line from standard input",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=Path("runs/finetune"),
        metavar="DIR",
        help="the --output-dir of course_utils.finetune [runs/finetune]",
    )
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from course_utils.tasks.classification import (
        label_names,
        load_classifier,
        predict_probabilities,
        trained_cut,
    )

    try:
        texts = options.texts or [line.rstrip("\n") for line in sys.stdin if line.strip()]
        if not texts:
            parser.error("expected at least one text, got none")
        tokenizer, model = load_classifier(options.checkpoint)
        probabilities = predict_probabilities(
            tokenizer, model, texts, **trained_cut(options.checkpoint)
        )
        names = label_names(model)
        for text, row in zip(texts, probabilities, strict=True):
            print(f"{names[int(row.argmax())]}  {row.max():.3f}  {_shown(text)}")
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, RuntimeError, ArithmeticError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _shown(text: str) -> str:
    """The text in one line of at most 80 characters, with nothing that the terminal would
    obey or cannot show.
    """
    line = re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", " ".join(text.split()))
    encoding = sys.stdout.encoding or "utf-8"
    return (
        (line if len(line) <= 80 else line[:77] + "...")
        .encode(encoding, "replace")
        .decode(encoding)
    )


if __name__ == "__main__":
    sys.exit(main())
