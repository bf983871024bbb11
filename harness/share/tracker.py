"""Trackers: they follow a run from outside, through its beginning, its stages and its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typing_extensions import Protocol, runtime_checkable

from harness.results.run import Results


@runtime_checkable
class Tracker(Protocol):
    """A follower of a run, which changes nothing in it."""

    def check(self) -> None:
        """Refuse, before any work, settings with which the run could not be followed."""
        ...

    def begun(self, run_id: str, config: Mapping[str, Any]) -> None:
        """Hear that a run has begun; ``config`` holds no secret."""
        ...

    def stage(self, name: str) -> None:
        """Hear that a stage has begun."""
        ...

    def ended(self, results: Results, folder: Path) -> str | None:
        """Hear that a run has ended, and that its ``folder`` is written; return where the tracker's record is."""
        ...
