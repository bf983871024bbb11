"""Sums that come out the same, bit for bit, in whatever order and in however many parts they are taken.

Floating-point addition is not associative, integer addition is. So every number added is cut, exactly, into whole
multiples of fixed powers of two, and these are added as integers: a long accumulator (Kulisch, 1971) of a few words.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.types import FloatArray

DIGIT_BITS = 40
"""Width of a digit: 2^22 numbers can be added to any place before a 64-bit word could overflow."""
LARGEST = 2.0**60
"""The most that one number may put into its highest digit."""


class ExactSums:
    """An array of sums.

    Args:
        shape: of the array.
        digits: how many words a sum has.
        lowest: numbers are cut off below 2 to this power; the range ends ``40 * (digits - 1) + 60`` bits above it.

    Attributes:
        words: the digits of each sum, lowest first, int64 [digits, *shape].
    """

    def __init__(self, shape: tuple[int, ...], digits: int, lowest: int) -> None:
        self.words = np.zeros((digits, *shape), dtype=np.int64)
        self.lowest = lowest

    def add(self, values: FloatArray, where: object = ...) -> None:
        """Add finite numbers to the sums at ``where``: an index into the array, which names no place twice.

        Raises:
            OverflowError: a number is beyond the range.
        """
        for digit, whole in zip(self.words[::-1], self._digits(values), strict=True):
            digit[where] += whole

    def absorb(self, other: ExactSums) -> None:
        """Add the sums of an array of the same shape and range."""
        self.words += other.words

    def total(self, where: object = ...) -> FloatArray:
        """The sums at ``where`` as floating-point numbers; the same words always give the same ones."""
        found = np.zeros(self.words[0][where].shape)
        for place, digit in enumerate(self.words):
            found = found + np.ldexp(digit[where].astype(np.float64), self.lowest + DIGIT_BITS * place)
        return found

    def _digits(self, values: FloatArray) -> list[npt.NDArray[np.int64]]:
        """Whole numbers for each word, highest first. All of the arithmetic is exact."""
        found = []
        rest = np.asarray(values, dtype=np.float64)
        for place in reversed(range(len(self.words))):
            exponent = self.lowest + DIGIT_BITS * place
            whole = np.trunc(rest * 2.0**-exponent)  # times a power of two is exact, and much faster than ldexp
            if place == len(self.words) - 1 and (np.abs(whole) > LARGEST).any():
                raise OverflowError(f"a number to add is larger than 2^{exponent + 60}")
            found.append(whole.astype(np.int64))
            rest = rest - whole * 2.0**exponent
        return found
