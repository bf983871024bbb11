from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from harness.puzzles import summaries
from harness.types import Falseness, PuzzleScore, ReliabilityBin, RivalScore

NEAR, UNRELATED = Falseness.NEAR, Falseness.UNRELATED


def _score(puzzle: str, kind: str, own: float, *wins: float, missing: int = 0) -> PuzzleScore:
    kinds = [NEAR, NEAR, NEAR, UNRELATED]
    rivals = tuple(RivalScore(falseness, 0.0, won) for falseness, won in zip(kinds, wins, strict=True))
    bins = (ReliabilityBin(10, 2.0, 4.0), *[ReliabilityBin()] * 9)
    return PuzzleScore(puzzle, kind, own, 0.75, 0.5, own, own == 0, rivals, bins, 10, missing)


SCORES = (
    _score("a", "lexical", 0.8, 1.0, 0.0, 0.5, 1.0),
    _score("b", "lexical", 0.4, 1.0, 1.0, 1.0, 1.0),
    _score("c", "sentence", 0.0, 0.0, 0.0, 0.0, 0.5),
)


def test_by_hand() -> None:
    found = summaries.summarise(SCORES, seed=0, resamples=200)
    means = {name: interval.mean for name, interval in found.metrics.items()}
    assert means == pytest.approx(
        {
            "correlation": 0.4,
            "auroc": 0.75,
            "auprc": 0.5,
            "margin": 0.4,
            "beats_near": (0.5 + 1.0 + 0.0) / 3,
            "beats_unrelated": (1 + 1 + 0.5) / 3,
        }
    )
    assert found.metrics["correlation"].low < 0.4 < found.metrics["correlation"].high
    assert found.calibration_error == pytest.approx(0.2)
    assert (found.puzzles, found.scored, found.degenerate, found.tokens) == (3, 3, 1, 30)


def test_puzzles_without_a_score_are_left_out_and_counted() -> None:
    nan = math.nan
    lost = dataclasses.replace(_score("d", "lexical", nan, nan, nan, nan, nan, missing=10), auroc=nan, auprc=nan)
    lost = dataclasses.replace(lost, degenerate=False, reliability=())
    found = summaries.summarise((*SCORES, lost), seed=0, resamples=200)
    assert found.metrics == summaries.summarise(SCORES, seed=0, resamples=200).metrics
    assert (found.puzzles, found.scored, found.missing_tokens) == (4, 3, 10)


def test_the_order_of_puzzles_changes_nothing() -> None:
    draw = np.random.default_rng(3)
    many = [_score(str(k), "lexical", float(draw.normal()), *draw.integers(0, 2, 4).astype(float)) for k in range(30)]
    first = summaries.summarise(many, seed=4, resamples=300)
    for _ in range(3):
        assert summaries.summarise([many[k] for k in draw.permutation(30)], seed=4, resamples=300) == first
    assert summaries.summarise(many, seed=5, resamples=300) != first


def test_a_row_for_each_class() -> None:
    found = summaries.by_class(SCORES, seed=0, resamples=200)
    assert [(one.kind, one.puzzles) for one in found] == [("lexical", 2), ("sentence", 1)]
    assert found[0].metrics["correlation"].mean == pytest.approx(0.6)
    assert summaries.by_class([dataclasses.replace(one, kind="") for one in SCORES], seed=0, resamples=200) == ()
