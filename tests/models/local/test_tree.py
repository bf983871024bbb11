"""Every sequence is in the tree, every shared beginning once; and each cut of it finds the ancestors of its nodes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.models.local import tree

SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=14), min_size=1, max_size=12)


@given(SEQUENCES)
def test_each_beginning_stands_once_and_each_sequence_is_found(sequences: list[list[int]]) -> None:
    built = tree.build(sequences)
    beginnings = {tuple(ids[:length]) for ids in sequences for length in range(1, len(ids) + 1)}
    assert len(built.tokens) == len(beginnings)
    for ids, end in zip(sequences, built.ends, strict=True):
        path = built.path(int(end))
        assert built.tokens[path].tolist() == ids
        assert built.depth[path].tolist() == list(range(len(ids)))


@pytest.mark.slow
@given(SEQUENCES, st.data())
def test_marks_are_the_nodes_of_the_places_asked_for(sequences: list[list[int]], data: st.DataObject) -> None:
    places = [data.draw(st.lists(st.integers(0, len(ids) - 1), max_size=3)) for ids in sequences]
    built = tree.build(sequences, places)
    for end, wanted, nodes in zip(built.ends, places, built.marks, strict=True):
        assert nodes.tolist() == built.path(int(end))[wanted].tolist()


@pytest.mark.slow
@given(SEQUENCES)
def test_the_order_of_sequences_does_not_matter(sequences: list[list[int]]) -> None:
    one, other = tree.build(sequences), tree.build(sequences[::-1])
    assert one.tokens.tolist() == other.tokens.tolist()
    assert one.ends.tolist() == other.ends.tolist()[::-1]


@pytest.mark.slow
@settings(max_examples=settings().max_examples * 2)
@given(SEQUENCES, st.integers(1, 20), st.integers(1, 8))
def test_every_node_sees_itself_and_its_ancestors_and_no_other(
    sequences: list[list[int]], size: int, group: int
) -> None:
    """The nodes whose keys a group lays out for a row, up to the row's depth, are the path to the row's node."""
    built = tree.build(sequences)
    seen = []
    for pack in tree.packs(built, size, group):
        assert pack.stop - pack.start <= size
        before_then_pack = np.concatenate([pack.path, np.arange(pack.start, pack.stop)])
        for one in pack.groups:
            assert one.nodes.size <= max(group, one.nodes.shape[1])
            assert one.keys.shape[1] % tree.WIDTH == 0
            for nodes, depths, keys in zip(one.nodes, one.depth, one.keys, strict=True):
                for node, depth in zip(nodes + pack.start, depths, strict=True):
                    assert before_then_pack[keys[: depth + 1]].tolist() == built.path(int(node)).tolist()
                seen += sorted(set((nodes + pack.start).tolist()))
    assert sorted(seen) == list(range(len(built.tokens)))


@pytest.mark.slow
@given(SEQUENCES, st.integers(1, 20))
def test_the_path_of_a_pack_is_in_the_pack_before_and_its_path(sequences: list[list[int]], size: int) -> None:
    built = tree.build(sequences)
    before: tree.Pack | None = None
    for pack in tree.packs(built, size, 8):
        if before is not None:
            places = before.place(pack.path)
            assert (
                np.concatenate([before.path, np.arange(before.start, before.stop)])[places].tolist()
                == pack.path.tolist()
            )
        before = pack


def test_a_chain_is_cut_into_even_pieces_and_short_runs_go_together() -> None:
    chain = list(range(250))
    tails = [[*chain[:number], 1000 + number] for number in range(100, 110)]
    (pack,) = tree.packs(tree.build([chain, *tails]), 1024, 128)
    assert sorted(one.nodes.shape for one in pack.groups) == [(1, 125), (1, 125), (10, 1)]
