"""The scores as functions of two arrays: ``a``, the real activations of some tokens, and ``s``, the simulated ones.

They equal the original scoring code (openai/automated-interpretability) to 1e-9, except where it is not defined or this
project defines it otherwise:

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

Every function takes ``weights`` too: how much each token counts [tokens], at least 0; all alike where it is None. A
whole number n is the token n times. With the inverse sampling probability of its excerpt for weight, a score over a
sample estimates that over all text.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.types import FloatArray, NeuroglossError

CONSTANT_TOLERANCE = 1e-13
"""Values closer together than this share of the largest are one value: 0.1 + 0.2 beside 0.3 differ by 2e-16 of it.
It is the share below which ``scipy.stats.pearsonr`` warns that its input is nearly constant."""


class ScoreInputError(NeuroglossError, ValueError):
    """Arrays that no score is defined on: of unequal lengths, empty, or with something that is not a finite number."""


class UndefinedScoreError(NeuroglossError):
    """A score that has no value on valid input: it would divide by zero, or it is too large to be a number."""


def correlation(real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Pearson's correlation of real and simulated activations, each token counted ``weights`` times.

    ``r = sum w (a - A)(s - S) / sqrt(sum w (a - A)^2 * sum w (s - S)^2)``, with A and S the weighted means. The
    explanation score of Bills et al. 2023 (there without weights).

    Args:
        real: real activations [tokens], in any unit.
        simulated: simulated activations [tokens], in any unit.
        weights: how much each token counts [tokens], at least 0; all alike where it is None.

    Returns:
        A number in [-1, 1]; 0 by convention where it is undefined, which :func:`is_degenerate` tells apart.

    Raises:
        ScoreInputError: unequal lengths, no tokens, NaN or infinity, a negative weight, or no weight at all.
    """
    a, s, w = _weighted(real, simulated, weights)
    if is_constant(a) or is_constant(s):
        return 0.0
    covariance = np.cov(_scaled(a, _exponent(a)), _scaled(s, _exponent(s)), aweights=w, ddof=0)
    spread = np.sqrt(np.diag(covariance))
    return float(np.clip(covariance[0, 1] / spread[0] / spread[1], -1.0, 1.0))


def spearman(real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Spearman's rank correlation: :func:`correlation` of the mid-ranks of both sides, see :func:`mid_ranks`.

    It is 1 for any simulation that rises with the activation, in a line or not, and one huge activation weighs no more
    than another.

    Args:
        real: real activations [tokens], in any unit.
        simulated: simulated activations [tokens], in any unit.
        weights: how much each token counts [tokens].

    Returns:
        A number in [-1, 1]; 0 by convention where one side is constant, which :func:`is_degenerate` tells apart.

    Raises:
        ScoreInputError: as for :func:`correlation`.
    """
    a, s, w = _weighted(real, simulated, weights)
    if is_constant(a) or is_constant(s):
        return 0.0
    return correlation(mid_ranks(a, w), mid_ranks(s, w), w)


def cosine(real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """The cosine of the angle between both sides: ``sum w a s / sqrt(sum w a^2 * sum w s^2)``.

    Unlike a correlation it knows where 0 is: a constant added to either side changes it.

    Args:
        real: real activations [tokens], in any unit whose 0 means silence.
        simulated: simulated activations [tokens], likewise.
        weights: how much each token counts [tokens].

    Returns:
        A number in [-1, 1]; 0 by convention where one side is all zero, which :func:`is_silent` tells apart. A side
        that is constant but not zero has a cosine like any other.

    Raises:
        ScoreInputError: as for :func:`correlation`.
    """
    a, s, w = _weighted(real, simulated, weights)
    if not a.any() or not s.any():
        return 0.0
    a, s = _scaled(a, _exponent(a)), _scaled(s, _exponent(s))
    inner, left, right = (_average(product, w) for product in (a * s, a * a, s * s))
    return float(np.clip(inner / np.sqrt(left) / np.sqrt(right), -1.0, 1.0))


def mid_ranks(values: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """For each value the weight of those below it, and half the weight of those equal to it [tokens].

    With equal weights that is the usual mid-rank less 1/2.
    """
    _, place = np.unique(values, return_inverse=True)
    tied = np.bincount(place, weights)
    return np.asarray((np.cumsum(tied) - tied / 2)[place])


def is_degenerate(real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> bool:
    """Whether :func:`correlation` and :func:`spearman` of the same arguments are undefined, as one side is constant.

    Raises:
        ScoreInputError: as for :func:`correlation`.
    """
    a, s, _ = _weighted(real, simulated, weights)
    return is_constant(a) or is_constant(s)


def is_silent(real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> bool:
    """Whether :func:`cosine` of the same arguments is undefined, as one side is zero on every token that counts.

    Raises:
        ScoreInputError: as for :func:`correlation`.
    """
    a, s, _ = _weighted(real, simulated, weights)
    return not (a.any() and s.any())


def is_constant(values: npt.ArrayLike) -> bool:
    """Whether all values are one value but for float noise: ``max - min <= 1e-13 * max(abs)``, at any scale.

    Raises:
        ScoreInputError: no values, or NaN or infinity among them.
    """
    array = vector("values", values)
    scaled = _scaled(array, _exponent(array))  # so that max - min cannot overflow
    return bool(np.ptp(scaled) <= CONSTANT_TOLERANCE * np.abs(scaled).max())


def r2_uncentred(real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """``1 - mean((a - s)^2) / mean(a^2)``, what the original code calls rsquared; at most 1, 0 for a silent simulation.

    Args:
        real: real activations [tokens].
        simulated: simulated activations in the same unit [tokens].
        weights: how much each token counts [tokens].

    Raises:
        UndefinedScoreError: every real activation is 0.
        ScoreInputError: unequal lengths, no tokens, NaN or infinity, or weights as for :func:`correlation`.
    """
    a, s, w = _in_units_of_real(real, simulated, weights)
    return _one_minus_ratio("r2_uncentred", np.square(a - s), np.square(a), w)


def abs_dev(real: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """``1 - mean|a - s| / mean|a|``, absolute deviation explained; at most 1, 0 for a silent simulation.

    Args:
        real: real activations [tokens].
        simulated: simulated activations in the same unit [tokens].
        weights: how much each token counts [tokens].

    Raises:
        UndefinedScoreError: every real activation is 0.
        ScoreInputError: as for :func:`r2_uncentred`.
    """
    a, s, w = _in_units_of_real(real, simulated, weights)
    return _one_minus_ratio("abs_dev", np.abs(a - s), np.abs(a), w)


def explained_variance(real: npt.ArrayLike, calibrated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """``1 - mean((a - s)^2) / Var(a)``, the textbook R squared; at most 1, 0 for always saying the mean of ``a``.

    Args:
        real: real activations [tokens].
        calibrated: simulated activations, calibrated to the unit of the real ones [tokens].
        weights: how much each token counts [tokens].

    Raises:
        UndefinedScoreError: the real activations are constant.
        ScoreInputError: as for :func:`r2_uncentred`.
    """
    a, s, w = _in_units_of_real(real, calibrated, weights)
    if is_constant(a):
        raise UndefinedScoreError("explained_variance is undefined where every real activation is the same.")
    return _one_minus_ratio("explained_variance", np.square(a - s), np.square(a - _average(a, w)), w)


# ------------------------------------------------------------------------------------------------------ checked arrays


def vector(name: str, values: npt.ArrayLike) -> FloatArray:
    """``values`` as float64 [tokens], or a sentence that names the place at fault."""
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
    wrong = np.flatnonzero(~np.isfinite(array))
    if wrong.size:
        raise ScoreInputError(
            f"{name}[{wrong[0]}] is {array[wrong[0]]}; scores need finite numbers, so leave missing tokens out "
            "and count them."
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
    """The tokens that have a weight."""
    a, s = _pair(real, simulated)
    if weights is None:
        return a, s, None
    w = weights_of(a.size, weights)
    kept = w > 0
    return a[kept], s[kept], w[kept]


def weights_of(tokens: int, weights: npt.ArrayLike) -> FloatArray:
    """Weights of about 1, or less [tokens]; 0 for one so small that float64 cannot add it to the others.

    Raises:
        ScoreInputError: another number of them, NaN or infinity, a negative weight, or no weight at all.
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
    """Both arrays divided by one power of two, by which the real one lies within [-1, 1], and the weights."""
    a, s, w = _weighted(real, simulated, weights)
    exponent = _exponent(a)
    return _scaled(a, exponent), _scaled(s, exponent), w


def _exponent(values: FloatArray) -> int:
    """The least power of two above every value's magnitude (0 where all are 0)."""
    return int(np.frexp(np.abs(values).max())[1])


def _scaled(values: FloatArray, exponent: int) -> FloatArray:
    """``values / 2**exponent``, exact but for underflow; a value too large becomes infinite."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(values, -exponent))


def _average(values: FloatArray, weights: FloatArray | None) -> float:
    return float(values.mean() if weights is None else np.average(values, weights=weights))


def _one_minus_ratio(name: str, error: FloatArray, base: FloatArray, weights: FloatArray | None) -> float:
    """``1 - mean(error) / mean(base)``."""
    whole = _average(base, weights)
    if whole == 0.0:
        raise UndefinedScoreError(f"{name} is undefined where every real activation is 0.")
    with np.errstate(over="ignore"):
        value = 1.0 - _average(error, weights) / whole
    if not np.isfinite(value):
        raise UndefinedScoreError(f"{name} is too large to be a number: the simulated values dwarf the real ones.")
    return value
