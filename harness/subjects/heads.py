"""Attention heads: how much each writes into the residual stream, from whatever it attends to.

A head's write from key k at query q is attention[q, k] W_O v_k, where W_O is its slice of the output projection. The
activation of a pair (q, k) is the length of that write, as in OpenAI's transformer-debugger (``attn_write_norm``), and
the activation of a token is the sum over the keys. The first position is left out on both axes: most heads rest on it
where they have nothing to do. So the first token of a sequence has the activation 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch

from harness.subjects.attending import find_attention, spread
from harness.subjects.partial import PartialModel, replaced
from harness.types import UnitLayout


@dataclass(frozen=True)
class Heads:
    """The query heads of each layer that attends, written L12H3."""

    letters: ClassVar[str] = "H"
    noun: ClassVar[str] = "head"

    @property
    def digest(self) -> str:
        """Nothing: the model alone defines its heads."""
        return ""

    def units(self, model: PartialModel) -> UnitLayout:
        """Return the heads of each layer; none in a layer that does not attend.

        Raises:
            NeuroglossError: see :func:`harness.subjects.attending.find_attention`.
        """
        return UnitLayout(self.letters, self.noun, model.part(find_attention).heads)

    def layers(self, model: PartialModel, place: int) -> range:  # noqa: ARG002  # the same in every model
        """Return the layer of the heads."""
        return range(place, place + 1)

    @contextmanager
    def read(
        self,
        model: PartialModel,
        place: int,
        indices: Sequence[int],
        shape: torch.Size,  # noqa: ARG002  # attention keeps it
        see: Callable[[torch.Tensor], object],
    ) -> Iterator[None]:
        """Within the context, call ``see`` with heads of a layer, float32 [batch, tokens, indices], all at least 0."""

        def look(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            see(_activations(weights, _lengths(model, place, values))[:, indices].transpose(1, 2))
            return weights

        with model.part(find_attention).looking(place, look):
            yield

    @contextmanager
    def read_pairs(
        self, model: PartialModel, place: int, index: int, see: Callable[[torch.Tensor], object]
    ) -> Iterator[None]:
        """Within the context, call ``see`` with one head's write norms, float32 [batch, queries, keys]; 0 in column 0.

        The activation of a token is the sum of its row.
        """

        def look(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            see(weights[:, index].float() * _lengths(model, place, values)[:, index, None])
            return weights

        with model.part(find_attention).looking(place, look):
            yield

    @contextmanager
    def replace(
        self, model: PartialModel, place: int, indices: torch.Tensor, values: torch.Tensor, leading: torch.Tensor
    ) -> Iterator[None]:
        """Within the context, scale what a head writes in each sequence, so that its activation becomes ``values``.

        Its weights on all keys but the first are multiplied by (new activation / real activation); its mixed value at
        the input of the output projection changes accordingly, and no other head's does. Values below 0 count as 0. A
        token at which the head writes nothing from these keys, as at the first position, is left as it is.

        Args:
            model: which runs.
            place: the layer of the heads.
            indices: the head's index in the layer [batch].
            values: its activations [batch, tokens].
            leading: number of first positions that keep the real activation [batch].
        """
        rows = torch.arange(len(indices), device=indices.device)

        def look(weights: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
            real = _activations(weights, _lengths(model, place, mixed))[rows, indices]
            target = replaced(real, values.clamp(min=0), leading)
            factor = torch.where(real > 0, target / real, 1.0).to(weights.dtype)
            changed = weights.clone()
            changed[rows, indices, :, 1:] *= factor[..., None]
            return changed

        with model.part(find_attention).looking(place, look, first=True):
            yield

    def direction(self, model: PartialModel, place: int, indices: Sequence[int]) -> None:
        """Return None: a head writes in as many directions as its values have."""


def _lengths(model: PartialModel, layer: int, values: torch.Tensor) -> torch.Tensor:
    """Return the length of W_O v for each head and key, float32 [batch, heads, keys], and 0 for the first key."""
    triangles = model.part(find_attention).triangles[layer]
    assert triangles is not None
    written = torch.einsum("hij,bhkj->bhki", triangles, spread(values, len(triangles)).float())
    lengths: torch.Tensor = written.norm(dim=-1)
    lengths[..., 0] = 0.0
    return lengths


def _activations(weights: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return each head's activation, float32 [batch, heads, queries]; the first query sees the first key alone: 0."""
    return torch.matmul(weights.float(), lengths[..., None])[..., 0]
