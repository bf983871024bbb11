"""Attention over a token tree, in place of a transformers model's own: each token attends to its ancestors only.

It is registered with transformers under a name of its own and receives the plan of the pass as a keyword argument,
which every model that uses transformers' attention interface hands through. It works group by group with plain matrix
products: for short stretches of queries on a CPU that is about twice as fast as the fused kernel, keys that several
query heads share are not copied, and in bfloat16 each row's result is the same bits whatever is computed beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from transformers import AttentionInterface

from harness.models.tree import BLOCK, LANES, Pack

NAME = "neurogloss_tree"
KEYWORD = "token_tree"

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


@dataclass(eq=False)
class _Stretch:
    """A :class:`harness.models.tree.Group` on the device: ``bias`` is -inf where a key is masked, else 0."""

    start: int
    stop: int
    keys: torch.Tensor
    free: int
    bias: torch.Tensor | None


@dataclass(eq=False)
class TreePass:
    """The pass of one pack of a token tree.

    Attributes:
        pack: the nodes.
        path: keys and values of the pack's path by layer, each [key heads, path, size]; empty where it has none.
        sinks: places in (path, then pack) whose keys and values are handed on, and what takes them.
    """

    pack: Pack
    path: Mapping[int, KeysAndValues]
    sinks: Sequence[tuple[torch.Tensor, Sink]]
    device: torch.device
    dtype: torch.dtype
    stretches: list[_Stretch] = field(init=False)

    def __post_init__(self) -> None:
        self.stretches = [self._stretch(index) for index in range(len(self.pack.groups))]

    def _stretch(self, index: int) -> _Stretch:
        group = self.pack.groups[index]
        bias = None
        if group.masked.shape[1]:
            masked = torch.from_numpy(group.masked).to(self.device)
            bias = torch.zeros(masked.shape, dtype=self.dtype, device=self.device).masked_fill_(masked, -torch.inf)
        return _Stretch(group.start, group.stop, torch.from_numpy(group.keys).to(self.device), group.free, bias)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """See :class:`Pass`; the batch is one row, the pack."""
        keys, values = key[0], value[0]
        if layer in self.path:
            keys = torch.cat([self.path[layer][0], keys], dim=1)
            values = torch.cat([self.path[layer][1], values], dim=1)
        for places, sink in self.sinks:
            sink(layer, keys.index_select(1, places), values.index_select(1, places))
        scaled = query[0] * scaling
        heads, tokens, _ = scaled.shape
        mixed = scaled.new_empty(1, tokens, heads, values.shape[-1])
        for stretch in self.stretches:
            of_group = _mix(
                scaled[:, stretch.start : stretch.stop],
                keys.index_select(1, stretch.keys),
                values.index_select(1, stretch.keys),
                stretch,
            )
            mixed[0, stretch.start : stretch.stop] = of_group.transpose(0, 1)
        return mixed


def _mix(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, stretch: _Stretch) -> torch.Tensor:
    """Attention of one stretch [heads, nodes, size]; query heads that share keys are rows of one product."""
    heads, nodes, size = query.shape
    shared = heads // len(keys)
    scores = torch.bmm(query.reshape(len(keys), shared * nodes, size), keys.transpose(1, 2))
    if stretch.bias is not None:
        scores.view(len(keys), shared, nodes, -1)[..., stretch.free :] += stretch.bias
    return weighted(torch.softmax(scores, dim=-1), values).view(heads, nodes, -1)


class Kept:
    """Keys and values of sequences that are being continued, a row for each.

    Attributes:
        lengths: how many tokens of each row have keys [rows].
        layers: by layer keys and values [rows, key heads, width, size], zero where there is nothing yet.
    """

    def __init__(self, lengths: Sequence[int], room: int, device: torch.device) -> None:
        self.lengths = torch.tensor(lengths, device=device)
        self.layers: dict[int, KeysAndValues] = {}
        self._width = -(-(max(lengths) + room) // (2 * LANES)) * (2 * LANES)

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
        self._width = -(-(int(kept.lengths.max()) + 1) // (2 * LANES)) * (2 * LANES)
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
