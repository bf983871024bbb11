"""Scores as functions of two arrays: ``a``, the real activations of tokens, and ``s``, the simulated ones.

They equal the original scoring code (openai/automated-interpretability) to 1e-9, except where the original is undefined
or this project defines a score differently:

===============================  ========================================  ========================================
input                            original (three of these scores)          here
===============================  ========================================  ========================================
a or s constant (also through    correlation: NaN, or one made of noise    correlation 0, :func:`is_degenerate` true
float noise), one token
a all zero                       r2, abs_dev: -inf, or NaN if s is too     :class:`UndefinedScoreError`
NaN or infinity anywhere         all: NaN                                  :class:`ScoreInputError` naming the place
no tokens                        all: NaN                                  :class:`ScoreInputError`
unequal lengths                  ``ValueError`` of numpy                   :class:`ScoreInputError`, a ``ValueError``
score too large for a float      -inf                                      :class:`UndefinedScoreError`
===============================  ========================================  ========================================

Every function takes lists, tuples or arrays of any real type and computes in float64, after scaling its input by a
power of two (which is exact), so that 1e-200 and 1e200 neither vanish nor overflow when squared.

Every function also takes ``weights`` [tokens], at least 0; None gives all tokens the same weight. An integer weight n
counts the token n times. If each weight is the inverse sampling probability of the token's excerpt, the score of a
sample estimates that of all text.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.types import FloatArray, NeuroglossError

CONSTANT_TOLERANCE = 1e-13
"""Values that differ by less than this share of the largest count as equal: 0.1 + 0.2 and 0.3 differ by 2e-16.
It is the share below which ``scipy.stats.pearsonr`` warns that its input is nearly constant."""


class ScoreInputError(NeuroglossError, ValueError):
    """Arrays for which no score is defined: empty, of unequal lengths, or with a value that is not a finite number."""


class UndefinedScoreError(NeuroglossError):
    """A score without a value on valid input: it would divide by zero, or it is too large for a float."""


def correlation(real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return Pearson's correlation of real and simulated activations.

    ``r = sum w (a - A)(s - S) / sqrt(sum w (a - A)^2 * sum w (s - S)^2)``, with A and S the weighted means. This is the
    explanation score of Bills et al. 2023, who use no weights.

    Args:
        real: real activations [tokens], in any unit.
        simulated: simulated activations [tokens], in any unit.
        weights: weight of each token [tokens], at least 0; equal weights if it is None.

    Returns:
        A number in [-1, 1]; 0 by convention if it is undefined, which :func:`is_degenerate` detects.

    Raises:
        ScoreInputError: unequal lengths, no tokens, NaN or infinity, a negative weight, or weights that are all 0.
    """
    a, s, w = _weighted(real, simulated, weights)
    a, s = _normal(a), _normal(s)
    if _is_flat(a) or _is_flat(s):
        return 0.0
    covariance = np.cov(a, s, aweights=w, ddof=0)
    spread = np.sqrt(np.diag(covariance))
    return float(np.clip(covariance[0, 1] / spread[0] / spread[1], -1.0, 1.0))


def spearman(real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return Spearman's rank correlation: the :func:`correlation` of the :func:`mid_ranks` of both arrays.

    It is 1 for any simulation that increases with the activation, linearly or not. A huge activation counts no more
    than any other.

    Args:
        real: real activations [tokens], in any unit.
        simulated: simulated activations [tokens], in any unit.
        weights: weight of each token [tokens].

    Returns:
        A number in [-1, 1]; 0 by convention if an array is constant, which :func:`is_degenerate` detects.

    Raises:
        ScoreInputError: as for :func:`correlation`.
    """
    a, s, w = _weighted(real, simulated, weights)
    if _is_flat(_normal(a)) or _is_flat(_normal(s)):
        return 0.0
    return correlation(mid_ranks(a, w), mid_ranks(s, w), w)


def cosine(real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return the cosine of the angle between both arrays: ``sum w a s / sqrt(sum w a^2 * sum w s^2)``.

    Unlike a correlation it changes if a constant is added to an array.

    Args:
        real: real activations [tokens], in any unit in which 0 means silence.
        simulated: simulated activations [tokens], in any such unit.
        weights: weight of each token [tokens].

    Returns:
        A number in [-1, 1]; 0 by convention if an array is all zero, which :func:`is_silent` detects. It is defined
        for an array that is constant but not zero.

    Raises:
        ScoreInputError: as for :func:`correlation`.
    """
    a, s, w = _weighted(real, simulated, weights)
    if not a.any() or not s.any():
        return 0.0
    a, s = _normal(a), _normal(s)
    inner, real_square, simulated_square = (_average(product, w) for product in (a * s, a * a, s * s))
    return float(np.clip(inner / np.sqrt(real_square) / np.sqrt(simulated_square), -1.0, 1.0))


def mid_ranks(values: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """Return for each value the weight of those below it plus half the weight of those equal to it [tokens].

    Without weights this is the usual mid-rank minus 1/2.
    """
    _, place = np.unique(values, return_inverse=True)
    tied = np.bincount(place, weights)
    return np.asarray((np.cumsum(tied) - tied / 2)[place])


def is_degenerate(real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> bool:
    """Return whether :func:`correlation` and :func:`spearman` are undefined because an array is constant.

    Raises:
        ScoreInputError: as for :func:`correlation`.
    """
    a, s, _ = _weighted(real, simulated, weights)
    return _is_flat(_normal(a)) or _is_flat(_normal(s))


def is_silent(real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> bool:
    """Return whether :func:`cosine` is undefined because an array is zero on every token with a weight.

    Raises:
        ScoreInputError: as for :func:`correlation`.
    """
    a, s, _ = _weighted(real, simulated, weights)
    return not (a.any() and s.any())


def is_constant(values: npt.ArrayLike) -> bool:
    """Return whether all values are equal up to float noise: ``max - min <= 1e-13 * max(abs)``.

    Raises:
        ScoreInputError: no values, or a NaN or infinite one.
    """
    return _is_flat(_normal(vector("values", values)))


def r2_uncentred(real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return ``1 - mean((a - s)^2) / mean(a^2)``, rsquared in the original code; at most 1, 0 for a silent simulation.

    Args:
        real: real activations [tokens].
        simulated: simulated activations in the same unit [tokens].
        weights: weight of each token [tokens].

    Raises:
        UndefinedScoreError: every real activation is 0.
        ScoreInputError: as for :func:`correlation`.
    """
    a, s, w = _in_units_of_real(real, simulated, weights)
    return _one_minus_ratio("r2_uncentred", np.square(a - s), np.square(a), w)


def abs_dev(real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return ``1 - mean|a - s| / mean|a|``, the absolute deviation explained; at most 1, 0 for a silent simulation.

    Args:
        real: real activations [tokens].
        simulated: simulated activations in the same unit [tokens].
        weights: weight of each token [tokens].

    Raises:
        UndefinedScoreError: every real activation is 0.
        ScoreInputError: as for :func:`r2_uncentred`.
    """
    a, s, w = _in_units_of_real(real, simulated, weights)
    return _one_minus_ratio("abs_dev", np.abs(a - s), np.abs(a), w)


def explained_variance(real: npt.ArrayLike, calibrated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return ``1 - mean((a - s)^2) / Var(a)``, the textbook R squared; at most 1, 0 for the constant mean of ``a``.

    Args:
        real: real activations [tokens].
        calibrated: simulated activations in the unit of the real ones [tokens].
        weights: weight of each token [tokens].

    Raises:
        UndefinedScoreError: the real activations are constant.
        ScoreInputError: as for :func:`r2_uncentred`.
    """
    a, s, w = _in_units_of_real(real, calibrated, weights)
    if _is_flat(_normal(a)):
        raise UndefinedScoreError("explained_variance is undefined where every real activation is the same.")
    return _one_minus_ratio("explained_variance", np.square(a - s), np.square(a - _average(a, w)), w)


# ------------------------------------------------------------------------------------------------------ checked arrays


def vector(name: str, values: npt.ArrayLike) -> FloatArray:
    """Return ``values`` as float64 [tokens].

    Raises:
        ScoreInputError: ``values`` are not finite numbers in one non-empty list; the message names the first bad place.
    """
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ScoreInputError(f"{name} is not a list of numbers: {error}.") from error
    if array.ndim != 1:
        raise ScoreInputError(f"{name} has {array.ndim} dimensions; give one number for each token, in one list.")
    if array.size == 0:
        raise ScoreInputError(f"{name} is empty; a score needs at least one token.")
    if array.dtype.kind not in "fiub":
        raise ScoreInputError(f"{name} holds something that is not a real number; give one number for each token.")
    array = array.astype(np.float64)
    is_number = np.isfinite(array)
    if not is_number.all():
        place = int(np.argmin(is_number))
        raise ScoreInputError(
            f"{name}[{place}] is {array[place]}; scores need finite numbers, so leave missing tokens out and count "
            "them."
        )
    return array


def _pair(real: npt.ArrayLike, simulated: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    a, s = vector("real", real), vector("simulated", simulated)
    if len(a) != len(s):
        raise ScoreInputError(f"real has {len(a)} values but simulated has {len(s)}; each token needs one of each.")
    return a, s


def _weighted(
    real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Return real activations, simulated activations and weights of the tokens with a positive weight."""
    a, s = _pair(real, simulated)
    if weights is None:
        return a, s, None
    w = weights_of(a.size, weights)
    positive = w > 0
    return a[positive], s[positive], w[positive]


def weights_of(tokens: int, weights: npt.ArrayLike) -> FloatArray:
    """Return weights scaled to at most 1 [tokens]; 0 for a weight too small to change their float64 sum.

    Raises:
        ScoreInputError: not one weight for each token, NaN or infinity, a negative weight, or weights that are all 0.
    """
    w = vector("weights", weights)
    if w.size != tokens:
        raise ScoreInputError(f"weights has {w.size} values for {tokens} tokens; each token needs one.")
    if w.min() < 0 or w.max() == 0:
        raise ScoreInputError("weights must be at least 0, and not all 0.")
    w = _scaled(w, _exponent(w))
    return np.where(w > np.finfo(np.float64).eps * w.sum(), w, 0.0)


def _in_units_of_real(
    real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Return both arrays divided by the power of two that brings the real one into [-1, 1], and the weights."""
    a, s, w = _weighted(real, simulated, weights)
    exponent = _exponent(a)
    return _scaled(a, exponent), _scaled(s, exponent), w


def _exponent(values: FloatArray) -> int:
    """Return the exponent of the least power of two above every value's magnitude (0 if all are 0)."""
    return int(np.frexp(np.abs(values).max())[1])


def _scaled(values: FloatArray, exponent: int) -> FloatArray:
    """Return ``values / 2**exponent``, exact except for underflow; a value that is too large becomes infinite."""
    if exponent == 0:
        return values
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(values, -exponent))


def _normal(values: FloatArray) -> FloatArray:
    """Return the values divided by the power of two that brings them into [-1, 1], so that no square can overflow."""
    return _scaled(values, _exponent(values))


def _is_flat(normal: FloatArray) -> bool:
    """Return whether values in [-1, 1] are equal up to float noise."""
    return bool(np.ptp(normal) <= CONSTANT_TOLERANCE * np.abs(normal).max())


def _average(values: FloatArray, weights: FloatArray | None) -> float:
    return float(values.mean() if weights is None else np.average(values, weights=weights))


def _one_minus_ratio(name: str, error: FloatArray, base: FloatArray, weights: FloatArray | None) -> float:
    """Return ``1 - mean(error) / mean(base)``.

    Raises:
        UndefinedScoreError: ``base`` is 0 everywhere, or the ratio is too large for a float.
    """
    base_mean = _average(base, weights)
    if base_mean == 0.0:
        raise UndefinedScoreError(f"{name} is undefined where every real activation is 0.")
    with np.errstate(over="ignore"):
        value = 1.0 - _average(error, weights) / base_mean
    if not np.isfinite(value):
        raise UndefinedScoreError(f"{name} is too large to be a number: the simulated values dwarf the real ones.")
    return value
