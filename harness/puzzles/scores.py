"""How well a simulator does on a puzzle, and an explanation on the second half of its texts.

A simulation that failed is never a score: where more than ``maximum_missing`` of a puzzle's tokens have no simulation
under an explanation, that explanation has no correlation, and nothing that needs it has a value. Fewer missing tokens
are left out, and counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from harness import stats
from harness.scores import UndefinedScoreError, auprc, auroc, correlation, is_degenerate, reliability
from harness.types import (
    Falseness,
    FloatArray,
    NeuroglossError,
    Puzzle,
    PuzzleScore,
    PuzzleText,
    ReliabilityBin,
    RivalScore,
    Scores,
    Simulation,
)

HIGHEST = 10.0


def score(puzzle: Puzzle, simulated: Sequence[Sequence[Simulation]], maximum_missing: float) -> PuzzleScore:
    """All scores of one puzzle.

    Args:
        puzzle: with its levels.
        simulated: a simulation for each text, under the true explanation and then under each false one
            [explanations][texts].
        maximum_missing: share of the tokens that may lack a simulation.
    """
    levels = _levels(puzzle.texts)
    truth, *false = [pooled(puzzle.texts, some) for some in simulated]
    given = ~np.isnan(truth)
    own = agreement(levels, truth, maximum_missing)
    rivals = tuple(
        _rival(falseness, own, agreement(levels, one, maximum_missing))
        for (falseness, _), one in zip(puzzle.false_explanations, false, strict=True)
    )
    fires, scored = levels[given] > 0, not math.isnan(own)
    return PuzzleScore(
        puzzle=puzzle.key,
        kind=puzzle.kind,
        correlation=own,
        auroc=_attempt(auroc, fires, truth[given]) if scored else math.nan,
        auprc=_attempt(auprc, fires, truth[given]) if scored else math.nan,
        margin=_mean([own - rival.correlation for rival in rivals if not math.isnan(rival.won)]),
        degenerate=scored and is_degenerate(levels[given], truth[given]),
        rivals=rivals,
        reliability=_reliability(puzzle.texts, simulated[0]),
        tokens=int(levels.size),
        missing_tokens=int((~given).sum()),
    )


def explained(texts: Sequence[PuzzleText], simulations: Sequence[Simulation], truth: float, maximum: float) -> Scores:
    """The scores of an explainer's explanation of a puzzle, beside the true one's.

    Args:
        texts: the second half of the puzzle's texts.
        simulations: of each, under the explanation.
        truth: the correlation of the simulation under the true explanation on the same texts; NaN where it is missing.
        maximum: share of the tokens that may lack a simulation.

    Returns:
        ``correlation``, and where truth has one ``truth`` and ``difference`` (correlation - truth).
    """
    levels, s = _levels(texts), pooled(texts, simulations)
    own, missing = agreement(levels, s, maximum), int(np.isnan(s).sum())
    if math.isnan(own):
        return Scores(
            {}, missing={"correlation": _why_missing(simulations)}, tokens=levels.size, missing_tokens=missing
        )
    given = ~np.isnan(s)
    values = {"correlation": own}
    if not math.isnan(truth):
        values |= {"truth": truth, "difference": own - truth}
    degenerate = ("correlation",) if is_degenerate(levels[given], s[given]) else ()
    return Scores(values, degenerate, tokens=levels.size, missing_tokens=missing)


def agreement_of(texts: Sequence[PuzzleText], simulations: Sequence[Simulation], maximum_missing: float) -> float:
    """The correlation of some texts' levels and their simulations, pooled; NaN where too many tokens have none."""
    return agreement(_levels(texts), pooled(texts, simulations), maximum_missing)


def agreement(levels: FloatArray, simulated: FloatArray, maximum_missing: float) -> float:
    """The correlation over the tokens that have a simulation; NaN where too many, or all, have none."""
    given = ~np.isnan(simulated)
    if not given.any() or 1.0 - given.mean() > maximum_missing:
        return math.nan
    return correlation(levels[given], simulated[given])


def pooled(texts: Sequence[PuzzleText], simulations: Sequence[Simulation]) -> FloatArray:
    """The simulated level of every token of all texts [tokens]; NaN where it is missing.

    Raises:
        NeuroglossError: a simulation has another number of values than its text has tokens.
    """
    parts = []
    for text, simulation in zip(texts, simulations, strict=True):
        values = simulation.expected or (math.nan,) * len(text.tokens)
        if len(values) != len(text.tokens):
            raise NeuroglossError(
                f"a simulation has {len(values)} values for {len(text.tokens)} tokens; each needs one."
            )
        parts.append(np.asarray(values, dtype=np.float64))
    return np.concatenate(parts) if parts else np.zeros(0)


def _levels(texts: Sequence[PuzzleText]) -> FloatArray:
    return np.array([level for text in texts for level in text.levels], dtype=np.float64)


def _rival(falseness: Falseness, truth: float, false: float) -> RivalScore:
    return RivalScore(falseness, false, stats.won(truth, false))


def _attempt(metric: Callable[..., float], fires: npt.NDArray[np.bool_], simulated: FloatArray) -> float:
    try:
        return metric(fires, simulated)
    except UndefinedScoreError:
        return math.nan


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _reliability(texts: Sequence[PuzzleText], simulations: Sequence[Simulation]) -> tuple[ReliabilityBin, ...]:
    """Bins of the tokens whose simulation has probabilities; a scale 0..9 is as long as one of 0..10."""
    pairs = [
        (value / (len(shares) - 1), level / HIGHEST)
        for text, simulation in zip(texts, simulations, strict=True)
        if simulation.probabilities is not None
        for level, value, shares in zip(text.levels, simulation.expected, simulation.probabilities, strict=True)
        if not math.isnan(value)
    ]
    return reliability([p for p, _ in pairs], [y for _, y in pairs]) if pairs else ()


def _why_missing(simulations: Sequence[Simulation]) -> str:
    outcomes = sorted({str(one.outcome) for one in simulations if not one.expected or np.isnan(one.expected).any()})
    return f"too many tokens have no simulation (outcome: {', '.join(outcomes)})"
