"""Activations as explainers see them: integer levels from 0 to 10 (method: "Explainer prompt levels")."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from harness.types import HIGHEST_LEVEL, Excerpt, NeuroglossError

REPEAT_BELOW = 0.2
"""The non-zero tokens are repeated after the excerpts if they are less than this share of all tokens."""

ShownTokens = tuple[tuple[str, int], ...]
"""The tokens of one excerpt, each with its level."""


def levels(activations: Sequence[float], largest: float) -> tuple[int, ...]:
    """Return ``min(10, floor(10 * max(a, 0) / largest))`` for each activation; all 0 if ``largest`` is not above 0.

    Raises:
        NeuroglossError: ten times an activation, or ten times ``largest``, is not a finite number.
    """
    for value in (*activations, largest):
        if not math.isfinite(HIGHEST_LEVEL * value):
            raise NeuroglossError(f"the activation {value} has no level; collect the excerpts again.")
    if largest <= 0:
        return (0,) * len(activations)
    return tuple(min(HIGHEST_LEVEL, math.floor(HIGHEST_LEVEL * max(a, 0.0) / largest)) for a in activations)


def shown_tokens(excerpts: Sequence[Excerpt]) -> tuple[ShownTokens, ...]:
    """Return each excerpt's tokens with their levels; level 10 is the largest activation over all excerpts.

    Leading positions are left out of the scale and have level 0.
    """
    largest = max((excerpt.maximum for excerpt in excerpts), default=0.0)
    return tuple(
        tuple(
            zip(
                excerpt.tokens,
                (0,) * min(excerpt.leading, len(excerpt.tokens)) + levels(excerpt.activations[excerpt.scored], largest),
                strict=True,
            )
        )
        for excerpt in excerpts
    )


def tokens_to_repeat(excerpts: Iterable[ShownTokens]) -> ShownTokens:
    """Return the tokens with a level above 0; none if they are 20 % of the tokens or more."""
    tokens = [pair for excerpt in excerpts for pair in excerpt]
    firing = tuple(pair for pair in tokens if pair[1] > 0)
    return firing if len(firing) < REPEAT_BELOW * len(tokens) else ()
