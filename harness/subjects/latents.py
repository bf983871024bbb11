"""Latents of a dictionary: the features of a sparse autoencoder, or of a transcoder, at one layer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

import torch

from harness.subjects import sites
from harness.subjects.checkpoints import read, site_of
from harness.subjects.dictionary import Dictionary, Scaling, fit
from harness.subjects.dictionary_families import Checkpoint
from harness.subjects.partial import PartialModel, replaced
from harness.subjects.sites import Site
from harness.types import NeuroglossError, UnitLayout

See = Callable[[torch.Tensor], object]
EMBEDDED = "embedded:smollm2-layer15"
"""The name of the dictionary that ships: the residual stream of SmolLM2 behind layer 15 (``make dictionary``)."""
DICTIONARIES = Path(__file__).parent / "dictionaries"
"""The folder of what ``embedded:`` names."""
FACTOR = 3.0
"""By how much the number of active latents may differ from the published one, as a factor."""


@dataclass(frozen=True)
class Latents:
    """The latents of a dictionary, written L12S345.

    Attributes:
        path: the folder or file of the dictionary, or ``embedded:`` and the name of one that ships.
        layer: the layer that it reads, where its files do not say it.
        site: the part of the layer that it reads, likewise.
        writes: the part that it writes at, likewise; None for the one that it reads.
        sha256: the digest that it must have; None for any. An error names the digest that it has.
        active: the published number of active latents at a token (L0), where its files do not say it.
    """

    letters: ClassVar[str] = "S"
    noun: ClassVar[str] = "latent"
    path: str = EMBEDDED
    layer: int | None = None
    site: str | None = None
    writes: str | None = None
    sha256: str | None = None
    active: float | None = None

    @property
    def digest(self) -> str:
        """A hash of the files of the dictionary and of its sites."""
        text = f"{self._checkpoint.digest} {self._reads} {self._writes}"
        return hashlib.sha256(text.encode()).hexdigest()

    def units(self, model: PartialModel) -> UnitLayout:
        """Return the latents, all at the layer that the dictionary reads.

        Raises:
            NeuroglossError: the dictionary cannot be read, or its vectors are not as long as those of its sites.
        """
        dictionary = self._checkpoint.dictionary
        highest = self._written_at(len(dictionary.later))
        for site, width in ((self._reads, dictionary.encoder.shape[1]), (highest, dictionary.decoder.shape[1])):
            site.check(model)
            if sites.width(model, site) != width:
                raise NeuroglossError(
                    f"the dictionary {self.path} has vectors of {width} for the {site}, which has "
                    f"{sites.width(model, site)} in {model.name}; it belongs to another model, or to another site."
                )
        latents = len(dictionary.encoder)
        widths = tuple(latents if layer == self._reads.layer else 0 for layer in range(model.depth))
        return UnitLayout(self.letters, self.noun, widths)

    def layers(self, model: PartialModel, place: int) -> range:  # noqa: ARG002  # a dictionary has one place
        """Return the layers from the one that is read to the highest that is written at."""
        return range(self._reads.layer, self._writes.layer + 1 + len(self._checkpoint.dictionary.later))

    @contextmanager
    def read(
        self,
        model: PartialModel,
        place: int,  # noqa: ARG002
        indices: Sequence[int],
        shape: torch.Size,
        see: See,
    ) -> Iterator[None]:
        """Within the context, call ``see`` with latents, float32 [batch, tokens, indices]; no others are computed.

        All are if the dictionary keeps the largest of them.
        """
        dictionary = self._on(model)
        with sites.reading(model, self._reads, shape, lambda states: see(dictionary.encode(states, indices))):
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
        """Within the context, add (new - real activation) x what the latent writes, in each sequence of the batch.

        What the dictionary does not explain stays, and so does what its other latents write. The latent is not
        ``values`` where it is read in the same context: there it is encoded anew.

        Args:
            model: which runs.
            place: that of the latents.
            indices: the latent of each sequence [batch].
            values: its activations [batch, tokens].
            leading: number of first positions that keep the real activation [batch].
        """
        dictionary = self._on(model)
        changes: list[torch.Tensor] = []
        rows = torch.arange(len(indices), device=indices.device)

        def keep(states: torch.Tensor) -> torch.Tensor:
            real = dictionary.encode(states, indices.tolist())[rows, :, rows]
            _, scale = dictionary.scaled(states.float())
            changes[:] = [(replaced(real, values, leading) - real)[..., None] * scale]
            return states

        def shift(decoder: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
            return states + changes[0] * decoder[indices][:, None]

        with ExitStack() as hooks:
            for above, decoder in enumerate(dictionary.decoders):
                write = sites.changing(model, self._written_at(above), values.shape, partial(shift, decoder))
                hooks.enter_context(write)
            hooks.enter_context(sites.changing(model, self._reads, values.shape, keep))  # before all of these
            yield

    def direction(self, model: PartialModel, place: int, indices: Sequence[int]) -> torch.Tensor | None:  # noqa: ARG002
        """Return what each latent at activation 1 adds to the residual stream in all its layers [indices, hidden].

        None if the dictionary scales its input token by token.
        """
        dictionary = self._on(model)
        if dictionary.scaling is not Scaling.NONE:
            return None
        vectors = [decoder[list(indices)] for decoder in dictionary.decoders]
        written = [sites.written(model, self._written_at(above), rows) for above, rows in enumerate(vectors)]
        return torch.stack(written).sum(dim=0)

    # -------------------------------------------------------------------------------------------------- whether it fits

    @torch.inference_mode()
    def check(self, model: PartialModel, ids: torch.Tensor) -> None:
        """Refuse a dictionary that does not give what the model has at its sites; the first position is left out.

        Args:
            model: the one that the dictionary is said to be of.
            ids: text of the corpus, as token ids [batch, tokens]; some 4,000 tokens will do.

        Raises:
            NeuroglossError: it explains less than the mean, or far more or fewer of its latents are active than was
                published.
        """
        vectors: dict[Site, torch.Tensor] = {}

        def keep(site: Site, states: torch.Tensor) -> None:
            vectors[site] = states[:, 1:].flatten(0, 1).clone()

        with ExitStack() as hooks:
            for site in {self._reads, self._writes}:
                hooks.enter_context(sites.reading(model, site, ids.shape, partial(keep, site)))
            model.run(ids, stop=self._writes.layer + 1)
        dictionary, published = self._on(model), self._published
        quality = fit(dictionary, vectors[self._reads], vectors[self._writes])
        facts = [f"{quality.active:.1f} active latents a token"]
        facts += [] if published is None else [f"published {published:g}"]
        is_far = published is not None and not 1 / FACTOR <= quality.active / published <= FACTOR
        if dictionary.alone:  # a part of what stands there explains as much as it may
            facts.insert(0, f"fraction of variance unexplained {quality.unexplained:.2f}")
            is_far |= not quality.unexplained <= 1
        if is_far:
            raise NeuroglossError(
                f"the dictionary {self.path} does not fit {model.name} at the {self._reads}: {', '.join(facts)}; wrong "
                "hook or normalisation? Correct unit.layer, unit.site and unit.writes, or take the subject that it was "
                "made for."
            )

    @property
    def _published(self) -> float | None:
        if self.active is not None:
            return self.active
        k = self._checkpoint.dictionary.k
        return self._checkpoint.active if k is None else float(k)

    # ------------------------------------------------------------------------------------------------------- the files

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        checkpoint = read(_place(self.path))
        if self.sha256 not in (None, checkpoint.digest):
            raise NeuroglossError(f"the dictionary {self.path} has the digest {checkpoint.digest}, not {self.sha256}.")
        return checkpoint

    @cached_property
    def _reads(self) -> Site:
        if self.layer is not None and self.site is not None:
            return Site(self.layer, self.site)
        trained = site_of(self._checkpoint.reads)
        return Site(trained.layer if self.layer is None else self.layer, self.site or trained.part)

    @cached_property
    def _writes(self) -> Site:
        if self.writes is not None:
            return Site(self._reads.layer, self.writes)
        if self.site is not None or not self._checkpoint.writes:
            return self._reads
        return Site(self._reads.layer, site_of(self._checkpoint.writes).part)

    def _written_at(self, above: int) -> Site:
        """Return where the decoder writes that is so many layers above the first."""
        return Site(self._writes.layer + above, self._writes.part)

    def _on(self, model: PartialModel) -> Dictionary:
        if model.device not in self._by_device:
            self._by_device[model.device] = self._checkpoint.dictionary.to(model.device)
        return self._by_device[model.device]

    @cached_property
    def _by_device(self) -> dict[torch.device, Dictionary]:
        return {}


def _place(path: str) -> Path:
    """Return the folder or file of a dictionary by its path, or by the name under which it ships."""
    prefix, _, name = path.partition(":")
    if prefix != "embedded":
        return Path(path).expanduser()
    shipped = sorted(folder.name for folder in DICTIONARIES.iterdir() if folder.is_dir())
    if name not in shipped:
        raise NeuroglossError(f"there is no dictionary {path!r}; there are: {', '.join(shipped)}, after embedded:.")
    return DICTIONARIES / name
