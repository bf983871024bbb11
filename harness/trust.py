"""How far a simulator can be trusted: what the puzzles said of it, for every place that prints its name.

It is looked up by what identifies a simulator, among the entries of puzzles on the leaderboard (this repository's, or
those that the package was installed with) and among the runs of puzzles in a folder of runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.puzzle_results import PuzzleTaskInfo, SimulatorRow
from harness.results import SimulatorInfo, figure, from_json, read_json, safe_name, span
from harness.types import NeuroglossError, PuzzleSummary

TASK = "puzzles-v1"
"""The puzzles by which simulators are compared."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What an entry of the leaderboard and a run's ``results.json`` both say."""

    created: str
    task: PuzzleTaskInfo
    simulators: tuple[SimulatorRow, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every puzzle of the task was asked."""
        return len(self.task.puzzles) == self.task.size


def key(simulator: SimulatorInfo) -> tuple[str, ...]:
    """What makes two measurements be of one simulator: its name, its model's revision, and how that is read.

    The model's name is no part of it: the same weights may lie in a folder here and on the hub there.
    """
    revision = simulator.identity.revision if simulator.identity else ""
    return (simulator.name, revision, simulator.transport, str(simulator.levels), simulator.prompt_version)


def file_name(simulator: SimulatorInfo) -> str:
    """The name of a simulator's entry: one on another model, or one that is read otherwise, has another."""
    name = safe_name(simulator.name)
    if simulator.identity is None:
        return f"{name}.json"
    return f"{name}-{hashlib.sha256(json.dumps(key(simulator)).encode()).hexdigest()[:8]}.json"


def leaderboard_folder() -> Path:
    """The leaderboard beside the package in its repository, else what of it the package was installed with."""
    package = Path(__file__).resolve().parent
    beside = package.parent / "leaderboard"
    return beside if (package.parent / "pyproject.toml").is_file() else package / "_data" / "leaderboard"


def sentence(simulator: SimulatorInfo, runs: Path | None = None, leaderboard: Path | None = None) -> str:
    """The puzzle score of a simulator in words, or that there is none and how to get one.

    Args:
        simulator: as a result describes it.
        runs: a folder of runs to look into; None for none.
        leaderboard: the leaderboard's folder; None for the one of this package.
    """
    board = leaderboard_folder() if leaderboard is None else leaderboard
    paths = [*sorted((board / "entries" / TASK).glob("*.json")), *sorted((board / TASK).glob("*.json"))]
    paths += [] if runs is None else sorted(runs.glob(f"{TASK}-*/results.json"))
    return in_words(simulator, _readable(paths))


def in_words(simulator: SimulatorInfo, standings: Iterable[Standing]) -> str:
    """The puzzle score of a simulator in words, of what has been measured; or that there is none."""
    found = best(simulator, standings)
    return not_measured(simulator) if found is None else _in_words(*found)


def score(simulator: SimulatorInfo, standings: Iterable[Standing]) -> float | None:
    """The mean correlation given the truth, of what has been measured; None where there is none."""
    found = best(simulator, standings)
    own = None if found is None else found[1].metrics.get("correlation")
    return None if own is None else own.mean


def not_measured(simulator: SimulatorInfo) -> str:
    """What stands in the place of a puzzle score that nobody has measured."""
    return f"not measured: neurogloss run task={TASK} simulator={simulator.name}"


def best(simulator: SimulatorInfo, standings: Iterable[Standing]) -> tuple[Standing, PuzzleSummary] | None:
    """The measurement of a simulator that counts: one over all puzzles before one over some, then the newest."""
    matches = [
        (standing, row.summary)
        for standing in standings
        for row in standing.simulators
        if standing.task.name == TASK and key(row.simulator) == key(simulator)
    ]
    return max(matches, key=lambda match: (match[0].is_whole, match[0].created), default=None)


def percent(value: float) -> str:
    """A share for a table; a dash where there is none."""
    return "–" if value != value else f"{100 * value:.0f} %"  # noqa: PLR0124  # NaN differs from itself


def _readable(paths: Sequence[Path]) -> Iterable[Standing]:
    """Those that can be read: one damaged file of another run must not keep a board from being shown."""
    for path in paths:
        try:
            standing: Standing = from_json(Standing, read_json(path), str(path))
        except NeuroglossError:
            continue
        yield standing


def _in_words(standing: Standing, summary: PuzzleSummary) -> str:
    metrics, task = summary.metrics, standing.task
    asked = f"{summary.scored} of {task.size} puzzles"
    if "correlation" not in metrics:
        return f"no score ({task.name}, {asked})"
    wins = {"near misses": "beats_near", "unrelated ones": "beats_unrelated"}
    shares = [f"{percent(metrics[name].mean)} of {words}" for words, name in wins.items() if name in metrics]
    beats = f", beats {' and '.join(shares)}" if shares else ""
    own = metrics["correlation"]
    return f"{figure(own.mean)} ({span(own)}) given the truth{beats} ({task.name}, {asked}, digest {task.digest[:12]})"
