"""Calibration of the levels' probabilities: a temperature and a bias of each level, fitted after training.

Training shows more tokens that fire than a text has; the bias moves the probabilities to what held-back examples of the
trained families have, on texts chosen as excerpts of a task are.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch

from harness.models.tuned_network import LEVELS, TunedNetwork
from harness.tuning.examples import IGNORED, Examples
from harness.tuning.train import batch_of


@dataclass(frozen=True)
class Fitted:
    """What logits are divided by, and what is added to them then [levels]."""

    temperature: float
    bias: tuple[float, ...]


def fit(network: TunedNetwork, examples: Examples, seed: int, batches: int = 24) -> Fitted:
    """The temperature and bias of least cross-entropy, by L-BFGS, on examples that training did not see."""
    logits, levels = _held_back(network, examples, seed, batches)
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
def _held_back(network: TunedNetwork, examples: Examples, seed: int, batches: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [tokens, levels] and levels [tokens] of examples, half of whose texts are any texts."""
    logits, levels = [], []
    for number in range(batches):
        chance = random.Random(f"{seed} calibration {number}")
        groups = [group for _ in range(4) for group in examples.unit(chance, examples.pools[1], 4)]
        batch = batch_of(groups, examples)
        found = network(batch.explanations, batch.texts, batch.pairs)[:, 1:]
        asked = batch.levels != IGNORED
        logits.append(found[asked])
        levels.append(batch.levels[asked])
    return torch.cat(logits), torch.cat(levels)
