"""Texts in which people marked what fires: ``He {{ran}} home``, or with a level from 1 to 10, ``a {{warm|4}} day``.

Marks say what no rule of :mod:`harness.tasks.puzzles.rules` can: a word in one of its senses, or in one role.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from harness.tasks.puzzles import rules
from harness.types import HIGHEST_LEVEL, NeuroglossError, PuzzleText

_MARK = re.compile(r"\{\{(.+?)(?:\|(\d+))?\}\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mark:
    """A stretch of a text, from character ``start`` up to ``end``, and its level."""

    start: int
    end: int
    level: int


def levelled(marked: str) -> PuzzleText:
    """Return the tokens of a marked text and their levels.

    A token has the highest level of the marks on its characters. White space does not count, except in a token that is
    nothing else.

    Raises:
        NeuroglossError: a mark is not closed, or its level is not from 1 to 10.
    """
    string, marks = read(marked)
    tokens = rules.pieces(string)
    bounds = pairwise(accumulate(map(len, tokens), initial=0))
    levels = (_level(token, start, end, marks) for token, (start, end) in zip(tokens, bounds, strict=True))
    return PuzzleText(tuple(tokens), tuple(levels))


def read(marked: str) -> tuple[str, tuple[Mark, ...]]:
    """Split a marked text into the plain text and its marks.

    Raises:
        NeuroglossError: as :func:`levelled`.
    """
    parts: list[str] = []
    marks: list[Mark] = []
    offset = length = 0
    for match in _MARK.finditer(marked):
        parts += [marked[offset : match.start()], match[1]]
        start = length + len(parts[-2])
        length, offset = start + len(match[1]), match.end()
        marks.append(Mark(start, length, int(match[2] or HIGHEST_LEVEL)))
    string = "".join((*parts, marked[offset:]))
    _check(marked, string, marks)
    return string, tuple(marks)


def _level(token: str, start: int, end: int, marks: Sequence[Mark]) -> int:
    """Return the level of the token from character ``start`` up to ``end``."""
    if token.strip():
        start, end = start + len(token) - len(token.lstrip()), end - len(token) + len(token.rstrip())
    return max((mark.level for mark in marks if mark.start < end and start < mark.end), default=0)


def _check(marked: str, string: str, marks: Sequence[Mark]) -> None:
    if "{{" in string or "}}" in string:
        raise NeuroglossError(f"{marked!r} has a mark that is not whole; write {{{{word}}}} or {{{{word|7}}}}.")
    for mark in marks:
        if not 1 <= mark.level <= HIGHEST_LEVEL:
            raise NeuroglossError(f"{marked!r} has a mark of level {mark.level}; write one from 1 to {HIGHEST_LEVEL}.")
