"""All-at-once: one prompt holds the whole excerpt, a line for each token, and a slot where each level would stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.models.prompts import Prompt, load
from harness.simulators.levels import ask, rescaled
from harness.types import LanguageModel, Message, Query, Simulation, SlottedPrompt

PROMPTS = Path(__file__).parent / "prompts"


@dataclass(eq=False)
class AllAtOnce:
    """One forward pass for each excerpt: ``model`` reads the levels at all tokens of ``prompt``'s lines.

    The instructions and the worked examples come first, then the explanation, then the excerpt, so that each is
    computed once for all the requests that share it.
    """

    model: LanguageModel
    prompt: str = "all_at_once-v1"
    name: str = field(default="all_at_once", init=False)

    def __post_init__(self) -> None:
        self._prompt: Prompt = load(PROMPTS, self.prompt)
        self._placeholder = self._prompt.render("placeholder", {})

    @property
    def prompt_version(self) -> str:
        """The prompt file's name and a hash of its content."""
        return self._prompt.version

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """One simulation for each query, in order; levels are NaN at the tokens where the model gives none."""
        return ask(self.model, queries, self.requests)

    def requests(self, queries: Sequence[Query], levels: int) -> list[list[SlottedPrompt]]:
        """What a model that can read ``levels`` levels is asked: one prompt for each query."""
        opening = self._prompt.opening({"levels": levels}, self._worked)
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

    def _worked(self, example: Mapping[str, Any]) -> str:
        """The assistant's turn of a worked example: its lines, with their levels on the scale that is read."""
        parts = self._parts([token for token, _ in example["tokens"]])
        shown = [str(rescaled(level, example["levels"])) for _, level in example["tokens"]]
        return "".join(part + level for part, level in zip(parts, shown, strict=True))
