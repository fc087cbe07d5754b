"""Predictions, metrics with intervals, comparing, calibration, behaviour, and the baseline."""

from course_utils.evaluation import behaviour, calibration
from course_utils.evaluation.baselines import tfidf_baseline, tfidf_classifier, tfidf_logits
from course_utils.evaluation.comparing import mcnemar, paired_bootstrap
from course_utils.evaluation.metrics import (
    Evaluation,
    accuracy_by,
    bootstrap_interval,
    evaluate,
    score,
)
from course_utils.evaluation.predictions import Collate, answer_key, predict_logits, stored_logits

__all__ = [
    "Collate",
    "Evaluation",
    "accuracy_by",
    "answer_key",
    "behaviour",
    "bootstrap_interval",
    "calibration",
    "evaluate",
    "mcnemar",
    "paired_bootstrap",
    "predict_logits",
    "score",
    "stored_logits",
    "tfidf_baseline",
    "tfidf_classifier",
    "tfidf_logits",
]
