"""Views of excerpts for prompts: text, text with marks, and a list of firing tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from harness.explainers.shared.levels import ShownTokens
from harness.models.prompts import visible

FIRING = 3
"""Tokens of at least this level, of 10, are marked; lower levels are mostly noise."""
OPENING, CLOSING = "<<", ">>"
BEFORE, AFTER = 5, 2
"""The number of tokens of context before and after a token."""
LEADING, FOLLOWING = 16, 6
"""The same where the text around every firing token of an excerpt is shown."""
GAP = (" …", 0)
"""What stands for the tokens that are left out."""


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
    return _line([(text(token for token, _ in run), "" if firing else None) for firing, run in runs])


def with_levels(excerpt: ShownTokens) -> str:
    """Return the excerpt as one line in which each token above level 0 stands in marks, with its level."""
    return _line([(text([token]), f":{level}" if level > 0 else None) for token, level in excerpt])


def _line(pieces: Sequence[tuple[str, str | None]]) -> str:
    r"""Return pieces of text (text, what follows it within its marks, or None for one without marks) as one line.

    An angle bracket that touches a mark is escaped, like marks within the text: ``a\<<<b>>`` is not ``a<<\<b>>``.
    """
    is_marked = [False, *(label is not None for _, label in pieces), False]
    bodies = []
    for place, (piece, label) in enumerate(pieces, start=1):
        follows, precedes = any(is_marked[place - 1 : place + 1]), any(is_marked[place : place + 2])
        body = re.sub(r"^([<>])", r"\\\1", piece) if follows else piece
        body = re.sub(r"(?<!\\)((?:\\\\)*)([<>])$", r"\1\\\2", body) if precedes else body
        bodies.append(body if label is None else f"{OPENING}{body}{label}{CLOSING}")
    return "".join(bodies)


def focused(excerpt: ShownTokens, threshold: int = FIRING) -> ShownTokens:
    """Return the excerpt without what is far from every token of at least level ``threshold``; a gap is one token.

    ``LEADING`` tokens before such a token stay, and ``FOLLOWING`` after it. All stay where there is none.
    """
    firing = [place for place, (_, level) in enumerate(excerpt) if level >= threshold]
    around = {near for place in firing for near in range(place - LEADING, place + FOLLOWING + 1)}
    places = sorted(around.intersection(range(len(excerpt))))
    if not places:
        return excerpt
    tokens: list[tuple[str, int]] = [GAP] if places[0] > 0 else []
    for previous, place in pairwise([places[0] - 1, *places]):
        tokens += [*([GAP] if place - previous > 1 else []), excerpt[place]]
    return (*tokens, *([GAP] if places[-1] < len(excerpt) - 1 else []))


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
