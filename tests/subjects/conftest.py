"""Subjects of three families, small and random, and a slow implementation to hold the fast one against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import weights
from harness.subjects.locate import locate
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import Effect, Replacement

FAMILIES = ("tiny_llama", "tiny_gpt2", "tiny_neox")
Slow = Callable[[Any, Replacement], Effect]


@pytest.fixture(scope="session", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Path:
    """A folder with a small model, of each family in turn."""
    folder: Path = request.getfixturevalue(request.param)
    return folder


@pytest.fixture(scope="session")
def model(family: Path) -> Any:
    return weights.load(str(family)).model


@pytest.fixture(scope="session")
def subject(family: Path) -> TransformersSubject:
    return TransformersSubject(str(family), batch_size=3)


def _logits(model: Any, replacement: Replacement | None, tokens: Sequence[int]) -> torch.Tensor:
    """Logits of a whole forward pass, in float64, with one neuron replaced by a hook."""
    handles = []
    if replacement is not None:

        def hook(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
            changed = inputs[0].clone()
            for position in range(replacement.leading, len(replacement.values)):
                changed[0, position, replacement.neuron.index] = replacement.values[position]
            return (changed,)

        handles.append(locate(model).projections[replacement.neuron.layer].register_forward_pre_hook(hook))
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([list(tokens)])).logits[0].double()
    for handle in handles:
        handle.remove()
    return logits


@pytest.fixture(scope="session")
def slow_effect() -> Slow:
    """The Jensen-Shannon divergence and the change in loss as they are defined, from two whole forward passes."""

    def effect(model: Any, replacement: Replacement) -> Effect:
        tokens = torch.tensor(replacement.token_ids)
        logits = [_logits(model, one, replacement.token_ids) for one in (None, replacement)]
        p, q = (some.softmax(-1) for some in logits)
        m = (p + q) / 2
        kl = [(one * (one / m).log()).nan_to_num(0.0).sum(-1) for one in (p, q)]
        before, after = (torch.nn.functional.cross_entropy(some[:-1], tokens[1:]) for some in logits)
        return Effect(float(((kl[0] + kl[1]) / 2).mean()), float(after - before))

    return effect
