"""Excerpts as prompts show them: as text, as text with marks, and as a list of what fires."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.explainers.levels import ShownTokens
from harness.models.prompts import visible

FIRING = 3
"""A token of at least this level, of 10, is marked: what is below is mostly noise."""
OPENING, CLOSING = "<<", ">>"
BEFORE, AFTER = 5, 2
"""How many tokens of its text are shown on either side of a token."""


@dataclass(frozen=True, slots=True)
class Fired:
    """A token that fires, its largest level, and the ``context`` in which it does: marked text of a few tokens."""

    token: str
    level: int
    context: str


def text(tokens: Iterable[str]) -> str:
    r"""The tokens as one line: what does not print is escaped, and so are marks that stand in the text itself."""
    return visible("".join(tokens)).replace(OPENING, r"\<\<").replace(CLOSING, r"\>\>")


def marked(excerpt: ShownTokens, threshold: int = FIRING) -> str:
    """The excerpt as one line in which each run of tokens of at least level ``threshold`` stands between marks."""
    runs = groupby(excerpt, key=lambda pair: pair[1] >= threshold)
    parts = ((firing, text(token for token, _ in run)) for firing, run in runs)
    return "".join(f"{OPENING}{part}{CLOSING}" if firing else part for firing, part in parts)


def strongest(excerpts: Sequence[ShownTokens]) -> list[Fired]:
    """The different tokens above level 0, each once, where its level is largest; the strongest first."""
    found: dict[str, Fired] = {}
    for excerpt in excerpts:
        for place, (token, level) in enumerate(excerpt):
            if level > 0 and (token not in found or level > found[token].level):
                found[token] = Fired(token, level, _context(excerpt, place))
    return sorted(found.values(), key=lambda one: (-one.level, one.token))


def _context(excerpt: ShownTokens, place: int) -> str:
    """The text around one token, which alone is marked."""
    first, last = max(0, place - BEFORE), place + 1 + AFTER
    tokens = [(token, int(first + index == place)) for index, (token, _) in enumerate(excerpt[first:last])]
    return marked(tuple(tokens), threshold=1)
