"""Tables of the leaderboard: rankings of simulators and of explainers over the rows of all entries.

A table of explainers compares only rows with the same task digest, subject, simulator (its model, revision, number
format and prompt version), transport and levels; nothing is ranked across tables.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from statistics import median, variance

from harness import stats
from harness.leaderboard import trust
from harness.leaderboard.entries import MINIMUM_SHARE
from harness.leaderboard.trust import Measurement
from harness.results import merge, rows, truths
from harness.results.run import Results
from harness.results.vocabulary import ExplainerInfo, ResultRow, TruthSummary
from harness.stats import HEADLINE
from harness.text import figure, percent, plain, span
from harness.types import Identity, Interval, Role, SimulatorInfo, Unit

_NOTHING = Interval(math.nan, math.nan, math.nan, 0)
EXPLAINERS = (
    "rank",
    "method",
    "model",
    "mean correlation",
    "95 % interval",
    "random only",
    "ablation",
    "units",
    "model revision",
    "run",
)
SIMULATORS = (
    "rank",
    "simulator",
    "model",
    "correlation given the truth",
    "95 % interval",
    "beats near misses",
    "beats unrelated",
    "margin",
    "AUROC",
    "calibration error",
    "units",
    "reading",
    "run",
)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that may be compared: ``facts`` (name, value) that they share, ``ranked`` best first, ``unranked`` ones."""

    title: str
    facts: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    ranked: tuple[tuple[str, ...], ...]
    unranked: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Leaderboard:
    """Entries, by their files, and what is worked out of them once: rankings, and tables of simulators."""

    entries: Mapping[Path, Results]

    @cached_property
    def rankings(self) -> list[Ranking]:
        """The rankings of explainers: those by simulators that can be trusted more stand first."""
        return rankings(list(self.entries.values()))

    @cached_property
    def simulators(self) -> list[Table]:
        """A table of simulators for each task whose explanations are known."""
        return simulator_tables(list(self.entries.values()))


# ---------------------------------------------------------------------------------------------------------- simulators


@dataclass(frozen=True, slots=True)
class _Measured:
    """A simulator of an entry, and what its told rows say of it."""

    entry: Results
    simulator: SimulatorInfo
    summary: TruthSummary

    @property
    def mean(self) -> float:
        return self.summary.metrics.get(HEADLINE, _NOTHING).mean

    @property
    def scores(self) -> dict[str, float]:
        """The correlation of each unit that has one."""
        units = truths.truths(self.entry.rows, self.simulator.name)
        return {str(truth.unit): truth.correlation for truth in units if not math.isnan(truth.correlation)}


def simulator_tables(entries: Sequence[Results]) -> list[Table]:
    """Return a table of simulators for each task whose explanations are known."""
    groups: dict[tuple[str, str], list[_Measured]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.task.name, entry.task.digest, entry.created)):
        by_name = {info.name: info for info in entry.simulators}
        groups.setdefault((entry.task.name, entry.task.digest), []).extend(
            _Measured(entry, by_name[summary.simulator], summary) for summary in entry.truths if not summary.category
        )
    return [_simulator_table(name, digest, members) for (name, digest), members in groups.items() if members]


def _simulator_table(name: str, digest: str, members: Sequence[_Measured]) -> Table:
    """Rank the simulators of one task; of several measurements of one the newest counts.

    A control that was entered as a simulator itself is ranked.
    """
    ranked_by_key = {trust.key(item.simulator): item for item in members if not item.simulator.control}
    control_by_key = {trust.key(item.simulator): item for item in members if item.simulator.control}
    ranked = sorted(ranked_by_key.values(), key=_best_first)
    controls = sorted((item for key, item in control_by_key.items() if key not in ranked_by_key), key=_best_first)
    ranks = stats.rank_intervals([item.scores for item in ranked], seed=0)
    notes = {f"{item.simulator.name}: {item.simulator.note}": None for item in ranked if item.simulator.note}
    return Table(
        title=f"Simulators: {plain(name)}",
        facts=(("task digest", digest), *(("note", plain(note)) for note in notes)),
        columns=SIMULATORS,
        ranked=tuple(_simulator_cells(stats.rank(rank), item) for rank, item in zip(ranks, ranked, strict=True)),
        unranked=tuple(_simulator_cells("control", item) for item in controls),
    )


def _best_first(item: _Measured) -> tuple[float, tuple[str, ...]]:
    return (_falling(item.mean), trust.key(item.simulator))


def _falling(mean: float) -> float:
    """Return what sorts means from the highest to the lowest, those that are missing last."""
    return math.inf if math.isnan(mean) else -mean


def _simulator_cells(rank: str, item: _Measured) -> tuple[str, ...]:
    summary, simulator = item.summary, item.simulator
    model = simulator.identity

    def mean(name: str) -> float:
        return summary.metrics.get(name, _NOTHING).mean

    reading = f"{simulator.transport}, levels 0 to {simulator.levels - 1}, prompt {simulator.prompt_version or '–'}"
    cells = (
        rank,
        simulator.name,
        "–" if model is None else f"{model.name} {model.revision[:12]}",
        figure(mean(HEADLINE)),
        span(summary.metrics.get(HEADLINE, _NOTHING)),
        percent(mean("beats_near")),
        percent(mean("beats_unrelated")),
        figure(mean("margin")),
        figure(mean("auroc")),
        figure(summary.calibration_error),
        f"{summary.scored}/{summary.units}",
        "–" if model is None else reading,
        _made(item.entry),
    )
    return tuple(map(plain, cells))


# ---------------------------------------------------------------------------------------------------------- explainers


@dataclass(frozen=True, slots=True)
class Explained:
    """A row of an entry, and the simulator whose ranking it stands in.

    ``scores`` are what it is ranked by: a unit that its method gave no explanation of has the score of the floors that
    stand in the same ranking, as on the board of a run (:func:`harness.results.rows.charged`).
    """

    entry: Results
    simulator: SimulatorInfo
    row: ResultRow
    scores: Mapping[Unit, float]

    @property
    def headline(self) -> Interval:
        """The mean of the scores, with its interval."""
        return merge.resampling_of(self.entry).interval(self.scores, HEADLINE) if self.scores else _NOTHING

    @property
    def group(self) -> tuple[str, ...]:
        """Everything that must be equal for two rows to be compared; where a server stands is no part of it."""
        task, subject = self.entry.task, self.entry.subject or Identity("", "")
        simulator, model = self.simulator, self.simulator.identity or Identity("", "")
        return (
            task.name,
            task.digest,
            subject.name,
            subject.revision,
            simulator.name,
            model.name,
            model.revision,
            model.backend,
            model.dtype,
            simulator.prompt_version,
            simulator.transport,
            str(simulator.levels),
        )

    @property
    def explainer(self) -> ExplainerInfo:
        """What the entry says of the row's explainer."""
        return next(info for info in self.entry.explainers if info.name == self.row.summary.explainer)

    @property
    def why_unranked(self) -> str | None:
        """What stands in place of a rank; None for a row that has one."""
        summary = self.row.summary
        if summary.role not in rows.COMPARED:
            return summary.role.value
        if summary.simulator != self.simulator.name:
            return f"by {summary.simulator}"
        return None if self.is_whole else "partial"

    @property
    def is_whole(self) -> bool:
        """Whether enough units have a score."""
        return rows.is_whole(self.row.summary, MINIMUM_SHARE)


_SUBJECT = 4  # of what makes a group, so many are of the task and its subject


def _explained(entries: Sequence[Results]) -> Iterator[Explained]:
    """Yield the rows of all entries; a table, which is looked up, stands beside those of its run's own simulator."""
    for entry in entries:
        by_name = {info.name: info for info in entry.simulators}
        for row in entry.rows:
            if row.summary.role is not Role.TOLD:
                simulator = by_name.get(row.summary.simulator, entry.simulator)
                yield Explained(entry, simulator, row, rows.by_unit(row.scored))


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows of all entries that may be compared, best first: those with a rank, and those without one.

    Attributes:
        ranked: each with its rank.
        unranked: controls, and rows with too few scores, each with what stands in place of a rank.
        facts: (name, value) that they share.
    """

    ranked: tuple[tuple[str, Explained], ...]
    unranked: tuple[tuple[str, Explained], ...]
    facts: tuple[tuple[str, str], ...]

    @property
    def first(self) -> Explained:
        """A row of it, for all that they share."""
        return (*self.ranked, *self.unranked)[0][1]

    @property
    def title(self) -> str:
        """The task and the simulator."""
        model = self.first.simulator.identity
        name = f"{self.first.entry.task.name}, simulated by {self.first.simulator.name}"
        return plain(name + (f" on {model.name}" if model else ""))

    def table(self) -> Table:
        """Return it as cells."""
        return Table(
            title=self.title,
            facts=self.facts,
            columns=EXPLAINERS,
            ranked=tuple(_explainer_cells(rank, item) for rank, item in self.ranked),
            unranked=tuple(_explainer_cells(why, item) for why, item in self.unranked),
        )


def rankings(entries: Sequence[Results]) -> list[Ranking]:
    """Return the rankings of explainers: those by simulators that can be trusted more stand first."""
    measurements = _measurements(entries)
    return [_ranking(members, measurements) for members in _explainer_groups(entries, measurements)]


def trusted_rankings(entries: Sequence[Results]) -> list[list[Explained]]:
    """Return the ranked rows of each task, best first, by the simulator that can be trusted most."""
    first: dict[tuple[str, ...], list[Explained]] = {}
    for ranking in rankings(entries):
        first.setdefault(ranking.first.group[:_SUBJECT], [row for _, row in ranking.ranked])
    return list(first.values())


def _measurements(entries: Sequence[Results]) -> list[Measurement]:
    return [Measurement(entry.created, entry.task, entry.simulators, entry.truths) for entry in entries]


def _explainer_groups(entries: Sequence[Results], measurements: Sequence[Measurement]) -> list[list[Explained]]:
    """Return the rows of each table of explainers, in the order of the tables."""
    groups: dict[tuple[str, ...], list[Explained]] = {}
    for item in sorted(_explained(entries), key=lambda item: (item.group, item.entry.run_id)):
        groups.setdefault(item.group, []).append(item)

    def place(group: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[float, ...], tuple[str, ...]]:
        """Tables by simulators of which the puzzles say more stand first, those by others last."""
        scores = trust.scores(groups[group][0].simulator, measurements)
        return group[:_SUBJECT], tuple(-score for score in scores), group

    return [groups[group] for group in sorted(groups, key=place)]


def _ordered(members: Sequence[Explained]) -> list[Explained]:
    """Return the rows of a table, best first, each charged for the units that it has no explanation of."""
    floors = rows.floors_of([item.row for item in members], MINIMUM_SHARE)
    return sorted(
        (replace(item, scores=rows.charged(item.row, floors)) for item in members),
        key=lambda item: (_falling(item.headline.mean), item.row.summary.explainer, item.entry.run_id),
    )


def _ranking(members: Sequence[Explained], measurements: Sequence[Measurement]) -> Ranking:
    ordered = _ordered(members)
    ranked = [item for item in ordered if item.why_unranked is None]
    ranks = stats.rank_intervals([{str(unit): score for unit, score in item.scores.items()} for item in ranked], seed=0)
    return Ranking(
        ranked=tuple((stats.rank(rank), item) for rank, item in zip(ranks, ranked, strict=True)),
        unranked=tuple((item.why_unranked, item) for item in ordered if item.why_unranked is not None),
        facts=tuple((name, plain(value)) for name, value in (*_facts(members[0], measurements), *_resolution(ranked))),
    )


def _resolution(ranked: Sequence[Explained]) -> Iterator[tuple[str, str]]:
    """Yield the smallest difference that rows side by side show, where there are two: a fact of their ranking."""
    smallest = []
    for better, worse in pairwise(ranked):
        differences = [better.scores[unit] - worse.scores[unit] for unit in better.scores.keys() & worse.scores.keys()]
        if len(differences) > 1:
            smallest.append(stats.smallest_difference(variance(differences), len(differences)))
    if smallest:
        yield (
            "resolution",
            f"two neighbours are told apart with a chance of 80 % where they differ by {figure(median(smallest))} (the "
            "median over neighbours; before any correction for their number)",
        )


def _explainer_cells(rank: str, item: Explained) -> tuple[str, ...]:
    summary, info = item.row.summary, item.explainer
    averages = _averages(item) if item.is_whole else ("–",) * 4
    cells = (
        rank,
        info.method,
        info.model or "–",
        *averages,
        f"{summary.scored}/{summary.units}",
        "–" if info.identity is None else f"{info.identity.name} {info.identity.revision[:12]}",
        _made(item.entry),
    )
    return tuple(map(plain, cells))


def _averages(item: Explained) -> tuple[str, ...]:
    """Return the mean, its interval, random-only and ablation."""
    metrics = item.row.summary.metrics
    means = [figure(metrics.get(name, _NOTHING).mean) for name in ("correlation_random", "ablation")]
    return (figure(item.headline.mean), span(item.headline), *means)


def _made(entry: Results) -> str:
    """Return the run, and the code that made it."""
    return f"{entry.run_id} ({code_of(entry)})"


def code_of(entry: Results) -> str:
    """Return the version of the code that made an entry, and its commit."""
    git = entry.provenance["git"]
    code = "no checkout"
    if isinstance(git, Mapping):
        code = str(git.get("commit"))[:12] + (" with uncommitted changes" if git.get("dirty") else "")
    return f"neurogloss {entry.provenance['neurogloss']}, {code}"


def _facts(item: Explained, measurements: Sequence[Measurement]) -> Iterator[tuple[str, str]]:
    entry, simulator = item.entry, item.simulator
    model = simulator.identity
    yield "task digest", entry.task.digest
    if entry.subject is not None:
        yield "subject", f"{entry.subject.name} {entry.subject.revision}"
    yield "simulator", simulator.name + (f" on {model.name} {model.revision} ({model.dtype})" if model else "")
    if model:
        yield "reading", f"transport {simulator.transport}, levels 0 to {simulator.levels - 1}"
        yield "prompt", simulator.prompt_version or "–"
    yield "puzzles", trust.in_words(simulator, measurements)
    if simulator.note:
        yield "note", f"{simulator.name}: {simulator.note}"
