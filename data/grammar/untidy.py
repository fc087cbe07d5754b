"""What people do to a text on a web form: line-break tags, entities, typos, capitals,
lost spaces, emoji.
"""

import re
from collections.abc import Callable
from random import Random

from .template import pick

BREAK = "<br /><br />"
SHARE = {  # of reviews
    "breaks": 0.56,
    "entities": 0.07,
    "typos": 0.16,
    "shout": 0.12,
    "glued": 0.05,
    "dots": 0.06,
    "spaces": 0.05,
    "emoji": 0.03,
    "apostrophes": 0.05,
    "lower": 0.012,
    "bangs": 0.05,
    "stars": 0.04,
    "dash": 0.04,
}
MISSPELT = {
    "definitely": "definately",
    "separate": "seperate",
    "believe": "beleive",
    "believed": "beleived",
    "weird": "wierd",
    "surprised": "suprised",
    "surprise": "suprise",
    "surprises": "suprises",
    "character": "charachter",
    "characters": "charachters",
    "ridiculous": "rediculous",
    "beginning": "begining",
    "because": "becuase",
    "which": "wich",
    "performance": "performence",
    "performances": "performences",
    "excellent": "excelent",
    "completely": "completly",
    "disappointed": "dissapointed",
    "disappointment": "dissapointment",
    "embarrassing": "embarassing",
    "forgettable": "forgetable",
    "beautiful": "beautifull",
    "until": "untill",
    "really": "realy",
    "director": "directer",
    "writing": "writting",
    "tedious": "tedius",
    "dialogue": "dialouge",
    "review": "reveiw",
    "friend": "freind",
    "friends": "freinds",
    "minutes": "mintues",
    "their": "there",
    "masterpiece": "masterpeice",
    "genuine": "genuin",
}
EMOJI = ("🎬", "🍿", "📽️", "🎞️", "🤷", "😅", "🙃", "👀")
LONG_WORD = re.compile(r"\b[a-z]{6,}\b")
EMPHATIC = re.compile(
    r"\b(not|never|nothing|nobody|every|all|only|best|worst|so|really|must|ever|love|loved|hate|"
    r"hated|why|very|more|less|one|first|last|again|always|still|much|too|and|but|minute|"
    r"everything|everyone|film|movie|this|wrong|whole)\b"
)
NEGATORS = frozenset(
    {"never", "nothing", "neither", "nobody", "nowhere", "hardly", "without", "cannot"}
)


def untidy(moves: list[str], paragraphs: set[int], rng: Random) -> str:
    """The moves as one text, as somebody might have typed it;
    moves in `paragraphs` open a paragraph.
    """
    does = {what: rng.random() < share for what, share in SHARE.items()}
    if does["emoji"]:
        moves = [*moves[:-1], f"{moves[-1]} {pick(rng, EMOJI)}"]
    text = ""
    for index, move in enumerate(moves):
        if index and does["breaks"] and index in paragraphs:
            text += BREAK
        elif index:
            text += "" if does["glued"] and rng.random() < 0.4 else "  " if does["spaces"] else " "
        text += _habits(move, does, rng)
    if does["entities"]:
        text = _entities(text)
    return text.lower().replace("<br /><br />", BREAK) if does["lower"] else text


def _habits(move: str, does: dict[str, bool], rng: Random) -> str:
    if does["dash"]:
        move = move.replace("; ", pick(rng, (" - ", " -- ")))
    if does["dots"] and rng.random() < 0.4 and move.endswith("."):
        move += ".."
    if does["bangs"] and rng.random() < 0.3 and move.endswith("."):
        move = move[:-1] + pick(rng, ("!", "!!", "!!!"))
    if does["apostrophes"]:
        move = re.sub(r"(?<=[a-z])n't\b", "nt", move)
    if does["typos"] and rng.random() < 0.22:
        move = _typo(move, rng)
    if does["shout"] and rng.random() < 0.3:
        move = _change_one(move, EMPHATIC, str.upper, rng)
    if does["stars"] and rng.random() < 0.2:
        move = _change_one(move, LONG_WORD, lambda word: f"*{word}*", rng)
    return move


def _typo(move: str, rng: Random) -> str:
    known = [word for word in MISSPELT if re.search(rf"\b{word}\b", move)]
    if known:
        word = pick(rng, known)
        return re.sub(rf"\b{word}\b", MISSPELT[word], move, count=1)
    return _change_one(move, LONG_WORD, lambda word: _slip(word, rng), rng)


def _slip(word: str, rng: Random) -> str:
    """`word` with two inner letters swapped, or one dropped, or one doubled."""
    at = 1 + int(rng.random() * (len(word) - 3))
    kind = int(rng.random() * 3)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + word[at + 1 :] if kind == 1 else word[: at + 1] + word[at:]


def _change_one(
    move: str, pattern: re.Pattern[str], change: Callable[[str], str], rng: Random
) -> str:
    places = list(pattern.finditer(move))
    if not places:
        return move
    match = pick(rng, places)
    if pattern is LONG_WORD and match.group() in NEGATORS:
        return move
    return move[: match.start()] + change(match.group()) + move[match.end() :]


def _entities(text: str) -> str:
    parts = text.split(BREAK)
    parts = [part.replace("&", "&amp;").replace(" and ", " &amp; ", 1) for part in parts]
    return BREAK.join(part.replace('"', "&quot;").replace("n't", "n&#39;t") for part in parts)
