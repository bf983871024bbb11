"""Sides of MLP neurons: the positive part of a neuron's activation, or the size of its negative part.

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
    """One side of each neuron of a model, or both.

    Attributes:
        side: ``+``, ``-`` or ``+-``.
    """

    side: str = "+-"

    def __post_init__(self) -> None:
        if self.side not in (*SIGNS, "".join(SIGNS)):
            raise NeuroglossError(f"unit.side is {self.side!r}; write '+', '-' or '+-'.")

    @property
    def letters(self) -> str:
        """That of neurons, and the signs."""
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
        """Return one unit for each side of each neuron.

        Raises:
            NeuroglossError: see :func:`harness.subjects.locate.locate`.
        """
        widths = tuple(len(self.side) * width for width in NEURONS.units(model).widths)
        return UnitLayout(NEURONS.letters, self.noun, widths, sides=tuple(self.side))

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
        neurons, signs = self._split(model, indices)
        return NEURONS.read(model, place, neurons.tolist(), shape, lambda values: see((signs * values).clamp(min=0)))

    def replace(
        self, model: PartialModel, place: int, indices: torch.Tensor, values: torch.Tensor, leading: torch.Tensor
    ) -> AbstractContextManager[None]:
        """Within the context, replace one side of a neuron in each sequence; its other side stays as it is.

        The neuron changes by as much as its side does. So where the other side is active, both are: the neuron is then
        their difference, as it is where nothing is replaced.
        """
        neurons, signs = self._split(model, indices)

        def changed(real: torch.Tensor) -> torch.Tensor:
            sign = signs[:, None]
            side = (sign * real).clamp(min=0)
            return real + sign * (replaced(side, values, leading) - side)

        return NEURONS.change(model, place, neurons, values.shape, changed)

    def direction(self, model: PartialModel, place: int, indices: Sequence[int]) -> torch.Tensor:
        """Return what each side at activation 1 adds to the output of its down projection [indices, hidden]."""
        neurons, signs = self._split(model, indices)
        return signs[:, None] * NEURONS.direction(model, place, neurons.tolist())

    def _split(self, model: PartialModel, indices: Sequence[int] | torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the neuron and the sign of each side [indices], both whole numbers."""
        places = torch.as_tensor(indices, device=model.device)
        signs = torch.tensor([SIGNS[side] for side in self.side], device=model.device)
        return places // len(self.side), signs[places % len(self.side)]
