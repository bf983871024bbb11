"""Calibration: from a simulator's units to activation units, fitted on the calibration split of one neuron.

It departs from the original code (openai/automated-interpretability) in one respect: least squares may ask for a
negative slope, by which a simulation that is always wrong would become a good one. Here the slope is at least 0, and
``clipped`` says that it was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from harness.types import Calibration, Excerpt, FloatArray, NeuroglossError, Simulation

_SAME = 1e-13  # values closer than this share of the largest are one value but for float noise, as in harness.scores


def fit(real: npt.ArrayLike, simulated: npt.ArrayLike) -> Calibration:
    """Least squares ``real = slope * simulated + intercept`` with slope >= 0.

    A constant ``simulated`` says nothing of the slope, which is then 0; with slope 0 the intercept is ``real``'s mean.

    Args:
        real: real activations [tokens].
        simulated: simulated activations in the simulator's units [tokens].

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
    if _constant(a) or _constant(s):
        return Calibration(0.0, float(a.mean()))
    return _line(a, s)


def fit_excerpts(excerpts: Sequence[Excerpt], simulations: Sequence[Simulation]) -> Calibration | None:
    """The fit over the scored tokens of one neuron's calibration excerpts, pooled; missing tokens are left out.

    Args:
        excerpts: the calibration excerpts.
        simulations: the simulation of each, in order; NaN, or no values at all, where it is missing.

    Returns:
        None where no token has a simulation: such a neuron can not be scored in activation units.
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
    return fit(np.array(real)[given], np.array(simulated)[given]) if given.any() else None


def apply(calibration: Calibration, simulated: npt.ArrayLike) -> FloatArray:
    """``slope * simulated + intercept`` [tokens], in activation units; a missing value (NaN) stays missing."""
    values = np.asarray(simulated, dtype=np.float64)
    return np.where(np.isnan(values), np.nan, calibration.slope * values + calibration.intercept)


def _line(real: FloatArray, simulated: FloatArray) -> Calibration:
    """The least-squares line, computed on values of about 1 so that no square vanishes or overflows."""
    unit_a, unit_s = (np.ldexp(1.0, np.frexp(np.abs(values).max())[1] - 1) for values in (real, simulated))
    line = stats.linregress(simulated / unit_s, real / unit_a)
    if line.slope < 0:
        return Calibration(0.0, float(real.mean()), clipped=True)
    return Calibration(float(line.slope * unit_a / unit_s), float(line.intercept * unit_a))


def _constant(values: FloatArray) -> bool:
    return bool(np.ptp(values) <= _SAME * np.abs(values).max())
