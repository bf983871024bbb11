from __future__ import annotations

import numpy as np

from harness.simulators.chance import Chance
from harness.types import Explanation, Query, Unit

QUERIES = [Query(Explanation(Unit("N", 0, k), f"words {k}"), ("a", "b", "c") * 30) for k in range(20)]


def test_the_same_question_gets_the_same_noise_in_any_order_and_another_seed_other_noise() -> None:
    forward, backward = Chance().simulate(QUERIES), Chance().simulate(QUERIES[::-1])[::-1]
    assert forward == backward
    assert len({one.expected for one in forward}) == len(QUERIES)
    assert Chance(seed=1).simulate(QUERIES) != forward


def test_levels_are_even_over_the_scale() -> None:
    values = np.concatenate([one.expected for one in Chance().simulate(QUERIES)])
    assert values.min() >= 0
    assert values.max() <= 10
    assert abs(values.mean() - 5) < 0.3
