"""Models on servers: those whose prices, or whose tokenizer, a config leaves unknown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.config.build import USE

PRICES = ("usd_per_million_prompt_tokens", "usd_per_million_completion_tokens")
"""Settings of a model."""


def unpriced(values: Mapping[str, Any]) -> list[str]:
    """Return the keys of the models on servers in a config whose prices nobody said."""
    return [where for where, node in _servers(values) if any(node.get(price) is None for price in PRICES)]


def uncounted(values: Mapping[str, Any]) -> list[str]:
    """Return the keys of the models on servers in a config whose prompts are counted in bytes, not in tokens."""
    return [where for where, node in _servers(values) if node.get("tokenizer") is None]


def _servers(values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from (item for item in _nodes(values, "") if item[1][USE] == "model/server")


def _nodes(value: object, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (key, node) of everything that a config names by its class."""
    if isinstance(value, Mapping):
        if USE in value:
            yield where, value
        for key, inner in value.items():
            yield from _nodes(inner, f"{where}.{key}" if where else str(key))
