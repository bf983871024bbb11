"""Entries of the leaderboard worked out again: every score from its simulations, on the frozen task.

The simulations themselves can be made again too, by the simulator that the entry names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path

from harness.config.compose import composed, plain, settings_from
from harness.config.settings import CalibrationSettings, RunSettings
from harness.jobs import run as runs
from harness.jobs.tools import Remembering, build_simulators
from harness.leaderboard import checks, entries, simulations
from harness.leaderboard.entries import Known
from harness.models.meter import Meter
from harness.models.store import Store
from harness.pipeline import Fitting, answers, calibrate, simulated_excerpts
from harness.results import provenance
from harness.results.run import Results
from harness.scorers.panel import Panel
from harness.scorers.truths import Truths
from harness.tasks import catalog
from harness.typed_json import from_json
from harness.types import (
    LOOKUP,
    NeuroglossError,
    PuzzleTask,
    Query,
    Record,
    ScoredExplanation,
    Scorer,
    Scores,
    SimulatedExplanation,
    Simulator,
    SimulatorInfo,
    Task,
    Unit,
)

TOLERANCE = 1e-9
"""By how much a score may differ from the one worked out again."""
NEAR = 1e-4
"""By how many levels a simulation may differ from the one made again: processors add in different orders."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was worked out again, and found to be as the entry says.

    Attributes:
        explanations, simulations: how many the entry has.
        scores: how many were worked out again.
        largest: difference of a score.
        unverified: the scorers whose scores are taken as they stand, as they need the subject or a judge.
        remade: simulations that were made again.
        furthest: difference of one of their values, in levels.
    """

    explanations: int
    simulations: int
    scores: int
    largest: float
    unverified: tuple[str, ...]
    remade: int = 0
    furthest: float = 0.0


@dataclass(frozen=True, slots=True)
class _Scorer:
    """Settings of a scorer that asks nobody."""

    use: str
    active_level: int = 1
    maximum_missing: float = 0.05

    def build(self) -> Scorer:
        if self.use == "scorer/panel":
            return Panel(self.active_level, self.maximum_missing)
        if self.use == "scorer/truths":
            return Truths(self.maximum_missing)
        raise NeuroglossError(f"{self.use!r} is no scorer whose scores follow from simulations; restore the entry.")


@dataclass(frozen=True, slots=True)
class _Scoring:
    """What an entry keeps of its config."""

    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)
    scores: Mapping[str, _Scorer] = field(default_factory=dict)


def verify(path: Path, facts_of: Known, simulate: bool = False) -> Verification:
    """Work the scores of an entry out again, and its simulations if that is wanted.

    Args:
        path: the entry.
        facts_of: tells what a task is here, by its name.
        simulate: ask the simulators of the entry again, which must be to be had here under their names.

    Raises:
        NeuroglossError: the entry cannot be checked, or something in it is not what its simulations give.
    """
    entry = entries.validate(path, facts_of)
    task = catalog.read(catalog.find_task(entry.task.name))
    scoring = from_json(_Scoring, entry.config, f"{path}, config")
    records = _records(entry, task)
    fitting = runs.fitting_of(scoring.calibration, task)
    simulated = list(_simulated(path, entry, records, fitting))
    scorers = {name: scorer.build() for name, scorer in scoring.scores.items()}
    if not scorers:
        raise NeuroglossError(f"{path} keeps no scorer whose scores follow from simulations; enter its run again.")
    largest, count = _check_scores(path, simulated, scorers)
    remade, furthest = _check_simulations(path, entry, simulated) if simulate else (0, 0.0)
    return Verification(
        explanations=len(simulated),
        simulations=sum(len(item.excerpts) for _, item in simulated),
        scores=count,
        largest=largest,
        unverified=tuple(scorer.name for scorer in entry.scorers if scorer.name not in scorers),
        remade=remade,
        furthest=furthest,
    )


def in_words(path: Path, verification: Verification) -> str:
    """Return what was verified, and what was not."""
    lines = [
        f"{path}: {verification.scores:,} scores of {verification.explanations:,} explanations follow from its "
        f"{verification.simulations:,} simulations (largest difference {verification.largest:.1e})."
    ]
    if verification.remade:
        lines.append(
            f"{verification.remade:,} simulations were made again and are the same (within {verification.furthest:.1e} "
            "levels)."
        )
    else:
        lines.append("Whether its simulators make these simulations was not tried: --simulate does.")
    if verification.unverified:
        lines.append(f"Taken as stated, for the subject or a judge is needed: {', '.join(verification.unverified)}.")
    return "\n".join(lines)


def record(path: Path, verification: Verification) -> Path:
    """Write the check of an entry whose simulations were made again, by which it is verified; return the file."""
    check = checks.Check(
        entry=checks.digest(path),
        scores=verification.scores,
        simulations=verification.remade,
        largest=verification.largest,
        furthest=verification.furthest,
        provenance={name: provenance.provenance()[name] for name in entries.PROVENANCE},
    )
    target = checks.path_of(path)
    entries.write(target, check.content)
    return target


def _records(entry: Results, task: Task | PuzzleTask) -> dict[Unit, Record]:
    """Return the units that the entry asked for, dealt as the task deals them."""
    units = [str(unit) for unit in entry.task.units]
    if isinstance(task, PuzzleTask):
        return {record.unit: record for record in catalog.puzzle_records(task, units)}
    return {record.unit: record for record in catalog.records(task, units=units)}


# --------------------------------------------------------------------------------------------- scores from simulations


def _simulated(
    path: Path, entry: Results, records: Mapping[Unit, Record], fitting: Fitting
) -> Iterator[tuple[ScoredExplanation, SimulatedExplanation]]:
    """Yield each explanation of the entry as it was scored, and as its simulations make it.

    Raises:
        NeuroglossError: a simulation is missing, is of another excerpt than the task has there, or is left over.
    """
    stated_simulations = simulations.read(path)
    for row in entry.rows:
        for item in row.scored:
            record = records[item.unit]
            pairs = []
            for split, excerpt in simulated_excerpts(row.summary.role, record, fitting):
                place = (row.summary.explainer, row.summary.simulator, str(item.unit), split, excerpt.source)
                simulated = next(stated_simulations, None)
                if simulated is None or simulated.place != place:
                    raise NeuroglossError(
                        f"{path} has another simulation than that of excerpt {excerpt.source} ({split}) in its place: "
                        f"{_named(item)}."
                    )
                if len(simulated.simulation.expected) not in (0, len(excerpt.tokens)):
                    raise NeuroglossError(
                        f"{path} has a simulation of another length than its excerpt: {_named(item)}."
                    )
                pairs.append(((split, excerpt), simulated.simulation))
            yield item, calibrate(item.explanation, record, _asked(entry, item), pairs, fitting)
    if next(stated_simulations, None) is not None:
        raise NeuroglossError(f"{path} has simulations of more excerpts than its explanations were asked about.")


def _asked(entry: Results, item: ScoredExplanation) -> str:
    """Return the simulator under which an explanation stands; a table is looked up beside the run's own."""
    return entry.simulator.name if item.simulator == LOOKUP else item.simulator


def _named(item: ScoredExplanation) -> str:
    return f"{item.explanation.explainer} by {item.simulator} on {item.unit}"


def _check_scores(
    path: Path,
    simulated: Sequence[tuple[ScoredExplanation, SimulatedExplanation]],
    scorers: Mapping[str, Scorer],
) -> tuple[float, int]:
    """Return the largest difference of a score from the entry's, and how many there are.

    Raises:
        NeuroglossError: a score, a reason or a calibration of the entry is another one.
    """
    differences = [0.0]
    for item, explanation in simulated:
        _check_calibration(path, item, explanation)
    for scorer in scorers.values():
        anew = scorer.score([item for _, item in simulated])
        for (item, _), scored in zip(simulated, anew, strict=True):
            differences += _differences(path, item, scored.scores)
    return max(differences), len(differences) - 1


def _differences(path: Path, item: ScoredExplanation, anew: Scores) -> Iterator[float]:
    stated = item.scores
    names = dict.fromkeys([*anew.values, *anew.missing])
    for name in names:
        old, new = stated.values.get(name, math.nan), anew.values.get(name, math.nan)
        _check_figure(path, item, f"its {name}", old, new)
        if not math.isnan(new):
            yield abs(old - new)
    for name in ("tokens", "missing_tokens"):
        if getattr(stated, name) != getattr(anew, name):
            raise NeuroglossError(f"{path} counts other {name} than its simulations have: {_named(item)}.")
    if set(anew.degenerate) != {name for name in stated.degenerate if name in names}:
        raise NeuroglossError(f"{path} names other scores as degenerate than there are: {_named(item)}.")


def _check_calibration(path: Path, item: ScoredExplanation, anew: SimulatedExplanation) -> None:
    """Refuse another line than its calibration excerpts give."""
    for name in ("slope", "intercept"):
        old, new = (getattr(line, name) if line else math.nan for line in (item.calibration, anew.calibration))
        _check_figure(path, item, f"the {name} of its calibration", old, new)


def _check_figure(path: Path, item: ScoredExplanation, noun: str, old: float, new: float) -> None:
    """Refuse a figure that differs by more than :data:`TOLERANCE` from the new one; NaN is one that is missing."""
    if math.isnan(old) != math.isnan(new) or abs(old - new) > TOLERANCE * max(1.0, abs(new)):
        raise NeuroglossError(
            f"{path} is not what its simulations give: {_named(item)}: {noun} is {_figure(old)}, and worked out again "
            f"{_figure(new)}."
        )


def _figure(value: float) -> str:
    return "missing" if math.isnan(value) else f"{value:.9g}"


# ------------------------------------------------------------------------------------------- simulations made once more


def _check_simulations(
    path: Path, entry: Results, simulated: Sequence[tuple[ScoredExplanation, SimulatedExplanation]]
) -> tuple[int, float]:
    """Ask the entry's simulators again; return how many simulations were made, and how far the furthest is off.

    Raises:
        NeuroglossError: a simulator is not to be had here, or is another one; or a simulation comes out otherwise.
    """
    members: dict[str, list[tuple[ScoredExplanation, SimulatedExplanation]]] = {}
    for item, explanation in simulated:
        if item.simulator != LOOKUP:
            members.setdefault(item.simulator, []).append((item, explanation))
    names = [info.name for info in entry.simulators if not info.control]
    overrides = [f"task={entry.task.name}", f"simulator=[{','.join(names)}]"]
    settings: RunSettings = settings_from(RunSettings, plain(composed("run", overrides)))
    with Store(settings.store) as store:
        simulators, _ = build_simulators(settings, Remembering(store, Meter()))
        remade = [
            (item, stated, anew)
            for name, group in members.items()
            for (item, explanation), replies in zip(
                group, answers(_same(path, entry, name, simulators), _queries(group)), strict=True
            )
            for stated, anew in zip(explanation.excerpts, replies, strict=True)
        ]
    furthest = [0.0]
    for item, stated, anew in remade:
        gap = _gap(stated.simulation.expected, anew.expected)
        if not gap <= NEAR:
            raise NeuroglossError(
                f"{path} holds a simulation that its simulator does not make: {_named(item)}, excerpt "
                f"{stated.excerpt.source}."
            )
        furthest.append(gap)
    return len(remade), max(furthest)


def _queries(group: Sequence[tuple[ScoredExplanation, SimulatedExplanation]]) -> list[list[Query]]:
    return [[Query(item.explanation, part.excerpt.tokens) for part in anew.excerpts] for item, anew in group]


def _same(path: Path, entry: Results, name: str, simulators: Mapping[str, Simulator]) -> Simulator:
    """Return the simulator of a name, if it is the entry's."""
    stated = next(info for info in entry.simulators if info.name == name)
    described = replace(simulators[name].describe(), name=name, control=stated.control)
    if _which(described) != _which(stated):
        raise NeuroglossError(
            f"{path} was simulated by another {name} than there is here; only its scores can be checked."
        )
    return simulators[name]


def _which(info: SimulatorInfo) -> tuple[object, ...]:
    model = info.identity
    return (
        *((model.name, model.revision, model.dtype) if model else ()),
        info.transport,
        info.levels,
        info.prompt_version,
    )


def _gap(stated: Sequence[float], anew: Sequence[float]) -> float:
    """Return the largest difference of two simulations; infinity where only one has a value."""
    pairs = list(zip_longest(stated, anew, fillvalue=math.nan))
    if any(math.isnan(a) != math.isnan(b) for a, b in pairs):
        return math.inf
    return max((abs(a - b) for a, b in pairs if not math.isnan(a)), default=0.0)
