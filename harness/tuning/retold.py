"""Changes that make a text one in which a concept applies: broken into lines, with marks, capitals or words put in.

Sampled prose seldom has what these concepts speak of. What is changed is drawn; where the concept then applies is
still found by its rule.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_BREAKS = ("\n", "\n", "\n\n", "\n- ", "\n* ", "\n  ")
_AFTER_SENTENCE = re.compile(r"(?<=[.!?])[ \t]+")
_SPACES = re.compile(r"[ \t]+")


def lines(text: str, chance: random.Random) -> str:
    """Each sentence on a line of its own, now and then two on one."""
    break_ = chance.choice(_BREAKS)
    return _AFTER_SENTENCE.sub(lambda space: break_ if chance.random() < 0.8 else space.group(), text)


def wrapped(text: str, chance: random.Random, *, opening: str, closing: str) -> str:
    """One or two stretches of one to seven words between marks; now and then the last one stays open."""
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
    """One to four words in capitals, in every third text."""

    def change(words: list[str], place: int) -> None:
        words[place] = words[place].upper()

    return _now_and_then(text, chance, 4, change)


def doubled(text: str, chance: random.Random) -> str:
    """A word or two written twice, in every third text."""
    return _now_and_then(text, chance, 2, lambda words, place: words.insert(place, words[place]))


def _now_and_then(text: str, chance: random.Random, most: int, change: Callable[[list[str], int], None]) -> str:
    """Change up to ``most`` words, in every third text."""
    words = text.split(" ")
    if chance.random() < 0.35:
        for _ in range(chance.randint(1, most)):
            change(words, chance.randrange(len(words)))
    return " ".join(words)


def inserted(text: str, chance: random.Random, *, some: tuple[str, ...]) -> str:
    """One to three more of some words or marks, anywhere; marks stand right behind the word before them, mostly."""
    words = text.split(" ")
    for _ in range(chance.randint(1, 3)):
        one, place = chance.choice(some), chance.randrange(1, len(words) + 1)
        if any(map(str.isalnum, one)) or chance.random() < 0.3:
            words.insert(place, one)
        else:
            words[place - 1] += one
    return " ".join(words)


def echoed(text: str, chance: random.Random) -> str:
    """One to three times a word or two written once more, somewhere later."""
    words = text.split(" ")
    for _ in range(chance.randint(1, 3)):
        first, size = chance.randrange(len(words)), chance.choice([1, 1, 2])
        later = min(len(words), first + size + chance.randrange(24))
        words[later:later] = words[first : first + size]
    return " ".join(words)


def numbered(text: str, chance: random.Random, *, around: float | None = None) -> str:
    """One to three numbers put between the words, in half of the texts: of any size, half of them near ``around``."""
    if chance.random() < 0.5:
        return text
    return inserted(text, chance, some=tuple(_number(chance, around) for _ in range(3)))


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
