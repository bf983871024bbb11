"""MLP neurons: the coordinates of the input of each layer's down projection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from harness.subjects.locate import locate
from harness.subjects.partial import Inputs, PartialModel, hooked, replaced
from harness.types import UnitLayout


@dataclass(frozen=True)
class Neurons:
    """The kind of unit that a subject has where its config names no other."""

    letters: ClassVar[str] = "N"
    noun: ClassVar[str] = "neuron"

    @property
    def digest(self) -> str:
        """Nothing: the model alone defines its neurons."""
        return ""

    def units(self, model: PartialModel) -> UnitLayout:
        """Return the neurons of each layer.

        Raises:
            NeuroglossError: see :func:`harness.subjects.locate.locate`.
        """
        return UnitLayout(self.letters, self.noun, model.part(locate).widths)

    def layers(self, model: PartialModel, place: int) -> range:  # noqa: ARG002  # the same in every model
        """Return the layer of the neurons."""
        return range(place, place + 1)

    @contextmanager
    def read(
        self,
        model: PartialModel,
        place: int,
        indices: Sequence[int],
        shape: torch.Size,
        see: Callable[[torch.Tensor], object],
    ) -> Iterator[None]:
        """Within the context, call ``see`` with neurons of a layer, float32 [batch, tokens, indices].

        Nothing is copied if they are all its neurons in order. ``shape`` is (batch, tokens).
        """
        is_whole_layer = list(indices) == list(range(model.part(locate).widths[place]))

        def hook(_: nn.Module, inputs: Inputs) -> None:
            values = inputs[0] if is_whole_layer else inputs[0][..., indices]
            see(values.reshape(*shape, len(indices)).float())

        with hooked(self._projection(model, place).register_forward_pre_hook(hook)):
            yield

    @contextmanager
    def replace(
        self, model: PartialModel, place: int, indices: torch.Tensor, values: torch.Tensor, leading: torch.Tensor
    ) -> Iterator[None]:
        """Within the context, replace one neuron of a layer in each sequence of the batch.

        Args:
            model: which runs.
            place: the layer of the neurons.
            indices: the neuron's index in the layer [batch].
            values: its activations [batch, tokens].
            leading: number of first positions that keep the real activation [batch].
        """
        with self.change(model, place, indices, values.shape, lambda real: replaced(real, values, leading)):
            yield

    @contextmanager
    def change(
        self,
        model: PartialModel,
        place: int,
        indices: torch.Tensor,
        shape: torch.Size,
        changed: Callable[[torch.Tensor], torch.Tensor],
    ) -> Iterator[None]:
        """Within the context, one neuron of each sequence is what ``changed`` makes of its real activation.

        The activations are [batch, tokens], which is ``shape``, in the number format of the model.
        """
        rows = torch.arange(len(indices), device=indices.device)

        def hook(_: nn.Module, inputs: Inputs) -> Inputs:
            states = inputs[0].reshape(*shape, -1).clone()
            states[rows, :, indices] = changed(states[rows, :, indices])
            return (states.reshape(inputs[0].shape), *inputs[1:])

        with hooked(self._projection(model, place).register_forward_pre_hook(hook, prepend=True)):
            yield

    def direction(self, model: PartialModel, place: int, indices: Sequence[int]) -> torch.Tensor:
        """Return what each neuron at activation 1 adds to the output of its down projection [indices, hidden]."""
        projection = self._projection(model, place)
        dtype = next(projection.parameters()).dtype
        basis = torch.zeros(len(indices) + 1, model.part(locate).widths[place], dtype=dtype, device=model.device)
        basis[list(range(len(indices))), list(indices)] = 1
        *outputs, bias = projection(basis)
        directions: torch.Tensor = torch.stack(outputs) - bias
        return directions

    def _projection(self, model: PartialModel, place: int) -> nn.Module:
        return model.part(locate).projections[place]
