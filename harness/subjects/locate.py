"""Find the decoder layers of a model, and the MLP down projection of each, by what they do in a pass of the model.

*Decoder layers* are the modules of a list that the pass goes through once each and in order, each receiving what the
one before it returned.

An *MLP* treats each token by itself: its down projection is a linear whose output joins what the layer returns, and
whose input at a token depends, through no further linear, on linears at that token alone. What attention, convolution
and recurrence write depends on other tokens too. So neither names nor families have to be known.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from harness.types import NeuroglossError
from harness.weights.quiet import first_line

PROBE = (1, 2, 3)
"""Token ids of the pass in which modules are observed; 0 may be padding, whose embedding may be 0."""

CANNOT_RUN = (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError)
"""Errors of a model that does not take token ids alone."""

ROUNDING = 0.01
"""Largest difference of a scale from 1 that is rounding, in half precision."""

LOUDNESS = 1000.0
"""Standard deviation of the random inputs that leave no neuron silent."""

Inputs = tuple[torch.Tensor, ...]
Leaves = Mapping[nn.Module, torch.Tensor]
"""Linears that were called once -> their inputs, as leaves of the gradient."""


@dataclass(frozen=True, eq=False)
class Located:
    """The MLPs of a model, by decoder layer.

    Attributes:
        projections: the down projection of each layer.
        inputs: the linears that the input of each comes from, which read what the MLP reads: up, or gate and up.
        widths: the number of neurons of each layer, the width of its down projection's input.
        scales: what the output of each projection is multiplied by where it joins the residual stream, as in Granite; 1
            where something else stands between, such as a norm.
    """

    projections: tuple[nn.Module, ...]
    inputs: tuple[tuple[nn.Module, ...], ...]
    widths: tuple[int, ...]
    scales: tuple[float, ...]


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """Return the model's own list of decoder layers: the longest whose modules are passed through one after another.

    Raises:
        NeuroglossError: the model has no such list, or does not run on token ids.
    """
    steps = _steps(model)
    chains = [layers for layers in _lists(model) if _is_chain(layers, steps)]
    if not chains:
        raise NeuroglossError(
            f"{type(model).__name__} has no decoder layers that are recognised: looked for a list of modules that one "
            "pass goes through once each, each receiving what the one before it returned; use a causal language model "
            "of transformers that is built so."
        )
    layers = max(chains, key=len)  # the outermost of equally long ones, which is listed first
    sizes = next(tuple(step.returned.shape[:-1]) for step in steps if step.module is layers[0])
    if len(PROBE) not in sizes:
        raise NeuroglossError(
            f"{type(model).__name__} adds tokens of its own: its layers hand on {sizes} vectors for {len(PROBE)} "
            "tokens; use another subject."
        )
    return layers


def locate(model: nn.Module) -> Located:
    """Return the MLP of each decoder layer of ``model``.

    Raises:
        NeuroglossError: the model has no list of decoder layers with one recognisable MLP each.
    """
    layers = decoder_layers(model)
    by_layer = _observed(model, layers)
    if any(len(mlps) != 1 for mlps in by_layer):
        counts = sorted({len(mlps) for mlps in by_layer})
        raise NeuroglossError(
            f"{type(model).__name__} has no MLP that is recognised: looked, in each of {len(layers)} decoder layers, "
            "for one linear (nn.Linear or Conv1D) that one pass goes through once, whose output joins what the layer "
            "returns, and whose input comes from other linears token by token, and found "
            f"{' or '.join(map(str, counts))}; use a model with one dense MLP in each layer."
        )
    mlps = [mlp for (mlp,) in by_layer]
    return Located(
        projections=tuple(mlp.projection for mlp in mlps),
        inputs=tuple(mlp.inputs for mlp in mlps),
        widths=tuple(mlp.width for mlp in mlps),
        scales=tuple(mlp.scale for mlp in mlps),
    )


def states(inputs: Inputs, keywords: dict[str, Any]) -> torch.Tensor:
    """Return the hidden states that a layer is given, by place or by name."""
    hidden: torch.Tensor = inputs[0] if inputs else keywords["hidden_states"]
    return hidden


def hidden(output: Any) -> torch.Tensor:
    """Return the hidden states in the output of a decoder layer, a tensor or the first of several values."""
    returned: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return returned


# ----------------------------------------------------------------------------------------------------------- the layers


@dataclass(frozen=True, eq=False)
class _Step:
    """A module that a pass goes through, with the hidden states that it is given and those that it returns."""

    module: nn.Module
    given: torch.Tensor
    returned: torch.Tensor


def _lists(model: nn.Module) -> list[nn.ModuleList]:
    return [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module)]


def _steps(model: nn.Module) -> list[_Step]:
    """Return the modules of all lists that a pass goes through, in order, as far as they hand on hidden states."""
    steps: list[_Step] = []

    def keep(module: nn.Module, inputs: Inputs, keywords: dict[str, Any], output: Any) -> None:
        given = inputs[0] if inputs else keywords.get("hidden_states")
        returned = output[0] if isinstance(output, tuple | list) and output else output
        if isinstance(given, torch.Tensor) and isinstance(returned, torch.Tensor):
            steps.append(_Step(module, given.clone(), returned.clone()))  # later modules may change them in place

    members = {member for layers in _lists(model) for member in layers}
    with _alone(model), torch.inference_mode():
        for member in members:
            member.register_forward_hook(keep, with_kwargs=True)
        _run(model)
    return steps


def _is_chain(layers: nn.ModuleList, steps: Sequence[_Step]) -> bool:
    """Return whether a pass went through the modules once each, in order, each given what the one before returned."""
    members = set(layers)
    own = [step for step in steps if step.module in members]
    return [step.module for step in own] == list(layers) and all(
        step.returned.shape == following.given.shape
        and torch.allclose(step.returned, following.given, rtol=0, atol=0, equal_nan=True)
        for step, following in pairwise(own)
    )


def _run(model: Any) -> None:
    """Pass a few tokens through a model without its output head.

    Raises:
        NeuroglossError: the model does not take token ids alone.
    """
    try:
        model.base_model(input_ids=torch.tensor([PROBE], device=model.device), use_cache=False)
    except CANNOT_RUN as error:
        raise NeuroglossError(
            f"{type(model).__name__} cannot be run on the ids of a few tokens ({first_line(error)}); use "
            "a causal language model of transformers that takes nothing else."
        ) from error


# ------------------------------------------------------------------------------------------------------------- the MLPs


@dataclass(frozen=True, eq=False)
class _Mlp:
    """The down projection of an MLP, the linears that feed it, the width of its input, and the scale of its output."""

    projection: nn.Module
    inputs: tuple[nn.Module, ...]
    width: int
    scale: float


class _Observed:
    """What the linears of one decoder layer do in a pass.

    The input of each linear is cut from what it was computed from. So a gradient ends at the linears next to it.

    Args:
        layer: the decoder layer.
        loudness: standard deviation of random numbers that enter each linear in place of its input; 0 for the input. A
            few tokens may leave all neurons of a layer silent, and then no gradient goes through them.
    """

    def __init__(self, layer: nn.Module, loudness: float) -> None:
        self.loudness = loudness
        self.linears = _linears(layer)
        self.calls: dict[nn.Module, list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]] = defaultdict(list)
        """Linear -> (its input as computed, that input as a leaf, its output) of each call."""
        self.returned = torch.empty(0)

    def watch(self, layer: nn.Module) -> None:
        """Register hooks on the layer and its linears."""
        for linear in self.linears:
            linear.register_forward_pre_hook(self._cut)
            linear.register_forward_hook(self._keep)
        layer.register_forward_hook(self._end)

    def _cut(self, module: nn.Module, inputs: Inputs) -> Inputs:
        leaf: torch.Tensor = inputs[0].detach()
        if self.loudness:
            noise = torch.randn(leaf.shape, generator=torch.Generator().manual_seed(len(self.calls)))
            leaf = (self.loudness * noise).to(leaf)
        leaf.requires_grad_()
        self.calls[module].append((inputs[0], leaf, leaf))
        return (leaf.clone(), *inputs[1:])

    def _keep(self, module: nn.Module, _: Inputs, output: Any) -> None:
        computed, leaf = self.calls[module][-1][:2]
        self.calls[module][-1] = (computed, leaf, hidden(output))  # routers are linears that return several values

    def _end(self, _: nn.Module, __: Inputs, output: Any) -> None:
        self.returned = hidden(output)

    @property
    def leaves(self) -> dict[nn.Module, torch.Tensor]:
        """The inputs of linears that were called once, as leaves of the gradient."""
        return {linear: calls[0][1] for linear, calls in self.calls.items() if len(calls) == 1}

    def mlps(self, leaves: Leaves, loud: _Observed, loud_leaves: Leaves) -> list[_Mlp]:
        """Return the MLPs of the layer; one that is narrower than the residual stream counts only if no other does.

        Such bottlenecks stand beside the MLP in some families, as adapters or inputs of each layer.

        Args:
            leaves: those of all layers, for some attend to keys and values of another.
            loud: the same layer in a pass in which no neuron is silent for want of input.
            loud_leaves: of that pass.
        """
        mlps = [
            _Mlp(linear, inputs, self._width(linear), self._scale(linear))
            for linear in self.linears
            if self._joins(linear)
            and self._inputs(linear, leaves) is not None
            and (inputs := loud._inputs(linear, loud_leaves))
        ]
        wide = [mlp for mlp in mlps if mlp.width >= self.returned.shape[-1]]
        return wide or mlps

    def _width(self, linear: nn.Module) -> int:
        return int(self.calls[linear][0][0].shape[-1])

    def _scale(self, linear: nn.Module) -> float:
        gradient = _rows(_gradients(self.returned, [self.calls[linear][0][2]])[0])[-1].double()
        direction = _direction(self.returned).double()
        scale = float(gradient @ direction / direction.square().sum())
        is_all = bool((gradient - scale * direction).norm() < ROUNDING * gradient.norm())
        return scale if is_all and abs(scale - 1) > ROUNDING else 1.0

    def _joins(self, linear: nn.Module) -> bool:
        """Return whether a linear, called once, writes what the layer returns, and no further linear reads it."""
        if len(self.calls[linear]) != 1:
            return False
        output = self.calls[linear][0][2]
        is_as_wide = output.shape[-1] == self.returned.shape[-1]
        is_one_a_token = not len(_rows(self.returned)) % len(_rows(output))  # several residual streams, or one
        return is_as_wide and is_one_a_token and bool(_gradients(self.returned, [output])[0].any())

    def _inputs(self, linear: nn.Module, leaves: Leaves) -> tuple[nn.Module, ...] | None:
        """Return the linears that the input of ``linear`` comes from; None if it depends on other tokens."""
        gradients = _gradients(self.calls[linear][0][0], list(leaves.values()))
        if any(_rows(gradient)[:-1].nan_to_num().any() for gradient in gradients):  # 0 times NaN is NaN
            return None
        return tuple(other for other, gradient in zip(leaves, gradients, strict=True) if gradient.any())


def _observed(model: nn.Module, layers: nn.ModuleList) -> list[list[_Mlp]]:
    """Return the MLPs of each layer, as one pass shows them."""
    with torch.inference_mode(False), torch.enable_grad():
        _leave_inference_mode(model)
        real, loud = (_pass(model, layers, loudness) for loudness in (0.0, LOUDNESS))
        for index, probe in enumerate(real):
            if not torch.isfinite(probe.returned).all():
                raise NeuroglossError(
                    f"layer {index} of {type(model).__name__} returns numbers that are not finite; load it in float32, "
                    "or check its weights."
                )
        leaves, loud_leaves = _leaves(real), _leaves(loud)
        return [probe.mlps(leaves, other, loud_leaves) for probe, other in zip(real, loud, strict=True)]


def _pass(model: nn.Module, layers: nn.ModuleList, loudness: float) -> list[_Observed]:
    """Return what the linears of each layer do in one pass."""
    observed = [_Observed(layer, loudness) for layer in layers]
    with _alone(model):
        for layer, probe in zip(layers, observed, strict=True):
            probe.watch(layer)
        _run(model)
    return observed


def _leaves(observed: Sequence[_Observed]) -> Leaves:
    return {linear: leaf for probe in observed for linear, leaf in probe.leaves.items()}


def _leave_inference_mode(model: nn.Module) -> None:
    """Copy tensors that were made in inference mode, such as buffers of GPT-J: gradients cannot go through these."""
    copies: dict[torch.Tensor, torch.Tensor] = {}
    for module in model.modules():
        tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for tensors in tables:
            for name, tensor in tensors.items():
                if tensor is not None and tensor.is_inference():
                    copy = copies.setdefault(tensor, tensor.clone())  # tied weights stay tied
                    is_weight = isinstance(tensor, nn.Parameter)
                    tensors[name] = nn.Parameter(copy, requires_grad=False) if is_weight else copy


def _gradients(values: torch.Tensor, leaves: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the gradient of the last token of ``values`` [..., width], in a random direction, for each leaf."""
    if not values.requires_grad or not leaves:
        return [torch.zeros_like(leaf) for leaf in leaves]
    last = _rows(values)[-1]
    gradients = torch.autograd.grad(
        (last * _direction(values)).sum(), leaves, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return list(gradients)


def _direction(values: torch.Tensor) -> torch.Tensor:
    """Return a random vector as long as the last dimension of ``values``, always the same."""
    return torch.randn(values.shape[-1], generator=torch.Generator().manual_seed(0)).to(values)


def _rows(values: torch.Tensor) -> torch.Tensor:
    """Return values [..., width] as one row for each token of the one text [tokens, width]."""
    return values.reshape(-1, values.shape[-1])


def _linears(layer: nn.Module) -> list[nn.Module]:
    """Return the linears of a layer, but for those in a list of modules, which are experts."""
    linears: list[nn.Module] = []
    for child in layer.children():
        if isinstance(child, nn.Linear | Conv1D):
            linears.append(child)
        elif not isinstance(child, nn.ModuleList):
            linears.extend(_linears(child))
    return linears


@contextmanager
def _alone(model: nn.Module) -> Iterator[None]:
    """Within the context, hooks that are there stand aside, for they wait for other text; new ones end with it."""
    modules = list(model.modules())
    before = [(module._forward_pre_hooks, module._forward_hooks) for module in modules]
    for module in modules:
        module._forward_pre_hooks, module._forward_hooks = OrderedDict(), OrderedDict()
    try:
        yield
    finally:
        for module, hooks in zip(modules, before, strict=True):
            module._forward_pre_hooks, module._forward_hooks = hooks
