"""Settings that would be ignored, or guard nothing: refused before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.config.build import USE
from harness.config.prices import PRICES, unpriced
from harness.config.settings import RunSettings
from harness.jobs.explainers import ExplainerNode
from harness.types import NeuroglossError


def check(settings: RunSettings, values: Mapping[str, Any], nodes: Sequence[ExplainerNode]) -> None:
    """Refuse settings of a run that nothing would use.

    Args:
        settings: of the run.
        values: its whole config, as plain values.
        nodes: its explainers.

    Raises:
        NeuroglossError: naming the key, and what to write instead.
    """
    if Path(settings.output).is_file():
        raise NeuroglossError(f"output={settings.output} is a file; name a folder.")
    if settings.human.file is not None and not any(node.node[USE] == "explainer/people" for node in nodes):
        raise NeuroglossError(
            f"human.file is {settings.human.file}, and no explainer of the run reads it; add people to "
            "explainer=[...], or leave human=table out."
        )
    places = unpriced(values)
    if settings.budget.usd is not None and places:
        raise NeuroglossError(
            f"budget.usd limits dollars, and the prices of {places[0]} are unknown; set "
            f"{' and '.join(f'{places[0]}.{price}' for price in PRICES)} (0 for a server of your own), or "
            "budget.tokens."
        )
