"""The pools of phrases, read from phrases/*.txt, and how they are dealt out to train and test.

A file holds pools: a line `== name`, then one phrase a line; `#` and a blank begin a comment. Tags
before a phrase say when it fits: `@home` (one of the review's circumstances; `@a,b`: any of them),
`#script` (it judges the script as the label does; `#!script`: the other way round).

Sides. Every pool is dealt out by position, so that the two sides of the data differ in a known way:
- "fact" pools (titles, surnames, roles, plots, places) and "frame" pools (whole sentences): every
  third is test's alone, the others are train's alone; nothing is shared;
- other pools (words and phrases inside frames): of every six, four are shared, one is train's, one
  is test's;
- small closed sets (first names, relatives, kinds of films, months and the like) are shared.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

FOLDER = Path(__file__).parent / "phrases"
SIDES = ("train", "test")
PHENOMENA = (
    "plain",
    "negation",
    "contrast",
    "reversed_expectation",
    "comparison",
    "understatement",
    "mixed_aspects",
    "hypothetical",
    "quoted_opinion",
    "irony",
)
FRAME_FAMILIES = ("open", "plot", "aspect", "close", "nudge", "rate", *PHENOMENA)
FRAME_POOLS = ("anecdote", "filler", "concede", "scene", "thought")
FACT_KINDS = ("title", "role", "premise", "twist", "place")
SHARED = (
    "char.m",
    "char.f",
    "first.m",
    "first.f",
    "relative",
    "weekday",
    "month",
    "colour",
    "weeks",
    "low_or_high",
    "good_or_bad",
    "longer",
)
TOLD_ONCE = ("place", "year", "role", "twist", "weeks", "nth", "nth_word", "age", "sibling")
TAG = re.compile(r"(?:[@#]!?\S+ )")


@dataclass(frozen=True)
class Phrase:
    """One line of a pool."""

    text: str
    """The template, without its tags."""
    circumstances: tuple[tuple[str, ...], ...] = ()
    """Each group must share a word with the review's circumstances."""
    judges: tuple[tuple[str, bool], ...] = ()
    """Aspects that the phrase judges, and whether it does so as the label does."""

    @cached_property
    def tells(self) -> tuple[str, ...]:
        """Facts that a review tells once only."""
        return tuple(
            fact for fact in TOLD_ONCE if re.search(rf"[{{_]{fact}}}", self.text, re.IGNORECASE)
        )


def family(pool: str) -> str:
    """How the pool is dealt out: "frame", "fact", "shared" or "phrase"."""
    first, _, last = pool.partition(".")
    if pool in FRAME_POOLS or first in FRAME_FAMILIES:
        return "frame"
    if pool == "surname" or last in FACT_KINDS:
        return "fact"
    if pool.rstrip("+-") in SHARED or last in ("kind", "genre"):
        return "shared"
    return "phrase"


def belongs(pool: str, index: int, side: str) -> bool:
    """Whether the phrase at `index` of `pool` may be used on `side` ("train" or "test")."""
    if side not in SIDES:
        raise ValueError(f"expected a side in {SIDES}, got {side!r}")
    how = family(pool)
    if how == "shared":
        return True
    if how in ("frame", "fact"):
        return (index % 3 == 2) == (side == "test")
    return index % 6 != (5 if side == "train" else 2)


@cache
def all_pools() -> dict[str, tuple[Phrase, ...]]:
    """Every pool by name; a pool may go on in a later file."""
    pools: dict[str, tuple[Phrase, ...]] = {}
    for path in sorted(FOLDER.glob("*.txt")):
        for name, phrases in _read(path):
            pools[name] = pools.get(name, ()) + phrases
    return pools


@cache
def pools_of(side: str) -> dict[str, tuple[Phrase, ...]]:
    """The pools as `side` sees them."""
    pools = {}
    for name, phrases in all_pools().items():
        seen = [phrase for index, phrase in enumerate(phrases) if belongs(name, index, side)]
        pools[name] = tuple(seen)
    return pools


def _read(path: Path) -> Iterator[tuple[str, tuple[Phrase, ...]]]:
    name, phrases = "", []
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.startswith("== "):
            if name:
                yield name, tuple(phrases)
            name, phrases = line[3:].strip(), []
        elif line.strip() and not line.startswith("# "):
            phrases.append(_phrase(line.strip()))
    yield name, tuple(phrases)


def _phrase(line: str) -> Phrase:
    circumstances, judges = [], []
    while match := TAG.match(line):
        tag, line = match.group().strip(), line[match.end() :]
        if tag.startswith("@"):
            circumstances.append(tuple(tag[1:].split(",")))
        else:
            judges.append((tag[1:].lstrip("!"), not tag.startswith("#!")))
    return Phrase(line, tuple(circumstances), tuple(judges))
