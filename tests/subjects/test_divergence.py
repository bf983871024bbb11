"""The divergence equals its definition, and float32 carries small ones."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.subjects.divergence import jensen_shannon

LOGITS = st.lists(st.floats(-30, 30, width=32), min_size=7, max_size=7)


def definition(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    log_p, log_q = log_p.double(), log_q.double()
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return ((log_p.exp() * (log_p - log_m)).sum(-1) + (log_q.exp() * (log_q - log_m)).sum(-1)) / 2


@settings(max_examples=settings().max_examples // 2)
@given(LOGITS, LOGITS)
def test_it_is_the_definition_symmetric_and_bounded(p: list[float], q: list[float]) -> None:
    log_p, log_q = (torch.tensor(one, dtype=torch.float32).log_softmax(-1) for one in (p, q))
    found = jensen_shannon(log_p, log_q)
    assert float(found) == pytest.approx(float(definition(log_p, log_q)), abs=3e-6)
    assert float(found) == pytest.approx(float(jensen_shannon(log_q, log_p)), abs=3e-6)
    assert -3e-6 <= float(found) <= math.log(2) + 3e-6


@pytest.mark.parametrize("step", [1.0, 1e-1, 1e-2, 1e-3])
def test_float32_carries_small_divergences_over_a_large_vocabulary(step: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(3, 50_000, generator=generator)
    changed = logits + step * torch.randn(3, 50_000, generator=generator)
    exact = definition(logits.double().log_softmax(-1), changed.double().log_softmax(-1))
    found = jensen_shannon(logits.log_softmax(-1), changed.log_softmax(-1)).double()
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=0)


def test_equal_distributions_differ_by_nothing_and_disjoint_ones_by_ln_2() -> None:
    certain = torch.tensor([0.0, -math.inf, -200.0])
    other = torch.tensor([-math.inf, 0.0, -200.0])
    assert abs(float(jensen_shannon(certain, certain))) < 1e-30
    assert float(jensen_shannon(certain, other)) == pytest.approx(math.log(2))
