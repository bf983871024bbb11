"""Scores of units whose explanation is known: the told explanations, and explainers beside the true one.

A simulation that failed is never a score: if more than ``maximum_missing`` of a unit's tokens have no simulation under
an explanation, that explanation has no correlation, and nothing that needs it has a value. Fewer missing tokens are
left out, and counted.

==================  ==================================================================================================
metric              of
==================  ==================================================================================================
correlation         every explanation: simulated and real levels, over all tokens of the texts it is simulated on
auroc, auprc        the true explanation: how well its simulation ranks the tokens that fire
truth, difference   an explainer's explanation: the true one's correlation on the same texts, and how much lower that is
==================  ==================================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.scorers.settings import check_share
from harness.scores import UndefinedScoreError, auprc, auroc, correlation, is_degenerate, reliability
from harness.types import (
    HIGHEST_LEVEL,
    FloatArray,
    Heading,
    NeuroglossError,
    Outcome,
    ReliabilityBin,
    Scored,
    ScorerInfo,
    Scores,
    SimulatedExcerpt,
    SimulatedExplanation,
    Unit,
    Validity,
)

HEADINGS = (
    Heading("truth", "truth", "truth's"),
    Heading("difference", "minus truth", "minus truth", with_interval=True),
)


@dataclass(eq=False)
class Truths:
    """Scores told explanations by themselves, and an explainer's beside the true one under the same simulator.

    Attributes:
        maximum_missing: share of a unit's tokens that may lack a simulation before an explanation has no score.
    """

    maximum_missing: float = 0.05

    def __post_init__(self) -> None:
        check_share("task.scores.truths.maximum_missing", self.maximum_missing)

    def describe(self) -> ScorerInfo:
        """Return which scorer this is."""
        return ScorerInfo("truths", headings=HEADINGS)

    def score(self, explanations: Sequence[SimulatedExplanation]) -> list[Scored]:
        """Score each explanation, in order."""
        truths = {
            (explanation.record.unit, explanation.simulator): explanation
            for explanation in explanations
            if explanation.explanation.explainer == Validity.TRUE
        }
        return [Scored(self._scores(explanation, truths)) for explanation in explanations]

    def _scores(
        self, simulated: SimulatedExplanation, truths: Mapping[tuple[Unit, str], SimulatedExplanation]
    ) -> Scores:
        if simulated.explanation.explainer == Validity.TRUE:
            return self._of_truth(simulated.excerpts)
        scores = self._of_any(simulated.excerpts)
        truth = truths.get((simulated.record.unit, simulated.simulator))
        if simulated.explanation.explainer in set(Validity) or truth is None or not scores.values:
            return scores
        beside = _agreement(_last(truth.excerpts, len(simulated.excerpts)), self.maximum_missing)
        if math.isnan(beside):
            return scores
        more = Scores({"truth": beside, "difference": scores.values["correlation"] - beside})
        return scores.joined(more)

    def _of_any(self, excerpts: Sequence[SimulatedExcerpt]) -> Scores:
        """Return the correlation of an explanation, or why it has none."""
        levels, simulated = _pooled(excerpts)
        given = ~np.isnan(simulated)
        value = _agreement(excerpts, self.maximum_missing)
        tokens, missing_tokens = int(levels.size), int((~given).sum())
        if math.isnan(value):
            missing = {"correlation": _why_missing(excerpts)}
            return Scores({}, missing=missing, tokens=tokens, missing_tokens=missing_tokens)
        degenerate = ("correlation",) if is_degenerate(levels[given], simulated[given]) else ()
        return Scores({"correlation": value}, degenerate, tokens=tokens, missing_tokens=missing_tokens)

    def _of_truth(self, excerpts: Sequence[SimulatedExcerpt]) -> Scores:
        """Return the scores of a true explanation, with the reliability of the simulator's probabilities."""
        levels, simulated = _pooled(excerpts)
        given = ~np.isnan(simulated)
        scores = self._of_any(excerpts)
        values = {}
        if scores.values:
            fires = levels[given] > 0
            ranked = {
                "auroc": _attempt(auroc, fires, simulated[given]),
                "auprc": _attempt(auprc, fires, simulated[given]),
            }
            values = {name: value for name, value in ranked.items() if not math.isnan(value)}
        return scores.joined(Scores(values, reliability=_reliability(excerpts)))


def _last(excerpts: Sequence[SimulatedExcerpt], count: int) -> Sequence[SimulatedExcerpt]:
    """Return the last ``count`` excerpts: the texts that explainers are scored on stand behind those they are shown."""
    return excerpts[len(excerpts) - count :]


def _agreement(excerpts: Sequence[SimulatedExcerpt], maximum_missing: float) -> float:
    """Return the correlation over the tokens that have a simulation; NaN if too many, or all, have none."""
    levels, simulated = _pooled(excerpts)
    given = ~np.isnan(simulated)
    if not given.any() or 1.0 - given.mean() > maximum_missing:
        return math.nan
    return correlation(levels[given], simulated[given])


def _pooled(excerpts: Sequence[SimulatedExcerpt]) -> tuple[FloatArray, FloatArray]:
    """Return the real and the simulated level of every token [tokens]; NaN if a simulation is missing.

    Raises:
        NeuroglossError: a simulation has another number of values than its text has tokens.
    """
    simulated = []
    for item in excerpts:
        values = item.simulation.expected or (math.nan,) * len(item.excerpt.tokens)
        if len(values) != len(item.excerpt.tokens):
            raise NeuroglossError(
                f"a simulation has {len(values)} values for {len(item.excerpt.tokens)} tokens; each needs one."
            )
        simulated.append(np.asarray(values, dtype=np.float64))
    levels = [np.asarray(item.excerpt.activations, dtype=np.float64) for item in excerpts]
    return (np.concatenate(levels), np.concatenate(simulated)) if excerpts else (np.zeros(0), np.zeros(0))


def _attempt(metric: Callable[..., float], fires: npt.NDArray[np.bool_], simulated: FloatArray) -> float:
    try:
        return metric(fires, simulated)
    except UndefinedScoreError:
        return math.nan


def _reliability(excerpts: Sequence[SimulatedExcerpt]) -> tuple[ReliabilityBin, ...]:
    """Return bins of the tokens whose simulation has probabilities; a scale 0..9 is as long as one of 0..10."""
    pairs = [
        (value / (len(shares) - 1), level / HIGHEST_LEVEL)
        for item in excerpts
        if item.simulation.probabilities is not None
        for level, value, shares in zip(
            item.excerpt.activations, item.simulation.expected, item.simulation.probabilities, strict=True
        )
        if not math.isnan(value)
    ]
    return reliability([p for p, _ in pairs], [y for _, y in pairs]) if pairs else ()


def _why_missing(excerpts: Sequence[SimulatedExcerpt]) -> str:
    simulations = [item.simulation for item in excerpts]
    outcomes = {
        simulation.outcome
        for simulation in simulations
        if not simulation.expected or np.isnan(simulation.expected).any()
    }
    return f"too many tokens have no simulation (outcome: {', '.join(sorted(map(str, outcomes or {Outcome.EMPTY})))})"
