"""How far a simulator can be trusted: what the puzzles say of it, for every place that prints its name.

It is looked up by what identifies a simulator, among the entries of puzzles on the leaderboard (this repository's, or
those that the package was installed with) and among the runs of puzzles in a folder of runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.files import shipped
from harness.guards.reading import yaml_of
from harness.results.run import SCHEMA_VERSION
from harness.results.vocabulary import TaskInfo, TruthSummary
from harness.stats import HEADLINE
from harness.text import figure, percent, span
from harness.typed_json import from_json, read_json
from harness.types import NeuroglossError, SimulatorInfo

AWAY, HOME = "puzzles-away-v1", "puzzles-v1"
TASKS = (AWAY, HOME)
"""The puzzles by which simulators are compared. The first are by another hand than the training data of any simulator
here, and in the words of language models; the second are by the hand that wrote the training data of the tuned ones."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What entries of the leaderboard and results of runs say of simulators on known truths."""

    created: str
    task: TaskInfo
    simulators: tuple[SimulatorInfo, ...]
    truths: tuple[TruthSummary, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every puzzle of the task was asked."""
        return len(self.task.units) == self.task.size

    def of(self, simulator: SimulatorInfo) -> TruthSummary | None:
        """Return the summary of a simulator over all puzzles; None if it was not measured here.

        A run measures its own simulator, and the controls beside it that no model answers; it says nothing of others.
        """
        subjects = [info for number, info in enumerate(self.simulators) if not number or info.identity is None]
        names = {info.name for info in subjects if key(info) == key(simulator)}
        return next((truth for truth in self.truths if truth.simulator in names and not truth.category), None)


@cache
def puzzles_digest(task: str) -> str:
    """Return the digest of the puzzles that ship: a score on others of that name says nothing. Empty without any."""
    try:
        return str(yaml_of(shipped("tasks") / task / "task.yaml").get("digest", ""))
    except NeuroglossError:
        return ""


def key(simulator: SimulatorInfo) -> tuple[str, ...]:
    """Return what makes two measurements be of one simulator.

    The names that configs give it and its model are no part of it: the same weights may lie in a folder here and on the
    hub there. A simulator without a model, or without a prompt that would tell it from others, is known by its name.
    """
    if simulator.identity is None:
        return (simulator.name,)
    reading = (simulator.transport, str(simulator.levels), simulator.prompt_version or simulator.name)
    return (simulator.identity.revision, *reading)


def sentence(simulator: SimulatorInfo, runs: Path | None = None, leaderboard: Path | None = None) -> str:
    """Return the puzzle score of a simulator in words, or that there is none and how to get one.

    Args:
        simulator: as a result describes it.
        runs: a folder of runs to look into; None for none.
        leaderboard: the leaderboard's folder; None for the one of this package.
    """
    board = shipped("leaderboard") if leaderboard is None else leaderboard
    paths = [path for task in TASKS for path in sorted((board / "entries" / task).glob("*.json"))]
    paths += [] if runs is None else [path for task in TASKS for path in sorted(runs.glob(f"{task}-*/results.json"))]
    return in_words(simulator, _readable(paths))


def in_words(simulator: SimulatorInfo, measurements: Iterable[Measurement]) -> str:
    """Return the puzzle scores of a simulator in words, those of :data:`AWAY` first; or that there is none."""
    known = list(measurements)
    matches = {task: match for task in TASKS if (match := best(simulator, known, task)) is not None}
    if not matches:
        return not_measured(simulator)
    missing = [] if AWAY in matches else [not_measured(simulator)]
    return "; ".join([*(_in_words(*match) for match in matches.values()), *missing])


def scores(simulator: SimulatorInfo, measurements: Iterable[Measurement]) -> tuple[float, ...]:
    """Return the mean correlation given the truth on each of :data:`TASKS`; minus infinity where there is none."""
    known = list(measurements)
    matches = [best(simulator, known, task) for task in TASKS]
    intervals = [None if match is None else match[1].metrics.get(HEADLINE) for match in matches]
    return tuple(-math.inf if interval is None else interval.mean for interval in intervals)


def not_measured(simulator: SimulatorInfo) -> str:
    """Return what stands in the place of a puzzle score that nobody has measured."""
    return f"not measured: neurogloss run task={AWAY} simulator={simulator.name}"


def best(
    simulator: SimulatorInfo, measurements: Iterable[Measurement], task: str
) -> tuple[Measurement, TruthSummary] | None:
    """Return the measurement of a simulator on a task that counts: one over all puzzles before one over some, then the
    newest."""
    matches = [
        (measurement, summary)
        for measurement in measurements
        if measurement.task.name == task
        and measurement.task.digest == puzzles_digest(task)
        and (summary := measurement.of(simulator)) is not None
    ]
    return max(matches, key=lambda match: (match[0].is_whole, match[0].created), default=None)


def _readable(paths: Sequence[Path]) -> Iterable[Measurement]:
    """Yield those that can be read: a damaged file of another run must not keep a board from being shown."""
    for path in paths:
        try:
            document = read_json(path)
            measurement: Measurement = from_json(Measurement, document, str(path))
        except NeuroglossError:
            continue
        if document.get("schema_version") == SCHEMA_VERSION:
            yield measurement


def _in_words(measurement: Measurement, summary: TruthSummary) -> str:
    metrics, task = summary.metrics, measurement.task
    count = f"{summary.scored} of {task.size} puzzles"
    if HEADLINE not in metrics:
        return f"no score ({task.name}, {count})"
    wins = {"near misses": "beats_near", "unrelated ones": "beats_unrelated"}
    shares = [f"{percent(metrics[name].mean)} of {words}" for words, name in wins.items() if name in metrics]
    beats = f", beats {' and '.join(shares)}" if shares else ""
    truth = metrics[HEADLINE]
    score_in_words = f"{figure(truth.mean)} ({span(truth)}) given the truth"
    return f"{score_in_words}{beats} ({task.name}, {count}, digest {task.digest[:12]})"
