"""Which two authors to compare next: the pair whose rating is expected to tell most about how strong they are.

Strengths are those of Bradley and Terry (1952) under a normal prior, found as a mode with its curvature (Laplace). The
information that a rating of i against j adds is p (1 - p) x x', with x = e_i - e_j and p the chance that i wins; so the
determinant of the information grows by the factor 1 + p (1 - p) var(s_i - s_j), and the pair of the largest factor is
D-optimal (as in Grasshoff and Schwabe 2008). Pairs that are chosen by their outcomes alone would bias strengths, which
is why a share of all pairs is drawn at random.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from harness.humans.answers import Choice
from harness.types import FloatArray

PRIOR_DEVIATION = 2.0
"""Standard deviation of the prior of a strength, in logits: wide enough for one author to win 98 % against another."""
STEPS, TOLERANCE = 50, 1e-9

Outcome = tuple[str, str, Choice]
"""A rating: the author on the left, the author on the right, and what was chosen."""
Pair = tuple[str, str]


def wins(outcomes: Iterable[Outcome], authors: Sequence[str]) -> FloatArray:
    """Return how often each author was preferred to each other one [winner][loser].

    *Both* counts half a win for either; *neither* says nothing of which fits better and is left out, and so is a pair
    of one author with itself.
    """
    place = {author: index for index, author in enumerate(authors)}
    counts = np.zeros((len(authors), len(authors)))
    shares = {Choice.LEFT: (1.0, 0.0), Choice.RIGHT: (0.0, 1.0), Choice.BOTH: (0.5, 0.5), Choice.NEITHER: (0.0, 0.0)}
    for first, second, choice in outcomes:
        if first != second and first in place and second in place:
            for_first, for_second = shares[choice]
            counts[place[first], place[second]] += for_first
            counts[place[second], place[first]] += for_second
    return counts


def strengths(counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the most probable strengths [authors], in logits, and their covariance [authors][authors].

    Args:
        counts: as :func:`wins` makes them.
    """
    number = len(counts)
    values: FloatArray = np.zeros(number)
    precision: FloatArray = np.eye(number) / PRIOR_DEVIATION**2
    hessian: FloatArray = precision
    totals = counts + counts.T
    for _ in range(STEPS):
        chances = 1 / (1 + np.exp(values[None, :] - values[:, None]))
        gradient = (counts - totals * chances).sum(axis=1) - precision @ values
        weights = totals * chances * (1 - chances)
        hessian = precision + np.diag(weights.sum(axis=1)) - weights
        step = np.linalg.solve(hessian, gradient)
        values += step
        if np.abs(step).max(initial=0.0) < TOLERANCE:
            break
    return values, np.asarray(np.linalg.inv(hessian), dtype=np.float64)


def information(counts: FloatArray) -> FloatArray:
    """Return how much a rating of each pair is expected to tell: log(1 + p (1 - p) var(s_i - s_j)) [author][author]."""
    values, covariance = strengths(counts)
    chances = 1 / (1 + np.exp(values[None, :] - values[:, None]))
    spread = np.diag(covariance)
    gains: FloatArray = np.log1p(chances * (1 - chances) * (spread[:, None] + spread[None, :] - 2 * covariance))
    return gains


def most_telling(candidates: Sequence[Pair], outcomes: Iterable[Outcome], seed: int) -> Pair:
    """Return the candidate whose rating is expected to tell most; ``seed`` chooses among equals.

    Raises:
        ValueError: there is no candidate.
    """
    authors = sorted({author for pair in candidates for author in pair})
    place = {author: index for index, author in enumerate(authors)}
    gains = information(wins(outcomes, authors))
    order: list[int] = np.random.default_rng(seed).permutation(len(candidates)).tolist()
    best = max(order, key=lambda index: round(gains[place[candidates[index][0]], place[candidates[index][1]]], 9))
    return candidates[best]
