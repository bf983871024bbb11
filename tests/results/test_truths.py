"""How a simulator does on known truths: by hand, and by what must hold of any scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from harness.results import truths
from harness.results.rows import Resampling
from harness.results.run import Results
from harness.results.vocabulary import ResultRow, TaskInfo, TruthSummary
from harness.types import (
    Explanation,
    ReliabilityBin,
    Role,
    RowKey,
    ScoredExplanation,
    Scores,
    SimulatorInfo,
    Unit,
    Validity,
)

Make = Callable[..., Results]
KINDS = (Validity.NEAR, Validity.NEAR, Validity.NEAR, Validity.UNRELATED)
BINS = (ReliabilityBin(10, 2.0, 4.0), *[ReliabilityBin()] * 9)
PUZZLES = (("a", "lexical", 0.8), ("b", "lexical", 0.4), ("c", "sentence", 0.0))
FALSE = {"a": (0.1, 0.9, 0.8, 0.1), "b": (0.1, 0.0, 0.1, -0.2), "c": (0.1, 0.2, 0.3, 0.0)}
"""Puzzle -> the correlation given each of its false explanations; those of ``KINDS``."""


def _scored(key: str, scores: Scores) -> ScoredExplanation:
    return ScoredExplanation(Explanation(Unit("puzzle", name=key), "words"), "", (), None, scores)


def _truth(key: str, value: float) -> ScoredExplanation:
    values = {"correlation": value, "auroc": 0.75, "auprc": 0.5}
    degenerate = ("correlation",) if value == 0 else ()
    return _scored(key, Scores(values, degenerate, tokens=10, reliability=BINS))


def _rows(make_results: Make, more: Sequence[tuple[str, str, ScoredExplanation]] = ()) -> Results:
    """Results of three puzzles by one simulator, and of others: (key, category, the scored true explanation)."""
    categories = {key: category for key, category, *_ in (*PUZZLES, *more)}
    false: dict[str, list[ScoredExplanation]] = {validity.value: [] for validity in (*dict.fromkeys(KINDS),)}
    for key, values in FALSE.items():
        for kind, value in zip(KINDS, values, strict=True):
            false[kind.value].append(_scored(key, Scores({"correlation": value})))
    true = [*(_truth(key, value) for key, _, value in PUZZLES), *(scored for *_, scored in more)]
    units = tuple(Unit("puzzle", name=key) for key in categories)
    task = TaskInfo("p-v1", "d", len(units), units, {f"puzzle:{key}": name for key, name in categories.items() if name})
    return make_results(
        {name: (Role.TOLD, scored) for name, scored in {"true": true, **false}.items()},
        task=task,
        subject=None,
        simulators=(SimulatorInfo("s"),),
    )


def _summaries(results: Results, seed: int = 0) -> list[TruthSummary]:
    return truths.summaries(results.rows, "s", results.task.categories, Resampling(seed, 200))


def test_by_hand(make_results: Make) -> None:
    summary, *_ = _summaries(_rows(make_results))
    means = {name: interval.mean for name, interval in summary.metrics.items()}
    assert means == pytest.approx(
        {
            "correlation": 0.4,
            "auroc": 0.75,
            "auprc": 0.5,
            "margin": np.mean([0.8 - 1.9 / 4, 0.4 - 0.0, 0.0 - 0.6 / 4]),
            "beats_near": np.mean([1.5 / 3, 1.0, 0.0]),  # a tie counts one half
            "beats_unrelated": np.mean([1.0, 1.0, 0.5]),
        }
    )
    assert summary.metrics["correlation"].low < 0.4 < summary.metrics["correlation"].high
    assert summary.calibration_error == pytest.approx(0.2)
    counts = (summary.units, summary.scored, summary.degenerate, summary.tokens, summary.missing_tokens)
    assert counts == (3, 3, 1, 30, 0)


def test_units_without_a_score_are_left_out_and_counted(make_results: Make) -> None:
    silent = _scored("d", Scores({}, missing={"correlation": "lost"}, tokens=10, missing_tokens=10))
    summary, *_ = _summaries(_rows(make_results, [("d", "lexical", silent)]))
    assert summary.metrics == _summaries(_rows(make_results))[0].metrics
    assert (summary.units, summary.scored, summary.tokens, summary.missing_tokens) == (4, 3, 40, 10)


def test_a_false_explanation_without_a_score_wins_and_loses_nothing(make_results: Make) -> None:
    results = _rows(make_results)
    near = next(row for row in results.rows if row.summary.explainer == "near")
    scored = (replace(near.scored[0], scores=Scores({}, missing={"correlation": "lost"})), *near.scored[1:])
    rows = tuple(ResultRow(row.summary, scored) if row is near else row for row in results.rows)
    first, *_ = truths.truths(rows, "s")
    assert first.figures["beats_near"] == pytest.approx(0.5 / 2)
    assert first.figures["margin"] == pytest.approx(0.8 - 1.8 / 3)


def test_a_unit_without_false_explanations_has_no_margin(make_results: Make) -> None:
    results = _rows(make_results, [("d", "lexical", _truth("d", 0.6))])
    figures = truths.truths(results.rows, "s")[-1].figures
    assert figures == {"correlation": 0.6, "auroc": 0.75, "auprc": 0.5}


def test_a_summary_for_each_category_behind_that_of_all(make_results: Make) -> None:
    summaries = _summaries(_rows(make_results, [("d", "", _truth("d", 0.6))]))
    assert [(summary.category, summary.units) for summary in summaries] == [("", 4), ("lexical", 2), ("sentence", 1)]
    assert summaries[1].metrics["correlation"].mean == pytest.approx(0.6)
    assert math.isnan(summaries[2].metrics["correlation"].low)
    results = _rows(make_results)
    (alone,) = truths.summaries(results.rows, "s", {}, Resampling(0, 200))
    assert alone == _summaries(results)[0]


def test_the_order_of_units_changes_nothing(make_results: Make) -> None:
    draw = np.random.default_rng(3)
    scored = [_truth(str(k), float(draw.normal())) for k in range(30)]

    def summary(order: Sequence[int]) -> TruthSummary:
        results = make_results(
            {"true": (Role.TOLD, [scored[k] for k in order])}, simulators=(SimulatorInfo("s"),), subject=None
        )
        return truths.summaries(results.rows, "s", {}, Resampling())[0]

    first = summary(range(30))
    for _ in range(3):
        assert summary(draw.permutation(30).tolist()) == first


def test_each_simulator_has_truths_of_its_own_and_rows_that_explain_have_none(make_results: Make) -> None:
    rows = {
        RowKey("true", "s"): (Role.TOLD, [_truth("a", 0.8)]),
        RowKey("true", "t"): (Role.TOLD, [_truth("a", 0.2)]),
        RowKey("near", "t"): (Role.EXPLAINER, [_scored("a", Scores({"correlation": 0.9}))]),
    }
    results = make_results(rows, simulators=(SimulatorInfo("s"), SimulatorInfo("t"), SimulatorInfo("u")), subject=None)
    assert [truth.correlation for truth in truths.truths(results.rows, "s")] == [0.8]
    (truth,) = truths.truths(results.rows, "t")
    assert (truth.correlation, truth.false) == (0.2, ())
    assert truths.summaries(results.rows, "u", {}, Resampling()) == []
    assert [summary.simulator for summary in results.truths] == ["s", "t"]


def test_a_simulator_without_probabilities_has_no_calibration_error(puzzle_results: Make) -> None:
    results = puzzle_results()
    assert {summary.simulator for summary in results.truths} == {"oracle", "token_overlap", "chance"}
    assert all(math.isnan(summary.calibration_error) for summary in results.truths)
    assert results.truths[0].metrics["correlation"].mean == pytest.approx(1.0)
