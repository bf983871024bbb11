"""Tasks by their name: where they are, which kind they are, and which of their units are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from harness.files import shipped
from harness.guards.printing import shortened
from harness.tasks import frozen
from harness.tasks.frozen import DESCRIPTION
from harness.tasks.splits import Dealt
from harness.types import NeuroglossError, PuzzleTask, Record, Task, Unit

Item = TypeVar("Item")
UNITS = "neurons"
"""The kind of a task of units, as its ``task.yaml`` says it or leaves it out."""
PUZZLES = "puzzles"
"""The kind of a task of puzzles."""

_NAME = re.compile(r"[^\W_][\w.-]*")
"""A name by which a task is found in a folder of tasks, and nothing outside it."""


def tasks_folder() -> Path:
    """Return where the tasks are that ship: beside the package in its repository, else in the installed package."""
    return shipped("tasks")


def roots() -> list[Path]:
    """Return the folders of tasks: of those that ship, and ``tasks`` in the working directory.

    ``collect`` freezes new ones there. A name that ships means what ships, whatever else has it.
    """
    published, frozen_here = tasks_folder(), Path("tasks")
    return [published] if frozen_here.resolve() == published.resolve() else [published, frozen_here]


def list_tasks(root: Path | None = None) -> list[str]:
    """Return the names of the tasks in a folder of tasks, by default in all; a hidden one is still being written."""
    folders = roots() if root is None else [root]
    return sorted({path.parent.name for folder in folders for path in folder.glob(f"[!.]*/{DESCRIPTION}")})


def find_task(name: str, path: str | None = None) -> Path:
    """Return the folder of a task, or its file of puzzles: ``path`` if it is given, else the one of that name.

    Raises:
        NeuroglossError: there is none; the sentence names those there are.
    """
    if path is None and not _NAME.fullmatch(name):
        raise NeuroglossError(f"{shortened(repr(name))} is no name of a task; give a folder elsewhere by task.path.")
    places = [root / name for root in roots()] if path is None else [Path(path).expanduser()]
    for place in places:
        if (place / DESCRIPTION).is_file() or (path is not None and place.suffix == ".json" and place.is_file()):
            return place
    listing = f"there are: {', '.join(list_tasks()) or 'none'}" if path is None else f"it needs a {DESCRIPTION}"
    raise NeuroglossError(
        f"there is no task at {places[-1]}; {listing}. Give another by task.path, or make one: neurogloss collect."
    )


def check_name(name: str) -> None:
    """Refuse a name that says no version, or that is no name of a folder everywhere."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*-v[1-9][0-9]*", name):
        raise NeuroglossError(f"name is {name!r}; a task is named like mine-v1, and a change of it mine-v2.")


def check_free(name: str) -> None:
    """Refuse the name of a task that ships: by its name that one would be found, wherever the other is."""
    if name in list_tasks(tasks_folder()):
        raise NeuroglossError(
            f"name is {name!r}, as that of a task that ships, and a task is never changed; choose a new name."
        )


def read(place: Path) -> Task | PuzzleTask:
    """Read a task of either kind, from its folder, or a task of puzzles from one file in their public format.

    Raises:
        NeuroglossError: as :func:`harness.tasks.units.read_task`, or this version does not know the kind of the task.
    """
    if kind(place) == UNITS:
        from harness.tasks import units  # noqa: PLC0415  # a list of tasks needs no Parquet

        return units.read_task(place)
    from harness.tasks.puzzles import task as puzzles  # noqa: PLC0415

    return puzzles.read_file(place) if place.is_file() else puzzles.read(place)


def kind(place: Path) -> str:
    """Return what a task is of, neurons or puzzles, without reading all of it.

    Raises:
        NeuroglossError: its description is damaged, or names a kind that this version does not know.
    """
    return PUZZLES if place.is_file() else str(frozen.read(place).get("kind", UNITS))


def records(
    task: Task,
    places: Sequence[int] | None = None,
    units: Sequence[str] | None = None,
    limit: int | None = None,
) -> Sequence[Record]:
    """Return some of a task's units, dealt into splits when they are asked for, in the order of the task.

    Args:
        task: where they are.
        places: keep only units of these places (layers).
        units: keep only these units, each as ``L12N345``.
        limit: keep at most so many of what is left, spread evenly over it (and so over the places).

    Raises:
        NeuroglossError: the task has no such place or unit, or nothing is left.
    """
    members = list(enumerate(task.units))
    if places is not None:
        _check_known("place", sorted(set(places)), sorted({unit.place for unit in task.units}), task.name)
        members = [(number, unit) for number, unit in members if unit.place in places]
    if units is not None:
        names = [Unit.parse(text) for text in units]
        _check_known("unit", names, task.units, task.name)
        requested = set(names)
        members = [(number, unit) for number, unit in members if unit in requested]
    if limit is not None:
        members = spread(members, limit)
    if not members:
        raise NeuroglossError(f"no unit of {task.name} is left; widen units.places, units.ids or units.limit.")
    return Dealt(task, [number for number, _ in members])


def puzzle_records(task: PuzzleTask, units: Sequence[str] | None = None, limit: int | None = None) -> list[Record]:
    """Return the task's puzzles as records, those of ``units`` and at most ``limit`` of them, spread evenly.

    Raises:
        NeuroglossError: the task has no such puzzle, or none is left.
    """
    from harness.tasks.puzzles.records import record  # noqa: PLC0415  # as above

    everything = [record(puzzle) for puzzle in task.puzzles]
    if units is not None:
        names = [Unit.parse(text) for text in units]
        _check_known("puzzle", names, [record.unit for record in everything], task.name)
        everything = [record for record in everything if record.unit in names]
    selection = everything if limit is None else spread(everything, limit)
    if not selection:
        raise NeuroglossError(f"no puzzle of {task.name} is left; widen task.limit or units.ids.")
    return selection


def categories(puzzles: Sequence[Record]) -> dict[str, str]:
    """Return the class of each puzzle that has one, by its name."""
    return {str(puzzle.unit): puzzle.category for puzzle in puzzles if puzzle.category}


def spread(items: Sequence[Item], limit: int) -> list[Item]:
    """Return at most ``limit`` of some items, in order, spread evenly over them."""
    number = min(limit, len(items))
    return [items[int((place + 0.5) * len(items) / number)] for place in range(number)]


def _check_known(noun: str, names: Iterable[object], members: Sequence[object], task: str) -> None:
    member_set = set(members)
    unknown = [name for name in names if name not in member_set]
    if unknown:
        listing = ", ".join(map(str, members[:8])) + (", ..." if len(members) > 8 else "")
        raise NeuroglossError(f"task {task} has no {noun} {unknown[0]}; it has {listing}.")
