"""A model whose readings depend on all the text before a slot, and queries to ask it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import pytest

from harness.types import (
    Completion,
    CompletionPrompt,
    Explanation,
    Identity,
    LevelReading,
    Outcome,
    Query,
    SlottedPrompt,
    Unit,
    Usage,
)

TOKENS = ("The", " storm", "\n", "\t", " <start>", "�", " \\n", "10", " fog", ".")


class Hashing:
    """Reads, at each slot, levels that are a hash of the text up to it: equal exactly where that text is equal."""

    identity = Identity("hashing", "1", transport="prompt")

    def __init__(self, levels: int = 10) -> None:
        self.count = levels
        self.asked: list[SlottedPrompt] = []

    def levels(self) -> int:
        return self.count

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        raise NotImplementedError

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        self.asked += prompts
        return [self.read(prompt) for prompt in prompts]

    def read(self, prompt: SlottedPrompt) -> LevelReading:
        text = repr(prompt.messages)
        rows = []
        for part in prompt.parts:
            text += part
            weights = [byte + 1 for byte in hashlib.sha256(text.encode()).digest()[: prompt.levels]]
            rows.append(tuple(weight / sum(weights) for weight in weights))
            text += prompt.placeholder
        slots = len(rows)
        return LevelReading(tuple(rows), (0.5,) * slots, (prompt.levels,) * slots, usage=Usage(1, 0, len(text), 0))


@pytest.fixture
def hashing() -> type[Hashing]:
    return Hashing


@pytest.fixture(scope="session")
def query() -> Callable[..., Query]:
    def make(
        text: str = "words for weather",
        tokens: tuple[str, ...] = TOKENS,
        outcome: Outcome = Outcome.OK,
        table: dict[str, float] | None = None,
    ) -> Query:
        return Query(Explanation(Unit("N", 1, 2), text, table, default=-0.5, outcome=outcome), tokens)

    return make
