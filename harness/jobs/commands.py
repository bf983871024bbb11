"""Commands that look at finished runs, at explainers and at the leaderboard."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.progress import ProgressReporter, show, terminal
from harness.types import NeuroglossError

if TYPE_CHECKING:
    from harness.leaderboard.entries import KnownTask
    from harness.types import Excerpt, Unit

# ruff: noqa: PLC0415  # a command imports what it works with, so that no other waits for it


def show_board(options: argparse.Namespace) -> None:
    """Print the board of a run, or one board over the rows of several."""
    from harness.jobs.boards import board
    from harness.report import page

    show(page.render(board(options.runs, options.by)))


def show_comparison(options: argparse.Namespace) -> None:
    """Print two rows side by side."""
    from harness.jobs.boards import comparison
    from harness.report import page

    show(page.render(comparison(options.first, options.second, options.by)))


def show_unit(options: argparse.Namespace) -> None:
    """Print what a run says of one unit."""
    from harness.report import unit_page
    from harness.results import unit_view

    if options.excerpts < 1:
        raise NeuroglossError(f"--excerpts is {options.excerpts}; write 1 or more.")
    show(unit_page.build(unit_view.read(options.run, options.unit), options.excerpts))


def show_agreement(options: argparse.Namespace) -> None:
    """Compare two simulators, of one run or of two; write and print what comes out."""
    from harness.files import safe_name
    from harness.report import agreement_page, page
    from harness.results import agreement as agreement_results
    from harness.studies import agreement

    simulators = tuple(options.simulators) if options.simulators else None
    comparison = agreement.compare(options.first, options.second, simulators)
    report = agreement_page.build(comparison)
    sides = (comparison.first, comparison.second)
    runs = dict.fromkeys(side.run_id[:12] for side in sides)
    names = [side.simulator.name for side in sides] if len(runs) == 1 else []
    name = safe_name("-".join([agreement_results.NAME, *runs, *names]))
    folder = options.output or options.first.resolve().parent / name
    agreement_results.write(folder, comparison, page.markdown_page(report))
    show(page.render(report), "", f"agreement: {folder}")


def show_explainers(options: argparse.Namespace) -> None:
    """Ask what each explainer asks of a unit; replies are kept in the store of runs, and not asked for twice."""
    from harness import files
    from harness.jobs import gallery

    with ProgressReporter(terminal()) as progress:
        text = gallery.build_page(options.set, options.unit, options.only or (), progress, options.model)
    try:
        files.write_whole(options.write, text.encode())
    except OSError as error:
        reason = error.strerror or error
        raise NeuroglossError(f"the page cannot be written to {options.write} ({reason}); see --write.") from error
    show(f"page: {options.write}")


def serve(options: argparse.Namespace) -> None:
    """Serve a model until Ctrl-C."""
    from harness.jobs import serving

    chosen = {name: getattr(options, name) for name in ("threads", "context", "parallel")}
    given = {name: value for name, value in chosen.items() if value is not None}
    serving.wait(serving.Serving(options.model, options.port, **given))


def show_power(options: argparse.Namespace) -> None:
    """Print how many units it takes to tell explainers apart."""
    from harness.report import page, power
    from harness.results.run import read_run

    question = power.PowerSettings(
        options.difference, options.power, options.alpha, options.metric, tuple(dict.fromkeys(options.explainers))
    )
    show(page.render(power.build(read_run(options.run), question)))


def add_entry(options: argparse.Namespace) -> None:
    """Make an entry of a run on a task that the leaderboard knows."""
    from harness.leaderboard import entries

    entry = entries.add(options.run, options.root, _digests(options.root), _known_task)
    show(f"entry: {entry}\nnow render it: neurogloss leaderboard build --root {options.root}")


def _digests(root: Path) -> dict[str, str]:
    """Return the tasks that a leaderboard knows, with their digests: its own those that ship, another all that are
    here."""
    from harness.files import shipped
    from harness.tasks import catalog, frozen

    is_published = root.resolve() == shipped("leaderboard").resolve()
    names = catalog.list_tasks(catalog.tasks_folder() if is_published else None)
    return {name: frozen.read(catalog.find_task(name))["digest"] for name in names}


def _known_task(name: str) -> KnownTask | None:
    """Return what the task of a name is here, if it is."""
    from harness.leaderboard.entries import KnownTask
    from harness.tasks import catalog
    from harness.types import Task

    if name not in catalog.list_tasks():
        return None
    task = catalog.read(catalog.find_task(name))
    if isinstance(task, Task):
        return KnownTask(task.digest, frozenset(task.units), task.subject.revision)
    records = catalog.puzzle_records(task)
    return KnownTask(task.digest, frozenset(record.unit for record in records), None, catalog.categories(records))


def verify_entry(options: argparse.Namespace) -> None:
    """Work the scores of an entry out again, and say what was found as it is stated; write the check if asked."""
    from harness.jobs import verifying

    if options.record and not options.simulate:
        raise NeuroglossError("--record is for an entry whose simulations were made again; write --simulate too.")
    verification = verifying.verify(options.entry, _known_task, options.simulate)
    show(verifying.in_words(options.entry, verification))
    if options.record:
        show(f"check: {verifying.record(options.entry, verification)}")


def export_leaderboard(options: argparse.Namespace) -> None:
    """Write the files by which the hub shows the leaderboard's results."""
    from harness.leaderboard import hub
    from harness.weights.places import EMBEDDED, PUBLISHER

    exported = hub.export(options.root, options.folder, options.owner, {EMBEDDED: PUBLISHER}, _known_task)
    show(*(f"file: {path}" for path in exported.files))
    if exported.elsewhere:
        show(f"left out, for they have no repository on the hub: {', '.join(exported.elsewhere)}")


def build_leaderboard(options: argparse.Namespace) -> None:
    """Render all entries."""
    from harness.files import write_whole
    from harness.leaderboard import pages
    from harness.report.site import leaderboard

    board = pages.read(options.root, _known_task)
    show(*(f"page: {path}" for path in pages.build(options.root, board)))
    picture, svg = options.root / "board.svg", leaderboard.picture(board)
    if svg:
        write_whole(picture, svg.encode())
        show(f"picture: {picture}")
    else:
        picture.unlink(missing_ok=True)
    first, *_ = leaderboard.write(options.root / "site", board, _valid_excerpts)
    show(f"site: {first}")


def _valid_excerpts(name: str, digest: str) -> dict[Unit, tuple[Excerpt, ...]] | None:
    """Return the valid excerpts of each unit of a frozen task; None if it is not here, is another one, or has none."""
    from harness.tasks import catalog
    from harness.tasks.splits import split_record
    from harness.types import PuzzleTask

    if name not in catalog.list_tasks():
        return None
    task = catalog.read(catalog.find_task(name))
    if task.digest != digest or isinstance(task, PuzzleTask):
        return None
    return {record.unit: tuple(split_record(record).valid) for record in task.records}
