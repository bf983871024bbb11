"""One side of MLP neurons: the positive part of a neuron's activation, or the size of its negative part.

A gated neuron is often as negative as it is positive, on other text. So each side is a unit of its own, explained,
simulated and scored apart: ``L12N345+`` has the activation max(a, 0) and ``L12N345-`` max(-a, 0), where a is that of
the whole neuron ``L12N345``. The sign stands last, behind the neuron that it is a side of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from harness.subjects.neurons import Neurons
from harness.subjects.partial import PartialModel, replaced
from harness.types import NeuroglossError, UnitLayout

NEURONS = Neurons()
SIGNS = {"+": 1, "-": -1}


@dataclass(frozen=True)
class NeuronSides:
    """One side of each neuron of a model.

    Attributes:
        side: ``+`` or ``-``.
    """

    side: str = "-"

    def __post_init__(self) -> None:
        if self.side not in SIGNS:
            raise NeuroglossError(f"unit.side is {self.side!r}; write '+' or '-'.")

    @property
    def letters(self) -> str:
        """That of neurons, and the sign."""
        return f"{NEURONS.letters}{self.side}"

    @property
    def noun(self) -> str:
        """What one of them is called."""
        return "neuron side"

    @property
    def digest(self) -> str:
        """Nothing: the model alone defines them."""
        return ""

    def units(self, model: PartialModel) -> UnitLayout:
        """Return one unit for each neuron.

        Raises:
            NeuroglossError: see :func:`harness.subjects.locate.locate`.
        """
        return UnitLayout(self.letters, self.noun, NEURONS.units(model).widths)

    def layers(self, model: PartialModel, place: int) -> range:
        """Return the layer of the neurons."""
        return NEURONS.layers(model, place)

    def read(
        self,
        model: PartialModel,
        place: int,
        indices: Sequence[int],
        shape: torch.Size,
        see: Callable[[torch.Tensor], object],
    ) -> AbstractContextManager[None]:
        """Within the context, call ``see`` with sides, float32 [batch, tokens, indices], all at least 0."""
        return NEURONS.read(model, place, indices, shape, lambda values: see(self._of(values)))

    def replace(
        self, model: PartialModel, place: int, indices: torch.Tensor, values: torch.Tensor, leading: torch.Tensor
    ) -> AbstractContextManager[None]:
        """Within the context, replace one side of a neuron in each sequence; its other side stays as it is.

        The neuron changes by as much as its side does. So where the other side is active, both are: the neuron is then
        their difference, as it is where nothing is replaced.
        """

        def changed(real: torch.Tensor) -> torch.Tensor:
            side = self._of(real)
            return real + self._sign * (replaced(side, values, leading) - side)

        return NEURONS.change(model, place, indices, values.shape, changed)

    def direction(self, model: PartialModel, place: int, indices: Sequence[int]) -> torch.Tensor:
        """Return what each side at activation 1 adds to the output of its down projection [indices, hidden]."""
        return self._sign * NEURONS.direction(model, place, indices)

    @property
    def _sign(self) -> int:
        return SIGNS[self.side]

    def _of(self, neurons: torch.Tensor) -> torch.Tensor:
        return (self._sign * neurons).clamp(min=0)
