"""Data sets, their splits, and batches. Everything here works on texts or on ids."""

from course_utils.data.batches import Features, collate, cut_text, make_batches, truncate_ids
from course_utils.data.hub import DataError
from course_utils.data.masking import mask_tokens, sentence_pairs
from course_utils.data.registry import (
    COURSE_SPLITS,
    IMDB_SPLITS,
    LABEL_NAMES,
    OfficialSplit,
    content_hash,
    load_reviews,
    read_split,
)
from course_utils.data.splits import check_examples, hold_out

__all__ = [
    "COURSE_SPLITS",
    "IMDB_SPLITS",
    "LABEL_NAMES",
    "DataError",
    "Features",
    "OfficialSplit",
    "check_examples",
    "collate",
    "content_hash",
    "cut_text",
    "hold_out",
    "load_reviews",
    "make_batches",
    "mask_tokens",
    "read_split",
    "sentence_pairs",
    "truncate_ids",
]
