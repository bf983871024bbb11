"""Compiled loops give what operations on whole arrays give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.collect import kernels
from harness.collect.kernels import CLASSES, POWERS
from harness.collect.lowest import Lowest
from harness.collect.reduction import reduce


def taken(activations: np.ndarray, leading: int) -> tuple[np.ndarray, np.ndarray]:
    """What is reduced while passages are offered to kinds that have room for one of each neuron."""
    passages, tokens, neurons = activations.shape
    kinds = [Lowest(groups, 1, tokens) for groups in (neurons, neurons, neurons * CLASSES)]
    for kind in kinds:
        kind.reserve(passages * neurons)
    content, keys = np.arange(passages, dtype=np.uint64), np.arange(neurons, dtype=np.uint64)
    counts = np.zeros((neurons, CLASSES), dtype=np.int64)
    found: tuple[np.ndarray, np.ndarray] = kernels.take_in(
        activations, leading, 0, content, keys, *(kind.slots for kind in kinds), counts
    )
    assert counts.sum() == passages * neurons
    return found


@pytest.mark.parametrize("neurons", [1, 3, 40])
@pytest.mark.parametrize(("tokens", "leading"), [(1, 0), (3, 0), (5, 0), (7, 1), (8, 1), (9, 1), (10, 4), (12, 11)])
def test_activations_are_reduced_over_all_scored_positions(tokens: int, leading: int, neurons: int) -> None:
    activations = np.random.default_rng(tokens).normal(-0.5, 2, (6, tokens, neurons)).astype(np.float32)
    highest, totals = taken(activations, leading)
    scored = activations[:, leading:].astype(np.float64)
    np.testing.assert_array_equal(highest, scored.max(axis=1))
    for power in range(POWERS):
        np.testing.assert_allclose(totals[power], (scored ** (power + 1)).sum(axis=(0, 1)), rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(totals[POWERS], (scored > 0).sum(axis=(0, 1)))
    most, sums, finite = reduce(torch.from_numpy(activations), leading)
    np.testing.assert_array_equal(highest, most)
    np.testing.assert_allclose(totals, sums, rtol=1e-5, atol=1e-4)
    assert finite.all()


def test_there_is_one_zero() -> None:
    highest, _ = taken(np.full((1, 3, 2), -0.0, np.float32), 0)
    assert not np.signbit(highest).any()
    assert not torch.signbit(reduce(torch.full((1, 3, 2), -0.0), 0)[0]).any()


def test_larger_maxima_come_first() -> None:
    values = np.array([[-3e38, -1.5, -1e-40, 0, 1e-40, 1e-9, 1.0, np.nextafter(np.float32(1), 2), 3e38]], np.float32)
    descending, _ = kernels.orders(values.view(np.int32))
    assert (np.diff(descending[0].astype(np.int64)) < 0).all()
    assert descending.max() < 2**32


def test_loops_are_compiled_where_there_is_no_place_to_keep_them(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_ = kernels.numba.njit

    def nowhere(*, cache: bool = False, **how: bool) -> object:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compile_(**how)

    monkeypatch.setattr(kernels.numba, "njit", nowhere)
    assert kernels._compiled(lambda number: number + 1)(2) == 3
