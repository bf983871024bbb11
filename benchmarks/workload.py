"""Queries of the benchmarks: excerpts of the embedded task under explanations."""

from __future__ import annotations

from pathlib import Path

from harness.tasks.units import read_task
from harness.types import Explanation, Query

TASK = Path(__file__).parents[1] / "tasks" / "smollm2-v2"


def queries(neurons: int, excerpts: int, explanations: int = 1) -> list[Query]:
    """Return queries for the first excerpts of the first neurons, each under every explanation of its neuron.

    Args:
        neurons: number of neurons.
        excerpts: number of excerpts for each neuron.
        explanations: number of explanations for each neuron.
    """
    return [
        Query(Explanation(record.unit, "benchmark", text=f"words that stand near {index} or {number}"), excerpt.tokens)
        for index, record in enumerate(read_task(TASK).records[:neurons])
        for number in range(explanations)
        for excerpt in (*record.top, *record.random)[:excerpts]
    ]
