"""Sites: vectors of the forward pass that can be read, and changed while the model runs.

A *direction* is read at a site, a dictionary of latents reads at one and writes at one. In the words of
TransformerLens: ``residual`` is ``hook_resid_post``, ``residual_before`` is ``hook_resid_pre``, ``residual_mid`` is
``hook_resid_mid``, ``mlp_input`` is ``mlp.hook_in``, ``mlp_normalised`` is ``ln2.hook_normalized``, ``mlp_output`` is
``hook_mlp_out``, and ``heads`` is ``attn.hook_z`` with its heads side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from harness.subjects.attending import find_attention
from harness.subjects.locate import locate
from harness.subjects.partial import Inputs, PartialModel, hooked
from harness.types import NeuroglossError

Change = Callable[[torch.Tensor], torch.Tensor]
"""A function of vectors [batch, tokens, width] that returns the vectors in their place."""
POST_NORM = "post_feedforward_layernorm"
"""The name of the norm between an MLP and the residual stream, in families that have one (Gemma 2 and 3, OLMo 2)."""
NORMS = ("pre_feedforward_layernorm", "post_attention_layernorm", "ln_2")
"""The names of the norm between the residual stream and an MLP, of which the first that a layer has counts."""


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
    """The input or the output of a module, each coordinate over its ``gain`` ([width], or one for all), if any."""

    module: nn.Module
    is_input: bool
    gain: torch.Tensor | None = None

    def seen(self, states: torch.Tensor) -> torch.Tensor:
        """Return what stands at the site, from what the module is given or gives."""
        return states if self.gain is None else states / self.gain

    def put(self, states: torch.Tensor) -> torch.Tensor:
        """Return what the module is to be given, or to give, where ``states`` stand at the site."""
        return states if self.gain is None else states * self.gain


def _residual(model: PartialModel, layer: int) -> _Port:
    return _Port(model.layers[layer], is_input=False)


def _residual_before(model: PartialModel, layer: int) -> _Port:
    return _Port(model.layers[layer], is_input=True)


def _residual_mid(model: PartialModel, layer: int) -> _Port:
    return _Port(_norm(model, layer), is_input=True)


def _mlp_input(model: PartialModel, layer: int) -> _Port:
    return _Port(model.part(locate).inputs[layer][0], is_input=True)


def _mlp_normalised(model: PartialModel, layer: int) -> _Port:
    """The input of an MLP before the norm's own weight, which is what the norm makes of equal coordinates.

    Raises:
        NeuroglossError: the norm has a bias, or takes the mean away.
    """
    norm: Any = _norm(model, layer)
    with torch.inference_mode():
        gain = norm.forward(torch.full_like(norm.weight, 1000.0))  # past hooks; so large that epsilon is nothing
    if getattr(norm, "bias", None) is not None or not gain.any():
        raise NeuroglossError(f"the norm before the MLP of {model.name} has a bias; choose the site mlp_input.")
    return _Port(_mlp_input(model, layer).module, is_input=True, gain=gain)


def _norm(model: PartialModel, layer: int) -> nn.Module:
    """Return the norm between the residual stream and the MLP of a layer in which attention comes first.

    Raises:
        NeuroglossError: there is none, as where MLP and attention are parallel, or where norms stand behind them.
    """
    block: Any = model.layers[layer]
    is_parallel = getattr(block, "use_parallel_residual", False)
    norm = next((getattr(block, name) for name in NORMS if hasattr(block, name)), None)
    if norm is None or is_parallel or (hasattr(block, POST_NORM) and not hasattr(block, NORMS[0])):
        raise NeuroglossError(
            f"layer {layer} of {model.name} has no norm that is recognised between its attention and its MLP; choose "
            "another site than residual_mid and mlp_normalised."
        )
    module: nn.Module = norm
    return module


def _mlp_output(model: PartialModel, layer: int) -> _Port:
    norm = getattr(model.layers[layer], POST_NORM, None)
    if norm is not None:
        return _Port(norm, is_input=False)
    located = model.part(locate)
    gain = None if located.scales[layer] == 1 else torch.tensor(1 / located.scales[layer], device=model.device)
    return _Port(located.projections[layer], is_input=False, gain=gain)


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
    "residual_mid": _residual_mid,
    "mlp_input": _mlp_input,
    "mlp_normalised": _mlp_normalised,
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
    port = PARTS[site.part](model, site.layer)

    def look(states: torch.Tensor) -> torch.Tensor:
        see(port.seen(states.reshape(*shape, -1)))
        return states

    with _hooked(port, look, first=False):
        yield


@contextmanager
def changing(model: PartialModel, site: Site, shape: torch.Size, change: Change) -> Iterator[None]:
    """Within the context, put what ``change`` makes of the vectors at a site in their place, before they are read."""
    port = PARTS[site.part](model, site.layer)

    def changed(states: torch.Tensor) -> torch.Tensor:
        vectors = change(port.seen(states.reshape(*shape, -1)))
        return port.put(vectors).to(states.dtype).reshape(states.shape)

    with _hooked(port, changed, first=True):
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
