"""Every neuron gets another one's explanation, every one once, whatever order they are asked in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.explainers.controls.shuffled import Shuffled, partners
from harness.explainers.max_activation import MaxActivation
from harness.explainers.token_activation import TokenActivation
from harness.types import NeuroglossError, Role, Unit

NEURONS = st.lists(st.builds(Unit, st.just("N"), st.integers(0, 30), st.integers(0, 2000)), min_size=2, unique=True)


@given(NEURONS, st.integers(0, 5), st.randoms())
def test_partners_are_a_derangement_that_order_does_not_change(neurons, seed: int, random) -> None:
    found = partners(neurons, seed)
    assert set(found) == set(found.values()) == set(neurons)
    assert all(neuron != other for neuron, other in found.items())
    random.shuffle(neurons)
    assert partners(neurons, seed) == found


def test_the_seed_chooses_the_partners() -> None:
    neurons = [Unit("N", 0, index) for index in range(20)]
    assert len({tuple(partners(neurons, seed).values()) for seed in range(10)}) == 10


def test_partners_stay_the_same_from_version_to_version() -> None:
    found = partners([Unit("N", 0, index) for index in range(4)], seed=0)
    assert [found[Unit("N", 0, index)].index for index in range(4)] == [2, 3, 1, 0]


def test_each_neuron_gets_the_text_of_another(evidence, excerpt) -> None:
    asked = [evidence(index, (excerpt((f"word{index}", 1.0)),)) for index in range(5)]
    told = Shuffled(MaxActivation(1), seed=1).explain(asked)
    assert [one.unit for one in told] == [known.unit for known in asked]
    assert sorted(one.text for one in told) == [f'the token "word{index}"' for index in range(5)]
    assert all(f"word{one.unit.index}" not in one.text for one in told)


def test_what_it_cost_and_which_prompt_stay_with_the_text(scripted, evidence) -> None:
    told = Shuffled(TokenActivation(scripted("first", "second"))).explain([evidence(0), evidence(1)])
    assert [(one.unit.index, one.text) for one in told] == [(0, "second"), (1, "first")]
    assert all(one.usage.requests == 1 and one.prompt_version for one in told)


def test_one_neuron_cannot_be_shuffled(evidence) -> None:
    with pytest.raises(NeuroglossError, match="at least two neurons"):
        Shuffled(MaxActivation()).explain([evidence()])
    assert Shuffled(MaxActivation()).role is Role.FLOOR
