"""Base class of the explainers that ask a language model: they differ only in what the prompt shows.

Each gets the same evidence, may try the same number of candidates, and has its replies cleaned in the same way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from harness.explainers.shared.cleaning import explanation_of, is_contentless, is_copy
from harness.explainers.shared.worked import deal
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
from harness.types.grouping import regrouped

PROMPTS = Path(__file__).parents[1] / "prompts"
AGAIN = (Outcome.COPIED, Outcome.EMPTY)
"""Outcomes after which a neuron is asked about once more, with other worked examples."""


@dataclass(eq=False)
class Asking(ABC):
    """Explainer that asks ``model`` what a neuron fires on; a subclass chooses the prompt and its variables.

    Attributes:
        model: the language model that explains.
        prompt: the name of a file in ``prompts/`` with the parts system, lead_in, user and assistant.
        max_tokens: the largest number of tokens in a reply.
        temperature: of the sampling; 0 takes the most likely token each time.
        seed: of the sampling; unused at temperature 0.
        candidates: the number of replies for each neuron; one of them is chosen later.
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
                f"candidates is {self.candidates} at temperature {self.temperature}; write at least 1, and more than 1 "
                "only with asking.temperature above 0: at temperature 0 all candidates are the same."
            )
        for name in (item.name for item in fields(self) if item.name not in ("seed", "temperature")):
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:  # integer fields are counts and limits
                raise NeuroglossError(f"{name} is {value}; write 1 or more.")
        if self.temperature < 0:
            raise NeuroglossError(f"temperature is {self.temperature}; write 0 or more.")
        self._prompt: Prompt = load(PROMPTS, self.prompt)
        self._lead_in = self._prompt.render("lead_in", {})

    @abstractmethod
    def variables(self, evidence: Evidence) -> Mapping[str, Any] | None:
        """Return the variables of the prompt for one neuron; None if there is nothing to show."""

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """Return one explanation for each neuron, in order; its outcome says whether the replies held one.

        Where worked examples are dealt, a neuron whose replies repeat them or say nothing is asked about once more,
        with others.
        """
        explanations = self._ask(evidence, draw=0)
        again = [place for place, explanation in enumerate(explanations) if explanation.outcome in AGAIN]
        if self._prompt.deal:
            for place, second in zip(again, self._ask([evidence[place] for place in again], draw=1), strict=True):
                explanations[place] = replace(second, usage=explanations[place].usage + second.usage)
        return explanations

    def _ask(self, evidence: Sequence[Evidence], draw: int) -> list[Explanation]:
        """Return one explanation for each neuron, with the worked examples of one draw."""
        batches = [self.requests(item, draw) for item in evidence]
        replies = self.model.complete([request for batch in batches for request in batch])
        return [
            self._explanation(item, replies_to_batch, draw)
            for item, replies_to_batch in zip(evidence, regrouped(replies, batches), strict=True)
        ]

    def requests(self, evidence: Evidence, draw: int = 0) -> list[CompletionPrompt]:
        """Return the prompts about one neuron, one for each candidate; none if there is nothing to show.

        Args:
            evidence: what is known of the neuron.
            draw: which worked examples are dealt, where any are.
        """
        variables = self.variables(evidence)
        if variables is None:
            return []
        examples = [
            {**(self.variables(neuron.evidence) or {}), "explanation": neuron.explanation}
            for neuron in deal(self._prompt.pool, self._prompt.deal, evidence.unit, draw)
        ]
        request = CompletionPrompt(
            messages=self._prompt.messages({**variables, "lead_in": self._lead_in}, examples),
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=self.seed,
            prompt_version=self._prompt.version,
        )
        return [replace(request, repeat=number) for number in range(self.candidates)]

    def parse(self, reply: Completion) -> tuple[str, Outcome]:
        """Return the explanation in a reply, and its outcome."""
        return explanation_of(reply, self._lead_in)

    def _explanation(self, evidence: Evidence, replies: Sequence[Completion], draw: int) -> Explanation:
        """Return the first candidate that is an explanation, with all candidates beside it."""
        worked = deal(self._prompt.pool, self._prompt.deal, evidence.unit, draw)
        examples = [str(example.get("explanation", "")) for example in self._prompt.examples]
        examples += [neuron.explanation for neuron in worked]
        candidates = [self._candidate(reply, examples) for reply in replies]
        first = first_good(candidates)
        return Explanation(
            unit=evidence.unit,
            text=first.text,
            outcome=first.outcome,
            prompt_version=self._prompt.version if replies else "",
            usage=sum((reply.usage for reply in replies), Usage()),
            candidates=tuple(candidates) if len(candidates) > 1 else (),
        )

    def _candidate(self, reply: Completion, examples: Sequence[str]) -> Candidate:
        """Return what a reply explains; one that repeats an example of the prompt, or names nothing, explains
        nothing."""
        text, outcome = self.parse(reply)
        if outcome is Outcome.OK and is_copy(text, examples):
            outcome = Outcome.COPIED
        if outcome is Outcome.OK and is_contentless(text):
            outcome = Outcome.EMPTY
        return Candidate(text, outcome)


def first_good(candidates: Sequence[Candidate]) -> Candidate:
    """Return the first candidate that is an explanation; if none is, the first of all, or an empty one."""
    first = candidates[0] if candidates else Candidate("", Outcome.EMPTY)
    return next((candidate for candidate in candidates if candidate.outcome is Outcome.OK), first)
