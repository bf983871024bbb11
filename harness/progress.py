"""Progress of long work: live bars on a terminal, plain lines elsewhere. A subscriber: no stage knows about it."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 10.0


class ProgressReporter:
    """Call it as a :data:`harness.types.Progress`: with what is done, how much of it, and how much there is."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._spoken: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` is done."""
        if self._console.is_terminal:
            task = self._tasks.setdefault(what, TaskID(-1))
            if task < 0:
                task = self._tasks[what] = self._bars.add_task(what, total=total)
            self._bars.update(task, completed=done, total=total)
        else:
            self._say(what, done, total)

    def _say(self, what: str, done: int, total: int) -> None:
        """A line at the start, at the end, and every few seconds between: a log stays readable."""
        now = time.monotonic()
        started = self._started.setdefault(what, now)
        due = now - self._spoken.get(what, float("-inf")) >= SECONDS_BETWEEN_LINES
        if due or done >= total:
            self._spoken[what] = now
            self._console.print(f"{what}: {done}/{total} ({now - started:.0f} s)", markup=False, highlight=False)
