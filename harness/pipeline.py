"""The stages, in order: task -> explain -> simulate -> calibrate -> ablate -> score.

Each stage takes the previous one's plain values and returns its own; nothing flows back. What has to be asked of a
model goes through the store, so that running again resumes, and nothing is asked twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness import tasks
from harness.scores import ScoreSettings, ablation, score
from harness.simulators import calibration
from harness.simulators.lookup import Lookup
from harness.types import (
    Calibration,
    CalibrationMethod,
    Evidence,
    Excerpt,
    ExcerptKind,
    Explainer,
    Explanation,
    NeuronRecord,
    Query,
    Replacement,
    ScoredExplanation,
    SimulatedExcerpt,
    Simulation,
    Simulator,
)

Divergences = Callable[[Sequence[Replacement]], list[float]]
"""The subject, asked through the store: for each replacement the divergence of its output, in order."""

Begin = Callable[[str], None]
"""Told the name of each stage as it begins."""


@dataclass(frozen=True, eq=False)
class Simulated:
    """An explanation, its neuron, and the simulations of the excerpts that are used: (split, excerpt) in order."""

    explanation: Explanation
    record: NeuronRecord
    excerpts: tuple[tuple[str, Excerpt], ...]
    simulations: tuple[Simulation, ...]


@dataclass(frozen=True, eq=False)
class Calibrated:
    """The same in activation units: ``calibration`` is None where nothing was simulated to fit it on."""

    explanation: Explanation
    record: NeuronRecord
    calibration: Calibration | None
    excerpts: tuple[SimulatedExcerpt, ...]


@dataclass(frozen=True)
class Instruments:
    """What the stages work with: ``explainers`` by their name on the board, a ``simulator`` for texts (a table is
    always scored by the lookup simulator), and the subject's ``divergences``."""

    explainers: Mapping[str, Explainer]
    simulator: Simulator
    divergences: Divergences


def run(
    records: Sequence[NeuronRecord], instruments: Instruments, settings: ScoreSettings, begin: Begin
) -> dict[str, list[ScoredExplanation]]:
    """Explain, simulate and score: for each explainer one scored explanation for each record, in order.

    Args:
        records: the task's neurons that are asked for.
        instruments: what explains, simulates and is ablated.
        settings: which excerpts are used, and how.
        begin: told the name of each stage as it begins.
    """
    begin("explain")
    explanations = explain(instruments.explainers, [tasks.evidence(record) for record in records])
    begin("simulate")
    simulated = simulate(instruments.simulator, explanations, records, settings)
    begin("calibrate")
    calibrated = [calibrate(item, CalibrationMethod(settings.calibration)) for item in simulated]
    begin("ablate")
    measured = ablate(instruments.divergences, calibrated, settings) if settings.ablation else [None] * len(calibrated)
    begin("score")
    scored = [
        ScoredExplanation(item.explanation, item.excerpts, item.calibration, score(item.excerpts, measure, settings))
        for item, measure in zip(calibrated, measured, strict=True)
    ]
    return {name: [one for one in scored if one.explanation.explainer == name] for name in instruments.explainers}


def explain(explainers: Mapping[str, Explainer], evidence: Sequence[Evidence]) -> list[Explanation]:
    """Every explainer's explanation of every neuron, each under its explainer's name."""
    return [
        replace(explanation, explainer=name)
        for name, explainer in explainers.items()
        for explanation in explainer.explain(evidence)
    ]


def simulate(
    simulator: Simulator,
    explanations: Sequence[Explanation],
    records: Sequence[NeuronRecord],
    settings: ScoreSettings,
) -> list[Simulated]:
    """Simulate each explanation on its neuron's calibration and valid excerpts, all in one call to each simulator."""
    by_neuron = {record.neuron: record for record in records}
    used = {record.neuron: excerpts_used(record, settings) for record in records}
    replies = answers(
        simulator, [[Query(one, excerpt.tokens) for _, excerpt in used[one.neuron]] for one in explanations]
    )
    return [
        Simulated(explanation, by_neuron[explanation.neuron], used[explanation.neuron], tuple(some))
        for explanation, some in zip(explanations, replies, strict=True)
    ]


def answers(simulator: Simulator, groups: Sequence[Sequence[Query]]) -> list[list[Simulation]]:
    """The simulation of each query of each group, in order, by one call to each simulator; tables are looked up."""
    queries = [query for group in groups for query in group]
    replies: dict[int, Simulation] = {}
    for asked, is_table in ((Lookup(), True), (simulator, False)):
        members = [i for i, query in enumerate(queries) if (query.explanation.table is not None) is is_table]
        replies |= zip(members, asked.simulate([queries[i] for i in members]), strict=True)
    places = iter(range(len(queries)))
    return [[replies[next(places)] for _ in group] for group in groups]


def excerpts_used(record: NeuronRecord, settings: ScoreSettings) -> tuple[tuple[str, Excerpt], ...]:
    """The excerpts to simulate, with their split: the first few of each kind to calibrate on, all valid ones."""
    splits = tasks.split_record(record)
    top = [excerpt for excerpt in splits.calibration if excerpt.kind is ExcerptKind.TOP]
    random = [excerpt for excerpt in splits.calibration if excerpt.kind is ExcerptKind.RANDOM]
    fitted = top[: settings.calibration_top] + random[: settings.calibration_random]
    return tuple([("calibration", excerpt) for excerpt in fitted] + [("valid", excerpt) for excerpt in splits.valid])


def calibrate(item: Simulated, method: CalibrationMethod = CalibrationMethod.LINEAR) -> Calibrated:
    """Fit on the calibration excerpts, apply to all."""
    pairs = list(zip(item.excerpts, item.simulations, strict=True))
    fitted = [(excerpt, simulation) for (split, excerpt), simulation in pairs if split == "calibration"]
    line = calibration.fit_excerpts(
        [excerpt for excerpt, _ in fitted], [simulation for _, simulation in fitted], method
    )
    excerpts = [
        SimulatedExcerpt(split, excerpt, simulation, _in_activation_units(line, simulation))
        for (split, excerpt), simulation in pairs
    ]
    return Calibrated(item.explanation, item.record, line, tuple(excerpts))


def _in_activation_units(line: Calibration | None, simulation: Simulation) -> tuple[float, ...]:
    if line is None:
        return (float("nan"),) * len(simulation.expected)
    return tuple(calibration.apply(line, simulation.expected).tolist())


def ablate(divergences: Divergences, items: Sequence[Calibrated], settings: ScoreSettings) -> list[list[float]]:
    """The subject's divergences for each item, in the order of :func:`harness.scores.ablation.requests`."""
    requests = [
        ablation.requests(
            item.record.neuron,
            item.excerpts,
            item.record.moments.mean,
            top=settings.ablation_top,
            random=settings.ablation_random,
        )
        for item in items
    ]
    answers = iter(divergences([request for some in requests for request in some]))
    return [[next(answers) for _ in some] for some in requests]
