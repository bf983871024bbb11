"""Entries of simulators on the leaderboard: made from runs of puzzles, checked, and ranked in one table for each task.

An entry is ``entries/<task>/<simulator>.json``, with a hash of its model and of how it is read in the name where there
is a model: a later run of the same simulator replaces it. It holds the score of each puzzle, from which every mean on
its rows is worked out again when it is checked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness import stats
from harness.puzzle_results import KIND, PuzzleResults, PuzzleTaskInfo, SimulatorRow
from harness.results import figure, plain, span
from harness.trust import file_name, key, percent
from harness.types import Interval, PuzzleScore, PuzzleSummary

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class PuzzleEntry:
    """One run of puzzles on the leaderboard; the fields are those of :class:`harness.puzzle_results.PuzzleResults`, and
    ``kind`` is ``puzzles``."""

    schema_version: int
    kind: str
    run_id: str
    created: str
    task: PuzzleTaskInfo
    simulators: tuple[SimulatorRow, ...]
    seed: int
    provenance: Mapping[str, object]

    @property
    def file(self) -> str:
        """The name of its file: that of the run's own simulator."""
        return file_name(self.simulators[0].simulator) if self.simulators else ""


def entry(found: PuzzleResults) -> PuzzleEntry:
    """The entry of a run."""
    return PuzzleEntry(
        schema_version=SCHEMA_VERSION,
        kind=KIND,
        run_id=found.run_id,
        created=found.created,
        task=found.task,
        simulators=found.simulators,
        seed=found.seed,
        provenance=found.provenance,
    )


def complaints(one: PuzzleEntry) -> Iterator[str]:
    """What is wrong with an entry, in words that follow "it cannot be an entry:"."""
    task = one.task
    named = {"run id": one.run_id, "task": task.name, "task digest": task.digest}
    yield from (f"its {name} is empty" for name, value in named.items() if not value)
    if len(set(task.puzzles)) < len(task.puzzles) or len(task.puzzles) != task.size:
        yield f"it covers {len(set(task.puzzles))} of the task's {task.size} puzzles, and needs all, each once"
    if not one.simulators or one.simulators[0].control:
        yield "it has no simulator, but for controls"
    for row in one.simulators:
        yield from (f"simulator {row.simulator.name!r} {words}" for words in _contradictions(row, task))


def _contradictions(row: SimulatorRow, task: PuzzleTaskInfo) -> Iterator[str]:
    """What in a row contradicts its own scores."""
    identity = row.simulator.identity
    if not row.simulator.name or (identity is not None and not (identity.revision and row.simulator.transport)):
        yield "does not say its name, its model's revision or how it is read"
    if tuple(score.puzzle for score in row.scores) != task.puzzles:
        yield "has scores of other puzzles than were asked for"
    for score in row.scores:
        yield from (f"has on {score.puzzle} {words}" for words in _impossible(score))
    yield from _unlike(row.summary, row.scores)
    kinds = list(dict.fromkeys(score.kind for score in row.scores if score.kind))
    if [one.kind for one in row.classes] != kinds:
        yield "has rows of other classes than its puzzles"
    for one in row.classes:
        yield from _unlike(one, [score for score in row.scores if score.kind == one.kind])


def _impossible(score: PuzzleScore) -> Iterator[str]:
    """What one puzzle cannot score."""
    if any(abs(value) > 1 for value in (score.correlation, *(rival.correlation for rival in score.rivals))):
        yield "a correlation outside -1 to 1"
    if not all(0 <= value <= 1 for name, value in score.figures.items() if name not in ("correlation", "margin")):
        yield "a share outside 0 to 1"
    both = [rival for rival in score.rivals if not math.isnan(score.correlation + rival.correlation)]
    if any(rival.won != stats.won(score.correlation, rival.correlation) for rival in both):
        yield "a win that its correlations do not bear out"
    margins = [score.correlation - rival.correlation for rival in both]
    if margins and not math.isclose(score.margin, math.fsum(margins) / len(margins), abs_tol=1e-9):
        yield "another margin than its correlations make"


def _unlike(summary: PuzzleSummary, scores: Sequence[PuzzleScore]) -> Iterator[str]:
    """What of a summary is not that of its scores: the resampling is not repeated, its bounds are checked."""
    figures = [score.figures for score in scores]
    for name in dict.fromkeys([*summary.metrics, *(name for some in figures for name in some)]):
        values = [some[name] for some in figures if name in some]
        if name not in summary.metrics or not stats.is_mean(summary.metrics[name], values):
            yield f"has a mean of {name} or an interval that its puzzles cannot have"
    bins = stats.together(score.reliability for score in scores)
    if not _same(summary.calibration_error, stats.calibration_error(bins)):
        yield "has another calibration error than its puzzles"
    counted = (len(scores), sum("correlation" in some for some in figures), sum(score.degenerate for score in scores))
    if counted != (summary.puzzles, summary.scored, summary.degenerate):
        yield "counts its puzzles wrongly"


def _same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


# --------------------------------------------------------------------------------------------------------------- table

COLUMNS = (
    "rank",
    "simulator",
    "correlation given the truth",
    "95 % interval",
    "beats near misses",
    "beats unrelated",
    "margin",
    "AUROC",
    "calibration error",
    "puzzles",
    "model",
    "reading",
    "run",
)
_NOTHING = Interval(math.nan, math.nan, math.nan, 0)


def rows(entries: Sequence[PuzzleEntry]) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]], list[str]]:
    """The cells of the simulators of entries on one task, ranked best first, those of their controls, and their notes.

    A control that is an entry itself is ranked; one that stands in several entries is shown once.
    """
    own = {key(one.simulators[0].simulator): (one.simulators[0], one) for one in entries}
    controls = {key(row.simulator): (row, one) for one in entries for row in one.simulators if row.control}
    ranked = sorted(own.values(), key=lambda pair: _order(pair[0]))
    others = sorted((pair for name, pair in controls.items() if name not in own), key=lambda pair: _order(pair[0]))
    ranks = stats.rank_intervals([_scores(row) for row, _ in ranked], seed=0)
    notes = {f"{row.simulator.name}: {row.simulator.note}": None for row, _ in ranked if row.simulator.note}
    return (
        [_cells(stats.rank(rank), *pair) for rank, pair in zip(ranks, ranked, strict=True)],
        [_cells("control", *pair) for pair in others],
        list(notes),
    )


def _headline(row: SimulatorRow) -> Interval:
    return row.summary.metrics.get(stats.HEADLINE, _NOTHING)


def _scores(row: SimulatorRow) -> dict[str, float]:
    """The correlation of each puzzle that has one."""
    return {one.puzzle: one.correlation for one in row.scores if not math.isnan(one.correlation)}


def _order(row: SimulatorRow) -> tuple[float, tuple[str, ...]]:
    mean = _headline(row).mean
    return (math.inf if math.isnan(mean) else -mean, key(row.simulator))


def _cells(rank: str, row: SimulatorRow, one: PuzzleEntry) -> tuple[str, ...]:
    summary, simulator, model = row.summary, row.simulator, row.simulator.identity

    def mean(name: str) -> float:
        return summary.metrics.get(name, _NOTHING).mean

    reading = f"{simulator.transport}, levels 0 to {simulator.levels - 1}, prompt {simulator.prompt_version or '–'}"
    cells = (
        rank,
        simulator.name,
        figure(mean(stats.HEADLINE)),
        span(_headline(row)),
        percent(mean("beats_near")),
        percent(mean("beats_unrelated")),
        figure(mean("margin")),
        figure(mean("auroc")),
        figure(summary.calibration_error),
        f"{summary.scored}/{summary.puzzles}",
        "–" if model is None else f"{model.name} {model.revision[:12]}",
        "–" if model is None else reading,
        one.run_id,
    )
    return tuple(map(plain, cells))
