"""Samples of units for a task: candidates are drawn before the corpus is read, and dead ones are replaced after.

A unit is known to fire only at the end of the one pass over the corpus. So each strategy names more candidates than
it needs, group by group, in the order of preference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from harness.types import NeuroglossError, Unit, UnitLayout


@dataclass(frozen=True, slots=True)
class Candidates:
    """Group of candidates, of which the first ``count`` that fire are taken, or all that fire if it is None.

    If ``by_activity`` is set, those taken are spread evenly over all that fire, sorted by how often they fire.
    """

    count: int | None
    units: tuple[Unit, ...]
    by_activity: bool = False


class UnitSample(Protocol):
    """Interface of a strategy that draws units."""

    def candidates(self, layout: UnitLayout) -> list[Candidates]:
        """Return groups of candidates among the units of a subject; groups do not overlap."""
        ...


class Stratified:
    """Strategy that draws the same number of units from each layer that has any, uniformly.

    Args:
        per_layer: number of units of each layer.
        spares: number of additional candidates for each unit, which replace those that never fire.
        seed: seed of the draw in each layer.
    """

    def __init__(self, per_layer: int = 1, spares: int = 3, seed: int = 0) -> None:
        _check_least(1, per_layer=per_layer)
        _check_least(0, spares=spares, seed=seed)
        self.per_layer = per_layer
        self.spares = spares
        self.seed = seed

    def candidates(self, layout: UnitLayout) -> list[Candidates]:
        """Return one group for each layer."""
        return [
            _drawn(layout, place, self.per_layer, self.spares, self.seed)
            for place, width in enumerate(layout.widths)
            if width
        ]


class Uniform:
    """Strategy that draws units uniformly from the whole model.

    Args:
        neurons: number of units.
        spares: number of additional candidates in the same layer for each unit.
        seed: seed of the draw.
    """

    def __init__(self, neurons: int = 30, spares: int = 3, seed: int = 0) -> None:
        _check_least(1, neurons=neurons)
        _check_least(0, spares=spares, seed=seed)
        self.neurons = neurons
        self.spares = spares
        self.seed = seed

    def candidates(self, layout: UnitLayout) -> list[Candidates]:
        """Return one group for each layer in which a unit was drawn."""
        _check_enough(layout, neurons=self.neurons)
        positions = np.random.default_rng(self.seed).permutation(len(layout))[: self.neurons]
        places = np.searchsorted(np.cumsum(layout.widths), positions, side="right")
        counts = np.bincount(places, minlength=len(layout.widths)).tolist()
        return [_drawn(layout, place, count, self.spares, self.seed) for place, count in enumerate(counts) if count]


class ByActivity:
    """Strategy that spreads units evenly over candidates, sorted by how often they fire.

    Args:
        neurons: number of units.
        candidates: number of candidates, drawn uniformly from the whole model.
        seed: seed of that draw.
    """

    def __init__(self, neurons: int = 30, candidates: int = 300, seed: int = 0) -> None:
        if not 0 < neurons <= candidates:
            raise NeuroglossError(f"sample.neurons is {neurons} of {candidates} candidates; give more candidates.")
        _check_least(0, seed=seed)
        self.neurons = neurons
        self.pool = candidates
        self.seed = seed

    def candidates(self, layout: UnitLayout) -> list[Candidates]:
        """Return one group of all candidates."""
        _check_enough(layout, candidates=self.pool)
        positions = np.random.default_rng(self.seed).permutation(len(layout))[: self.pool].tolist()
        return [Candidates(self.neurons, tuple(map(layout.at, positions)), by_activity=True)]


class All:
    """Strategy that takes every unit that fires."""

    def candidates(self, layout: UnitLayout) -> list[Candidates]:
        """Return one group for each layer."""
        return [
            Candidates(None, layout.of_place(place, range(width))) for place, width in enumerate(layout.widths) if width
        ]


class Listed:
    """Strategy that takes the units of a list; one that never fires is an error.

    Args:
        ids: units, for example ``[L0N12, L3N45]``.
    """

    def __init__(self, ids: list[str]) -> None:
        if not ids:
            raise NeuroglossError("sample.ids names no unit; write for example sample.ids=[L0N12,L3N45].")
        self.ids = ids

    def candidates(self, layout: UnitLayout) -> list[Candidates]:  # noqa: ARG002  # the subject refuses unknown ones
        """Return one group for each unit."""
        units = dict.fromkeys(Unit.parse(text) for text in self.ids)
        return [Candidates(1, (unit,)) for unit in units]


def choose(groups: Sequence[Candidates], activity: Mapping[Unit, float]) -> tuple[list[Unit], list[Unit]]:
    """Take the first candidates of each group that fire.

    Args:
        groups: the candidates.
        activity: share of positions at which each unit fires; units that hardly fire are missing.

    Returns:
        (units taken, sorted by layer and index; candidates rejected because they do not fire).

    Raises:
        NeuroglossError: too few candidates of a group fire; its layer is named.
    """
    units: list[Unit] = []
    rejected: list[Unit] = []
    for group in groups:
        living = [unit for unit in group.units if unit in activity]
        count = len(living) if group.count is None else group.count
        if len(living) < count:
            raise NeuroglossError(
                f"only {len(living)} of {len(group.units)} candidates in layer {group.units[0].place} "
                f"({', '.join(map(str, group.units[:4]))}) fire on enough excerpts, and {count} are needed; "
                "use a larger corpus or raise sample.spares."
            )
        selection = _spread(living, activity, count) if group.by_activity else living[:count]
        is_exhaustive = group.by_activity or group.count is None
        examined = group.units if is_exhaustive or not selection else group.units[: group.units.index(selection[-1])]
        rejected.extend(unit for unit in examined if unit not in activity)
        units.extend(selection)
    return sorted(units), rejected


def _spread(living: Sequence[Unit], activity: Mapping[Unit, float], count: int) -> list[Unit]:
    ordered = sorted(living, key=lambda unit: (activity[unit], unit))
    return [ordered[int((place + 0.5) * len(ordered) / count)] for place in range(count)]


def _check_least(least: int, **settings: int) -> None:
    for name, value in settings.items():
        if value < least:
            raise NeuroglossError(f"sample.{name} is {value}; write at least {least}.")


def _check_enough(layout: UnitLayout, **settings: int) -> None:
    for name, value in settings.items():
        if value > len(layout):
            raise NeuroglossError(f"the subject has {len(layout)} {layout.noun}s; lower sample.{name} to at most that.")


def _drawn(layout: UnitLayout, place: int, count: int, spares: int, seed: int) -> Candidates:
    """Return candidates of one layer, in an order that depends on the seed and the layer alone."""
    width = layout.widths[place]
    if count > width:
        raise NeuroglossError(
            f"{count} {layout.noun}s are requested in layer {place}, which has {width}; correct sample."
        )
    order = np.random.default_rng((seed, place)).permutation(width)[: count * (1 + spares)]
    return Candidates(count, layout.of_place(place, order.tolist()))
