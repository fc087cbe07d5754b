"""Fine-tune one checkpoint on the course's reviews with several seeds,
and store what each run says of each review.

python scripts/measure_seeds.py --output data/results/course_seeds.json

Each seed's run lies in --work-dir until all are done; started again with the same folder, it does
what is missing.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from course_utils import data, evaluation
from course_utils.config import ClassificationConfig, TrainConfig
from course_utils.files import sha256, write_json
from course_utils.tasks.classification import compute_loss, encode, start_from
from course_utils.training import fit
from course_utils.training.records import record_of

ROOT = Path(__file__).resolve().parent.parent
SCORED = (
    "test",
    "handwritten",
    "elsewhere",
)  # whose probabilities are kept; elsewhere: data/domain_shift.jsonl
KEPT = ("seed", "num_updates", "train_seconds", "precision", "hardware", "versions")


def run(
    checkpoint: Path,
    recipe: TrainConfig,
    folder: Path,
    max_length: int,
    reviews: dict[str, Dataset],
) -> dict[str, Any]:
    """One fine-tune, as in notebook 10: how it went, its accuracy, and P(pos) of each review,
    to three digits.
    """
    train = reviews["train"]
    task = ClassificationConfig(dataset="course", checkpoint=str(checkpoint), max_length=max_length)
    tokenizer, model = start_from(str(checkpoint), train["text"], task, seed=recipe.seed)
    features = encode(tokenizer, train["text"], train["label"], max_length=max_length)
    fitted = fit(
        model,
        features,
        recipe,
        compute_loss=compute_loss,
        collate=data.collate,
        output_dir=folder,
        identity={"checkpoint_sha256": sha256(checkpoint / "model.safetensors")},
        progress=True,
    )
    found = {
        split: evaluation.evaluate(
            model,
            encode(
                tokenizer, reviews[split]["text"], reviews[split]["label"], max_length=max_length
            ),
            collate=data.collate,
            accelerator=fitted.accelerator,
        )
        for split in SCORED
    }
    record = record_of(fitted, recipe.to_dict(), "")
    return {
        **{name: record[name] for name in KEPT},
        "accuracy": found["test"].accuracy,
        "interval": list(found["test"].interval),
        "probabilities": {
            split: scored.probabilities[:, 1].round(3).tolist() for split, scored in found.items()
        },
    }


def finished(path: Path, checkpoint: Path) -> dict[str, Any] | None:
    """The stored run of a seed, if it began from these weights."""
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return (
        stored["run"] if stored.get("sha256") == sha256(checkpoint / "model.safetensors") else None
    )


def main() -> None:
    """Run every seed, print a line each, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--checkpoint", type=Path, default=ROOT / "data" / "checkpoints" / "course-bert"
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 to this number less one")
    parser.add_argument("--max-length", type=int, default=128, help="tokens")
    parser.add_argument("--work-dir", type=Path, default=Path("runs/seeds"))
    parser.add_argument("--output", type=Path, required=True, help="where the JSON goes")
    args = parser.parse_args()
    lines = (ROOT / "data" / "domain_shift.jsonl").read_text(encoding="utf-8").splitlines()
    reviews = {
        **data.load_reviews("course"),
        "elsewhere": Dataset.from_list([json.loads(line) for line in lines]),
    }
    known, runs = sha256(args.checkpoint / "model.safetensors"), []
    for seed in range(args.seeds):
        recipe, path = (
            TrainConfig(num_train_epochs=1, learning_rate=3e-4, seed=seed),
            args.work_dir / f"{seed}.json",
        )
        one = finished(path, args.checkpoint) or run(
            args.checkpoint, recipe, args.work_dir / f"{known[:8]}-{seed}", args.max_length, reviews
        )
        write_json(path, {"sha256": known, "run": one})
        print(f"seed {seed}: {100 * one['accuracy']:.2f} % of the test reviews", flush=True)
        runs.append(one)
    shared = {name: runs[0][name] for name in ("hardware", "versions")}
    write_json(
        args.output,
        {
            "dataset": "course",
            "checkpoint_name": args.checkpoint.name,
            "checkpoint_sha256": known,
            "config": {
                **TrainConfig(num_train_epochs=1, learning_rate=3e-4).to_dict(),
                "max_length": args.max_length,
            },
            "command": f"python scripts/measure_seeds.py --seeds {args.seeds} --output $OUTPUT",
            **shared,
            "runs": [
                {name: value for name, value in one.items() if name not in shared} for one in runs
            ],
        },
    )
    print(f"mean {100 * np.mean([one['accuracy'] for one in runs]):.2f} %")


if __name__ == "__main__":
    main()
