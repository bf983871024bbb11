"""What is computed of every activation of a batch: what comes of it, and how it is done on an accelerator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from harness.subjects.kernels import POWERS
from harness.types import FloatArray

TILE = 2**19
"""Activations worked on together: few enough that they, their squares and their cubes, 6 MB, stay in a large cache, and
enough that the threads which share the work do not wait for each other."""


@dataclass(frozen=True, eq=False)
class Reduced:
    """A batch of one layer, without its tokens.

    Attributes:
        highest: the largest activation of each passage [passages, neurons].
        powers: sums of the activations' first four powers over all passages [4, neurons].
        active: how many activations are above 0 [neurons].
    """

    highest: npt.NDArray[np.float32]
    powers: FloatArray
    active: npt.NDArray[np.int64]

    @classmethod
    def of(cls, highest: npt.NDArray[np.float32], totals: FloatArray) -> Reduced:
        """From the largest, and the sums of the powers with how many are above 0 behind them [powers + 1, neurons]."""
        return cls(highest, totals[:POWERS], totals[POWERS].astype(np.int64))


@torch.inference_mode()
def reduce(activations: torch.Tensor, leading: int) -> Reduced:
    """Reduce activations, float32 [passages, tokens, neurons], over all positions but the first ``leading``.

    Sums within a passage are in float32, and sums over passages in float64. They are handed back to the processor, so
    that on an accelerator each layer of each batch is waited for.
    """
    passages, tokens, neurons = activations.shape
    at_once = max(1, TILE // (tokens * neurons))
    highest = activations.new_empty(passages, neurons)
    sums = activations.new_empty(passages, POWERS + 1, neurons)
    square, cube = activations.new_empty(2, min(at_once, passages), tokens - leading, neurons)
    for first in range(0, passages, at_once):
        few = slice(first, first + at_once)
        scored = activations[few, leading:]
        _reduce_tile(scored, highest[few], sums[few].transpose(0, 1), square[: len(scored)], cube[: len(scored)])
    highest += 0.0  # makes one number of the two zeros
    return Reduced.of(highest.cpu().numpy(), sums.double().sum(0).cpu().numpy())


def _reduce_tile(
    scored: torch.Tensor, highest: torch.Tensor, sums: torch.Tensor, square: torch.Tensor, cube: torch.Tensor
) -> None:
    """Fill ``highest`` and ``sums`` [5, passages, neurons] from ``scored``; the last two are room to work in."""
    torch.amax(scored, 1, out=highest)
    torch.sum(scored, 1, out=sums[0])
    torch.mul(scored, scored, out=square)
    torch.sum(square, 1, out=sums[1])
    torch.mul(scored, square, out=cube)
    torch.sum(cube, 1, out=sums[2])
    square.mul_(square)
    torch.sum(square, 1, out=sums[3])
    torch.gt(scored, 0, out=cube)
    torch.sum(cube, 1, out=sums[4])
