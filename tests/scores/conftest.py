"""Simulated excerpts to score: ``excerpt(real, simulated, ...)`` makes one of the valid split."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from harness.types import Excerpt, ExcerptKind, SimulatedExcerpt, Simulation

Make = Callable[..., SimulatedExcerpt]


@pytest.fixture(scope="session")
def excerpt() -> Make:
    """Make an excerpt with its simulation; ``calibrated`` is twice the simulated values plus 1 unless given."""

    def make(
        real: Sequence[float],
        simulated: Sequence[float],
        kind: ExcerptKind = ExcerptKind.TOP,
        calibrated: Sequence[float] | None = None,
        **options: object,
    ) -> SimulatedExcerpt:
        split = str(options.pop("split", "valid"))
        simulation = Simulation(tuple(simulated), outcome=options.pop("outcome", "ok"))  # type: ignore[arg-type]
        tokens = tuple(f"t{index}" for index in range(len(real)))
        ids = options.pop("token_ids", tuple(range(len(real))))
        shown = Excerpt(tokens, ids, tuple(real), kind, **options)  # type: ignore[arg-type]
        line = tuple(2 * value + 1 for value in simulated) if calibrated is None else tuple(calibrated)
        return SimulatedExcerpt(split, shown, simulation, line)

    return make
