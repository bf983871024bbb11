"""How the tuned simulator writes down what it reads: an explanation, a text, and where each token of the text ends."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Encoded = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids, and where each token ends in characters."""


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """The base model's tokenizer; ``begin`` is put before every explanation and every text."""

    tokenizer: Any
    begin: int

    @classmethod
    def of(cls, tokenizer: Any) -> Tokenizer:
        """With the token that begins a turn, which the base model has seen before every text, or that ends it."""
        begin = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        return cls(tokenizer, int(begin))

    @cached_property
    def pieces(self) -> list[str]:
        """The text of each token of the vocabulary, by id."""
        return list(self.tokenizer.batch_decode([[one] for one in range(len(self.tokenizer))]))

    def encode(self, text: str) -> Encoded:
        """Token ids of a text, with nothing before or after it, and their ends."""
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return tuple(found["input_ids"]), tuple(end for _, end in found["offset_mapping"])

    def explanation(self, text: str) -> tuple[int, ...]:
        """What the layers see of an explanation: it ends with a line end."""
        return (self.begin, *self.encode(text.strip() + "\n")[0])

    def text(self, ids: Sequence[int]) -> tuple[int, ...]:
        """What the layers see of a text."""
        return (self.begin, *ids)


def readers(ends: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """For each place in characters the first token that reaches it: where the level of what ends there is read.

    Args:
        ends: where each token of the base model ends [tokens], ascending.
        wanted: where each token of the subject ends [slots].
    """
    return [min(bisect_left(ends, end), len(ends) - 1) for end in wanted]
