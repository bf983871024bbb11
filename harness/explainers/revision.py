"""Explanations put to the test and revised: sentences that should fire or should not are run on the subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.explainers.asking import PROMPTS
from harness.explainers.cleaning import explanation_of
from harness.explainers.drafts import Draft, asked, begun, finished
from harness.explainers.trial import parsed, tried
from harness.models.prompts import load
from harness.types import (
    Candidate,
    CompletionPrompt,
    Evidence,
    Explainer,
    Explanation,
    LanguageModel,
    NeuroglossError,
    OpenSubject,
    Outcome,
    Role,
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
        max_tokens: limit of a revised explanation.
        max_sentences_tokens: limit of all sentences of a round.
        temperature: of the sampling.
        seed: of the sampling, where the temperature is above 0.
    """

    explainer: Explainer
    model: LanguageModel
    subject: OpenSubject
    rounds: int = 2
    sentences: int = 6
    max_tokens: int = 40
    max_sentences_tokens: int = 200
    temperature: float = 0.0
    seed: int = 0
    role: Role = field(default=Role.EXPLAINER, init=False)

    def __post_init__(self) -> None:
        for name in ("rounds", "sentences", "max_tokens", "max_sentences_tokens"):
            if getattr(self, name) < 1:
                raise NeuroglossError(f"{name} is {getattr(self, name)}; write 1 or more.")
        self._write, self._revise = load(PROMPTS, "sentences-v1"), load(PROMPTS, "revision-v1")
        self._lead_in = self._revise.render("lead_in", {})

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """One explanation for each neuron, in order; what could not be revised stays as it was."""
        told = self.explainer.explain(evidence)
        drafts = [begun(known, one) for known, one in zip(evidence, told, strict=True)]
        for _ in range(self.rounds):
            revised = iter(self._round([draft for some in drafts for draft in some]))
            drafts = [[next(revised) for _ in some] for some in drafts]
        return [finished(one, some) for one, some in zip(told, drafts, strict=True)]

    def _round(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Every draft one revision further, by two questions to the model for all of them together."""
        sampling = CompletionPrompt((), self.max_sentences_tokens, self.temperature, seed=self.seed)
        drafts, written = asked(self.model, self._write, sampling, drafts, [{}] * len(drafts))
        shown: list[dict[str, Any] | None] = []
        for draft, reply in zip(drafts, written, strict=True):
            sentences = tried(self.subject, draft.known, parsed(reply)[: self.sentences])
            shown.append({"sentences": sentences, "lead_in": self._lead_in} if sentences else None)
        sampling = replace(sampling, max_tokens=self.max_tokens)
        drafts, replies = asked(self.model, self._revise, sampling, drafts, shown)
        told = [explanation_of(reply, self._lead_in) if reply else ("", Outcome.EMPTY) for reply in replies]
        return [
            replace(draft, now=Candidate(text)) if outcome is Outcome.OK else draft
            for draft, (text, outcome) in zip(drafts, told, strict=True)
        ]
