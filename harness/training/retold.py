"""Changes of texts, for concepts that seldom apply in sampled prose: line breaks, marks, capitals, more words.

The changes are drawn at random. The rule of the concept still decides where it applies in the changed text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_BREAKS = ("\n", "\n", "\n\n", "\n- ", "\n* ", "\n  ")
_AFTER_SENTENCE = re.compile(r"(?<=[.!?])[ \t]+")
_SPACES = re.compile(r"[ \t]+")


def lines(text: str, chance: random.Random) -> str:
    """Return the text with line breaks after most sentences."""
    separator = chance.choice(_BREAKS)
    return _AFTER_SENTENCE.sub(lambda space: separator if chance.random() < 0.8 else space.group(), text)


def wrapped(text: str, chance: random.Random, *, opening: str, closing: str) -> str:
    """Return the text with marks around one or two stretches of one to seven words; the last may stay open."""
    words = text.split(" ")
    first = chance.randrange(max(1, len(words) // 2))
    for _ in range(chance.choice([1, 1, 2])):
        last = first + chance.randint(0, 6)
        if last >= len(words):
            break
        space = " " if chance.random() < 0.15 else ""
        words[first] = opening + space + words[first]
        words[last] = words[last] + space + closing
        first = last + chance.randint(2, 6)
    return " ".join(words)


def capitals(text: str, chance: random.Random) -> str:
    """Return the text with up to four words in capitals, in one of three texts."""

    def change(words: list[str], place: int) -> None:
        words[place] = words[place].upper()

    return _now_and_then(text, chance, 4, change)


def doubled(text: str, chance: random.Random) -> str:
    """Return the text with one or two words written twice, in one of three texts."""
    return _now_and_then(text, chance, 2, lambda words, place: words.insert(place, words[place]))


def _now_and_then(text: str, chance: random.Random, most: int, change: Callable[[list[str], int], None]) -> str:
    """Return the text with up to ``most`` words changed, in one of three texts."""
    words = text.split(" ")
    if chance.random() < 0.35:
        for _ in range(chance.randint(1, most)):
            change(words, chance.randrange(len(words)))
    return " ".join(words)


def inserted(text: str, chance: random.Random, *, additions: tuple[str, ...]) -> str:
    """Return the text with one to three of the additions, words or marks, put in; most marks directly follow a word."""
    words = text.split(" ")
    for _ in range(chance.randint(1, 3)):
        addition, place = chance.choice(additions), chance.randrange(1, len(words) + 1)
        if any(map(str.isalnum, addition)) or chance.random() < 0.3:
            words.insert(place, addition)
        else:
            words[place - 1] += addition
    return " ".join(words)


def echoed(text: str, chance: random.Random) -> str:
    """Return the text with one or two words repeated up to 24 words later, one to three times."""
    words = text.split(" ")
    for _ in range(chance.randint(1, 3)):
        first, size = chance.randrange(len(words)), chance.choice([1, 1, 2])
        later = min(len(words), first + size + chance.randrange(24))
        words[later:later] = words[first : first + size]
    return " ".join(words)


def numbered(text: str, chance: random.Random, *, around: float | None = None) -> str:
    """Return the text, in one of two cases with one to three numbers put in.

    If ``around`` is given, about half of the numbers are near it; the others are of any size.
    """
    if chance.random() < 0.5:
        return text
    return inserted(text, chance, additions=tuple(_number(chance, around) for _ in range(3)))


def _number(chance: random.Random, around: float | None) -> str:
    near = around is not None and chance.random() < 0.5
    value = int(around * 4 ** chance.uniform(-1, 1)) if near and around else int(10 ** (chance.random() * 7))
    forms = (
        str(value),
        f"{value:,}",
        f"{value / 10 ** chance.randint(1, 2):g}",
        f"${value:,}",
        str(chance.randint(1500, 2049)),
    )
    return chance.choice(forms)
