"""A neuron to explain, made by hand, and a model that answers from a script."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from harness.types import (
    Completion,
    CompletionPrompt,
    Evidence,
    Excerpt,
    ExcerptKind,
    Identity,
    LevelReading,
    SlottedPrompt,
    TokenSums,
    Unit,
    Usage,
)


class Scripted:
    """Answers each request with the next text of a script and keeps what it was asked."""

    identity = Identity("scripted", "1")

    def __init__(self, *replies: str | Completion) -> None:
        self.replies = [
            reply if isinstance(reply, Completion) else Completion(reply, usage=Usage(1, 0, 10, 5)) for reply in replies
        ]
        self.asked: list[CompletionPrompt] = []

    def levels(self) -> int:
        return 10

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        self.asked += prompts
        return [self.replies.pop(0) for _ in prompts]

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        raise NotImplementedError


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted


@pytest.fixture
def excerpt() -> Callable[..., Excerpt]:
    def make(*pairs: tuple[str, float], leading: int = 0) -> Excerpt:
        tokens, activations = zip(*pairs, strict=True)
        return Excerpt(tokens, (), activations, ExcerptKind.TOP, leading=leading)

    return make


@pytest.fixture
def evidence(excerpt) -> Callable[..., Evidence]:
    """A neuron ``L0N<index>`` that fires on " sun" and half as much on " moon", the first token left out."""

    def make(index: int = 0, excerpts: tuple[Excerpt, ...] | None = None) -> Evidence:
        if excerpts is None:
            pairs = (("<s>", 90.0), (" the", 0.0), (" sun", 8.0), (" and", -1.0), (" the", 0.0), (" moon", 4.0))
            excerpts = (excerpt(*pairs, (" set", 0.1), (".", 0.0), leading=1),)
        tokens = (" the", " sun", " moon", " rare", " gone")
        sums = TokenSums(tokens, np.array([10, 4, 3, 2, 0]), np.array([-1.0, 30.0, 12.0, 50.0, 0.0]))
        return Evidence(Unit("N", 0, index), excerpts, sums, mean=0.25)

    return make


FIRES_ON = {" ember": 10.0, " kiln": 8.0, " forge": 6.0}
"""The planted neuron's tokens, and what it gives on each; it is silent on every other one."""


@pytest.fixture
def planted(excerpt) -> Evidence:
    """A neuron that fires on three known tokens and nothing else: excerpts, and a corpus of which they are a part."""
    texts = [
        ["<s>", "The", " ember", " glowed", " in", " the", " dark", "\n", "No", " one", " spoke", "."],
        ["<s>", "He", " lit", " the", " kiln", " and", " the", " forge", " (", "both", ")", "."],
    ]
    excerpts = tuple(excerpt(*((token, FIRES_ON.get(token, 0.0)) for token in text), leading=1) for text in texts)
    everything = [token for text in texts for token in text[1:]] * 4 + [" seldom"]
    tokens = tuple(sorted(set(everything)))
    counts = np.array([everything.count(token) for token in tokens])
    sums = np.array([FIRES_ON.get(token, 0.0) for token in tokens]) * counts
    sums[tokens.index(" seldom")] = 50.0  # seen once: chance, and not what it fires on
    return Evidence(Unit("N", 1, 2), excerpts, TokenSums(tokens, counts, sums), mean=float(sums.sum() / counts.sum()))


@pytest.fixture
def planted_with_ids(planted) -> Evidence:
    """The same, with token ids that a subject could be run on."""
    excerpts = [dataclasses.replace(one, token_ids=tuple(range(len(one.tokens)))) for one in planted.excerpts]
    return dataclasses.replace(planted, excerpts=tuple(excerpts))
