"""The catalogue of invented films. A film keeps its facts (people, year,
plot) in all its reviews.
"""

from dataclasses import dataclass
from functools import cache
from random import Random

from .phrases import pools_of
from .template import pick, shuffled

GENRES = (
    "horror",
    "thriller",
    "war",
    "western",
    "crime",
    "drama",
    "comedy",
    "romance",
    "scifi",
    "family",
    "musical",
    "sports",
)
SHARE_OF_MEN_IN_THE_LEAD = {"war": 0.9, "western": 0.8}
FIRST_YEAR = {"western": 1938, "musical": 1934, "war": 1946, "scifi": 1956}
CATALOGUE_SEED = 1895


@dataclass(frozen=True)
class Person:
    """Somebody in front of or behind the camera."""

    name: str
    """First name and surname."""
    gender: str
    """"m" or "f"."""

    @property
    def surname(self) -> str:
        return self.name.split(" ", 1)[1]


@dataclass(frozen=True)
class Film:
    """A film and its facts."""

    title: str
    sibling: str
    """Another film of the same director, in the same genre."""
    genre: str
    kind: str
    kinds: str
    year: int
    minutes: int
    director: Person
    lead: Person
    costar: Person
    character: str
    """First name of the lead's character; the character has the lead's gender."""
    role: str
    premise: str
    twist: str
    place: str
    preposition: str
    """What goes before the place: "in", "on" or "at"."""
    weeks: str
    nth: int
    """The how-manieth film of its director this is."""
    age: int
    """The lead's age at the time, years."""


@cache
def catalogue(side: str) -> tuple[Film, ...]:
    """All films of a side. Films 2k and 2k + 1 of a genre share their director."""
    rng = Random(f"{CATALOGUE_SEED}/{side}")
    people = _People(rng, side)
    films: list[Film] = []
    for genre in GENRES:
        films.extend(_films_of(genre, side, rng, people))
    return tuple(films)


class _People:
    """Hands out persons; no two have the same full name, and no surname exists on both sides."""

    def __init__(self, rng: Random, side: str) -> None:
        self.rng, self.pools, self.taken = rng, pools_of(side), set()

    def person(self, share_of_men: float = 0.5) -> Person:
        while True:
            gender = "m" if self.rng.random() < share_of_men else "f"
            first = pick(self.rng, self.pools[f"first.{gender}"]).text
            person = Person(f"{first} {pick(self.rng, self.pools['surname']).text}", gender)
            if person not in self.taken:
                self.taken.add(person)
                return person


def _films_of(genre: str, side: str, rng: Random, people: _People) -> list[Film]:
    pools = pools_of(side)
    titles = [phrase.text for phrase in pools[f"{genre}.title"]]
    decks: dict[str, list[str]] = {}

    def deal(kind: str) -> str:
        deck = decks.setdefault(kind, [])
        if not deck:
            deck.extend(phrase.text for phrase in shuffled(rng, pools[f"{genre}.{kind}"]))
        return deck.pop()

    films, director = [], None
    for index, title in enumerate(titles):
        if index % 2 == 0:
            director = people.person(0.6)
        lead = people.person(SHARE_OF_MEN_IN_THE_LEAD.get(genre, 0.5))
        costar = people.person()
        kind, kinds = pick(rng, pools[f"{genre}.kind"]).text.split("|")
        first_year = FIRST_YEAR.get(genre, 1946)
        preposition, _, place = deal("place").rpartition(":")
        films.append(
            Film(
                title=title,
                sibling=titles[index ^ 1],
                genre=genre,
                kind=kind,
                kinds=kinds,
                year=first_year + int(rng.random() * (2020 - first_year)),
                minutes=78 + int(rng.random() * rng.random() * 90),
                director=director,
                lead=lead,
                costar=costar,
                character=pick(rng, pools[f"char.{lead.gender}"]).text,
                role=deal("role"),
                premise=deal("premise"),
                twist=deal("twist"),
                place=place,
                preposition=preposition or "in",
                weeks=pick(rng, pools["weeks"]).text,
                nth=3 + int(rng.random() * 5),
                age=22 + int(rng.random() * 50),
            )
        )
    return films
