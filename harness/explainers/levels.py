"""What an explainer is shown of activations: whole levels from 0 to 10 (method: "Explainer prompt levels")."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from harness.types import Excerpt, NeuroglossError

LARGEST_LEVEL = 10
REPEAT_BELOW = 0.2
"""The non-zero tokens are repeated after the excerpts where they are less than this share of the tokens shown."""

ShownTokens = tuple[tuple[str, int], ...]
"""The tokens of one excerpt, each with its level."""


def levels(activations: Sequence[float], largest: float) -> tuple[int, ...]:
    """``min(10, floor(10 * max(a, 0) / largest))`` for each activation; all 0 where ``largest`` is not above 0.

    Raises:
        NeuroglossError: where an activation or ``largest`` is not a finite number, or ten times it is not.
    """
    for value in (*activations, largest):
        if not math.isfinite(LARGEST_LEVEL * value):
            raise NeuroglossError(f"the activation {value} has no level; collect the excerpts again.")
    if largest <= 0:
        return (0,) * len(activations)
    return tuple(min(LARGEST_LEVEL, math.floor(LARGEST_LEVEL * max(a, 0.0) / largest)) for a in activations)


def shown(excerpts: Sequence[Excerpt]) -> tuple[ShownTokens, ...]:
    """Every excerpt's tokens with their levels; the scale is the largest activation over all of them.

    Leading positions count neither for the scale nor as firing: they are shown with level 0.
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


def repeated(excerpts: Iterable[ShownTokens]) -> ShownTokens:
    """The tokens with a level above 0, to be shown once more; none where they are 20 % of the tokens or more."""
    tokens = [pair for excerpt in excerpts for pair in excerpt]
    firing = tuple(pair for pair in tokens if pair[1] > 0)
    return firing if len(firing) < REPEAT_BELOW * len(tokens) else ()
