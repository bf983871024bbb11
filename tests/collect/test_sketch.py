"""What is kept of a corpus does not depend on the order or the parts in which its batches are read, and is right."""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import random as randoms
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.collect import kernels
from harness.collect.corpora import Passage
from harness.collect.kernels import CLASSES
from harness.collect.sketch import QUANTILES, Kept, Sketch, SketchSettings, content_key, neuron_keys, text_mark
from harness.types import NeuroglossError, Unit

NEURONS = [Unit("N", 0, 3), Unit("N", 0, 4), Unit("N", 2, 3)]
LAYERS = {0: slice(0, 2), 2: slice(2, 3)}
TOKENS, LEADING, VOCABULARY, BATCH = 5, 1, 11, 4
SETTINGS = SketchSettings(
    top=4, random=6, pool=0, quantile=3, tokens=TOKENS, leading=LEADING, vocabulary=VOCABULARY, seed=1
)

Corpus = tuple[list[Passage], np.ndarray]


def corpus(size: int, seed: int, digits: int = 0) -> Corpus:
    """Passages with activations [passages, tokens, neurons]; rounded, so that maxima tie."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, VOCABULARY, (size, TOKENS))
    passages = [
        Passage(f"d{row}:0", tuple(ids[row].tolist()), hashlib.sha256(f"{row} {seed}".encode()).hexdigest())
        for row in range(size)
    ]
    return passages, generator.normal(0, 2, (size, TOKENS, len(NEURONS))).round(digits).astype(np.float32)


def sketch(made: Corpus, batches: Sequence[int] | None = None, wanted: SketchSettings = SETTINGS) -> Sketch:
    """A sketch that has read some batches, in this order; by default all."""
    passages, activations = made
    found = Sketch(NEURONS, wanted)
    for number in range(-(-len(passages) // BATCH)) if batches is None else batches:
        rows = slice(number * BATCH, (number + 1) * BATCH)
        see = found.opened(number, passages[rows])
        for layer, places in LAYERS.items():
            see(layer, torch.from_numpy(activations[rows][..., places]))
    return found


def draws(neurons: Sequence[Unit], seed: int, keys: np.ndarray) -> np.ndarray:
    """[passages, neurons]."""
    return np.stack([kernels.draws(neuron_keys(neurons, seed), key) for key in keys])


def content(of: Sketch) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in of.state().items()}


# -------------------------------------------------------------------------------------------------- order and parts


@pytest.mark.slow
@settings(max_examples=settings().max_examples // 2)
@given(st.integers(0, 5), st.integers(1, 5), st.randoms(use_true_random=False))
def test_any_split_over_any_workers_gives_the_same_bytes(seed: int, workers: int, random: randoms.Random) -> None:
    """Also a merging in any order and any nesting, and a worker that read nothing."""
    made = corpus(38, seed, digits=seed % 3)
    numbers = list(range(10))
    random.shuffle(numbers)
    parts = [
        sketch(made, [number for number in numbers if number % 7 % workers == worker]) for worker in range(workers)
    ]
    while len(parts) > 1:
        random.shuffle(parts)
        parts[0].absorb(parts.pop())
    assert content(parts[0]) == content(sketch(made))


def test_a_sketch_that_was_saved_goes_on() -> None:
    made = corpus(38, 3)
    first = sketch(made, [0, 5, 9])
    again = Sketch(NEURONS, SETTINGS)
    again.restore(first.state())
    assert content(again) == content(first)
    assert [again.has(number) for number in range(11)] == [number in (0, 5, 9) for number in range(11)]
    again.absorb(sketch(made, [1, 2, 3, 4, 6, 7, 8]))
    assert content(again) == content(sketch(made))
    with pytest.raises(ValueError, match="batch 4 was read before"):
        again.opened(4, made[0][:BATCH])


def test_a_batch_is_marked_by_all_that_a_task_would_hold_of_it() -> None:
    one, other = Passage("d:0", (1, 2), "a" * 64), Passage("e:0", (3, 2), "b" * 64)
    batches = [
        (0, [one, other]),
        (1, [one, other]),
        (0, [other, one]),
        (0, [one]),
        (0, [one, dataclasses.replace(other, source="f:0")]),
        (0, [one, dataclasses.replace(other, token_ids=(1, 2))]),
        (0, [one, dataclasses.replace(other, digest="c" * 64)]),
    ]
    assert len({text_mark(*batch) for batch in batches}) == len(batches)
    assert text_mark(0, [one, other]) == 12472536530804736310  # on any machine


def _fill(made: Corpus) -> None:
    sketch(made)


def test_a_process_that_was_forked_reads_too() -> None:
    made = corpus(8, 0)
    sketch(made)
    child = multiprocessing.get_context("fork").Process(target=_fill, args=(made,))
    child.start()
    child.join(60)
    child.kill()
    assert child.exitcode == 0


def test_parts_that_do_not_fit_are_refused() -> None:
    made = corpus(20, 0)
    with pytest.raises(NeuroglossError, match="have read the same batch"):
        sketch(made, [0, 1]).absorb(sketch(made, [1]))
    other = SketchSettings(**{**vars(SETTINGS), "top": 5})
    with pytest.raises(NeuroglossError, match="different neurons or settings"):
        sketch(made, [0]).absorb(sketch(made, [1], other))
    with pytest.raises(ValueError, match="ascending order"):
        Sketch(NEURONS[::-1], SETTINGS)


# ---------------------------------------------------------------------------------------------------- what it holds


def test_the_top_are_those_of_largest_maximum_over_the_scored_positions() -> None:
    passages, activations = corpus(40, 0)
    activations[7, 0] = 1000  # a leading position
    found = sketch((passages, activations))
    for place in range(len(NEURONS)):
        maxima = activations[:, LEADING:, place].max(axis=1)
        ranked = sorted(range(40), key=lambda row: (-maxima[row], content_key(passages[row])))
        top = found.top(place)
        assert top.content.tolist() == [content_key(passages[row]) for row in ranked[:4]]
        np.testing.assert_array_equal(top.activations, activations[ranked[:4], :, place])


def test_the_random_ones_are_those_of_lowest_draw() -> None:
    passages, activations = corpus(40, 0)
    found = sketch((passages, activations))
    keys = np.array([content_key(passage) for passage in passages], dtype=np.uint64)
    drawn = draws(NEURONS, SETTINGS.seed, keys)
    for place in range(len(NEURONS)):
        first = drawn[:, place].argsort()[: SETTINGS.top + SETTINGS.random]
        np.testing.assert_array_equal(found.random(place).content, keys[first])
        np.testing.assert_array_equal(found.random(place).activations, activations[first, :, place])


def test_moments_and_sums_are_those_of_all_scored_positions() -> None:
    passages, activations = corpus(61, 1, digits=3)
    found = sketch((passages, activations))
    ids = np.array([passage.token_ids for passage in passages])[:, LEADING:]
    np.testing.assert_array_equal(found.token_counts, np.bincount(ids.ravel(), minlength=VOCABULARY))
    for place in range(len(NEURONS)):
        values = activations[:, LEADING:, place].astype(np.float64)
        moments = found.moments(place)
        assert moments.count == values.size
        assert moments.mean == pytest.approx(values.mean(), rel=1e-5)
        assert moments.variance == pytest.approx(values.var(), rel=1e-5)
        assert moments.skewness == pytest.approx(stats.skew(values, axis=None), rel=1e-5)
        assert moments.kurtosis == pytest.approx(stats.kurtosis(values, axis=None, fisher=False), rel=1e-5)
        assert moments.fraction_active == (values > 0).mean() == found.fraction_active[place]
        assert moments.maximum == values.max()
        assert found.firing[place] == (values.max(axis=1) > 0).sum()
        tokens = np.arange(VOCABULARY)
        expected = [values[ids == token].sum() for token in tokens]
        np.testing.assert_allclose(found.token_sums(tokens, place), expected, rtol=1e-12, atol=1e-12)


def test_strata_are_uniform_samples_between_boundaries() -> None:
    passages, activations = corpus(3000, 2, digits=4)
    found = sketch((passages, activations), wanted=SketchSettings(**{**vars(SETTINGS), "quantile": 8}))
    keys = np.array([content_key(passage) for passage in passages], dtype=np.uint64)
    drawn = draws(NEURONS, SETTINGS.seed, keys)
    for place in range(len(NEURONS)):
        maxima = activations[:, LEADING:, place].max(axis=1)
        strata = found.strata(place)
        assert sum(one.count for one in strata) == 3000
        assert len(strata) == len(QUANTILES) + 1
        edges = [one.lower for one in strata] + [np.inf]
        assert edges == sorted(edges)
        for stratum, lower, upper in zip(strata, edges[:-1], edges[1:], strict=True):
            inside = np.flatnonzero((maxima >= lower) & (maxima < upper))
            assert stratum.count == len(inside)
            first = inside[drawn[inside, place].argsort()][:8]
            np.testing.assert_array_equal(stratum.passages.content, keys[first])
        shares = [(maxima < edge).mean() for edge in edges[1:-1]]
        assert np.abs(np.array(shares) - QUANTILES).max() < 0.2
        assert abs(shares[2] - 0.99) < 0.02


def test_classes_are_cut_at_their_edges() -> None:
    values = np.array([-3, 0, 1e-9, 2.0**-16, 1.0, 1.4999999, 1.5, 2.0, 1e9], dtype=np.float32)
    found = kernels.orders(values.view(np.int32)[:, None])[1][:, 0]
    assert found.tolist() == [0, 0, 0, 1, 33, 33, 34, 35, CLASSES - 1]
    for value, number in zip(values, found, strict=True):
        assert kernels.lower_edge(int(number)) <= value
        assert number == CLASSES - 1 or value < kernels.lower_edge(int(number) + 1)


def test_what_never_varies_has_no_shape() -> None:
    passages, activations = corpus(20, 2)
    moments = sketch((passages, np.zeros_like(activations))).moments(0)
    assert (moments.mean, moments.variance, moments.skewness, moments.kurtosis) == (0, 0, 0, 0)


def test_no_more_is_kept_than_asked_for() -> None:
    without = SketchSettings(top=4, random=6, pool=0, quantile=0, tokens=TOKENS, leading=1, vocabulary=0, seed=1)
    found = sketch(corpus(20, 2), wanted=without)
    assert found.token_counts.size == found.state()["by_class_group"].size == 0
    assert isinstance(found.top(0), Kept)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("position", [0, 3])
def test_what_is_not_a_finite_number_is_named(wrong: float, position: int) -> None:
    passages, activations = corpus(20, 2)
    activations[9, position, 2] = wrong
    if position < LEADING and np.isfinite(wrong):
        sketch((passages, activations))
        return
    with pytest.raises(NeuroglossError, match="activation of L2N3 is not a finite number"):
        sketch((passages, activations))


def test_activations_of_another_shape_are_refused() -> None:
    passages, activations = corpus(8, 2)
    for wrong in (activations[:3, :, :2], activations[:4, :3, :2], activations, activations[:4, :, :2].astype(float)):
        with pytest.raises(ValueError, match="activations are"):
            Sketch(NEURONS, SETTINGS).opened(0, passages[:4])(0, torch.from_numpy(wrong))


# ---------------------------------------------------------------------------------------------------------- memory


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus() -> None:
    sizes = []
    for size in (2000, 4000):
        found = sketch(corpus(size, 3))
        sizes.append(sum(array.nbytes for name, array in found.state().items() if name != "done"))
    assert sizes[1] < 1.1 * sizes[0]
    kept = len(NEURONS) * (SETTINGS.top + SETTINGS.top + SETTINGS.random + CLASSES * SETTINGS.quantile)
    assert len(found.passages) <= kept


def test_passages_are_let_go_while_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.collect.sketch.PRUNED_FROM", 8)
    made = corpus(800, 3)
    found = sketch(made)
    assert len(found.passages) < 400
    monkeypatch.undo()
    assert content(found) == content(sketch(made))


@pytest.mark.parametrize("quantile", [0, 3])
def test_what_an_accelerator_holds_is_kept_the_same_way(monkeypatch: pytest.MonkeyPatch, quantile: int) -> None:
    """Sums within a passage may differ in their last bits; these activations are whole numbers, so that none do."""
    made, wanted = corpus(38, 6), dataclasses.replace(SETTINGS, quantile=quantile)
    expected = content(sketch(made, wanted=wanted))
    for size in (0, 200, 2**30):
        with monkeypatch.context() as held:
            held.setattr("harness.collect.sketch.HELD_BYTES", size)
            held.setattr("harness.collect.sketch.PRUNED_FROM", 2)
            held.setattr(Sketch, "_see", lambda self, layer, *rest: self._hold(self._columns[layer], *rest))
            found = sketch(made, wanted=wanted)
            other = sketch(made, [0, 3, 4], wanted)
            other.absorb(sketch(made, [1, 2, 5, 6, 7, 8, 9], wanted))
            assert size or not found._pending
            assert content(found) == content(other) == expected


def test_what_an_accelerator_holds_is_checked_when_it_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    passages, activations = corpus(20, 2)
    activations[9, 0, 2] = np.nan
    monkeypatch.setattr(Sketch, "_see", lambda self, layer, *rest: self._hold(self._columns[layer], *rest))
    found = sketch((passages, activations))
    with pytest.raises(NeuroglossError, match="activation of L2N3 is not a finite number"):
        found.state()


def test_random_passages_are_uniform_and_others_for_every_neuron_and_seed() -> None:
    keys = np.array([content_key(passage) for passage in corpus(256, 4)[0]], dtype=np.uint64)
    neurons = [Unit("N", layer, index) for layer in range(20) for index in range(50)]
    drawn = draws(neurons, 0, keys).T
    assert (drawn < 2**53).all()
    chosen = (drawn.argsort(axis=1).argsort(axis=1) < 32).sum(axis=0)  # how often each passage is among the lowest 32
    assert stats.chisquare(chosen).pvalue > 1e-3
    assert abs(np.corrcoef(drawn[0].astype(float), drawn[1].astype(float))[0, 1]) < 0.25
    assert not np.array_equal(draws(neurons, 1, keys).T, drawn)
