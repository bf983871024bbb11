"""The panel: every score of one explained neuron, over the scored tokens of its valid excerpts, pooled.

==================  ==============================================================  ===================  ============
metric              computed from                                                   range, worth nothing  of a constant
==================  ==============================================================  ===================  ============
correlation         simulated values as the simulator gave them                     -1 to 1, 0           0, flagged
spearman            their ranks                                                     -1 to 1, 0           0, flagged
cosine              simulated values; 0 is silence                                  -1 to 1              0 if silent
auroc               how they rank active tokens                                     0 to 1, 0.5          0.5
auprc               how they rank active tokens                                     0 to 1, share active  share active
f1                  calibrated values above the threshold of active tokens          0 to 1               all or none
r2_uncentred        calibrated values, in the unit of the activations               up to 1, 0           up to 1
abs_dev             calibrated values                                               up to 1, 0           up to 1
explained_variance  calibrated values                                               up to 1, 0           up to 0
==================  ==============================================================  ===================  ============

Each is computed over four sets of tokens, and named by them: ``correlation`` (the headline) over top and random
excerpts together, ``correlation_random`` and ``correlation_top`` over one half, ``correlation_population`` over both,
each token weighted by its excerpt's inverse sampling probability, which estimates the score over all text.

On a few excerpts of each kind the subject is run with the calibrated values in the neuron's place. ``ablation``,
``ablation_zero`` and ``ablation_resample`` are what the divergence of its output is worth beside that of a neuron
silenced in each way, ``ablation_loss`` what its change in next-token loss is worth beside that of mean-ablation: 1 at
most, 0 for silence, undefined (and missing) where silence changes nothing. ``loss_change`` is that change itself in
nats a token: no score, for it is best at 0.

``detection`` and ``fuzzing`` (:mod:`harness.scores.judged`) join the panel where the settings name judges.

A token is *active* where its real level is ``active_level`` or more: where its activation is at least that many tenths
of the neuron's largest over the valid excerpts.

A simulation that failed is never a score. If a valid excerpt has no simulation at all, or if more than
``maximum_missing`` of the tokens have none, every metric of the neuron is missing, with the reason; scoring it on the
rest would rank a simulator that fails on hard excerpts above one that answers. Fewer missing tokens are left out, and
counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.scores import ablation, judged, metrics, ranking
from harness.types import (
    CalibrationMethod,
    Effect,
    ExcerptKind,
    FloatArray,
    Judged,
    NeuroglossError,
    Scores,
    SimulatedExcerpt,
)

AS_SIMULATED = ("correlation", "spearman", "cosine", "auroc", "auprc")
"""The metrics of values as the simulator gave them."""
AS_CALIBRATED = ("f1", "r2_uncentred", "abs_dev", "explained_variance")
"""The metrics of values in activation units."""
JUDGED_SPLITS = ("test", "valid")
"""The splits that may be judged: nothing of them was explained or calibrated on."""
SAMPLES = ("", "_random", "_top", "_population")
"""What the name of a metric ends in, by the tokens that it is over."""
ABLATION = (*ablation.AGAINST, "ablation_loss", "loss_change")
"""What is computed from the subject's output, see :mod:`harness.scores.ablation`."""
METRICS = (*(metric + sample for metric in (*AS_SIMULATED, *AS_CALIBRATED) for sample in SAMPLES), *ABLATION)


@dataclass(frozen=True)
class ScoreSettings:
    """How a run is scored.

    Attributes:
        calibration: how simulated units are mapped to activation units: ``linear``, ``percentile`` or ``isotonic``.
        calibration_top: number of top calibration excerpts that are simulated to calibrate on, for each neuron.
        calibration_random: number of random ones.
        active_level: the level, from 1 to 10, from which a token counts as active (auroc, auprc, f1).
        ablation: whether the subject is run again with the neuron replaced by its simulation.
        ablation_top: number of top valid excerpts that are ablated, for each neuron.
        ablation_random: number of random ones.
        resamples: bootstrap resamples behind each interval, rank and p-value.
        by_layer: whether they draw whole layers, for neurons of one layer may be alike.
        minimum_coverage: share of the neurons asked for that must have a headline score for a row to be ranked.
        maximum_missing: share of a neuron's tokens that may lack a simulation before the neuron has no score; and of a
            judge's cases that may lack an answer.
        judges: what is asked about excerpts, yes or no, by its name: ``detection`` and ``fuzzing``, each a node of the
            config; none where it is empty.
        judged_split: the excerpts that they are asked about, ``test`` or ``valid``.
        judged_level: the level, from 1 to 10, from which a token is active to them. Higher than ``active_level``: most
            neurons of an MLP reach a tenth of their largest activation somewhere in any text, and then there is nothing
            to tell apart.
    """

    calibration: str = CalibrationMethod.LINEAR.value
    calibration_top: int = 5
    calibration_random: int = 5
    active_level: int = 1
    ablation: bool = True
    ablation_top: int = 2
    ablation_random: int = 2
    resamples: int = 9999
    by_layer: bool = False
    minimum_coverage: float = 0.9
    maximum_missing: float = 0.05
    judges: dict[str, Any] = field(default_factory=dict)
    judged_split: str = "test"
    judged_level: int = 3

    def __post_init__(self) -> None:
        methods = [method.value for method in CalibrationMethod]
        if self.calibration not in methods:
            raise NeuroglossError(f"scores.calibration is {self.calibration!r}; write one of {', '.join(methods)}.")
        _some("calibration", self.calibration_top, self.calibration_random, "")
        if self.ablation:
            _some("ablation", self.ablation_top, self.ablation_random, ", or scores.ablation=false")
        for name, level in (("active_level", self.active_level), ("judged_level", self.judged_level)):
            if not 1 <= level <= 10:
                raise NeuroglossError(f"scores.{name} is {level}; write a level from 1 to 10.")
        if self.resamples < 100:
            raise NeuroglossError(f"scores.resamples is {self.resamples}; an interval needs at least 100.")
        _check_judges(self.judges, self.judged_split)
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


def _check_judges(judges: Mapping[str, Any], split: str) -> None:
    unknown = [name for name in judges if name not in judged.CASES]
    if unknown:
        raise NeuroglossError(f"there is no judge {unknown[0]}; scores.judges can have: {', '.join(judged.CASES)}.")
    if split not in JUDGED_SPLITS:
        raise NeuroglossError(
            f"scores.judged_split is {split!r}; write {' or '.join(JUDGED_SPLITS)}: what was explained or calibrated "
            "on is never judged."
        )


DEFAULT = ScoreSettings()


def score(
    simulated: Sequence[SimulatedExcerpt],
    effects: Mapping[ablation.Way, Sequence[Effect]] | None = None,
    settings: ScoreSettings = DEFAULT,
) -> Scores:
    """All scores of one explained neuron.

    Args:
        simulated: its simulated excerpts; only those of the valid split count.
        effects: the subject's answers to :func:`harness.scores.ablation.requests`; None where it was not asked.
        settings: which metrics, and how many missing tokens are too many.

    Returns:
        A value for each metric of :data:`METRICS` (of ablation only where the settings ask for it), or its name in
        ``missing`` with a sentence that says why.

    Raises:
        ScoreInputError: a simulation of another length than its excerpt, or an infinite value, with its source named.
    """
    valid = [item for item in simulated if item.split == "valid"]
    if not valid:
        return unscored("no valid excerpt was simulated", settings)
    pool = _pool(valid, settings.active_level)
    given = ~np.isnan(pool.simulated)
    reason = _why_missing(valid, given, settings.maximum_missing)
    if reason:
        return unscored(reason, settings, int((~given).sum()))
    panel = _Panel(tokens=int(given.sum()), missing_tokens=int((~given).sum()))
    for suffix, sample in _samples(pool.only(given)).items():
        panel.add(suffix, sample)
    if settings.ablation:
        _ablation(panel, effects)
    return Scores(panel.values, tuple(panel.degenerate), panel.missing, panel.tokens, panel.missing_tokens)


def with_judgements(
    scores: Scores, found: Sequence[Judged], settings: ScoreSettings, probabilities: Mapping[str, bool]
) -> Scores:
    """Scores with the figures of each judge added, see :mod:`harness.scores.judged`.

    Args:
        scores: of the same explanation.
        found: its cases, of all judges; none where the explanation has no words to judge.
        settings: which judges there are, and how many answers may be missing.
        probabilities: whether each judge gives probabilities.
    """
    values, missing = dict(scores.values), dict(scores.missing)
    for name in settings.judges:
        own = [one for one in found if one.judge == name]
        more, absent = judged.figures(name, own, settings.maximum_missing, probabilities[name])
        values |= more
        missing |= absent
    silent = sum(math.isnan(one.judgement.probability) for one in found)
    return replace(scores, values=values, missing=missing, judgements=len(found), missing_judgements=silent)


def unscored(reason: str, settings: ScoreSettings = DEFAULT, missing_tokens: int = 0) -> Scores:
    """Scores of a neuron that has none, for ``reason``: no explanation, or no simulation to score."""
    names = [name for name in METRICS if name not in ABLATION or settings.ablation]
    return Scores({}, (), dict.fromkeys(names, reason), 0, missing_tokens)


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
    threshold: float

    def only(self, kept: npt.NDArray[np.bool_]) -> _Pool:
        """The tokens at which ``kept`` is true."""
        weights = None if self.weights is None else self.weights[kept]
        arrays = (self.real[kept], self.simulated[kept], self.calibrated[kept], weights, self.top[kept])
        return _Pool(*arrays, self.threshold)

    @property
    def active(self) -> npt.NDArray[np.bool_]:
        """Where the neuron fires."""
        return self._reaches(self.real)

    @property
    def predicted(self) -> npt.NDArray[np.bool_]:
        """Where the calibrated simulation does."""
        return self._reaches(self.calibrated)

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
        threshold=active_level / 10 * float(together.max(initial=0.0)),
    )


def _samples(pool: _Pool) -> dict[str, _Pool | str]:
    """The tokens behind each of :data:`SAMPLES`, or why there are none: the whole needs both kinds, a half its own."""
    alike = replace(pool, weights=None)
    halves = {"_random": alike.only(~pool.top), "_top": alike.only(pool.top)}
    absent = {name: f"there is no valid {name[1:]} excerpt" for name, half in halves.items() if not half.real.size}
    both: dict[str, _Pool | str] = {"": alike, **halves, "_population": pool}
    return both | (dict.fromkeys(("", "_population"), next(iter(absent.values()))) if absent else {}) | absent


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
    """Why the neuron cannot be scored, if so: whole excerpts, or too many tokens, without a simulation."""
    failed = [item.simulation.outcome for item in valid if np.isnan(_values(item, item.simulation.expected, "")).all()]
    if failed:
        outcomes = ", ".join(sorted(set(failed)))
        return f"{len(failed)} of {len(valid)} valid excerpts have no simulation (outcome: {outcomes})"
    lost = int((~given).sum())
    if lost > maximum_missing * given.size:  # counted, for a share would pass its own bound by float noise
        return f"{lost / given.size:.1%} of the tokens have no simulation, more than the {maximum_missing:.1%} allowed"
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

    def attempt(self, name: str, compute: Callable[[], float]) -> None:
        """Record what ``compute`` returns, or why it is undefined."""
        try:
            self.values[name] = compute()
        except metrics.UndefinedScoreError as error:
            self.missing[name] = str(error).rstrip(".")


_COMPUTE: Mapping[str, Callable[[_Pool], float]] = {
    "correlation": lambda pool: metrics.correlation(pool.real, pool.simulated, pool.weights),
    "spearman": lambda pool: metrics.spearman(pool.real, pool.simulated, pool.weights),
    "cosine": lambda pool: metrics.cosine(pool.real, pool.simulated, pool.weights),
    "auroc": lambda pool: ranking.auroc(pool.active, pool.simulated, pool.weights),
    "auprc": lambda pool: ranking.auprc(pool.active, pool.simulated, pool.weights),
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
"""The metrics that are 0 by convention where they are undefined, and what tells that they are."""


def _ablation(panel: _Panel, effects: Mapping[ablation.Way, Sequence[Effect]] | None) -> None:
    if not effects:
        asked = effects is not None
        reason = "an excerpt to ablate lacks token ids or calibrated values" if asked else "the subject was not asked"
        panel.missing.update(dict.fromkeys(ABLATION, reason))
        return
    simulated = effects[ablation.Way.SIMULATION]
    for name, way in ablation.AGAINST.items():
        if way in effects:
            sides = [[effect.divergence for effect in some] for some in (simulated, effects[way])]
            panel.attempt(name, partial(ablation.score, *sides))
        else:
            panel.missing[name] = "there is no random calibration excerpt to resample from"
    if any(math.isnan(effect.loss_change) for effect in simulated):
        panel.missing.update(dict.fromkeys(("ablation_loss", "loss_change"), "an excerpt of one token has no loss"))
        return
    changes = [[effect.loss_change for effect in some] for some in (simulated, effects[ablation.Way.MEAN])]
    panel.attempt("ablation_loss", partial(ablation.loss_score, *changes))
    panel.values["loss_change"] = math.fsum(changes[0]) / len(changes[0])
