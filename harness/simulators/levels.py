"""What the simulators that ask a model share: what is asked, and how readings become a simulation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import islice

from harness.types import (
    LanguageModel,
    LevelReading,
    NeuroglossError,
    Outcome,
    Query,
    Simulation,
    SlottedPrompt,
    Usage,
)

Requests = Callable[[Sequence[Query], int], list[list[SlottedPrompt]]]
"""From queries and the number of levels to the prompts of each query, whose slots are its tokens in order."""


def ask(model: LanguageModel, queries: Sequence[Query], requests: Requests) -> list[Simulation]:
    """One simulation for each query, in order; ``model`` is asked once, never about what :func:`unasked` answers."""
    known = [unasked(query) for query in queries]
    asked = [query for query, answer in zip(queries, known, strict=True) if answer is None]
    groups = requests(asked, model.levels()) if asked else []
    prompts = [prompt for group in groups for prompt in group]
    readings = iter(model.read_levels(prompts) if prompts else [])
    answers = iter([simulation(group, list(islice(readings, len(group)))) for group in groups])
    return [answer or next(answers) for answer in known]


def expected_levels(reading: LevelReading) -> tuple[float, ...]:
    """Sum over levels of level x renormalised probability, for each slot [slots]; NaN where no level was seen.

    Bills et al. (2023); the original code gives 0 where no level was seen, which is departed from.
    """
    return tuple(
        sum(level * share for level, share in enumerate(shares)) if seen else math.nan
        for shares, seen in zip(reading.probabilities, reading.seen, strict=True)
    )


def rescaled(level: int, levels: int) -> int:
    """A worked example's level, written from 0 to 10, on the scale 0..levels-1 that the model reads; halves go up."""
    return (2 * level * (levels - 1) + 10) // 20


def unasked(query: Query) -> Simulation | None:
    """The simulation of a query that no model is asked: there is no explanation, or there are no tokens."""
    explanation = query.explanation
    if explanation.outcome is Outcome.OK and explanation.text.strip() and query.tokens:
        return None
    outcome = Outcome.EMPTY if explanation.outcome is Outcome.OK else explanation.outcome
    return nothing(len(query.tokens), outcome)


def nothing(tokens: int, outcome: Outcome) -> Simulation:
    """A simulation that is missing on every token, and why."""
    return Simulation(expected=(math.nan,) * tokens, outcome=outcome)


def simulation(prompts: Sequence[SlottedPrompt], readings: Sequence[LevelReading]) -> Simulation:
    """The readings of consecutive prompts, joined: one value for each slot, NaN where a prompt has none.

    Its outcome is ok where any prompt's is, else the first one's.
    """
    complete = [_complete(prompt, reading) for prompt, reading in zip(prompts, readings, strict=True)]
    usage = sum((reading.usage for reading in readings), Usage())
    outcomes = [reading.outcome for reading in readings]
    return Simulation(
        expected=tuple(value for reading in complete for value in expected_levels(reading)),
        probabilities=tuple(shares for reading in complete for shares in reading.probabilities),
        mass=tuple(mass for reading in complete for mass in reading.mass),
        outcome=Outcome.OK if Outcome.OK in outcomes else outcomes[0],
        usage=usage,
    )


def _complete(prompt: SlottedPrompt, reading: LevelReading) -> LevelReading:
    """``reading`` with an entry for each slot: missing ones where the request failed as a whole."""
    slots = len(prompt.parts)
    if reading.outcome is not Outcome.OK:
        missing = (math.nan,) * prompt.levels
        return LevelReading((missing,) * slots, (math.nan,) * slots, (0,) * slots, reading.outcome)
    if not len(reading.probabilities) == len(reading.mass) == len(reading.seen) == slots:
        raise NeuroglossError(
            f"a model read {len(reading.seen)} slots of a prompt that has {slots}; this is its defect."
        )
    return reading
