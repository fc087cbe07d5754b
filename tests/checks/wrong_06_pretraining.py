"""Plausible wrong answers to the exercises of notebook 06, and other right ones."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np

# --- 06.1 -----------------------------------------------------------------------------------------


def zeros_elsewhere(input_ids: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return input_ids * chosen


def only_the_chosen(input_ids: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return input_ids[chosen]


def turned_around(input_ids: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return np.where(chosen, -100, input_ids)


def zero_ids_are_padding(input_ids: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return np.where(chosen & (input_ids != 0), input_ids, -100)


def writes_into_the_ids(input_ids: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    input_ids[~chosen] = -100
    return input_ids


# --- 06.2 -----------------------------------------------------------------------------------------

Arrays = tuple[np.ndarray, np.ndarray]


def corrupt(
    input_ids: np.ndarray,
    special_ids: Sequence[int],
    mask_token_id: int,
    choice: np.ndarray,
    fate: np.ndarray,
    random_ids: np.ndarray,
    *,
    special_too: bool = False,
    padding_only: bool = False,
    random_wins: bool = False,
    none_kept: bool = False,
    random_first: bool = False,
    late_labels: bool = False,
    kept_are_asked: bool = True,
    special_random: bool = False,
    swapped: bool = False,
    below_five: bool = False,
    chosen_below: float = 0.15,
    hidden_below: float = 0.8,
    random_from: float = 0.9,
) -> Arrays:
    """Right as it stands; each option is a mistake."""
    spared = (
        np.zeros_like(input_ids, dtype=bool) if special_too else np.isin(input_ids, special_ids)
    )
    spared = input_ids == 0 if padding_only else input_ids < 5 if below_five else spared
    chosen = (choice < chosen_below) & ~spared
    random_ids = random_ids % len(special_ids) if special_random else random_ids
    corrupted = input_ids.copy()
    low, high = (0.1, 0.2) if swapped else (hidden_below, random_from)
    corrupted[chosen & (fate < low)] = mask_token_id
    at_random = chosen & ((fate >= (low if none_kept else high)) | random_wins)
    at_random = chosen & (fate >= low) & (fate < high) if random_first else at_random
    corrupted[at_random] = random_ids[at_random]
    asked = chosen if kept_are_asked else chosen & ((fate < low) | (fate >= high))
    return corrupted, np.where(asked, corrupted if late_labels else input_ids, -100)


def the_listing(
    input_ids: np.ndarray,
    special_ids: Sequence[int],
    mask_token_id: int,
    choice: np.ndarray,
    fate: np.ndarray,
    random_ids: np.ndarray,
) -> Arrays:
    chosen = choice < 0.15
    corrupted = input_ids
    corrupted[chosen & (fate < 0.8)] = mask_token_id
    corrupted[chosen & (fate >= 0.8)] = random_ids[chosen & (fate >= 0.8)]
    return corrupted, np.where(chosen, input_ids, -100)


def overwrites(
    input_ids: np.ndarray,
    special_ids: Sequence[int],
    mask_token_id: int,
    choice: np.ndarray,
    fate: np.ndarray,
    random_ids: np.ndarray,
) -> Arrays:
    corrupted, labels = corrupt(input_ids, special_ids, mask_token_id, choice, fate, random_ids)
    input_ids[:] = corrupted
    return input_ids, labels


# --- 06.3 -----------------------------------------------------------------------------------------

Texts = Sequence[Sequence[Sequence[int]]]
Pair = tuple[list[int], list[int], int]


def pair(
    texts: Texts,
    number: int,
    cut: int,
    label: int,
    draw: int,
    *,
    reversed_labels: bool = False,
    same_text: bool = False,
    keeps_cut: bool = False,
    whole: bool = False,
    by_value: bool = False,
) -> Pair:
    """Right as it stands; each option is a mistake."""
    others = [text for place, text in enumerate(texts) if place != number]
    others = [text for text in texts if text != texts[number]] if by_value else others
    other = (texts if same_text else others)[draw]
    elsewhere = (label == 1) != reversed_labels
    rest = other[0 if whole else cut if keeps_cut else 1 :] if elsewhere else texts[number][cut:]
    return list(chain(*texts[number][:cut])), list(chain(*rest)), label


def lists_of_sentences(texts: Texts, number: int, cut: int, label: int, draw: int) -> Any:
    others = [text for place, text in enumerate(texts) if place != number]
    return texts[number][:cut], others[draw][1:] if label else texts[number][cut:], label


def takes_it_out(texts: list[Any], number: int, cut: int, label: int, draw: int) -> Pair:
    own = texts.pop(number)
    return list(chain(*own[:cut])), list(chain(*(texts[draw][1:] if label else own[cut:]))), label


# --- 06.4 -----------------------------------------------------------------------------------------


def unigram(
    train_ids: Sequence[int],
    targets: Sequence[int],
    vocab_size: int,
    *,
    add: float = 1.0,
    log: Callable[[Any], Any] = np.log,
    from_targets: bool = False,
    by_train: bool = False,
    sum_first: bool = False,
    mean: Callable[[Any], Any] = np.mean,
) -> float:
    """Right as it stands; each option is a mistake."""
    counts = np.bincount(targets if from_targets else train_ids, minlength=vocab_size)
    total = counts.sum() if sum_first else counts.sum() + add * vocab_size
    surprises = -log((counts + add) / total)
    return float(mean(surprises[list(train_ids if by_train else targets)]))


def over_the_vocabulary(train_ids: Sequence[int], targets: Sequence[int], vocab_size: int) -> float:
    probabilities = (np.bincount(train_ids, minlength=vocab_size) + 1) / (
        len(train_ids) + vocab_size
    )
    return float(-(probabilities * np.log(probabilities)).sum())


def log_of_the_mean(train_ids: Sequence[int], targets: Sequence[int], vocab_size: int) -> float:
    probabilities = (np.bincount(train_ids, minlength=vocab_size) + 1) / (
        len(train_ids) + vocab_size
    )
    return float(-np.log(probabilities[list(targets)].mean()))


# --- 06.7 -----------------------------------------------------------------------------------------

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def groups(
    tokens: Sequence[str],
    *,
    special: Sequence[str] = SPECIAL,
    neighbours: bool = True,
    strict: bool = False,
    mark: str = "##",
) -> list[list[int]]:
    """Right as it stands; each option is a mistake."""
    found: list[list[int]] = []
    for place, token in enumerate(tokens):
        if token in special:
            continue
        goes_on = token.startswith(mark) and bool(found or strict)
        if goes_on and (not neighbours or found[-1][-1] == place - 1):
            found[-1].append(place)
        else:
            found.append([place])
    return found


def every_bracket(tokens: Sequence[str]) -> list[list[int]]:
    return groups(["[UNK]" if token.startswith("[") else token for token in tokens])


def words_instead(tokens: Sequence[str]) -> list[str]:
    return [
        "".join(tokens[place].removeprefix("##") for place in group) for group in groups(tokens)
    ]


def places_without_special(tokens: Sequence[str]) -> list[list[int]]:
    return groups([token for token in tokens if token not in SPECIAL])


def with_option(right: Callable[..., Any], **mistake: Any) -> Callable[..., Any]:
    return lambda *args: right(*args, **mistake)


WRONG: dict[str, list[Any]] = {
    "1": [
        zeros_elsewhere,
        writes_into_the_ids,
        only_the_chosen,
        turned_around,
        zero_ids_are_padding,
        lambda input_ids, chosen: np.where(chosen, input_ids, -1),
        lambda input_ids, chosen: input_ids,
    ],
    "2": [
        *(
            with_option(corrupt, **mistake)
            for mistake in (
                {"special_too": True},
                {"padding_only": True},
                {"random_wins": True},
                {"none_kept": True},
                {"random_first": True},
                {"late_labels": True},
                {"kept_are_asked": False},
                {"special_random": True},
                {"swapped": True},
                {"below_five": True},
                *(
                    {name: np.nextafter(edge, 1)}
                    for name, edge in (
                        ("chosen_below", 0.15),
                        ("hidden_below", 0.8),
                        ("random_from", 0.9),
                    )
                ),
            )
        ),
        the_listing,
        overwrites,
        lambda *args: corrupt(*args)[::-1],
        lambda *args: corrupt(*args)[0],
    ],
    "3": [
        *(
            with_option(pair, **mistake)
            for mistake in (
                {"reversed_labels": True},
                {"same_text": True},
                {"keeps_cut": True},
                {"whole": True},
                {"by_value": True},
            )
        ),
        lists_of_sentences,
        takes_it_out,
        lambda *args: pair(*args)[:2],
    ],
    "4": [
        *(
            with_option(unigram, **mistake)
            for mistake in (
                {"add": 0.0},
                {"log": np.log2},
                {"from_targets": True},
                {"by_train": True},
                {"sum_first": True},
                {"mean": np.sum},
            )
        ),
        over_the_vocabulary,
        log_of_the_mean,
        lambda *args: -unigram(*args),
        lambda *args: float(np.exp(unigram(*args))),
    ],
    "5": [
        lambda losses, sizes: float(np.exp(np.mean(losses))),
        lambda losses, sizes: float(np.average(np.exp(losses), weights=sizes)),
        lambda losses, sizes: float(np.mean(np.exp(losses))),
        lambda losses, sizes: float(np.exp(np.sum(losses))),
        lambda losses, sizes: float(np.average(losses, weights=sizes)),
        lambda losses, sizes: float(2 ** np.average(losses, weights=sizes)),
    ],
    "6": [
        lambda p, epochs, dynamic: p * epochs,
        lambda p, epochs, dynamic: min(1.0, p * epochs),
        lambda p, epochs, dynamic: p,
        lambda p, epochs, dynamic: 1 - (1 - p) ** epochs,
        lambda p, epochs, dynamic: (1 - p) ** epochs if dynamic else 1 - p,
        lambda p, epochs, dynamic: p**epochs if dynamic else p,
        lambda p, epochs, dynamic: 1 - (1 - p) ** epochs if dynamic else 0.15,
    ],
    "7": [
        *(
            with_option(groups, **mistake)
            for mistake in (
                {"special": ()},
                {"special": ("[CLS]", "[SEP]", "[PAD]")},
                {"special": SPECIAL[:-1]},
                {"neighbours": False},
                {"strict": True},
                {"mark": "#"},
            )
        ),
        every_bracket,
        words_instead,
        places_without_special,
        lambda tokens: [[place] for place in range(len(tokens))],
        lambda tokens: [group[0] for group in groups(tokens)],
    ],
}
GIVEAWAYS = {
    "1": ("np.where",),
    "2": ("isin", "copy()", ">= 0.9"),
    "3": ("!= number", "[1:]"),
    "4": ("bincount", "+ 1", "Counter"),
    "5": ("average", "exp(", "weights"),
    "6": ("1 - (1", "**"),
    "7": ("startswith",),
}
RIGHT: dict[str, list[Any]] = {
    "1": [lambda input_ids, chosen: input_ids * chosen - 100 * ~chosen],
    "2": [corrupt, lambda *args: list(corrupt(*args))],
    "3": [
        pair,
        lambda *args: list(pair(*args)),
        lambda texts, number, cut, label, draw: pair(texts, number, cut, label, draw),
    ],
    "4": [unigram, lambda *args: np.float64(unigram(*args))],
    "5": [
        lambda losses, sizes: float(
            np.exp(sum(loss * size for loss, size in zip(losses, sizes, strict=True)) / sum(sizes))
        )
    ],
    "6": [lambda p, epochs, dynamic: 1 - (1 - p) ** epochs if dynamic else p],
    "7": [groups, lambda tokens: tuple(map(tuple, groups(tokens)))],
}
