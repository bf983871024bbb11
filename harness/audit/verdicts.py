"""From what was measured to a verdict on each metric: pass or fail, by a bound that is stated, and a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness import stats
from harness.audit import retest
from harness.audit.labels import Drops
from harness.audit_results import NOWHERE, Finding, Test, Verdict
from harness.results import figure, span
from harness.stats import PairedDifference
from harness.types import Interval, NeuronId

SHARE = 0.9
"""A metric passes a label test where its score drops in more than this share of the draws (Oikarinen et al. 2025)."""
SIGNIFICANT = 0.05
"""It passes a null where the corrected p-value is below this, and the interval of the difference above 0."""
RELIABLE = 0.9
"""It passes the retest where its reliability is at least this ("excellent", Koo & Li 2016)."""

Values = Mapping[NeuronId, float]
"""A metric's score of each neuron that has one."""


@dataclass(frozen=True)
class Resampling:
    """How intervals and permutation tests are made: the seed, how many resamples, and whether whole layers are drawn
    and flipped, as on the board of the run."""

    seed: int
    resamples: int
    by_layer: bool = False

    def interval(self, scores: Values) -> Interval:
        """Of the mean over neurons."""
        return stats.neuron_interval(scores, self.seed, self.resamples, self.by_layer)

    def difference(self, own: Values, null: Values) -> PairedDifference:
        """Over the neurons that both have."""
        return stats.paired_difference(own, null, self.seed, self.resamples, self.by_layer)


def untested(metric: str, test: Test, why: str) -> Verdict:
    """The verdict on a metric that a test has no values of."""
    return Verdict(metric, test, Finding.UNTESTED, math.nan, NOWHERE, {}, f"{metric} was not tested: {why}.")


def of_labels(metric: str, test: Test, drops: Drops, by: Resampling) -> Verdict:
    """Whether a metric drops often enough under corrupted labels; draws are averaged within each neuron first."""
    if not drops.shares:
        return untested(metric, test, "it has no sound score under the true labels of any neuron")
    share = by.interval(drops.shares)
    change = math.fsum(drops.changes.values()) / len(drops.changes)
    passed = share.mean > SHARE
    done = "half of the labels are taken away" if test is Test.MISSING_LABELS else "as many tokens again are labelled"
    sentence = (
        f"{metric} drops in {_percent(share.mean)} of the draws{_ends(share)} when {done}, "
        f"{'more' if passed else 'not more'} than {_percent(SHARE)}; its mean change is {figure(change)}, as the "
        f"valid excerpts of a neuron go from {drops.labels:.1f} labels to {drops.corrupted:.1f}{_left_out(drops)}."
    )
    figures = {
        "mean_change": change,
        "labels": drops.labels,
        "corrupted_labels": drops.corrupted,
        "neurons": float(len(drops.shares)),
        "untested_neurons": float(drops.untested),
    }
    return Verdict(metric, test, _finding(passed), share.mean, share, figures, sentence)


def of_null(test: Test, own: Mapping[str, Values], null: Mapping[str, Values], by: Resampling) -> list[Verdict]:
    """Whether a neuron's own explanation outscores a null, metric by metric.

    The p-values of all metrics are corrected together (Holm): of many metrics that see nothing, one in twenty would
    pass by itself. A verdict therefore hangs on how large the panel is.

    Args:
        test: which null.
        own: metric -> score of each neuron's own explanation.
        null: the same of the null, averaged over its draws.
        by: how intervals are made.
    """
    metrics = [metric for metric in own if own[metric].keys() & null.get(metric, {}).keys()]
    found = [by.difference(own[metric], null[metric]) for metric in metrics]
    corrected = stats.holm([one.p_value for one in found])
    panel = sum(not math.isnan(p_value) for p_value in corrected)
    return [
        _of_difference(metric, test, (own[metric], null[metric]), one, (p_value, panel))
        for metric, one, p_value in zip(metrics, found, corrected, strict=True)
    ]


def of_repeats(metric: str, repeats: Sequence[Values], seeded: bool, by: Resampling) -> Verdict:
    """Whether asking the simulator again gives the same scores; only neurons scored each time can be compared.

    Args:
        metric: which.
        repeats: the score of each neuron, each time it was asked.
        seeded: whether each repeat had a seed of its own.
        by: how intervals are made.
    """
    neurons = sorted(set.intersection(*(set(one) for one in repeats)))
    scores = np.array([[one[neuron] for one in repeats] for neuron in neurons]).reshape(len(neurons), len(repeats))
    reliability = retest.reliability(scores)
    if math.isnan(reliability):
        return untested(metric, Test.RETEST, "it needs two neurons with a score each time, and scores that differ")
    moved, passed = retest.spread(scores), reliability >= RELIABLE
    interval = by.interval(dict(zip(neurons, scores.std(axis=1, ddof=1).tolist(), strict=True)))
    how = "with another seed" if seeded else "past the store (the simulator has no seed)"
    sentence = (
        f"{metric} has a test-retest reliability of {figure(reliability)} over {len(repeats)} askings {how}, "
        f"{'at least' if passed else 'below'} {RELIABLE}; a neuron's score has a standard deviation of {_small(moved)}."
    )
    figures = {"spread": moved, "neurons": float(len(neurons)), "repeats": float(len(repeats))}
    return Verdict(metric, Test.RETEST, _finding(passed), reliability, interval, figures, sentence)


def _of_difference(
    metric: str, test: Test, sides: tuple[Values, Values], found: PairedDifference, corrected: tuple[float, int]
) -> Verdict:
    """The verdict on one metric; ``corrected`` is its p-value among those of so many metrics."""
    difference, p_value = found.interval, found.p_value
    both = sides[0].keys() & sides[1].keys()
    own, null = (math.fsum(side[neuron] for neuron in both) / len(both) for side in sides)
    figures = {"own": own, "null": null, "p_value": p_value, "corrected": corrected[0], "neurons": float(len(both))}
    if math.isnan(p_value):
        return untested(metric, test, "a difference needs two neurons that both sides have a score of")
    passed = difference.low > 0 and corrected[0] < SIGNIFICANT
    against = {
        Test.SHUFFLED: "the explanation of another neuron",
        Test.RANDOM: "words drawn at random",
        Test.REINITIALISED: "an explanation of the re-initialised subject",
    }[test]
    told = "own explanation from" if passed else "own explanation cannot be told from"
    verb = f"{metric} tells a neuron's {told}" if passed else f"By {metric} a neuron's {told}"
    sentence = (
        f"{verb} {against}: {figure(own)} against {figure(null)}, difference {figure(difference.mean)} "
        f"({span(difference)}), p = {figure(p_value)}, {figure(corrected[0])} corrected for {corrected[1]} metrics."
    )
    return Verdict(metric, test, _finding(passed), difference.mean, difference, figures, sentence)


def _finding(passed: bool) -> Finding:
    return Finding.PASS if passed else Finding.FAIL


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _ends(share: Interval) -> str:
    return "" if math.isnan(share.low) else f" ({_percent(share.low)} to {_percent(share.high)})"


def _left_out(drops: Drops) -> str:
    if not drops.untested:
        return ""
    return f"; {drops.untested} of {drops.untested + len(drops.shares)} neurons have no sound score to begin with"


def _small(value: float) -> str:
    return figure(value) if value >= 0.001 or value == 0 else f"{value:.0e}"
