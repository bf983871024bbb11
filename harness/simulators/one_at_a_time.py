"""One-at-a-time simulator: one prompt for each token, with the text up to it and a single slot at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from harness.models.prompts import Prompt, load
from harness.simulators.levels import ask, described, rescaled
from harness.types import LanguageModel, Message, Query, Simulation, SimulatorInfo, SlottedPrompt

PROMPTS = Path(__file__).parent / "prompts"


@dataclass(eq=False)
class OneAtATime:
    """Simulator with one prompt for each token of an excerpt: ``model`` reads the level at the end of it.

    Instructions, worked examples, explanation and text come in this order, and then a short tail with the last token:
    each prompt shares all but its last few tokens with the next one.
    """

    model: LanguageModel
    prompt: str = "one_at_a_time-v1"

    def __post_init__(self) -> None:
        self._prompt: Prompt = load(PROMPTS, self.prompt)

    def describe(self) -> SimulatorInfo:
        """Return which simulator this is, on which model."""
        return described("one_at_a_time", self.model, self._prompt.version)

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """Return one simulation for each query, in order; a level is NaN where the model gives none."""
        return ask(self.model, queries, self.requests)

    def requests(self, queries: Sequence[Query], levels: int) -> list[list[SlottedPrompt]]:
        """Return the prompts of each query, one for each token, for a model that reads ``levels`` levels."""
        opening = self._prompt.opening({"levels": levels}, self._example_reply)
        return [self._prompts(query, opening, levels) for query in queries]

    def _prompts(self, query: Query, opening: tuple[Message, ...], levels: int) -> list[SlottedPrompt]:
        texts = accumulate(query.tokens)
        return [
            SlottedPrompt(
                messages=(*opening, self._question(query.explanation.text, text)),
                parts=(self._before_slot(token),),
                placeholder="",
                levels=levels,
                prompt_version=self._prompt.version,
            )
            for text, token in zip(texts, query.tokens, strict=True)
        ]

    def _question(self, explanation: str, text: str) -> Message:
        return Message("user", self._prompt.render("user", {"explanation": explanation, "text": text}))

    def _before_slot(self, token: str) -> str:
        return self._prompt.render("slot", {"token": token})

    def _example_reply(self, example: Mapping[str, Any]) -> str:
        return self._before_slot(example["token"]) + str(rescaled(example["level"], example["levels"]))
