"""Data sets, their splits, and batches. Everything here works on texts or on ids."""

from course_utils.data.batches import Features, collate, make_batches, truncate_ids
from course_utils.data.hub import DataError
from course_utils.data.masking import mask_tokens, sentence_pairs
from course_utils.data.reading import content_hash, read_split
from course_utils.data.registry import DATASETS, LABEL_NAMES, fingerprint, load_reviews
from course_utils.data.splits import check_examples, hold_out, label_names

__all__ = [
    "DATASETS",
    "LABEL_NAMES",
    "DataError",
    "Features",
    "check_examples",
    "collate",
    "content_hash",
    "fingerprint",
    "hold_out",
    "label_names",
    "load_reviews",
    "make_batches",
    "mask_tokens",
    "read_split",
    "sentence_pairs",
    "truncate_ids",
]
