"""Strengths of explainers from paired comparisons by people: Bradley and Terry's model with Davidson's ties.

``P(i is preferred to j) = p_i / D`` and ``P(both) = nu sqrt(p_i p_j) / D``, with ``D = p_i + p_j + nu sqrt(p_i p_j)``
(Davidson 1970, JASA 65, 317-328). A strength is ``log p_i``, in logits, with 0 as the mean over explainers. Davidson's
model and not that of Rao and Kupper (1967, JASA 62, 194-204): its ties need no threshold of what a person can tell
apart, and the odds of winning stay those of Bradley and Terry whatever ties there are.

*Both* is a tie. *Neither* is none: it says that both explanations are bad, not that they are equally good. It is left
out of the strengths and reported as a rate of its own. Given that a person prefers one or says both, the odds of the
model do not depend on how often nobody does (Luce's axiom).

An interval is the wider of two, both of them with Student's t over units: that of the model (inverse information) and
that which takes the answers about one unit as one draw (sandwich by units, Liang & Zeger 1986). The first is too narrow
where explainers are good on some units and bad on others, the second where there are few units
(``benchmarks/human_strengths.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import choix
import numpy as np
from scipy import sparse, special, stats

from harness.humans.analysis.comparisons import Comparison, Preference
from harness.stats import CONFIDENCE
from harness.types import FloatArray, Interval, NeuroglossError, Unit

LEAST_UNITS = 3
"""Units below which strengths have no intervals."""
STEPS, TOLERANCE = 100, 1e-9
"""The search ends when no parameter moves by more than this, and at the latest after so many steps."""
_RANKED = (Preference.FIRST, Preference.SECOND, Preference.BOTH)
"""The answers that say how two explanations stand to each other, in the order of the columns of a design."""


@dataclass(frozen=True, slots=True)
class Strength:
    """How strong an explainer is.

    Attributes:
        author: the explainer.
        interval: of the log strength, the mean over explainers being 0; over the units with comparisons of it.
        compared: comparisons in which it stood.
        neither: the share of them to which people said that neither explanation fits.
        errors: the standard errors of the strength by the model, and by the sandwich over units.
    """

    author: str
    interval: Interval
    compared: int
    neither: float
    errors: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Contrast:
    """How much stronger the first of two explainers is, in logits; the intervals of all pairs hold together."""

    first: str
    second: str
    interval: Interval

    @property
    def differs(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval.low > 0 or self.interval.high < 0


@dataclass(frozen=True, slots=True)
class Strengths:
    """The strengths of explainers, strongest first.

    Attributes:
        rows: of each explainer; empty if there are none.
        contrasts: of each two of them.
        ties: Davidson's nu: the odds of *both* against a preference between equals are nu to 2.
        comparisons: answers that entered.
        neither: answers that did not, because neither explanation fits.
        reason: why there are no strengths; empty if there are.
    """

    rows: tuple[Strength, ...]
    contrasts: tuple[Contrast, ...]
    ties: float
    comparisons: int
    neither: int
    reason: str = ""


def fit(compared: Sequence[Comparison]) -> Strengths:
    """Return the strengths that make the comparisons most likely, with intervals over units.

    There are none where explainers fall into two groups of which one never lost to the other nor tied with it: then
    any larger gap is more likely still (Ford 1957).
    """
    ranked = [item for item in compared if item.preference in _RANKED]
    neither = len(compared) - len(ranked)
    authors = sorted({author for item in ranked for author in (item.first, item.second)})
    apart = _apart(ranked, authors)
    if apart:
        return Strengths((), (), math.nan, len(ranked), neither, apart)
    model = _Model.of(ranked, authors)
    parameters = _most_likely(model, _wins(ranked, authors))
    strengths, spread = model.basis @ parameters, _covariances(model, parameters)
    units = len(model.units)
    rows = [
        _row(author, strengths[place], spread[:, place, place], units, compared) for place, author in enumerate(authors)
    ]
    return Strengths(
        tuple(sorted(rows, key=lambda row: (-row.interval.mean, row.author))),
        tuple(_contrasts(authors, strengths, spread, units)),
        math.exp(parameters[-1]) if model.has_ties else 0.0,
        len(ranked),
        neither,
    )


def _row(author: str, strength: float, variances: FloatArray, units: int, compared: Sequence[Comparison]) -> Strength:
    stood = [item for item in compared if author in (item.first, item.second)]
    neither = sum(item.preference is Preference.NEITHER for item in stood) / len(stood)
    model, clustered = np.sqrt(variances).tolist()
    interval = _interval(strength, max(model, clustered), units, CONFIDENCE)
    return Strength(author, interval, len(stood), neither, (model, clustered))


def _contrasts(authors: Sequence[str], strengths: FloatArray, spread: FloatArray, units: int) -> list[Contrast]:
    """Return the differences of all pairs, with Bonferroni's correction for their number; the stronger stands first."""
    pairs = list(combinations(range(len(authors)), 2))
    contrasts = []
    for pair in pairs:
        first, second = sorted(pair, key=lambda place: -strengths[place])
        variances = spread[:, first, first] + spread[:, second, second] - 2 * spread[:, first, second]
        gap = strengths[first] - strengths[second]
        interval = _interval(gap, math.sqrt(variances.max()), units, 1 - (1 - CONFIDENCE) / len(pairs))
        contrasts.append(Contrast(authors[first], authors[second], interval))
    return contrasts


def _interval(value: float, error: float, units: int, confidence: float) -> Interval:
    """Return the interval of an estimate with a standard error, by Student's t over units."""
    reach = reach_of(error, units, confidence)
    return Interval(float(value), float(value) - reach, float(value) + reach, units)


def reach_of(error: float, units: int, confidence: float = CONFIDENCE) -> float:
    """Return how far the ends of an interval lie from its middle; NaN for fewer than :data:`LEAST_UNITS` units."""
    return float(stats.t.ppf(0.5 + confidence / 2, units - 1)) * error if units >= LEAST_UNITS else math.nan


# --------------------------------------------------------------------------------------------------------- likelihood


@dataclass(frozen=True)
class _Model:
    """The model as a multinomial logit: the logit of each answer is linear in the parameters.

    Attributes:
        units: with comparisons, in order.
        rows: of each pair of explainers and answer [pairs, answers, parameters].
        counts: how often each answer was given [units, pairs, answers].
        basis: of strengths whose mean is 0 [explainers, parameters]; 0 for the parameter of ties.
        has_ties: whether the last parameter is ``log nu``.
    """

    units: tuple[Unit, ...]
    rows: FloatArray
    counts: FloatArray
    basis: FloatArray
    has_ties: bool

    @classmethod
    def of(cls, ranked: Sequence[Comparison], authors: Sequence[str]) -> Self:
        """Count the answers."""
        has_ties = any(item.preference is Preference.BOTH for item in ranked)
        units = sorted({item.unit for item in ranked})
        pairs = sorted({(item.first, item.second) for item in ranked})
        unit_places, pair_places = ({name: place for place, name in enumerate(names)} for names in (units, pairs))
        counts = np.zeros((len(units), len(pairs), 2 + has_ties))
        for item in ranked:
            answer = _RANKED.index(item.preference)
            counts[unit_places[item.unit], pair_places[item.first, item.second], answer] += 1
        basis = np.pad(_contrast_basis(len(authors)), ((0, 0), (0, int(has_ties))))
        first, second = (basis[[authors.index(pair[side]) for pair in pairs]] for side in (0, 1))
        tied = (first + second) / 2 + np.eye(basis.shape[1])[-1]
        rows = np.stack([first, second, tied][: 2 + has_ties], axis=1)
        return cls(tuple(units), rows, counts, basis, has_ties)

    def scores(self, parameters: FloatArray) -> FloatArray:
        """Return the derivative of the log likelihood of each unit [units, parameters]."""
        chances = special.softmax(self.rows @ parameters, axis=1)
        surplus = self.counts - self.counts.sum(axis=2, keepdims=True) * chances
        return np.asarray(np.einsum("upa,pak->uk", surplus, self.rows))

    def information(self, parameters: FloatArray) -> FloatArray:
        """Return the information of all comparisons [parameters, parameters]."""
        chances = special.softmax(self.rows @ parameters, axis=1)
        centred = self.rows - np.einsum("pa,pak->pk", chances, self.rows)[:, None]
        weights = self.counts.sum(axis=(0, 2))[:, None] * chances
        return np.asarray(np.einsum("pa,pak,pal->kl", weights, centred, centred))

    def loss(self, parameters: FloatArray) -> float:
        """Return the negative log likelihood."""
        return -float((self.counts.sum(axis=0) * special.log_softmax(self.rows @ parameters, axis=1)).sum())


def _contrast_basis(size: int) -> FloatArray:
    """Return an orthonormal basis of the vectors whose mean is 0 [size, size - 1]."""
    centring = np.eye(size) - 1 / size
    return np.asarray(np.linalg.svd(centring)[0][:, : size - 1])


def _most_likely(model: _Model, wins: FloatArray) -> FloatArray:
    """Return the parameters of the largest likelihood, which is concave in them, by Newton's method.

    It begins at the spectral estimate of Bradley and Terry's model (Maystre & Grossglauser 2015), with a tie as half a
    win of either side. A step that does not help is halved.

    Raises:
        NeuroglossError: the search does not end.
    """
    parameters = model.basis.T @ choix.lsr_pairwise_dense(wins, alpha=1e-3)
    for _ in range(STEPS):
        step = np.linalg.solve(model.information(parameters), model.scores(parameters).sum(axis=0))
        while model.loss(parameters + step) > model.loss(parameters) + TOLERANCE:
            step = step / 2
        parameters = np.asarray(parameters + step)
        if np.abs(step).max() < TOLERANCE:
            return parameters
    raise NeuroglossError("the strengths of explainers cannot be worked out: the search does not end.")


def _wins(ranked: Sequence[Comparison], authors: Sequence[str]) -> FloatArray:
    """Return how often each explainer was preferred to each other one, a tie as one half [winner, loser]."""
    places = {author: place for place, author in enumerate(authors)}
    wins = np.zeros((len(authors), len(authors)))
    for item in ranked:
        first, second = places[item.first], places[item.second]
        share = {Preference.FIRST: 1.0, Preference.SECOND: 0.0}.get(item.preference, 0.5)
        wins[first, second] += share
        wins[second, first] += 1 - share
    return wins


def _covariances(model: _Model, parameters: FloatArray) -> FloatArray:
    """Return the covariance of log strengths by the model, and by the sandwich over units [2, explainers, explainers].

    The sandwich has the usual correction of clusters, n / (n - 1) for n units.
    """
    inverse, scores = np.linalg.inv(model.information(parameters)), model.scores(parameters)
    clustered = len(scores) / max(len(scores) - 1, 1) * inverse @ (scores.T @ scores) @ inverse
    return np.stack([model.basis @ covariance @ model.basis.T for covariance in (inverse, clustered)])


def _apart(ranked: Sequence[Comparison], authors: Sequence[str]) -> str:
    """Return why there is no largest likelihood; empty if there is one."""
    if len(authors) < 2:
        return "no two explainers were compared"
    beaten = sparse.csr_matrix(_wins(ranked, authors))
    groups, labels = sparse.csgraph.connected_components(beaten, directed=True, connection="strong")
    if groups == 1:
        return ""
    group = [author for author, label in zip(authors, labels, strict=True) if label == labels[0]]
    rivals = [author for author in authors if author not in group]
    return (
        f"{', '.join(group)} and {', '.join(rivals)} have not each been preferred to, or tied with, one of the other "
        "group: too few comparisons"
    )
