"""The lowest few are those that sorting everything would give, whatever the order and the parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.collect.kernels import wanted
from harness.collect.lowest import Entries, Lowest

GROUPS, PLACES, WIDTH = 5, 3, 2
ENTRIES = st.lists(
    st.tuples(st.integers(0, GROUPS - 1), st.sampled_from([0, 1, 2, 7, 2**32 - 1, 2**53 - 1, 2**53 - 2])),
    max_size=60,
)


def filled(entries: list[tuple[int, int, int]], parts: int) -> Lowest:
    """Of (group, order, content); the values say which entry they belong to."""
    made = Lowest(GROUPS, PLACES, WIDTH)
    for part in np.array_split(np.array(entries, dtype=np.uint64).reshape(-1, 3), parts):
        group, order, content = np.ascontiguousarray(part.T)
        made.add(Entries(group.astype(np.int64), order, content, np.stack([group, content], 1).astype(np.float32)))
    return made


@given(ENTRIES, st.randoms(use_true_random=False), st.integers(1, 6), st.integers(0, 60))
def test_what_is_kept_is_what_sorting_gives(drawn: list[tuple[int, int]], random: object, parts: int, cut: int) -> None:
    entries = [(group, order, content) for content, (group, order) in enumerate(drawn)]
    expected = [
        entry for group in range(GROUPS) for entry in sorted(one for one in entries if one[0] == group)[:PLACES]
    ]
    random.shuffle(entries)  # type: ignore[attr-defined]
    found = filled(entries[:cut], parts)
    found.add(filled(entries[cut:], parts).found())
    kept = found.found()
    assert list(zip(kept.group.tolist(), kept.order.tolist(), kept.content.tolist(), strict=True)) == expected
    np.testing.assert_array_equal(
        kept.values, [(group, content) for group, _, content in expected] or np.zeros((0, WIDTH))
    )


def test_one_group_is_found_alone() -> None:
    made = filled([(1, 5, 1), (2, 4, 2), (2, 3, 3), (4, 1, 4)], 1)
    kept = made.found(2, 3)
    assert kept.content.tolist() == [3, 2]
    np.testing.assert_array_equal(kept.values, [[2, 3], [2, 2]])
    assert made.contents().tolist() == [1, 2, 3, 4]


def test_rows_let_go_are_used_again() -> None:
    made = Lowest(GROUPS, PLACES, WIDTH)
    generator = np.random.default_rng(0)
    for number in range(200):
        group = generator.integers(0, GROUPS, 10)
        order = generator.integers(0, 2**53, 10).astype(np.uint64)
        content = np.arange(10 * number, 10 * number + 10, dtype=np.uint64)
        made.add(Entries(group, order, content, np.zeros((10, WIDTH), np.float32)))
    assert len(made.slots.values) <= GROUPS * PLACES
    assert len(made.found().group) == GROUPS * PLACES


def test_what_cannot_be_kept_is_not_wanted() -> None:
    made = filled([(0, order, 10 + order) for order in (1, 2, 3)], 1)
    order, content = np.array([3, 3, 4, 2], np.uint64), np.array([5, 20, 12, 13], np.uint64)
    assert wanted(made.slots, np.zeros(4, np.int64), order, content).tolist() == [True, False, False, True]
    assert wanted(made.slots, np.array([1]), np.array([2**53], np.uint64), np.array([1], np.uint64)).all()


@pytest.mark.parametrize(
    ("group", "shape"), [([-1], (1, WIDTH)), ([GROUPS], (1, WIDTH)), ([0], (1, WIDTH + 1)), ([0], (2, WIDTH))]
)
def test_what_does_not_fit_is_refused_and_writes_nothing(group: list[int], shape: tuple[int, int]) -> None:
    made = filled([(0, 5, 1), (1, 5, 2)], 1)
    key = np.array([1], np.uint64)
    with pytest.raises(ValueError, match="entries"):
        made.add(Entries(np.array(group), key, key, np.full(shape, 9, np.float32)))
    assert made.found().values.tolist() == [[0, 1], [1, 2]]
