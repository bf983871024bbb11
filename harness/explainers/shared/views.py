"""Views of excerpts for prompts: text, text with marks, and a list of firing tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.explainers.shared.levels import ShownTokens
from harness.models.prompts import visible

FIRING = 3
"""Tokens of at least this level, of 10, are marked; lower levels are mostly noise."""
OPENING, CLOSING = "<<", ">>"
BEFORE, AFTER = 5, 2
"""The number of tokens of context before and after a token."""


@dataclass(frozen=True, slots=True)
class Fired:
    """Firing token, its largest level, and the ``context`` of that: marked text of a few tokens."""

    token: str
    level: int
    context: str


def text(tokens: Iterable[str]) -> str:
    r"""Return the tokens as one line; unprintable characters, and marks within the text itself, are escaped."""
    return visible("".join(tokens)).replace(OPENING, r"\<\<").replace(CLOSING, r"\>\>")


def marked(excerpt: ShownTokens, threshold: int = FIRING) -> str:
    """Return the excerpt as one line with marks around each run of tokens of at least level ``threshold``."""
    runs = groupby(excerpt, key=lambda pair: pair[1] >= threshold)
    segments = ((firing, text(token for token, _ in run)) for firing, run in runs)
    return "".join(f"{OPENING}{segment}{CLOSING}" if firing else segment for firing, segment in segments)


def strongest(excerpts: Sequence[ShownTokens]) -> list[Fired]:
    """Return the different tokens above level 0, strongest first, each where its level is largest."""
    strongest_by_token: dict[str, Fired] = {}
    for excerpt in excerpts:
        for place, (token, level) in enumerate(excerpt):
            if level > 0 and (token not in strongest_by_token or level > strongest_by_token[token].level):
                strongest_by_token[token] = Fired(token, level, _context(excerpt, place))
    return sorted(strongest_by_token.values(), key=lambda fired: (-fired.level, fired.token))


def _context(excerpt: ShownTokens, place: int) -> str:
    """Return the text around one token, with only this token marked."""
    first, last = max(0, place - BEFORE), place + 1 + AFTER
    tokens = [(token, int(first + index == place)) for index, (token, _) in enumerate(excerpt[first:last])]
    return marked(tuple(tokens), threshold=1)
