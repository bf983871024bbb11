"""Reduction of a batch of activations to maxima and sums, and its computation on an accelerator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from harness.collect.kernels import POWERS
from harness.types import FloatArray


@dataclass(frozen=True, eq=False)
class Reduced:
    """A batch of one layer, reduced over its tokens.

    Attributes:
        highest: largest activation of each passage [passages, neurons].
        powers: sums of the activations' first four powers over all passages [4, neurons].
        active: number of activations above 0 [neurons].
        absolute: sum of absolute activations [neurons].
        finite: whether the activations at the leading positions, which are ignored otherwise, are finite [neurons].
    """

    highest: npt.NDArray[np.float32]
    powers: FloatArray
    active: npt.NDArray[np.int64]
    absolute: FloatArray
    finite: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, highest: npt.NDArray[np.float32], totals: FloatArray, finite: npt.NDArray[np.bool_]) -> Reduced:
        """Return the reduction whose ``totals`` hold the sums of powers, then the counts above 0, then the sums of
        absolute values [totals, neurons]."""
        return cls(highest, totals[:POWERS], totals[POWERS].astype(np.int64), totals[POWERS + 1], finite)


@torch.inference_mode()
def reduce(activations: torch.Tensor, leading: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Reduce activations, float32 [passages, tokens, neurons], on their device, without waiting for it.

    Returns:
        The maxima over all positions but the first ``leading`` [passages, neurons]; the sums of powers, the counts
        above 0 and the sums of absolute values over these positions and all passages [totals, neurons], in float32
        within a passage and in float64 across passages; and whether the first positions are finite [neurons].
    """
    scored = activations[:, leading:]
    square = scored * scored
    terms = (scored, square, square * scored, square * square, (scored > 0).to(scored.dtype), scored.abs())
    totals = torch.stack([term.sum(1).double().sum(0) for term in terms])
    finite = torch.isfinite(activations[:, :leading]).flatten(0, 1).all(0)
    return scored.amax(1) + 0.0, totals, finite  # adding 0 turns -0 into 0
