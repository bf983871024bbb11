"""Commands that look at sweeps."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.progress import show
from harness.types import NeuroglossError

if TYPE_CHECKING:
    from harness.jobs.sweeps import Standing

# ruff: noqa: PLC0415  # a command imports what it works with, so that no other waits for it


def show_status(options: argparse.Namespace) -> None:
    """Print how far each job of a sweep is."""
    from harness.jobs import sweeps

    sweep, jobs = sweeps.read(options.sweep), sweeps.standings(options.sweep)
    show(f"sweep {sweep.name}, begun {sweep.created}: {len(jobs)} jobs: {sweeps.counts(jobs)}")
    show(*_lines(jobs))


def show_board(options: argparse.Namespace) -> None:
    """Print one board over the rows of all jobs of a sweep that are done, for each of its tasks.

    Raises:
        NeuroglossError: no job is done, or there is no board over them.
    """
    from harness.jobs import sweeps
    from harness.jobs.boards import boards_by_task
    from harness.report import page

    jobs = sweeps.standings(options.sweep)
    folders = [job.folder for job in jobs if job.folder is not None]
    if not folders:
        raise NeuroglossError(f"no job of {options.sweep} is done ({sweeps.counts(jobs)}), so that it has no board.")
    boards = list(boards_by_task(folders, options.by))
    problems = [board for board in boards if isinstance(board, str)]
    if len(problems) == len(boards):
        raise NeuroglossError(problems[0])
    show(*(board if isinstance(board, str) else page.render(board) for board in boards))
    show("", f"{len(jobs)} jobs: {sweeps.counts(jobs)}")
    show(*(line for job, line in zip(jobs, _lines(jobs), strict=True) if job.folder is None))


def _lines(jobs: Sequence[Standing]) -> Iterator[str]:
    """Yield the state of each job, with the folder of one that is done, or the sentence on one that has failed."""
    for number, job in enumerate(jobs, start=1):
        details = job.sentence or (str(job.folder) if job.folder else "")
        yield f"job {number}: {job.job.label}: {job.state}{': ' if details else ''}{details}"
