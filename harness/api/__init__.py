"""neurogloss from Python: :func:`evaluate` makes a run, and :class:`Results` is what it left behind."""

import warnings

# In a notebook tqdm asks for a package that draws its bars. transformers and the hub import it, now or when a run needs
# them; we turn their bars off.
warnings.filterwarnings("ignore", "IProgress not found")

from harness.api.evaluation import evaluate  # noqa: E402
from harness.api.results import Results  # noqa: E402

__all__ = ["Results", "evaluate"]
