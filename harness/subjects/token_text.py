"""The text of one token, as excerpts show it."""

from __future__ import annotations

from typing import Any


def token_text(tokenizer: Any, token_id: int) -> str:
    """Return the text that a token adds to a text before it; U+FFFD for bytes that form no whole character.

    The token is decoded after another one, because some tokenizers (SentencePiece) drop the space of the first token.
    """
    anchor = tokenizer.encode("a", add_special_tokens=False)[-1:]
    prefix, full = (tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in (anchor, [*anchor, token_id]))
    text: str = full.removeprefix(prefix)
    return text
