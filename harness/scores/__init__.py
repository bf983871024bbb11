"""How well simulated activations match the real ones: pure functions on arrays, defined in ``metrics``."""

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

__all__ = [
    "ScoreInputError",
    "ScoreSettings",
    "UndefinedScoreError",
    "abs_dev",
    "correlation",
    "explained_variance",
    "is_constant",
    "is_degenerate",
    "r2_uncentred",
    "score",
    "unscored",
]
