"""From measurements to a verdict on each metric: pass or fail, by a bound that is stated, and a sentence."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.report.resolution import in_words, too_few
from harness.results.audit import NOWHERE, Finding, Test, Verdict
from harness.results.rows import Resampling
from harness.stats import SIGNIFICANT, PairedDifference, unbounded
from harness.studies import retest
from harness.studies.labels import Drops
from harness.text import figure, span
from harness.types import FloatArray, Interval, Unit

SHARE = 0.9
"""A metric passes a label test where its score drops in more than this share of the draws (Oikarinen et al. 2025)."""
RELIABLE = 0.9
RELIABLE_ON_OTHERS = 0.75
"""It passes the retest where its reliability over askings is at least the first ("excellent", Koo & Li 2016), and that
between two sets of excerpts at least the second ("good")."""

UNLIKE = "it depends on the share of tokens that fire, which differs between the subjects"

Values = Mapping[Unit, float]
"""A metric's score of each unit that has one."""

AGAINST = {
    Test.SHUFFLED: "the explanation of another unit",
    Test.RANDOM: "words drawn at random",
    Test.REINITIALISED: "an explanation of the re-initialised subject",
}
"""What a unit's own explanation is held against in each null."""


def untested(metric: str, test: Test, why: str) -> Verdict:
    """Return the verdict on a metric that a test has no values of."""
    return Verdict(metric, test, Finding.UNTESTED, math.nan, NOWHERE, {}, f"{metric} was not tested: {why}.")


# --------------------------------------------------------------------------------------------------------------- labels


def of_labels(metric: str, test: Test, drops: Drops, resampling: Resampling) -> Verdict:
    """Return whether a metric drops often enough under corrupted labels; draws are averaged within each unit first."""
    if not drops.shares:
        return untested(
            metric, test, "it has no sound score under the true labels of any unit, or no draw corrupted any"
        )
    share = resampling.interval(drops.shares, "beats")  # a share, which lies between 0 and 1
    change = math.fsum(drops.changes.values()) / len(drops.changes)
    figures = {
        "mean_change": change,
        "labels": drops.labels,
        "corrupted_labels": drops.corrupted,
        "units": float(len(drops.shares)),
        "untested_units": float(drops.untested),
        "idle": drops.idle,
    }
    passes = share.mean > SHARE
    sentence = _of_drops(metric, test, drops, share, change)
    return Verdict(metric, test, _finding(passes), share.mean, share, figures, sentence)


def _of_drops(metric: str, test: Test, drops: Drops, share: Interval, change: float) -> str:
    cause = "half of the labels are taken away" if test is Test.MISSING_LABELS else "as many tokens again are labelled"
    return (
        f"{metric} drops in {_percent(share.mean)} of the draws{_ends(share)} when {cause}, "
        f"{'more' if share.mean > SHARE else 'not more'} than {_percent(SHARE)}; its mean change is {figure(change)}, "
        f"as the valid excerpts of a unit go from {drops.labels:.1f} labels to {drops.corrupted:.1f}{_unsound(drops)}."
    )


def _unsound(drops: Drops) -> str:
    idle = f"; {_percent(drops.idle)} of the draws corrupted nothing, and are left out" if drops.idle else ""
    if not drops.untested:
        return idle
    units = drops.untested + len(drops.shares)
    return f"{idle}; {drops.untested} of {units} units have no sound score to begin with, or no corrupted draw"


# ---------------------------------------------------------------------------------------------------------------- nulls


def of_null(
    test: Test, scores: Mapping[str, Values], null: Mapping[str, Values], resampling: Resampling
) -> list[Verdict]:
    """Return whether a unit's own explanation outscores a null, metric by metric.

    Subjects differ in how many tokens fire: against the re-initialised one, what depends on that share is compared at a
    share of one half, and what is unbounded below is clipped at 0.

    The metrics are one family (:func:`harness.stats.sign_flips`): near-copies count as one, and of many metrics that
    see nothing none passes by chance. A metric that could not have passed with so few units is not tested.

    Args:
        test: which null.
        scores: metric -> score of each unit's own explanation.
        null: the same of the null, averaged over its draws.
        resampling: how p-values are made.
    """
    if test is Test.REINITIALISED:
        scores, null = _alike(scores), _alike(null)
    unlike = [metric for metric in scores if test is Test.REINITIALISED and metric.startswith("f1")]
    metrics = [
        metric for metric in scores if scores[metric].keys() & null.get(metric, {}).keys() and metric not in unlike
    ]
    differences = resampling.differences([(scores[metric], null[metric]) for metric in metrics], metrics)
    return [
        *(
            _of_difference(metric, test, (scores[metric], null[metric]), difference)
            for metric, difference in zip(metrics, differences, strict=True)
        ),
        *(untested(metric, test, UNLIKE) for metric in unlike),
    ]


def _alike(scores: Mapping[str, Values]) -> dict[str, Values]:
    """Return scores that can be compared between subjects."""
    alike: dict[str, Values] = {}
    for metric, values in scores.items():
        if unbounded(metric):
            alike[metric] = {unit: max(0.0, value) for unit, value in values.items()}
        elif metric.startswith("auprc") and not metric.startswith("auprc_balanced"):
            alike[metric] = scores.get(metric.replace("auprc", "auprc_balanced", 1), values)
        else:
            alike[metric] = values
    return alike


def _of_difference(metric: str, test: Test, sides: tuple[Values, Values], paired: PairedDifference) -> Verdict:
    if math.isnan(paired.p_value):
        return untested(metric, test, "a difference needs two units that both sides have a score of")
    resolution = in_words(paired.interval, paired.least, paired.deviation, metric)
    means = [_middle(metric, sides[place], sides[1 - place].keys()) for place in (0, 1)]
    if too_few(paired.least):
        return replace(untested(metric, test, resolution), figures=_figures(means, paired))
    difference = paired.interval
    passes = difference.low > 0 and paired.corrected < SIGNIFICANT
    sentence = (
        f"{_verb(metric, passes)} {AGAINST[test]}: {figure(means[0])} against {figure(means[1])}, "
        f"difference {figure(difference.mean)} ({span(difference)}), p = {figure(paired.p_value)}, "
        f"{figure(paired.corrected)} corrected{'' if passes else f'; {resolution}'}."
    )
    return Verdict(metric, test, _finding(passes), difference.mean, difference, _figures(means, paired), sentence)


def _middle(metric: str, values: Values, units: Collection[Unit]) -> float:
    """Return the mean of a metric over some units, or its median if it is unbounded."""
    scores = [value for unit, value in values.items() if unit in units]
    return statistics.median(scores) if unbounded(metric) else math.fsum(scores) / len(scores)


def _figures(means: Sequence[float], paired: PairedDifference) -> dict[str, float]:
    return {
        "own": means[0],
        "null": means[1],
        "p_value": paired.p_value,
        "corrected": paired.corrected,
        "least": paired.least,
        "units": float(paired.interval.units),
    }


def _verb(metric: str, passes: bool) -> str:
    if passes:
        return f"{metric} tells a unit's own explanation from"
    return f"By {metric} a unit's own explanation cannot be told from"


# --------------------------------------------------------------------------------------------------------------- retest


def of_repeats(
    metric: str, repeats: Sequence[Values], on_test: Values, seeded: bool, resampling: Resampling
) -> Verdict:
    """Return whether a unit's score is reliable: asked again, and on other excerpts.

    A simulator without a seed is deterministic, so that asking it again says nothing. What can differ is the excerpts:
    the scores of a unit on its valid and on its test excerpts should agree. Only units that are scored each time can be
    compared.

    Args:
        metric: which.
        repeats: the score of each unit, each time that the simulator was asked.
        on_test: the score of each unit by its test excerpts; empty if there is none.
        seeded: whether each repeat had a seed of its own.
        resampling: how intervals are made.
    """
    units, asked = _together(repeats)
    again, spread = retest.reliability(asked), retest.spread(asked)
    _, by_split = _together([repeats[0], on_test])
    reliability = retest.reliability_interval(by_split)
    if math.isnan(again) or (on_test and math.isnan(reliability.mean)):
        return untested(metric, Test.RETEST, "it needs two units with a score each time, and scores that differ")
    passes = again >= RELIABLE and (not on_test or reliability.mean >= RELIABLE_ON_OTHERS)
    figures = {"spread": spread, "asked_again": again, "units": float(len(units)), "repeats": float(len(repeats))}
    interval = resampling.interval(dict(zip(units, asked.std(axis=1, ddof=1).tolist(), strict=True)), "")
    sentence = f"{_of_excerpts(metric, reliability)}{_of_asking(metric, again, spread, len(repeats), seeded)}."
    value, interval = (reliability.mean, reliability) if on_test else (again, interval)
    return Verdict(metric, Test.RETEST, _finding(passes), value, interval, figures, sentence)


def _together(scores: Sequence[Values]) -> tuple[list[Unit], FloatArray]:
    """Return the units that are scored each time, and their scores [units, times]."""
    units = sorted(set.intersection(*(set(values) for values in scores)))
    return units, np.array([[values[unit] for values in scores] for unit in units]).reshape(len(units), len(scores))


def _of_excerpts(metric: str, reliability: Interval) -> str:
    if math.isnan(reliability.mean):
        return ""
    bound = f"{'at least' if reliability.mean >= RELIABLE_ON_OTHERS else 'below'} {RELIABLE_ON_OTHERS}"
    return (
        f"{metric} has a reliability of {figure(reliability.mean)} ({span(reliability)}) between the valid and the "
        f"test excerpts of {reliability.units} units, {bound}; "
    )


def _of_asking(metric: str, again: float, spread: float, times: int, seeded: bool) -> str:
    if seeded:
        return f"asked {times} times with another seed, the simulator gives {metric} a reliability of {figure(again)}"
    return (
        f"asked {times} times past the store, the simulator, which has no seed, gives {metric} with a standard "
        f"deviation of {_small(spread)}, which says only that it is deterministic"
    )


def _small(value: float) -> str:
    return figure(value) if value >= 0.001 or value == 0 else f"{value:.0e}"


# ---------------------------------------------------------------------------------------------------------------- words


def _finding(passes: bool) -> Finding:
    return Finding.PASS if passes else Finding.FAIL


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _ends(share: Interval) -> str:
    return "" if math.isnan(share.low) else f" ({_percent(share.low)} to {_percent(share.high)})"
