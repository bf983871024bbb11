"""Attention that can be looked into: the weights and the values of a layer, while the model runs.

The attention function is registered with transformers under its own name. It computes what the model's own eager
attention computes, and hands weights and values to those that look into a layer. A model whose attention does not go
through transformers' attention interface cannot be looked into.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask
from transformers.pytorch_utils import Conv1D

from harness.subjects.locate import decoder_layers
from harness.subjects.partial import Inputs, hooked
from harness.types import NeuroglossError

NAME = "neurogloss_heads"

Look = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""A function of weights [batch, heads, queries, keys] and values [batch, key heads, keys, size], which returns the
weights or others in their place."""

_LOOKS: dict[nn.Module, list[Look]] = {}
"""Attention module -> what looks into it now, in order."""


def attention(  # noqa: PLR0913, PLR0917  # the signature is transformers'
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **keywords: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute one attention layer, and show it to those that look into it; transformers calls this.

    Heads whose weights nobody changes keep the bits that the model's own attention gives.

    Returns:
        (mixed values [batch, tokens, heads, size], weights [batch, heads, queries, keys]).
    """
    eager = sys.modules[type(module).__module__].eager_attention_forward
    settings = keywords if scaling is None else {**keywords, "scaling": scaling}
    output, weights = eager(module, query, key, value, attention_mask, **settings)
    new_weights = weights
    for look in _LOOKS.get(module, ()):
        new_weights = look(new_weights, value)
    if new_weights is weights:
        return output, weights
    is_changed = (new_weights != weights).any(dim=-1).transpose(1, 2)[..., None]
    mixed = torch.matmul(new_weights, spread(value, new_weights.shape[1])).transpose(1, 2)
    return torch.where(is_changed, mixed, output).contiguous(), new_weights


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, eager_mask)


def spread(values: torch.Tensor, heads: int) -> torch.Tensor:
    """Return values [batch, key heads, ...] once for each query head that shares them [batch, heads, ...]."""
    return values.repeat_interleave(heads // values.shape[1], dim=1)


@dataclass(frozen=True, eq=False)
class Attending:
    """The attention of a model.

    Attributes:
        modules: the attention module of each decoder layer, in order; None in a layer that does not attend.
        projections: the linear that each one's heads are written through; its input is all their mixed values.
        heads: number of query heads of each layer, 0 in one that does not attend.
        configs: the configs in which the model's attention function is named.
    """

    modules: tuple[nn.Module | None, ...]
    projections: tuple[nn.Module | None, ...]
    heads: tuple[int, ...]
    configs: tuple[Any, ...]

    @cached_property
    def triangles(self) -> tuple[torch.Tensor | None, ...]:
        """R of W_O = Q R for the heads of each layer, float32 [heads, rank, size]: R v is as long as W_O v."""
        return tuple(
            None if projection is None else _triangles(projection, heads)
            for projection, heads in zip(self.projections, self.heads, strict=True)
        )

    @contextmanager
    def looking(self, layer: int, look: Look, *, first: bool = False) -> Iterator[None]:
        """Within the context, show a layer's attention to ``look``, before all others if ``first`` is set."""
        module = self.modules[layer]
        assert module is not None
        with _named(self.configs), _looked_into(module, look, first):
            yield


@torch.inference_mode()
def _triangles(projection: nn.Module, heads: int) -> torch.Tensor:
    parameter: Any = projection.weight
    weight = parameter if isinstance(projection, nn.Linear) else parameter.T
    slices = weight.double().reshape(len(weight), heads, -1).transpose(0, 1)  # [heads, hidden, size]
    triangles: torch.Tensor = torch.linalg.qr(slices).R
    return triangles.float()


@contextmanager
def _looked_into(module: nn.Module, look: Look, first: bool) -> Iterator[None]:
    looks = _LOOKS.setdefault(module, [])
    looks.insert(0 if first else len(looks), look)
    try:
        yield
    finally:
        looks.remove(look)
        if not looks:
            del _LOOKS[module]


@contextmanager
def _named(configs: tuple[Any, ...]) -> Iterator[None]:
    """Within the context, a model's configs name this attention function."""
    names = [config._attn_implementation for config in configs]  # transformers has no public name for it
    try:
        for config in configs:
            config._attn_implementation = NAME
        yield
    finally:
        for config, name in zip(configs, names, strict=True):
            config._attn_implementation = name


# ------------------------------------------------------------------------------------------------ finding it in a model


@torch.inference_mode()
def find_attention(model: Any) -> Attending:
    """Return the attention of a model, tried on three tokens.

    The output projection of a layer is the linear whose input is what its attention function returns.

    Raises:
        NeuroglossError: no layer attends, or its heads do not go straight from attention to a linear.
    """
    layers = decoder_layers(model)
    configs = tuple({id(part.config): part.config for part in model.modules() if hasattr(part, "config")}.values())
    with ExitStack() as context:
        context.enter_context(_named(configs))
        probes = [_Probe.within(layer, context) for layer in layers]
        model.base_model(input_ids=torch.arange(1, 4, device=model.device)[None], use_cache=False)  # 0 may be padding
    if not any(probe.attending for probe in probes):
        raise NeuroglossError(
            f"{type(model).__name__} has no attention heads that can be read: no layer of it attends by way of "
            "transformers' attention interface; use another subject, or unit=neuron."
        )
    return Attending(
        modules=tuple(probe.attending for probe in probes),
        projections=tuple(probe.projection(type(model).__name__) for probe in probes),
        heads=tuple(probe.heads for probe in probes),
        configs=configs,
    )


class _Probe:
    """What one decoder layer does with a few tokens: which module attends, and what enters each linear."""

    def __init__(self) -> None:
        self.attending: nn.Module | None = None
        self.heads = 0
        self.mixed = torch.empty(0)
        self.inputs: dict[nn.Module, torch.Tensor] = {}

    @classmethod
    def within(cls, layer: nn.Module, context: ExitStack) -> _Probe:
        """Return a probe of a layer that works in a context."""
        probe = cls()
        for module in layer.modules():
            context.enter_context(_looked_into(module, probe._look(module), first=True))
            if isinstance(module, nn.Linear | Conv1D):
                context.enter_context(hooked(module.register_forward_pre_hook(probe._keep)))
        return probe

    def _look(self, module: nn.Module) -> Look:
        def look(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            self.attending, self.heads = module, weights.shape[1]
            self.mixed = torch.matmul(weights, spread(values, self.heads)).transpose(1, 2).flatten(2)
            return weights

        return look

    def _keep(self, module: nn.Module, inputs: Inputs) -> None:
        self.inputs[module] = inputs[0].clone()

    def projection(self, name: str) -> nn.Module | None:
        """Return the linear that the mixed values enter; None if the layer does not attend.

        Raises:
            NeuroglossError: there is none.
        """
        if self.attending is None:
            return None
        for module, entered in self.inputs.items():
            if entered.numel() == self.mixed.numel() and torch.allclose(entered.view_as(self.mixed), self.mixed):
                return module
        raise NeuroglossError(
            f"the heads of {name} cannot be read: what they attend to is changed before it enters a linear that writes "
            "it; use another subject, or unit=neuron."
        )
