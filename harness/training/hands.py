"""Hands: writers of explanations with their own phrases, in ``data/hands.yaml``.

A hand phrases what fires in several turns: plainly, with example words, beside something that does not fire, or
together with something that fires too. Some hands are held out: they write for the judge alone.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

DATA = Path(__file__).with_name("data")

TURNS: Mapping[str, float] = {
    "plain": 0.36,
    "examples": 0.13,
    "partly": 0.05,
    "wrong": 0.05,
    "without": 0.18,
    "aside": 0.12,
    "both": 0.11,
}
"""Turns and how often they are drawn; in ``partly`` one of the example words is wrong, in ``wrong`` each is."""

_FRAMES: Mapping[str, str] = {"partly": "examples", "wrong": "examples"}


@dataclass(frozen=True)
class Hand:
    """A writer of explanations: its frames by turn, in which {x}, {y} and {ex} are filled in."""

    name: str
    frames: Mapping[str, tuple[str, ...]]
    held: bool

    def write(self, turn: str, chance: random.Random, **parts: str) -> str:
        """Return an explanation in a turn."""
        return chance.choice(self.frames[_FRAMES.get(turn, turn)]).format(**parts)


def hands(path: Path = DATA / "hands.yaml") -> tuple[Hand, ...]:
    """Return all hands of the data file."""
    entries = yaml.safe_load(path.read_text("utf-8"))
    return tuple(
        Hand(name, {turn: tuple(frames) for turn, frames in entry.items() if turn != "held"}, entry.get("held", False))
        for name, entry in entries.items()
    )


def padding(path: Path = DATA / "padding.txt") -> tuple[str, ...]:
    """Return sentences that say nothing of what a neuron responds to."""
    return tuple(path.read_text("utf-8").splitlines())


def listed(words: Sequence[str], chance: random.Random) -> str:
    """Return words as a list, in one of the ways in which example tokens are written."""
    quote = chance.choice(["", "", '"', "'", "`"])
    quoted = [f"{quote}{word}{quote}" for word in words]
    style = chance.randrange(4)
    if style == 0 or len(quoted) == 1:
        return ", ".join(quoted)
    if style == 1:
        return f"{', '.join(quoted[:-1])} and {quoted[-1]}"
    return (" / " if style == 2 and not quote else ", ").join(quoted)


def cased(text: str, chance: random.Random) -> str:
    """Return an explanation, sometimes in capitals, in small letters, or with a capital first."""
    draw = chance.random()
    if draw < 0.09:
        return text.upper()
    if draw < 0.13:
        return text.lower()
    return text[:1].upper() + text[1:] if draw < 0.4 else text


def padded(text: str, sentences: Sequence[str], chance: random.Random) -> str:
    """Return an explanation with one or two sentences after it, or before it, that say nothing of it."""
    added = chance.sample(sentences, chance.choice([1, 1, 2]))
    ended = text if text.endswith((".", "!", "?")) else f"{text}."
    first, *rest = (added[0], ended, *added[1:]) if chance.random() < 0.3 else (ended, *added)
    return " ".join([first[:1].upper() + first[1:], *(part[:1].upper() + part[1:] for part in rest)])
