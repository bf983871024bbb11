"""Settings that would be ignored, or guard nothing: refused before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.config.build import USE
from harness.config.settings import RunSettings
from harness.jobs.explainers import ExplainerNode
from harness.types import NeuroglossError

PRICES = ("usd_per_million_prompt_tokens", "usd_per_million_completion_tokens")


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


def unpriced(values: Mapping[str, Any]) -> list[str]:
    """Return the keys of the models on servers in a config whose prices nobody said."""
    return [
        where
        for where, node in _nodes(values, "")
        if node[USE] == "model/server" and any(node.get(price) is None for price in PRICES)
    ]


def _nodes(value: object, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (key, node) of everything that a config names by its class."""
    if isinstance(value, Mapping):
        if USE in value:
            yield where, value
        for key, inner in value.items():
            yield from _nodes(inner, f"{where}.{key}" if where else str(key))
