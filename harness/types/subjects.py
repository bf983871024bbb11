"""Kinds of units, replacements, effects and the protocols of subjects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import Protocol, runtime_checkable

from harness.types.errors import NeuroglossError
from harness.types.units import FloatArray, Identity, Unit

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class UnitLayout:
    """The units of one kind that a model has: at each place (a layer, for most kinds), those from index 0 on.

    Attributes:
        letters: the kind of the units, as :attr:`Unit.kind` has it, but for the sign of a side.
        noun: what one of them is called.
        widths: how many there are at each place [places], each side counted; a place can have none.
        names: of units that are written by a name, place by place, in ascending order; empty for all others.
        sides: the signs of the units, those of one coordinate side by side; one that is empty for whole units.
    """

    letters: str
    noun: str
    widths: tuple[int, ...]
    names: tuple[str, ...] = ()
    sides: tuple[str, ...] = ("",)

    def __post_init__(self) -> None:
        for name in self.names:
            unit = Unit(self.letters, name=name)
            try:
                is_written = Unit.parse(str(unit)) == unit
            except NeuroglossError:
                is_written = False
            if not is_written:
                raise NeuroglossError(
                    f"{name!r} is no name of a {self.noun}; write one line that begins and ends with a "
                    "letter, a digit or a mark."
                )

    def __contains__(self, unit: Unit) -> bool:
        if unit.side not in self.sides or unit.kind != self.letters + unit.side or bool(unit.name) != bool(self.names):
            return False
        if self.names:
            return unit.name in self.names
        return 0 <= unit.place < len(self.widths) and 0 <= self.address(unit)[1] < self.widths[unit.place]

    def __len__(self) -> int:
        return sum(self.widths)

    def at(self, position: int) -> Unit:
        """Return the unit at a position among all of them, counted from 0, place by place."""
        if self.names:
            return Unit(self.letters, name=self.names[position])
        return self._unit(*self._address(position))

    def address(self, unit: Unit) -> tuple[int, int]:
        """Return the place of one of the units and its index among those there; a named unit says neither itself."""
        if self.names:
            return self._address(self.names.index(unit.name))
        return unit.place, unit.index * len(self.sides) + self.sides.index(unit.side)

    def of_place(self, place: int, indices: Sequence[int]) -> tuple[Unit, ...]:
        """Return the units of a place with these indices."""
        if self.names:
            first = sum(self.widths[:place])
            return tuple(map(self.at, (first + index for index in indices)))
        return tuple(self._unit(place, index) for index in indices)

    def check(self, units: Sequence[Unit], name: str) -> None:
        """Refuse a unit that does not exist.

        Raises:
            NeuroglossError: the model, which the message calls ``name``, has no such unit.
        """
        unknown = next((unit for unit in units if unit not in self), None)
        if unknown is not None:
            raise NeuroglossError(f"there is no {self.noun} {unknown} in {name}; it has {self}.")

    def __str__(self) -> str:
        """Return how many there are, with the first and the last of them."""
        if not len(self):
            return f"no {self.noun}s"
        alike = not self.names and len(set(self.widths)) == 1
        size = f"{len(self.widths)} layers of {self.widths[0]}" if alike else str(len(self))
        return f"{size} {self.noun}s: {self.at(0)} to {self.at(len(self) - 1)}"

    def _unit(self, place: int, index: int) -> Unit:
        """Return the unit with this index among those of a place."""
        coordinate, side = divmod(index, len(self.sides))
        return Unit(self.letters + self.sides[side], place, coordinate)

    def _address(self, position: int) -> tuple[int, int]:
        for place, width in enumerate(self.widths):
            if position < width:
                return place, position
            position -= width
        raise IndexError(position)


class UnitKind(Protocol):
    """A kind of unit: which there are, and how they are read, replaced and written to the residual stream.

    ``model`` is always a :class:`harness.subjects.partial.PartialModel`. The context managers hook into the forward
    pass of the model that runs within them.
    """

    @property
    def letters(self) -> str:
        """The kind as units have it, ``N`` in ``L12N345``, with the signs of its sides; no other kind of a subject has
        it."""
        ...

    @property
    def noun(self) -> str:
        """What one unit is called."""
        ...

    @property
    def digest(self) -> str:
        """A hash of all that defines the units beside the model, such as a dictionary; empty where nothing does."""
        ...

    def units(self, model: Any) -> UnitLayout:
        """Return the units that a model has.

        Raises:
            NeuroglossError: the model has no units of this kind.
        """
        ...

    def layers(self, model: Any, place: int) -> range:
        """Return the decoder layers that must run to read the units of a place, or to replace them."""
        ...

    def read(
        self, model: Any, place: int, indices: Sequence[int], shape: torch.Size, see: Callable[[torch.Tensor], object]
    ) -> AbstractContextManager[None]:
        """Within the context, call ``see`` once in each run with activations, float32 [batch, tokens, indices].

        They may be the model's own memory, and are valid during the call only. ``shape`` is (batch, tokens).
        """
        ...

    def replace(
        self, model: Any, place: int, indices: torch.Tensor, values: torch.Tensor, leading: torch.Tensor
    ) -> AbstractContextManager[None]:
        """Within the context, replace the activation of one unit of a place in each sequence of the batch.

        What reads a unit within the same context reads it replaced, whichever of the two was entered first.

        Args:
            model: which runs.
            place: of the units.
            indices: the unit of each sequence [batch].
            values: its activations [batch, tokens].
            leading: number of first positions that keep the real activation [batch].
        """
        ...

    def direction(self, model: Any, place: int, indices: Sequence[int]) -> torch.Tensor | None:
        """Return what each unit adds to the residual stream at activation 1 [indices, hidden].

        None for a kind whose units write in no fixed direction; then the layers of a place run again for each
        replacement.
        """
        ...


@runtime_checkable
class CheckedKind(Protocol):
    """A kind of unit that can turn out not to fit its model, such as a dictionary that was made for another site."""

    def check(self, model: Any, ids: torch.Tensor) -> None:
        """Refuse a model that the units do not fit.

        Args:
            model: as for the other verbs.
            ids: some text of the corpus, as token ids [batch, tokens].

        Raises:
            NeuroglossError: they do not.
        """
        ...


@dataclass(frozen=True, slots=True)
class Replacement:
    """A request to a subject: replace one unit's activation on the scored positions of one sequence.

    ``values`` has one entry for each token; the first ``leading`` positions keep their real activation.
    """

    unit: Unit
    token_ids: tuple[int, ...]
    values: tuple[float, ...]
    leading: int = 0


@dataclass(frozen=True, slots=True)
class Effect:
    """What a replacement does to a subject's next-token distributions, averaged over the positions of the sequence.

    Attributes:
        divergence: the Jensen-Shannon divergence (nats) between the distributions with and without it.
        loss_change: next-token loss with it less that without it (nats), over the positions that have a next token; NaN
            where the sequence has one token.
    """

    divergence: float
    loss_change: float


@runtime_checkable
class Subject(Protocol):
    """A causal language model whose units, all of one kind, can be read and replaced."""

    @property
    def identity(self) -> Identity:
        """Which model, at which revision, in which number format."""
        ...

    @property
    def units(self) -> UnitLayout:
        """The units that there are."""
        ...

    def activations(self, unit: Unit, sequences: Sequence[tuple[int, ...]]) -> list[FloatArray]:
        """The unit's activation on each token of each sequence [sequences, tokens]."""
        ...

    def effects(self, replacements: Sequence[Replacement]) -> Iterator[tuple[int, Effect]]:
        """For each replacement its index and what it does; yielded as they are computed, in any order."""
        ...


@dataclass(frozen=True, slots=True)
class TokenEffects:
    """What a unit does to the next token: those that it makes likelier and those that it makes less likely, each a
    (text, effect), the largest effect of either sign first."""

    promoted: tuple[tuple[str, float], ...]
    suppressed: tuple[tuple[str, float], ...]


@runtime_checkable
class OpenSubject(Subject, Protocol):
    """A subject whose weights can be looked into, and whose tokenizer can be used."""

    def input_tokens(self, unit: Unit, count: int) -> tuple[tuple[str, float], ...]:
        """The ``count`` tokens whose embedding excites the unit most, each a (text, activation) above 0."""
        ...

    def output_tokens(self, unit: Unit, count: int) -> TokenEffects:
        """The ``count`` tokens of either sign that the unit's output direction points at (logit lens)."""
        ...

    def changed_tokens(self, replacements: Sequence[Replacement], count: int) -> TokenEffects:
        """The ``count`` tokens of either sign whose next-token log-probability the replacements change most, on the
        mean over all replaced positions."""
        ...

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of ``text``, with no token put before or after it."""
        ...

    def token_text(self, token_id: int) -> str:
        """The text of one token: what it adds to a text that goes on with it."""
        ...
