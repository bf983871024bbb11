"""Simulate studies whose strengths are known, and count how often their 95 % intervals hold them.

Run it by hand: ``python benchmarks/human_strengths.py``; ``--quick`` draws a tenth of the 200 studies. The answers are
those of the random process that :mod:`harness.humans.analysis.process` states, not of people. Each process stands on a
line: the share of intervals that hold the strength by the intervals of reports (``held``), by the model alone
(``model``) and by the sandwich over units alone (``sandwich``), the mean absolute bias of strengths from all pairs and
from those drawn at random, and how far the ends lie from the middle. The last line is one JSON object.

Where strengths differ by unit, the truth is the strength over all units: that which makes the expected answers to all
pairs most likely.
"""

from __future__ import annotations

import argparse
import json
from itertools import combinations

import numpy as np
from scipy import optimize

from harness.humans.analysis import strengths
from harness.humans.analysis.comparisons import comparisons
from harness.humans.analysis.process import Process, davidson, ratings

STUDIES = 200
TRUTH = {"A": 0.8, "B": 0.3, "C": 0.0, "D": -0.3, "E": -0.8}
COLUMNS = ("held", "model", "sandwich", "bias", "bias_random", "reach")
PROCESSES = {
    "30 units, 300 answers": Process(TRUTH),
    "30 units, effect of the unit 0.7": Process(TRUTH, effect=0.7),
    "30 units, all pairs at random": Process(TRUTH, random=1.0),
    "12 units, 240 answers": Process(TRUTH, units=12, pairs=20),
    "12 units, effect of the unit 0.7": Process(TRUTH, units=12, pairs=20, effect=0.7),
    "60 units, effect of the unit 0.7": Process(TRUTH, units=60, pairs=8, effect=0.7),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="draw a tenth of the studies")
    studies = STUDIES // 10 if parser.parse_args().quick else STUDIES
    print(f"{'process':<34} " + " ".join(f"{name:>11}" for name in COLUMNS))
    report = {name: figures(name, process, studies) for name, process in PROCESSES.items()}
    print(json.dumps({"studies": studies, "processes": report}))


def figures(name: str, process: Process, studies: int) -> dict[str, float]:
    """Return the figures of a process, and print them."""
    truth = over_units(process)
    rows = [study(process, truth, seed) for seed in range(studies)]
    means = np.mean(rows, axis=0)
    bias = np.abs(means[3:13].reshape(2, 5)).mean(axis=1)
    values = [*means[:3].tolist(), *bias.tolist(), float(means[13])]
    print(f"{name:<34} " + " ".join(f"{value:>11.3f}" for value in values), flush=True)
    return {column: round(value, 4) for column, value in zip(COLUMNS, values, strict=True)}


def study(process: Process, truth: dict[str, float], seed: int) -> list[float]:
    """Return the shares of intervals that hold the truth, the errors of both kinds of strengths, and the mean reach."""
    compared = comparisons(ratings(process, seed))
    fit, drawn = strengths.fit(compared), strengths.fit([item for item in compared if item.is_random])
    for strength in (fit, drawn):
        if strength.reason:
            raise SystemExit(f"study {seed} has no strengths: {strength.reason}")
    errors = np.array([[row.interval.mean - truth[row.author] for row in by_author(each)] for each in (fit, drawn)])
    reaches = np.array(
        [
            [strengths.reach_of(error, row.interval.units) for error in (max(row.errors), *row.errors)]
            for row in by_author(fit)
        ]
    ).T
    held = (np.abs(errors[0]) <= reaches).mean(axis=1)
    return [*held.tolist(), *errors.ravel().tolist(), float(reaches[0].mean())]


def by_author(fit: strengths.Strengths) -> list[strengths.Strength]:
    return sorted(fit.rows, key=lambda row: row.author)


def over_units(process: Process) -> dict[str, float]:
    """Return the strengths that make the expected answers to all pairs of all units most likely."""
    known = np.array([process.strengths[author] for author in sorted(process.strengths)])
    effects = np.random.default_rng(0).normal(0, process.effect, (4000, 2))
    pairs = list(combinations(range(len(known)), 2))
    expected = [
        np.mean([davidson(known[i] + a, known[j] + b, process.ties) for a, b in effects], axis=0) for i, j in pairs
    ]

    def loss(parameters: np.ndarray) -> float:
        strength, ties = np.append(parameters[:-1], -parameters[:-1].sum()), np.exp(parameters[-1])
        answers = [davidson(strength[i], strength[j], ties) for i, j in pairs]
        return -float(sum(shares @ np.log(chances) for shares, chances in zip(expected, answers, strict=True)))

    start = np.append(known[:-1] - known.mean(), np.log(process.ties))
    best = optimize.minimize(loss, start).x[:-1]
    return dict(zip(sorted(process.strengths), [*best.tolist(), -float(best.sum())], strict=True))


if __name__ == "__main__":
    main()
