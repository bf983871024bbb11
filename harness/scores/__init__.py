"""Scores of simulated activations against the real ones, as pure functions on arrays."""

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
from harness.scores.ranking import auprc, auprc_balanced, auroc, f1
from harness.scores.reliability import reliability

__all__ = [
    "ScoreInputError",
    "UndefinedScoreError",
    "abs_dev",
    "auprc",
    "auprc_balanced",
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
    "spearman",
]
