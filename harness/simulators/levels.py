"""Functions of the simulators that ask a model: their requests, and the simulations from its readings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from harness.types import (
    HIGHEST_LEVEL,
    LanguageModel,
    LevelReading,
    NeuroglossError,
    Outcome,
    Query,
    Simulation,
    SimulatorInfo,
    SlottedPrompt,
    Usage,
)
from harness.types.grouping import regrouped

Requests = Callable[[Sequence[Query], int], list[list[SlottedPrompt]]]
"""Map from queries and the number of levels to the prompts of each query; their slots are its tokens, in order."""


def described(name: str, model: LanguageModel, prompt_version: str, note: str = "") -> SimulatorInfo:
    """Return the description of a simulator that reads levels from ``model``."""
    identity = model.identity
    return SimulatorInfo(name, identity, identity.transport, model.levels(), prompt_version, note)


def ask(model: LanguageModel, queries: Sequence[Query], requests: Requests) -> list[Simulation]:
    """Return one simulation for each query, in order, by one call to ``model`` without those of :func:`unasked`."""
    missing = [unasked(query) for query in queries]
    to_ask = [query for query, answer in zip(queries, missing, strict=True) if answer is None]
    groups = requests(to_ask, model.levels()) if to_ask else []
    prompts = [prompt for group in groups for prompt in group]
    readings = regrouped(model.read_levels(prompts) if prompts else [], groups)
    answers = iter([simulation(*pair) for pair in zip(groups, readings, strict=True)])
    return [answer or next(answers) for answer in missing]


def expected_levels(reading: LevelReading) -> tuple[float, ...]:
    """Return the sum over levels of level x renormalised probability [slots]; NaN where no level was seen.

    Source: Bills et al. (2023); their code gives 0 where no level was seen.
    """
    return tuple(
        sum(level * probability for level, probability in enumerate(probabilities)) if count else math.nan
        for probabilities, count in zip(reading.probabilities, reading.seen, strict=True)
    )


def rescaled(level: int, levels: int) -> int:
    """Return a level of 0..10 from a worked example on the model's scale 0..levels-1; halves are rounded up."""
    return (2 * level * (levels - 1) + HIGHEST_LEVEL) // (2 * HIGHEST_LEVEL)


def unasked(query: Query) -> Simulation | None:
    """Return the missing simulation of a query without an explanation or tokens; None if a model must be asked."""
    explanation = query.explanation
    if explanation.outcome is Outcome.OK and explanation.text.strip() and query.tokens:
        return None
    outcome = Outcome.EMPTY if explanation.outcome is Outcome.OK else explanation.outcome
    return missing_simulation(len(query.tokens), outcome)


def missing_simulation(tokens: int, outcome: Outcome) -> Simulation:
    """Return a simulation that is NaN at every token; ``outcome`` says why."""
    return Simulation(expected=(math.nan,) * tokens, outcome=outcome)


def simulation(prompts: Sequence[SlottedPrompt], readings: Sequence[LevelReading]) -> Simulation:
    """Return the readings of consecutive prompts as one simulation [slots]; NaN where a prompt has no value.

    The outcome is OK if that of any prompt is, else that of the first.
    """
    complete = [_complete(prompt, reading) for prompt, reading in zip(prompts, readings, strict=True)]
    usage = sum((reading.usage for reading in readings), Usage())
    outcomes = [reading.outcome for reading in readings]
    return Simulation(
        expected=tuple(value for reading in complete for value in expected_levels(reading)),
        probabilities=tuple(slot for reading in complete for slot in reading.probabilities),
        mass=tuple(mass for reading in complete for mass in reading.mass),
        outcome=Outcome.OK if Outcome.OK in outcomes else outcomes[0],
        usage=usage,
    )


def _complete(prompt: SlottedPrompt, reading: LevelReading) -> LevelReading:
    """Return ``reading`` with an entry for each slot: missing values if the request failed."""
    slots = len(prompt.parts)
    if reading.outcome is not Outcome.OK:
        missing = (math.nan,) * prompt.levels
        return LevelReading((missing,) * slots, (math.nan,) * slots, (0,) * slots, reading.outcome)
    if not len(reading.probabilities) == len(reading.mass) == len(reading.seen) == slots:
        raise NeuroglossError(
            f"a model read {len(reading.seen)} slots of a prompt that has {slots}; this is its defect."
        )
    return reading
