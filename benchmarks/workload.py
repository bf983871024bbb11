"""What the benchmarks ask: excerpts of the embedded task under explanations."""

from __future__ import annotations

from pathlib import Path

from harness import tasks
from harness.types import Explanation, Query

TASK = Path(__file__).parents[1] / "tasks" / "smollm2-mini-v1"


def queries(neurons: int, excerpts: int, explanations: int = 1) -> list[Query]:
    """The first excerpts of the first neurons, each under as many explanations, which are each neuron's own."""
    return [
        Query(
            Explanation(record.neuron, "benchmark", text=f"words that stand near {index} or {number}"), excerpt.tokens
        )
        for index, record in enumerate(tasks.read_task(TASK).records[:neurons])
        for number in range(explanations)
        for excerpt in (*record.top, *record.random)[:excerpts]
    ]
