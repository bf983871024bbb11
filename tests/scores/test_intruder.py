"""Trials of intruder detection: each excerpt stands in one, and a judge that sees nothing is at chance."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.scores.intruder import OWN, SIZE, trials
from harness.types import Excerpt, ExcerptKind

TOP, RANDOM = ExcerptKind.TOP, ExcerptKind.RANDOM


def excerpts(number: int, kind: ExcerptKind, peak: float) -> list[Excerpt]:
    return [
        Excerpt((f"{kind}{place}", "a", "b", "c"), (), (99.0, 0.0, peak, 0.0), kind, leading=1)
        for place in range(number)
    ]


@given(st.integers(0, 30), st.integers(0, 20))
def test_a_trial_has_four_excerpts_of_the_unit_and_an_intruder_and_no_excerpt_stands_in_two(
    top: int, random: int
) -> None:
    made = trials(excerpts(top, TOP, 10.0), excerpts(random, RANDOM, 1.0), 3)
    assert len(made) == (min(top // OWN, random, SIZE) if top else 0)
    shown = [marked.excerpt.tokens for trial in made for marked in trial.excerpts]
    assert len(set(shown)) == len(shown) == SIZE * len(made)
    for trial in made:
        kinds = [marked.excerpt.kind for marked in trial.excerpts]
        assert [place for place, kind in enumerate(kinds) if kind is RANDOM] == [trial.intruder]
        assert {len(marked.marked) for marked in trial.excerpts} == {1}
        assert all(0 not in marked.marked for marked in trial.excerpts)  # a leading token fires in none
    assert trials(excerpts(top, TOP, 10.0), excerpts(random, RANDOM, 1.0), 3) == made


def test_over_five_trials_the_intruder_stands_at_each_place_once() -> None:
    made = trials(excerpts(20, TOP, 10.0), excerpts(15, RANDOM, 1.0), 3)
    assert [trial.intruder for trial in made] == [0, 1, 2, 3, 4]


def test_an_excerpt_on_which_the_unit_fires_is_no_intruder() -> None:
    assert trials(excerpts(20, TOP, 10.0), excerpts(15, RANDOM, 3.0), 3) == []
    assert trials(excerpts(3, TOP, 10.0) + excerpts(9, TOP, 2.0), excerpts(15, RANDOM, 1.0), 3) == []
