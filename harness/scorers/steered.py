"""Steered: the subject runs with a unit raised and lowered, and what an explanation names is sought in what that moves.

The figure is that of :mod:`harness.scores.steered`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from typing_extensions import Protocol, runtime_checkable

from harness.scorers.writers.template import named
from harness.scores.steered import FACTORS, enough, promoted_by, standing
from harness.tasks.puzzles.records import KIND as PUZZLE
from harness.types import (
    Effect,
    Excerpt,
    ExcerptKind,
    Heading,
    Identity,
    NeuroglossError,
    OpenSubject,
    Record,
    Replacement,
    Scored,
    ScorerInfo,
    Scores,
    SimulatedExplanation,
    Unit,
)
from harness.types.grouping import regrouped

FIGURES = ("steered", "steered_factor", "steered_divergence")
HEADINGS = (Heading("steered", "steered", "steered: share of tokens below those named"),)
VOCABULARY = 1 << 30
"""More tokens than any vocabulary has."""


@dataclass(frozen=True, slots=True)
class Steering:
    """A request to a subject: where do the tokens that some names begin with stand, where a unit is raised?

    Attributes:
        unit: which.
        sequences: token ids of texts that it is raised and lowered on [sequences][tokens].
        activations: its activation there [sequences][tokens].
        leading: number of first positions that stay as they are.
        maximum: its largest activation, of which it is raised by a multiple.
        divergence: the Jensen-Shannon divergence (nats) that raising it is to reach.
        names: what an explanation names.
    """

    unit: Unit
    sequences: tuple[tuple[int, ...], ...]
    activations: tuple[tuple[float, ...], ...]
    leading: int
    maximum: float
    divergence: float
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Steered:
    """A subject's answer: the share of tokens below each of the names, the multiple by which the unit was raised, and
    the divergence (nats) that this gave."""

    places: tuple[float, ...]
    factor: float
    divergence: float


@runtime_checkable
class SteeredSubject(Protocol):
    """A subject that tells through the store what raising its units promotes."""

    @property
    def identity(self) -> Identity:
        """The identity of the model."""
        ...

    def steered(self, steerings: Sequence[Steering]) -> list[Steered]:
        """Return the answer to each request, in order; none at all if the subject is not to be asked."""
        ...


@dataclass(eq=False)
class Steer:
    """Scores each explanation by what its unit promotes.

    Attributes:
        subject: the model that is run with the unit raised and lowered.
        excerpts: number of random calibration excerpts that it is run on, on which nothing is reported.
        divergence: how far raising a unit is to move the next-token distributions (Jensen-Shannon, nats).
    """

    subject: SteeredSubject
    excerpts: int = 3
    divergence: float = 0.02

    def __post_init__(self) -> None:
        if self.excerpts < 1:
            raise NeuroglossError(f"scores.steered.excerpts is {self.excerpts}; write 1 or more.")
        if not 0 < self.divergence < math.log(2):
            raise NeuroglossError(
                f"scores.steered.divergence is {self.divergence}; write a number of nats above 0 and below log 2, "
                "which is the most that two distributions can differ by."
            )

    def describe(self) -> ScorerInfo:
        """Return which scorer this is, and the model that it asks."""
        return ScorerInfo("steered", self.subject.identity, headings=HEADINGS)

    def score(self, explanations: Sequence[SimulatedExplanation]) -> list[Scored]:
        """Score each explanation, in order; the subject is asked about all of them in one call."""
        groups = [self._requests(explanation) for explanation in explanations]
        flat = [request for group in groups for request in group]
        answers = self.subject.steered(flat) if flat else []
        is_silent = bool(flat) and not answers
        by_explanation = [[] for _ in groups] if is_silent else regrouped(answers, groups)
        return [
            Scored(self._scores(explanation, replies, is_silent))
            for explanation, replies in zip(explanations, by_explanation, strict=True)
        ]

    def _requests(self, explanation: SimulatedExplanation) -> list[Steering]:
        """Return the request that an explanation makes; none where it cannot be scored."""
        if self._why_missing(explanation):
            return []
        texts = texts_of(explanation.record)[: self.excerpts]
        return [
            Steering(
                unit=explanation.record.unit,
                sequences=tuple(excerpt.token_ids for excerpt in texts),
                activations=tuple(excerpt.activations for excerpt in texts),
                leading=texts[0].leading,
                maximum=largest_of(explanation.record),
                divergence=self.divergence,
                names=named(explanation.explanation.text),
            )
        ]

    def _why_missing(self, explanation: SimulatedExplanation) -> str:
        """Return why an explanation has no score; empty if it has one."""
        record = explanation.record
        if record.unit.kind == PUZZLE:
            return "a puzzle has no subject that could be run on texts"
        if not explanation.explanation.in_words or not named(explanation.explanation.text):
            return "the explanation names no word that could be promoted"
        if not texts_of(record):
            return "there is no random calibration excerpt with token ids to run the subject on"
        if largest_of(record) <= 0:
            return "the unit is never above 0, so that it cannot be raised by a multiple of that"
        return ""

    def _scores(self, explanation: SimulatedExplanation, replies: Sequence[Steered], is_silent: bool) -> Scores:
        reason = self._why_missing(explanation) or ("the subject was not asked" if is_silent else "")
        if not reason and not replies[0].places:
            reason = "raising the unit changes no token"
        if reason:
            return Scores({}, missing=dict.fromkeys(FIGURES, reason))
        (reply,) = replies
        mean = math.fsum(reply.places) / len(reply.places)
        return Scores(dict(zip(FIGURES, (mean, reply.factor, reply.divergence), strict=True)))


def texts_of(record: Record) -> list[Excerpt]:
    """Return the random calibration excerpts that a subject can be run on."""
    return [
        excerpt for excerpt in record.splits.calibration if excerpt.kind is ExcerptKind.RANDOM and excerpt.token_ids
    ]


def largest_of(record: Record) -> float:
    """Return the unit's largest activation over the excerpts that explainers are shown."""
    return max((excerpt.maximum for excerpt in record.shown), default=0.0)


# ---------------------------------------------------------------------------------------------------------- the subject


def steer(subject: OpenSubject, steerings: Sequence[Steering]) -> Iterator[tuple[int, Steered]]:
    """Yield the answer to each request, with its index; requests that differ in their names alone are one experiment.

    Raises:
        NeuroglossError: the model has no such unit or token, or an activation or logit is not a finite number.
    """
    experiments: dict[tuple[object, ...], list[int]] = {}
    for place, steering in enumerate(steerings):
        key = (steering.unit, steering.sequences, steering.maximum, steering.divergence)
        experiments.setdefault(key, []).append(place)
    for places in experiments.values():
        changes, factor, divergence = _measured(subject, steerings[places[0]])
        for place in places:
            begins = [subject.token_text(subject.encode(_after_text(name))[0]) for name in steerings[place].names]
            yield place, Steered(standing(changes, begins) if changes else (), factor, divergence)


def _after_text(name: str) -> str:
    """Return what a name is written as where text goes on: a word stands behind a space."""
    return f" {name}" if name[:1].isalnum() else name


def _measured(subject: OpenSubject, steering: Steering) -> tuple[Mapping[str, float], float, float]:
    """Return how much each token is promoted, by which multiple of its maximum the unit was raised, and how far that
    moved the output."""
    divergences: list[float] = []
    for factor in FACTORS:
        raised = _replacements(steering, factor)
        effects: list[Effect] = [effect for _, effect in subject.effects(raised)]
        divergences.append(math.fsum(effect.divergence for effect in effects) / len(effects))
        if divergences[-1] >= steering.divergence:
            break
    place = enough(divergences, steering.divergence)
    sides = []
    for sign in (1.0, -1.0):
        moved = subject.changed_tokens(_replacements(steering, sign * FACTORS[place]), VOCABULARY)
        sides.append({**dict(moved.suppressed), **dict(moved.promoted)})
    return promoted_by(*sides), FACTORS[place], divergences[place]


def _replacements(steering: Steering, factor: float) -> list[Replacement]:
    """Return the texts with the unit raised by a multiple of its maximum at all positions but the leading ones."""
    amount = factor * steering.maximum
    return [
        Replacement(steering.unit, ids, tuple(value + amount for value in values), steering.leading)
        for ids, values in zip(steering.sequences, steering.activations, strict=True)
    ]
