"""Store what course-bert, fine-tuned, answers to every text of notebook 10, so that nobody has to
train it while reading.

    python -m experiments.evaluation_answers

It runs notebook 10 with TRAIN = True, which fine-tunes for one to ten minutes.
"""

from __future__ import annotations

from collections.abc import Sequence

from course_utils.files import COURSE_ROOT
from experiments.command_line import exit_status
from experiments.record import RESULTS
from experiments.recorded_notebook import Recording, build_parser, record_notebook

# The notebook's function is replaced by one that notes each answer.
NOTE = """
answers_by_key = {}
unrecorded_logits = bert_logits


def bert_logits(texts, max_length=MAX_LENGTH):
    values = unrecorded_logits(texts, max_length)
    for text, row in zip(texts, values.tolist(), strict=True):
        key = evaluation.answer_key(text, max_length)
        answers_by_key[key] = [round(value, 4) for value in row]
    return values
"""
KEEP = """
Path({path!r}).write_text(json.dumps({{
    "num_updates": fitted.num_updates,
    "train_seconds": round(fitted.train_seconds, 1),
    "config": recipe.to_dict(),
    "precision": fitted.hardware.to_dict(),
    "accuracy": by_bert,
    "logits": answers_by_key,
}}), encoding="utf-8")
"""
RECORDING = Recording(
    notebook=COURSE_ROOT / "notebooks" / "10_evaluation.ipynb",
    asking="def bert_logits(",
    note=NOTE,
    keep=KEEP,
)
RECORD = RESULTS / "evaluation_answers.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = build_parser("evaluation_answers", __doc__, RECORD)
    return exit_status(lambda: record_notebook(parser, RECORDING, arguments))


if __name__ == "__main__":
    raise SystemExit(main())
