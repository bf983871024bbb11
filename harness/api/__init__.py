"""neurogloss from Python: :func:`evaluate` makes a run, and :class:`Results` is what it left behind."""

from harness.api.evaluation import evaluate
from harness.api.results import Results

__all__ = ["Results", "evaluate"]
