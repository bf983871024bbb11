"""The token format of the tuned simulator: explanations, texts, and the end of each token of a text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Encoded = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids, and the end of each token (characters)."""


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """The base model's tokenizer; ``begin`` is put before every explanation and every text."""

    tokenizer: Any
    begin: int

    @classmethod
    def of(cls, tokenizer: Any) -> Tokenizer:
        """Return a tokenizer that begins with the start token, or with the end token if there is no start token."""
        begin = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        return cls(tokenizer, int(begin))

    @cached_property
    def pieces(self) -> list[str]:
        """The text of each token of the vocabulary, by id."""
        return list(self.tokenizer.batch_decode([[token_id] for token_id in range(len(self.tokenizer))]))

    def encode(self, text: str) -> Encoded:
        """Return token ids of a text, without special tokens, and their ends."""
        encoding = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return tuple(encoding["input_ids"]), tuple(end for _, end in encoding["offset_mapping"])

    def explanation(self, text: str) -> tuple[int, ...]:
        """Return the input of the layers for an explanation, which ends with a line end."""
        return (self.begin, *self.encode(text.strip() + "\n")[0])

    def text(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Return the input of the layers for the token ids of a text."""
        return (self.begin, *ids)


def readers(ends: Sequence[int], slots: Sequence[int]) -> list[int]:
    """Return for each slot the index of the first token of the base model that reaches it, else of the last token.

    The level of the slot is read at this token.

    Args:
        ends: the end of each token of the base model (characters) [tokens], ascending.
        slots: the end of each token of the subject (characters) [slots].
    """
    return [min(bisect_left(ends, end), len(ends) - 1) for end in slots]
