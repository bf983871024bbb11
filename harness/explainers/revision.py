"""Explanations tested and revised: sentences that should or should not make the neuron fire are run on the subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.explainers.shared.asking import PROMPTS
from harness.explainers.shared.cleaning import explanation_of
from harness.explainers.shared.drafts import Draft, ask_about, drafts_of, revised_explanation
from harness.explainers.shared.trial import parse_sentences, run_sentences
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
from harness.types.grouping import regrouped


@dataclass(eq=False)
class Revision:
    """Explainer that revises the explanations of ``explainer`` by the subject's activations on test sentences.

    Attributes:
        explainer: the explainer of the first drafts; each of its candidates is revised separately.
        model: the language model that writes sentences and revises.
        subject: the model whose neurons are explained.
        rounds: the number of revisions.
        sentences: the largest number of sentences that are run in a round.
        max_tokens: the largest number of tokens of a revised explanation.
        max_sentences_tokens: the largest number of tokens of all sentences of a round.
        temperature: of the sampling.
        seed: of the sampling; unused at temperature 0.
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
        """Return one explanation for each neuron, in order; those that cannot be revised stay as they were."""
        explanations = self.explainer.explain(evidence)
        groups = [drafts_of(item, explanation) for item, explanation in zip(evidence, explanations, strict=True)]
        for _ in range(self.rounds):
            groups = regrouped(self._round([draft for group in groups for draft in group]), groups)
        return [
            revised_explanation(explanation, group) for explanation, group in zip(explanations, groups, strict=True)
        ]

    def _round(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Return the drafts after one more revision; the model is called twice, each time about all drafts."""
        sampling = CompletionPrompt((), self.max_sentences_tokens, self.temperature, seed=self.seed)
        drafts, replies = ask_about(self.model, self._write, sampling, drafts, [{}] * len(drafts))
        variables: list[dict[str, Any] | None] = []
        for draft, reply in zip(drafts, replies, strict=True):
            sentences = run_sentences(self.subject, draft.evidence, parse_sentences(reply)[: self.sentences])
            variables.append({"sentences": sentences, "lead_in": self._lead_in} if sentences else None)
        sampling = replace(sampling, max_tokens=self.max_tokens)
        drafts, replies = ask_about(self.model, self._revise, sampling, drafts, variables)
        revisions = [explanation_of(reply, self._lead_in) if reply else ("", Outcome.EMPTY) for reply in replies]
        return [
            replace(draft, candidate=Candidate(text)) if outcome is Outcome.OK else draft
            for draft, (text, outcome) in zip(drafts, revisions, strict=True)
        ]
