"""A dictionary of latents: a sparse autoencoder or a transcoder, whatever family its checkpoint is of.

With the input x at one site, scaled as the dictionary was trained on it, the latents are ``z = act(x E^T + b)``. What
it writes at another site, or the same one, is ``z D + b_D``, scaled back, and ``x S^T`` where it has a skip connection.
Biases that are taken from the input, and fixed factors, are folded into E, b and D by whoever reads a checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import torch

from harness.types import NeuroglossError


class Scaling(StrEnum):
    """What is done to each input vector of width d, and undone in the output, as SAELens names it."""

    NONE = "none"
    CONSTANT_NORM = "constant_norm_rescale"
    """x sqrt(d) / |x|."""
    LAYER_NORM = "layer_norm"
    """(x - mean) / (standard deviation + 1e-5)."""


@dataclass(frozen=True, eq=False)
class Gate:
    """A second look at each latent, which decides whether it is active: x E^T + ``bias`` above 0.

    Attributes:
        bias: of the decision [latents].
        gain: the factor of x E^T in the activation itself [latents].
    """

    bias: torch.Tensor
    gain: torch.Tensor


@dataclass(frozen=True, eq=False)
class Dictionary:
    """The weights of a dictionary, float32, and how it is used.

    Attributes:
        encoder: E [latents, width].
        bias: b [latents].
        decoder: D, what each latent writes [latents, written width].
        decoder_bias: b_D [written width].
        threshold: a latent at or below its threshold is 0 [latents]; None for no threshold.
        k: only so many latents of a token, the largest, are not 0; None for all.
        gate: of a gated dictionary; None for others.
        skip: S [written width, width]; None for no skip connection.
        scaling: of the input.
        rectified: whether a latent below 0 is 0.
        later: what each latent writes in each layer above that of the decoder, at the same part of it, in order
            [latents, written width]; none, but for a cross-layer transcoder.
        alone: whether it gives all that stands where it writes; a layer of a cross-layer transcoder gives a part.
    """

    encoder: torch.Tensor
    bias: torch.Tensor
    decoder: torch.Tensor
    decoder_bias: torch.Tensor
    threshold: torch.Tensor | None = None
    k: int | None = None
    gate: Gate | None = None
    skip: torch.Tensor | None = None
    scaling: Scaling = Scaling.NONE
    rectified: bool = True
    later: tuple[torch.Tensor, ...] = ()
    alone: bool = True

    def __post_init__(self) -> None:
        latents, width = self.encoder.shape
        written = self.decoder.shape[-1]
        by_latent = [self.bias, self.threshold, *(() if self.gate is None else (self.gate.bias, self.gate.gain))]
        shapes: list[tuple[torch.Tensor | None, tuple[int, ...]]] = [(tensor, (latents,)) for tensor in by_latent]
        shapes += [(decoder, (latents, written)) for decoder in self.decoders]
        shapes += [(self.decoder_bias, (written,)), (self.skip, (written, width))]
        for tensor, shape in shapes:
            if tensor is not None and tensor.shape != shape:
                raise NeuroglossError(
                    f"the dictionary has {latents} latents that read vectors of {width}, and beside these a tensor of "
                    f"shape {list(tensor.shape)} in place of {list(shape)}; its file is of another family, or damaged."
                )

    @property
    def decoders(self) -> tuple[torch.Tensor, ...]:
        """What each latent writes in each layer, from that of the decoder up [layers][latents, written width]."""
        return (self.decoder, *self.later)

    def to(self, device: torch.device) -> Dictionary:
        """Return the same dictionary on a device."""
        gate = None if self.gate is None else Gate(self.gate.bias.to(device), self.gate.gain.to(device))
        tensors: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, torch.Tensor)
        }
        return replace(self, **tensors, gate=gate, later=tuple(decoder.to(device) for decoder in self.later))

    def scaled(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return input vectors [..., width] as the dictionary wants them, and the scale of each one [..., 1]."""
        if self.scaling is Scaling.CONSTANT_NORM:
            scale = states.norm(dim=-1, keepdim=True) / states.shape[-1] ** 0.5
            return states / scale.clamp(min=1e-12), scale
        if self.scaling is Scaling.LAYER_NORM:
            scale = states.std(dim=-1, keepdim=True) + 1e-5
            return (states - states.mean(dim=-1, keepdim=True)) / scale, scale
        return states, torch.ones_like(states[..., :1])

    def encode(self, states: torch.Tensor, indices: Sequence[int] | None = None) -> torch.Tensor:
        """Return latents of input vectors [..., width]: those of ``indices``, or all [..., latents].

        Only the latents that are wanted are computed, except where the largest of all count.
        """
        is_whole = indices is None or list(indices) == list(range(len(self.bias)))  # whose weights need no copy
        selection = slice(None) if is_whole else list(indices or ())
        columns = slice(None) if self.k is not None else selection
        inputs, _ = self.scaled(states.float())
        latents = self._active(inputs @ self.encoder[columns].T, columns)
        return latents if self.k is None else self._largest(latents)[..., selection]

    def _active(self, products: torch.Tensor, columns: slice | list[int]) -> torch.Tensor:
        """Return latents from their products with the input [..., latents], whatever other latents are."""
        gain = products if self.gate is None else products * self.gate.gain[columns]
        latents = gain + self.bias[columns]
        if self.rectified:
            latents = latents.clamp(min=0)
        if self.gate is not None:
            latents = latents * (products + self.gate.bias[columns] > 0)
        return latents if self.threshold is None else latents * (latents > self.threshold[columns])

    def _largest(self, latents: torch.Tensor) -> torch.Tensor:
        top = latents.topk(min(self.k or 0, latents.shape[-1]), dim=-1)
        return torch.zeros_like(latents).scatter_(-1, top.indices, top.values)

    def decode(self, latents: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """Return what all latents write [..., written width], for the input vectors [..., width] that they are of."""
        _, scale = self.scaled(states.float())
        written = (latents @ self.decoder + self.decoder_bias) * scale
        if self.scaling is Scaling.LAYER_NORM:
            written = written + states.float().mean(dim=-1, keepdim=True)
        return written if self.skip is None else written + states.float() @ self.skip.T


@dataclass(frozen=True)
class Fit:
    """How well a dictionary fits a model.

    Attributes:
        unexplained: fraction of variance unexplained: sum |y - y'|^2 / sum |y - mean y|^2 over tokens; 1 for the mean.
        active: latents that are not 0 at a token, on average (L0).
    """

    unexplained: float
    active: float


MASSIVE = 10.0
"""A vector so many times as long as the median one is massive (Sun et al. 2024, arXiv 2402.17762)."""


def ordinary(states: torch.Tensor) -> torch.Tensor:
    """Return which vectors [tokens, width] are not massive [tokens].

    Attention rests on a few tokens whose vectors are a hundred times as long as others, and all alike. A handful of
    them is most of the variance of a text.
    """
    lengths = states.float().norm(dim=-1)
    is_ordinary: torch.Tensor = lengths < MASSIVE * lengths.median()
    return is_ordinary


def fit(dictionary: Dictionary, read: torch.Tensor, written: torch.Tensor) -> Fit:
    """Return how well a dictionary gives what stands at the site that it writes at; massive tokens are left out.

    Args:
        dictionary: the one.
        read: vectors at the site that it reads [tokens, width].
        written: vectors at the site that it writes at, the same for an autoencoder [tokens, written width].
    """
    is_ordinary = ordinary(read) & ordinary(written)
    read, written = read[is_ordinary], written[is_ordinary]
    latents = dictionary.encode(read)
    error = (written.float() - dictionary.decode(latents, read)).square().sum()
    variance = (written.float() - written.float().mean(dim=0)).square().sum()
    return Fit(float(error / variance), float((latents != 0).sum(dim=-1).float().mean()))
