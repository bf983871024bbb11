"""From measurements to a verdict on each metric: pass or fail, by a bound that is stated, and a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from harness import stats
from harness.results.audit import NOWHERE, Finding, Test, Verdict
from harness.results.rows import Resampling
from harness.stats import PairedDifference
from harness.studies import retest
from harness.studies.labels import Drops
from harness.text import figure, span
from harness.types import Interval, Unit

SHARE = 0.9
"""A metric passes a label test where its score drops in more than this share of the draws (Oikarinen et al. 2025)."""
SIGNIFICANT = 0.05
"""It passes a null where the corrected p-value is below this, and the interval of the difference above 0."""
RELIABLE = 0.9
"""It passes the retest where its reliability is at least this ("excellent", Koo & Li 2016)."""

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
        return untested(metric, test, "it has no sound score under the true labels of any unit")
    share = resampling.interval(drops.shares)
    change = math.fsum(drops.changes.values()) / len(drops.changes)
    figures = {
        "mean_change": change,
        "labels": drops.labels,
        "corrupted_labels": drops.corrupted,
        "units": float(len(drops.shares)),
        "untested_units": float(drops.untested),
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
    if not drops.untested:
        return ""
    return f"; {drops.untested} of {drops.untested + len(drops.shares)} units have no sound score to begin with"


# ---------------------------------------------------------------------------------------------------------------- nulls


def of_null(
    test: Test, scores: Mapping[str, Values], null: Mapping[str, Values], resampling: Resampling
) -> list[Verdict]:
    """Return whether a unit's own explanation outscores a null, metric by metric.

    The p-values of all metrics are corrected together (Holm): of many metrics that see nothing, one in twenty would
    pass by itself. A verdict therefore hangs on how large the panel is.

    Args:
        test: which null.
        scores: metric -> score of each unit's own explanation.
        null: the same of the null, averaged over its draws.
        resampling: how intervals are made.
    """
    metrics = [metric for metric in scores if scores[metric].keys() & null.get(metric, {}).keys()]
    differences = [resampling.difference(scores[metric], null[metric]) for metric in metrics]
    corrected = stats.holm([difference.p_value for difference in differences])
    panel = sum(not math.isnan(p_value) for p_value in corrected)
    return [
        _of_difference(metric, test, (scores[metric], null[metric]), difference, (p_value, panel))
        for metric, difference, p_value in zip(metrics, differences, corrected, strict=True)
    ]


def _of_difference(
    metric: str, test: Test, sides: tuple[Values, Values], paired: PairedDifference, corrected: tuple[float, int]
) -> Verdict:
    """Return the verdict on one metric; ``corrected`` is its p-value among those of so many metrics."""
    if math.isnan(paired.p_value):
        return untested(metric, test, "a difference needs two units that both sides have a score of")
    units = sides[0].keys() & sides[1].keys()
    means = [math.fsum(side[unit] for unit in units) / len(units) for side in sides]
    figures = {
        "own": means[0],
        "null": means[1],
        "p_value": paired.p_value,
        "corrected": corrected[0],
        "units": float(len(units)),
    }
    difference = paired.interval
    passes = difference.low > 0 and corrected[0] < SIGNIFICANT
    sentence = (
        f"{_verb(metric, passes)} {AGAINST[test]}: {figure(means[0])} against {figure(means[1])}, "
        f"difference {figure(difference.mean)} ({span(difference)}), p = {figure(paired.p_value)}, "
        f"{figure(corrected[0])} corrected for {corrected[1]} metrics."
    )
    return Verdict(metric, test, _finding(passes), difference.mean, difference, figures, sentence)


def _verb(metric: str, passes: bool) -> str:
    if passes:
        return f"{metric} tells a unit's own explanation from"
    return f"By {metric} a unit's own explanation cannot be told from"


# --------------------------------------------------------------------------------------------------------------- retest


def of_repeats(metric: str, repeats: Sequence[Values], seeded: bool, resampling: Resampling) -> Verdict:
    """Return whether asking the simulator again gives the same scores.

    Only units that are scored each time can be compared.

    Args:
        metric: which.
        repeats: the score of each unit, each time that the simulator was asked.
        seeded: whether each repeat had a seed of its own.
        resampling: how intervals are made.
    """
    units = sorted(set.intersection(*(set(values) for values in repeats)))
    scores = np.array([[values[unit] for values in repeats] for unit in units]).reshape(len(units), len(repeats))
    reliability, spread = retest.reliability(scores), retest.spread(scores)
    if math.isnan(reliability):
        return untested(metric, Test.RETEST, "it needs two units with a score each time, and scores that differ")
    passes = reliability >= RELIABLE
    interval = resampling.interval(dict(zip(units, scores.std(axis=1, ddof=1).tolist(), strict=True)))
    how = "with another seed" if seeded else "past the store (the simulator has no seed)"
    sentence = (
        f"{metric} has a test-retest reliability of {figure(reliability)} over {len(repeats)} askings {how}, "
        f"{'at least' if passes else 'below'} {RELIABLE}; a unit's score has a standard deviation of {_small(spread)}."
    )
    figures = {"spread": spread, "units": float(len(units)), "repeats": float(len(repeats))}
    return Verdict(metric, Test.RETEST, _finding(passes), reliability, interval, figures, sentence)


def _small(value: float) -> str:
    return figure(value) if value >= 0.001 or value == 0 else f"{value:.0e}"


# ---------------------------------------------------------------------------------------------------------------- words


def _finding(passes: bool) -> Finding:
    return Finding.PASS if passes else Finding.FAIL


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _ends(share: Interval) -> str:
    return "" if math.isnan(share.low) else f" ({_percent(share.low)} to {_percent(share.high)})"
