"""How well simulated activations match the real ones: pure functions on arrays, defined in the modules of this room."""

from harness.scores.metrics import (
    ScoreInputError,
    UndefinedScoreError,
    abs_dev,
    correlation,
    explained_variance,
    is_constant,
    is_degenerate,
    r2_uncentred,
)
from harness.scores.panel import ScoreSettings, score, unscored
from harness.scores.ranking import auprc, auroc
from harness.scores.reliability import reliability

__all__ = [
    "ScoreInputError",
    "ScoreSettings",
    "UndefinedScoreError",
    "abs_dev",
    "auprc",
    "auroc",
    "correlation",
    "explained_variance",
    "is_constant",
    "is_degenerate",
    "r2_uncentred",
    "reliability",
    "score",
    "unscored",
]
