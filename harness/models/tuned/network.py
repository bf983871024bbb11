"""The network of the tuned simulator: SmolLM2's layers, low-rank additions to the upper ones, a head that reads levels.

An explanation and a text pass through the lower layers separately, and through the upper ones together. There each
token of a text attends to the explanation and to the text before it. So the lower layers are computed once for each
explanation and once for each text, however many pairs these form. The low-rank additions (Hu et al., arXiv 2106.09685)
are trained for the layers in which the two meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from harness.models.tuned.spelling import Spelling, Spellings, spelled
from harness.types import HIGHEST_LEVEL

LEVELS = HIGHEST_LEVEL + 1
"""Levels 0 to 10."""

_ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Architecture:
    """Settings of the additions to the base model.

    Attributes:
        joint: the first layer in which a text attends to the explanation.
        top: number of the base model's layers that are used.
        rank: rank of each low-rank addition.
        scale: factor of each addition.
        hidden: width of the head's hidden layer.
        adapted: the first layer with additions, at most ``joint``, which is the default.
        spelled: width of the embeddings of spelling features (:mod:`harness.models.tuned.spelling`); 0 for none.
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
    """A frozen linear map with a trained addition: ``W x + scale B A x``; B is initialised to zero."""

    def __init__(self, base: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scale = scale
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs [..., out] of inputs [..., in]."""
        down, up = self.down.to(inputs.dtype), self.up.to(inputs.dtype)  # trained in float32, whatever the base is in
        addition = nn.functional.linear(nn.functional.linear(inputs, down), up)
        return self.base(inputs) + self.scale * addition  # type: ignore[no-any-return]

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """Return the same map as one linear layer, which changes the base map in place."""
        self.base.weight += (self.scale * self.up @ self.down).to(self.base.weight.dtype)
        return self.base


Pairs = Sequence[tuple[int, int]]
"""Explanations and texts that are read together: (index of the explanation, index of the text) for each pair."""


@dataclass(frozen=True, eq=False)
class Sequences:
    """Token ids as the network takes them, which another process may prepare.

    Attributes:
        ids: [sequences, longest]; those past a sequence's end are 0.
        lengths: number of tokens of each sequence [sequences].
        spellings: of the tokens, if spelling is read.
    """

    ids: torch.Tensor
    lengths: torch.Tensor
    spellings: Spellings | None

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]], pieces: Sequence[str] | None) -> Sequences:
        """Return sequences of token ids; ``pieces`` are the texts of tokens, or None if spelling is not read."""
        longest = max(map(len, sequences))
        ids = torch.tensor([[*tokens, *([0] * (longest - len(tokens)))] for tokens in sequences])
        lengths = torch.tensor([len(tokens) for tokens in sequences])
        return cls(ids, lengths, None if pieces is None else spelled(sequences, pieces))


class Memory:
    """Keys and values of explanations by layer, in place of transformers' cache: texts attend to them.

    A pass over the explanations stores their keys and values. Then ``rows`` is set to the index of the explanation of
    each text, and the texts are passed.
    """

    def __init__(self) -> None:
        self.rows: torch.Tensor | None = None
        self._stored: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the keys and values that the tokens of a layer attend to [rows, heads, tokens, size].

        The arguments are the tokens' own keys and values; those of their explanations are put before them.
        """
        if self.rows is None:
            self._stored[layer] = keys, values
            return keys, values
        first_keys, first_values = self._stored[layer]
        return torch.cat([first_keys[self.rows], keys], dim=2), torch.cat([first_values[self.rows], values], dim=2)


class TunedNetwork(nn.Module):
    """A network that reads the level of each token of a text, given an explanation.

    Args:
        base: the base model's decoder (with ``embed_tokens``, ``layers``, ``rotary_emb``); its upper layers change.
        architecture: settings of the additions.
        pieces: the text of each token of the base model; unused unless the architecture reads spelling.
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
        width = architecture.spelled
        self.spelling = Spelling(pieces, width, base.config.hidden_size) if width else None
        self.head = _head(base, architecture.hidden)

    def _layers(self, first: int, last: int) -> list[Any]:
        return list(self.base.layers[first:last])

    # ----------------------------------------------------------------------------------------------------- computing

    @property
    def pieces(self) -> Sequence[str] | None:
        """The text of each token of the base model, if spelling is read."""
        return None if self.spelling is None else self.spelling.pieces

    def prepared(self, sequences: Sequence[Sequence[int]]) -> Sequences:
        """Return token ids as :meth:`lower` takes them."""
        return Sequences.of(sequences, self.pieces)

    def lower(self, sequences: Sequence[Sequence[int]] | Sequences) -> torch.Tensor:
        """Return states after the lower layers [sequences, longest, width]; those past a sequence's end are padding."""
        given = sequences if isinstance(sequences, Sequences) else self.prepared(sequences)
        longest = given.ids.shape[1]
        states = self.base.embed_tokens(given.ids.to(self._device))
        rotary = self.base.rotary_emb(states, torch.arange(longest, device=self._device)[None])
        first, joint = self.architecture.first, self.architecture.joint
        for layer in self._layers(0, first):
            states = _states(layer(states, attention_mask=None, position_embeddings=rotary))
        if self.spelling is not None:
            assert given.spellings is not None, "the sequences were prepared without the texts of the tokens"
            states = states + self.spelling.vectors(given.spellings, len(given.ids)).to(states.dtype)
        for layer in self._layers(first, joint):
            states = _states(layer(states, attention_mask=None, position_embeddings=rotary))
        return states  # type: ignore[no-any-return]

    def forward(
        self,
        explanations: Sequence[Sequence[int]] | Sequences,
        texts: Sequence[Sequence[int]] | Sequences,
        pairs: Pairs | torch.Tensor,
    ) -> torch.Tensor:
        """Return logits of the levels [pairs, longest text, levels]; those past a text's end are padding.

        Args:
            explanations: token ids of each different explanation.
            texts: token ids of each different text.
            pairs: the explanation and the text of each pair, as indices.
        """
        asked = explanations if isinstance(explanations, Sequences) else self.prepared(explanations)
        explanation_states, text_states = self.lower(asked), self.lower(texts)
        rows, columns = torch.as_tensor(pairs, device=self._device).unbind(1)
        lengths = asked.lengths.to(self._device)
        memory = Memory()
        longest = explanation_states.shape[1]
        self._through(explanation_states, torch.arange(longest, device=self._device)[None], None, memory)
        memory.rows = rows
        states = text_states[columns]
        places = torch.arange(states.shape[1], device=self._device)
        mask = _mask(lengths[rows], longest, states.shape[1], states.dtype)
        states = self._through(states, lengths[rows, None] + places, mask, memory)
        return self.head(states.to(next(self.head.parameters()).dtype))  # type: ignore[no-any-return]

    def _through(
        self, states: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None, memory: Memory
    ) -> torch.Tensor:
        """Return states after the upper layers [rows, tokens, width]; without a mask, attention is causal."""
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
        """Return the parameters of the additions and of the head by name, which the base model lacks."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def restore(self, tensors: Mapping[str, torch.Tensor], *, strict: bool = True) -> None:
        """Copy trained tensors into the parameters; unless ``strict``, parameters that ``tensors`` lack stay unchanged.

        Raises:
            KeyError, RuntimeError: the tensors belong to another architecture.
        """
        if tensors.keys().isdisjoint(self.trained()):
            raise KeyError("no addition of this architecture")
        with torch.no_grad():
            for name, parameter in self.trained().items():
                if strict or name in tensors:
                    parameter.copy_(tensors[name])

    def merge(self) -> None:
        """Merge the additions into the layers: reading becomes faster, and training is no longer possible."""
        for layer in self._layers(self.architecture.first, self.architecture.top):
            for parent in (layer.self_attn, layer.mlp):
                for name, child in list(parent.named_children()):
                    if isinstance(child, LowRank):
                        setattr(parent, name, child.merged())


def _head(base: Any, hidden: int) -> nn.Sequential:
    """Return the head from states to logits, initialised so that any state gives the usual shares of the levels."""
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
    """Return the addition to the attention scores of texts [rows, 1, text, longest + text].

    Each token attends to its whole explanation and to its text up to itself; ``lengths`` [rows] are the explanations'.
    """
    explanation = torch.arange(longest, device=lengths.device) < lengths[:, None, None]
    causal = torch.ones(text, text, dtype=torch.bool, device=lengths.device).tril()
    visible = torch.cat([explanation.expand(-1, text, -1), causal.expand(len(lengths), -1, -1)], dim=2)
    return torch.zeros_like(visible, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)[:, None]
