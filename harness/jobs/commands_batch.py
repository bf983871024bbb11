"""Commands of ``neurogloss batch``."""

from __future__ import annotations

import argparse

from harness.progress import ProgressReporter, show, terminal

# ruff: noqa: PLC0415  # a command imports what it works with, so that no other waits for it


def write(options: argparse.Namespace) -> None:
    """Write what a run would ask of servers, and say what comes next."""
    from harness.config.compose import composed
    from harness.jobs import batch, run

    folders = [options.config_dir] if options.config_dir else []
    plan = run.prepare(composed("run", options.overrides, folders))
    with ProgressReporter(terminal()) as progress:
        written = batch.write(plan, options.file, progress)
    show(*batch.lines_of_written(plan, written))


def read(options: argparse.Namespace) -> None:
    """Store the replies in files of answers; say which lines hold none.

    Raises:
        NeuroglossError: a line holds none; all others are stored.
    """
    from harness.jobs import batch

    receipt = batch.read(options.files, options.store)
    show(*batch.lines_of_receipt(receipt))
    batch.check(receipt)
