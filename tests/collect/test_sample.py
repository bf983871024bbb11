"""Candidates are drawn by seed, and those that do not fire give way to the next of their layer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.collect.sample import All, ByActivity, Candidates, Listed, Stratified, Uniform, choose
from harness.types import NeuroglossError, Unit, UnitLayout


def layout(layers: int, width: int) -> UnitLayout:
    return UnitLayout("N", "neuron", (width,) * layers)


@given(st.integers(1, 6), st.integers(8, 20), st.integers(1, 2), st.integers(0, 3), st.integers(0, 99))
def test_stratified_takes_as_many_of_each_layer(
    layers: int, width: int, per_layer: int, spares: int, seed: int
) -> None:
    groups = Stratified(per_layer, spares, seed).candidates(layout(layers, width))
    assert [group.count for group in groups] == [per_layer] * layers
    for layer, group in enumerate(groups):
        assert len(set(group.units)) == len(group.units) == per_layer * (1 + spares)
        assert all(neuron.place == layer and 0 <= neuron.index < width for neuron in group.units)


def test_a_draw_depends_on_the_seed_and_not_on_the_number_of_spares() -> None:
    few, many = (Stratified(1, spares, 5).candidates(layout(3, 1000)) for spares in (0, 4))
    assert [group.units[0] for group in few] == [group.units[0] for group in many]
    assert Stratified(1, 0, 6).candidates(layout(3, 1000)) != few
    assert len({group.units[0].index for group in few}) == 3


@given(st.integers(1, 12), st.integers(0, 99))
def test_uniform_takes_as_many_in_all(neurons: int, seed: int) -> None:
    groups = Uniform(neurons, 1, seed).candidates(layout(3, 40))
    assert sum(group.count for group in groups) == neurons
    assert all(len(group.units) == 2 * group.count for group in groups)


def test_listed_takes_those_named_once() -> None:
    groups = Listed(["L1N2", "0:7", "L1N2"]).candidates(layout(2, 10))
    assert groups == [Candidates(1, (Unit("N", 1, 2),)), Candidates(1, (Unit("N", 0, 7),))]


def test_more_neurons_than_there_are_is_refused() -> None:
    with pytest.raises(NeuroglossError, match="11 neurons are requested in layer 0, which has 10"):
        Stratified(11).candidates(layout(2, 10))


def test_the_next_candidate_takes_the_place_of_one_that_does_not_fire() -> None:
    a, b, c, d = (Unit("N", 1, index) for index in range(4))
    groups = [Candidates(2, (a, b, c, d)), Candidates(1, (Unit("N", 0, 0), Unit("N", 0, 1)))]
    taken, passed = choose(groups, dict.fromkeys([b, c, Unit("N", 0, 0)], 0.5))
    assert taken == [Unit("N", 0, 0), b, c]
    assert passed == [a]  # and not d, whose turn never came


def test_too_few_that_fire_is_an_error_that_names_the_layer() -> None:
    with pytest.raises(NeuroglossError, match=r"only 0 of 2 candidates in layer 4 \(L4N1, L4N2\) fire"):
        choose([Candidates(1, (Unit("N", 4, 1), Unit("N", 4, 2)))], {})


def test_all_takes_every_neuron_that_fires_and_counts_the_others() -> None:
    groups = All().candidates(layout(2, 3))
    living = {Unit("N", 0, 0): 0.5, Unit("N", 0, 2): 0.1, Unit("N", 1, 1): 0.2}
    taken, passed = choose(groups, living)
    assert taken == list(living)
    assert passed == [Unit("N", 0, 1), Unit("N", 1, 0), Unit("N", 1, 2)]


def test_by_activity_spreads_over_how_often_candidates_fire() -> None:
    groups = ByActivity(3, 30, seed=1).candidates(layout(3, 10))
    activity = {neuron: neuron.index / 10 + neuron.place / 100 for neuron in groups[0].units if neuron.index}
    taken, passed = choose(groups, activity)
    shares = sorted(activity[neuron] for neuron in taken)
    assert shares == sorted(activity.values())[4::9]
    assert {neuron.index for neuron in passed} == {0}
    assert ByActivity(3, 20, seed=1).candidates(layout(3, 10))[0].units == groups[0].units[:20]


def test_more_by_activity_than_candidates_is_refused() -> None:
    with pytest.raises(NeuroglossError, match=r"sample\.neurons is 5 of 4 candidates"):
        ByActivity(5, 4)
    with pytest.raises(NeuroglossError, match=r"has 30 neurons; lower sample\.candidates"):
        ByActivity(5, 31).candidates(layout(3, 10))
