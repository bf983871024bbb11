"""Find the decoder layers of a model, and the MLP down projection of each in the module tree.

A decoder layer's MLP widens the hidden size and narrows it back. So the down projection is the linear outside the
attention whose output has the hidden size and whose input is as wide as the output of another linear of the same MLP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from harness.types import NeuroglossError

ATTENTION = ("attn", "attention")
"""Words in the attribute or class name of an attention block, whose linears never belong to an MLP."""


@dataclass(frozen=True, eq=False)
class Located:
    """The MLP down projections of a model.

    Attributes:
        projections: the down projection of each decoder layer, in order.
        neurons: the width of every down projection's input.
    """

    projections: tuple[nn.Module, ...]
    neurons: int


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """Return the model's own list of decoder layers: some attend, and each has a linear back to the residual stream.

    Raises:
        NeuroglossError: the model has no such list.
    """
    hidden, depth = _sizes_of_model(model)
    for layers in model.modules():
        if (
            isinstance(layers, nn.ModuleList)
            and len(layers) == depth
            and any(map(_attends, layers))  # in some models only every fourth one does
            and all(_writes(layer, hidden) for layer in layers)
        ):
            return layers
    raise NeuroglossError(
        f"{type(model).__name__} has no decoder layers that are recognised: looked for a list of {depth} modules, some "
        f"with attention, each with a linear (nn.Linear or Conv1D) back to the hidden size {hidden}; use a causal "
        "language model of transformers that has attention."
    )


def locate(model: nn.Module) -> Located:
    """Return the MLP down projection of each decoder layer of ``model``.

    Raises:
        NeuroglossError: the model has no list of decoder layers with one recognisable MLP each.
    """
    hidden, depth = _sizes_of_model(model)
    by_layer = [down_projections(layer, hidden) for layer in decoder_layers(model)]
    projections = tuple(projection for candidates in by_layer for projection in candidates)
    widths = {sizes[0] for projection in projections if (sizes := _sizes(projection)) is not None}
    if len(widths) != 1 or any(len(candidates) != 1 for candidates in by_layer):
        raise NeuroglossError(
            f"{type(model).__name__} has no MLP that is recognised: looked, in each of {depth} decoder layers, for one "
            f"linear (nn.Linear or Conv1D) outside the attention that maps the output of another linear beside it back "
            f"to the hidden size {hidden}, all equally wide; use a model with one dense MLP in each layer."
        )
    return Located(projections, widths.pop())


def _sizes_of_model(model: nn.Module) -> tuple[int | None, int | None]:
    """Return the hidden size and the number of decoder layers that a model's config states."""
    config: Any = getattr(model, "config", None)
    text = config.get_text_config() if config is not None else None
    return getattr(text, "hidden_size", None), getattr(text, "num_hidden_layers", None)


def down_projections(layer: nn.Module, hidden: int | None) -> list[nn.Module]:
    """Return the down projection of each MLP in ``layer``: one in a dense decoder layer, several if it has experts.

    If the MLP is as wide as the residual stream, its linears have equal sizes. Then the last one listed is taken,
    because modules list their parts in the order of use.
    """
    projections = []
    for block in _outside_attention(layer):
        linears = {child: sizes for child in block.children() if (sizes := _sizes(child)) is not None}
        down = [child for child in linears if _leads_back(child, linears, hidden)]
        projections.extend(down[-1:])
    return projections


def linears_into(layer: nn.Module, projection: nn.Module) -> list[nn.Module]:
    """Return the linears beside a layer's down projection, which read what its MLP reads: up, or gate and up."""
    block = next(block for block in layer.modules() if any(child is projection for child in block.children()))
    return [child for child in block.children() if child is not projection and _sizes(child) is not None]


def _outside_attention(module: nn.Module) -> list[nn.Module]:
    """Return ``module`` and all modules below it, without attention blocks and what is below these."""
    blocks = [module]
    for name, child in module.named_children():
        if not _is_attention(name, child):
            blocks.extend(_outside_attention(child))
    return blocks


def _attends(layer: nn.Module) -> bool:
    """Return whether a layer has an attention block, which experts do not."""
    return any(_is_attention(name, child) for name, child in layer.named_children())


def _writes(layer: nn.Module, hidden: int | None) -> bool:
    """Return whether a layer has a linear back to the hidden size."""
    return any((sizes := _sizes(module)) is not None and sizes[1] == hidden for module in layer.modules())


def _is_attention(name: str, module: nn.Module) -> bool:
    return any(word in text.lower() for word in ATTENTION for text in (name, type(module).__name__))


def _leads_back(candidate: nn.Module, linears: dict[nn.Module, tuple[int, int]], hidden: int | None) -> bool:
    """Return whether ``candidate`` maps the output of another linear to ``hidden``; a fused gate doubles it."""
    width, out = linears[candidate]
    up_sizes = ((hidden, width), (hidden, 2 * width))
    return out == hidden and any(sizes in up_sizes for linear, sizes in linears.items() if linear is not candidate)


def _sizes(module: nn.Module) -> tuple[int, int] | None:
    """Return (inputs, outputs) of a linear, None for any other module."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):
        return module.nx, module.nf
    return None
