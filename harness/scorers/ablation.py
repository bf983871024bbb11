"""Ablation as a scorer: the subject runs again with each unit replaced by its simulation.

``ablation``, ``ablation_zero`` and ``ablation_resample`` compare the divergence of its output with that of a unit that
is silenced in each way, ``ablation_loss`` its change in next-token loss with that of mean-ablation. Each is 1 at most,
0 for silence, and missing if silence changes nothing. None has a lower bound, so that boards show medians over units.

``divergence`` and ``divergence_mean`` are the divergences behind the first, with the simulation and with the unit at
its mean, and ``loss_change`` is the change in loss itself, all in nats a token. They are no scores, being best at 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from typing_extensions import Protocol, runtime_checkable

from harness.scores import ablation
from harness.scores.ablation import AGAINST, Way
from harness.scores.metrics import UndefinedScoreError
from harness.scores.panel import why_unscored
from harness.types import (
    Effect,
    ExcerptKind,
    Heading,
    Identity,
    NeuroglossError,
    Replacement,
    Scored,
    ScorerInfo,
    Scores,
    SimulatedExplanation,
)
from harness.types.grouping import regrouped

FIGURES = (*AGAINST, "ablation_loss", "loss_change", "divergence", "divergence_mean")
"""The names of its scores."""
HEADINGS = (
    Heading("ablation", "ablat.", "ablation (median)"),
    Heading("divergence", "JSD", "divergence, simulated (nats)"),
    Heading("divergence_mean", "JSD mean", "divergence, at its mean (nats)"),
)


@runtime_checkable
class AskedSubject(Protocol):
    """A subject that tells through the store what replacements do to its output."""

    @property
    def identity(self) -> Identity:
        """The identity of the model."""
        ...

    def effects_of(self, replacements: Sequence[Replacement]) -> list[Effect]:
        """Return the effect of each replacement, in order; none at all if the subject is not to be asked."""
        ...


@dataclass(eq=False)
class Ablation:
    """Scores each explanation by what its simulation does in its unit's place.

    Attributes:
        subject: the model that is run again.
        top: number of top valid excerpts that are ablated, for each unit.
        random: number of random ones.
        maximum_missing: share of a unit's tokens that may lack a simulation before the unit has no score.
    """

    subject: AskedSubject
    top: int = 2
    random: int = 2
    maximum_missing: float = 0.05

    def __post_init__(self) -> None:
        if min(self.top, self.random) < 0 or self.top + self.random == 0:
            raise NeuroglossError(
                f"scores.ablation.top={self.top} and scores.ablation.random={self.random} leave no excerpts to ablate; "
                "set one of them above 0, or write scores=panel."
            )

    def describe(self) -> ScorerInfo:
        """Return which scorer this is, and the model that it asks."""
        return ScorerInfo("ablation", self.subject.identity, headings=HEADINGS)

    def score(self, explanations: Sequence[SimulatedExplanation]) -> list[Scored]:
        """Score each explanation, in order; the subject is asked about all of them in one call."""
        requests = [self.requests(explanation) for explanation in explanations]
        groups = [replacements for by_way in requests for replacements in by_way.values()]
        effects = self.subject.effects_of([replacement for group in groups for replacement in group])
        asked = bool(effects) or not groups
        grouped = iter(regrouped(effects, groups) if asked else [[] for _ in groups])
        measured = [{way: next(grouped) for way in by_way} for by_way in requests]
        return [
            Scored(self._scores(explanation, effects_by_way, asked))
            for explanation, effects_by_way in zip(explanations, measured, strict=True)
        ]

    def requests(self, explanation: SimulatedExplanation) -> dict[Way, list[Replacement]]:
        """Return what to ask the subject about one explanation.

        A unit is resampled from the random excerpts of its calibration split, which nothing is reported on.
        """
        record = explanation.record
        return ablation.requests(
            record.unit,
            explanation.excerpts,
            record.corpus_mean,
            [excerpt for excerpt in record.splits.calibration if excerpt.kind is ExcerptKind.RANDOM],
            top=self.top,
            random=self.random,
        )

    def _scores(
        self, explanation: SimulatedExplanation, effects: Mapping[Way, Sequence[Effect]], asked: bool
    ) -> Scores:
        reason, _ = why_unscored(explanation.excerpts, self.maximum_missing)
        if reason is None and not effects:
            reason = "an excerpt to ablate lacks token ids or calibrated values"
        if reason is None and not asked:
            reason = "the subject was not asked"
        return Scores({}, missing=dict.fromkeys(FIGURES, reason)) if reason else figures(effects)


def figures(effects: Mapping[Way, Sequence[Effect]]) -> Scores:
    """Return the scores that follow from the effects of one explanation's replacements, by the way of replacing."""
    missing: dict[str, str] = {}
    simulated = effects[Way.SIMULATION]
    values = {"divergence": _divergence(simulated), "divergence_mean": _divergence(effects[Way.MEAN])}
    for name, way in AGAINST.items():
        if way in effects:
            divergences = [[effect.divergence for effect in answers] for answers in (simulated, effects[way])]
            _attempt(name, partial(ablation.score, *divergences), values, missing)
        else:
            missing[name] = "there is no random calibration excerpt to resample from"
    if any(math.isnan(effect.loss_change) for effect in simulated):
        missing |= dict.fromkeys(("ablation_loss", "loss_change"), "an excerpt of one token has no loss")
        return Scores(values, missing=missing)
    changes = [[effect.loss_change for effect in answers] for answers in (simulated, effects[Way.MEAN])]
    _attempt("ablation_loss", partial(ablation.loss_score, *changes), values, missing)
    values["loss_change"] = math.fsum(changes[0]) / len(changes[0])
    return Scores(values, missing=missing)


def _divergence(effects: Sequence[Effect]) -> float:
    return math.fsum(effect.divergence for effect in effects) / len(effects)


def _attempt(name: str, compute: Callable[[], float], values: dict[str, float], missing: dict[str, str]) -> None:
    """Record what ``compute`` returns, or why it is undefined."""
    try:
        values[name] = compute()
    except UndefinedScoreError as error:
        missing[name] = str(error).rstrip(".")
