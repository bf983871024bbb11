"""Attention over a token tree, in place of a transformers model's own: each token attends to its ancestors only.

It is registered with transformers under a name of its own and receives the plan of the pass as a keyword argument,
which every model that uses transformers' attention interface hands through. It works group by group with plain matrix
products: for short stretches of queries on a CPU that is about twice as fast as the fused kernel, keys that several
query heads share are not copied, and in bfloat16 each row's result is the same bits whatever is computed beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from transformers import AttentionInterface

from harness.models.tree import WIDTH, Group, Pack

NAME = "neurogloss_tree"
KEYWORD = "token_tree"
BLOCK = 1024  # values are summed over this many keys at a time

KeysAndValues = tuple[torch.Tensor, torch.Tensor]
Sink = Callable[[int, torch.Tensor, torch.Tensor], None]
"""Takes a layer and keys and values of its, each [key heads, places, size]."""


class Pass(Protocol):
    """One pass through the model: what its attention layers compute."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """From queries [batch, heads, tokens, size], keys and values [batch, key heads, tokens, size] of new tokens to
        the mixed values [batch, tokens, heads, size]."""
        ...


class Unsupported(Exception):  # noqa: N818  # it is no error of the user: the model is then run in the plain way
    """A model whose attention does something that :func:`attention` does not."""


def attention(  # noqa: PLR0913, PLR0917  # the signature is transformers'
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001
    scaling: float | None = None,
    **keywords: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls in each attention layer."""
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
        path: keys and values of the pack's path by layer, each [key heads, path, size]; empty where it has none.
        sinks: places in (path, then pack) whose keys and values are handed on, and what takes them.
        device: where the model is.
        dtype: its precision.
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
            before_keys, before_values = self._path[layer]
            keys, values = torch.cat([before_keys, keys], dim=1), torch.cat([before_values, values], dim=1)
        for places, sink in self._sinks:
            sink(layer, keys.index_select(1, places), values.index_select(1, places))
        scaled = query[0] * scaling
        mixed = scaled.new_empty(scaled.shape[1], scaled.shape[0], values.shape[-1])
        for group in self._groups:
            mixed.index_copy_(0, group.nodes, group.mix(scaled, keys, values))
        return mixed[None]


@dataclass(frozen=True, eq=False)
class _Group:
    """A :class:`harness.models.tree.Group` on the device.

    Attributes:
        nodes: [pieces * length].
        keys: [pieces * width].
        pieces: how many pieces there are.
        free: the first key that some node does not attend to.
        bias: -inf where a node does not attend to a key, else 0 [pieces, 1, length, width - free].
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
        """Mixed values of the nodes [nodes, heads, size]; query heads that share keys are rows of one product.

        Args:
            query: scaled, of all nodes of the pack [heads, nodes, size].
            keys: of (path, then pack) [key heads, places, size].
            values: likewise.
        """
        heads, _, size = query.shape
        key_heads, shared = len(keys), heads // len(keys)
        shape = (key_heads, self.pieces, shared, len(self.nodes) // self.pieces)
        rows = query.index_select(1, self.nodes).view(key_heads, shared, self.pieces, -1, size).transpose(1, 2)
        laid_out = keys.index_select(1, self.keys).view(key_heads * self.pieces, -1, size)
        scores = torch.bmm(rows.reshape(key_heads * self.pieces, -1, size), laid_out.transpose(1, 2))
        scores.view(*shape, scores.shape[2])[..., self.free :] += self.bias
        laid_out = values.index_select(1, self.keys).view(key_heads * self.pieces, -1, values.shape[-1])
        mixed = weighted(torch.softmax(scores, dim=-1), laid_out).view(*shape, values.shape[-1])
        return mixed.permute(1, 3, 0, 2, 4).reshape(len(self.nodes), heads, -1)


class Kept:
    """Keys and values of sequences that are being continued, a row for each.

    Attributes:
        lengths: how many tokens of each row have keys [rows].
        layers: by layer keys and values [rows, key heads, width, size], zero where there is nothing yet.
    """

    def __init__(self, lengths: Sequence[int], room: int, device: torch.device) -> None:
        self.lengths = torch.tensor(lengths, device=device)
        self.layers: dict[int, KeysAndValues] = {}
        self._width = -(-(max(lengths) + room) // WIDTH) * WIDTH

    def row(self, row: int) -> Sink:
        """What writes the beginning of a row."""

        def write(layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
            if layer not in self.layers:
                self.layers[layer] = (self._empty(keys), self._empty(values))
            self.layers[layer][0][row, :, : keys.shape[1]] = keys
            self.layers[layer][1][row, :, : keys.shape[1]] = values

        return write

    def _empty(self, like: torch.Tensor) -> torch.Tensor:
        heads, _, size = like.shape
        return like.new_zeros(len(self.lengths), heads, self._width, size)

    def select(self, rows: torch.Tensor) -> None:
        """Keep some rows only."""
        self.lengths = self.lengths[rows]
        self.layers = {layer: (keys[rows], values[rows]) for layer, (keys, values) in self.layers.items()}


class DecodePass:
    """The pass of one more token for each row of ``kept``, which it extends."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._rows = torch.arange(len(kept.lengths), device=kept.lengths.device)
        self._width = -(-(int(kept.lengths.max()) + 1) // WIDTH) * WIDTH
        self._unseen = torch.arange(self._width, device=kept.lengths.device) > kept.lengths[:, None]

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """See :class:`Pass`; there is one new token in each row."""
        keys, values = self._kept.layers[layer]
        keys[self._rows, :, self._kept.lengths] = key[:, :, 0]
        values[self._rows, :, self._kept.lengths] = value[:, :, 0]
        rows, heads, _, size = query.shape
        key_heads = keys.shape[1]
        seen_keys = keys[:, :, : self._width].view(rows * key_heads, self._width, -1)
        seen_values = values[:, :, : self._width].view(rows * key_heads, self._width, -1)
        grouped = (query * scaling).reshape(rows * key_heads, heads // key_heads, size)
        scores = torch.bmm(grouped, seen_keys.transpose(1, 2))
        scores.view(rows, heads, self._width).masked_fill_(self._unseen[:, None], -torch.inf)
        return weighted(torch.softmax(scores, dim=-1), seen_values).view(rows, 1, heads, -1)


def weighted(shares: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """``shares @ values`` [batch, rows, size], summed in blocks of keys so that the order of the sum never changes."""
    if shares.shape[-1] <= BLOCK:
        return torch.bmm(shares, values)
    blocks = range(0, shares.shape[-1], BLOCK)
    parts = [torch.bmm(shares[:, :, at : at + BLOCK], values[:, at : at + BLOCK]).float() for at in blocks]
    return torch.stack(parts).sum(0).to(values.dtype)
