"""Corruption and sentence pairs: the shares are BERT's, special tokens stay,
and the generator alone decides.
"""

import pytest
import torch

from course_utils.data import mask_tokens, sentence_pairs

SPECIAL = (0, 1, 2, 3, 4)  # [PAD] [UNK] [CLS] [SEP] [MASK]
OPTIONS = {"mask_token_id": 4, "special_ids": SPECIAL, "vocab_size": 1000}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ids(rows: int = 400, seed: int = 1) -> torch.Tensor:
    """[rows, 500]: [CLS], ordinary ids, [SEP], and a fifth of padding."""
    found = torch.randint(5, 1000, (rows, 500), generator=generator(seed))
    found[:, 0], found[:, 399], found[:, 400:] = 2, 3, 0
    return found


def test_the_shares_are_those_of_bert() -> None:
    before = ids()
    corrupted, labels = mask_tokens(before, generator=generator(), **OPTIONS)
    ordinary, chosen = before > 4, labels != -100
    assert chosen[ordinary].float().mean().item() == pytest.approx(0.15, abs=0.003)
    masked, kept = corrupted[chosen] == 4, corrupted[chosen] == before[chosen]
    assert masked.float().mean().item() == pytest.approx(0.8, abs=0.01)
    assert kept.float().mean().item() == pytest.approx(0.1, abs=0.01)
    replaced = corrupted[chosen][~masked & ~kept]
    assert (
        len(replaced.unique()) > 850
    )  # of 2,390 draws from 1,000 about 908 differ: the whole vocabulary, not a part


def test_labels_are_the_truth_where_chosen_and_nothing_else_changes() -> None:
    before = ids()
    copy = before.clone()
    corrupted, labels = mask_tokens(before, generator=generator(), **OPTIONS)
    chosen = labels != -100
    assert torch.equal(before, copy)
    assert torch.equal(labels[chosen], before[chosen])
    assert torch.equal(corrupted[~chosen], before[~chosen])
    assert corrupted.dtype == labels.dtype == torch.int64


def test_special_tokens_are_never_chosen() -> None:
    before = ids()
    before[:, 7] = 1
    corrupted, labels = mask_tokens(before, generator=generator(), probability=0.99, **OPTIONS)
    special = before <= 4
    assert (labels[special] == -100).all() and torch.equal(corrupted[special], before[special])


def test_the_same_generator_chooses_the_same_and_the_next_call_anew() -> None:
    before, drawn = ids(10), generator(3)
    first, second = (mask_tokens(before, generator=drawn, **OPTIONS)[1] for _ in range(2))
    again = mask_tokens(before, generator=generator(3), **OPTIONS)[1]
    assert torch.equal(first, again) and not torch.equal(first, second)


def test_the_global_random_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    mask_tokens(ids(2), generator=generator(), **OPTIONS)
    sentence_pairs([[[5], [6]], [[7], [8]]], generator=generator())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, float("nan")])
def test_a_probability_outside_the_range_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="strictly between"):
        mask_tokens(ids(1), generator=generator(), probability=probability, **OPTIONS)


# --- pairs ----------------------------------------------------------------------------------------


def documents(count: int = 2000) -> list[list[list[int]]]:
    """Document d has one to five sentences, of the ids 1000 d, 1000 d + 1, ... in order."""

    def document(d: int) -> list[list[int]]:
        starts = range(1000 * d, 1000 * d + 2 * (1 + d % 5), 2)
        return [[start, start + 1] for start in starts]

    return [document(d) for d in range(count)]


def test_a_pair_follows_or_comes_from_elsewhere() -> None:
    pairs = sentence_pairs(documents(), generator=generator())
    assert len(pairs) == 1600  # those of one sentence give none
    for first, second, label in pairs:
        assert first and second
        one, other = first[0] // 1000, second[0] // 1000
        if label == 0:
            assert first + second == [1000 * one + i for i in range(2 * (1 + one % 5))]
        else:
            assert one != other
            assert second[-1] == 1000 * other + 2 * (1 + other % 5) - 1  # the end of that document
            assert first == [1000 * one + i for i in range(len(first))]


def test_labels_are_balanced_and_cuts_fall_everywhere() -> None:
    pairs = sentence_pairs(documents(), generator=generator())
    assert sum(label for *_, label in pairs) / len(pairs) == pytest.approx(0.5, abs=0.04)
    lengths = {len(first) for first, _, label in pairs if first[0] // 1000 % 5 == 4}
    assert lengths == {2, 4, 6, 8}
    others = {second[0] // 1000 for first, second, label in pairs if label}
    assert len(others) > 400


def test_pairs_are_those_of_the_generator() -> None:
    one, again, other = (
        sentence_pairs(documents(50), generator=generator(seed)) for seed in (1, 1, 2)
    )
    assert one == again and one != other


def test_too_few_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1 of 3"):
        sentence_pairs([[[5]], [[5], [6]], []], generator=generator())
