"""Classification: texts and a checkpoint in, a scored classifier out."""

from course_utils.tasks.classification.classifiers import (
    TINY,
    label_names,
    load_classifier,
    num_positions,
    save_classifier,
    start_from,
)
from course_utils.tasks.classification.inputs import collate_for, compute_loss, encode
from course_utils.tasks.classification.predicting import predict_probabilities, trained_cut
from course_utils.tasks.classification.run import finetune

__all__ = [
    "TINY",
    "collate_for",
    "compute_loss",
    "encode",
    "finetune",
    "label_names",
    "load_classifier",
    "num_positions",
    "predict_probabilities",
    "save_classifier",
    "start_from",
    "trained_cut",
]
