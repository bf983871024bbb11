"""Find each layer's MLP down projection from the module tree: its input is where neurons are read and replaced.

A decoder layer's MLP widens the hidden size and narrows it back. So the down projection is the linear, outside the
attention, that gives the hidden size and whose input is as wide as the output of another linear of the same MLP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from harness.types import NeuroglossError

ATTENTION = ("attn", "attention")
"""What the attribute or the class of an attention block is called; its linears are never an MLP's."""


@dataclass(frozen=True, eq=False)
class Located:
    """Where a model keeps its decoder layers and their MLPs.

    Attributes:
        layers: the model's own list of decoder layers, in order.
        projections: the down projection of each layer, in the same order.
        neurons: the width of every down projection's input.
    """

    layers: nn.ModuleList
    projections: tuple[nn.Module, ...]
    neurons: int


def locate(model: nn.Module) -> Located:
    """Find the decoder layers of ``model`` and the MLP down projection of each.

    Raises:
        NeuroglossError: there is no list of decoder layers with one recognisable MLP each; the sentence says what was
            looked for.
    """
    config: Any = getattr(model, "config", None)
    text = config.get_text_config() if config is not None else None
    hidden, depth = getattr(text, "hidden_size", None), getattr(text, "num_hidden_layers", None)
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == depth]
    for layers in filter(_all_attend, lists):
        found = [down_projections(layer, hidden) for layer in layers]
        projections = tuple(projection for candidates in found for projection in candidates)
        widths = {sizes[0] for projection in projections if (sizes := _sizes(projection)) is not None}
        if len(widths) == 1 and all(len(candidates) == 1 for candidates in found):
            return Located(layers, projections, widths.pop())
    raise NeuroglossError(
        f"{type(model).__name__} has no MLP that is recognised: looked for a list of {depth} decoder layers, each with "
        f"attention and, outside it, one linear (nn.Linear or Conv1D) that maps the output of another linear beside it "
        f"back to the hidden size {hidden}, all equally wide; use a model with one dense MLP in each layer."
    )


def down_projections(layer: nn.Module, hidden: int | None) -> list[nn.Module]:
    """The down projection of each MLP in ``layer``: one in a dense decoder layer, several where it has experts.

    Where the MLP is no wider than the residual stream, its linears all look alike; the last one listed is the way down,
    as modules list their parts in the order of use.
    """
    found = []
    for block in _outside_attention(layer):
        linears = {child: sizes for child in block.children() if (sizes := _sizes(child)) is not None}
        down = [child for child in linears if _leads_back(child, linears, hidden)]
        found.extend(down[-1:])
    return found


def _outside_attention(module: nn.Module) -> list[nn.Module]:
    """``module`` and all below it, without attention blocks, known by the attribute or the class that names them."""
    blocks = [module]
    for name, child in module.named_children():
        if not _is_attention(name, child):
            blocks.extend(_outside_attention(child))
    return blocks


def _all_attend(layers: nn.ModuleList) -> bool:
    """Whether each of ``layers`` has an attention block, as a decoder layer has and an expert has not."""
    return all(any(_is_attention(*one) for one in layer.named_children()) for layer in layers)


def _is_attention(name: str, module: nn.Module) -> bool:
    return any(word in text.lower() for word in ATTENTION for text in (name, type(module).__name__))


def _leads_back(candidate: nn.Module, linears: dict[nn.Module, tuple[int, int]], hidden: int | None) -> bool:
    """Whether ``candidate`` narrows to ``hidden`` what a linear beside it widened (twice over with the gate)."""
    width, out = linears[candidate]
    widened = ((hidden, width), (hidden, 2 * width))
    return out == hidden and any(sizes in widened for other, sizes in linears.items() if other is not candidate)


def _sizes(module: nn.Module) -> tuple[int, int] | None:
    """(inputs, outputs) of a linear, None for any other module."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):
        return module.nx, module.nf
    return None
