"""The exercises of notebook 06: labels, corruption, pairs, unigrams, perplexity, epochs,
whole words.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from course_utils.checks.engine import Case, Exercise

Array = np.ndarray
Text = Sequence[Sequence[int]]

# --- 06.1: labels ---------------------------------------------------------------------------------


def _labels(input_ids: Array, chosen: Array) -> Array:
    return np.where(chosen, input_ids, -100)


def _label_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    return [
        Case(
            args=(np.array([[2, 7, 3]]), np.array([[False, True, False]])),
            hint="One token is asked: its place holds its id. "
            "What do the places hold that are not asked?",
        ),
        Case(
            args=(np.array([[2, 0, 9, 3]]), np.array([[False, True, True, False]])),
            hint="Here the id 0 is asked, so 0 cannot mean 'not asked'.",
        ),
        Case(
            args=(np.array([[2, 5, 3]]), np.array([[False, False, False]])),
            hint="A text of which nothing is asked.",
        ),
        Case(
            args=(rng.integers(5, 90, (3, 6)), rng.random((3, 6)) < 0.3),
            hint="The shape is that of input_ids.",
        ),
    ]


# --- 06.2: corruption -----------------------------------------------------------------------------


def _corrupt(
    input_ids: Array,
    special_ids: Sequence[int],
    mask_token_id: int,
    choice: Array,
    fate: Array,
    random_ids: Array,
) -> tuple[Array, Array]:
    chosen = (choice < 0.15) & ~np.isin(input_ids, special_ids)
    corrupted = np.select(
        [chosen & (fate < 0.8), chosen & (fate >= 0.9)], [mask_token_id, random_ids], input_ids
    )
    return corrupted, np.where(chosen, input_ids, -100)


def _corrupt_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    row, special = (
        np.array([[101, 11, 12, 13, 102, 0]]),
        [0, 100, 101, 102, 103],
    )  # bert-base-uncased's
    other, nothing = np.full((1, 6), 50), np.ones((1, 6))

    def with_chosen(*places: int) -> Array:
        choice = nothing.copy()
        choice[0, list(places)] = 0.1
        return choice

    ids = rng.integers(0, 110, (4, 30))
    return [
        Case(
            args=(row, special, 103, nothing, nothing, other),
            hint="Nothing is chosen: no id changes, and every label is -100.",
        ),
        Case(
            args=(row, special, 103, with_chosen(2), np.full((1, 6), 0.5), other),
            hint="The third token is chosen, and its fate of 0.5 lies among the first 80 %: "
            "it is hidden.",
        ),
        Case(
            args=(row, special, 103, with_chosen(1, 3), np.full((1, 6), 0.95), other),
            hint="Two chosen tokens become random ones. What should the model say there: what "
            "stood in the text, or what stands there now?",
        ),
        Case(
            args=(row, special, 103, with_chosen(1, 2), np.full((1, 6), 0.85), other),
            hint="A fate of 0.85 is neither below 0.8 nor 0.9 or more: both chosen tokens are left "
            "as they are, and asked all the same.",
        ),
        Case(
            args=(row, special, 103, with_chosen(0, 4, 5), np.full((1, 6), 0.5), other),
            hint="[CLS], [SEP] and [PAD] are no words: nobody should be asked for them, "
            "whatever was drawn.",
        ),
        Case(
            args=(
                row,
                special,
                103,
                np.array([[1, 0.15, 0.1, 0.1, 1, 1]]),
                np.array([[0.5, 0.5, 0.8, 0.9, 0.5, 0.5]]),
                other,
            ),
            hint="Exactly 0.15 is not below 0.15, exactly 0.8 not below 0.8, "
            "and exactly 0.9 is 0.9 or more.",
        ),
        Case(
            args=(
                ids,
                special,
                103,
                rng.random((4, 30)) / 2,
                rng.random((4, 30)),
                rng.integers(5, 90, (4, 30)),
            ),
            hint="All together, in a batch: chosen or not, and three fates.",
        ),
    ]


# --- 06.3: pairs ----------------------------------------------------------------------------------


def _pair(
    texts: Sequence[Text], number: int, cut: int, label: int, draw: int
) -> tuple[list[int], list[int], int]:
    others = [text for place, text in enumerate(texts) if place != number]
    rest = others[draw][1:] if label else texts[number][cut:]
    first = list(chain.from_iterable(texts[number][:cut]))
    second = list(chain.from_iterable(rest))
    return first, second, label


def _pair_cases() -> list[Case]:
    texts = [[[10], [11], [12]], [[20, 21], [22]], [[30], [31], [32, 33], [34]]]
    return [
        Case(
            args=(texts, 0, 1, 0, 1),
            hint="Label 0 says that B follows A. From which text does B come, and where "
            "does it begin?",
        ),
        Case(
            args=(texts, 0, 2, 0, 0), hint="A has two sentences here, one list of ids in the end."
        ),
        Case(
            args=(texts, 0, 1, 1, 1),
            hint="Label 1: B is from elsewhere. Text 0 is out of the question, so draw 1 "
            "is the second of those that are left.",
        ),
        Case(
            args=(texts, 1, 1, 1, 1),
            hint="Text 1 is at work, and draw 1 must not be text 1 again: a pair from one "
            "text with the label 'from elsewhere' teaches a lie.",
        ),
        Case(
            args=(texts, 2, 3, 1, 1),
            hint="The other text is shorter than the place of the cut. Where does its B "
            "begin, whatever the cut?",
        ),
        Case(
            args=([*texts, texts[0]], 3, 1, 1, 2),
            hint="Two texts may be equal by their words and still be two: count places.",
        ),
    ]


# --- 06.4: the loss of unigrams -------------------------------------------------------------------


def _unigram_loss(train_ids: Sequence[int], targets: Sequence[int], vocab_size: int) -> float:
    counts = np.bincount(train_ids, minlength=vocab_size) + 1.0
    return float(-np.log(counts / counts.sum())[targets].mean())


def _unigram_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    return [
        Case(
            args=([0, 1], [0], 2),
            hint="Two tokens, once each, one added to both: each has one half. The loss is the "
            "surprise, minus the natural logarithm of the probability.",
        ),
        Case(
            args=([0, 0, 0, 1], [0, 1], 2),
            hint="With one added, the counts are 4 and 2. The loss is the mean "
            "over the targets, not over the vocabulary.",
        ),
        Case(
            args=([0, 0], [1], 3),
            hint="A token that was never seen. What did one add to it, and what did that do "
            "to the sum of all counts?",
        ),
        Case(args=([2, 2, 2, 0], [2, 2, 0, 2], 4), hint="A target counts as often as it is asked."),
        Case(
            args=(rng.integers(0, 20, 200).tolist(), rng.integers(0, 20, 50).tolist(), 25),
            hint="The probabilities come from the training text alone; "
            "the targets only choose among them.",
        ),
    ]


# --- 06.5: perplexity -----------------------------------------------------------------------------


def _perplexity(losses: Sequence[float], num_targets: Sequence[int]) -> float:
    return float(np.exp(np.average(losses, weights=num_targets)))


def _perplexity_cases() -> list[Case]:
    return [
        Case(
            args=([0.0], [5]),
            hint="A loss of 0: each target was known for certain. Among how many tokens was the "
            "model unsure? Among one.",
        ),
        Case(
            args=([float(np.log(8.0))], [3]),
            hint="As unsure as among eight tokens that are equally likely.",
        ),
        Case(
            args=([1.0, 3.0], [10, 10]),
            hint="Two batches of equal size. The mean is taken of the losses, in nats, "
            "before anything is made of it.",
        ),
        Case(
            args=([1.0, 5.0], [90, 10]),
            hint="Ninety targets cost 1 nat each, ten cost 5. What is the mean over all hundred?",
        ),
        Case(
            args=([2.0, 7.0, 4.0], [50, 0, 25]),
            hint="A batch in which nothing was asked has no say.",
        ),
    ]


# --- 06.6: epochs ---------------------------------------------------------------------------------


def _share_asked(probability: float, num_epochs: int, dynamic: bool) -> float:
    return 1 - (1 - probability) ** (num_epochs if dynamic else 1)


def _share_cases() -> list[Case]:
    return [
        Case(
            args=(0.15, 1, True),
            hint="In one epoch, each token is chosen with this very probability.",
        ),
        Case(
            args=(0.3, 10, False),
            hint="The choice was made once: the second epoch asks for the same tokens.",
        ),
        Case(
            args=(0.5, 2, True),
            hint="Half are asked in the first epoch. Of those that were not, half are asked in "
            "the second. It is easier to count those that are never asked.",
        ),
        Case(
            args=(0.15, 20, True),
            hint="A share cannot be above 1: probabilities of independent draws do not add up.",
        ),
        Case(args=(0.4, 0, True), hint="Before the first epoch nothing was asked."),
    ]


# --- 06.7: whole words ----------------------------------------------------------------------------

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def _whole_words(tokens: Sequence[str]) -> list[list[int]]:
    groups: list[list[int]] = []
    for place, token in enumerate(tokens):
        if token in _SPECIAL:
            continue
        if token.startswith("##") and groups and groups[-1][-1] == place - 1:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _whole_word_cases() -> list[Case]:
    return [
        Case(
            args=(["go", "on"],),
            hint="Two words of one piece each: two groups, each a list with one place.",
        ),
        Case(
            args=(["pir", "##ates", "sing"],),
            hint="A piece with ## goes on with the word of the piece before it.",
        ),
        Case(
            args=(["[CLS]", "a", "##b", "##c", ".", "[SEP]"],),
            hint="Special tokens are in no group, the full stop "
            "is one by itself, and places count all tokens.",
        ),
        Case(
            args=(["[CLS]", "a", "[SEP]", "##b", "c", "##d", "[SEP]", "[PAD]", "[PAD]"],),
            hint="A text that was cut within a word may begin with ##: it is no part of what "
            "stands before [SEP], and begins a group.",
        ),
        Case(args=(["[CLS]", "[SEP]"],), hint="No word at all."),
        Case(
            args=(["[CLS]", "##ing", "on", "[SEP]"],),
            hint="The text begins within a word, with nothing to go on "
            "from. What is left of the word is a group all the same.",
        ),
        Case(
            args=(["no", "#", "[", "1", "]", "[UNK]", "##x", "[MASK]", "##y"],),
            hint="A lone # or [ is a word. What is unknown, or hidden already, is never asked.",
        ),
    ]


EXERCISES = {
    "1": Exercise(
        title="Labels",
        reference=_labels,
        cases=_label_cases,
        keeps_arguments=True,
        hint="The true id where a token is asked, -100 elsewhere.",
    ),
    "2": Exercise(
        title="Corruption",
        reference=_corrupt,
        cases=_corrupt_cases,
        keeps_arguments=True,
        hint="Two arrays: the corrupted ids and the labels.",
    ),
    "3": Exercise(
        title="Pairs",
        reference=_pair,
        cases=_pair_cases,
        keeps_arguments=True,
        hint="Three things: A, B and the label.",
    ),
    "4": Exercise(
        title="The loss of unigrams",
        reference=_unigram_loss,
        cases=_unigram_cases,
        hint="Count, add one, divide, take the logarithm, and the mean over the targets.",
    ),
    "5": Exercise(
        title="Perplexity",
        reference=_perplexity,
        cases=_perplexity_cases,
        hint="One number, of all targets together.",
    ),
    "6": Exercise(
        title="The share that was asked",
        reference=_share_asked,
        cases=_share_cases,
        hint="A share between 0 and 1.",
    ),
    "7": Exercise(
        title="Whole words",
        reference=_whole_words,
        cases=_whole_word_cases,
        hint="A list of groups, each a list of places, in order.",
    ),
}
