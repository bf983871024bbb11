"""All-at-once simulator: one prompt for each excerpt, with a line and a slot for each token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.models.prompts import Prompt, load
from harness.simulators.levels import ask, described, rescaled
from harness.types import LanguageModel, Message, Query, Simulation, SimulatorInfo, SlottedPrompt

PROMPTS = Path(__file__).parent / "prompts"


@dataclass(eq=False)
class AllAtOnce:
    """Simulator with one forward pass for each excerpt: ``model`` reads the levels of all tokens.

    The instructions and the worked examples come first, then the explanation, then the excerpt, so that each common
    prefix is computed once.
    """

    model: LanguageModel
    prompt: str = "all_at_once-v1"

    def __post_init__(self) -> None:
        self._prompt: Prompt = load(PROMPTS, self.prompt)
        self._placeholder = self._prompt.render("placeholder", {})

    def describe(self) -> SimulatorInfo:
        """Return which simulator this is, on which model."""
        return described("all_at_once", self.model, self._prompt.version)

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """Return one simulation for each query, in order; a level is NaN where the model gives none."""
        return ask(self.model, queries, self.requests)

    def requests(self, queries: Sequence[Query], levels: int) -> list[list[SlottedPrompt]]:
        """Return one prompt for each query, in a list, for a model that reads ``levels`` levels."""
        opening = self._prompt.opening({"levels": levels}, self._example_reply)
        return [
            [
                SlottedPrompt(
                    messages=(*opening, self._question(query)),
                    parts=self._parts(query.tokens),
                    placeholder=self._placeholder,
                    levels=levels,
                    prompt_version=self._prompt.version,
                )
            ]
            for query in queries
        ]

    def _question(self, query: Query) -> Message:
        return Message("user", self._prompt.render("user", {"explanation": query.explanation.text}))

    def _parts(self, tokens: Sequence[str]) -> tuple[str, ...]:
        return tuple(
            self._prompt.render("slot", {"token": token, "first": position == 0})
            for position, token in enumerate(tokens)
        )

    def _example_reply(self, example: Mapping[str, Any]) -> str:
        """Return the assistant's turn of a worked example: its lines, with levels on the scale of the prompt."""
        parts = self._parts([token for token, _ in example["tokens"]])
        levels = [str(rescaled(level, example["levels"])) for _, level in example["tokens"]]
        return "".join(part + level for part, level in zip(parts, levels, strict=True))
