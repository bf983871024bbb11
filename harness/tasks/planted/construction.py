r"""Weights of a transformer of GPT-2's shape whose neurons compute planted rules exactly.

**The residual stream is a code.** Each feature has two coordinates, (+1, -1) where it is true and (-1, +1) where it is
false; both are 0 before a layer has computed it. So the mean over coordinates is 0 and their variance is twice the
share of features that are known by then, whatever the text: with a gain of the root of that variance, a layer norm is
the identity. The features, in order (:class:`Layout`):

1. embeddings of tokens: one feature for each set of tokens, and the bits of the token's number (its id + 1);
2. embeddings of positions: the bits of the position, those of the position before it, ``first`` and ``early``;
3. layer 0, attention: for the token before, the same features as in 1. The query holds the bits of the position before,
   the key those of the position, times a factor by which any other position gets e^-40 of the weight. The first
   position attends to itself;
4. layer 0, MLP: *helper* neurons, one for each feature of 3, fire where ``first`` and the feature hold and write it
   back to false: before the first token there is none, and no token has the number 0;
5. layer 1, attention: ``repeated``. The query holds the bits of the token's number, the key those of the token before,
   so that a position scores B, the number of bits, where the token before it is the same, and at most B - 2 elsewhere.
   The first position, whose key is the number 0, scores -sum(bits) by it, and is given sum(bits) + B - 1 by two more
   coordinates. It takes all the weight where no token matches, and e^-30 of it where one does. The value is whether a
   position is not the first.

**A neuron is a threshold.** Features are +1 or -1, so that the sum of k literals is k where all hold and at most k - 2
elsewhere: ``strength * (sum - (k - 1))`` is the strength or at most minus it. GELU returns either that or 0, exactly
from a strength of 6 on. With several cases of one literal each, of which at most one holds, strengths s_i and weights
w_i, ``z = sum_i w_i f_i + b`` solves z = s_i where case i holds and z = -s where none does, s being the least strength.

**What neurons write.** Those of layer 0 write nothing but as helpers. One of layer 1 writes to the feature of the set
that it promotes. The unembedding is the transposed embedding, and the gain of the last layer norm is 0 but for the
features of sets of tokens, so that tokens of a promoted set become likelier and all others less.

All other neurons are dead: weights of 0, and a bias at which GELU is 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from harness.tasks.planted.rules import EARLY, WEAKEST, Feature, Literal, Planted, PlantedNeuron, Source

LAYERS = 2
HEADS = 2
POSITIONS = 512
EPSILON = 1e-5
SHARPNESS = 20.0  # of the attention to the token before: any other position scores 40 lower
MATCH = 30.0  # by how much a match outscores the first position, and that any other position
HELP = 8.0  # strength of helpers
WRITTEN = 4.0  # what a planted neuron at its strength adds to the feature that it promotes
GAIN = 0.3  # of the last layer norm


@dataclass(frozen=True)
class Layout:
    """Where the features stand in the residual stream: names of sets, bits of token numbers, bits of positions."""

    sets: tuple[str, ...]
    token_bits: int
    position_bits: int = POSITIONS.bit_length() - 1

    @property
    def of_token(self) -> range:
        """The features of the token itself: sets, then bits."""
        return range(len(self.sets) + self.token_bits)

    @property
    def position(self) -> range:
        """The bits of the position."""
        return _after(self.of_token, self.position_bits)

    @property
    def position_before(self) -> range:
        """The bits of the position before."""
        return _after(self.position, self.position_bits)

    @property
    def first(self) -> int:
        """The feature ``first``."""
        return self.position_before.stop

    @property
    def early(self) -> int:
        """The feature ``early``."""
        return self.first + 1

    @property
    def of_previous(self) -> range:
        """The features of the token before."""
        return _after(range(self.early + 1), len(self.of_token))

    @property
    def repeated(self) -> int:
        """The feature ``repeated``."""
        return self.of_previous.stop

    @property
    def features_at_norms(self) -> tuple[int, ...]:
        """The number of features that are known at each layer norm before the last, in order."""
        return (self.of_previous.start, self.repeated, self.repeated, self.repeated + 1)

    @property
    def width(self) -> int:
        """The width of the residual stream: room for all features, and a multiple of 64."""
        return -(-2 * (self.repeated + 1) // 64) * 64

    def place(self, feature: Feature) -> int:
        """Return the number of a feature."""
        if feature.source is Source.TOKEN:
            return self.sets.index(feature.tokens)
        if feature.source is Source.PREVIOUS:
            return self.of_previous.start + self.sets.index(feature.tokens)
        return {Source.FIRST: self.first, Source.EARLY: self.early, Source.REPEATED: self.repeated}[feature.source]


def _after(block: range, length: int) -> range:
    return range(block.stop, block.stop + length)


def layout_of(planted: Planted) -> Layout:
    """Return the layout for planted neurons: token numbers reach from 1 to the size of the vocabulary."""
    return Layout(tuple(sorted(planted.sets)), planted.vocabulary.bit_length())


def config_of(planted: Planted, neurons: int) -> GPT2Config:
    """Return the config of the model; ``neurons`` is the width of each MLP."""
    return GPT2Config(
        vocab_size=planted.vocabulary,
        n_positions=POSITIONS,
        n_embd=layout_of(planted).width,
        n_layer=LAYERS,
        n_head=HEADS,
        n_inner=neurons,
        activation_function="gelu_new",
        layer_norm_epsilon=EPSILON,
        bos_token_id=None,
        eos_token_id=None,
    )


@torch.no_grad()
def build(planted: Planted, neurons: int) -> GPT2LMHeadModel:
    """Return the model, in evaluation mode; see the docstring of this module."""
    layout = layout_of(planted)
    model: Any = GPT2LMHeadModel(config_of(planted, neurons))
    for parameter in model.parameters():
        parameter.zero_()
    body = model.transformer
    _embed(body, planted, layout)
    for norm, features in zip(_norms(body), layout.features_at_norms, strict=True):
        norm.weight.fill_((2 * features / layout.width + EPSILON) ** 0.5)
    body.ln_f.weight[: 2 * len(layout.sets)] = GAIN
    _attend_to_the_token_before(body.h[0].attn, layout)
    _attend_to_the_same_token(body.h[1].attn, layout)
    _plant(body, planted, layout)
    return model.eval()


def _norms(body: Any) -> list[Any]:
    """Return the layer norms before the last, in order."""
    return [norm for layer in body.h for norm in (layer.ln_1, layer.ln_2)]


def _embed(body: Any, planted: Planted, layout: Layout) -> None:
    """Write the features of each token and of each position."""
    for number, name in enumerate(layout.sets):
        _write(body.wte.weight, number, [token in planted.sets[name] for token in range(planted.vocabulary)])
    numbers = torch.arange(1, planted.vocabulary + 1)
    for bit in range(layout.token_bits):
        _write(body.wte.weight, len(layout.sets) + bit, (numbers >> bit) & 1)
    positions = torch.arange(POSITIONS)
    for bit in range(layout.position_bits):
        _write(body.wpe.weight, layout.position[bit], (positions >> bit) & 1)
        _write(body.wpe.weight, layout.position_before[bit], ((positions - 1).clamp(min=0) >> bit) & 1)
    _write(body.wpe.weight, layout.first, positions < 1)
    _write(body.wpe.weight, layout.early, positions < EARLY)


def _write(table: torch.Tensor, feature: int, values: Any) -> None:
    """Write a feature, true or false for each row, into both of its coordinates."""
    signs = torch.as_tensor(values).to(table.dtype) * 2 - 1
    table[:, 2 * feature], table[:, 2 * feature + 1] = signs, -signs


def _attend_to_the_token_before(attention: Any, layout: Layout) -> None:
    """Set head 0: it copies the features of the token before."""
    width, size = layout.width, layout.width // HEADS
    for dimension, (query, key) in enumerate(zip(layout.position_before, layout.position, strict=True)):
        attention.c_attn.weight[2 * query, dimension] = SHARPNESS * size**0.5
        attention.c_attn.weight[2 * key, width + dimension] = 1.0
    for dimension, (source, target) in enumerate(zip(layout.of_token, layout.of_previous, strict=True)):
        attention.c_attn.weight[2 * source, 2 * width + dimension] = 1.0
        _output(attention.c_proj.weight, dimension, target, 1.0)


def _attend_to_the_same_token(attention: Any, layout: Layout) -> None:
    """Set head 0: it finds whether the token has stood in the text before."""
    width, factor = layout.width, MATCH * (layout.width // HEADS) ** 0.5
    weight, bias = attention.c_attn.weight, attention.c_attn.bias
    bits = range(len(layout.sets), len(layout.of_token))
    sum_of_bits, constant = layout.token_bits, layout.token_bits + 1  # the two further dimensions
    for dimension, bit in enumerate(bits):
        weight[2 * bit, dimension] = factor
        weight[2 * (layout.of_previous.start + bit), width + dimension] = 1.0
        weight[2 * bit, sum_of_bits] = factor
    bias[constant] = factor
    for dimension, key in ((sum_of_bits, 1.0), (constant, layout.token_bits - 1.0)):  # half of (first + 1) is 1 or 0
        weight[2 * layout.first, width + dimension] = key / 2
        bias[width + dimension] = key / 2
    weight[2 * layout.first, 2 * width] = -1.0
    _output(attention.c_proj.weight, 0, layout.repeated, 1.0)


def _output(projection: torch.Tensor, row: int, feature: int, amount: float) -> None:
    """Let a row of a projection [inputs, width] write to both coordinates of a feature."""
    projection[row, 2 * feature], projection[row, 2 * feature + 1] = amount, -amount


# ------------------------------------------------------------------------------------------------------------- neurons


def _plant(body: Any, planted: Planted, layout: Layout) -> None:
    """Set the planted neurons and the helpers; all others are dead."""
    for layer in body.h:
        layer.mlp.c_fc.bias.fill_(-WEAKEST)
    for neuron in planted.neurons:
        mlp = body.h[neuron.unit.place].mlp
        _set_thresholds(mlp, neuron, layout)
        if neuron.promotes:
            strength = max(case.strength for case in neuron.cases)
            _output(mlp.c_proj.weight, neuron.unit.index, layout.sets.index(neuron.promotes), WRITTEN / strength)
    mlp = body.h[0].mlp
    for index, feature in zip(free(planted, 0, mlp.c_fc.nf), layout.of_previous, strict=False):
        mlp.c_fc.weight[2 * layout.first, index] = mlp.c_fc.weight[2 * feature, index] = HELP
        mlp.c_fc.bias[index] = -HELP
        _output(mlp.c_proj.weight, index, feature, -2.0 / HELP)


def free(planted: Planted, layer: int, neurons: int) -> list[int]:
    """Return the indices of a layer that no planted neuron has; the first of layer 0 are helpers."""
    occupied = {neuron.unit.index for neuron in planted.neurons if neuron.unit.place == layer}
    return [index for index in range(neurons) if index not in occupied]


def _set_thresholds(mlp: Any, neuron: PlantedNeuron, layout: Layout) -> None:
    """Set the weights into a neuron, which read the first coordinate of each feature."""
    if not neuron.cases:
        return
    weights, bias = thresholds(neuron)
    for feature, weight in weights:
        mlp.c_fc.weight[2 * layout.place(feature), neuron.unit.index] = weight
    mlp.c_fc.bias[neuron.unit.index] = bias


def thresholds(neuron: PlantedNeuron) -> tuple[list[tuple[Feature, float]], float]:
    """Return the weight of each feature, and the bias, by which a neuron computes its rule.

    A rule of several cases has one literal in each; others cannot be computed by one neuron in this way.
    """
    if len(neuron.cases) == 1:
        (case,) = neuron.cases
        weights = [(literal.feature, case.strength * _sign(literal)) for literal in case.literals]
        return weights, -case.strength * (len(case.literals) - 1)
    least = min(case.strength for case in neuron.cases)
    halves = [(case.strength + least) / 2 for case in neuron.cases]
    literals: Iterable[Literal] = (case.literals[0] for case in neuron.cases)
    weights = [(literal.feature, half * _sign(literal)) for literal, half in zip(literals, halves, strict=True)]
    return weights, sum(halves) - least


def _sign(literal: Literal) -> float:
    return 1.0 if literal.holds else -1.0
