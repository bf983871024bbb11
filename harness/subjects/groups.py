"""Groups of units (circuits): their activation is the weighted sum of their units', and they are replaced at once."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import torch

from harness.guards import reading
from harness.subjects import attribution_graphs
from harness.subjects.heads import Heads
from harness.subjects.neurons import Neurons
from harness.subjects.partial import PartialModel, replaced
from harness.subjects.sides import NeuronSides
from harness.types import NeuroglossError, Unit, UnitKind, UnitLayout

Run = Callable[[], torch.Tensor]
See = Callable[[torch.Tensor], object]


@dataclass(frozen=True)
class Group:
    """Units that are explained as one.

    Attributes:
        name: of the group.
        sentence: what it is thought to be.
        weights: unit -> the factor of its activation in the sum: +1 or -1 over its top maximum, as a rule.
    """

    name: str
    sentence: str
    weights: Mapping[Unit, float]


@dataclass(frozen=True, eq=False)
class _Part:
    """The units of a group that are of one kind and place.

    Attributes:
        kind: of the units.
        place: that of all of them.
        indices: of the units in their place.
        weights: of the units [units].
    """

    kind: UnitKind
    place: int
    indices: tuple[int, ...]
    weights: torch.Tensor


@dataclass(frozen=True)
class Groups:
    """The groups of a file, each a unit written ``circuit:NAME``.

    The file is YAML or JSON: NAME: {sentence: TEXT, units: {L12N345: 0.14, L3H2: -0.5}}, with a weight for each unit.
    Or it is an attribution graph of circuit-tracer (:mod:`harness.subjects.attribution_graphs`).

    Attributes:
        path: that file.
        more: a kind of units in groups beside neurons, their sides and heads, such as latents; None for no other.
    """

    letters: ClassVar[str] = "circuit"
    noun: ClassVar[str] = "group"
    path: str
    more: UnitKind | None = None

    @property
    def digest(self) -> str:
        """A hash of the file's content, and of what defines its units beside the model."""
        more = "" if self.more is None else self.more.digest
        return hashlib.sha256(f"{hashlib.sha256(self._content).hexdigest()} {more}".encode()).hexdigest()

    def units(self, model: PartialModel) -> UnitLayout:
        """Return the groups, each at a place of its own, for each has layers of its own.

        Raises:
            NeuroglossError: the file cannot be read, or the model lacks a unit of a group.
        """
        for group in self.groups:
            for unit in group.weights:
                self._kind(unit).units(model).check([unit], f"{model.name}, for {self.path}")
        names = tuple(group.name for group in self.groups)
        return UnitLayout(self.letters, self.noun, (1,) * len(names), names)

    def layers(self, model: PartialModel, place: int) -> range:
        """Return the layers from that of the lowest unit of a group to that of the highest."""
        layers = [part.kind.layers(model, part.place) for part in self._parts(model, place)]
        return range(min(own.start for own in layers), max(own.stop for own in layers))

    @contextmanager
    def read(
        self,
        model: PartialModel,
        place: int,
        indices: Sequence[int],  # noqa: ARG002  # a place has one group
        shape: torch.Size,
        see: See,
    ) -> Iterator[None]:
        """Within the context, call ``see`` with a group, float32 [batch, tokens, 1], once all its units are read."""
        parts = self._parts(model, place)
        sums: list[torch.Tensor] = []

        def add(part: _Part, values: torch.Tensor) -> None:
            sums.append(values @ part.weights)
            if len(sums) == len(parts):
                see(torch.stack(sums).sum(dim=0)[..., None])
                sums.clear()

        with self._reading(model, parts, shape, add):
            yield

    @contextmanager
    def replace(
        self,
        model: PartialModel,
        place: int,
        indices: torch.Tensor,  # noqa: ARG002  # a place has one group
        values: torch.Tensor,
        leading: torch.Tensor,
    ) -> Iterator[None]:
        """Within the context, move all units of a group, until their sum is ``values``; each run is made twice.

        The units move by as little as will do, measured in their top maxima: each by (new sum - real sum) times its
        weight over the sum of squared weights. Where the new sum is the real one, nothing moves. A unit below the
        others keeps its real activation for a start, though those below it have changed.
        """
        parts = self._parts(model, place)
        with ExitStack() as hooks, model.rehearsing(partial(self._replace_units, model, parts, values, leading, hooks)):
            yield

    def _replace_units(  # noqa: PLR0913, PLR0917  # the first five are those of replace
        self,
        model: PartialModel,
        parts: Sequence[_Part],
        values: torch.Tensor,
        leading: torch.Tensor,
        hooks: ExitStack,
        run: Run,
    ) -> None:
        """Read the units of a group in a run, and replace them in the next one."""
        hooks.close()
        real: dict[_Part, torch.Tensor] = {}
        with self._reading(model, parts, values.shape, lambda part, read: real.update({part: read.clone()})):
            run()
        total = torch.stack([real[part] @ part.weights for part in parts]).sum(dim=0)
        change = (replaced(total, values, leading) - total) / sum(part.weights.square().sum() for part in parts)
        for part in parts:
            for position, index in enumerate(part.indices):
                moved = real[part][..., position] + change * part.weights[position]
                every = torch.full_like(leading, index)
                hooks.enter_context(part.kind.replace(model, part.place, every, moved, leading))

    def direction(self, model: PartialModel, place: int, indices: Sequence[int]) -> torch.Tensor | None:  # noqa: ARG002
        """Return what a group at activation 1 adds to the residual stream in all its layers together [1, hidden].

        None if one of its units writes in no fixed direction.
        """
        parts = self._parts(model, place)
        directions = [part.kind.direction(model, part.place, part.indices) for part in parts]
        norm = sum(part.weights.square().sum() for part in parts)
        total = torch.zeros(())
        for part, written in zip(parts, directions, strict=True):
            if written is None:
                return None
            total = total + part.weights @ written.float() / norm
        return total[None]

    @contextmanager
    def _reading(
        self,
        model: PartialModel,
        parts: Sequence[_Part],
        shape: torch.Size,
        see: Callable[[_Part, torch.Tensor], object],
    ) -> Iterator[None]:
        """Within the context, call ``see`` with each part and its units, float32 [batch, tokens, units]."""
        with ExitStack() as hooks:
            for part in parts:
                hooks.enter_context(part.kind.read(model, part.place, part.indices, shape, partial(see, part)))
            yield

    # ------------------------------------------------------------------------------------------------------- the file

    def _parts(self, model: PartialModel, place: int) -> list[_Part]:
        """Return the units of a group by kind and place."""
        members: dict[tuple[UnitKind, int], list[tuple[int, float]]] = defaultdict(list)
        for unit, weight in self.groups[place].weights.items():
            kind = self._kind(unit)
            own_place, index = kind.units(model).address(unit)
            members[kind, own_place].append((index, weight))
        return [
            _Part(kind, own_place, tuple(index for index, _ in pairs), model.tensor([weight for _, weight in pairs]))
            for (kind, own_place), pairs in members.items()
        ]

    def _kind(self, unit: Unit) -> UnitKind:
        kinds: list[UnitKind] = [Neurons(), NeuronSides("+"), NeuronSides("-"), Heads()]
        kinds += [] if self.more is None else [self.more]
        for kind in kinds:
            if kind.letters == unit.kind:
                return kind
        raise NeuroglossError(
            f"{self.path} has a group with {unit}, whose kind is unknown here; name it by unit.more "
            "(+unit@subject.unit.more=latent), or use neurons, sides of neurons, and heads."
        )

    @cached_property
    def _content(self) -> bytes:
        return reading.bytes_of(Path(self.path).expanduser(), form="YAML")

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The groups of the file, by name.

        Raises:
            NeuroglossError: the file cannot be read, or holds none.
        """
        is_json = self.path.endswith(".json")
        text = reading.decoded(self._content, Path(self.path), "JSON" if is_json else "YAML")
        table = reading.parsed_json(text, self.path) if is_json else reading.parsed_yaml(text, self.path)
        if attribution_graphs.is_graph(table):
            table = attribution_graphs.groups(table, self.path)
        if not isinstance(table, dict) or not table:
            raise NeuroglossError(
                f"{self.path} holds no groups; write NAME: {{sentence: TEXT, units: {{L12N345: 0.1}}}}."
            )
        return tuple(_group(name, table[name], self.path) for name in sorted(table, key=str))


def _group(name: object, node: Any, path: str) -> Group:
    """Return a group as its file says it.

    Raises:
        NeuroglossError: it has no units, or a weight that is no number but 0.
    """
    units = node.get("units") if isinstance(node, dict) else None
    if not isinstance(units, dict) or not units:
        raise NeuroglossError(f"{path}: the group {name} has no units; write units: {{L12N345: 0.1, L3H2: -0.5}}.")
    for unit, weight in units.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < abs(weight) < float("inf"):
            raise NeuroglossError(f"{path}: {unit} of group {name} has the weight {weight!r}; write a number, not 0.")
    weights = {Unit.parse(str(unit)): float(weight) for unit, weight in units.items()}
    return Group(str(name), str(node.get("sentence", "")), weights)
