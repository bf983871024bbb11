"""Boards of finished runs, as they can be said now: other runs may have measured their simulators since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from harness.leaderboard import trust
from harness.leaderboard.entries import MOST_BYTES
from harness.report import board as report
from harness.report import comparison as comparisons
from harness.report.page import Page
from harness.results import audit, merge
from harness.results.run import Results, read_run, read_run_or_entry
from harness.stats import HEADLINE
from harness.types import NeuroglossError


def board(folders: Sequence[Path], by: str = HEADLINE) -> Page:
    """Return the board of a run, or one board over the rows of several.

    Args:
        folders: of the runs.
        by: the metric to rank by.

    Raises:
        NeuroglossError: a folder holds no run, the runs are of several tasks or share no unit, or the metric is none
            of theirs.
    """
    folders = list(dict.fromkeys(folder.resolve() for folder in folders))
    return _board(folders, [read_run(folder) for folder in folders], by)


def boards_by_task(folders: Sequence[Path], by: str = HEADLINE) -> Iterator[Page | str]:
    """Yield a board over the rows of the runs of each task; or a sentence if they cannot be put on one board.

    Args:
        folders: of the runs.
        by: the metric to rank by.
    """
    runs_by_task: dict[str, dict[Path, Results]] = {}
    for folder in dict.fromkeys(folders):
        results = read_run(folder)
        runs_by_task.setdefault(results.task.digest, {})[folder] = results
    for runs in runs_by_task.values():
        try:
            yield _board(list(runs), list(runs.values()), by)
        except NeuroglossError as error:
            yield f"no board over all {len(runs)} runs: {error}"


def _board(folders: Sequence[Path], runs: Sequence[Results], by: str) -> Page:
    audited = audit.sentence(audit.read(folders[0]), by) if len(folders) == 1 else None
    trusted = partial(trust.sentence, runs=folders[0].resolve().parent)
    return report.build(merge.merged(runs), trusted, audited, by)


def comparison(first: str, second: str, by: str = HEADLINE) -> Page:
    """Return the page of two rows side by side.

    Args:
        first: an entry's file or a run's folder, with ``#`` and a row's name behind it where there are several.
        second: another, or the same with another row.
        by: the metric to compare them by.

    Raises:
        NeuroglossError: there is no such row, or the two cannot be compared.
    """
    return comparisons.build(_row(first), _row(second), by)


def _row(text: str) -> comparisons.ComparedRow:
    where, _, name = text.partition("#")
    return comparisons.find(read_run_or_entry(Path(where), MOST_BYTES), name or None, where)
