"""Pairs: the judge says, from the explanation of an attention head, whether one token attends to another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from typing_extensions import Protocol, runtime_checkable

from harness.models.prompts import load, visible
from harness.scorers.judging import ANSWERS, PROMPTS
from harness.scorers.settings import check_judging
from harness.scores.pairs import FIGURES, PairCase, PairKind, cases, figures
from harness.types import (
    Excerpt,
    FloatArray,
    Heading,
    Identity,
    Judged,
    Judgement,
    LanguageModel,
    LevelReading,
    Message,
    Outcome,
    Scored,
    ScorerInfo,
    Scores,
    SimulatedExplanation,
    SlottedPrompt,
    Unit,
)
from harness.types.grouping import regrouped

NAME = "pairs"
HEAD = "H"
"""The letter of units that attend."""
PairActivations = tuple[tuple[float, ...], ...]
"""The activation of each pair of a sequence [queries][keys up to the query]."""


@dataclass(frozen=True, slots=True)
class PairReading:
    """A request to a subject: the activation of each pair of tokens that a head attends by."""

    unit: Unit
    token_ids: tuple[int, ...]


@runtime_checkable
class PairingSubject(Protocol):
    """A model that tells what its heads attend to."""

    def pairs(self, unit: Unit, sequences: Sequence[tuple[int, ...]]) -> list[FloatArray]:
        """Return the activation of each pair of tokens [sequences][queries, keys]."""
        ...


@runtime_checkable
class PairedSubject(Protocol):
    """A subject that tells through the store what its heads attend to."""

    @property
    def identity(self) -> Identity:
        """The identity of the model."""
        ...

    def pairs_of(self, readings: Sequence[PairReading]) -> list[PairActivations]:
        """Return the activations of each reading, in order; none at all if the subject is not to be asked."""
        ...


@dataclass(eq=False)
class Pairs:
    """Judge that asks ``model`` about one pair of tokens at a time (:mod:`harness.scores.pairs`).

    Units that are no attention heads have no value.

    Attributes:
        model: the language model that judges.
        subject: the model whose heads are looked into.
        prompt: the name of a file in ``prompts/`` with the parts system, user and slot.
        split: the excerpts that pairs are taken of, ``test`` or ``valid``.
        level: the level, from 1 to 10, from which the strongest pair of an excerpt counts as attended.
        maximum_missing: share of an explanation's cases that may lack an answer before it has no score.
    """

    model: LanguageModel
    subject: PairedSubject
    prompt: str = "pairs-v1"
    split: str = "test"
    level: int = 3
    maximum_missing: float = 0.05

    def __post_init__(self) -> None:
        check_judging(NAME, self.split, self.level, self.maximum_missing)
        self._prompt = load(PROMPTS, self.prompt)

    def describe(self) -> ScorerInfo:
        """Return which scorer this is, the model that it asks, and its columns on boards."""
        headings = (
            Heading(NAME, "pairs", "pairs: AUROC against hard negatives", judged=True),
            Heading(f"{NAME}_random", "any pair", "pairs: AUROC against any pair", judged=True),
        )
        return ScorerInfo(NAME, self.model.identity, self._prompt.version, headings)

    def score(self, explanations: Sequence[SimulatedExplanation]) -> list[Scored]:
        """Score each explanation, in order; subject and model are each asked about all of them in one call."""
        excerpts = [self._excerpts(explanation) for explanation in explanations]
        readings = [
            [PairReading(explanation.record.unit, excerpt.token_ids) for excerpt in group]
            for explanation, group in zip(explanations, excerpts, strict=True)
        ]
        answers = self.subject.pairs_of([reading for group in readings for reading in group])
        unread = [[_unread(excerpt) for excerpt in group] for group in excerpts]
        activations = regrouped(answers, readings) if answers else unread
        chosen = [
            cases(group, [_square(pairs) for pairs in matrices], self.level)
            for group, matrices in zip(excerpts, activations, strict=True)
        ]
        prompts = [
            self._asking(explanation, case)
            for explanation, group in zip(explanations, chosen, strict=True)
            for case in group
        ]
        replies = regrouped(self.model.read_levels(prompts) if prompts else [], chosen)
        return [self._scored(*item) for item in zip(explanations, chosen, replies, strict=True)]

    def _excerpts(self, explanation: SimulatedExplanation) -> list[Excerpt]:
        """Return the excerpts that an explanation is judged on; none if there is nothing to judge."""
        splits = explanation.record.splits
        excerpts = splits.test if self.split == "test" else splits.valid
        return [] if _why_not(explanation) else [excerpt for excerpt in excerpts if excerpt.token_ids]

    def _asking(self, explanation: SimulatedExplanation, case: PairCase) -> SlottedPrompt:
        variables = {
            "explanation": explanation.explanation.text,
            "text": pair_text(case.excerpt.tokens, case.query, case.key),
        }
        question = Message("user", self._prompt.render("user", variables))
        return SlottedPrompt(
            messages=(*self._prompt.opening({}, self._example_reply), question),
            parts=(self._prompt.render("slot", {}),),
            placeholder="",
            levels=ANSWERS,
            prompt_version=self._prompt.version,
        )

    def _example_reply(self, example: Mapping[str, Any]) -> str:
        """Return the assistant's turn of a worked example."""
        return self._prompt.render("slot", {}) + str(example["answer"])

    def _scored(
        self, explanation: SimulatedExplanation, group: Sequence[PairCase], readings: Sequence[LevelReading]
    ) -> Scored:
        judgements = [_judgement(reading) for reading in readings]
        judged = tuple(
            Judged(NAME, case.excerpt, tuple(sorted({case.key, case.query})), case.kind is PairKind.ATTENDED, judgement)
            for case, judgement in zip(group, judgements, strict=True)
        )
        answered = [
            (case.kind, judgement.probability)
            for case, judgement in zip(group, judgements, strict=True)
            if not math.isnan(judgement.probability)
        ]
        silent = len(group) - len(answered)
        reason = _why_not(explanation) or self._why_missing(group, silent)
        if reason:
            missing = dict.fromkeys(FIGURES, reason)
            return Scored(Scores({}, missing=missing, judgements=len(group), missing_judgements=silent), judged)
        values, missing = figures([kind for kind, _ in answered], [share for _, share in answered])
        return Scored(Scores(values, missing=missing, judgements=len(group), missing_judgements=silent), judged)

    def _why_missing(self, group: Sequence[PairCase], silent: int) -> str:
        if not group:
            return "no excerpt has token ids and a pair that is attended"
        if self.model.identity.transport == "text":
            return "the judge writes its answers, and gives no probabilities"
        if silent > self.maximum_missing * len(group):
            return f"{silent} of {len(group)} judgements are missing"
        return ""


def pair_text(tokens: Sequence[str], query: int, key: int) -> str:
    """Return tokens as one line of text, with the attended token «so», and the attending one [[so]]."""
    pieces = [visible(token) for token in tokens]
    pieces[key] = f"«{pieces[key]}»"
    pieces[query] = f"[[{pieces[query]}]]"
    return "".join(pieces)


def _why_not(explanation: SimulatedExplanation) -> str:
    """Return why an explanation makes no cases; empty if it makes some."""
    if explanation.record.unit.kind != HEAD:
        return "the unit is no attention head"
    return "" if explanation.explanation.in_words else "there are no words to judge"


def _square(rows: PairActivations) -> FloatArray:
    """Return activations as a square [queries, keys], with 0 where a key is behind its query."""
    square = np.zeros((len(rows), len(rows)))
    for query, row in enumerate(rows):
        square[query, : len(row)] = row
    return square


def _unread(excerpt: Excerpt) -> PairActivations:
    """Return activations of which as many cases are made as of any others: for a plan, whose subject is not asked."""
    first, before_last = max(1, excerpt.leading), len(excerpt.tokens) - 2
    return tuple(
        tuple(float((query, key) == (before_last, first)) for key in range(query + 1))
        for query in range(len(excerpt.tokens))
    )


def _judgement(reading: LevelReading) -> Judgement:
    """Return the judgement from the single slot; the outcome is empty if it holds neither yes nor no."""
    if reading.outcome is not Outcome.OK:
        return Judgement(math.nan, reading.outcome, reading.usage)
    if not reading.seen[0]:
        return Judgement(math.nan, Outcome.EMPTY, reading.usage)
    return Judgement(reading.probabilities[0][1], Outcome.OK, reading.usage)
