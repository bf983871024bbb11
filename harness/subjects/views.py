"""A neuron seen from the vocabulary: which tokens excite it, and which it makes likelier or less likely."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from harness.subjects.partial import PartialModel
from harness.types import NeuronId, Replacement, TokenEffects

TOKENS_AT_ONCE = 2**12
"""Tokens of the vocabulary that go through a layer together."""

Named = Callable[[int], str | None]
"""The text of a token id; None for one that is not shown."""


@torch.inference_mode()
def activations(model: PartialModel, neuron: NeuronId) -> torch.Tensor:
    """The neuron's activation where each token's embedding enters its layer by itself [vocabulary].

    Layers below stand aside, so this sees the weights of one layer and no context.
    """
    out = torch.empty(model.vocabulary, 1, 1)
    for first in range(0, model.vocabulary, TOKENS_AT_ONCE):
        some = out[first : first + TOKENS_AT_ONCE]
        ids = torch.arange(first, first + len(some), device=model.device)[:, None]
        with model.reading(neuron.layer, [neuron.index], ids.shape, some.copy_):
            model.run(ids, start=neuron.layer, stop=neuron.layer + 1)
    return out[:, 0, 0]


@torch.inference_mode()
def lens(model: PartialModel, neuron: NeuronId) -> torch.Tensor:
    """The logit that the neuron's output direction gives each token, less the mean over the vocabulary [vocabulary].

    The direction goes through the final norm and the unembedding, with either sign: half the difference is what it
    does by itself, without the biases that both share.
    """
    (direction,) = model.directions(neuron.layer, [neuron.index])
    unit = direction / direction.square().mean().sqrt().clamp_min(torch.finfo(direction.dtype).tiny)
    toward, away = torch.cat([few for _, few in model.log_probabilities(torch.stack([unit, -unit]))])
    half: torch.Tensor = (toward - away) / 2
    return half - half.mean()


@torch.inference_mode()
def changes(model: PartialModel, replacements: Sequence[Replacement]) -> torch.Tensor:
    """The change of each token's log-probability (nats), on the mean over all replaced positions [vocabulary]."""
    total, positions = torch.zeros(model.vocabulary, dtype=torch.float64), 0
    for one in replacements:
        ids = torch.tensor([one.token_ids], device=model.device)
        before = model.run(ids)[0, one.leading :]
        values = torch.tensor([one.values], device=model.device)
        columns, leading = (torch.tensor([n], device=model.device) for n in (one.neuron.index, one.leading))
        with model.replacing(one.neuron.layer, columns, values, leading):
            after = model.run(ids)[0, one.leading :]
        pairs = zip(model.log_probabilities(before), model.log_probabilities(after), strict=True)
        for (_, real), (_, changed) in pairs:
            total += (changed - real).double().sum(dim=0).cpu()
        positions += len(before)
    return total / max(1, positions)


def largest(values: torch.Tensor, count: int, named: Named) -> tuple[tuple[str, float], ...]:
    """The tokens with the largest of ``values`` [vocabulary], as far as they are above 0: at most ``count``.

    Of tokens with the same text the first counts; those without one are passed over.
    """
    found: dict[str, float] = {}
    for token_id in values.argsort(descending=True, stable=True).tolist():
        value = float(values[token_id])
        if len(found) == count or not value > 0:
            break
        text = named(token_id)
        if text is not None:
            found.setdefault(text, value)
    return tuple(found.items())


def effects(values: torch.Tensor, count: int, named: Named) -> TokenEffects:
    """The tokens with the largest of ``values`` [vocabulary] of either sign."""
    lowered = tuple((text, -value) for text, value in largest(-values, count, named))
    return TokenEffects(largest(values, count, named), lowered)
