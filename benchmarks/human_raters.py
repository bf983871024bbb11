"""Simulate crowds, and count the errors of the answers that people give together: by majority, and with a rater term.

Run it by hand: ``python benchmarks/human_raters.py``; ``--quick`` draws a tenth of the 100 studies. Each crowd of 20
answers 150 questions of four answers; a person copies the true one with a probability of their own, and else guesses.
On each line stand the share of wrong answers with ``r`` ratings a question by the model of
:mod:`harness.humans.analysis.raters` (``model``) and by majority (ties broken at random), and that of a majority of
twice as many: the model needs at most half the ratings where its errors are no more. It does where most people guess,
and not where all are careful: then a majority is as good, and the last crowd says so. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import numpy.typing as npt

from harness.humans.analysis.raters import consensus

STUDIES, QUESTIONS, RATINGS = 100, 150, (4, 6, 8)
TRUTHS = (0.35, 0.35, 0.15, 0.15)
CROWDS = {
    "six in ten guess": (0.9,) * 8 + (0.1,) * 12,
    "half guess": (0.9,) * 10 + (0.05,) * 10,
    "three in ten guess": (0.9,) * 14 + (0.1,) * 6,
    "all are careful": (0.8,) * 20,
}
COLUMNS = ("model", "majority", "majority_of_twice")
Given = list[tuple[str, int, int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="draw a tenth of the studies")
    studies = STUDIES // 10 if parser.parse_args().quick else STUDIES
    print(f"{'crowd':<20} {'r':>3} " + " ".join(f"{name:>17}" for name in COLUMNS))
    report = {f"{name}, r = {r}": figures(name, crowd, r, studies) for name, crowd in CROWDS.items() for r in RATINGS}
    print(json.dumps({"studies": studies, "wrong": report}))


def figures(name: str, crowd: tuple[float, ...], ratings: int, studies: int) -> dict[str, float]:
    """Return the shares of wrong answers of a crowd, and print them."""
    rng = np.random.default_rng(7)
    rows = []
    for _ in range(studies):
        truth, given = study(rng, crowd, ratings)
        rows.append((wrong_by_model(truth, given), wrong_by_majority(truth, given),
                     wrong_by_majority(*study(rng, crowd, 2 * ratings))))  # fmt: skip
    means = np.mean(rows, axis=0).tolist()
    print(f"{name:<20} {ratings:>3} " + " ".join(f"{value:>17.3f}" for value in means), flush=True)
    return {column: round(value, 4) for column, value in zip(COLUMNS, means, strict=True)}


def study(rng: np.random.Generator, crowd: tuple[float, ...], ratings: int) -> tuple[npt.NDArray[np.int64], Given]:
    """Return the true answers, and what people said: so many different people for each question."""
    truth = rng.choice(len(TRUTHS), size=QUESTIONS, p=TRUTHS)
    given = []
    for question, answer in enumerate(truth.tolist()):
        for person in rng.choice(len(crowd), ratings, replace=False):
            is_copied = rng.random() < crowd[person]
            value = answer if is_copied else int(rng.choice(len(TRUTHS), p=TRUTHS))
            given.append((f"simulated-{person}", question, value))
    return truth, given


def wrong_by_model(truth: npt.NDArray[np.int64], given: Given) -> float:
    answers = consensus(given, range(len(TRUTHS))).answers
    return float(np.mean([answers[question] != answer for question, answer in enumerate(truth.tolist())]))


def wrong_by_majority(truth: npt.NDArray[np.int64], given: Given) -> float:
    """Return the expected share of wrong answers if ties are broken at random."""
    votes = np.zeros((len(truth), len(TRUTHS)))
    for _, question, value in given:
        votes[question, value] += 1
    best = votes == votes.max(axis=1, keepdims=True)
    return 1 - float((best[np.arange(len(truth)), truth] / best.sum(axis=1)).mean())


if __name__ == "__main__":
    main()
