"""The panel: every score of one explained neuron, over the scored tokens of its valid excerpts, pooled.

======================  ==============================================================  ==============================
metric                  computed from                                                   over
======================  ==============================================================  ==============================
correlation (headline)  simulated values as the simulator gave them                     top and random excerpts
correlation_random      the same                                                        random excerpts
correlation_top         the same                                                        top excerpts
correlation_population  the same, each token weighted by its excerpt's ``weight``       top and random excerpts
r2_uncentred, abs_dev   calibrated values, in the unit of the activations               top and random excerpts
explained_variance      calibrated values                                               top and random excerpts
ablation                the subject's divergences under calibrated values               a few of each kind, see there
======================  ==============================================================  ==============================

Pooled means that tokens of all excerpts form one array: a mean of scores by excerpt would be another number.

A simulation that failed is never a score. If a valid excerpt has no simulation at all, or if more than
``maximum_missing`` of the tokens have none, every metric of the neuron is missing, with the reason; scoring it on the
rest would rank a simulator that fails on hard excerpts above one that answers. Fewer missing tokens are left out, and
counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from harness.scores import ablation, metrics
from harness.types import ExcerptKind, FloatArray, NeuroglossError, Scores, SimulatedExcerpt

METRICS = (
    "correlation",
    "correlation_random",
    "correlation_top",
    "correlation_population",
    "r2_uncentred",
    "abs_dev",
    "explained_variance",
    "ablation",
)


@dataclass(frozen=True)
class ScoreSettings:
    """How a run is scored.

    Attributes:
        calibration_top: number of top calibration excerpts that are simulated to calibrate on, for each neuron.
        calibration_random: number of random ones.
        ablation: whether the subject is run again with the neuron replaced by its simulation.
        ablation_top: number of top valid excerpts that are ablated, for each neuron.
        ablation_random: number of random ones.
        resamples: bootstrap resamples behind each interval.
        minimum_coverage: share of the neurons asked for that must have a headline score for a row to be ranked.
        maximum_missing: share of a neuron's tokens that may lack a simulation before the neuron has no score.
    """

    calibration_top: int = 5
    calibration_random: int = 5
    ablation: bool = True
    ablation_top: int = 2
    ablation_random: int = 2
    resamples: int = 9999
    minimum_coverage: float = 0.9
    maximum_missing: float = 0.05

    def __post_init__(self) -> None:
        _some("calibration", self.calibration_top, self.calibration_random, "")
        if self.ablation:
            _some("ablation", self.ablation_top, self.ablation_random, ", or scores.ablation=false")
        if self.resamples < 100:
            raise NeuroglossError(f"scores.resamples is {self.resamples}; an interval needs at least 100.")
        for name, share in (("minimum_coverage", self.minimum_coverage), ("maximum_missing", self.maximum_missing)):
            if not 0.0 <= share <= 1.0:
                raise NeuroglossError(f"scores.{name} is {share}; it is a share, so write a number from 0 to 1.")


def _some(name: str, top: int, random: int, otherwise: str) -> None:
    """Refuse numbers of excerpts that are negative, or leave none."""
    if min(top, random) < 0 or top + random == 0:
        raise NeuroglossError(
            f"scores.{name}_top={top} and scores.{name}_random={random} leave no excerpts for {name}; "
            f"set one of them above 0{otherwise}."
        )


DEFAULT = ScoreSettings()


def score(
    simulated: Sequence[SimulatedExcerpt],
    divergences: Sequence[float] | None = None,
    settings: ScoreSettings = DEFAULT,
) -> Scores:
    """All scores of one explained neuron.

    Args:
        simulated: its simulated excerpts; only those of the valid split count.
        divergences: the subject's answers to :func:`harness.scores.ablation.requests`; None where it was not asked.
        settings: which metrics, and how many missing tokens are too many.

    Returns:
        A value for each metric of :data:`METRICS` (``ablation`` only where the settings ask for it), or its name in
        ``missing`` with a sentence that says why.

    Raises:
        ScoreInputError: a simulation of another length than its excerpt, or an infinite value, with its source named.
    """
    valid = [item for item in simulated if item.split == "valid"]
    if not valid:
        return unscored("no valid excerpt was simulated", settings)
    pool = _pool(valid)
    given = ~np.isnan(pool.simulated)
    reason = _why_missing(valid, given, settings.maximum_missing)
    if reason:
        return unscored(reason, settings, int((~given).sum()))
    panel = _Panel(tokens=int(given.sum()), missing_tokens=int((~given).sum()))
    _correlations(panel, pool.only(given))
    _calibrated(panel, pool.only(given))
    if settings.ablation:
        _ablation(panel, divergences)
    return Scores(panel.values, tuple(panel.degenerate), panel.missing, panel.tokens, panel.missing_tokens)


def unscored(reason: str, settings: ScoreSettings = DEFAULT, missing_tokens: int = 0) -> Scores:
    """Scores of a neuron that has none, for ``reason``: no explanation, or no simulation to score."""
    names = [name for name in METRICS if name != "ablation" or settings.ablation]
    return Scores({}, (), dict.fromkeys(names, reason), 0, missing_tokens)


# ------------------------------------------------------------------------------------------------------ pooled tokens


@dataclass(frozen=True)
class _Pool:
    """The scored tokens of some excerpts as parallel arrays [tokens]; NaN where a simulation is missing."""

    real: FloatArray
    simulated: FloatArray
    calibrated: FloatArray
    weights: FloatArray
    top: npt.NDArray[np.bool_]

    def only(self, kept: npt.NDArray[np.bool_]) -> _Pool:
        """The tokens at which ``kept`` is true."""
        return _Pool(self.real[kept], self.simulated[kept], self.calibrated[kept], self.weights[kept], self.top[kept])


def _pool(items: Sequence[SimulatedExcerpt]) -> _Pool:
    real = [item.excerpt.activations[item.excerpt.scored] for item in items]
    lengths = [len(part) for part in real]
    return _Pool(
        real=np.concatenate(real),
        simulated=np.concatenate([_values(item, item.simulation.expected, "simulated") for item in items]),
        calibrated=np.concatenate([_values(item, item.calibrated, "calibrated") for item in items]),
        weights=np.repeat([item.excerpt.weight for item in items], lengths),
        top=np.repeat([item.excerpt.kind is ExcerptKind.TOP for item in items], lengths),
    )


def _values(item: SimulatedExcerpt, values: tuple[float, ...], what: str) -> FloatArray:
    """The values at the scored positions; all NaN where there are none at all."""
    excerpt = item.excerpt
    place = f"the {what} values of excerpt {excerpt.source or '?'}"
    if values and len(values) != len(excerpt.tokens):
        raise metrics.ScoreInputError(
            f"{place} number {len(values)}, but it has {len(excerpt.tokens)} tokens; each needs one."
        )
    array = np.array((values or (np.nan,) * len(excerpt.tokens))[excerpt.scored], dtype=np.float64)
    if np.isinf(array).any():
        raise metrics.ScoreInputError(f"{place} hold an infinity; a missing value is NaN, any other must be finite.")
    return array


def _why_missing(valid: Sequence[SimulatedExcerpt], given: npt.NDArray[np.bool_], maximum_missing: float) -> str | None:
    """Why the neuron can not be scored, if so: whole excerpts, or too many tokens, without a simulation."""
    failed = [item.simulation.outcome for item in valid if np.isnan(_values(item, item.simulation.expected, "")).all()]
    if failed:
        outcomes = ", ".join(sorted(set(failed)))
        return f"{len(failed)} of {len(valid)} valid excerpts have no simulation (outcome: {outcomes})"
    share = 1.0 - float(given.mean())
    if share > maximum_missing:
        return f"{share:.1%} of the tokens have no simulation, more than the {maximum_missing:.1%} allowed"
    return None


# --------------------------------------------------------------------------------------------------------- the metrics


@dataclass
class _Panel:
    """The scores of a neuron as they are worked out."""

    tokens: int
    missing_tokens: int
    values: dict[str, float] = field(default_factory=dict)
    degenerate: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def correlate(self, name: str, pool: _Pool, weights: FloatArray | None = None) -> None:
        """Record a correlation, and whether it is one by convention only."""
        self.values[name] = metrics.correlation(pool.real, pool.simulated, weights)
        if metrics.is_degenerate(pool.real, pool.simulated, weights):
            self.degenerate.append(name)

    def attempt(self, name: str, compute: Callable[[], float]) -> None:
        """Record what ``compute`` returns, or why it is undefined."""
        try:
            self.values[name] = compute()
        except metrics.UndefinedScoreError as error:
            self.missing[name] = str(error).rstrip(".")


def _correlations(panel: _Panel, pool: _Pool) -> None:
    """The headline and the population estimate need both kinds; each half needs its own."""
    halves = {"correlation_random": pool.only(~pool.top), "correlation_top": pool.only(pool.top)}
    empty = {
        name: f"there is no valid {name.rpartition('_')[2]} excerpt"
        for name, half in halves.items()
        if not half.real.size
    }
    if empty:
        panel.missing.update(dict.fromkeys(("correlation", "correlation_population"), next(iter(empty.values()))))
        panel.missing.update(empty)
    else:
        panel.correlate("correlation", pool)
        panel.correlate("correlation_population", pool, pool.weights)
    for name, half in halves.items():
        if name not in empty:
            panel.correlate(name, half)


def _calibrated(panel: _Panel, pool: _Pool) -> None:
    """The scores in activation units, on calibrated values."""
    names = {
        "r2_uncentred": metrics.r2_uncentred,
        "abs_dev": metrics.abs_dev,
        "explained_variance": metrics.explained_variance,
    }
    for name, metric in names.items():
        if np.isnan(pool.calibrated).any():
            panel.missing[name] = "the simulation could not be calibrated"
        else:
            panel.attempt(name, partial(metric, pool.real, pool.calibrated))


def _ablation(panel: _Panel, divergences: Sequence[float] | None) -> None:
    if divergences is None:
        panel.missing["ablation"] = "the subject was not asked"
    elif not divergences:
        panel.missing["ablation"] = "an excerpt to ablate lacks token ids or calibrated values"
    else:
        panel.attempt("ablation", partial(ablation.score, divergences))
