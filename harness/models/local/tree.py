"""Token sequences as one tree, in which each shared prefix occurs once.

The nodes of the tree are its tokens in depth-first order. Two consequences of this order matter. A range of nodes and
the ancestors of its first node together contain all ancestors of its nodes. So a tree too large for one pass can be cut
anywhere, as long as the path to the cut is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
Runs = list[tuple[int, int]]  # the first node of each run, and one past its last

WIDTH = 32  # key counts are padded to a multiple of this, so that no vectorised sum over keys has a remainder


@dataclass(frozen=True, eq=False)
class TokenTree:
    """A tree of tokens.

    Attributes:
        tokens: the token of each node, in depth-first order [nodes].
        depth: the position of each node in every sequence that contains it, from 0 [nodes].
        runs: the first node of each run; in a run each node is the parent of the next [runs].
        parents: the parent of the first node of each run, -1 if it has none [runs].
        ends: the last node of each sequence [sequences].
        marks: the nodes at the requested places of each sequence [sequences][places].
    """

    tokens: IntArray
    depth: IntArray
    runs: IntArray
    parents: IntArray
    ends: IntArray
    marks: tuple[IntArray, ...]

    @cached_property
    def _run_of(self) -> IntArray:
        sizes = np.diff(np.append(self.runs, len(self.tokens)))
        return np.repeat(np.arange(len(self.runs)), sizes)

    def path(self, node: int) -> IntArray:
        """Return the nodes from the root to ``node``, both included [depth of node + 1]; empty for -1."""
        pieces = []
        while node >= 0:
            run = self._run_of[node]
            pieces.append(np.arange(self.runs[run], node + 1))
            node = int(self.parents[run])
        return np.concatenate(pieces[::-1]) if pieces else np.zeros(0, dtype=np.int64)

    def parent(self, node: int) -> int:
        """Return the parent of a node; -1 for the first node of a sequence."""
        run = self._run_of[node]
        return int(self.parents[run]) if self.runs[run] == node else node - 1

    def runs_within(self, start: int, stop: int) -> Runs:
        """Return the runs within nodes ``start`` to ``stop - 1``, cut at both ends, as (first node, one past last)."""
        inner = self.runs[(self.runs > start) & (self.runs < stop)]
        edges = [start, *map(int, inner), stop]
        return list(pairwise(edges))


def build(sequences: Sequence[Sequence[int]], places: Sequence[Sequence[int]] | None = None) -> TokenTree:
    """Return the tree of ``sequences``; equal sequences end at the same node.

    Args:
        sequences: token ids [sequences][tokens], none empty.
        places: for each sequence the positions whose nodes become its ``marks``; no marks if it is None.
    """
    arrays = [np.asarray(sequence, dtype=np.int64) for sequence in sequences]
    order = sorted(range(len(arrays)), key=[array.astype(">u4").tobytes() for array in arrays].__getitem__)
    path = np.zeros(max((len(array) for array in arrays), default=0), dtype=np.int64)
    ends = np.zeros(len(arrays), dtype=np.int64)
    marks = [path[:0]] * len(arrays)
    pieces, runs, parents, size = [], [], [], 0
    previous = path[:0]
    for index in order:
        current = arrays[index]
        shared = common_prefix(previous, current)
        if shared < len(current):
            runs.append(size)
            parents.append(int(path[shared - 1]) if shared else -1)
            path[shared : len(current)] = np.arange(size, size + len(current) - shared)
            pieces.append((current[shared:], np.arange(shared, len(current))))
            size += len(current) - shared
        ends[index] = path[len(current) - 1]
        if places is not None:
            marks[index] = path[np.asarray(places[index], dtype=np.int64)]
        previous = current
    tokens, depth = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True)) if pieces else (ends, ends)
    return TokenTree(tokens, depth, np.array(runs, np.int64), np.array(parents, np.int64), ends, tuple(marks))


def common_prefix(first: IntArray, second: IntArray) -> int:
    """Return the number of tokens in the common prefix of two sequences."""
    length = min(len(first), len(second))
    different = np.flatnonzero(first[:length] != second[:length])
    return int(different[0]) if different.size else length


@dataclass(frozen=True, eq=False)
class Group:
    """Pieces of runs, of similar length, whose attention is computed together; shorter ones repeat their last node.

    The key at index ``i`` of a piece always has depth ``i``. So a node's result is the same bits however the tree is
    cut or packed, as long as the sums of the matrix products are.

    Attributes:
        nodes: each node's number, counted from the first node of the pack [pieces, length].
        depth: the depth of each node, which is also the last key that it attends to [pieces, length].
        keys: the key at each depth, as a place in (path, then pack) [pieces, width]; 0 past the end.
    """

    nodes: IntArray
    depth: IntArray
    keys: IntArray


@dataclass(frozen=True, eq=False)
class Pack:
    """Nodes that go through the model in one pass.

    Attributes:
        start, stop: the first node and one past the last.
        path: the ancestors of the first node, whose keys and values are already computed [depth of start].
        groups: the nodes, grouped for attention.
    """

    start: int
    stop: int
    path: IntArray
    groups: tuple[Group, ...]

    def place(self, nodes: IntArray) -> IntArray:
        """Return the places of ``nodes`` in (path, then pack), each of which must be in one of the two."""
        return _place(nodes, self.start, self.path)


def packs(tree: TokenTree, size: int, group: int) -> Iterator[Pack]:
    """Cut a tree into equal packs of at most ``size`` nodes in depth-first order, with groups of at most ``group``."""
    nodes = len(tree.tokens)
    cuts = np.linspace(0, nodes, -(-nodes // size) + 1).astype(int).tolist()
    for start, stop in pairwise(cuts):
        path = tree.path(tree.parent(start))
        groups = _grouped(_pieces(tree.runs_within(start, stop), group), group)
        yield Pack(start, stop, path, tuple(_group(tree, start, path, pieces) for pieces in groups))


def _place(nodes: IntArray, start: int, path: IntArray) -> IntArray:
    return np.where(nodes >= start, nodes - start + len(path), np.searchsorted(path, nodes))


def _pieces(runs: Runs, size: int) -> Runs:
    """Cut runs longer than ``size`` into equal pieces."""
    pieces: Runs = []
    for first, last in runs:
        edges = np.linspace(first, last, -(-(last - first) // size) + 1).astype(int).tolist()
        pieces += pairwise(edges)
    return pieces


def _grouped(pieces: Runs, size: int) -> Iterator[Runs]:
    """Group pieces by length: at most ``size`` nodes in a group, of which at most a quarter are repeated."""
    group: Runs = []
    for first, last in sorted(pieces, key=lambda piece: piece[0] - piece[1]):
        longest = group[0][1] - group[0][0] if group else 0
        if group and ((len(group) + 1) * longest > size or 4 * (last - first) < 3 * longest):
            yield group
            group = []
        group.append((first, last))
    if group:
        yield group


def _group(tree: TokenTree, pack_start: int, pack_path: IntArray, pieces: Runs) -> Group:
    length = max(last - first for first, last in pieces)
    nodes = np.stack([np.minimum(np.arange(first, first + length), last - 1) for first, last in pieces])
    width = -(-(int(tree.depth[nodes].max()) + 1) // WIDTH) * WIDTH
    keys = np.zeros((len(pieces), width), dtype=np.int64)
    for row, (_, last) in enumerate(pieces):
        path = tree.path(last - 1)
        keys[row, : len(path)] = _place(path, pack_start, pack_path)
    return Group(nodes - pack_start, tree.depth[nodes], keys)
