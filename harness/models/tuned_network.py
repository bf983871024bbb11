"""The network of the tuned simulator: SmolLM2's layers, low-rank additions to the upper ones, a head that reads levels.

An explanation and a text pass through the lower layers apart, and through the upper ones together, where each text's
tokens see the explanation and the text before them. So the lower layers are computed once for each explanation and once
for each text, however many pairs are made of them, and the low-rank additions (Hu et al., arXiv 2106.09685) stand where
the two meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from harness.models.spelling import Spelling

LEVELS = 11
"""Levels 0 to 10."""

_ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Architecture:
    """What the additions look like.

    Attributes:
        joint: the first layer in which text sees the explanation.
        top: how many of the base model's layers are used.
        rank: of each low-rank addition.
        scale: what an addition is multiplied by.
        hidden: width of the head's hidden layer.
        adapted: the first layer with additions, at most ``joint``, which it is where nothing is said; those below stay
            as they are.
        spelled: width of the embeddings of what words are made of (:mod:`harness.models.spelling`); 0 for none.
    """

    joint: int = 10
    top: int = 28
    rank: int = 16
    scale: float = 2.0
    hidden: int = 256
    adapted: int | None = None
    spelled: int = 0

    @property
    def first(self) -> int:
        """The first layer with additions."""
        return self.joint if self.adapted is None else min(self.adapted, self.joint)


class LowRank(nn.Module):
    """A frozen linear map and a trained addition to it: ``W x + scale B A x``; B begins at zero."""

    def __init__(self, base: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scale = scale
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map [..., in] to [..., out]."""
        down, up = self.down.to(inputs.dtype), self.up.to(inputs.dtype)  # trained in float32 whatever the base is in
        added = nn.functional.linear(nn.functional.linear(inputs, down), up)
        return self.base(inputs) + self.scale * added  # type: ignore[no-any-return]

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The same map as one linear layer: what reading levels uses."""
        self.base.weight += (self.scale * self.up @ self.down).to(self.base.weight.dtype)
        return self.base


Pairs = Sequence[tuple[int, int]]
"""Which explanation each text is read under: indices into a list of explanations and one of texts."""


class Memory:
    """Keys and values of explanations by layer, in the place of transformers' cache: texts attend to them.

    While the explanations pass, their keys and values are kept; ``rows`` then names the explanation of each text that
    passes.
    """

    def __init__(self) -> None:
        self.rows: torch.Tensor | None = None
        self._kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the tokens of a layer attend to, from their own keys and values [rows, heads, tokens, size]."""
        if self.rows is None:
            self._kept[layer] = keys, values
            return keys, values
        told_keys, told_values = self._kept[layer]
        return torch.cat([told_keys[self.rows], keys], dim=2), torch.cat([told_values[self.rows], values], dim=2)


class TunedNetwork(nn.Module):
    """Reads the level of each token of a text given an explanation.

    Args:
        base: the base model's decoder (with ``embed_tokens``, ``layers``, ``rotary_emb``); its upper layers change.
        architecture: what the additions look like.
        pieces: the text of each token of the base model, for an architecture that reads spelling.
    """

    def __init__(self, base: Any, architecture: Architecture, pieces: Sequence[str]) -> None:
        super().__init__()
        self.architecture = architecture
        self.base = base.requires_grad_(False)
        for layer in self._layers(architecture.first, architecture.top):
            for parent in (layer.self_attn, layer.mlp):
                for name in _ADAPTED:
                    if hasattr(parent, name):
                        setattr(parent, name, LowRank(getattr(parent, name), architecture.rank, architecture.scale))
        spelled = architecture.spelled
        self.spelling = Spelling(pieces, spelled, base.config.hidden_size) if spelled else None
        self.head = _head(base, architecture.hidden)

    def _layers(self, first: int, last: int) -> list[Any]:
        return list(self.base.layers[first:last])

    # ----------------------------------------------------------------------------------------------------- computing

    def lower(self, sequences: Sequence[Sequence[int]]) -> torch.Tensor:
        """States after the lower layers [sequences, longest, width]; those after a sequence's end mean nothing."""
        longest = max(map(len, sequences))
        ids = torch.tensor([[*one, *([0] * (longest - len(one)))] for one in sequences], device=self._device)
        states = self.base.embed_tokens(ids)
        rotary = self.base.rotary_emb(states, torch.arange(longest, device=self._device)[None])
        first, joint = self.architecture.first, self.architecture.joint
        for layer in self._layers(0, first):
            states = _states(layer(states, attention_mask=None, position_embeddings=rotary))
        if self.spelling is not None:
            states = states + self.spelling(sequences).to(states.dtype)
        for layer in self._layers(first, joint):
            states = _states(layer(states, attention_mask=None, position_embeddings=rotary))
        return states  # type: ignore[no-any-return]

    def forward(
        self, explanations: Sequence[Sequence[int]], texts: Sequence[Sequence[int]], pairs: Pairs
    ) -> torch.Tensor:
        """Logits of the levels [pairs, longest text, levels]; those after a text's end mean nothing.

        Args:
            explanations: token ids of each different explanation.
            texts: token ids of each different text.
            pairs: which are read together.
        """
        told, read = self.lower(explanations), self.lower(texts)
        rows, columns = torch.tensor(pairs, device=self._device).unbind(1)
        lengths = torch.tensor([len(one) for one in explanations], device=self._device)
        memory = Memory()
        self._through(told, torch.arange(told.shape[1], device=self._device)[None], None, memory)
        memory.rows = rows
        states = read[columns]
        places = torch.arange(read.shape[1], device=self._device)
        mask = _mask(lengths[rows], told.shape[1], read.shape[1], states.dtype)
        states = self._through(states, lengths[rows, None] + places, mask, memory)
        return self.head(states.to(next(self.head.parameters()).dtype))  # type: ignore[no-any-return]

    def _through(
        self, states: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None, memory: Memory
    ) -> torch.Tensor:
        """States after the upper layers [rows, tokens, width]; without a mask each token sees those before it."""
        rotary = self.base.rotary_emb(states, positions)
        for layer in self._layers(self.architecture.joint, self.architecture.top):
            states = _states(
                layer(states, attention_mask=mask, position_embeddings=rotary, past_key_values=memory, use_cache=True)
            )
        return states

    @property
    def _device(self) -> torch.device:
        return self.base.embed_tokens.weight.device  # type: ignore[no-any-return]

    # ------------------------------------------------------------------------------------------- what has been trained

    def trained(self) -> dict[str, torch.Tensor]:
        """The additions and the head by name: all that differs from the base model."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def restore(self, tensors: Mapping[str, torch.Tensor], *, strict: bool = True) -> None:
        """Put trained tensors back in place; unless ``strict``, additions that ``tensors`` lack stay as they are.

        Raises:
            KeyError, RuntimeError: they are those of another architecture.
        """
        if tensors.keys().isdisjoint(self.trained()):
            raise KeyError("no addition of this architecture")
        with torch.no_grad():
            for name, parameter in self.trained().items():
                if strict or name in tensors:
                    parameter.copy_(tensors[name])

    def merge(self) -> None:
        """Add the additions into the layers, once for all: reading is faster, training over."""
        for layer in self._layers(self.architecture.first, self.architecture.top):
            for parent in (layer.self_attn, layer.mlp):
                for name, child in list(parent.named_children()):
                    if isinstance(child, LowRank):
                        setattr(parent, name, child.merged())


def _head(base: Any, hidden: int) -> nn.Sequential:
    """From states to logits; it begins as if every token had the usual levels, whatever its state."""
    width = base.config.hidden_size
    norm, last = nn.RMSNorm(width), nn.Linear(hidden, LEVELS)
    head = nn.Sequential(norm, nn.Linear(width, hidden), nn.GELU(), last)
    with torch.no_grad():
        norm.weight.copy_(base.norm.weight)
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.86, *[0.003] * (LEVELS - 2), 0.113]).log())
    return head


def _states(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output  # type: ignore[no-any-return]


def _mask(lengths: torch.Tensor, longest: int, text: int, dtype: torch.dtype) -> torch.Tensor:
    """What is added to the attention scores of texts [rows, 1, text, longest + text].

    Each token sees the whole of its explanation, whose length is one of ``lengths`` [rows], and its text up to itself.
    """
    told = torch.arange(longest, device=lengths.device) < lengths[:, None, None]
    own = torch.ones(text, text, dtype=torch.bool, device=lengths.device).tril()
    sees = torch.cat([told.expand(-1, text, -1), own.expand(len(lengths), -1, -1)], dim=2)
    return torch.zeros_like(sees, dtype=dtype).masked_fill(~sees, torch.finfo(dtype).min)[:, None]
