"""Plans a review and writes it: opening, plot, judgement, the phenomenon, the end."""

from dataclasses import dataclass
from functools import cache
from random import Random

from .films import Film, catalogue
from .finish import finish
from .phrases import pools_of
from .template import pick
from .untidy import untidy
from .writer import Writer

LENGTHS = ((0.10, 2, 3), (0.37, 4, 5), (0.34, 6, 8), (0.13, 9, 11), (0.04, 12, 14), (0.02, 16, 20))
"""Share of the reviews, fewest and most moves; a move is a sentence or two."""
CONCESSIONS = {"plain": 0.08, "other": 0.07}
"""Share of concessions among the moves of a review's body: they speak against the verdict."""
SUPPORTS = {"plain": 0.76, "other": 0.56}
"""Share of judgements in the body that agree with the verdict."""
POLAR_END = {"plain": 0.85, "other": 0.5}
POLAR_OPENING = 0.33
NEUTRAL = {"plot.credit": 0.26, "scene": 0.36, "thought": 0.22, "anecdote": 0.16}
"""Kinds of moves that judge nothing, in the order in which they come."""
MOST_ANECDOTES = 1


@dataclass(frozen=True)
class Review:
    """One row of the data set."""

    text: str
    label: int
    phenomenon: str


def write_review(side: str, label: int, phenomenon: str, rng: Random) -> Review:
    """A review of a film of `side` whose verdict is `label`;
    but for "plain", it is made by `phenomenon`.
    """
    films = catalogue(side)
    film = pick(rng, films)
    venue = pick(rng, ("home", "home", "home", "cinema", "cinema"))
    writer = Writer(
        rng, side, film, pick(rng, _rivals(film, side)), label, frozenset({venue, film.genre})
    )
    parts = _Plan(writer, phenomenon, _length(rng)).parts()
    moves = [move for part in parts for move in part]
    starts, at = set(), 0
    for part in parts:
        starts.add(at)
        at += len(part)
    return Review(untidy(finish(moves, film, writer.other, rng), starts, rng), label, phenomenon)


@cache
def _rivals(film: Film, side: str) -> list[Film]:
    return [
        f
        for f in catalogue(side)
        if f.genre == film.genre and f.title not in (film.title, film.sibling)
    ]


def _length(rng: Random) -> int:
    dice = rng.random()
    for share, fewest, most in LENGTHS:
        if dice < share:
            return fewest + int(rng.random() * (most - fewest + 1))
        dice -= share
    return LENGTHS[1][1]


class _Plan:
    """Deals a number of moves out to the parts of a review.

    The phenomenon is written first, so that nothing contradicts it, and put in its place later.
    """

    def __init__(self, writer: Writer, phenomenon: str, length: int) -> None:
        self.writer, self.rng, self.length = writer, writer.rng, length
        self.phenomenon = phenomenon
        self.kind = "plain" if phenomenon == "plain" else "other"
        self.polarity = "pos" if writer.label else "neg"

    def parts(self) -> list[list[str]]:
        """Paragraphs, each a list of moves."""
        cue = self._cue()
        left = self.length - len(cue)
        ending = self._ending() if left > 0 else []
        left -= len(ending)
        setup = self._setup(left)
        left -= len(setup)
        early = self.kind == "other" and self.rng.random() < 0.2
        body = self._body(left, verdict_follows=bool(cue or ending) and not early)
        parts = [cue, setup, body, ending] if early else [setup, body, cue, ending]
        if self.kind == "plain":
            parts = [setup, body, ending]
        return [part for part in parts if part]

    def _cue(self) -> list[str]:
        if self.kind == "plain":
            return []
        count = 2 if self.length > 5 and self.rng.random() < 0.5 else 1
        return [self.writer.frame(self._cue_pool()) for _ in range(count)]

    def _cue_pool(self) -> str:
        pools = pools_of(self.writer.side)
        own, shared = f"{self.phenomenon}.{self.polarity}", f"{self.phenomenon}.both"
        if shared not in pools:
            return own
        share = len(pools[shared]) / (len(pools[shared]) + len(pools[own]))
        return shared if self.rng.random() < share else own

    def _setup(self, room: int) -> list[str]:
        if room <= 0:
            return []
        polar = self.kind == "plain" and self.rng.random() < POLAR_OPENING
        setup = [self.writer.frame(f"open.{self.polarity}" if polar else "open.neutral")]
        if self.length < 4 and self.rng.random() < 0.5:
            setup = [self.writer.frame("plot.premise")]
        elif room >= 3 and self.rng.random() < 0.8:
            setup.append(self.writer.frame("plot.premise"))
            if room >= 4 and self.rng.random() < 0.5:
                setup.append(self.writer.frame("plot.twist"))
        return setup

    def _body(self, room: int, verdict_follows: bool) -> list[str]:
        kinds = [self._kind_of_move() for _ in range(max(room, 0))]
        if self.kind == "plain" and room > 0 and "support" not in kinds:
            kinds[0] = "support"
        moves: list[str] = []
        for kind in NEUTRAL:
            most = MOST_ANECDOTES if kind == "anecdote" else self.length
            moves += [self.writer.frame(kind) for _ in range(min(kinds.count(kind), most))]
        supports = kinds.count("support")
        concessions = min(kinds.count("concede"), supports // 2 + verdict_follows)
        if moves and supports and self.rng.random() < 0.15:
            moves.append(self.writer.frame("filler"))
        return moves + self._judgements(supports, concessions)

    def _kind_of_move(self) -> str:
        dice = self.rng.random()
        if dice < SUPPORTS[self.kind]:
            return "support"
        if dice < SUPPORTS[self.kind] + CONCESSIONS[self.kind]:
            return "concede"
        return _weighted(NEUTRAL, self.rng)

    def _judgements(self, supports: int, concessions: int) -> list[str]:
        """Supports and concessions; a concession comes after a support, if there is one."""
        moves: list[str] = []
        while supports or concessions:
            after = ("after",) if moves else ()
            chance = concessions / (supports + concessions)
            if concessions and (not supports or (moves and self.rng.random() < chance)):
                concessions -= 1
                pool = "concede" if self._has_room() else "scene"
            else:
                supports -= 1
                pool = self._support_pool() if self._has_room() else f"aspect.{self.polarity}"
            moves.append(self.writer.frame(pool, *after))
        return moves

    def _support_pool(self) -> str:
        return "aspect.one" if self.rng.random() < 0.78 else f"aspect.{self.polarity}"

    def _ending(self) -> list[str]:
        ending = []
        must = self.kind == "plain" and self.length < 4
        if must or self.rng.random() < POLAR_END[self.kind]:
            pool = "close" if self.kind == "plain" or self.rng.random() < 0.75 else "nudge"
            ending.append(self.writer.frame(f"{pool}.{self.polarity}"))
        dice = self.rng.random()
        if dice < 0.06 and self.length > 3:
            ending.append(
                self.writer.frame(f"rate.{self.polarity}" if dice < 0.025 else "rate.other")
            )
        return ending

    def _has_room(self) -> bool:
        """Whether there are aspects enough left for a frame that judges three."""
        return self.writer.aspects_left > 3


def _weighted(weights: dict[str, float], rng: Random) -> str:
    dice = rng.random() * sum(weights.values())
    for name, weight in weights.items():
        dice -= weight
        if dice < 0:
            return name
    return name
