"""The network of the tuned simulator: SmolLM2's layers, low-rank additions to the upper ones, a head that reads levels.

An explanation and a text pass through the lower layers apart, and through the upper ones together, where each text's
tokens see the explanation and the text before them. So the lower layers are computed once for each explanation and once
for each text, however many pairs are made of them, and the low-rank additions (Hu et al., arXiv 2106.09685) stand where
the two meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

LEVELS = 11
"""Levels 0 to 10."""

_ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Architecture:
    """What the additions look like.

    Attributes:
        joint: the first layer in which text sees the explanation; the layers below stay as they are.
        top: how many of the base model's layers are used.
        rank: of each low-rank addition.
        scale: what an addition is multiplied by.
        hidden: width of the head's hidden layer.
    """

    joint: int = 10
    top: int = 28
    rank: int = 16
    scale: float = 2.0
    hidden: int = 256


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
        added = nn.functional.linear(nn.functional.linear(inputs, self.down), self.up)
        return self.base(inputs) + self.scale * added  # type: ignore[no-any-return]

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The same map as one linear layer: what reading levels uses."""
        self.base.weight += (self.scale * self.up @ self.down).to(self.base.weight.dtype)
        return self.base


@dataclass(frozen=True, eq=False)
class Pairs:
    """Groups of texts that share an explanation, by index into lists of explanations and texts.

    ``explanations[g]`` is the explanation of group ``g``, and ``texts[g]`` its texts, as many in each group.
    """

    explanations: Sequence[int]
    texts: Sequence[Sequence[int]]


class TunedNetwork(nn.Module):
    """Reads the level of each token of a text given an explanation.

    Args:
        base: the base model's decoder (with ``embed_tokens``, ``layers``, ``rotary_emb``); its upper layers change.
        architecture: what the additions look like.
    """

    def __init__(self, base: Any, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.base = base.requires_grad_(False)
        for layer in self._upper():
            for parent in (layer.self_attn, layer.mlp):
                for name in _ADAPTED:
                    if hasattr(parent, name):
                        setattr(parent, name, LowRank(getattr(parent, name), architecture.rank, architecture.scale))
        self.head = _head(base, architecture.hidden)

    def _upper(self) -> list[Any]:
        return list(self.base.layers[self.architecture.joint : self.architecture.top])

    # ----------------------------------------------------------------------------------------------------- computing

    @torch.no_grad()
    def lower(self, sequences: Sequence[Sequence[int]]) -> torch.Tensor:
        """States after the lower layers [sequences, longest, width]; those after a sequence's end mean nothing."""
        longest = max(map(len, sequences))
        ids = torch.tensor([[*one, *([0] * (longest - len(one)))] for one in sequences], device=self._device)
        states = self.base.embed_tokens(ids)
        rotary = self.base.rotary_emb(states, torch.arange(longest, device=self._device)[None])
        for layer in self.base.layers[: self.architecture.joint]:
            states = _states(layer(states, attention_mask=None, position_embeddings=rotary))
        return states  # type: ignore[no-any-return]

    def forward(
        self, explanations: Sequence[Sequence[int]], texts: Sequence[Sequence[int]], pairs: Pairs
    ) -> torch.Tensor:
        """Logits of the levels [groups, texts of a group, longest text, levels].

        Args:
            explanations: token ids of each different explanation.
            texts: token ids of each different text.
            pairs: which are read together.
        """
        told, read = self.lower(explanations), self.lower(texts)
        groups, each, width = len(pairs.texts), len(pairs.texts[0]), told.shape[-1]
        before, after = told[torch.tensor(pairs.explanations)], read[torch.tensor(pairs.texts)]
        states = torch.cat([before, after.reshape(groups, -1, width)], dim=1)
        lengths = torch.tensor([len(explanations[one]) for one in pairs.explanations], device=self._device)
        mask, positions = _layout(lengths, before.shape[1], after.shape[2], each)
        rotary = self.base.rotary_emb(states, positions)
        for layer in self._upper():
            states = _states(layer(states, attention_mask=mask, position_embeddings=rotary))
        return self.head(states[:, before.shape[1] :].reshape(groups, each, -1, width))  # type: ignore[no-any-return]

    @property
    def _device(self) -> torch.device:
        return self.base.embed_tokens.weight.device  # type: ignore[no-any-return]

    # ------------------------------------------------------------------------------------------- what has been trained

    def trained(self) -> dict[str, torch.Tensor]:
        """The additions and the head by name: all that differs from the base model."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put trained tensors back in place.

        Raises:
            KeyError, RuntimeError: they are those of another architecture.
        """
        with torch.no_grad():
            for name, parameter in self.trained().items():
                parameter.copy_(tensors[name])

    def merge(self) -> None:
        """Add the additions into the layers, once for all: reading is faster, training over."""
        for layer in self._upper():
            for parent in (layer.self_attn, layer.mlp):
                for name, child in list(parent.named_children()):
                    if isinstance(child, LowRank):
                        setattr(parent, name, child.merged())

    def adapters(self) -> Iterator[LowRank]:
        """Every addition."""
        return (module for module in self.modules() if isinstance(module, LowRank))


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


def _layout(lengths: torch.Tensor, longest: int, text: int, each: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Who sees whom, and where each token stands, in rows of ``longest`` explanation and ``each`` x ``text`` tokens.

    Explanation tokens see the explanation before them; a text's tokens see the whole explanation, and of the texts only
    their own, up to themselves. A text begins right after its explanation, whose length is one of ``lengths`` [rows].

    Returns:
        what is added to attention scores [rows, 1, tokens, tokens], and positions [rows, tokens].
    """
    size = longest + each * text
    place = torch.arange(size, device=lengths.device)
    number = torch.where(place < longest, -1, (place - longest) // text)  # which text, -1 for the explanation
    causal = place[:, None] >= place[None, :]
    own = (number[:, None] == number[None, :]) & causal
    told = (number[None, :] == -1) & causal & (place[None, None, :] < lengths[:, None, None])
    sees = own[None] & (number[None, None, :] >= 0) | told
    sees |= torch.eye(size, dtype=torch.bool, device=lengths.device)  # padding sees itself, so that no row is empty
    mask = torch.zeros(len(lengths), 1, size, size, device=lengths.device)
    mask.masked_fill_(~sees[:, None], torch.finfo(mask.dtype).min)
    in_text = (place - longest) % text
    positions = torch.where(place < longest, place[None], lengths[:, None] + in_text[None])
    return mask, positions
