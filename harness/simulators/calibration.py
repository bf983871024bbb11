"""Calibration: from a simulator's units to activation units, fitted on the calibration split of one neuron.

==========  ========================================================================================================
method      the map
==========  ========================================================================================================
linear      the line of least squares with a slope of at least 0
percentile  each quantile of the simulated values to the same quantile of the real ones: the right distribution,
            whichever tokens it falls on (the original code's percentile matching)
isotonic    the map of least squares among all that never fall: it gives up the line, and keeps the order
==========  ========================================================================================================

All three only rise or stay level, so that none turns a simulation that is wrong into one that is right.

It departs from the original code (openai/automated-interpretability) in two respects. Least squares may ask for a
negative slope, by which a simulation that is always wrong would become a good one: here the slope is at least 0, and
``clipped`` says that it was asked for. And a simulated value that stands for several quantiles is mapped to the mean of
the real ones, where the original takes the first or the last of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from harness.types import Calibration, CalibrationMethod, Excerpt, FloatArray, NeuroglossError, Simulation

_SAME = 1e-13  # values closer than this share of the largest are one value but for float noise, as in harness.scores


def fit(
    real: npt.ArrayLike, simulated: npt.ArrayLike, method: CalibrationMethod = CalibrationMethod.LINEAR
) -> Calibration:
    """The map of one method from ``simulated`` to ``real``.

    A constant ``simulated`` says nothing but the mean of ``real``, to which every method then maps all.

    Args:
        real: real activations [tokens].
        simulated: simulated activations in the simulator's units [tokens].
        method: which map.

    Raises:
        NeuroglossError: unequal lengths, no tokens, or a value that is not finite.
    """
    a, s = np.asarray(real, dtype=np.float64), np.asarray(simulated, dtype=np.float64)
    if a.shape != s.shape or a.ndim != 1 or not a.size:
        raise NeuroglossError(
            f"calibration needs one real and one simulated value for each token, but has {a.size} and {s.size}."
        )
    if not (np.isfinite(a).all() and np.isfinite(s).all()):
        raise NeuroglossError("calibration needs finite values; leave missing tokens out and count them.")
    if method is not CalibrationMethod.LINEAR:
        return Calibration(method=method, knots=_knots(a, s, method))
    if _constant(a) or _constant(s):
        return Calibration(0.0, float(a.mean()))
    return _line(a, s)


def fit_excerpts(
    excerpts: Sequence[Excerpt],
    simulations: Sequence[Simulation],
    method: CalibrationMethod = CalibrationMethod.LINEAR,
) -> Calibration | None:
    """The fit over the scored tokens of one neuron's calibration excerpts, pooled; missing tokens are left out.

    Args:
        excerpts: the calibration excerpts.
        simulations: the simulation of each, in order; NaN, or no values at all, where it is missing.
        method: which map.

    Returns:
        None where no token has a simulation: such a neuron cannot be scored in activation units.
    """
    real: list[float] = []
    simulated: list[float] = []
    for excerpt, simulation in zip(excerpts, simulations, strict=True):
        if not simulation.expected:
            continue
        if len(simulation.expected) != len(excerpt.tokens):
            raise NeuroglossError(
                f"the simulation of excerpt {excerpt.source or '?'} has {len(simulation.expected)} values for "
                f"{len(excerpt.tokens)} tokens; each needs one."
            )
        real.extend(excerpt.activations[excerpt.scored])
        simulated.extend(simulation.expected[excerpt.scored])
    given = ~np.isnan(simulated)
    return fit(np.array(real)[given], np.array(simulated)[given], method) if given.any() else None


def apply(calibration: Calibration, simulated: npt.ArrayLike) -> FloatArray:
    """The map of simulated values [tokens], in activation units; a missing value (NaN) stays missing."""
    values = np.asarray(simulated, dtype=np.float64)
    if calibration.method is CalibrationMethod.LINEAR:
        mapped = calibration.slope * values + calibration.intercept
    else:
        mapped = np.interp(values, *np.array(calibration.knots).T)
    return np.where(np.isnan(values), np.nan, mapped)


def _knots(real: FloatArray, simulated: FloatArray, method: CalibrationMethod) -> tuple[tuple[float, float], ...]:
    """The mean real value that belongs to each distinct simulated one, by rank or by token, so that it never falls."""
    if _constant(simulated):  # float noise has no order
        return ((float(simulated[0]), float(real.mean())),)
    distinct, place, count = np.unique(simulated, return_inverse=True, return_counts=True)
    if method is CalibrationMethod.PERCENTILE:
        real, place = np.sort(real), np.sort(place)
    unit = np.ldexp(1.0, np.frexp(np.abs(real).max())[1])  # so that no square vanishes or overflows
    level = np.bincount(place, real / unit) / count
    level = optimize.isotonic_regression(level, weights=count).x * unit
    return tuple(zip(distinct.tolist(), level.tolist(), strict=True))


def _line(real: FloatArray, simulated: FloatArray) -> Calibration:
    """The least-squares line, computed on values of about 1 so that no square vanishes or overflows."""
    unit_a, unit_s = (np.ldexp(1.0, np.frexp(np.abs(values).max())[1] - 1) for values in (real, simulated))
    line = stats.linregress(simulated / unit_s, real / unit_a)
    if line.slope < 0:
        return Calibration(0.0, float(real.mean()), clipped=True)
    return Calibration(float(line.slope * unit_a / unit_s), float(line.intercept * unit_a))


def _constant(values: FloatArray) -> bool:
    return bool(np.ptp(values) <= _SAME * np.abs(values).max())
