"""What comes of a batch of activations, and how it is computed on an accelerator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from harness.subjects.kernels import POWERS
from harness.types import FloatArray


@dataclass(frozen=True, eq=False)
class Reduced:
    """A batch of one layer, without its tokens.

    Attributes:
        highest: the largest activation of each passage [passages, neurons].
        powers: sums of the activations' first four powers over all passages [4, neurons].
        active: how many activations are above 0 [neurons].
        finite: whether those of the leading positions, which count for nothing else, are finite numbers [neurons].
    """

    highest: npt.NDArray[np.float32]
    powers: FloatArray
    active: npt.NDArray[np.int64]
    finite: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, highest: npt.NDArray[np.float32], totals: FloatArray, finite: npt.NDArray[np.bool_]) -> Reduced:
        """With the sums of the powers and, behind them, how many are above 0 [powers + 1, neurons]."""
        return cls(highest, totals[:POWERS], totals[POWERS].astype(np.int64), finite)


@torch.inference_mode()
def reduce(activations: torch.Tensor, leading: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Reduce activations, float32 [passages, tokens, neurons], on their device, which is not waited for.

    Returns:
        The largest over all positions but the first ``leading`` [passages, neurons]; over these positions and all
        passages the sums of powers, and how many are above 0 [powers + 1, neurons], in float32 within a passage and in
        float64 beyond; and whether the first positions are finite [neurons].
    """
    scored = activations[:, leading:]
    square = scored * scored
    powers = (scored, square, square * scored, square * square, (scored > 0).to(scored.dtype))
    totals = torch.stack([some.sum(1).double().sum(0) for some in powers])
    finite = torch.isfinite(activations[:, :leading]).flatten(0, 1).all(0)
    return scored.amax(1) + 0.0, totals, finite  # adding 0 makes one number of the two zeros
