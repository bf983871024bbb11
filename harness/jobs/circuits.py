"""The commands ``neurogloss circuit find`` and ``match``: groups of neurons, with random groups beside them."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Mapping

import torch
import yaml

from harness import files, weights
from harness.progress import show
from harness.subjects import circuits
from harness.subjects.groups import Group, Groups
from harness.subjects.partial import PartialModel
from harness.tasks import catalog, units
from harness.types import NeuroglossError, Unit

EXCERPTS = 64
"""Random excerpts of a task on which activations are read; of 64 tokens each, 4,000 tokens."""


def find(options: argparse.Namespace) -> None:
    """Find the neurons that promote a family of tokens, and write them as a group, with random groups beside it."""
    _check(options)
    loaded = weights.load(options.subject)
    model = PartialModel(loaded.model, options.subject)
    token_ids = circuits.family_ids(
        lambda text: loaded.tokenizer(text, add_special_tokens=False)["input_ids"], options.tokens
    )
    promoting = dict(circuits.promoting(model, token_ids, options.units))
    activations = circuits.activity(model, _layers(promoting), _text(options.task, model))
    sentence = f"neurons whose output directions promote {', '.join(map(repr, options.tokens))}"
    group = Group(options.name, sentence, circuits.weighted(promoting, activations))
    _write(options, [group], activations)
    show("", *(f"{unit}: {score:+.2f} logits above the vocabulary" for unit, score in promoting.items()))


def match(options: argparse.Namespace) -> None:
    """Write the groups of a file again, each with random groups beside it."""
    _check(options)
    kind = Groups(str(options.groups))
    layers = _layers(unit for group in kind.groups for unit in group.weights)  # a bad file is told before any work
    model = PartialModel(weights.load(options.subject).model, options.subject)
    kind.units(model)  # which refuses what the model lacks
    _write(options, kind.groups, circuits.activity(model, layers, _text(options.task, model)))


def _check(options: argparse.Namespace) -> None:
    if options.file.exists():
        raise NeuroglossError(f"{options.file} exists, and nothing is written over it; name a new file.")
    for name in ("units", "random"):
        if getattr(options, name, 1) < 1:
            raise NeuroglossError(f"--{name} is {getattr(options, name)}; write 1 or more.")


def _layers(members: Iterable[Unit]) -> list[int]:
    return sorted({unit.place for unit in members})


def _text(name: str, model: PartialModel) -> torch.Tensor:
    """Return the first random excerpts of a task as token ids [excerpts, tokens]."""
    task = units.read_task(catalog.find_task(name))
    excerpts = {excerpt.digest: excerpt.token_ids for record in task.records for excerpt in record.random}
    return model.ids(list(excerpts.values())[:EXCERPTS])


def _write(
    options: argparse.Namespace, groups: Iterable[Group], activations: Mapping[int, tuple[torch.Tensor, ...]]
) -> None:
    """Write groups and random ones into a file, and print the command that collects them."""
    table = {
        member.name: {
            "sentence": member.sentence,
            "units": {str(unit): float(f"{weight:.6g}") for unit, weight in member.weights.items()},
        }
        for group in groups
        for member in (group, *circuits.matched(group, activations, options.random, options.seed))
    }
    try:
        files.write_whole(options.file, yaml.safe_dump(table, sort_keys=False, width=120).encode())
    except OSError as error:
        raise NeuroglossError(f"{options.file} cannot be written: {error.strerror or error}.") from error
    path = shlex.quote(str(options.file))
    show(
        f"{options.file}: {len(table)} groups: {', '.join(table)}",
        f"next: neurogloss collect name=circuits-v1 unit=group subject.unit.path={path}",
    )
