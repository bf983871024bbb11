"""The stages, in order: records -> explain -> choose -> simulate -> calibrate -> score.

A run is rows over units: a row is an explainer and the simulator that it is scored by. Each stage takes the previous
one's plain values and returns its own; nothing flows back. What is asked of a model goes through the store, so that
running again resumes, and nothing is asked twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import groupby, pairwise

from harness.scores.metrics import correlation
from harness.simulators import calibration
from harness.simulators.lookup import Lookup
from harness.tasks.splits import evidence
from harness.types import (
    LOOKUP,
    Calibration,
    CalibrationMethod,
    Excerpt,
    ExcerptKind,
    Explainer,
    Explanation,
    Knowing,
    NeuroglossError,
    Query,
    Record,
    Role,
    RowKey,
    Scored,
    ScoredExplanation,
    Scorer,
    Scores,
    SimulatedExcerpt,
    SimulatedExplanation,
    Simulation,
    Simulator,
    Truth,
    Usage,
)
from harness.types.grouping import regrouped

Begin = Callable[[str], None]
"""Function that gets the name of each stage as it begins."""
Settle = Callable[[Explanation], Explanation]
"""Function that decides on an explanation if none of its candidates has a score."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """How simulated levels become activations: the map, and how many calibration excerpts of each kind it is fitted on.

    With none of either nothing is fitted: candidates are chosen on all calibration excerpts, and no simulation is in
    activation units.
    """

    method: CalibrationMethod = CalibrationMethod.LINEAR
    top: int = 5
    random: int = 5


@dataclass(frozen=True)
class Tools:
    """What the stages work with, by their names on the board.

    Attributes:
        explainers: methods and controls.
        simulators: the run's own first, by which candidates are chosen.
        scorers: in the order in which their metrics stand in results.
    """

    explainers: Mapping[str, Explainer | Knowing]
    simulators: Mapping[str, Simulator]
    scorers: Mapping[str, Scorer]

    @property
    def simulator(self) -> Simulator:
        """The run's own simulator."""
        return next(iter(self.simulators.values()))


UNITS_OF_A_SHARD = 128
"""Units that go through the stages together. Explanations are shuffled within a shard, and texts of other units come
from it, so that scores would change with this number."""


def shards(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Yield the units of a run in shards, as even as can be, so that memory does not grow with their number."""
    number = math.ceil(len(records) / UNITS_OF_A_SHARD)
    cuts = [place * len(records) // number for place in range(number + 1)] if number else []
    yield from (records[start:stop] for start, stop in pairwise(cuts))


def run(  # noqa: PLR0913, PLR0917  # what a run is made of
    records: Sequence[Record],
    tools: Tools,
    rows: Sequence[RowKey],
    fitting: Fitting,
    begin: Begin,
    settle: Settle = lambda explanation: explanation,
) -> dict[RowKey, list[ScoredExplanation]]:
    """Explain, simulate and score every row over all units of a shard.

    Args:
        records: of the units.
        tools: what explains, simulates and scores.
        rows: which explainer is scored by which simulator. A table is looked up, so its explainer has one row.
        fitting: how simulations are calibrated.
        begin: gets the name of each stage as it begins.
        settle: decides on an explanation if none of its candidates has a score.

    Returns:
        The scored explanations of each row, in the order of the records.
    """
    begin("explain")
    explanations = explain(tools.explainers, records, fitting)
    explanations = choose(tools.simulator, explanations, records, fitting, settle)
    simulated = simulate(tools, explanations, records, rows, fitting, begin)
    scored = score(tools.scorers, simulated, begin)
    by_row: dict[RowKey, list[ScoredExplanation]] = {}
    for explanation in scored:
        by_row.setdefault(RowKey(explanation.explanation.explainer, explanation.simulator), []).append(explanation)
    return by_row


# ---------------------------------------------------------------------------------------------------------- explaining


def explain(
    explainers: Mapping[str, Explainer | Knowing], records: Sequence[Record], fitting: Fitting
) -> list[Explanation]:
    """Ask every explainer about every unit; each explanation gets its explainer's name and the excerpts it was shown.

    Raises:
        NeuroglossError: an explainer left out a unit, or changed their order.
    """
    evidence_by_record = [evidence(record) for record in records]
    truths = [
        Truth(record.unit, tuple(excerpt for _, excerpt in excerpts_used(record, fitting)), record.told)
        for record in records
    ]
    explanations: list[Explanation] = []
    for name, explainer in explainers.items():
        if isinstance(explainer, Knowing):
            replies, handed = explainer.recall(truths), {truth.unit: truth.excerpts for truth in truths}
        else:
            replies = explainer.explain(evidence_by_record)
            handed = {item.unit: item.excerpts for item in evidence_by_record}
        _check_order(name, explainer.role, replies, records)
        explanations += [
            replace(reply, explainer=name, shown=tuple(excerpt.source for excerpt in handed[reply.unit]))
            for reply in replies
        ]
    return explanations


def _check_order(name: str, role: Role, replies: Sequence[Explanation], records: Sequence[Record]) -> None:
    """Refuse replies that leave out a unit or stand in another order; not every puzzle has told ones of each kind."""
    units = [unit for unit, _ in groupby(reply.unit for reply in replies)]
    expected = [record.unit for record in records if role is not Role.TOLD or record.unit in set(units)]
    if units != expected:
        raise NeuroglossError(f"explainer.{name} did not explain each unit, in order; mend it.")


def choose(
    simulator: Simulator,
    explanations: Sequence[Explanation],
    records: Sequence[Record],
    fitting: Fitting,
    settle: Settle = lambda explanation: explanation,
) -> list[Explanation]:
    """Choose the best of several candidates: the one that correlates best on the calibration excerpts.

    The first of equals is taken. What the simulations cost is added to what the explanation cost.

    Args:
        simulator: the run's own.
        explanations: some with candidates, some without.
        records: of their units; the calibration excerpts are neither explained nor reported on.
        fitting: how many of them are used.
        settle: decides if no candidate has a score.
    """
    excerpts_by_unit = {record.unit: fitting_excerpts(record, fitting) for record in records}
    contested = [explanation for explanation in explanations if explanation.candidates]
    queries = [
        [
            [Query(replace(explanation, text=candidate.text, outcome=candidate.outcome), excerpt.tokens)
             for excerpt in excerpts_by_unit[explanation.unit]]
            for candidate in explanation.candidates
        ]
        for explanation in contested
    ]  # fmt: skip
    flat = [group for groups in queries for group in groups]
    simulations = regrouped(answers(simulator, flat), queries)
    best_by_id = {
        id(explanation): _best(explanation, excerpts_by_unit[explanation.unit], replies, settle)
        for explanation, replies in zip(contested, simulations, strict=True)
    }
    return [best_by_id.get(id(explanation), explanation) for explanation in explanations]


def _best(
    explanation: Explanation,
    excerpts: Sequence[Excerpt],
    simulations: Sequence[Sequence[Simulation]],
    settle: Settle,
) -> Explanation:
    candidates = tuple(
        replace(candidate, score=agreement_on(excerpts, replies))
        for candidate, replies in zip(explanation.candidates, simulations, strict=True)
    )
    usage = sum((simulation.usage for replies in simulations for simulation in replies), explanation.usage)
    best = max(candidates, key=lambda candidate: -math.inf if candidate.score is None else candidate.score)
    judged = replace(explanation, candidates=candidates, usage=usage)
    return settle(judged) if best.score is None else replace(judged, text=best.text, outcome=best.outcome)


def agreement_on(excerpts: Sequence[Excerpt], simulations: Sequence[Simulation]) -> float | None:
    """Return the correlation of real and simulated activations over the scored tokens of ``excerpts``, pooled.

    None if a token has no simulation: a candidate that fails on hard excerpts must not win.
    """
    real = [value for excerpt in excerpts for value in excerpt.activations[excerpt.scored]]
    simulated = [
        value
        for excerpt, simulation in zip(excerpts, simulations, strict=True)
        for value in simulation.expected[excerpt.scored]
    ]
    if not real or len(simulated) != len(real) or any(map(math.isnan, simulated)):
        return None
    return correlation(real, simulated)


# ---------------------------------------------------------------------------------------------------------- simulating


def simulate(  # noqa: PLR0913, PLR0917  # what a stage takes
    tools: Tools,
    explanations: Sequence[Explanation],
    records: Sequence[Record],
    rows: Sequence[RowKey],
    fitting: Fitting,
    begin: Begin,
) -> list[SimulatedExplanation]:
    """Simulate each explanation by the simulators of its rows, all in one call to each, and calibrate."""
    by_unit = {record.unit: record for record in records}
    simulated = []
    for name, simulator in tools.simulators.items():
        begin(f"simulate by {name}")
        members = _members(explanations, rows, name)
        excerpts = [
            simulated_excerpts(tools.explainers[explanation.explainer].role, by_unit[explanation.unit], fitting)
            for explanation in members
        ]
        queries = [
            [Query(explanation, excerpt.tokens) for _, excerpt in pairs]
            for explanation, pairs in zip(members, excerpts, strict=True)
        ]
        simulated += [
            calibrate(explanation, by_unit[explanation.unit], name, list(zip(pairs, replies, strict=True)), fitting)
            for explanation, pairs, replies in zip(members, excerpts, answers(simulator, queries), strict=True)
        ]
    return simulated


def _members(explanations: Sequence[Explanation], rows: Sequence[RowKey], simulator: str) -> list[Explanation]:
    """Return the explanations that a simulator is asked about; a table stands in the first row of its explainer."""
    first = {row.explainer: row.simulator for row in reversed(rows)}
    keys = set(rows)
    return [
        explanation
        for explanation in explanations
        if RowKey(explanation.explainer, simulator) in keys
        and (explanation.table is None or first[explanation.explainer] == simulator)
    ]


def simulated_excerpts(role: Role, record: Record, fitting: Fitting) -> tuple[tuple[str, Excerpt], ...]:
    """Return what an explanation is simulated on, with the split of each excerpt.

    One that comes with its unit was shown nothing, so all is used.
    """
    if role is Role.TOLD:
        splits = (("calibration", record.splits.calibration), ("valid", record.splits.valid))
        return tuple((split, excerpt) for split, excerpts in splits for excerpt in excerpts)
    return excerpts_used(record, fitting)


def excerpts_used(record: Record, fitting: Fitting) -> tuple[tuple[str, Excerpt], ...]:
    """Return the excerpts to simulate, with their split: a few of each kind to calibrate on, all valid ones."""
    fitted = fitting_excerpts(record, fitting) if fitting.top + fitting.random else ()
    return (
        *(("calibration", excerpt) for excerpt in fitted),
        *(("valid", excerpt) for excerpt in record.splits.valid),
    )


def fitting_excerpts(record: Record, fitting: Fitting) -> tuple[Excerpt, ...]:
    """Return the calibration excerpts that are used: a few of each kind, or all if nothing is calibrated.

    They are spread evenly over the ranks, for on the strongest excerpts alone the fitted slope is too steep for the
    others.
    """
    excerpts = record.splits.calibration
    if not fitting.top + fitting.random:
        return excerpts
    top = [excerpt for excerpt in excerpts if excerpt.kind is ExcerptKind.TOP]
    random = [excerpt for excerpt in excerpts if excerpt.kind is ExcerptKind.RANDOM]
    return (*_spread(top, fitting.top), *_spread(random, fitting.random))


def _spread(excerpts: Sequence[Excerpt], count: int) -> list[Excerpt]:
    """Return ``count`` excerpts, or all there are, from the middle of so many equal parts of their ranks."""
    count = min(count, len(excerpts))
    return [excerpts[(2 * place + 1) * len(excerpts) // (2 * count)] for place in range(count)]


def answers(simulator: Simulator, groups: Sequence[Sequence[Query]]) -> list[list[Simulation]]:
    """Return the simulation of each query of each group, by one call to each simulator; tables are looked up."""
    queries = [query for group in groups for query in group]
    replies: dict[int, Simulation] = {}
    for answering, is_table in ((Lookup(), True), (simulator, False)):
        members = [i for i, query in enumerate(queries) if (query.explanation.table is not None) is is_table]
        replies |= zip(members, answering.simulate([queries[i] for i in members]), strict=True)
    return regrouped([replies[i] for i in range(len(queries))], groups)


def calibrate(
    explanation: Explanation,
    record: Record,
    simulator: str,
    simulations: Sequence[tuple[tuple[str, Excerpt], Simulation]],
    fitting: Fitting,
) -> SimulatedExplanation:
    """Fit a map on the calibration excerpts, and apply it to all simulations of an explanation.

    Args:
        explanation: which was simulated.
        record: of its unit.
        simulator: the name of the one that was asked.
        simulations: each with its split and excerpt.
        fitting: how to fit; nothing is fitted if it takes no excerpts.
    """
    fitted = [(excerpt, reply) for (split, excerpt), reply in simulations if split == "calibration"]
    line = None
    if fitting.top + fitting.random:
        line = calibration.fit_excerpts(
            [excerpt for excerpt, _ in fitted], [reply for _, reply in fitted], fitting.method
        )
    excerpts = tuple(
        SimulatedExcerpt(split, excerpt, reply, _in_activation_units(line, reply))
        for (split, excerpt), reply in simulations
    )
    return SimulatedExplanation(explanation, record, simulator, excerpts, line)


def _in_activation_units(line: Calibration | None, simulation: Simulation) -> tuple[float, ...]:
    if line is None:
        return (float("nan"),) * len(simulation.expected)
    return tuple(calibration.apply(line, simulation.expected).tolist())


# ------------------------------------------------------------------------------------------------------------- scoring


def score(
    scorers: Mapping[str, Scorer], explanations: Sequence[SimulatedExplanation], begin: Begin
) -> list[ScoredExplanation]:
    """Score simulated explanations by every scorer, and join the scores of each, in the order of the scorers.

    Raises:
        NeuroglossError: a scorer left out an explanation, or two scorers give the same metric.
    """
    scored_by: dict[str, list[Scored]] = {}
    for name, scorer in scorers.items():
        begin(f"score by {name}")
        scored_by[name] = scorer.score(explanations)
        _check_scores(name, scored_by, len(explanations))
    return [_joined(simulated, parts) for simulated, *parts in zip(explanations, *scored_by.values(), strict=True)]


def _joined(simulated: SimulatedExplanation, parts: Sequence[Scored]) -> ScoredExplanation:
    """Return what all scorers say of an explanation, and what that cost."""
    judged = tuple(case for part in parts for case in part.judged)
    return ScoredExplanation(
        explanation=simulated.explanation,
        simulator=simulated.simulator if simulated.explanation.table is None else LOOKUP,
        simulated=simulated.excerpts,
        calibration=simulated.calibration,
        scores=reduce(Scores.joined, (part.scores for part in parts), Scores({})),
        judged=judged,
        simulate_usage=sum((excerpt.simulation.usage for excerpt in simulated.excerpts), Usage()),
        judge_usage=sum((case.judgement.usage for case in judged), Usage()),
    )


def _check_scores(name: str, scored_by: Mapping[str, Sequence[Scored]], explanations: int) -> None:
    """Refuse a scorer that left out an explanation, or gives a metric of a scorer before it."""
    if len(scored_by[name]) != explanations:
        raise NeuroglossError(f"scores.{name} scored {len(scored_by[name])} of {explanations} explanations; mend it.")
    metrics = {scorer: _metrics(scored) for scorer, scored in scored_by.items()}
    for scorer, names in metrics.items():
        if scorer != name and names & metrics[name]:
            common = min(names & metrics[name])
            raise NeuroglossError(f"scores.{scorer} and scores.{name} both give {common}; leave one of them out.")


def _metrics(scored: Sequence[Scored]) -> set[str]:
    """Return the names of all scores, with a value or without."""
    return {name for item in scored for name in (*item.scores.values, *item.scores.missing)}
