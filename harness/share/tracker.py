"""Trackers: they follow a run from outside, through its beginning, its stages and its end, however it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typing_extensions import Protocol, runtime_checkable

from harness.results.run import Results
from harness.types import RowKey, Usage


@dataclass(frozen=True, slots=True)
class RunningMean:
    """The mean headline score of a row so far, over the units that have one."""

    mean: float
    units: int


@dataclass(frozen=True, slots=True)
class Moment:
    """A run while it goes on.

    Attributes:
        stage: its name, and the kind of what is asked in it.
        count: requests of the stage that are answered.
        total: requests of the stage.
        seconds: since the run began.
        spent: on new replies so far.
        saved: by stored replies so far.
        means: of each row that a unit is scored in; rows of tables have none before the end.
    """

    stage: str
    count: int
    total: int
    seconds: float
    spent: Usage = field(default_factory=Usage)
    saved: Usage = field(default_factory=Usage)
    means: Mapping[RowKey, RunningMean] = field(default_factory=dict)


@runtime_checkable
class Tracker(Protocol):
    """A follower of a run, which changes nothing in it.

    Of each run it hears :meth:`begun` first, and :meth:`ended` or :meth:`failed` last, unless the process is killed.
    """

    def check(self) -> None:
        """Refuse, before any work, settings with which the run could not be followed."""
        ...

    def begun(self, run_id: str, config: Mapping[str, Any]) -> None:
        """Hear that a run has begun; ``config`` holds no secret."""
        ...

    def stage(self, name: str) -> None:
        """Hear that a stage has begun."""
        ...

    def progressed(self, moment: Moment) -> None:
        """Hear how far a run is: at the first and the last reply of a stage, and every few seconds in between."""
        ...

    def ended(self, results: Results, folder: Path) -> str | None:
        """Hear that a run has ended, and that its ``folder`` is written; return where the tracker's record is."""
        ...

    def failed(self, sentence: str) -> None:
        """Hear that a run had to stop, and why."""
        ...
