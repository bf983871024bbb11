"""What is kept of a corpus does not depend on the order or the parts in which it is read, and is exact."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.subjects.corpora import Passage
from harness.subjects.sketch import Sketch, content_key, draws
from harness.types import NeuronId

NEURONS = [NeuronId(0, 3), NeuronId(0, 4), NeuronId(2, 3)]
TOKENS, LEADING, VOCABULARY = 5, 1, 11


def corpus(size: int, seed: int) -> tuple[list[Passage], np.ndarray]:
    """Passages with activations [passages, tokens, neurons]; rounded, so that maxima tie."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, VOCABULARY, (size, TOKENS))
    passages = [
        Passage(f"d{row}:0", tuple(ids[row].tolist()), hashlib.sha256(bytes([row, seed])).hexdigest())
        for row in range(size)
    ]
    return passages, generator.normal(0, 2, (size, TOKENS, len(NEURONS))).round(0).astype(np.float32)


def sketch(passages: list[Passage], activations: np.ndarray, order: list[int], parts: int) -> Sketch:
    made = Sketch(NEURONS, top=4, random=6, tokens=TOKENS, leading=LEADING, vocabulary=VOCABULARY, seed=1)
    for part in np.array_split(np.array(order), parts):
        if part.size:
            made.add([passages[row] for row in part], activations[part])
    return made


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(40)), st.integers(1, 12), st.integers(0, 5))
def test_order_and_parts_do_not_matter(order: list[int], parts: int, seed: int) -> None:
    passages, activations = corpus(40, seed)
    whole = sketch(passages, activations, list(range(40)), 1)
    found = sketch(passages, activations, order, parts)
    for kept in ("top", "random"):
        for field in ("order", "content", "activations"):
            expected = getattr(getattr(whole, kept), field)
            np.testing.assert_array_equal(getattr(getattr(found, kept), field), expected)
    assert found.passages == whole.passages
    np.testing.assert_array_equal(found.token_counts, whole.token_counts)
    np.testing.assert_allclose(found.token_sums, whole.token_sums)
    np.testing.assert_allclose(found.powers, whole.powers)
    np.testing.assert_array_equal(found.firing, whole.firing)


def test_the_top_are_those_of_largest_maximum_over_the_scored_positions() -> None:
    passages, activations = corpus(40, 0)
    activations[7, 0] = 1000  # a leading position
    found = sketch(passages, activations, list(range(40)), 3)
    for place in range(len(NEURONS)):
        maxima = activations[:, LEADING:, place].max(axis=1)
        ranked = sorted(range(40), key=lambda row: (-maxima[row], content_key(passages[row])))
        assert found.top.content[place].tolist() == [content_key(passages[row]) for row in ranked[:4]]
        np.testing.assert_array_equal(found.top.activations[place], activations[ranked[:4], :, place])


def test_moments_and_sums_are_those_of_all_scored_positions() -> None:
    passages, activations = corpus(60, 1)
    found = sketch(passages, activations, list(range(60)), 7)
    ids = np.array([passage.token_ids for passage in passages])[:, LEADING:]
    for place in range(len(NEURONS)):
        values = activations[:, LEADING:, place].astype(np.float64)
        moments = found.moments(place)
        assert moments.count == values.size
        assert moments.mean == pytest.approx(values.mean())
        assert moments.variance == pytest.approx(values.var())
        assert moments.skewness == pytest.approx(stats.skew(values, axis=None))
        assert moments.kurtosis == pytest.approx(stats.kurtosis(values, axis=None, fisher=False))
        assert moments.fraction_active == pytest.approx((values > 0).mean())
        assert moments.maximum == values.max()
        assert found.firing[place] == (values.max(axis=1) > 0).sum()
        for token in range(VOCABULARY):
            assert found.token_counts[token] == (ids == token).sum()
            assert found.token_sums[token, place] == pytest.approx(values[ids == token].sum())


def test_what_never_varies_has_no_shape() -> None:
    passages, activations = corpus(20, 2)
    moments = sketch(passages, np.zeros_like(activations), list(range(20)), 1).moments(0)
    assert (moments.mean, moments.variance, moments.skewness, moments.kurtosis) == (0, 0, 0, 0)


def test_memory_does_not_grow_with_the_corpus() -> None:
    passages, activations = corpus(200, 3)
    found = sketch(passages, activations, list(range(200)), 20)
    assert len(found.passages) <= len(NEURONS) * (4 + 4 + 6)


def test_random_passages_are_uniform_and_others_for_every_neuron_and_seed() -> None:
    content = np.array([content_key(passage) for passage in corpus(256, 4)[0]], dtype=np.uint64)
    neurons = [NeuronId(layer, index) for layer in range(20) for index in range(50)]
    drawn = draws(neurons, content, seed=0)
    assert ((drawn >= 0) & (drawn < 1)).all()
    chosen = (drawn.argsort(axis=1).argsort(axis=1) < 32).sum(axis=0)  # how often each passage is among the lowest 32
    assert stats.chisquare(chosen).pvalue > 1e-3
    assert abs(np.corrcoef(drawn[0], drawn[1])[0, 1]) < 0.25
    assert not np.array_equal(draws(neurons, content, seed=1), drawn)
