"""The error that users see."""

from __future__ import annotations


class NeuroglossError(Exception):
    """A mistake or a condition that the user can mend: one sentence that says what is wrong, where, and what to do."""


def utf8(text: str) -> str:
    """``text`` with lone surrogates, which no file and no tokenizer takes, as U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
