"""Templates: text with `[one|of|these]` alternatives, which may nest, and `{slots}`."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import TypeVar

Item = TypeVar("Item")
Node = str | tuple[str, object]
SLOT = re.compile(r"([A-Za-z_]+)(\d?)([+\-=!]?)((?::[^:}]+)*)$")


def pick(rng: Random, items: Sequence[Item]) -> Item:
    """One of `items`, by `rng.random()` alone: the one method whose sequence
    Python promises to keep.
    """
    if not items:
        raise ValueError(
            "expected at least one item to choose from, got none; is a pool of phrases empty?"
        )
    return items[int(rng.random() * len(items))]


def shuffled(rng: Random, items: Sequence[Item]) -> list[Item]:
    """`items` in random order (Fisher and Yates), by `rng.random()` alone."""
    result = list(items)
    for last in range(len(result) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        result[last], result[other] = result[other], result[last]
    return result


@cache
def parse(text: str) -> tuple[Node, ...]:
    """The template as nodes: text, ("slot", (name, digit, polarity, forms)) or
    ("any", alternatives).
    """
    nodes, rest = _parse_until(text, 0, closers="")
    if rest != len(text):
        raise ValueError(
            f"expected balanced brackets, got a stray {text[rest]!r} at {rest} in {text!r}"
        )
    return nodes


def _parse_until(text: str, start: int, closers: str) -> tuple[tuple[Node, ...], int]:
    nodes: list[Node] = []
    at = start
    while at < len(text) and text[at] not in (closers or "]"):
        if text[at] == "[":
            alternatives, at = _parse_alternatives(text, at + 1)
            nodes.append(("any", alternatives))
        elif text[at] == "{":
            end = text.index("}", at)
            nodes.append(("slot", _parse_slot(text[at + 1 : end])))
            at = end + 1
        else:
            ends = [text.find(character, at) for character in "[{]" + closers]
            end = min((place for place in ends if place >= 0), default=len(text))
            nodes.append(text[at:end])
            at = end
    return tuple(nodes), at


def _parse_alternatives(text: str, start: int) -> tuple[tuple[tuple[Node, ...], ...], int]:
    alternatives, at = [], start
    while True:
        nodes, at = _parse_until(text, at, closers="|]")
        alternatives.append(nodes)
        if at >= len(text):
            raise ValueError(f"expected ']' before the end of {text!r}")
        at += 1
        if text[at - 1] == "]":
            return tuple(alternatives), at


def _parse_slot(inside: str) -> tuple[str, str, str, tuple[str, ...]]:
    match = SLOT.match(inside)
    if match is None:
        raise ValueError(f"expected a slot like name, name2, name+ or name=:past, got {{{inside}}}")
    name, digit, polarity, forms = match.groups()
    return name, digit, polarity, tuple(form for form in forms.split(":") if form)


def expand(nodes: Sequence[Node], rng: Random, fill: Callable[..., str]) -> str:
    """The text of `nodes`: one alternative of each bracket,
    slots by `fill(name, digit, polarity, forms)`.
    """
    parts = []
    for node in nodes:
        if isinstance(node, str):
            parts.append(node)
        elif node[0] == "any":
            parts.append(expand(pick(rng, node[1]), rng, fill))
        else:
            parts.append(fill(*node[1]))
    return "".join(parts)
