"""A run as one call: parts by their names or as objects of the program, everything else as on the command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from harness.api import parts
from harness.api.parts import ChosenParts, Parts
from harness.api.progress import NotebookBars, beside_event_loop, in_notebook, silent
from harness.api.results import Results
from harness.config import compose, sentences
from harness.guards.printing import shortened
from harness.jobs import run
from harness.tasks import catalog
from harness.types import NeuroglossError, Progress


def evaluate(  # noqa: PLR0913  # what a run is made of
    task: str | None = None,
    explainers: Parts | None = None,
    models: Parts | None = None,
    simulator: Parts | None = None,
    *,
    scores: str | Sequence[str] | None = None,
    units: str | int | Sequence[str] | None = None,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    config_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Results:
    """Explain, simulate and score the units of a task, and return what came out.

    It is ``neurogloss run``: the same config, the same store of replies, the same folder. What is left out is as in
    ``conf/run.yaml``. Nothing is printed; in a notebook a bar stands below the cell for each stage.

    An explainer is the name of a file of ``conf/explainer``, an object of :class:`harness.types.Explainer`, or a
    function. The function is given a unit's :class:`harness.types.Evidence`, and returns the text of an explanation, or
    None where it has none. Several explainers are a list, or a mapping from the names of their rows to objects. Such a
    mapping can hold a node too, which names a class by its short name:
    ``models={"mine": {"use": "model/server", "name": ..., "base_url": ...}}``.

    Args:
        task: the name of a task, as ``neurogloss tasks ls`` lists it.
        explainers: methods and controls; a method that asks a model has a row for each of ``models``.
        models: language models that methods ask, of ``conf/explainer_model``, or objects of
            :class:`harness.models.backend.Backend`.
        simulator: what predicts activations, of ``conf/simulator``, or an object of :class:`harness.types.Simulator`.
            Of several, the first is the run's own.
        scores: scorers of ``conf/scores``, by name.
        units: at most so many, spread over the task; some, by name (``["L12N345"]``); or an option of ``conf/units``.
        overrides: further settings as on the command line, such as ``"seed=1"`` or ``"budget.usd=2"``.
        output: the folder of runs, which holds the store of replies too.
        config_dir: a folder of configs of your own, searched beside ``conf/``.
        progress: is called with a stage, how many of its items are finished, and their number.

    Returns:
        The run's board, scores, explanations and units.

    Raises:
        NeuroglossError: a setting is wrong, which is found before any work; or a model, the budget or the disk stopped
            the run. Every reply until then is stored, and the same call goes on from there.
    """
    groups = _groups(explainers=explainers, models=models, simulator=simulator)
    words = [
        *([] if task is None else [_task(task)]),
        *(group.override for group in groups),
        *([] if scores is None else [parts.options("scores", scores, "scores")]),
        *_units(units),
        *([] if output is None else [_override("output", str(output))]),
        *_checked(overrides),
    ]
    config = _composed(words, groups, config_dir)
    if isinstance(units, int):
        words.append(_limit(config, units))
    plan = run.prepare(config)
    reporter = progress or (NotebookBars() if in_notebook() else silent)
    outcome = beside_event_loop(partial(run.run, plan, words), reporter)
    return Results(outcome.folder, outcome.places)


_GROUPS = {"explainers": "explainer", "models": "explainer_model", "simulator": "simulator"}
"""The group of the config that each argument chooses of."""


def _groups(**arguments: Parts | None) -> list[ChosenParts]:
    """Return the parts of each argument that was given."""
    return [parts.choose(_GROUPS[name], value, name) for name, value in arguments.items() if value is not None]


def _composed(words: Sequence[str], groups: Sequence[ChosenParts], config_dir: str | Path | None) -> DictConfig:
    config = compose.composed("run", words, [] if config_dir is None else [Path(config_dir)])
    for group in groups:
        group.put_into(config)
    return config


def _task(name: str) -> str:
    """Return the override that chooses a task."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
        raise NeuroglossError(
            f"task is {shortened(repr(name))}, which can be no name; write one that `neurogloss tasks ls` lists, or "
            'overrides=["task.path=FOLDER"] for a folder elsewhere.'
        )
    return _override("task", name)


def _limit(config: DictConfig, count: int) -> str:
    """Limit the units of a composed config, and return the override that does; puzzles have a limit of their own."""
    place = catalog.find_task(config.task.name, config.task.path)
    key = "units.limit" if catalog.kind(place) == catalog.UNITS else "task.limit"
    OmegaConf.update(config, key, count)
    return f"{key}={count}"


def _units(units: str | int | Sequence[str] | None) -> list[str]:
    """Return the override that chooses units of the task by an option or by their names."""
    if isinstance(units, bool) or not isinstance(units, str | int | Sequence | None):
        raise NeuroglossError(f"units is {shortened(repr(units))}; write a number, a list of names, or units='all'.")
    if units is None or isinstance(units, int):
        return []
    if isinstance(units, str):
        return [_override("units", units)]
    return [f"units.ids=[{','.join(_quoted(str(unit)) for unit in units)}]"]


def _override(key: str, value: str) -> str:
    """Return an override as Hydra reads it where no shell stands between."""
    (word,) = shlex.split(sentences.override(key, value))
    return word


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _checked(overrides: Sequence[Any]) -> list[str]:
    """Return overrides, if each is a text, and one text is not taken for a list of characters."""
    if isinstance(overrides, str) or not all(isinstance(text, str) for text in overrides):
        raise NeuroglossError('overrides is a list of texts; write overrides=["seed=1"].')
    return list(overrides)
