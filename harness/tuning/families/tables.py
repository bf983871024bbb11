"""The tables that families draw from: how each words its explanations, and the words and marks that rules speak of."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.puzzles.rules import Rule

DATA = Path(__file__).parents[1] / "data"


def read(path: Path) -> Any:
    """The plain values of a data file."""
    return yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)


def entries(pattern: str) -> list[Mapping[str, Any]]:
    """The entries of every data file whose name fits."""
    return [entry for path in sorted(DATA.glob(pattern)) for entry in read(path)]


_WORDINGS: Mapping[str, Any] = read(DATA / "wordings.yaml")
_WORDS: Mapping[str, Any] = read(DATA / "words.yaml")

ENDINGS: tuple[str, ...] = tuple(_WORDS["endings"].split())
BEGINNINGS: tuple[str, ...] = tuple(_WORDS["beginnings"].split())
FUNCTION_LIST: tuple[str, ...] = tuple(_WORDS["function_words"].split())
FUNCTION_WORDS: frozenset[str] = frozenset([*FUNCTION_LIST, *_WORDS["more_function_words"].split()])
NAMED_NUMBERS: frozenset[str] = frozenset(_WORDS["named_numbers"].split())
RIGHT_AFTER: tuple[str, ...] = tuple(_WORDS["right_after"].split())
REST_AFTER: tuple[str, ...] = tuple(_WORDS["rest_after"].split())
MARKS: Mapping[str, tuple[str, ...]] = {name: tuple(marks) for name, marks in _WORDS["marks"].items()}
PHRASES: tuple[str, ...] = tuple(_WORDS["phrases"])
SPANS: tuple[tuple[str, str, str, str], ...] = tuple((*one,) for one in _WORDS["spans"])
"""What opens a stretch, its name, what closes it, its name."""
WRAPPINGS: tuple[tuple[str, str, str], ...] = tuple((*one,) for one in _WORDS["wrappings"])
"""The marks that open and close a stretch of text, and what they are called."""
ORDINALS: tuple[str, ...] = tuple(_WORDS["ordinals"].split())
CLOSED_CLASSES: Mapping[str, tuple[str, ...]] = {
    name: tuple(some.split()) for name, some in _WORDS["closed_classes"].items()
}
"""Classes of words that are few, whole."""
FINAL_MARKS: frozenset[str] = frozenset(_WORDS["final_marks"])
CLASSES: tuple[str, ...] = tuple(_WORDINGS["parts_of_speech"])
"""The parts of speech that have wordings, and kinds of them."""


def said(family: str, kind: str | None = None, /, **values: object) -> tuple[str, ...]:
    """The wordings of a family, or of one kind of its concepts, with the values filled in."""
    found = _WORDINGS[family] if kind is None else _WORDINGS[family][kind]
    return tuple(one.format(**values) for one in found)


def option(
    family: str, rule_of: Mapping[str, Rule], chance: random.Random, **values: object
) -> tuple[tuple[str, ...], Rule]:
    """Any kind of a family's concepts: its wordings with the values filled in, and its rule."""
    kind = chance.choice(list(rule_of))
    return said(family, kind, **values), rule_of[kind]


def series(items: Sequence[str], last: str) -> str:
    """Items with commas between them, and a word before the last one."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"


def in_words(value: float) -> str:
    """A number in words where it is one that is often written so, else in digits."""
    names: Mapping[int, str] = _WORDS["in_words"]
    return names.get(int(value), str(int(value)))


def ordinal(number: int, chance: random.Random) -> str:
    """``third`` or ``3rd``; large ones always in digits."""
    if number <= len(ORDINALS) and chance.random() < 0.7:
        return ORDINALS[number - 1]
    ending = "th" if 10 < number % 100 < 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
