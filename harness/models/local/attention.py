"""Attention over a token tree, which replaces the attention of a transformers model: a token attends to its ancestors.

It is registered with transformers under its own name. It receives the plan of the pass as a keyword argument, which
every model with transformers' attention interface passes through. It computes group by group with plain matrix
products, for three reasons: for short runs of queries on a CPU this is about twice as fast as the fused kernel; keys
that several query heads share are not copied; and in bfloat16 a row's result is the same bits whatever other rows are
computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from transformers import AttentionInterface

from harness.models.local.tree import WIDTH, Group, Pack

NAME = "neurogloss_tree"
KEYWORD = "token_tree"
BLOCK = 1024  # number of keys over which values are summed at a time

KeysAndValues = tuple[torch.Tensor, torch.Tensor]
Sink = Callable[[int, torch.Tensor, torch.Tensor], None]
"""A receiver of a layer's number, keys and values, each [key heads, places, size]."""


class Pass(Protocol):
    """The computation of the attention layers in one pass through the model."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """Return mixed values [batch, tokens, heads, size] of new tokens.

        The query is [batch, heads, tokens, size], key and value are [batch, key heads, tokens, size].
        """
        ...


class Unsupported(Exception):  # noqa: N818  # no error of the user: the model then runs with its own attention
    """An attention feature that a model uses and :func:`attention` lacks."""


def attention(  # noqa: PLR0913, PLR0917  # the signature is transformers'
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001
    scaling: float | None = None,
    **keywords: Any,
) -> tuple[torch.Tensor, None]:
    """Compute one attention layer; transformers calls this.

    Raises:
        Unsupported: the model uses an attention feature that is not implemented here.
    """
    for unknown in ("softcap", "s_aux", "position_bias"):
        if keywords.get(unknown) is not None:
            raise Unsupported(unknown)
    one_pass: Pass = keywords[KEYWORD]
    layer = module.layer_idx
    if not isinstance(layer, int):
        raise Unsupported("layer_idx")
    return one_pass.attend(layer, query, key, value, query.shape[-1] ** -0.5 if scaling is None else scaling), None


AttentionInterface.register(NAME, attention)


class TreePass:
    """The pass of one pack of a token tree.

    Args:
        pack: the nodes.
        path: layer -> keys and values of the pack's path, each [key heads, path, size]; empty if the path is.
        sinks: places in (path, then pack) whose keys and values are handed on, each with its receiver.
        device: the model's device.
        dtype: the model's precision.
    """

    def __init__(
        self,
        pack: Pack,
        path: Mapping[int, KeysAndValues],
        sinks: Sequence[tuple[torch.Tensor, Sink]],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._path = path
        self._sinks = sinks
        self._groups = [_Group.of(group, device, dtype) for group in pack.groups]

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """See :class:`Pass`; the batch is one row, the pack."""
        keys, values = key[0], value[0]
        if self._path:
            path_keys, path_values = self._path[layer]
            keys, values = torch.cat([path_keys, keys], dim=1), torch.cat([path_values, values], dim=1)
        for places, sink in self._sinks:
            sink(layer, keys.index_select(1, places), values.index_select(1, places))
        scaled = query[0] * scaling
        mixed = scaled.new_empty(scaled.shape[1], scaled.shape[0], values.shape[-1])
        for group in self._groups:
            mixed.index_copy_(0, group.nodes, group.mix(scaled, keys, values))
        return mixed[None]


@dataclass(frozen=True, eq=False)
class _Group:
    """A :class:`harness.models.local.tree.Group` on the device.

    Attributes:
        nodes: the group's ``nodes``, flat [pieces * length].
        keys: the group's ``keys``, flat [pieces * width].
        pieces: number of pieces.
        free: number of first keys that every node attends to.
        bias: -inf if a node does not attend to a key, else 0 [pieces, 1, length, width - free].
    """

    nodes: torch.Tensor
    keys: torch.Tensor
    pieces: int
    free: int
    bias: torch.Tensor

    @classmethod
    def of(cls, group: Group, device: torch.device, dtype: torch.dtype) -> _Group:
        pieces, width = group.keys.shape
        free = int(group.depth.min()) + 1
        hidden = torch.from_numpy(np.arange(free, width) > group.depth[:, None, :, None]).to(device)
        bias = torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill_(hidden, -torch.inf)
        nodes, keys = (torch.from_numpy(indices.ravel()).to(device) for indices in (group.nodes, group.keys))
        return cls(nodes, keys, pieces, free, bias)

    def mix(self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return mixed values of the nodes [nodes, heads, size]; query heads that share keys are rows of one product.

        Args:
            query: scaled queries of all nodes of the pack [heads, nodes, size].
            keys: keys of (path, then pack) [key heads, places, size].
            values: values of (path, then pack) [key heads, places, size].
        """
        heads, _, size = query.shape
        key_heads, shared = len(keys), heads // len(keys)
        shape = (key_heads, self.pieces, shared, len(self.nodes) // self.pieces)
        rows = query.index_select(1, self.nodes).view(key_heads, shared, self.pieces, -1, size).transpose(1, 2)
        group_keys = keys.index_select(1, self.keys).view(key_heads * self.pieces, -1, size)
        scores = torch.bmm(rows.reshape(key_heads * self.pieces, -1, size), group_keys.transpose(1, 2))
        scores.view(*shape, scores.shape[2])[..., self.free :] += self.bias
        group_values = values.index_select(1, self.keys).view(key_heads * self.pieces, -1, values.shape[-1])
        mixed = weighted(torch.softmax(scores, dim=-1), group_values).view(*shape, values.shape[-1])
        return mixed.permute(1, 3, 0, 2, 4).reshape(len(self.nodes), heads, -1)


class KeyValueCache:
    """Keys and values of sequences that are continued together, one row for each.

    Attributes:
        lengths: number of tokens of each row that have keys [rows].
        layers: layer -> keys and values [rows, key heads, width, size], zero past a row's length.
    """

    def __init__(self, lengths: Sequence[int], room: int, device: torch.device) -> None:
        self.lengths = torch.tensor(lengths, device=device)
        self.layers: dict[int, KeysAndValues] = {}
        self._width = -(-(max(lengths) + room) // WIDTH) * WIDTH

    def row(self, row: int) -> Sink:
        """Return a sink that writes the first keys and values of a row."""

        def write(layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
            if layer not in self.layers:
                self.layers[layer] = (self._empty(keys), self._empty(values))
            self.layers[layer][0][row, :, : keys.shape[1]] = keys
            self.layers[layer][1][row, :, : keys.shape[1]] = values

        return write

    def _empty(self, block: torch.Tensor) -> torch.Tensor:
        heads, _, size = block.shape
        return block.new_zeros(len(self.lengths), heads, self._width, size)

    def select(self, rows: torch.Tensor) -> None:
        """Keep only these rows, in this order."""
        self.lengths = self.lengths[rows]
        self.layers = {layer: (keys[rows], values[rows]) for layer, (keys, values) in self.layers.items()}


class DecodePass:
    """The pass of one more token for each row of ``cache``, which it extends."""

    def __init__(self, cache: KeyValueCache) -> None:
        self._cache = cache
        self._rows = torch.arange(len(cache.lengths), device=cache.lengths.device)
        self._width = -(-(int(cache.lengths.max()) + 1) // WIDTH) * WIDTH
        self._masked = torch.arange(self._width, device=cache.lengths.device) > cache.lengths[:, None]

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """See :class:`Pass`; each row has one new token."""
        keys, values = self._cache.layers[layer]
        keys[self._rows, :, self._cache.lengths] = key[:, :, 0]
        values[self._rows, :, self._cache.lengths] = value[:, :, 0]
        rows, heads, _, size = query.shape
        key_heads = keys.shape[1]
        row_keys = keys[:, :, : self._width].view(rows * key_heads, self._width, -1)
        row_values = values[:, :, : self._width].view(rows * key_heads, self._width, -1)
        queries = (query * scaling).reshape(rows * key_heads, heads // key_heads, size)
        scores = torch.bmm(queries, row_keys.transpose(1, 2))
        scores.view(rows, heads, self._width).masked_fill_(self._masked[:, None], -torch.inf)
        return weighted(torch.softmax(scores, dim=-1), row_values).view(rows, 1, heads, -1)


def weighted(shares: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return ``shares @ values`` [batch, rows, size], summed in blocks of keys so that the order is fixed."""
    if shares.shape[-1] <= BLOCK:
        return torch.bmm(shares, values)
    blocks = range(0, shares.shape[-1], BLOCK)
    sums = [torch.bmm(shares[:, :, at : at + BLOCK], values[:, at : at + BLOCK]).float() for at in blocks]
    return torch.stack(sums).sum(0).to(values.dtype)
