"""A table of the mean activation by next token, from the train excerpts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.explainers.controls.token_lookup import TokenLookup
from harness.types import Evidence, Excerpt, TableKey


@dataclass(eq=False)
class NextTokenLookup(TokenLookup):
    """Explainer that gives the table instead of a text; it scores well on neurons that predict the next token.

    A task holds no sums by next token, and no explainer sees the calibration excerpts, so the table is made of the
    train excerpts alone. Its score is a lower bound: the neuron fires in all of these excerpts, so that means over them
    are too high elsewhere. A next token that they hold fewer than ``minimum_count`` times gets the neuron's mean.
    """

    minimum_count: int = 1
    table_key: TableKey = field(default=TableKey.NEXT_TOKEN, init=False)

    def table(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the mean activation by next token."""
        return means(evidence.excerpts, self.minimum_count)


def means(excerpts: Sequence[Excerpt], minimum_count: int) -> dict[str, float]:
    """Return the mean activation before each token that follows a scored one, largest first, ties by text."""
    activations_by_token: dict[str, list[float]] = defaultdict(list)
    for excerpt in excerpts:
        keys = TableKey.NEXT_TOKEN.of(excerpt.tokens)
        for key, activation in zip(keys[excerpt.scored], excerpt.activations[excerpt.scored], strict=True):
            if key is not None:
                activations_by_token[key].append(activation)
    table = {
        token: sum(activations) / len(activations)
        for token, activations in activations_by_token.items()
        if len(activations) >= minimum_count
    }
    return dict(sorted(table.items(), key=lambda pair: (-pair[1], pair[0])))
