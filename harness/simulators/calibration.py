"""Calibration: a map from a simulator's units to activation units, fitted on the calibration split of a neuron.

==========  ========================================================================================================
method      the map
==========  ========================================================================================================
linear      the line of least squares with a slope of at least 0
percentile  each quantile of the simulated values to the same quantile of the real ones: the right distribution,
            whichever tokens it falls on (the original code's percentile matching)
isotonic    the map of least squares among all that never fall: it keeps the order without being a line
==========  ========================================================================================================

No map ever falls, so that none turns a wrong simulation into a right one.

This departs from the original code (openai/automated-interpretability) in two respects. The slope of least squares may
be negative, which would turn an inverted simulation into a good one: here the slope is at least 0, and ``clipped``
records that it would have been negative. A simulated value that stands for several quantiles is mapped to the mean of
their real values, while the original takes the first or the last of them.

A slope fitted on few excerpts is too steep on average among those that look good. :func:`fit_excerpts` shrinks that of
a line by its own standard error over excerpts, ``slope (1 - (error / slope)^2)``, at least 0 (the positive part of an
estimate by James & Stein 1961), and records the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from harness.types import Calibration, CalibrationMethod, Excerpt, FloatArray, NeuroglossError, Simulation

_SAME = 1e-13  # values closer than this share of the largest count as equal: float noise, as in harness.scores


def fit(
    real: npt.ArrayLike, simulated: npt.ArrayLike, method: CalibrationMethod = CalibrationMethod.LINEAR
) -> Calibration:
    """Return the map of a method from ``simulated`` to ``real``.

    If ``simulated`` is constant, every method maps all values to the mean of ``real``.

    Args:
        real: real activations [tokens].
        simulated: simulated activations in the simulator's units [tokens].
        method: the kind of map.

    Raises:
        NeuroglossError: unequal lengths, no tokens, or a value that is not finite.
    """
    targets, values = np.asarray(real, dtype=np.float64), np.asarray(simulated, dtype=np.float64)
    if targets.shape != values.shape or targets.ndim != 1 or not targets.size:
        raise NeuroglossError(
            f"calibration needs one real and one simulated value for each token, but has {targets.size} and "
            f"{values.size}."
        )
    if not (np.isfinite(targets).all() and np.isfinite(values).all()):
        raise NeuroglossError("calibration needs finite values; leave missing tokens out and count them.")
    if method is not CalibrationMethod.LINEAR:
        return Calibration(method=method, knots=_knots(targets, values, method))
    if _constant(targets) or _constant(values):
        return Calibration(0.0, float(targets.mean()))
    return _line(targets, values)


def fit_excerpts(
    excerpts: Sequence[Excerpt],
    simulations: Sequence[Simulation],
    method: CalibrationMethod = CalibrationMethod.LINEAR,
) -> Calibration | None:
    """Return the fit over all scored tokens of a neuron's calibration excerpts; missing tokens are left out.

    Args:
        excerpts: the calibration excerpts.
        simulations: the simulation of each, in order; missing values are NaN, or the simulation is empty.
        method: the kind of map.

    Returns:
        The fit; None if no token has a simulation, so that the neuron has no scores in activation units.

    Raises:
        NeuroglossError: a simulation does not have one value for each token.
    """
    real: list[float] = []
    simulated: list[float] = []
    places: list[int] = []
    for place, (excerpt, simulation) in enumerate(zip(excerpts, simulations, strict=True)):
        if not simulation.expected:
            continue
        if len(simulation.expected) != len(excerpt.tokens):
            raise NeuroglossError(
                f"the simulation of excerpt {excerpt.source or '?'} has {len(simulation.expected)} values for "
                f"{len(excerpt.tokens)} tokens; each needs one."
            )
        real.extend(excerpt.activations[excerpt.scored])
        simulated.extend(simulation.expected[excerpt.scored])
        places.extend([place] * len(excerpt.activations[excerpt.scored]))
    present = ~np.isnan(simulated)
    if not present.any():
        return None
    targets, values, members = (np.array(column)[present] for column in (real, simulated, places))
    fitted = fit(targets, values, method)
    return _shrunk(fitted, targets, values, members) if fitted.slope > 0 else fitted


def _shrunk(line: Calibration, real: FloatArray, simulated: FloatArray, members: npt.NDArray[np.int64]) -> Calibration:
    """Return a line with its slope shrunk by its error; as it was if all tokens are of one excerpt.

    The error is robust to tokens of one excerpt being alike (Liang & Zeger 1986, with G / (G - 1) for G excerpts).
    """
    excerpts = np.unique(members)
    if excerpts.size < 2:
        return line
    centred = simulated - simulated.mean()
    moments = centred * (real - line.slope * simulated - line.intercept)
    sums = np.array([moments[members == excerpt].sum() for excerpt in excerpts])
    error = np.sqrt(excerpts.size / (excerpts.size - 1) * (sums**2).sum()) / (centred**2).sum()
    slope = line.slope * max(0.0, 1.0 - (error / line.slope) ** 2)
    intercept = line.intercept + (line.slope - slope) * simulated.mean()
    return replace(line, slope=float(slope), intercept=float(intercept), error=float(error))


def apply(calibration: Calibration, simulated: npt.ArrayLike) -> FloatArray:
    """Return simulated values [tokens] in activation units; a missing value (NaN) stays missing."""
    values = np.asarray(simulated, dtype=np.float64)
    if calibration.method is CalibrationMethod.LINEAR:
        mapped = calibration.slope * values + calibration.intercept
    else:
        mapped = np.interp(values, *np.array(calibration.knots).T)
    return np.where(np.isnan(values), np.nan, mapped)


def _knots(real: FloatArray, simulated: FloatArray, method: CalibrationMethod) -> tuple[tuple[float, float], ...]:
    """Return each distinct simulated value with its mean real value, by rank or by token; the means never fall."""
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
    """Return the least-squares line, computed on values of about 1 so that no square vanishes or overflows."""
    unit_a, unit_s = (np.ldexp(1.0, np.frexp(np.abs(values).max())[1] - 1) for values in (real, simulated))
    line = stats.linregress(simulated / unit_s, real / unit_a)
    if line.slope < 0:
        return Calibration(0.0, float(real.mean()), clipped=True)
    return Calibration(float(line.slope * unit_a / unit_s), float(line.intercept * unit_a))


def _constant(values: FloatArray) -> bool:
    return bool(np.ptp(values) <= _SAME * np.abs(values).max())
