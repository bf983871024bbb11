"""One-at-a-time: one prompt for each token, holding the text up to and including it, and a single last slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from harness.models.prompts import Prompt, load
from harness.simulators.levels import ask, rescaled
from harness.types import LanguageModel, Message, Query, Simulation, SlottedPrompt

PROMPTS = Path(__file__).parent / "prompts"


@dataclass(eq=False)
class OneAtATime:
    """One prompt for each token of an excerpt: ``model`` reads the level at the end of it.

    Instructions, worked examples, explanation and the growing text come in this order, and then only a short tail that
    names the last token: each prompt shares all but its last few tokens with the next one.
    """

    model: LanguageModel
    prompt: str = "one_at_a_time-v1"
    name: str = field(default="one_at_a_time", init=False)

    def __post_init__(self) -> None:
        self._prompt: Prompt = load(PROMPTS, self.prompt)

    @property
    def prompt_version(self) -> str:
        """The prompt file's name and a hash of its content."""
        return self._prompt.version

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """One simulation for each query, in order; levels are NaN at the tokens where the model gives none."""
        return ask(self.model, queries, self.requests)

    def requests(self, queries: Sequence[Query], levels: int) -> list[list[SlottedPrompt]]:
        """What a model that can read ``levels`` levels is asked: for each query one prompt a token."""
        opening = self._prompt.opening({"levels": levels}, self._worked)
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

    def _worked(self, example: Mapping[str, Any]) -> str:
        return self._before_slot(example["token"]) + str(rescaled(example["level"], example["levels"]))
