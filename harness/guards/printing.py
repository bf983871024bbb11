"""Texts of others, made harmless for a terminal or a page."""

from __future__ import annotations

import re

REPLACEMENT = "\ufffd"
_NOT_PRINTED = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U000e0000-\U000e0fff]"
)
"""Characters that drive a terminal, turn the direction of a line, or cannot be seen; line ends and tabs are none."""


def harmless(text: str) -> str:
    """Return ``text``, lines and tabs included, with each character that could drive a terminal as U+FFFD."""
    return _NOT_PRINTED.sub(REPLACEMENT, text)


def plain(text: str) -> str:
    """``text`` for one line of a terminal or a page: control characters, by which it could drive one, become U+FFFD."""
    line = re.sub(r"\s+", " ", text).strip()
    return "".join(character if character.isprintable() else REPLACEMENT for character in line)


def shortened(text: str, most: int = 100) -> str:
    """Return ``text`` as :func:`plain` does, at most so many characters of it."""
    line = plain(text)
    return line if len(line) <= most else f"{line[: most - 1]}…"
