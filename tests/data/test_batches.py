"""Batches lose nothing, pad little, and cut where they say."""

import random
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_utils.data import collate, make_batches, truncate_ids

ROOT = Path(__file__).resolve().parents[2]
# The same examples each time, and no clock: a busy machine changes nothing.
steady = settings(
    deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)


def test_truncation_keeps_head_and_tail():
    ids = [101, *range(1, 11), 102]
    assert truncate_ids(ids, 12) == ids
    assert truncate_ids(ids, 6) == [101, 1, 2, 3, 4, 102]
    assert truncate_ids(ids, 6, tail_share=0.5) == [101, 1, 2, 9, 10, 102]
    assert truncate_ids(ids, 6, tail_share=1.0) == [101, 7, 8, 9, 10, 102]


@steady
@given(st.integers(2, 80), st.integers(3, 60), st.floats(0, 1))
def test_truncation_is_exact_and_in_order(length, max_length, tail_share):
    cut = truncate_ids(range(length), max_length, tail_share=tail_share)
    assert len(cut) == min(length, max_length)
    assert cut == sorted(set(cut))
    assert (cut[0], cut[-1]) == (0, length - 1)


@pytest.mark.parametrize(("max_length", "tail_share"), [(2, 0.0), (8, -0.1), (8, 1.1)])
def test_truncation_refuses_what_makes_no_sense(max_length, tail_share):
    with pytest.raises(ValueError, match=r"must (be at least 3|lie in \[0, 1\])"):
        truncate_ids([1, 2, 3], max_length, tail_share=tail_share)


def test_collate_pads_and_masks():
    batch = collate(
        [
            {"input_ids": [5, 6, 7], "token_type_ids": [0, 1, 1], "labels": 1},
            {"input_ids": [8], "token_type_ids": [1], "labels": 0},
        ],
        pad_token_id=9,
        multiple_of=4,
    )
    assert batch["input_ids"].tolist() == [[5, 6, 7, 9], [8, 9, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 1, 1, 0], [1, 0, 0, 0]]
    assert batch["labels"].tolist() == [1, 0]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_collate_pads_token_labels_with_ignored_ones():
    batch = collate(
        [{"input_ids": [5, 6], "labels": [-100, 6]}, {"input_ids": [7], "labels": [7]}],
        multiple_of=4,
    )
    assert batch["labels"].tolist() == [[-100, 6, -100, -100], [7, -100, -100, -100]]
    assert set(batch) == {"input_ids", "attention_mask", "labels"}
    assert set(collate([{"input_ids": [5]}])) == {"input_ids", "attention_mask"}


@steady
@given(
    st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=40), min_size=1, max_size=8),
    st.integers(1, 32),
)
def test_collate_loses_nothing(rows, multiple_of):
    batch = collate([{"input_ids": row} for row in rows], multiple_of=multiple_of)
    seq_length = batch["input_ids"].shape[1]
    assert seq_length % multiple_of == 0
    assert seq_length - max(map(len, rows)) < multiple_of
    unpadded = [ids[mask.bool()].tolist() for ids, mask in zip(*batch.values(), strict=True)]
    assert unpadded == rows


@steady
@given(
    st.lists(st.integers(1, 512), max_size=300),
    st.integers(1, 40),
    st.booleans(),
    st.integers(0, 9),
)
def test_every_index_comes_exactly_once(lengths, batch_size, group_by_length, seed):
    batches = make_batches(
        lengths,
        batch_size,
        generator=torch.Generator().manual_seed(seed),
        group_by_length=group_by_length,
    )
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert sum(len(batch) != batch_size for batch in batches) <= 1


def test_batches_follow_the_generator():
    def order(seed, **options):
        return make_batches(lengths, 8, generator=torch.Generator().manual_seed(seed), **options)

    lengths = random.Random(0).choices(range(10, 500), k=1_000)
    assert order(1) == order(1)
    assert order(1) != order(2)
    first = [batch[0] for batch in order(1)]
    assert first != sorted(first, key=lambda index: -lengths[index]), (
        "sorted batches would teach from long to short"
    )


def test_grouping_by_length_saves_most_of_the_padding():
    lengths = random.Random(0).choices(range(10, 500), k=1_000)

    def padding(group_by_length):
        batches = make_batches(
            lengths, 16, generator=torch.Generator().manual_seed(0), group_by_length=group_by_length
        )
        places = 0
        for batch in batches:
            places += len(batch) * max(lengths[index] for index in batch)
        return places - sum(lengths)

    assert padding(True) < 0.2 * padding(False)
