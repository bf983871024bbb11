"""Which pairs of tokens are asked about, and what the answers say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scores.pairs import PairCase, PairKind, cases, figures
from harness.types import Excerpt, ExcerptKind

TOKENS = ("<s>", " the", " cat", " sat", " on", " the", " mat", " and", " the", " cat")


def excerpt(tokens: tuple[str, ...] = TOKENS, leading: int = 1) -> Excerpt:
    zeros = (0.0,) * len(tokens)
    return Excerpt(tokens, tuple(range(len(tokens))), zeros, ExcerptKind.TOP, leading=leading)


def attending(query: int, key: int, size: int = len(TOKENS), strength: float = 1.0) -> np.ndarray:
    pairs = np.zeros((size, size))
    pairs[query, key] = strength
    pairs[:, 0] = 50.0  # the sink
    return pairs


def by_kind(chosen: list[PairCase]) -> dict[PairKind, tuple[int, int]]:
    return {case.kind: (case.query, case.key) for case in chosen}


def test_the_strongest_pair_is_true_and_three_silent_ones_are_false() -> None:
    pairs = by_kind(cases([excerpt()], [attending(5, 2)], level=3))
    assert pairs[PairKind.ATTENDED] == (5, 2)
    query, key = pairs[PairKind.SAME_KEY]
    assert TOKENS[key] == " cat"
    assert query != 5
    query, key = pairs[PairKind.SAME_DISTANCE]
    assert (query - key, (query, key) != (5, 2)) == (3, True)
    assert len(pairs) == 4


@given(st.integers(1, 3), st.integers(0, 10**6))
def test_no_pair_is_of_a_leading_token_or_looks_ahead_or_is_attended_a_little(leading: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = np.tril(rng.exponential(size=(10, 10)) ** 3)
    chosen = cases([excerpt(leading=leading)], [pairs], level=3)
    largest = max(pairs[query, key] for query in range(leading, 10) for key in range(leading, query + 1))
    for case in chosen:
        assert leading <= case.key <= case.query
        strength = pairs[case.query, case.key]
        assert strength == largest if case.kind is PairKind.ATTENDED else strength < largest / 10
    assert chosen == cases([excerpt(leading=leading)], [pairs], level=3)


def test_the_first_position_is_left_out_though_nothing_leads() -> None:
    assert by_kind(cases([excerpt(leading=0)], [attending(5, 2)], level=3))[PairKind.ATTENDED] == (5, 2)


def test_an_excerpt_whose_strongest_pair_is_weak_beside_others_makes_no_case() -> None:
    weak, strong = attending(4, 3, strength=0.2), attending(5, 2)
    first, *_ = cases([excerpt()] * 2, [weak, strong], level=3)
    assert first.query == 5
    assert len(cases([excerpt()] * 2, [weak, strong], level=2)) == 8
    assert cases([excerpt()], [attending(5, 2, strength=0.0)], level=1) == []
    assert cases([], [], level=1) == []


def test_a_kind_that_an_excerpt_lacks_is_left_out() -> None:
    pairs = cases([excerpt(("<s>", " a", " b"))], [attending(2, 1, size=3)], level=3)
    assert [case.kind for case in pairs] == [PairKind.ATTENDED, PairKind.SAME_KEY, PairKind.RANDOM]


KINDS = [PairKind.ATTENDED, PairKind.SAME_KEY, PairKind.SAME_DISTANCE, PairKind.RANDOM]


def test_figures_tell_the_kinds_of_false_pairs_apart() -> None:
    values, missing = figures(KINDS, [0.5, 0.9, 0.1, 0.5])
    assert values == {"pairs": 0.5, "pairs_key": 0.0, "pairs_distance": 1.0, "pairs_random": 0.5}
    assert missing == {}


@pytest.mark.parametrize("kinds", [[PairKind.ATTENDED], [PairKind.RANDOM]])
def test_pairs_of_one_truth_have_no_figure(kinds: list[PairKind]) -> None:
    values, missing = figures(kinds, [0.5])
    assert values == {}
    assert set(missing) == {"pairs", "pairs_key", "pairs_distance", "pairs_random"}
