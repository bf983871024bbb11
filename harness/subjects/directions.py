"""Directions: named vectors of a safetensors file, and how far a site of the model points along each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from harness.subjects import sites
from harness.subjects.partial import PartialModel, replaced
from harness.subjects.sites import Site
from harness.types import NeuroglossError, UnitLayout


@dataclass(frozen=True)
class Directions:
    """The tensors of a file, each a unit written ``direction:NAME``; its activation is its dot product with a site.

    Attributes:
        path: a safetensors file of vectors as long as those of the site.
        layer: the decoder layer of the site.
        site: the part of the layer; ``residual`` is the residual stream behind it.
    """

    letters: ClassVar[str] = "direction"
    noun: ClassVar[str] = "direction"
    path: str
    layer: int
    site: str = "residual"

    def __post_init__(self) -> None:
        Site(self.layer, self.site)  # which refuses a part that does not exist

    @property
    def digest(self) -> str:
        """A hash of the file's content and the site."""
        return hashlib.sha256(f"{self._site} {hashlib.sha256(self._content).hexdigest()}".encode()).hexdigest()

    def units(self, model: PartialModel) -> UnitLayout:
        """Return the directions, all at the place of their layer.

        Raises:
            NeuroglossError: the file cannot be read, or holds no vectors of the site.
        """
        self._site.check(model)
        width = sites.width(model, self._site)
        for name, vector in self._vectors.items():
            if vector.shape != (width,):
                raise NeuroglossError(
                    f"{self.path} holds {name} of shape {list(vector.shape)}, and the {self._site} of {model.name} has "
                    f"vectors of {width}; choose another site, or another file."
                )
            if not vector.isfinite().all() or not vector.any():
                raise NeuroglossError(f"{self.path} holds {name}, which is no direction: all 0, or not finite.")
        widths = tuple(len(self._vectors) if layer == self.layer else 0 for layer in range(model.depth))
        return UnitLayout(self.letters, self.noun, widths, tuple(self._vectors))

    def layers(self, model: PartialModel, place: int) -> range:  # noqa: ARG002  # all have one place
        """Return the layer of the site."""
        return range(self.layer, self.layer + 1)

    @contextmanager
    def read(
        self,
        model: PartialModel,
        place: int,  # noqa: ARG002
        indices: Sequence[int],
        shape: torch.Size,
        see: Callable[[torch.Tensor], object],
    ) -> Iterator[None]:
        """Within the context, call ``see`` with dot products, float32 [batch, tokens, indices]."""
        vectors = self._matrix(model)[list(indices)]
        with sites.reading(model, self._site, shape, lambda states: see(states.float() @ vectors.T)):
            yield

    @contextmanager
    def replace(
        self,
        model: PartialModel,
        place: int,  # noqa: ARG002
        indices: torch.Tensor,
        values: torch.Tensor,
        leading: torch.Tensor,
    ) -> Iterator[None]:
        """Within the context, move the site along one direction in each sequence, until its dot product is ``values``.

        Args:
            model: which runs.
            place: that of the directions.
            indices: the direction of each sequence [batch].
            values: the dot products [batch, tokens].
            leading: number of first positions that keep the real dot product [batch].
        """
        vectors, steps = self._matrix(model)[indices], self._steps(model, indices)

        def change(states: torch.Tensor) -> torch.Tensor:
            real = torch.einsum("bth,bh->bt", states.float(), vectors)
            return states + (replaced(real, values, leading) - real)[..., None] * steps[:, None]

        with sites.changing(model, self._site, values.shape, change):
            yield

    def direction(self, model: PartialModel, place: int, indices: Sequence[int]) -> torch.Tensor:  # noqa: ARG002
        """Return what each direction at activation 1 adds to the residual stream [indices, hidden]."""
        return sites.written(model, self._site, self._steps(model, torch.tensor(list(indices), device=model.device)))

    @property
    def _site(self) -> Site:
        return Site(self.layer, self.site)

    @cached_property
    def _content(self) -> bytes:
        try:
            return Path(self.path).expanduser().read_bytes()
        except OSError as error:
            raise NeuroglossError(f"the directions at {self.path} cannot be read: {error.strerror}.") from error

    @cached_property
    def _vectors(self) -> dict[str, torch.Tensor]:
        """Name -> direction, float32 [width], by name."""
        try:
            tensors = load(self._content)
        except SafetensorError as error:
            raise NeuroglossError(f"{self.path} is no safetensors file of directions: {error}.") from error
        return {name: tensors[name].float() for name in sorted(tensors)}

    def _matrix(self, model: PartialModel) -> torch.Tensor:
        return torch.stack(list(self._vectors.values())).to(model.device)

    def _steps(self, model: PartialModel, indices: torch.Tensor) -> torch.Tensor:
        """Return the shortest vectors whose dot product with their direction is 1 [indices, width]."""
        vectors = self._matrix(model)[indices]
        return vectors / vectors.square().sum(dim=-1, keepdim=True)
