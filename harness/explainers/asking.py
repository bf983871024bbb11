"""What the methods that ask a language model share, so that they differ in what they show it and in nothing else.

Each is shown the same evidence, may try the same number of candidates, and has its replies cleaned in the same way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from harness.explainers.cleaning import explanation_of
from harness.models.prompts import Prompt, load
from harness.types import (
    Candidate,
    Completion,
    CompletionPrompt,
    Evidence,
    Explanation,
    LanguageModel,
    NeuroglossError,
    Outcome,
    Role,
    Usage,
)

PROMPTS = Path(__file__).parent / "prompts"


@dataclass(eq=False)
class Asking(ABC):
    """Asks ``model`` what a neuron fires on; a method says what is shown of the neuron, and its prompt how.

    Attributes:
        model: the language model that explains.
        prompt: the name of a prompt file in this room; it has the parts system, lead_in, user and assistant.
        max_tokens: limit of a reply.
        temperature: 0 takes the likeliest token each time.
        seed: of the sampling, where the temperature is above 0.
        candidates: how many replies are asked for each neuron; which one is kept is chosen later.
    """

    model: LanguageModel
    prompt: str = ""
    max_tokens: int = 40
    temperature: float = 0.0
    seed: int = 0
    candidates: int = 1
    role: Role = field(default=Role.EXPLAINER, init=False)

    def __post_init__(self) -> None:
        if self.candidates < 1 or (self.candidates > 1 and self.temperature <= 0):
            raise NeuroglossError(
                f"{self.candidates} candidates are wanted at temperature {self.temperature}; ask for at least 1, and "
                "for several only with asking.temperature above 0: without it they are all the same."
            )
        for name in (item.name for item in fields(self) if item.name not in ("seed", "temperature")):
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:  # every count of what is shown, asked or told
                raise NeuroglossError(f"{name} is {value}; write 1 or more.")
        if self.temperature < 0:
            raise NeuroglossError(f"temperature is {self.temperature}; write 0 or more.")
        self._prompt: Prompt = load(PROMPTS, self.prompt)
        self._lead_in = self._prompt.render("lead_in", {})

    @abstractmethod
    def variables(self, evidence: Evidence) -> Mapping[str, Any] | None:
        """What the prompt's templates name of one neuron; None where there is nothing to show."""

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """One explanation for each neuron, in order; what became of its replies is its outcome."""
        groups = [self.requests(known) for known in evidence]
        replies = iter(self.model.complete([request for group in groups for request in group]))
        return [
            self._explanation(known, [next(replies) for _ in group])
            for known, group in zip(evidence, groups, strict=True)
        ]

    def requests(self, evidence: Evidence) -> list[CompletionPrompt]:
        """What the model is asked about one neuron, once for each candidate; nothing where there is nothing to show."""
        variables = self.variables(evidence)
        if variables is None:
            return []
        first = CompletionPrompt(
            messages=self._prompt.messages({**variables, "lead_in": self._lead_in}),
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=self.seed,
            prompt_version=self._prompt.version,
        )
        return [replace(first, repeat=number) for number in range(self.candidates)]

    def told(self, reply: Completion) -> tuple[str, Outcome]:
        """The explanation in a reply, and what became of it."""
        return explanation_of(reply, self._lead_in)

    def _explanation(self, evidence: Evidence, replies: Sequence[Completion]) -> Explanation:
        """The first candidate that is one, beside all of them."""
        said = [Candidate(*self.told(reply)) for reply in replies]
        first = first_good(said)
        return Explanation(
            neuron=evidence.neuron,
            explainer="",
            text=first.text,
            outcome=first.outcome,
            prompt_version=self._prompt.version if replies else "",
            usage=sum((reply.usage for reply in replies), Usage()),
            candidates=tuple(said) if len(said) > 1 else (),
        )


def first_good(said: Sequence[Candidate]) -> Candidate:
    """The first candidate that is an explanation, until one is chosen; where none is, the first of all."""
    return next((one for one in said if one.outcome is Outcome.OK), said[0] if said else Candidate("", Outcome.EMPTY))
