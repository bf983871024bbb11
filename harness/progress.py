"""Terminals: a console for what commands print, and the progress of their stages."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment

from harness.guards.printing import harmless
from harness.guards.secrets import scrubbed

SECONDS_BETWEEN_LINES = 10.0
COLUMNS = 110
"""The width of what is printed into a file."""


class HarmlessConsole(Console):
    """A console on which no text of others drives the terminal, turns its lines, or shows a secret."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the segments of what is printed; those by which rich itself moves the cursor stay as they are."""
        for segment in super().render(renderable, options):
            is_text = segment.control is None
            yield segment._replace(text=harmless(scrubbed(segment.text))) if is_text else segment


def terminal() -> Console:
    """Return a console on standard output: as wide as the terminal, or :data:`COLUMNS` wide in a file."""
    return HarmlessConsole(highlight=False, width=None if sys.stdout.isatty() else COLUMNS)


def complain(sentence: str) -> None:
    """Print a sentence on what went wrong, on standard error."""
    print(f"neurogloss: {harmless(scrubbed(sentence))}", file=sys.stderr)


@contextmanager
def relayed() -> Iterator[None]:
    """Print, at its end, what others print within the context; nothing of it drives the terminal or shows a secret."""
    output, errors = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(output), redirect_stderr(errors):
            yield
    finally:
        for text, stream in ((output.getvalue(), sys.stdout), (errors.getvalue(), sys.stderr)):
            stream.write(harmless(scrubbed(text)))


def show(*contents: RenderableType) -> None:
    """Print pages, and lines of text that are not wrapped."""
    console = terminal()
    for content in contents:
        if isinstance(content, str):
            console.print(content, soft_wrap=True, markup=False)
        else:
            console.print(content)


class ProgressReporter:
    """A :data:`harness.types.Progress`: live bars on a terminal, lines elsewhere.

    It is called with a stage, its number of finished items and their total.
    """

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
        self._started_at: dict[str, float] = {}
        self._printed_at: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, stage: str, count: int, total: int) -> None:
        """Show that ``count`` of ``total`` items of a stage are finished."""
        if self._console.is_terminal:
            self._move_bar(stage, count, total)
        else:
            self._print_line(stage, count, total)

    def _move_bar(self, stage: str, count: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=count, total=total)

    def _print_line(self, stage: str, count: int, total: int) -> None:
        """Print a line at the start, at the end, and every ten seconds in between, so that a log stays readable."""
        now = time.monotonic()
        started_at = self._started_at.setdefault(stage, now)
        is_due = now - self._printed_at.get(stage, float("-inf")) >= SECONDS_BETWEEN_LINES
        if is_due or count >= total:
            self._printed_at[stage] = now
            self._console.print(f"{stage}: {count}/{total} ({now - started_at:.0f} s)", markup=False, highlight=False)
