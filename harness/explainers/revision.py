"""Explanations put to the test and revised: sentences that should fire or should not are run on the subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from harness.explainers.asking import PROMPTS
from harness.explainers.cleaning import explanation_of
from harness.explainers.trial import parsed, tried
from harness.models.prompts import Prompt, load
from harness.types import (
    Candidate,
    Completion,
    CompletionPrompt,
    Evidence,
    Explainer,
    Explanation,
    LanguageModel,
    NeuroglossError,
    OpenSubject,
    Outcome,
    Role,
    Usage,
)


@dataclass(eq=False)
class Revision:
    """Improves what ``explainer`` says, ``rounds`` times, by what the subject does on sentences that test it.

    Attributes:
        explainer: what explains first; each of its candidates is revised by itself.
        model: the language model that writes sentences and revises.
        subject: the model whose neurons they are.
        rounds: how often.
        sentences: at most so many of each round's sentences are run.
        temperature: of the sampling.
        seed: of the sampling, where the temperature is above 0.
    """

    explainer: Explainer
    model: LanguageModel
    subject: OpenSubject
    rounds: int = 2
    sentences: int = 6
    temperature: float = 0.0
    seed: int = 0
    role: Role = field(default=Role.EXPLAINER, init=False)

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.sentences < 1:
            raise NeuroglossError(f"rounds is {self.rounds} and sentences {self.sentences}; write 1 or more.")
        self._ask, self._revise = load(PROMPTS, "sentences-v1"), load(PROMPTS, "revision-v1")
        self._lead_in = self._revise.render("lead_in", {})

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """One explanation for each neuron, in order; what could not be revised stays as it was."""
        told = self.explainer.explain(evidence)
        offers = [one.candidates or (Candidate(one.text, one.outcome),) for one in told]
        chains = [
            _Chain(known, one, n) for known, some in zip(evidence, offers, strict=True) for n, one in enumerate(some)
        ]
        for _ in range(self.rounds):
            chains = self._round(chains)
        revised = iter(chains)
        return [
            self._explanation(one, list(islice(revised, len(some)))) for one, some in zip(told, offers, strict=True)
        ]

    def _round(self, chains: Sequence[_Chain]) -> list[_Chain]:
        """Every chain one explanation further, by two questions to the model for all of them together."""
        written = self._asked(self._ask, chains, [{"explanation": chain.now.text} for chain in chains])
        shown = [
            tried(self.subject, chain.known, parsed(reply)[: self.sentences])
            for chain, reply in zip(chains, written, strict=True)
        ]
        pairs = zip(chains, shown, strict=True)
        variables = [
            {"explanation": chain.now.text, "sentences": some, "lead_in": self._lead_in} if some else None
            for chain, some in pairs
        ]
        replies = self._asked(self._revise, chains, variables)
        return [_revised(*three, self._lead_in) for three in zip(chains, written, replies, strict=True)]

    def _asked(
        self, prompt: Prompt, chains: Sequence[_Chain], variables: Sequence[dict[str, Any] | None]
    ) -> list[Completion | None]:
        """The reply to each chain's question; None for a chain that has no explanation, or nothing to ask about."""
        requests = [
            CompletionPrompt(
                messages=prompt.messages(some),
                max_tokens=40 if prompt is self._revise else 200,
                temperature=self.temperature,
                seed=self.seed,
                repeat=chain.number,
                prompt_version=prompt.version,
            )
            if some is not None and chain.now.outcome is Outcome.OK
            else None
            for chain, some in zip(chains, variables, strict=True)
        ]
        replies = iter(self.model.complete([request for request in requests if request is not None]))
        return [None if request is None else next(replies) for request in requests]

    def _explanation(self, told: Explanation, chains: Sequence[_Chain]) -> Explanation:
        said = [chain.now for chain in chains]
        first = next((one for one in said if one.outcome is Outcome.OK), said[0])
        return replace(
            told,
            text=first.text,
            outcome=first.outcome,
            prompt_version=" ".join(filter(None, (told.prompt_version, self._ask.version, self._revise.version))),
            usage=sum((chain.usage for chain in chains), told.usage),
            candidates=tuple(said) if len(said) > 1 else (),
        )


@dataclass(frozen=True)
class _Chain:
    """One explanation on its way: the ``number`` of the candidate that it began as, and what was spent on it."""

    known: Evidence
    now: Candidate
    number: int
    usage: Usage = field(default_factory=Usage)


def _revised(chain: _Chain, written: Completion | None, reply: Completion | None, lead_in: str) -> _Chain:
    spent = sum((one.usage for one in (written, reply) if one is not None), chain.usage)
    text, outcome = explanation_of(reply, lead_in) if reply is not None else ("", Outcome.EMPTY)
    return replace(chain, usage=spent, now=Candidate(text) if outcome is Outcome.OK else chain.now)
