"""Intervals by resampling units: all that was answered about a unit is drawn together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from harness.stats import CONFIDENCE, expanded
from harness.types import Interval, Unit

IntArray = npt.NDArray[np.int64]
RESAMPLES = 399
LEAST_UNITS = 6
"""Units below which no interval is given: a bootstrap of so few says nothing of other units."""
MOST_UNDEFINED = 0.05
"""Share of the resamples that may have no estimate."""


def interval(
    estimate: Callable[[IntArray], float], units: Sequence[Unit], seed: int, resamples: int = RESAMPLES
) -> Interval:
    """Return an estimate with its percentile interval over resamples of units.

    The percentiles are moved outwards, as a bootstrap of n units is too narrow (Hesterberg 2015, "expanded").

    Args:
        estimate: makes one number of the items at some places; items of a unit that is drawn twice stand there twice.
        units: of each item [items].
        seed: of the resampling.
        resamples: their number.

    Returns:
        The interval; its ends are NaN for fewer than :data:`LEAST_UNITS` units, or where too many resamples have no
        estimate.
    """
    members = _members(units)
    value = estimate(np.arange(len(units)))
    if len(members) < LEAST_UNITS or math.isnan(value):
        return Interval(value, math.nan, math.nan, len(members))
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(members), size=(resamples, len(members)))
    values = np.array([estimate(np.concatenate([members[place] for place in draw])) for draw in draws])
    if np.isnan(values).mean() > MOST_UNDEFINED:
        return Interval(value, math.nan, math.nan, len(members))
    tail = (1 - expanded(CONFIDENCE, len(members))) / 2
    low, high = np.nanquantile(values, (tail, 1 - tail)).tolist()
    return Interval(value, low, high, len(members))


def _members(units: Sequence[Unit]) -> list[IntArray]:
    """Return the places of the items of each unit, in order of units, so that the order of items does not matter."""
    places: dict[Unit, list[int]] = {}
    for place, unit in enumerate(units):
        places.setdefault(unit, []).append(place)
    return [np.array(places[unit]) for unit in sorted(places)]
