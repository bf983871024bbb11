"""The test-retest spread: how far the scores of one explanation move when the simulator is asked again.

Each repeat asks the simulator afresh, past the store, with another seed wherever its config has one. A simulator that
reads probabilities has none; what then differs is the noise of arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.types import FloatArray


def reliability(scores: FloatArray) -> float:
    """The intraclass correlation ICC(1,1) of repeated scores (Shrout & Fleiss 1979).

    ``(B - W) / (B + (k - 1) W)``, where ``B`` is the mean square between neurons and ``W`` that within them.

    Args:
        scores: finite scores [neurons, repeats].

    Returns:
        1 where repeats agree and neurons differ, about 0 where a repeat says nothing of another, down to
        ``-1 / (k - 1)``; NaN with fewer than two neurons or repeats, or where all scores are one.
    """
    neurons, repeats = scores.shape
    if neurons < 2 or repeats < 2:
        return math.nan
    means = scores.mean(axis=1)
    between = repeats * float(np.square(means - scores.mean()).sum()) / (neurons - 1)
    within = float(np.square(scores - means[:, None]).sum()) / (neurons * (repeats - 1))
    whole = between + (repeats - 1) * within
    return (between - within) / whole if whole > 0 else math.nan


def spread(scores: FloatArray) -> float:
    """The standard deviation of a neuron's score over repeats, pooled over neurons; NaN with fewer than two repeats."""
    return float(np.sqrt(scores.var(axis=1, ddof=1).mean())) if scores.shape[1] > 1 else math.nan


def reseeded(node: Mapping[str, Any], repeat: int) -> dict[str, Any]:
    """The config of a simulator with every ``seed`` in it raised by ``repeat``."""
    return {
        key: reseeded(value, repeat)
        if isinstance(value, Mapping)
        else value + repeat
        if key == "seed" and isinstance(value, int)
        else value
        for key, value in node.items()
    }


def has_seed(node: Mapping[str, Any]) -> bool:
    """Whether anything in the config of a simulator is seeded."""
    return reseeded(node, 0) != reseeded(node, 1)
