"""What one token is as text, as excerpts show it."""

from __future__ import annotations

from typing import Any


def token_text(tokenizer: Any, token_id: int) -> str:
    """What a token adds to a text that goes on with it; U+FFFD for bytes that are no whole character.

    It is decoded behind another token, as some tokenizers (those of sentencepiece) take the space off the first one.
    """
    anchor = tokenizer.encode("a", add_special_tokens=False)[-1:]
    before, both = (tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in (anchor, [*anchor, token_id]))
    text: str = both.removeprefix(before)
    return text
