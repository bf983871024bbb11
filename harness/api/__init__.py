"""neurogloss from Python: :func:`evaluate` makes a run, and :class:`Results` is what it left behind."""

import warnings

with warnings.catch_warnings():
    # In a notebook tqdm asks for a package that draws its bars, which transformers and the hub import and we turn off.
    warnings.filterwarnings("ignore", "IProgress not found")
    from harness.api.evaluation import evaluate
    from harness.api.results import Results

__all__ = ["Results", "evaluate"]
