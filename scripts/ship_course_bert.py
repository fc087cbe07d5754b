"""Ship a finished pre-training run as the course's own checkpoint.

    python scripts/ship_course_bert.py RUN_FOLDER

The run must have started from the weights that are shipped now (or from none: then it is stage 1,
and the former stages go). Its model and vocabulary go to data/checkpoints/course-bert, its record
becomes one more stage of data/results/course_bert.json, and the model card's table and sums are
written from that record.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from badges import replace_block

from course_utils.files import sha256, write_json

ROOT = Path(__file__).resolve().parent.parent
FOLDER, RECORD = (
    ROOT / "data" / "checkpoints" / "course-bert",
    ROOT / "data" / "results" / "course_bert.json",
)
FILES = ("config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
BEGIN, END = "<!-- stages (written by scripts/ship_course_bert.py) -->", "<!-- end of stages -->"
HEADER = (
    "| stage | tokens a chunk | updates x batch | tokens seen | peak learning rate | time "
    "| held-out loss at [MASK] | guessed right |"
)


def tokens_seen(stage: dict[str, Any]) -> float:
    """Tokens that a stage was trained on, special ones included, each as often as it was met."""
    return stage["train_tokens"] * stage["config"]["num_train_epochs"]


def table(stages: list[dict[str, Any]]) -> str:
    """The stages as Markdown between the card's markers."""
    lines = [HEADER, "| --- " * HEADER.count(" | ") + "| --- |"]
    for stage in stages:
        config, found = stage["config"], stage["held_out"]
        rate = f"{config['learning_rate']:.0e}".replace("e-0", "e-")
        lines.append(
            f"| {stage['stage']} | up to {config['max_length']} | {stage['num_updates']:,} x "
            f"{config['batch_size']} | {tokens_seen(stage) / 1e6:.1f} million | {rate} | "
            f"{stage['train_seconds'] / 60:.0f} minutes | {found['loss']:.3f} nats | "
            f"{100 * found['accuracy']:.1f} % |"
        )
    last, minutes = stages[-1]["held_out"], sum(stage["train_seconds"] for stage in stages) / 60
    millions = sum(map(tokens_seen, stages)) / 1e6
    return "\n".join(
        [
            BEGIN,
            *lines,
            "",
            f"Together {millions:.0f} million tokens in {minutes:.0f} minutes. Guessing by the "
            "tokens' frequencies alone",
            f"costs {last['unigram_loss']:.3f} nats on the last row's "
            f"{last['num_targets']:,} targets.",
            END,
        ]
    )


def with_stage(
    stages: list[dict[str, Any]], result: dict[str, Any], shipped_sha256: str
) -> list[dict[str, Any]]:
    """The stages with this run as the last one. Raises ValueError if it went on from other
    weights than the shipped.
    """
    start = result["config"].get("start_from_sha256")
    if start is None:
        stages = []
    elif start != shipped_sha256:
        raise ValueError(
            f"the run started from weights {start[:12]}..., those shipped are "
            f"{shipped_sha256[:12]}...; ship the run that it went on from first"
        )
    return [*stages, {"stage": len(stages) + 1, **result}]


def ship(run: Path, folder: Path = FOLDER, record: Path = RECORD) -> list[dict[str, Any]]:
    """Copy the files, write the record and the card; returns all stages.
    Nothing changes where the run does not fit.
    """
    missing = [name for name in ("result.json", *FILES) if not (run / name).is_file()]
    if missing:
        raise ValueError(f"{run} is no finished run: it lacks {', '.join(missing)}")
    content = json.loads(record.read_text(encoding="utf-8"))
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    stages = with_stage(content["stages"], result, sha256(folder / "model.safetensors"))
    card = replace_block(
        (folder / "README.md").read_text(encoding="utf-8"), BEGIN, END, table(stages)
    )
    if card is None:
        raise ValueError(f"{folder / 'README.md'} lacks the markers {BEGIN} and {END}")
    write_json(record, {**content, "stages": stages})
    for name in FILES:
        shutil.copyfile(run / name, folder / name)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return stages


def main() -> int:
    """Ship the run named on the command line."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument(
        "run", type=Path, help="the --output-dir of a finished course_utils.pretrain"
    )
    try:
        stages = ship(parser.parse_args().run)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table(stages))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
