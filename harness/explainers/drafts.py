"""Explanations on their way from question to question: what a method needs that revises what another one said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.explainers.asking import first_good
from harness.models.prompts import Prompt
from harness.types import Candidate, Completion, CompletionPrompt, Evidence, Explanation, LanguageModel, Outcome, Usage


@dataclass(frozen=True)
class Draft:
    """What is said ``now`` of a neuron: the ``number`` of the candidate that it began as, what was spent on it since,
    and the versions of the ``prompts`` that it has been through."""

    known: Evidence
    now: Candidate
    number: int
    usage: Usage = field(default_factory=Usage)
    prompts: tuple[str, ...] = ()


def begun(known: Evidence, told: Explanation) -> list[Draft]:
    """A draft for each candidate of an explanation, or for what it says where it has none."""
    said = told.candidates or (Candidate(told.text, told.outcome),)
    return [Draft(known, now, number) for number, now in enumerate(said)]


def asked(
    model: LanguageModel,
    prompt: Prompt,
    sampling: CompletionPrompt,
    drafts: Sequence[Draft],
    shown: Sequence[Mapping[str, Any] | None],
) -> tuple[list[Draft], list[Completion | None]]:
    """One question about each draft, all by one call to the model: the drafts with its cost on them, and the replies.

    Args:
        model: the language model.
        prompt: its templates name ``explanation`` and what is ``shown`` beside it.
        sampling: how the reply is drawn; its messages do not count.
        drafts: those that are no explanation are not asked about, and get None for a reply.
        shown: what else the prompt names of each draft; None where nothing can be asked.
    """
    questions = {
        place: replace(
            sampling,
            messages=prompt.messages({"explanation": draft.now.text, **some}),
            repeat=draft.number,
            prompt_version=prompt.version,
        )
        for place, (draft, some) in enumerate(zip(drafts, shown, strict=True))
        if some is not None and draft.now.outcome is Outcome.OK
    }
    replies = dict(zip(questions, model.complete(list(questions.values())), strict=True))
    spent = [
        replace(draft, usage=draft.usage + replies[place].usage, prompts=(*draft.prompts, prompt.version))
        if place in replies
        else draft
        for place, draft in enumerate(drafts)
    ]
    return spent, [replies.get(place) for place in range(len(drafts))]


def finished(told: Explanation, drafts: Sequence[Draft]) -> Explanation:
    """The explanation that has become of ``told``, with its cost and prompts added to those that it had."""
    said = [draft.now for draft in drafts]
    versions = dict.fromkeys(version for draft in drafts for version in draft.prompts)
    return replace(
        told,
        text=first_good(said).text,
        outcome=first_good(said).outcome,
        prompt_version=" ".join(filter(None, (told.prompt_version, *versions))),
        usage=sum((draft.usage for draft in drafts), told.usage),
        candidates=tuple(said) if len(said) > 1 else (),
    )
