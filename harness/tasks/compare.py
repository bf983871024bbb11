"""A task beside the same one collected again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from harness.tasks.openai_format import every_excerpt
from harness.types import NeuroglossError, Task, TokenSums, UnitRecord

ROUNDING = 1e-4
"""Largest difference of two collections: of a unit's largest activation, or of a statistic relative to its scale."""

_OTHERWISE = "its corpus, its subject or the code has changed; task.yaml says with which versions it was made."


def compare(task: Task, recollected: Task) -> str:
    """Return a sentence on how well a task agrees with the same one collected again.

    Raises:
        NeuroglossError: other units or excerpts came out, or their figures differ by more than rounding.
    """
    if recollected.digest == task.digest:
        return f"{task.name}: collects to the same digest, {task.digest}"
    if task.units != recollected.units:
        raise NeuroglossError(f"{task.name} collects to other neurons: {_OTHERWISE}")
    largest = 0.0
    for first, second in zip(task.records, recollected.records, strict=True):
        _check_excerpts(task.name, first, second)
        largest = max(largest, *_differences(first, second))
        if largest > ROUNDING:
            raise NeuroglossError(f"{task.name} collects to other figures of neuron {first.unit}: {_OTHERWISE}")
    return (
        f"{task.name}: collects to the same neurons and excerpts; activations, moments and sums agree to "
        f"{largest:.1e} of their scale, as far as rounding goes on another processor or with other versions"
    )


def _check_excerpts(task: str, first: UnitRecord, second: UnitRecord) -> None:
    """Refuse records whose excerpts differ in anything but their activations."""
    pair = every_excerpt(first), every_excerpt(second)
    if [len(pair[0]), len(first.top)] != [len(pair[1]), len(second.top)]:
        raise NeuroglossError(f"{task} collects to another number of excerpts of neuron {first.unit}: {_OTHERWISE}")
    for excerpt, recollected in zip(*pair, strict=True):
        if dataclasses.replace(excerpt, activations=recollected.activations) != recollected:
            raise NeuroglossError(
                f"{task} collects to another excerpt of neuron {first.unit}, {recollected.source} in place of "
                f"{excerpt.source}: {_OTHERWISE}"
            )


def _differences(first: UnitRecord, second: UnitRecord) -> Iterator[float]:
    """Yield how far two records with the same excerpts are apart: activations, moments, sums by token."""
    pairs = zip(every_excerpt(first), every_excerpt(second), strict=True)
    difference = max(float(np.abs(np.subtract(a.activations, b.activations)).max()) for a, b in pairs)
    scale = max(abs(first.moments.maximum), first.moments.variance**0.5) or 1.0
    yield difference / scale
    for name, value in dataclasses.asdict(first.moments).items():
        value_again = getattr(second.moments, name)
        if value is None or value_again is None:
            yield 0.0 if value is value_again else float("inf")
        else:
            denominator = scale if name in ("mean", "maximum") else max(abs(value), 1e-30)
            yield abs(value_again - value) / denominator
    yield _sums_difference(first.token_sums, second.token_sums, scale)


def _sums_difference(first: TokenSums, second: TokenSums, scale: float) -> float:
    """Return the largest difference of the means by token, relative to ``scale``; infinite for other tokens."""
    if first.tokens != second.tokens or not np.array_equal(first.counts, second.counts):
        return float("inf")
    if not first.tokens:
        return 0.0
    return float((np.abs(first.sums - second.sums) / (first.counts * scale)).max())
