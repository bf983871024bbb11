"""Calibration of the levels' probabilities: a temperature, and a bias for each level, fitted after training.

Firing tokens are more frequent in training than in ordinary text. The bias moves the probabilities to the frequencies
of examples that training did not see, on texts chosen as the excerpts of a task are.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch

from harness.models.tuned.network import LEVELS, TunedNetwork
from harness.training.examples import IGNORED, Examples
from harness.training.train import batch_of
from harness.training.voices import Voices


@dataclass(frozen=True)
class Fitted:
    """Calibration of logits: they are divided by ``temperature``, then ``bias`` [levels] is added."""

    temperature: float
    bias: tuple[float, ...]


def fit(
    network: TunedNetwork, examples: Examples, seed: int, batches: int = 24, voices: Voices | None = None
) -> Fitted:
    """Return the temperature and bias of least cross-entropy, fitted by L-BFGS on examples that training did not see.

    Args:
        network: the trained network.
        examples: the source of the examples.
        seed: decides which examples are drawn.
        batches: number of batches to fit on.
        voices: a further source, of which every other unit is.
    """
    logits, levels = _held_back(network, examples, seed, batches, voices)
    scale, bias = torch.zeros(1, requires_grad=True), torch.zeros(LEVELS, requires_grad=True)
    optimizer = torch.optim.LBFGS([scale, bias], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits * scale.exp() + bias, levels) + 1e-3 * (bias**2).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return Fitted((-scale).exp().item(), tuple(bias.detach().tolist()))


@torch.no_grad()
def _held_back(
    network: TunedNetwork, examples: Examples, seed: int, batches: int, voices: Voices | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits [tokens, levels] and levels [tokens] of new examples; half of their texts are drawn at random."""
    logits, levels = [], []
    for number in range(batches):
        chance = random.Random(f"{seed} calibration {number}")
        drawn = [voices if voices is not None and place % 2 else examples for place in range(4)]
        groups = [group for source in drawn for group in source.unit(chance, examples.pools[1], 4)]
        batch = batch_of(groups, examples, network.pieces)
        output = network(batch.explanations, batch.texts, batch.pairs)[:, 1:].float().cpu()
        mask = batch.levels != IGNORED
        logits.append(output[mask])
        levels.append(batch.levels[mask])
    return torch.cat(logits), torch.cat(levels)
