"""The commands that publish a finished run: its dataset, and its explanations as other tools read them."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.config.settings import PublishSettings
from harness.guards.printing import shortened
from harness.progress import show
from harness.results.run import Results, read_run
from harness.share import dataset, hub, publishing
from harness.share.exports import write as exporting
from harness.tasks import catalog
from harness.types import NeuroglossError, PuzzleTask, Record

PLACES = {"local": "folder", "hub": "hub"}
"""The places that ``--to`` names, as ``publish.to`` has them."""


def publish(options: argparse.Namespace) -> None:
    """Make the dataset of a run again, and publish it; a dry run prints what would be sent."""
    settings = _settings(options)
    results = read_run(options.run)
    records = _records(results, options.task)
    if options.dry_run:
        publishing.check_place(settings)
        _show_plan(results, records, settings, options.run)
        return
    publishing.check(settings, results.run_id)
    folder = options.run.resolve()
    try:
        dataset.write_dataset(results, records, settings, folder)
    except OSError as error:
        reason = error.strerror or error
        raise NeuroglossError(f"the dataset cannot be written to {folder} ({reason}); make room there.") from error
    place = publishing.publish(folder, settings)
    show(f"published: {place or folder / dataset.FOLDER}", f"revision: {dataset.tag_of(results)}")


def _settings(options: argparse.Namespace) -> PublishSettings:
    word, place = options.to or ("", None)
    if options.to and word not in PLACES:
        raise NeuroglossError(f"--to {shortened(word)} is no place; write --to local FOLDER, or --to hub ACCOUNT/NAME.")
    return PublishSettings(
        to=PLACES.get(word, "run"),
        folder=place if word == "local" else None,
        repo_id=place if word == "hub" else None,
        private=not options.public,
        token_env=options.token_env,
        license=options.license,
        subject_license=options.subject_license,
        shorten_paths=options.shorten_paths,
        force=options.force,
    )


def _records(results: Results, task_folder: Path | None) -> Sequence[Record]:
    """Return the units of a run from its task, which is found by its name alone: a run may be another person's.

    Raises:
        NeuroglossError: there is no such task, or it is another version of it.
    """
    place = catalog.find_task(results.task.name, None if task_folder is None else str(task_folder))
    task = catalog.read(place)
    if task.digest != results.task.digest:
        raise NeuroglossError(
            f"{place} has the digest {task.digest[:12]}, and the run is on {results.task.name} with the digest "
            f"{results.task.digest[:12]}; give the folder of that task: --task FOLDER."
        )
    names = [str(unit) for unit in results.task.units]
    return catalog.puzzle_records(task, names) if isinstance(task, PuzzleTask) else catalog.records(task, units=names)


def _show_plan(results: Results, records: Sequence[Record], settings: PublishSettings, run: Path) -> None:
    """Print the card, and the files that would be published, with their sizes."""
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / dataset.FOLDER
        dataset.write_dataset(results, records, settings, run.resolve(), draft)
        files = list(publishing.listing(draft))
        card = (draft / "README.md").read_text(encoding="utf-8")
    width = max(len(name) for name, _ in files)
    show(
        card,
        *(f"{name:{width}}  {size:>12,} bytes" for name, size in files),
        f"{'together':{width}}  {sum(size for _, size in files):>12,} bytes in {len(files)} files",
        *_destination(settings, dataset.tag_of(results)),
    )


def _destination(settings: PublishSettings, tag: str) -> Iterator[str]:
    visibility = "private" if settings.private else "public"
    places = {
        "hub": f"{visibility}, {hub.address(str(settings.repo_id), tag)}" if settings.to == "hub" else "",
        "folder": str(settings.folder),
        "run": "nowhere but the run's own folder",
    }
    yield f"to: {places[settings.to]}"
    yield f"revision: {tag}"
    yield "nothing was sent or written"


def export(options: argparse.Namespace) -> None:
    """Write the explanations of a run in the format of another tool."""
    results = read_run(options.run)
    records = _records(results, options.task) if exporting.FORMATS[options.form].needs_records else []
    written = exporting.write(results, records, options.run.resolve(), options.folder, options.form, options.source)
    show(f"written: {written.files} files in {options.folder}")
    if written.left_out:
        units = ", ".join(map(str, written.left_out[:8])) + ", ..." * (len(written.left_out) > 8)
        show(f"left out: {len(written.left_out)} negative sides, for which the format has no name ({units})")
