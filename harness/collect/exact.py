"""Sums that are the same, bit for bit, in any order of the terms and any division into partial sums.

Floating-point addition is not associative, but integer addition is. So each term is split exactly into whole multiples
of fixed powers of two, which are added as integers: a long accumulator (Kulisch, 1971) of a few words.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.types import FloatArray

DIGIT_BITS = 40
"""Width of a digit: 2^22 terms can be added to a sum before a 64-bit word could overflow."""
LARGEST = 2.0**60
"""The largest value that one term may add to the highest digit."""


class ExactSums:
    """An array of sums.

    Args:
        shape: shape of the array.
        digits: number of words of a sum.
        lowest: terms are cut off below 2 to this power; the range ends ``40 * (digits - 1) + 60`` bits above it.

    Attributes:
        words: the digits of each sum, lowest first, int64 [digits, *shape].
    """

    def __init__(self, shape: tuple[int, ...], digits: int, lowest: int) -> None:
        self.words = np.zeros((digits, *shape), dtype=np.int64)
        self.lowest = lowest

    def add(self, values: FloatArray, where: object = ...) -> None:
        """Add finite numbers to the sums at ``where``, an index into the array without repeated places.

        Raises:
            OverflowError: a number is beyond the range.
        """
        for word, digit in zip(self.words[::-1], self._digits(values), strict=True):
            word[where] += digit

    def absorb(self, sums: ExactSums) -> None:
        """Add the sums of an array of the same shape and range."""
        self.words += sums.words

    def total(self, where: object = ...) -> FloatArray:
        """Return the sums at ``where`` as floating-point numbers; equal words give equal numbers."""
        total = np.zeros(self.words[0][where].shape)
        for place, word in enumerate(self.words):
            total = total + np.ldexp(word[where].astype(np.float64), self.lowest + DIGIT_BITS * place)
        return total

    def _digits(self, values: FloatArray) -> list[npt.NDArray[np.int64]]:
        """Return the whole numbers to add to each word, highest first; all of the arithmetic is exact."""
        digits = []
        remainder = np.asarray(values, dtype=np.float64)
        for place in reversed(range(len(self.words))):
            exponent = self.lowest + DIGIT_BITS * place
            digit = np.trunc(remainder * 2.0**-exponent)  # times a power of two is exact, and much faster than ldexp
            if place == len(self.words) - 1 and (np.abs(digit) > LARGEST).any():
                raise OverflowError(f"a number to add is larger than 2^{exponent + 60}")
            digits.append(digit.astype(np.int64))
            remainder = remainder - digit * 2.0**exponent
        return digits
