"""Tables that families draw from: wordings of explanations, and words and marks that rules are about."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.tasks.puzzles.rules import Rule

DATA = Path(__file__).parents[1] / "data"


def read(path: Path) -> Any:
    """Return the plain values of a data file."""
    return yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)


def entries(pattern: str) -> list[Mapping[str, Any]]:
    """Return the entries of every data file whose name matches a glob pattern."""
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
SPANS: tuple[tuple[str, str, str, str], ...] = tuple((*span,) for span in _WORDS["spans"])
"""Opening word or mark of a span, its name, closing word or mark, its name."""
WRAPPINGS: tuple[tuple[str, str, str], ...] = tuple((*marks,) for marks in _WORDS["wrappings"])
"""Opening mark, closing mark, and the name of the pair."""
ORDINALS: tuple[str, ...] = tuple(_WORDS["ordinals"].split())
CLOSED_CLASSES: Mapping[str, tuple[str, ...]] = {
    name: tuple(members.split()) for name, members in _WORDS["closed_classes"].items()
}
"""Complete lists of words of each class that has few words."""
FINAL_MARKS: frozenset[str] = frozenset(_WORDS["final_marks"])
CLASSES: tuple[str, ...] = tuple(_WORDINGS["parts_of_speech"])
"""Parts of speech, and kinds of them, that have wordings."""


def said(family: str, kind: str | None = None, /, **values: object) -> tuple[str, ...]:
    """Return the wordings of a family, or of a kind of its concepts, with the values filled in."""
    templates = _WORDINGS[family] if kind is None else _WORDINGS[family][kind]
    return tuple(template.format(**values) for template in templates)


def option(
    family: str, rule_of: Mapping[str, Rule], chance: random.Random, **values: object
) -> tuple[tuple[str, ...], Rule]:
    """Draw a kind of a family's concepts, and return its wordings with the values filled in, and its rule."""
    kind = chance.choice(list(rule_of))
    return said(family, kind, **values), rule_of[kind]


def series(items: Sequence[str], last: str) -> str:
    """Return the items with commas between them and the word ``last`` before the last one."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"


def in_words(value: float) -> str:
    """Return a number in words if it is often written in words, else in digits."""
    names: Mapping[int, str] = _WORDS["in_words"]
    return names.get(int(value), str(int(value)))


def ordinal(number: int, chance: random.Random) -> str:
    """Return ``third`` or ``3rd``, drawn at random; large ordinals are always in digits."""
    if number <= len(ORDINALS) and chance.random() < 0.7:
        return ORDINALS[number - 1]
    ending = "th" if 10 < number % 100 < 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
