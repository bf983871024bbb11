"""The panel: every score of one explained unit, over the scored tokens of its valid excerpts, pooled.

==================  ==============================================================  ===================  ============
metric              computed from                                                   range, worth nothing  of a constant
==================  ==============================================================  ===================  ============
correlation         simulated values as the simulator gave them                     -1 to 1, 0           0, flagged
correlation_clipped the same, both sides clipped at 0: of what is explained alone    -1 to 1, 0           0, flagged
spearman            their ranks                                                     -1 to 1, 0           0, flagged
cosine              simulated values; 0 is silence                                  -1 to 1              0 if silent
auroc               how they rank active tokens                                     0 to 1, 0.5          0.5
auprc               how they rank active tokens                                     0 to 1, share active  share active
auprc_balanced      the same, were half of the tokens active                        0 to 1, 0.5          0.5
f1                  calibrated values above the threshold of active tokens          0 to 1               all or none
r2_uncentred        calibrated values, in the unit of the activations               up to 1, 0           up to 1
abs_dev             calibrated values                                               up to 1, 0           up to 1
explained_variance  calibrated values                                               up to 1, 0           up to 0
==================  ==============================================================  ===================  ============

Each is computed over several sets of tokens, and named by them: ``correlation`` (the headline) over top and random
excerpts together, ``correlation_random`` and ``correlation_top`` over one half, ``correlation_population`` over both,
each token weighted by its excerpt's inverse sampling probability, which estimates the score over all text. Where the
unit has hard excerpts, ``correlation_hard`` is computed over these and the top ones: tokens on which the unit fires
elsewhere stand in place of random text, which is easy to be silent on. A unit without hard excerpts has no such metric.

Explainers are shown levels, in which a negative activation is 0, while the headline counts both signs: what a unit does
below 0 nobody was shown. ``correlation_clipped`` leaves it out. ``correlation_ceiling`` is the headline of the levels
themselves, which is the most that words about them can be worth.

A token is *active* if its real level is ``active_level`` or more: if its activation is at least that many tenths of the
unit's largest over the valid excerpts.

A simulation that failed is never a score. If a valid excerpt has no simulation at all, or if more than
``maximum_missing`` of the tokens have none, every metric of the unit is missing, with the reason; scoring it on the
rest would rank a simulator that fails on hard excerpts above one that answers. Fewer missing tokens are left out, and
counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from harness.scores import metrics, ranking
from harness.types import HIGHEST_LEVEL, ExcerptKind, FloatArray, Scores, SimulatedExcerpt

AS_SIMULATED = ("correlation", "correlation_clipped", "spearman", "cosine", "auroc", "auprc", "auprc_balanced")
"""The metrics of values as the simulator gave them."""
AS_CALIBRATED = ("f1", "r2_uncentred", "abs_dev", "explained_variance")
"""The metrics of values in activation units."""
SAMPLES = ("", "_random", "_top", "_population")
"""The endings of names of metrics, by the tokens that a metric is computed from."""
HARD = "_hard"
"""The ending of a further sample, of units that have hard excerpts."""
CEILING = "correlation_ceiling"
"""The headline of the real activations' own levels; a property of the unit, and no score."""
METRICS = (*(metric + sample for metric in (*AS_SIMULATED, *AS_CALIBRATED) for sample in SAMPLES), CEILING)
"""The metrics that every unit has, or lacks for a reason."""
HARD_METRICS = tuple(metric + HARD for metric in (*AS_SIMULATED, *AS_CALIBRATED))
"""Those that units with hard excerpts have besides."""


def score(simulated: Sequence[SimulatedExcerpt], active_level: int = 1, maximum_missing: float = 0.05) -> Scores:
    """Return all scores of one explained unit.

    Args:
        simulated: its simulated excerpts; only those of the valid split count.
        active_level: the level, from 1 to 10, from which a token counts as active.
        maximum_missing: share of the tokens that may lack a simulation.

    Returns:
        A value for each metric of :data:`METRICS`, and of :data:`HARD_METRICS` where there are hard excerpts, or its
        name in ``missing`` with a sentence that says why.

    Raises:
        ScoreInputError: a simulation of another length than its excerpt, or an infinite value, with its source named.
    """
    reason, missing_tokens = why_unscored(simulated, maximum_missing)
    valid = [item for item in simulated if item.split == "valid"]
    if reason:
        has_hard = any(item.excerpt.kind is ExcerptKind.HARD for item in valid)
        metrics_missing = (*METRICS, *(HARD_METRICS if has_hard else ()))
        return Scores({}, missing=dict.fromkeys(metrics_missing, reason), missing_tokens=missing_tokens)
    pool = _pool(valid, active_level)
    present = ~np.isnan(pool.simulated)
    panel = _Panel(tokens=int(present.sum()), missing_tokens=missing_tokens)
    samples = _samples(pool.only(present))
    for suffix, sample in samples.items():
        panel.add(suffix, sample)
    panel.add_ceiling(samples[""])
    return Scores(panel.values, tuple(panel.degenerate), panel.missing, panel.tokens, panel.missing_tokens)


def why_unscored(simulated: Sequence[SimulatedExcerpt], maximum_missing: float) -> tuple[str | None, int]:
    """Return why a unit cannot be scored, None if it can, and how many scored tokens have no simulation.

    Raises:
        ScoreInputError: as :func:`score`.
    """
    valid = [item for item in simulated if item.split == "valid"]
    if not valid:
        return "no valid excerpt was simulated", 0
    present = ~np.isnan(np.concatenate([_values(item, item.simulation.expected, "simulated") for item in valid]))
    return _why_missing(valid, present, maximum_missing), int((~present).sum())


# ------------------------------------------------------------------------------------------------------ pooled tokens


@dataclass(frozen=True)
class _Pool:
    """The scored tokens of some excerpts as parallel arrays [tokens]; NaN where a simulation is missing.

    ``threshold`` is the activation from which a token is active; ``weights`` None where all tokens count alike.
    """

    real: FloatArray
    simulated: FloatArray
    calibrated: FloatArray
    weights: FloatArray | None
    top: npt.NDArray[np.bool_]
    hard: npt.NDArray[np.bool_]
    threshold: float

    def only(self, mask: npt.NDArray[np.bool_]) -> _Pool:
        """Return the tokens at which ``mask`` is true."""
        weights = None if self.weights is None else self.weights[mask]
        arrays = (
            self.real[mask],
            self.simulated[mask],
            self.calibrated[mask],
            weights,
            self.top[mask],
            self.hard[mask],
        )
        return _Pool(*arrays, self.threshold)

    @property
    def active(self) -> npt.NDArray[np.bool_]:
        """Whether each token is active [tokens]."""
        return self._reaches(self.real)

    @property
    def predicted(self) -> npt.NDArray[np.bool_]:
        """Whether the calibrated simulation takes each token for active [tokens]."""
        return self._reaches(self.calibrated)

    @property
    def clipped(self) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Real and simulated activations without what is below 0, and the weights."""
        return np.maximum(self.real, 0.0), np.maximum(self.simulated, 0.0), self.weights

    @property
    def levels(self) -> FloatArray:
        """The level of each real activation, on the scale of the largest [tokens]; all 0 if none is above 0."""
        largest = float(self.real.max())
        return np.floor(HIGHEST_LEVEL * np.maximum(self.real, 0.0) / largest) if largest > 0 else 0.0 * self.real

    def _reaches(self, values: FloatArray) -> npt.NDArray[np.bool_]:
        return (values >= self.threshold) & (self.threshold > 0)


def _pool(items: Sequence[SimulatedExcerpt], active_level: int) -> _Pool:
    real = [item.excerpt.activations[item.excerpt.scored] for item in items]
    lengths = [len(part) for part in real]
    together = np.concatenate(real)
    return _Pool(
        real=together,
        simulated=np.concatenate([_values(item, item.simulation.expected, "simulated") for item in items]),
        calibrated=np.concatenate([_values(item, item.calibrated, "calibrated") for item in items]),
        weights=np.repeat([item.excerpt.weight for item in items], lengths),
        top=np.repeat([item.excerpt.kind is ExcerptKind.TOP for item in items], lengths),
        hard=np.repeat([item.excerpt.kind is ExcerptKind.HARD for item in items], lengths),
        threshold=active_level / HIGHEST_LEVEL * float(together.max(initial=0.0)),
    )


def _samples(pool: _Pool) -> dict[str, _Pool | str]:
    """Return the tokens of each of :data:`SAMPLES`, or why there are none: the whole needs both kinds, a half one."""
    hard = _hard(pool)
    pool = pool.only(~pool.hard)
    alike = replace(pool, weights=None)
    halves = {"_random": alike.only(~pool.top), "_top": alike.only(pool.top)}
    absent = {name: f"there is no valid {name[1:]} excerpt" for name, half in halves.items() if not half.real.size}
    samples: dict[str, _Pool | str] = {"": alike, **halves, "_population": pool}
    return samples | (dict.fromkeys(("", "_population"), next(iter(absent.values()))) if absent else {}) | absent | hard


def _hard(pool: _Pool) -> dict[str, _Pool | str]:
    """Return the tokens of top and hard excerpts, or why there are no top ones; nothing where none is hard."""
    if not pool.hard.any():
        return {}
    both = replace(pool, weights=None).only(pool.top | pool.hard)
    return {HARD: both if pool.top.any() else "there is no valid top excerpt"}


def _values(item: SimulatedExcerpt, values: tuple[float, ...], kind: str) -> FloatArray:
    """Return the values at the scored positions; all are NaN if there are no values."""
    excerpt = item.excerpt
    place = f"the {kind} values of excerpt {excerpt.source or '?'}"
    if values and len(values) != len(excerpt.tokens):
        raise metrics.ScoreInputError(
            f"{place} number {len(values)}, but it has {len(excerpt.tokens)} tokens; each needs one."
        )
    array = np.array((values or (np.nan,) * len(excerpt.tokens))[excerpt.scored], dtype=np.float64)
    if np.isinf(array).any():
        raise metrics.ScoreInputError(f"{place} hold an infinity; a missing value is NaN, any other must be finite.")
    return array


def _why_missing(
    valid: Sequence[SimulatedExcerpt], present: npt.NDArray[np.bool_], maximum_missing: float
) -> str | None:
    """Return why a unit cannot be scored: excerpts, or too many tokens, without a simulation; None if it can."""
    failed = [item.simulation.outcome for item in valid if np.isnan(_values(item, item.simulation.expected, "")).all()]
    if failed:
        outcomes = ", ".join(sorted(set(failed)))
        return f"{len(failed)} of {len(valid)} valid excerpts have no simulation (outcome: {outcomes})"
    missing = int((~present).sum())
    if missing > maximum_missing * present.size:  # counted, for a share would pass its own bound by float noise
        share = f"{missing / present.size:.1%}"
        return f"{share} of the tokens have no simulation, more than the {maximum_missing:.1%} allowed"
    return None


# --------------------------------------------------------------------------------------------------------- the metrics


@dataclass
class _Panel:
    """The scores of a unit while they are computed."""

    tokens: int
    missing_tokens: int
    values: dict[str, float] = field(default_factory=dict)
    degenerate: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, suffix: str, sample: _Pool | str) -> None:
        """Record every metric of a set of tokens, or why there is none."""
        if isinstance(sample, str):
            self.missing.update({name + suffix: sample for name in _COMPUTE})
            return
        uncalibrated = np.isnan(sample.calibrated).any()
        for name, compute in _COMPUTE.items():
            if uncalibrated and name in AS_CALIBRATED:
                self.missing[name + suffix] = "the simulation could not be calibrated"
            else:
                self.attempt(name + suffix, partial(compute, sample))
        sides = sample.real, sample.simulated, sample.weights
        self.degenerate += [name + suffix for name, undefined in _BY_CONVENTION.items() if undefined(*sides)]
        if metrics.is_degenerate(*sample.clipped):
            self.degenerate.append(f"correlation_clipped{suffix}")

    def add_ceiling(self, sample: _Pool | str) -> None:
        """Record the score of the real levels, over all tokens."""
        if isinstance(sample, str):
            self.missing[CEILING] = sample
        else:
            self.values[CEILING] = metrics.correlation(sample.real, sample.levels)

    def attempt(self, name: str, compute: Callable[[], float]) -> None:
        """Record what ``compute`` returns, or why it is undefined."""
        try:
            self.values[name] = compute()
        except metrics.UndefinedScoreError as error:
            self.missing[name] = str(error).rstrip(".")


_COMPUTE: Mapping[str, Callable[[_Pool], float]] = {
    "correlation": lambda pool: metrics.correlation(pool.real, pool.simulated, pool.weights),
    "correlation_clipped": lambda pool: metrics.correlation(*pool.clipped),
    "spearman": lambda pool: metrics.spearman(pool.real, pool.simulated, pool.weights),
    "cosine": lambda pool: metrics.cosine(pool.real, pool.simulated, pool.weights),
    "auroc": lambda pool: ranking.auroc(pool.active, pool.simulated, pool.weights),
    "auprc": lambda pool: ranking.auprc(pool.active, pool.simulated, pool.weights),
    "auprc_balanced": lambda pool: ranking.auprc_balanced(pool.active, pool.simulated, pool.weights),
    "f1": lambda pool: ranking.f1(pool.active, pool.predicted, pool.weights),
    "r2_uncentred": lambda pool: metrics.r2_uncentred(pool.real, pool.calibrated, pool.weights),
    "abs_dev": lambda pool: metrics.abs_dev(pool.real, pool.calibrated, pool.weights),
    "explained_variance": lambda pool: metrics.explained_variance(pool.real, pool.calibrated, pool.weights),
}
_BY_CONVENTION = {
    "correlation": metrics.is_degenerate,
    "spearman": metrics.is_degenerate,
    "cosine": metrics.is_silent,
}
"""The metrics that are 0 by convention if they are undefined, with the test of that."""
