"""How well simulated activations match the real ones: pure functions on arrays, defined in the modules of this room."""

from harness.scores.metrics import (
    ScoreInputError,
    UndefinedScoreError,
    abs_dev,
    correlation,
    cosine,
    explained_variance,
    is_constant,
    is_degenerate,
    is_silent,
    r2_uncentred,
    spearman,
)
from harness.scores.panel import ScoreSettings, score, unscored, with_judgements
from harness.scores.ranking import auprc, auroc, f1
from harness.scores.reliability import reliability

__all__ = [
    "ScoreInputError",
    "ScoreSettings",
    "UndefinedScoreError",
    "abs_dev",
    "auprc",
    "auroc",
    "correlation",
    "cosine",
    "explained_variance",
    "f1",
    "is_constant",
    "is_degenerate",
    "is_silent",
    "r2_uncentred",
    "reliability",
    "score",
    "spearman",
    "unscored",
    "with_judgements",
]
