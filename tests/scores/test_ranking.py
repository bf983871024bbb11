from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.scores import ScoreInputError, UndefinedScoreError, auprc, auroc, f1

Metric = Callable[..., float]
pairs = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30)
half = settings(max_examples=settings().max_examples // 2)


def _sides(drawn: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    active, simulated = (np.array(side) for side in zip(*drawn, strict=True))
    assume(0 < active.sum() < active.size)
    return active, simulated


def test_by_hand() -> None:
    active, simulated = [True, False, True, False], [3.0, 2.0, 2.0, 0.0]
    assert auroc(active, simulated) == (1 + 1 + 0.5 + 1) / 4  # of four pairs three are right and one is a tie
    assert auprc(active, simulated) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)  # recall 1/2 at 3, all of it at 2


@half
@given(pairs)
def test_auroc_is_the_share_of_pairs_in_order(drawn: list[tuple[bool, int]]) -> None:
    active, simulated = _sides(drawn)
    yes, no = simulated[active], simulated[~active]
    expected = np.mean([(a > b) + 0.5 * (a == b) for a in yes for b in no])
    assert auroc(active, simulated) == pytest.approx(expected)
    assert auroc(active, simulated) == pytest.approx(stats.mannwhitneyu(yes, no).statistic / (len(yes) * len(no)))


@half
@given(pairs)
def test_auprc_is_average_precision_over_thresholds(drawn: list[tuple[bool, int]]) -> None:
    active, simulated = _sides(drawn)
    expected, before = 0.0, 0.0
    for threshold in sorted(set(simulated.tolist()), reverse=True):
        chosen = simulated >= threshold
        recall = (active & chosen).sum() / active.sum()
        expected += (recall - before) * (active & chosen).sum() / chosen.sum()
        before = recall
    assert auprc(active, simulated) == pytest.approx(expected)


@half
@given(pairs)
def test_only_the_order_counts_and_not_that_of_the_tokens(drawn: list[tuple[bool, int]]) -> None:
    active, simulated = _sides(drawn)
    for metric in (auroc, auprc):
        assert metric(active, np.exp(simulated)) == metric(active, simulated)
        assert metric(active[::-1], simulated[::-1]) == pytest.approx(metric(active, simulated))


@half
@given(pairs)
def test_f1_is_that_of_precision_and_recall(drawn: list[tuple[bool, int]]) -> None:
    active, simulated = _sides(drawn)
    predicted = simulated >= 3
    both = (active & predicted).sum()
    precision, recall = both / max(1, predicted.sum()), both / active.sum()
    expected = 2 * precision * recall / (precision + recall) if both else 0.0
    assert f1(active, predicted) == pytest.approx(expected)


@half
@given(pairs)
def test_a_constant_simulation_is_worth_what_is_said(drawn: list[tuple[bool, int]]) -> None:
    active, _ = _sides(drawn)
    share = active.mean()
    assert auroc(active, np.full(active.size, 3.0)) == pytest.approx(0.5)
    assert auprc(active, np.full(active.size, 3.0)) == pytest.approx(share)
    assert f1(active, np.ones(active.size)) == pytest.approx(2 * share / (1 + share))
    assert f1(active, np.zeros(active.size)) == 0.0


@pytest.mark.parametrize("metric", [auroc, auprc, f1])
@settings(max_examples=settings().max_examples // 3)
@given(pairs, st.data())
def test_whole_weights_are_repetitions_and_the_score_is_a_share(
    metric: Metric, drawn: list[tuple[bool, int]], data: Any
) -> None:
    active, simulated = _sides(drawn)
    weights = data.draw(st.lists(st.integers(0, 4), min_size=len(drawn), max_size=len(drawn)))
    repeated = np.repeat(active, weights), np.repeat(simulated, weights)
    assume(0 < repeated[0].sum() < repeated[0].size)
    value = metric(active, simulated, weights)
    assert 0.0 <= value <= 1.0
    assert value == pytest.approx(metric(*repeated))
    assert metric(active, simulated, np.multiply(weights, 1e-30)) == pytest.approx(value)
    assert metric(active, simulated, np.ones(active.size)) == pytest.approx(metric(active, simulated))


@pytest.mark.parametrize("metric", [auroc, auprc])
@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_ranking_holds_at_any_scale_and_in_float32(metric: Metric, scale: float) -> None:
    active, simulated = [True, False, True, False, False], np.array([0.75, 0.5, 0.25, 0.25, 0.0])
    assert (
        metric(active, simulated * scale) == metric(active, simulated.astype(np.float32)) == metric(active, simulated)
    )


@pytest.mark.parametrize("metric", [auroc, auprc, f1])
def test_what_has_no_value_is_an_error(metric: Metric) -> None:
    for active in [[False, False]] + [[True, True]] * (metric is not f1):
        with pytest.raises(UndefinedScoreError, match=metric.__name__):
            metric(active, [1.0, 2.0])
    with pytest.raises(UndefinedScoreError):
        metric([True, False], [1.0, 2.0], [0.0, 1.0])  # the one that fires does not count
    with pytest.raises(ScoreInputError, match="2 tokens but 1 simulated"):
        metric([True, False], [1.0])
    with pytest.raises(ScoreInputError, match="at least 0"):
        metric([True, False], [1.0, 2.0], [1, -1])


@pytest.mark.parametrize("metric", [auroc, auprc])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused_with_its_place(metric: Metric, wrong: float) -> None:
    with pytest.raises(ScoreInputError, match=r"simulated\[1\] is"):
        metric([True, False], [1.0, wrong])
