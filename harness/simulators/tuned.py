"""The tuned simulator: an explanation, a text with a slot behind each token, and a model trained to read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.simulators.levels import ask
from harness.types import LanguageModel, Message, Query, Simulation, SlottedPrompt


@dataclass(eq=False)
class Tuned:
    """One pass for each excerpt, without worked examples: ``model`` was trained to read such slots."""

    model: LanguageModel
    name: str = field(default="tuned", init=False)
    prompt_version: str = field(default="tuned-v1", init=False)
    note: str = field(
        default="The tuned simulator was trained on rules and prefers explanations that are worded like rules; "
        "official boards name a larger reference simulator.",
        init=False,
    )

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """One simulation for each query, in order."""
        return ask(self.model, queries, self.requests)

    def requests(self, queries: Sequence[Query], levels: int) -> list[list[SlottedPrompt]]:
        """What the model is asked: one prompt for each query."""
        return [
            [
                SlottedPrompt(
                    messages=(Message("user", query.explanation.text.strip()),),
                    parts=query.tokens,
                    placeholder="",
                    levels=levels,
                    prompt_version=self.prompt_version,
                )
            ]
            for query in queries
        ]
