from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from harness.scores import ScoreInputError, UndefinedScoreError, auprc, auroc

pairs = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30)


def _sides(drawn: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    active, simulated = (np.array(side) for side in zip(*drawn, strict=True))
    assume(0 < active.sum() < active.size)
    return active, simulated


def test_by_hand() -> None:
    active, simulated = [True, False, True, False], [3.0, 2.0, 2.0, 0.0]
    assert auroc(active, simulated) == (1 + 1 + 0.5 + 1) / 4  # of four pairs three are right and one is a tie
    assert auprc(active, simulated) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)  # recall 1/2 at 3, all of it at 2


@given(pairs)
def test_auroc_is_the_share_of_pairs_in_order(drawn: list[tuple[bool, int]]) -> None:
    active, simulated = _sides(drawn)
    yes, no = simulated[active], simulated[~active]
    expected = np.mean([(a > b) + 0.5 * (a == b) for a in yes for b in no])
    assert auroc(active, simulated) == pytest.approx(expected)
    assert auroc(active, simulated) == pytest.approx(stats.mannwhitneyu(yes, no).statistic / (len(yes) * len(no)))


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


@given(pairs)
def test_only_the_order_counts_and_not_that_of_the_tokens(drawn: list[tuple[bool, int]]) -> None:
    active, simulated = _sides(drawn)
    for metric in (auroc, auprc):
        assert metric(active, np.exp(simulated)) == metric(active, simulated)
        assert metric(active[::-1], simulated[::-1]) == pytest.approx(metric(active, simulated))


@pytest.mark.parametrize("metric", [auroc, auprc])
def test_what_has_no_value_is_an_error(metric: object) -> None:
    assert callable(metric)
    for active in ([True, True], [False, False]):
        with pytest.raises(UndefinedScoreError):
            metric(active, [1.0, 2.0])
    with pytest.raises(ScoreInputError):
        metric([True, False], [1.0, float("nan")])
    with pytest.raises(ScoreInputError):
        metric([True, False], [1.0])
