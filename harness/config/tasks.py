"""Options of the config group ``task`` for every frozen task, so that ``task=NAME`` needs no file in ``conf/task``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.files import shipped
from harness.guards import reading
from harness.types import NeuroglossError

DESCRIPTION = "task.yaml"
PUZZLES = "puzzles"
"""A kind of task, and the file of ``conf/task`` with what its runs need."""

UNITS = {None: "neuron", "unit/neuron": "neuron", "unit/neuron_side": "neuron_side", "unit/head": "head"}
"""Options of the config group ``unit`` by the kind that a task says, where no file or setting defines the units."""
_NAME = re.compile(r"[^\W_][\w.-]*")
"""The name of a folder that can be that of a task: nothing in it means anything to a config."""


def roots() -> list[Path]:
    """Return the folders of tasks: those that ship, and ``tasks`` here, where ``collect`` freezes new ones."""
    return [shipped("tasks"), Path("tasks")]


def task_options(folders: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Return a global config for each frozen task, by its name; a name that ships means what ships.

    Args:
        folders: of configs; a task that has a file in their ``task`` folder is left to it.
    """
    names_with_file = {path.stem for folder in folders for path in (folder / "task").glob("*.yaml")}
    options: dict[str, dict[str, Any]] = {}
    for root in roots():
        for path in sorted(root.glob(f"[!.]*/{DESCRIPTION}")):
            name = path.parent.name
            if _NAME.fullmatch(name) and name not in names_with_file | options.keys():
                options[name] = _option(path)
    return options


def unit_option(folder: Path) -> str | None:
    """Return the option of the config group ``unit`` by which the units of a frozen task are read.

    It is None for puzzles, where there is no task, and where the model alone does not define the units, so that a run
    must name the file that does.
    """
    unit: Any = _description(folder / DESCRIPTION)
    if not unit or unit.get("kind") == PUZZLES:
        return None
    for key in ("made", "config", "subject", "unit", "use"):
        unit = unit.get(key) if isinstance(unit, dict) else None
    return UNITS.get(unit) if unit is None or isinstance(unit, str) else None


def _option(path: Path) -> dict[str, Any]:
    """Return the config of a task, which says how its units are read where it can."""
    name = path.parent.name
    if _description(path).get("kind") == PUZZLES:
        return {"defaults": [f"{PUZZLES}@task", "_self_"], "task": {"name": name}}
    unit = unit_option(path.parent)
    return {
        "defaults": [*([{"override /unit": unit}] if unit else []), "_self_"],
        "task": {"name": name, "path": None},
    }


def _description(path: Path) -> dict[Any, Any]:
    """Return what a task says of itself; nothing where that cannot be read, which is refused when the task is read."""
    try:
        description = reading.yaml_of(path)
    except NeuroglossError:
        return {}
    return description if isinstance(description, dict) else {}
