"""People as simulators: their levels beside those of each simulator, on the same tokens of the same excerpts.

A person saw few excerpts of a unit, drawn with unequal probabilities. The weights of these stand on their tokens in
every correlation, so that it estimates the one over all valid excerpts; the simulators are weighted alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness import stats
from harness.humans.analysis.simulated import SimulatedExcerpt
from harness.humans.answers import Levels, Response, SimulateQuestion
from harness.results.rows import Resampling
from harness.results.run import Results
from harness.scores.metrics import correlation
from harness.types import FloatArray, Interval, NeuroglossError, Unit

PEOPLE = "people"


@dataclass(frozen=True, slots=True)
class SimulatorBesidePeople:
    """A simulator on what people simulated.

    Attributes:
        simulator: its name.
        real: its correlation with real activations, as a mean over units.
        with_people: its correlation with people's levels.
        people_ahead: how much higher people correlate with real activations, on the same units.
        p_value: that it is 0, corrected for the number of simulators.
    """

    simulator: str
    real: Interval
    with_people: Interval
    people_ahead: Interval
    p_value: float


@dataclass(frozen=True, slots=True)
class PeopleSimulated:
    """People's simulations: their correlation with real activations over units, and each simulator's beside it.

    ``left_out`` counts those whose explanation or excerpt the run did not simulate.
    """

    people: Interval
    simulators: tuple[SimulatorBesidePeople, ...]
    excerpts: int
    left_out: int


@dataclass(frozen=True)
class _Tokens:
    """The tokens of an excerpt that a person simulated: people's levels, real activations and each simulator's."""

    weights: FloatArray
    levels: FloatArray
    real: FloatArray
    by_simulator: Mapping[str, FloatArray]


_Group = tuple[Unit, str, str]
"""A unit, an explanation of it and a person: what a correlation is taken over."""


def beside_simulators(
    responses: Sequence[Response], results: Results, excerpts: Sequence[SimulatedExcerpt], settings: Resampling
) -> PeopleSimulated:
    """Return people's simulations beside those of the simulators of a run.

    Raises:
        NeuroglossError: an answer has not one level for each token.
    """
    groups, left_out = _groups(responses, results, excerpts)
    names = [info.name for info in results.simulators]
    real = {name: _by_unit(groups, name, "real") for name in (PEOPLE, *names)}
    tests = settings.differences([(real[PEOPLE], real[name]) for name in names])
    return PeopleSimulated(
        stats.mean_interval(list(real[PEOPLE].values())),
        tuple(
            SimulatorBesidePeople(
                name,
                stats.mean_interval(list(real[name].values())),
                stats.mean_interval(list(_by_unit(groups, name, PEOPLE).values())),
                test.interval,
                test.corrected,
            )
            for name, test in zip(names, tests, strict=True)
            if real[name]
        ),
        sum(map(len, groups.values())),
        left_out,
    )


def _groups(
    responses: Sequence[Response], results: Results, excerpts: Sequence[SimulatedExcerpt]
) -> tuple[dict[_Group, list[_Tokens]], int]:
    annotators = {
        (row.summary.explainer, item.unit, item.explanation.text): item.explanation.annotator
        for row in results.rows
        for item in row.scored
    }
    by_key: dict[tuple[str, str, Unit, str], dict[str, SimulatedExcerpt]] = {}
    for excerpt in excerpts:
        key = (excerpt.explainer, excerpt.annotator, excerpt.unit, excerpt.excerpt)
        by_key.setdefault(key, {})[excerpt.simulator] = excerpt
    groups: dict[_Group, list[_Tokens]] = {}
    left_out = 0
    for response in responses:
        question, payload = response.assignment.question, response.answer.payload
        if isinstance(question, SimulateQuestion) and isinstance(payload, Levels):
            wording, unit = question.explanation, response.answer.unit
            annotator = annotators.get((wording.author, unit, wording.text), "")
            simulated = by_key.get((wording.author, annotator, unit, question.excerpt), {})
            if simulated:
                group = (unit, wording.text, response.answer.annotator)
                groups.setdefault(group, []).append(_tokens(response.assignment.id, question, payload, simulated))
            left_out += not simulated
    return groups, left_out


def _tokens(
    assignment: str, question: SimulateQuestion, payload: Levels, simulated: Mapping[str, SimulatedExcerpt]
) -> _Tokens:
    excerpt = next(iter(simulated.values()))
    if len(payload.levels) != len(excerpt.real):
        raise NeuroglossError(
            f"the answer to assignment {assignment} has {len(payload.levels)} levels for {len(excerpt.real)} tokens."
        )
    scored = slice(excerpt.leading, None)
    levels = np.array(payload.levels, dtype=np.float64)[scored]
    by_simulator = {name: other.simulated[scored] for name, other in simulated.items()}
    return _Tokens(np.full(len(levels), question.weight), levels, excerpt.real[scored], by_simulator)


def _by_unit(groups: Mapping[_Group, Sequence[_Tokens]], simulator: str, against: str) -> dict[Unit, float]:
    """Return the correlation of a simulator, or of people, with the real activations or with people's levels.

    It is taken for each explanation and person, and averaged over those of a unit; 0 where a side is constant. A group
    of which the simulator lacks an excerpt has none.
    """
    correlations: dict[Unit, list[float]] = {}
    for (unit, _, _), excerpts in groups.items():
        if simulator == PEOPLE or all(simulator in tokens.by_simulator for tokens in excerpts):
            columns = [
                np.concatenate([_column(tokens, name) for tokens in excerpts])
                for name in ("weights", against, simulator)
            ]
            present = np.isfinite(columns).all(axis=0)
            if present.any():
                weights, first, second = (column[present] for column in columns)
                correlations.setdefault(unit, []).append(correlation(first, second, weights))
    return {unit: float(np.mean(values)) for unit, values in sorted(correlations.items())}


def _column(tokens: _Tokens, name: str) -> FloatArray:
    columns = {"weights": tokens.weights, "real": tokens.real, PEOPLE: tokens.levels}
    return columns[name] if name in columns else tokens.by_simulator[name]
