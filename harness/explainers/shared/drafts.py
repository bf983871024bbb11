"""Drafts of explanations, for methods that revise the explanations of another explainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.explainers.shared.asking import first_good
from harness.models.prompts import Prompt
from harness.types import Candidate, Completion, CompletionPrompt, Evidence, Explanation, LanguageModel, Outcome, Usage


@dataclass(frozen=True)
class Draft:
    """Candidate explanation under revision: its ``number`` among the candidates of its neuron, the ``usage`` of its
    revisions, and the versions of their ``prompts``."""

    evidence: Evidence
    candidate: Candidate
    number: int
    usage: Usage = field(default_factory=Usage)
    prompts: tuple[str, ...] = ()


def drafts_of(evidence: Evidence, explanation: Explanation) -> list[Draft]:
    """Return a draft for each candidate of an explanation, or for its text if it has no candidates."""
    candidates = explanation.candidates or (Candidate(explanation.text, explanation.outcome),)
    return [Draft(evidence, candidate, number) for number, candidate in enumerate(candidates)]


def ask_about(
    model: LanguageModel,
    prompt: Prompt,
    sampling: CompletionPrompt,
    drafts: Sequence[Draft],
    variables: Sequence[Mapping[str, Any] | None],
) -> tuple[list[Draft], list[Completion | None]]:
    """Ask one question about each draft, by one call to the model; return the drafts with its cost, and the replies.

    Args:
        model: the language model.
        prompt: its templates use ``explanation`` and ``variables``.
        sampling: the settings of the request; its messages are ignored.
        drafts: those without an explanation are passed over, and their reply is None.
        variables: the further variables of the prompt for each draft; None passes the draft over.
    """
    questions = {
        place: replace(
            sampling,
            messages=prompt.messages({"explanation": draft.candidate.text, **extra}),
            repeat=draft.number,
            prompt_version=prompt.version,
        )
        for place, (draft, extra) in enumerate(zip(drafts, variables, strict=True))
        if extra is not None and draft.candidate.outcome is Outcome.OK
    }
    replies = dict(zip(questions, model.complete(list(questions.values())), strict=True))
    charged = [
        replace(draft, usage=draft.usage + replies[place].usage, prompts=(*draft.prompts, prompt.version))
        if place in replies
        else draft
        for place, draft in enumerate(drafts)
    ]
    return charged, [replies.get(place) for place in range(len(drafts))]


def revised_explanation(explanation: Explanation, drafts: Sequence[Draft]) -> Explanation:
    """Return ``explanation`` with the texts of its drafts, and with their cost and prompts added."""
    candidates = [draft.candidate for draft in drafts]
    versions = dict.fromkeys(version for draft in drafts for version in draft.prompts)
    return replace(
        explanation,
        text=first_good(candidates).text,
        outcome=first_good(candidates).outcome,
        prompt_version=" ".join(filter(None, (explanation.prompt_version, *versions))),
        usage=sum((draft.usage for draft in drafts), explanation.usage),
        candidates=tuple(candidates) if len(candidates) > 1 else (),
    )
