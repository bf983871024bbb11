"""Views of a unit on the vocabulary: the tokens that excite it, and those it makes more or less likely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from harness.subjects.once import reading_once
from harness.subjects.partial import PartialModel
from harness.types import NeuroglossError, Replacement, TokenEffects, Unit, UnitKind

TOKENS_AT_ONCE = 2**12
"""Number of tokens of the vocabulary that go through a layer together."""

TextOf = Callable[[int], str | None]
"""A function from a token id to its text; None for a token that is not shown."""


@torch.inference_mode()
def activations(model: PartialModel, kind: UnitKind, unit: Unit) -> torch.Tensor:
    """Return the unit's activation when a token's embedding alone enters its layer, for each token [vocabulary].

    Layers below are skipped, so the result depends on the embeddings and on one layer, without any context.
    """
    out = torch.empty(model.vocabulary, 1, 1)
    place, index = kind.units(model).address(unit)
    layers = kind.layers(model, place)
    for first in range(0, model.vocabulary, TOKENS_AT_ONCE):
        chunk = out[first : first + TOKENS_AT_ONCE]
        ids = torch.arange(first, first + len(chunk), device=model.device)[:, None]
        with reading_once(model, kind, {place: [index]}, ids.shape, partial(_put, chunk)):
            model.run(ids, start=layers.start, stop=layers.stop)
    return out[:, 0, 0]


def _put(place_for: torch.Tensor, _: int, values: torch.Tensor) -> None:
    place_for.copy_(values)


@torch.inference_mode()
def lens(model: PartialModel, kind: UnitKind, unit: Unit) -> torch.Tensor:
    """Return the logit that the unit's output direction gives each token, minus the mean logit [vocabulary].

    The direction goes through the final norm and the unembedding with either sign. Half the difference is its logit
    without the biases, which both signs share.

    Raises:
        NeuroglossError: units of this kind write in no fixed direction.
    """
    place, index = kind.units(model).address(unit)
    directions = kind.direction(model, place, [index])
    if directions is None:
        raise NeuroglossError(
            f"{unit} writes in no fixed direction, like every {kind.noun}; leave out explainers that look at one."
        )
    (direction,) = directions
    unit_length = direction / direction.square().mean().sqrt().clamp_min(torch.finfo(direction.dtype).tiny)
    toward, away = torch.cat([chunk for _, chunk in model.log_probabilities(torch.stack([unit_length, -unit_length]))])
    half: torch.Tensor = (toward - away) / 2
    return half - half.mean()


@torch.inference_mode()
def changes(model: PartialModel, kind: UnitKind, replacements: Sequence[Replacement]) -> torch.Tensor:
    """Return the change of each token's log-probability (nats), averaged over all replaced positions [vocabulary]."""
    total, positions = torch.zeros(model.outputs, dtype=torch.float64), 0
    for replacement in replacements:
        place, index = kind.units(model).address(replacement.unit)
        ids = torch.tensor([replacement.token_ids], device=model.device)
        original = model.run(ids)[0, replacement.leading :]
        values = torch.tensor([replacement.values], device=model.device)
        indices, leading = (torch.tensor([n], device=model.device) for n in (index, replacement.leading))
        with kind.replace(model, place, indices, values, leading):
            changed = model.run(ids)[0, replacement.leading :]
        pairs = zip(model.log_probabilities(original), model.log_probabilities(changed), strict=True)
        for (_, original_chunk), (_, changed_chunk) in pairs:
            total += (changed_chunk - original_chunk).double().sum(dim=0).cpu()
        positions += len(original)
    return total / max(1, positions)


def largest(values: torch.Tensor, count: int, text_of: TextOf) -> tuple[tuple[str, float], ...]:
    """Return the tokens with the largest of ``values`` [vocabulary] above 0, as at most ``count`` (text, value).

    Of tokens with equal text the one with the largest value counts; tokens without a text are left out.
    """
    by_text: dict[str, float] = {}
    for token_id in values.argsort(descending=True, stable=True).tolist():
        value = float(values[token_id])
        if len(by_text) == count or not value > 0:
            break
        text = text_of(token_id)
        if text is not None:
            by_text.setdefault(text, value)
    return tuple(by_text.items())


def effects(values: torch.Tensor, count: int, text_of: TextOf) -> TokenEffects:
    """Return the tokens with the largest of ``values`` [vocabulary] of either sign."""
    lowered = tuple((text, -value) for text, value in largest(-values, count, text_of))
    return TokenEffects(largest(values, count, text_of), lowered)
