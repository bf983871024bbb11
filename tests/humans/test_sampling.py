"""Importance sampling of excerpts: nothing is biased by it, and silent excerpts come up less."""

from __future__ import annotations

import numpy as np
import pytest

from harness.humans.sampling import draw, probabilities
from harness.types import Excerpt, ExcerptKind, NeuroglossError


def excerpt(name: str, *activations: float) -> Excerpt:
    return Excerpt(tuple(f"{name}{place}" for place in range(len(activations))), (), activations, ExcerptKind.TOP)


EXCERPTS = [excerpt("a", 9.0, 3.0), excerpt("b", 0.0, 1.0), excerpt("c", -1.0, -2.0), excerpt("d", 0.5, 0.5)]


def test_weighted_sums_estimate_the_mean_without_bias() -> None:
    values = {item.digest: value for item, value in zip(EXCERPTS, (4.0, -1.0, 7.0, 2.0), strict=True)}
    rng = np.random.default_rng(0)
    estimates = [sum(weight * values[item.digest] for item, weight in draw(EXCERPTS, 2, rng)) for _ in range(4000)]
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - 3.0) < 4 * error
    assert error < 0.1


def test_what_fires_comes_up_more_and_no_weight_is_large() -> None:
    chances = probabilities(EXCERPTS)
    assert chances.sum() == pytest.approx(1)
    assert chances[0] == max(chances) > 3 * chances[2]
    assert chances[2] == pytest.approx(0.125)
    assert max(weight for _, weight in draw(EXCERPTS, 50, np.random.default_rng(1))) < 2 * 2 / 4


def test_a_silent_unit_is_sampled_evenly() -> None:
    assert probabilities([EXCERPTS[2]] * 4) == pytest.approx([0.25] * 4)


def test_no_excerpt_is_refused() -> None:
    with pytest.raises(NeuroglossError, match="no excerpt to draw from"):
        probabilities([])
