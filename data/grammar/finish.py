"""From filled frames to a text: names as people write them, a or an,
capitals at the start of sentences.
"""

import re
from random import Random

from .films import Film, Person
from .template import pick

TOKEN = re.compile("\x02(\\w+)\x03")
CAPITAL = re.compile("\x04([^\\w\x02]*)(\\w)")
ARTICLE = re.compile(r"\b([Aa]) (?=([\"'(]?)([\w-]+))")
SENTENCE = re.compile(r"(^|[.!?]['\")]* )([\"'(]*)([a-zà-ÿ])")
SPOKEN_AN = re.compile(
    r"(8\d*|1[18])(?!\d)|[aeiouàâéèêíóúö]|hour|honest|heir|honou?r", re.IGNORECASE
)
SPOKEN_A = re.compile(r"uni(?![nm])|us[eu]|eu|one|once|ubi", re.IGNORECASE)
TITLE_STYLES = ("{}", "{}", "{}", '"{}"', '"{}"', "'{}'", "{caps}")


def finish(moves: list[str], film: Film, other: Film, rng: Random) -> list[str]:
    """The moves of a review with names, articles and capitals put in."""
    names = _Names(film, other, rng)
    return [_polish(TOKEN.sub(lambda match: names.say(match[1]), move)) for move in moves]


def _polish(text: str) -> str:
    text = CAPITAL.sub(lambda match: match[1] + match[2].upper(), text).replace("\x04", "")
    text = ARTICLE.sub(lambda match: f"{match[1]}{_n(match[3])} ", text)
    return SENTENCE.sub(lambda match: match[1] + match[2] + match[3].upper(), text)


def _n(word: str) -> str:
    if SPOKEN_A.match(word):
        return ""
    return "n" if SPOKEN_AN.match(word) else ""


class _Names:
    """Full names at first, surnames mostly later; one way of writing titles in a review."""

    def __init__(self, film: Film, other: Film, rng: Random) -> None:
        self.film, self.other, self.rng = film, other, rng
        self.style = pick(rng, TITLE_STYLES)
        self.said: set[str] = set()

    def say(self, what: str) -> str:
        people = {"lead": self.film.lead, "costar": self.film.costar, "dir": self.film.director}
        titles = {"title": self.film.title, "other": self.other.title, "sibling": self.film.sibling}
        if what in people:
            return self._person(what, people[what])
        if what in titles:
            return self.style.format(titles[what], caps=titles[what].upper())
        return self.film.character

    def _person(self, what: str, person: Person) -> str:
        first = what not in self.said
        self.said.add(what)
        return person.name if first or self.rng.random() < 0.2 else person.surname
