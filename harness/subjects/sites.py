"""Sites: vectors of the forward pass that can be read, and changed while the model runs.

A *direction* is read at a site, a dictionary of latents reads at one and writes at one. In the words of
TransformerLens: ``residual`` is ``hook_resid_post``, ``residual_before`` is ``hook_resid_pre``, ``mlp_input`` is
``mlp.hook_in``, ``mlp_output`` is ``hook_mlp_out``, and ``heads`` is ``attn.hook_z`` with its heads side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from harness.subjects.attending import find_attention
from harness.subjects.locate import linears_into, locate
from harness.subjects.partial import Inputs, PartialModel, hooked
from harness.types import NeuroglossError

Change = Callable[[torch.Tensor], torch.Tensor]
"""A function of vectors [batch, tokens, width] that returns the vectors in their place."""
POST_NORM = "post_feedforward_layernorm"
"""The name of the norm between an MLP and the residual stream, in families that have one (Gemma 2 and 3, OLMo 2)."""


@dataclass(frozen=True)
class Site:
    """A vector at each token: the residual stream behind a layer, or another part of it.

    Attributes:
        layer: the decoder layer, counted from 0.
        part: a name of :data:`PARTS`.
    """

    layer: int
    part: str = "residual"

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise NeuroglossError(f"the site {self.part!r} does not exist; there are: {', '.join(PARTS)}.")

    def __str__(self) -> str:
        return f"{self.part} of layer {self.layer}"

    def check(self, model: PartialModel) -> None:
        """Refuse a layer that the model does not have."""
        if not 0 <= self.layer < model.depth:
            raise NeuroglossError(f"{model.name} has no layer {self.layer}; it has {model.depth}, counted from 0.")


@dataclass(frozen=True, eq=False)
class _Port:
    """The input or the output of a module."""

    module: nn.Module
    is_input: bool


def _residual(model: PartialModel, layer: int) -> _Port:
    return _Port(model.layers[layer], is_input=False)


def _residual_before(model: PartialModel, layer: int) -> _Port:
    return _Port(model.layers[layer], is_input=True)


def _mlp_input(model: PartialModel, layer: int) -> _Port:
    return _Port(linears_into(model.layers[layer], model.part(locate).projections[layer])[0], is_input=True)


def _mlp_output(model: PartialModel, layer: int) -> _Port:
    norm = getattr(model.layers[layer], POST_NORM, None)
    return _Port(model.part(locate).projections[layer] if norm is None else norm, is_input=False)


def _heads(model: PartialModel, layer: int) -> _Port:
    projection = model.part(find_attention).projections[layer]
    if projection is None:
        raise NeuroglossError(
            f"layer {layer} of {model.name} does not attend; choose another layer for the site heads."
        )
    return _Port(projection, is_input=True)


PARTS: dict[str, Callable[[PartialModel, int], _Port]] = {
    "residual": _residual,
    "residual_before": _residual_before,
    "mlp_input": _mlp_input,
    "mlp_output": _mlp_output,
    "heads": _heads,
}
"""The part of a layer -> where it is found in a model."""


@contextmanager
def reading(
    model: PartialModel, site: Site, shape: torch.Size, see: Callable[[torch.Tensor], object]
) -> Iterator[None]:
    """Within the context, call ``see`` with the vectors at a site [batch, tokens, width], the model's own memory.

    ``shape`` is (batch, tokens).
    """

    def look(states: torch.Tensor) -> torch.Tensor:
        see(states.reshape(*shape, -1))
        return states

    with _hooked(PARTS[site.part](model, site.layer), look, first=False):
        yield


@contextmanager
def changing(model: PartialModel, site: Site, shape: torch.Size, change: Change) -> Iterator[None]:
    """Within the context, put what ``change`` makes of the vectors at a site in their place, before they are read."""

    def changed(states: torch.Tensor) -> torch.Tensor:
        return change(states.reshape(*shape, -1)).to(states.dtype).reshape(states.shape)

    with _hooked(PARTS[site.part](model, site.layer), changed, first=True):
        yield


def width(model: PartialModel, site: Site) -> int:
    """Return the length of the vectors at a site."""
    if site.part != "heads":
        return model.part(_hidden_size)
    layer = model.part(find_attention)
    triangles = layer.triangles[site.layer]
    return 0 if triangles is None else layer.heads[site.layer] * triangles.shape[-1]


def written(model: PartialModel, site: Site, vectors: torch.Tensor) -> torch.Tensor:
    """Return what vectors at a site [vectors, width] add to the residual stream [vectors, hidden]."""
    if site.part != "heads":
        return vectors
    projection = _heads(model, site.layer).module
    dtype = next(projection.parameters()).dtype
    *outputs, bias = projection(torch.cat([vectors, torch.zeros_like(vectors[:1])]).to(dtype))
    directions: torch.Tensor = torch.stack(outputs) - bias
    return directions


def _hidden_size(module: Any) -> int:
    return int(module.config.get_text_config().hidden_size)


@contextmanager
def _hooked(port: _Port, change: Change, *, first: bool) -> Iterator[None]:
    def on_input(_: nn.Module, inputs: Inputs, keywords: dict[str, Any]) -> tuple[Inputs, dict[str, Any]]:
        if inputs:
            return (change(inputs[0]), *inputs[1:]), keywords
        return inputs, {**keywords, "hidden_states": change(keywords["hidden_states"])}

    def on_output(_: nn.Module, __: Inputs, output: Any) -> Any:
        return change(output) if isinstance(output, torch.Tensor) else (change(output[0]), *output[1:])

    if port.is_input:
        handle = port.module.register_forward_pre_hook(on_input, with_kwargs=True, prepend=first)
    else:
        handle = port.module.register_forward_hook(on_output, prepend=first)
    with hooked(handle):
        yield
