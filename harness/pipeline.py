"""The stages, in order: task -> explain -> choose -> simulate -> calibrate -> ablate -> judge -> score.

Each stage takes the previous one's plain values and returns its own; nothing flows back. What has to be asked of a
model goes through the store, so that running again resumes, and nothing is asked twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness import tasks
from harness.scores import ScoreSettings, ablation, correlation, judged, score, with_judgements
from harness.scores.ablation import Way
from harness.simulators import calibration
from harness.simulators.lookup import Lookup
from harness.types import (
    Calibration,
    CalibrationMethod,
    Effect,
    Evidence,
    Excerpt,
    ExcerptKind,
    Explainer,
    Explanation,
    Judge,
    Judged,
    JudgeQuery,
    Knowing,
    LanguageModel,
    NeuroglossError,
    NeuronId,
    NeuronRecord,
    Query,
    Replacement,
    ScoredExplanation,
    SimulatedExcerpt,
    Simulation,
    Simulator,
    Truth,
)

Effects = Callable[[Sequence[Replacement]], list[Effect]]
"""The subject, asked through the store: what each replacement does to its output, in order."""
Ablated = Mapping[Way, Sequence[Effect]]
"""What each way of replacing a neuron does, excerpt by excerpt; empty where it cannot be replaced."""

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
    always scored by the lookup simulator), the ``effects`` of replacements in the subject, and ``judges``, if any."""

    explainers: Mapping[str, Explainer | Knowing]
    simulator: Simulator
    effects: Effects
    judges: Sequence[Judge] = ()


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
    explanations = explain_and_choose(instruments.explainers, instruments.simulator, records, settings)
    begin("simulate")
    simulated = simulate(instruments.simulator, explanations, records, settings)
    begin("calibrate")
    calibrated = [calibrate(item, CalibrationMethod(settings.calibration)) for item in simulated]
    begin("ablate")
    measured = ablate(instruments.effects, calibrated, settings) if settings.ablation else [None] * len(calibrated)
    if settings.judges:
        begin("judge")
    cases = judge(instruments.judges, explanations, records, settings)
    begin("score")
    says = {one.name: gives_probabilities(one) for one in instruments.judges}
    scored = [
        ScoredExplanation(
            item.explanation,
            item.excerpts,
            item.calibration,
            with_judgements(score(item.excerpts, measure, settings), some, settings, says),
            some,
        )
        for item, measure, some in zip(calibrated, measured, cases, strict=True)
    ]
    return {name: [one for one in scored if one.explanation.explainer == name] for name in instruments.explainers}


def explain_and_choose(
    explainers: Mapping[str, Explainer | Knowing],
    simulator: Simulator,
    records: Sequence[NeuronRecord],
    settings: ScoreSettings,
) -> list[Explanation]:
    """Every explainer's explanation of every record's neuron: of several candidates the best, see :func:`choose`."""
    used = {record.neuron: excerpts_used(record, settings) for record in records}
    truths = [Truth(neuron, tuple(excerpt for _, excerpt in some)) for neuron, some in used.items()]
    held = {neuron: [one for split, one in some if split == "calibration"] for neuron, some in used.items()}
    said = explain(explainers, [tasks.evidence(record) for record in records], truths)
    return choose(simulator, said, held)


def explain(
    explainers: Mapping[str, Explainer | Knowing], evidence: Sequence[Evidence], truths: Sequence[Truth] = ()
) -> list[Explanation]:
    """Every explainer's explanation of every neuron, with the explainer's name and what it was handed.

    Args:
        explainers: by name.
        evidence: of each neuron, the same for every explainer.
        truths: for controls that know them.

    Raises:
        NeuroglossError: an explainer did not give one explanation for each neuron, in order.
    """
    found: list[Explanation] = []
    for name, explainer in explainers.items():
        handed: Sequence[Evidence | Truth] = truths if isinstance(explainer, Knowing) else evidence
        told = explainer.recall(truths) if isinstance(explainer, Knowing) else explainer.explain(evidence)
        if [one.neuron for one in told] != [known.neuron for known in handed]:
            raise NeuroglossError(f"explainer.{name} did not give one explanation for each neuron, in order; mend it.")
        found += [
            replace(one, explainer=name, shown=tuple(excerpt.source for excerpt in known.excerpts))
            for one, known in zip(told, handed, strict=True)
        ]
    return found


def choose(
    simulator: Simulator, explanations: Sequence[Explanation], held: Mapping[NeuronId, Sequence[Excerpt]]
) -> list[Explanation]:
    """Best of k: an explanation with candidates becomes the one that correlates best on excerpts held for choosing.

    The first of equals is taken. Where no candidate has a score, the explanation stays as it is. What the simulations
    cost is added to what the explanation did.

    Args:
        simulator: the run's own.
        explanations: some with candidates, some without.
        held: the calibration excerpts of each neuron, which are neither explained nor reported on.
    """
    several = [one for one in explanations if one.candidates]
    rivals = [[replace(one, text=rival.text, outcome=rival.outcome) for rival in one.candidates] for one in several]
    groups = [[Query(said, text.tokens) for text in held[said.neuron]] for some in rivals for said in some]
    replies = iter(answers(simulator, groups))
    chosen = {
        id(one): _best(one, held[one.neuron], [next(replies) for _ in some])
        for one, some in zip(several, rivals, strict=True)
    }
    return [chosen.get(id(one), one) for one in explanations]


def _best(one: Explanation, held: Sequence[Excerpt], replies: Sequence[Sequence[Simulation]]) -> Explanation:
    rivals = tuple(
        replace(rival, score=agreement_on(held, some)) for rival, some in zip(one.candidates, replies, strict=True)
    )
    spent = sum((simulation.usage for some in replies for simulation in some), one.usage)
    best = max(rivals, key=lambda rival: -math.inf if rival.score is None else rival.score)
    if best.score is None:
        return replace(one, candidates=rivals, usage=spent)
    return replace(one, candidates=rivals, usage=spent, text=best.text, outcome=best.outcome)


def agreement_on(excerpts: Sequence[Excerpt], simulations: Sequence[Simulation]) -> float | None:
    """The correlation of real and simulated activations over the scored tokens of ``excerpts``, pooled.

    None where a token has no simulation: one that fails on hard excerpts must not win.
    """
    real = [value for excerpt in excerpts for value in excerpt.activations[excerpt.scored]]
    found = [
        value
        for excerpt, simulation in zip(excerpts, simulations, strict=True)
        for value in simulation.expected[excerpt.scored]
    ]
    if not real or len(found) != len(real) or any(map(math.isnan, found)):
        return None
    return correlation(real, found)


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


def judge(
    judges: Sequence[Judge],
    explanations: Sequence[Explanation],
    records: Sequence[NeuronRecord],
    settings: ScoreSettings,
) -> list[tuple[Judged, ...]]:
    """Put each judge its cases on excerpts that nothing was explained or calibrated on; none without words to judge.

    All of a judge's cases are asked in one call.
    """
    by_neuron = {record.neuron: judged_excerpts(record, settings) for record in records}
    found: list[tuple[Judged, ...]] = [() for _ in explanations]
    for one in judges:
        put = judged.CASES[one.name]
        cases = [put(by_neuron[said.neuron], settings.judged_level) if said.in_words else [] for said in explanations]
        answers = iter(
            one.judge(
                [
                    JudgeQuery(said, case.excerpt.tokens, case.marked)
                    for said, some in zip(explanations, cases, strict=True)
                    for case in some
                ]
            )
        )
        found = [
            (*before, *(Judged(one.name, case.excerpt, case.marked, case.truth, next(answers)) for case in some))
            for before, some in zip(found, cases, strict=True)
        ]
    return found


def judged_excerpts(record: NeuronRecord, settings: ScoreSettings) -> tuple[Excerpt, ...]:
    """The excerpts that judges are asked about."""
    splits = tasks.split_record(record)
    return splits.valid if settings.judged_split == "valid" else splits.test


def gives_probabilities(judge: Judge) -> bool:
    """Whether a judge's model says how likely a yes is, and not only yes or no."""
    model: LanguageModel | None = getattr(judge, "model", None)
    return model is None or model.identity.transport != "text"


def ablate(effects: Effects, items: Sequence[Calibrated], settings: ScoreSettings) -> list[Ablated]:
    """The effects of each item's replacements, see :func:`harness.scores.ablation.requests`; all are asked in one call.

    What a neuron is resampled from are the random excerpts of its calibration split, which nothing is reported on.
    """
    requests = [
        ablation.requests(
            item.record.neuron,
            item.excerpts,
            item.record.moments.mean,
            [one for one in tasks.split_record(item.record).calibration if one.kind is ExcerptKind.RANDOM],
            top=settings.ablation_top,
            random=settings.ablation_random,
        )
        for item in items
    ]
    answers = iter(effects([request for ways in requests for some in ways.values() for request in some]))
    return [{way: [next(answers) for _ in some] for way, some in ways.items()} for ways in requests]
