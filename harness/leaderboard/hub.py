"""The leaderboard as the Hugging Face hub has it: results in the repositories of models, tasks in those of datasets.

The hub gathers what stands in ``.eval_results/`` of models' repositories on the page of a benchmark, a dataset with an
``eval.yaml`` (https://huggingface.co/docs/hub/eval-results). Nothing is sent: the files are written to a folder, each
where it belongs in its repository, and a pull request there is its owner's to take.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from harness.files import safe_name
from harness.leaderboard.entries import Known, validate, write
from harness.leaderboard.tables import Explained, trusted_rankings
from harness.text import figure
from harness.types import Identity, NeuroglossError

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REPOSITORY = re.compile(rf"(?P<repository>{_PART}/{_PART})(?::[^/:]+\.gguf)?")
_OWNER = re.compile(_PART)


@dataclass(frozen=True)
class Exported:
    """What an export wrote: its files, and the models of ranked rows that have no repository on the hub."""

    files: tuple[Path, ...]
    elsewhere: tuple[str, ...]


def export(
    root: Path, folder: Path, owner: str, publishers: Mapping[str, str], known: Known = lambda _: None
) -> Exported:
    """Write the files of the hub for every task with ranked rows that asked a model.

    A task is the dataset ``OWNER/TASK``, in which each method is a task of its own, so that a model has one result for
    each: that of its newest entry, by the simulator that can be trusted most.

    Args:
        root: the leaderboard's folder.
        folder: a new folder; ``datasets/OWNER/TASK/eval.yaml`` and ``models/REPOSITORY/.eval_results/TASK.yaml``.
        owner: whose datasets the tasks are.
        publishers: the repositories of models whose own name is none.
        known: what is known here of a task.

    Raises:
        NeuroglossError: an entry is wrong, the owner is no name, the folder exists, or there is nothing to export.
    """
    if not _OWNER.fullmatch(owner):
        raise NeuroglossError(f"--owner is {owner!r}; write a name as the hub has it, such as my-lab.")
    if folder.exists():
        raise NeuroglossError(f"{folder} exists; name a new folder.")
    rankings = trusted_rankings([validate(path, known) for path in sorted((root / "entries").glob("*/*.json"))])
    asked = [
        [_Result(row, model, repository(model, publishers)) for row, model in _asked(ranking)] for ranking in rankings
    ]
    contents = {path: content for results in asked if results for path, content in _files(results, owner)}
    if not contents:
        raise NeuroglossError(f"no entry in {root} has a ranked row whose method asked a model; enter a run first.")
    for path, content in contents.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        write(target, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120).encode())
    names = {result.model.name for results in asked for result in results if result.repository is None}
    return Exported(tuple(folder / path for path in contents), tuple(sorted(names)))


def repository(model: Identity, publishers: Mapping[str, str]) -> str | None:
    """Return the repository on the hub of a model's weights; None for a folder, a file of one's own, or a server's."""
    match = _REPOSITORY.fullmatch(publishers.get(model.name, model.name))
    return match["repository"] if match and not model.base_url else None


@dataclass(frozen=True)
class _Result:
    """A ranked row, the model that its method asked, and the repository of that model, if it has one."""

    row: Explained
    model: Identity
    repository: str | None


def _asked(ranking: Sequence[Explained]) -> Iterator[tuple[Explained, Identity]]:
    """Yield the rows whose method asked a model."""
    for row in ranking:
        if row.explainer.identity is not None:
            yield row, row.explainer.identity


def _files(results: Sequence[_Result], owner: str) -> Iterator[tuple[Path, Any]]:
    """Yield the path and the content of each file of one task."""
    first = results[0].row
    dataset = f"{owner}/{safe_name(first.entry.task.name)}"
    methods = sorted({item.row.explainer.method for item in results})
    yield Path("datasets", dataset, "eval.yaml"), _benchmark(first, methods)
    newest: dict[str, dict[str, _Result]] = {}
    for item in sorted(results, key=lambda item: item.row.entry.created):
        if item.repository is not None:
            newest.setdefault(item.repository, {})[item.row.explainer.method] = item
    for name, by_method in sorted(newest.items()):
        entries = [_entry(by_method[method], dataset) for method in methods if method in by_method]
        path = Path("models", name, ".eval_results", f"{safe_name(first.entry.task.name)}.yaml")
        yield path, eval_result_entries_to_yaml(entries)


def _benchmark(row: Explained, methods: Sequence[str]) -> dict[str, Any]:
    return {
        "name": row.entry.task.name,
        "description": (
            "How well a language model explains the units of another: the correlation, from -1 to 1, of real "
            f"activations and those that the simulator {row.simulator.name} predicts from the explanation, averaged "
            "over units. Higher is better. Each task is a method of explaining."
        ),
        "evaluation_framework": "neurogloss",
        "tasks": [{"id": method, "config": "explanations", "split": "results"} for method in methods],
    }


def _entry(item: _Result, dataset: str) -> EvalResultEntry:
    row, model, interval = item.row, item.model, item.row.headline
    return EvalResultEntry(
        dataset_id=dataset,
        task_id=row.explainer.method,
        value=round(interval.mean, 4),
        date=row.entry.created,
        notes=(
            f"95 % interval {figure(interval.low)} to {figure(interval.high)}, {interval.units} units; simulator "
            f"{row.simulator.name}; weights {model.name} {model.revision[:12]} ({model.dtype}); task digest "
            f"{row.entry.task.digest[:12]}; run {row.entry.run_id}"
        ),
    )
