"""How far two simulators agree, token by token, on the same queries, and where they differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.types import FloatArray, NeuroglossError, NeuronId, Query, Simulation


@dataclass(frozen=True, slots=True)
class Difference:
    """One token on which two simulators differ: ``position`` counts from 0 in the excerpt of query ``query``."""

    neuron: NeuronId
    query: int
    position: int
    token: str
    first: float
    second: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two simulators compared over all tokens that both have a value for, in the units of their simulations.

    Attributes:
        tokens: how many tokens those are; ``missing`` is how many of the rest lack one value or both.
        correlation: Pearson over them; None where it is undefined, a side being constant.
        mean_absolute_difference: mean of abs(first - second); NaN without tokens.
        largest: the tokens on which they differ most, largest first.
    """

    tokens: int
    missing: int
    correlation: float | None
    mean_absolute_difference: float
    largest: tuple[Difference, ...]


def agreement(
    queries: Sequence[Query], first: Sequence[Simulation], second: Sequence[Simulation], largest: int = 10
) -> Agreement:
    """Compare the simulations that two simulators gave to ``queries``, in the same order.

    Raises:
        NeuroglossError: where they do not stand for the same tokens in the same units.
    """
    for query, one, other in zip(queries, first, second, strict=True):
        if one.units != other.units or not len(query.tokens) == len(one.expected) == len(other.expected):
            raise NeuroglossError("two simulators can only be compared on the same tokens and in the same units.")
    places = [(number, position) for number, query in enumerate(queries) for position in range(len(query.tokens))]
    values = np.array([(first[n].expected[p], second[n].expected[p]) for n, p in places], dtype=np.float64).reshape(
        -1, 2
    )
    present = np.flatnonzero(np.isfinite(values).all(axis=1))
    apart = np.abs(values[present, 0] - values[present, 1])
    order = present[np.argsort(-apart, kind="stable")][:largest]
    return Agreement(
        tokens=len(present),
        missing=len(places) - len(present),
        correlation=_pearson(values[present]),
        mean_absolute_difference=float(apart.mean()) if len(present) else float("nan"),
        largest=tuple(_difference(queries, places[index], values[index]) for index in order),
    )


def _pearson(pairs: FloatArray) -> float | None:
    centred = pairs - pairs.mean(axis=0) if len(pairs) else pairs
    norms = np.sqrt((centred**2).sum(axis=0))
    noise = 1e-12 * np.sqrt((pairs**2).sum(axis=0))
    return None if (norms <= noise).any() else float(centred[:, 0] @ centred[:, 1] / norms.prod())


def _difference(queries: Sequence[Query], place: tuple[int, int], pair: FloatArray) -> Difference:
    number, position = place
    query = queries[number]
    first, second = map(float, pair)
    return Difference(query.explanation.neuron, number, position, query.tokens[position], first, second)
