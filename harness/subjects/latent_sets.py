"""A dictionary for each of several layers, as one kind of unit: transcoders come so, and circuits run through them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch

from harness.subjects.latents import Latents
from harness.subjects.partial import PartialModel
from harness.types import NeuroglossError, UnitLayout

LAYER = "{layer}"


@dataclass(frozen=True)
class LatentSet:
    """The latents of a dictionary for each layer that has one, written L12S345.

    Attributes:
        path: the folder or file of each dictionary, with ``{layer}`` where its layer stands, counted from 0.
        site: the part of the layer that each reads, where their files do not say it.
        writes: the part that each writes at, likewise; None for the one that it reads.
        active: the published number of active latents at a token (L0), likewise.
    """

    letters: ClassVar[str] = "S"
    noun: ClassVar[str] = "latent"
    path: str
    site: str | None = None
    writes: str | None = None
    active: float | None = None

    def __post_init__(self) -> None:
        if self.path.count(LAYER) != 1:
            raise NeuroglossError(
                f"unit.path is {self.path}; write {LAYER} once, where the layer stands in the path of each dictionary."
            )

    @property
    def digest(self) -> str:
        """A hash of the digests of the dictionaries."""
        digests = "".join(latents.digest for latents in self._by_layer.values())
        return hashlib.sha256(digests.encode()).hexdigest()

    def units(self, model: PartialModel) -> UnitLayout:
        """Return the latents of each layer.

        Raises:
            NeuroglossError: see :meth:`harness.subjects.latents.Latents.units`; or a layer has none in the model.
        """
        widths = [0] * model.depth
        for layer, latents in self._by_layer.items():
            for place, width in enumerate(latents.units(model).widths):
                if width and place != layer:
                    raise NeuroglossError(
                        f"the dictionary of layer {layer} in {self.path} reads layer {place}; put {LAYER} where its "
                        "layer stands."
                    )
                widths[place] += width
        return UnitLayout(self.letters, self.noun, tuple(widths))

    def layers(self, model: PartialModel, place: int) -> range:
        """Return the layers from the one that is read to the highest that is written at."""
        return self._by_layer[place].layers(model, place)

    def read(
        self,
        model: PartialModel,
        place: int,
        indices: Sequence[int],
        shape: torch.Size,
        see: Callable[[torch.Tensor], object],
    ) -> AbstractContextManager[None]:
        """Within the context, call ``see`` with latents of a layer, float32 [batch, tokens, indices]."""
        return self._by_layer[place].read(model, place, indices, shape, see)

    def replace(
        self, model: PartialModel, place: int, indices: torch.Tensor, values: torch.Tensor, leading: torch.Tensor
    ) -> AbstractContextManager[None]:
        """Within the context, change what a latent writes; see :meth:`harness.subjects.latents.Latents.replace`."""
        return self._by_layer[place].replace(model, place, indices, values, leading)

    def direction(self, model: PartialModel, place: int, indices: Sequence[int]) -> torch.Tensor | None:
        """Return what each latent at activation 1 adds to the residual stream [indices, hidden]; None if it varies."""
        return self._by_layer[place].direction(model, place, indices)

    def check(self, model: PartialModel, ids: torch.Tensor) -> None:
        """Refuse dictionaries that do not fit; see :meth:`harness.subjects.latents.Latents.check`."""
        for latents in self._by_layer.values():
            latents.check(model, ids)

    @cached_property
    def _by_layer(self) -> dict[int, Latents]:
        """The dictionary of each layer, by layer.

        Raises:
            NeuroglossError: there is none.
        """
        before, _, after = str(Path(self.path).expanduser()).partition(LAYER)
        folder, start = Path(before).parent, Path(before).name
        if before.endswith("/"):
            folder, start = Path(before), ""
        pattern = re.compile(rf"{re.escape(start)}(\d+){re.escape(after.partition('/')[0])}")
        layers = sorted(
            int(match[1]) for place in folder.glob("*") if (match := pattern.fullmatch(place.name)) is not None
        )
        if not layers:
            raise NeuroglossError(f"there is no dictionary at {self.path}; correct unit.path.")
        return {
            layer: Latents(f"{before}{layer}{after}", layer if self.site else None, self.site, self.writes,
                           active=self.active)
            for layer in layers
        }  # fmt: skip
