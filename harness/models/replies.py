"""Blocks of reasoning before an answer, which servers without a parser for them leave in the reply."""

from __future__ import annotations

import re
from typing import AnyStr

_BLOCKS = (
    *((f"<{tag}>", f"</{tag}>") for tag in ("think", "thinking", "thought", "reasoning", "seed:think")),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)
"""The marks around a block of reasoning."""


def _pattern() -> str:
    """Return a pattern of a block at the start of a reply.

    A block without an end takes all of the reply. The opening mark may stand at the end of the prompt instead; then the
    closing one must end its line, so that a reply which only names it loses nothing.
    """
    pairs = [(re.escape(opening), re.escape(closing)) for opening, closing in _BLOCKS]
    opened = "|".join(rf"{opening}.*?(?:{closing}|\Z)" for opening, closing in pairs)
    closings = "|".join(closing for _, closing in pairs)
    return rf"\A\s*(?:{opened}|.*?(?:{closings})[ \t]*(?=\n|\Z))"


_TEXT = re.compile(_pattern(), re.DOTALL)
_BYTES = re.compile(_pattern().encode(), re.DOTALL)


def without_reasoning(reply: AnyStr) -> AnyStr:
    """Return a reply, text or its UTF-8, without the block of reasoning that it begins with."""
    return _TEXT.sub("", reply, count=1) if isinstance(reply, str) else _BYTES.sub(b"", reply, count=1)
