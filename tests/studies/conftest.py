"""A made-up record: sparse activations that a binary label fits well, in 20 top and 15 random excerpts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from harness.types import Excerpt, ExcerptKind, Moments, TokenSums, Unit, UnitRecord

Make = Callable[..., UnitRecord]
FIRST = Unit("N", 0, 0)


@pytest.fixture(scope="session")
def record() -> Make:
    """Makes a record of a unit that fires at 1 on ``rate`` of the random tokens, and on more of the top ones."""

    def make(unit: Unit = FIRST, rate: float = 0.05, weight: float = 10.0, seed: int = 0) -> UnitRecord:
        rng = np.random.default_rng(seed)

        def excerpt(kind: ExcerptKind, number: int, share: float) -> Excerpt:
            fires = rng.random(64) < share
            activations = np.where(fires, rng.uniform(0.8, 1.0, 64), rng.uniform(-0.05, 0.05, 64))
            activations[0] = 100.0  # a leading position, which must count for nothing
            activations[1] = 1.0 if kind is ExcerptKind.TOP else activations[1]
            return Excerpt(
                tokens=tuple(f"{kind}{number}t{place}" for place in range(64)),
                token_ids=tuple(range(64)),
                activations=tuple(activations.astype(np.float32).tolist()),
                kind=kind,
                weight=1.0 if kind is ExcerptKind.TOP else weight,
                source=f"{kind}-{number}",
                leading=1,
            )

        return UnitRecord(
            unit=unit,
            top=tuple(excerpt(ExcerptKind.TOP, number, 4 * rate) for number in range(20)),
            random=tuple(excerpt(ExcerptKind.RANDOM, number, rate) for number in range(15)),
            moments=Moments(10000, 0.05, 0.05, 0.0, 3.0, 0.5, 1.0),
            token_sums=TokenSums(
                (" sea", " ship", "!", "42"), np.array([30, 10, 99, 5]), np.array([1.0, 0.0, 0.0, 0.0])
            ),
        )

    return make
