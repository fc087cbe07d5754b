"""Fills the slots of a review's frames and keeps what it says coherent."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random

from .films import Film, Person
from .phrases import Phrase, all_pools, pools_of
from .template import expand, parse, pick

FORMS = ("base", "past", "ing", "pp", "s")
POLAR = {(1, "="): "+", (1, "!"): "-", (0, "="): "-", (0, "!"): "+"}
CARDINALS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
ORDINALS = {3: "third", 4: "fourth", 5: "fifth", 6: "sixth", 7: "seventh"}
GENERAL_FILM = ("the film", "this film", "the movie", "this movie", "the film", "{title}")
PRONOUNS = {
    "m": {"he": "he", "his": "his", "him": "him", "himself": "himself"},
    "f": {"he": "she", "his": "her", "him": "her", "himself": "herself"},
}
AGREE = {
    "is": ("is", "are"),
    "has": ("has", "have"),
    "does": ("does", "do"),
    "was": ("was", "were"),
    "it": ("it", "they"),
    "them": ("it", "them"),
    "its": ("its", "their"),
    "itself": ("itself", "themselves"),
    "s": ("s", ""),
    "es": ("es", ""),
    "ies": ("ies", "y"),
}
OTHERS = {  # how a first-person phrase is told about somebody else
    "he": {"I was": "he was", "I": "he", "me": "him", "my": "his", "myself": "himself"},
    "she": {"I was": "she was", "I": "she", "me": "her", "my": "her", "myself": "herself"},
    "they": {
        "I was": "they were",
        "I": "they",
        "me": "them",
        "my": "their",
        "myself": "themselves",
    },
    "you": {"I was": "you were", "I": "you", "me": "you", "my": "your", "myself": "yourself"},
}
OBJECTS = {"he": "him", "she": "her", "they": "them"}
FIRST_PERSON = re.compile(r"\b(I was|I|me|my|myself)\b")
AGREEMENT = re.compile(r"<(\w+)>")
RATINGS = {
    "high": (8, 9, 10, 7, 9),
    "low": (1, 2, 3, 4, 2),
    "any": (3, 5, 6, 7, 8),
    "stars": ("two", "three", "four"),
}
MAX_TRIES = 12


@dataclass
class Writer:
    """Writes frames about one film for one label, and remembers what it has said."""

    rng: Random
    side: str
    film: Film
    other: Film
    """A second film of the genre, for comparisons."""
    label: int
    """1 = positive, 0 = negative: what `=` and `!` in slots refer to."""
    circumstances: frozenset[str]
    used: set[tuple[str, str]] = field(default_factory=set)
    judged: dict[str, str] = field(default_factory=dict)
    """Aspects judged so far, and as what: "+" or "-"."""
    told: set[str] = field(default_factory=set)
    """Facts of the film that need no second telling: "place", "year", "twist" ..."""
    _cache: dict[str, str] = field(default_factory=dict)
    _voices: dict[str, str] = field(default_factory=dict)

    def frame(self, pool: str, *now: str) -> str:
        """One unused frame of `pool`, filled;
        `now` holds circumstances of this place in the review.
        """
        phrase = self.choose(self._pool(pool), pool, frozenset(now))
        self._cache, self._voices = {}, {}
        self.told.update(phrase.tells)
        for aspect, agrees in phrase.judges:
            self.judged[aspect] = self._sign("=" if agrees else "!")
        return expand(parse(phrase.text), self.rng, self.fill)

    def choose(
        self, phrases: Sequence[Phrase], key: str, now: frozenset[str] = frozenset()
    ) -> Phrase:
        """A phrase that fits the circumstances and contradicts no judgement so far;
        an unused one, if any.
        """
        for _ in range(MAX_TRIES):
            phrase = pick(self.rng, phrases)
            if (key, phrase.text) not in self.used and self._fits(phrase, now):
                break
        else:
            fitting = [phrase for phrase in phrases if self._fits(phrase, now)]
            fresh = [phrase for phrase in fitting if (key, phrase.text) not in self.used]
            phrase = pick(self.rng, fresh or fitting)
        self.used.add((key, phrase.text))
        return phrase

    def fill(self, name: str, digit: str, polarity: str, forms: tuple[str, ...]) -> str:
        """The text of one slot; see the table in `_special`."""
        capital, name = name[0].isupper(), name[0].lower() + name[1:]
        memo = f"{name}{digit}{polarity}"
        if digit and memo in self._cache:
            text = self._cache[memo]
        else:
            text = self._slot(name, digit, polarity, forms)
            if digit:
                self._cache[memo] = text
        return "\x04" + text if capital else text

    def _slot(self, name: str, digit: str, polarity: str, forms: tuple[str, ...]) -> str:
        sign = self._sign(polarity) if polarity else ""
        special = getattr(self, f"_slot_{name}", None)
        if special is not None:
            return special(digit, sign, forms)
        fact = self._fact(name, forms)
        if fact is not None:
            return fact
        phrase = self.choose(self._pool(name + sign), key=name + sign)
        text = expand(parse(phrase.text), self.rng, self.fill)
        return _inflect(text, forms, self._voices) if name in ("exp", "me") else text

    def _sign(self, polarity: str) -> str:
        return POLAR.get((self.label, polarity), polarity)

    def _pool(self, name: str) -> tuple[Phrase, ...]:
        pools = pools_of(self.side)
        if name not in pools:
            raise KeyError(
                f"expected a pool ('== ' in phrases/*.txt) or a known slot, got {name!r}"
            )
        return pools[name]

    def _fits(self, phrase: Phrase, now: frozenset[str]) -> bool:
        holding = self.circumstances | now
        if any(holding.isdisjoint(group) for group in phrase.circumstances):
            return False
        if any(fact in self.told for fact in phrase.tells):
            return False
        wanted = ((aspect, self._sign("=" if agrees else "!")) for aspect, agrees in phrase.judges)
        return all(self.judged.get(aspect, sign) == sign for aspect, sign in wanted)

    # facts ------------------------------------------------------------

    def _fact(self, name: str, forms: tuple[str, ...]) -> str | None:
        film = self.film
        if name in ("title", "other", "sibling", "lead", "costar", "dir", "char"):
            return f"\x02{name}\x03"
        if name[1:] in PRONOUNS["m"] and name[0] in "lcd":
            return PRONOUNS[self._person(name[0]).gender][name[1:]]
        if name in PRONOUNS["m"]:
            return PRONOUNS[film.lead.gender][name]
        if name in ("lg", "cg"):
            return forms[0].split("/")["mf".index(self._person(name[0]).gender)]
        if name in ("role", "premise", "twist"):
            return expand(parse(getattr(film, name)), self.rng, self.fill)
        if name in RATINGS:
            return str(pick(self.rng, RATINGS[name]))
        facts = {
            "kind": film.kind,
            "kinds": film.kinds,
            "place": film.place,
            "in_place": f"{film.preposition} {film.place}",
            "year": film.year,
            "minutes": film.minutes,
            "minutes_less": film.minutes - 1,
            "weeks": film.weeks,
            "age": film.age,
            "nth": ORDINALS[film.nth],
            "nth_word": CARDINALS[film.nth - 1],
            "hours": _hours(film.minutes),
            "score": f"{4 + int(self.rng.random() * 4)}.{int(self.rng.random() * 10)}",
        }
        return str(facts[name]) if name in facts else None

    def _person(self, letter: str) -> Person:
        return {"l": self.film.lead, "c": self.film.costar, "d": self.film.director}[letter]

    def _slot_film(self, digit: str, sign: str, forms: tuple[str, ...]) -> str:
        return expand(parse(pick(self.rng, GENERAL_FILM)), self.rng, self.fill)

    # other people ------------------------------------------------------------

    def _slot_critic(self, digit: str, sign: str, forms: tuple[str, ...]) -> str:
        memo = f"name{digit}"
        if memo not in self._voices:
            self._voices["cr" + digit], self._voices[memo] = self._voice("critic")
        return self._voices[memo]

    def _slot_relative(self, digit: str, sign: str, forms: tuple[str, ...]) -> str:
        if "relative" not in self._voices:
            self._voices["rel"], self._voices["relative"] = self._voice("relative")
        return self._voices["relative"]

    def _voice(self, pool: str) -> tuple[str, str]:
        pronoun, name = self.choose(self._pool(pool), key=pool).text.split(":", 1)
        return pronoun, name

    def _slot_crhe(self, digit: str, sign: str, forms: tuple[str, ...]) -> str:
        return self._voices["cr" + digit]

    def _slot_crhim(self, digit: str, sign: str, forms: tuple[str, ...]) -> str:
        return OBJECTS[self._voices["cr" + digit]]

    def _slot_relhe(self, digit: str, sign: str, forms: tuple[str, ...]) -> str:
        return self._voices["rel"]

    def _slot_crv(self, digit: str, sign: str, forms: tuple[str, ...]) -> str:
        return forms[0].split("/")[self._voices["cr" + digit] == "they"]

    # aspects ------------------------------------------------------------

    def _slot_a(self, digit: str, sign: str, forms: tuple[str, ...]) -> str:
        """`{a1}`: an aspect with its article; `{a1+}`: a good adjective for it."""
        aspect = self._cache.get(f"aspect{digit}")
        if aspect is None:
            taken = [value for key, value in self._cache.items() if key.startswith("aspect")]
            singular = [
                a for a in aspects_of(self.film.genre) if a not in taken and self._pool(f"{a}.sg")
            ]
            free = [a for a in singular if a not in self.judged]
            aspect = self._cache[f"aspect{digit}"] = pick(self.rng, free or singular)
            self.judged.setdefault(aspect, "")
        if not sign:
            return "the " + self._noun(aspect, ("sg",))[0].lstrip("~")
        self.judged[aspect] = sign
        return self.choose(self._pool(f"{aspect}.adj{sign}"), key=f"{aspect}.adj").text

    def _slot_cl(self, digit: str, sign: str, forms: tuple[str, ...]) -> str:
        """A clause that judges an aspect: "the jokes die on the screen one after another"."""
        aspect = self._claim(sign)
        noun, number = self._noun(aspect, ("sg", "pl"))
        if self.rng.random() < 0.35:
            predicate = (
                "<is> " + self.choose(self._pool(f"{aspect}.adj{sign}"), key=f"{aspect}.adj").text
            )
        else:
            predicate = self.choose(self._pool(f"{aspect}.vp{sign}"), key=f"{aspect}.vp").text
        return f"the {noun.lstrip('~')} " + AGREEMENT.sub(lambda m: AGREE[m[1]][number], predicate)

    def _slot_anp(self, digit: str, sign: str, forms: tuple[str, ...]) -> str:
        """A judged aspect as a noun phrase: "the muddy photography"."""
        adjective, noun, _ = self._judged_noun(sign)
        return f"the {adjective} {noun.lstrip('~')}"

    def _slot_ianp(self, digit: str, sign: str, forms: tuple[str, ...]) -> str:
        """The same without "the": "a soaring score", "muddy images"."""
        adjective, noun, number = self._judged_noun(sign)
        article = "" if number or noun.startswith("~") else "a "
        return f"{article}{adjective} {noun.lstrip('~')}"

    def _judged_noun(self, sign: str) -> tuple[str, str, int]:
        aspect = self._claim(sign)
        adjective = self.choose(self._pool(f"{aspect}.adj{sign}"), key=f"{aspect}.adj").text
        return adjective, *self._noun(aspect, ("sg", "pl"))

    def _aspects(self, sign: str) -> list[str]:
        """Aspects that this genre has and that have not been judged,
        or not otherwise than `sign`.
        """
        fitting = aspects_of(self.film.genre)
        fresh = [aspect for aspect in fitting if aspect not in self.judged]
        return fresh or [aspect for aspect in fitting if self.judged[aspect] == sign] or fitting

    @property
    def aspects_left(self) -> int:
        """How many aspects nothing has been said about."""
        return sum(aspect not in self.judged for aspect in aspects_of(self.film.genre))

    def _claim(self, sign: str) -> str:
        aspect = pick(self.rng, self._aspects(sign))
        self.judged[aspect] = sign
        return aspect

    def _noun(self, aspect: str, numbers: Sequence[str]) -> tuple[str, int]:
        pools = {number: self._pool(f"{aspect}.{number}") for number in numbers}
        nouns = [
            (phrase.text, int(number == "pl")) for number in numbers for phrase in pools[number]
        ]
        return pick(self.rng, nouns)


@cache
def aspects_of(genre: str) -> tuple[str, ...]:
    """What films of `genre` are judged by, in the order of the phrase files."""
    pools = all_pools()
    names = [name.removesuffix(".sg") for name in pools if name.endswith(".sg")]
    fitting = []
    for name in names:
        genres = [phrase.text for phrase in pools.get(f"{name}.genre", ())]
        if not genres or genre in genres:
            fitting.append(name)
    return tuple(fitting)


def _inflect(text: str, forms: tuple[str, ...], voices: dict[str, str]) -> str:
    """ "hold/held/..., my attention" in the form asked for,
    told of the person asked for (":past:they").
    """
    verbs, _, tail = text.partition(" ")
    text = f"{verbs.split('/')[FORMS.index(forms[0] if forms else 'past')]} {tail}".strip()
    if len(forms) < 2:
        return text
    person = OTHERS[voices.get(forms[1], forms[1])]
    return FIRST_PERSON.sub(lambda match: person[match[1]], text)


def _hours(minutes: int) -> str:
    if minutes < 100:
        return "an hour and a half"
    return "two hours" if minutes < 135 else "two and a half hours"
