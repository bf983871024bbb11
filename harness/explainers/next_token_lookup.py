"""A table of the mean activation by the token that comes next, as far as the train excerpts tell it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.explainers.token_lookup import TokenLookup
from harness.types import Evidence, Excerpt, TableKey


@dataclass(eq=False)
class NextTokenLookup(TokenLookup):
    """Gives the table instead of a text: a neuron that predicts what comes next does well by it.

    A task holds sums by token over its corpus, and none by next token. The calibration excerpts are kept from every
    explainer, so the table is made of the train excerpts alone: a lower bound of what the next token can tell, because
    the neuron fires in all of these, and a mean over them is too high elsewhere. What comes next there fewer than
    ``minimum_count`` times, or never, is left to the neuron's mean.
    """

    minimum_count: int = 1
    table_key: TableKey = field(default=TableKey.NEXT_TOKEN, init=False)

    def table(self, evidence: Evidence) -> Mapping[str, float]:
        """Mean activation by the token that comes next."""
        return means(evidence.excerpts, self.minimum_count)


def means(excerpts: Sequence[Excerpt], minimum_count: int) -> dict[str, float]:
    """Mean activation before each token that stands after a scored one, largest first, ties by text."""
    found: dict[str, list[float]] = defaultdict(list)
    for excerpt in excerpts:
        keys = TableKey.NEXT_TOKEN.of(excerpt.tokens)
        for key, activation in zip(keys[excerpt.scored], excerpt.activations[excerpt.scored], strict=True):
            if key is not None:
                found[key].append(activation)
    table = {key: sum(values) / len(values) for key, values in found.items() if len(values) >= minimum_count}
    return dict(sorted(table.items(), key=lambda pair: (-pair[1], pair[0])))
