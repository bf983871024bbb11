"""Commands of ``neurogloss tasks``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.progress import ProgressReporter, show, terminal
from harness.types import NeuroglossError

if TYPE_CHECKING:
    from harness.types import PuzzleTask, Task

# ruff: noqa: PLC0415  # a command imports what it works with, so that no other waits for it


def list_tasks(_: argparse.Namespace) -> None:
    """Print the tasks with what they hold; one that cannot be read is complained of when the others stand there.

    Raises:
        NeuroglossError: a task was changed, or cannot be read.
    """
    from harness.tasks import catalog, frozen

    problems = []
    for name in catalog.list_tasks():
        try:
            folder = catalog.find_task(name)
            description = frozen.read(folder)
            frozen.check_files(folder, description)
            show(f"{name}  {description['digest'][:12]}  {_contents(description)}")
        except NeuroglossError as error:
            problems.append(error)
    if problems:
        raise problems[0]


def _contents(description: Mapping[str, Any]) -> str:
    """Return how much a task holds and of which subject, in a few words."""
    if "puzzles" in description:
        return f"{description['puzzles']} puzzles"
    subject = description.get("subject", {}).get("name", "an unknown subject")
    return f"{len(description.get('neurons', ()))} units of {subject}"


def show_task(options: argparse.Namespace) -> None:
    """Print what a task holds."""
    task = _read(options.task)
    show(f"{task.name}  {task.digest}\n{task.description}\n")
    for name, content in task.contents:
        show(f"{name:>10}  {content}")


def verify_task(options: argparse.Namespace) -> None:
    """Check a task's files against its digest, and that it can be read."""
    task = _read(options.task)
    show(f"{task.name}: whole, {task.size}, digest {task.digest}")


def _read(name: str) -> Task | PuzzleTask:
    """Return the task of a name, or in a folder."""
    from harness.tasks import catalog

    place = Path(name)
    return catalog.read(catalog.find_task(place.name, name if place.exists() else None))


def rebuild_task(options: argparse.Namespace) -> None:
    """Make a task again from its source or its config, and compare.

    What comes out is frozen where ``--write`` asks for it. A source of puzzles is frozen in its own folder if that is
    not frozen yet.
    """
    from harness.tasks.puzzles import task as puzzles

    folder = _folder(options.task)
    if (folder / puzzles.SOURCE).is_file():
        show(_compiled(folder, options.write))
    else:
        show(_collected(folder, options))


def _folder(name: str) -> Path:
    """Return the folder of a task, or of the source of puzzles that are no task yet."""
    from harness.tasks import catalog

    place = Path(name)
    folder = place if place.is_dir() else catalog.tasks_folder() / name
    return folder if folder.is_dir() else catalog.find_task(name)


def _compiled(folder: Path, target: Path | None) -> str:
    """Compile a source of puzzles, and return a sentence on what came out."""
    from harness.tasks import frozen
    from harness.tasks.puzzles import task as puzzles

    if target is not None or not (folder / frozen.DESCRIPTION).is_file():
        target = target or folder
        return f"{target}: written, digest {puzzles.write(folder, target)}"
    published, digest = puzzles.read(folder).digest, puzzles.digest(folder)
    if digest != published:
        raise NeuroglossError(
            f"{folder} compiles to the digest {digest[:12]}, and was published with {published[:12]}: its rules or the "
            "compiler have changed; freeze it as a new version with --write FOLDER."
        )
    return f"{folder.name}: compiles to the same digest, {published}"


def _collected(folder: Path, options: argparse.Namespace) -> str:
    """Collect a task again, and return a sentence on how well both agree."""
    from harness.jobs import collection
    from harness.tasks import catalog

    trusted = collection.trust(options.plugins, options.allow)
    with ProgressReporter(terminal()) as progress:
        return collection.rebuild(catalog.find_task(folder.name, str(folder)), progress, options.write, trusted)


def import_task(options: argparse.Namespace) -> None:
    """Freeze neuron records in the format of OpenAI's neuron-explainer."""
    from harness.jobs import collection
    from harness.tasks import catalog
    from harness.types import Identity

    catalog.check_name(options.name)
    catalog.check_free(options.name)
    subject = Identity(options.subject, options.revision)
    folder = options.output / options.name
    for sentence in collection.import_records(options.files, folder, subject):
        show(sentence)
    show(f"next: {collection.command_without_subject(folder)}")


def export_task(options: argparse.Namespace) -> None:
    """Write a task's units in that format, a file each."""
    from harness.jobs import collection

    files = collection.export_records(options.task, options.folder)
    show(f"{options.folder}: {len(files)} files of one unit each")
