"""Tuned simulator: a model trained to read an explanation and a text with a slot after each token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.simulators.levels import ask, described
from harness.types import LanguageModel, Message, Query, Simulation, SimulatorInfo, SlottedPrompt

PROMPT_VERSION = "tuned-v1"
NOTE = (
    "The tuned simulator was trained on rules and prefers explanations that are worded like rules; "
    "official boards name a larger reference simulator."
)


@dataclass(eq=False)
class Tuned:
    """Simulator with one forward pass for each excerpt and no worked examples; ``model`` is trained for it."""

    model: LanguageModel

    def describe(self) -> SimulatorInfo:
        """Return which simulator this is, on which model."""
        return described("tuned", self.model, PROMPT_VERSION, NOTE)

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """Return one simulation for each query, in order."""
        return ask(self.model, queries, self.requests)

    def requests(self, queries: Sequence[Query], levels: int) -> list[list[SlottedPrompt]]:
        """Return one prompt for each query, in a list."""
        return [
            [
                SlottedPrompt(
                    messages=(Message("user", query.explanation.text.strip()),),
                    parts=query.tokens,
                    placeholder="",
                    levels=levels,
                    prompt_version=PROMPT_VERSION,
                )
            ]
            for query in queries
        ]
