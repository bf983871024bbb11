"""Simulate how often intervals hold the truth, and how often rows with equal means are told apart.

Run it by hand: ``python benchmarks/intervals.py``; ``--quick`` draws a tenth of the boards. Boards of 12, 30 and 120
units are drawn from eight shapes that scores of units have had: four as distributions, four as the scores of the
default run, drawn with replacement and jittered by a tenth of their spread. The last line is one JSON object.

* ``student``, ``BCa``, ``boot-t``: Student's interval, the bias-corrected and accelerated bootstrap widened
  as Student's is (Hesterberg 2015), and the studentised bootstrap.
* ``board``: the interval of boards, :func:`harness.stats.mean_ends`; ``width`` is its width over that of Student's.
* ``median``: the interval of medians, :func:`harness.stats.median_interval`, of the true median.
* ``flips``: the share of boards on which the sign-flip test takes a row of this shape for another than an even one with
  the same mean; its null is that rows are exchangeable, which is false here. ``told`` needs the interval to leave out 0
  too, as boards do. Both would be 0.05 at most if the claim were of equal means.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats as scipy_stats

from harness import stats
from harness.types import Interval

Array = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Array]
UNITS = (12, 30, 120)
COLUMNS = ("student", "BCa", "boot-t", "board", "width", "median", "flips", "told")
SEED = 11

FLOOR = (-0.038, -0.033, -0.028, -0.017, -0.013, -0.005, -0.005, -0.004, -0.002, 0.003, 0.007, 0.053)
STRONG = (-0.075, 0.041, 0.046, 0.057, 0.062, 0.07, 0.16, 0.341, 0.389, 0.529, 0.55, 0.674)
RANDOM = (-0.096, -0.065, -0.044, -0.028, -0.012, 0.011, 0.023, 0.027, 0.041, 0.061, 0.43, 0.601)
OUTLIER = (-14.822, -0.304, -0.07, -0.038, -0.015, -0.013, 0.009, 0.012, 0.035, 0.036, 0.037, 0.046)


@dataclass(frozen=True)
class Shape:
    """A distribution of scores over units, with its true mean and median."""

    draw: Draw
    mean: float
    median: float


def observed(scores: tuple[float, ...]) -> Shape:
    """Return the shape of some scores, each as likely as any other and jittered."""
    values = np.array(scores)
    jitter = 0.1 * (np.quantile(values, 0.75) - np.quantile(values, 0.25))

    def draw(rng: np.random.Generator, size: tuple[int, int]) -> Array:
        return rng.choice(values, size) + rng.normal(0, jitter, size)

    return Shape(draw, float(values.mean()), float(np.median(draw(np.random.default_rng(0), (1000, 1000)))))


def few_good(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """Draw scores of which one in seven is very good, and the others are about 0."""
    return np.where(rng.random(size) < 0.15, rng.normal(0.7, 0.1, size), rng.normal(0.02, 0.02, size))


SHAPES: Mapping[str, Shape] = {
    "even": Shape(lambda rng, size: rng.normal(0.2, 0.1, size), 0.2, 0.2),
    "leaning": Shape(lambda rng, size: rng.beta(2, 5, size), 2 / 7, float(scipy_stats.beta(2, 5).median())),
    "lognormal": Shape(lambda rng, size: 0.05 * rng.lognormal(0, 1, size), 0.05 * np.exp(0.5), 0.05),
    "few very good": Shape(few_good, 0.15 * 0.7 + 0.85 * 0.02, 0.0244),
    "floor, seen": observed(FLOOR),
    "correlation, seen": observed(STRONG),
    "random only, seen": observed(RANDOM),
    "ablation, seen": observed(OUTLIER),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="draw a tenth of the boards")
    boards = 150 if parser.parse_args().quick else 1500
    print(f"{'shape':<18} {'units':>5} " + " ".join(f"{name:>7}" for name in COLUMNS))
    report = {f"{name}, {units}": figures(shape, units, boards) for name, shape in SHAPES.items() for units in UNITS}
    print(json.dumps({name: dict(zip(COLUMNS, row, strict=True)) for name, row in report.items()}))


def figures(shape: Shape, units: int, boards: int) -> list[float]:
    """Return the figures of a shape in the order of the columns, and print them."""
    rng = np.random.default_rng(SEED)
    scores = shape.draw(rng, (boards, units))
    student, board = student_ends(scores), stats.mean_ends(scores, np.ones(units))
    means = (student, bca_ends(scores), studentised_ends(scores, rng), board)
    medians = [stats.median_interval(row.tolist()) for row in scores]
    middle = (np.array([item.low for item in medians]), np.array([item.high for item in medians]))
    row = [
        *(share_held(ends, shape.mean) for ends in means),
        float(np.median((board[1] - board[0]) / (student[1] - student[0]))),
        share_held(middle, shape.median),
        *false_alarms(scores - rng.normal(shape.mean, 0.05, scores.shape)),
    ]
    name = next(name for name, other in SHAPES.items() if other is shape)
    print(f"{name:<18} {units:>5} " + " ".join(f"{value:>7.3f}" for value in row), flush=True)
    return [round(value, 4) for value in row]


def share_held(ends: tuple[Array, Array], truth: float) -> float:
    """Return the share of intervals that hold the truth."""
    return float(np.mean((ends[0] <= truth) & (truth <= ends[1])))


def false_alarms(differences: Array) -> tuple[float, float]:
    """Return the share of boards with a p-value below 0.05, and of those that boards would tell apart as well."""
    units = differences.shape[1]
    resamples = 4096 if units <= 12 else 1999
    groups = np.array_split(differences, 10)  # each with sign patterns of its own
    flips = [flip.p_value for seed, group in enumerate(groups) for flip in stats.sign_flips(group, seed, resamples)]
    low, high = stats.mean_ends(differences, np.ones(units))
    told = [stats.differs(Interval(0.0, *ends, units), p) for *ends, p in zip(low, high, flips, strict=True)]
    return float(np.mean(np.array(flips) < stats.SIGNIFICANT)), float(np.mean(told))


# ---------------------------------------------------------------------------------------------------- other intervals


def student_ends(scores: Array) -> tuple[Array, Array]:
    """Return the ends of Student's interval of each board."""
    units = scores.shape[1]
    reach = scipy_stats.t.ppf(0.975, units - 1) * scores.std(axis=1, ddof=1) / np.sqrt(units)
    return scores.mean(axis=1) - reach, scores.mean(axis=1) + reach


def bca_ends(scores: Array) -> tuple[Array, Array]:
    """Return the ends of the bias-corrected and accelerated bootstrap of each board (by scipy)."""
    units = scores.shape[1]
    reach = np.sqrt(units / (units - 1)) * scipy_stats.t.ppf(0.975, units - 1)
    interval = scipy_stats.bootstrap(
        (scores,), np.mean, axis=1, vectorized=True, n_resamples=999, batch=50, method="BCa",
        confidence_level=2 * scipy_stats.norm.cdf(reach) - 1, rng=np.random.default_rng(SEED),
    ).confidence_interval  # fmt: skip
    return interval.low, interval.high


def studentised_ends(scores: Array, rng: np.random.Generator, resamples: int = 999) -> tuple[Array, Array]:
    """Return the ends of the studentised bootstrap of each board (Efron & Tibshirani 1993, 12.5)."""
    units = scores.shape[1]
    shares = rng.multinomial(units, np.full(units, 1 / units), resamples) / units
    means = scores @ shares.T
    errors = np.sqrt(np.maximum(scores**2 @ shares.T - means**2, 0) / (units - 1))
    mean, error = scores.mean(axis=1), scores.std(axis=1, ddof=1) / np.sqrt(units)
    with np.errstate(divide="ignore", invalid="ignore"):
        studentised = np.nan_to_num((means - mean[:, None]) / errors)
    least, most = np.quantile(studentised, (0.025, 0.975), axis=1)
    return mean - most * error, mean - least * error


if __name__ == "__main__":
    main()
