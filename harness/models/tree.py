"""Token sequences that share beginnings, as one tree in which each shared beginning stands once.

The nodes of the tree are its tokens in depth-first order. Two consequences of that order carry everything else: the
ancestors of the first node of any stretch of nodes, together with the stretch, hold all ancestors of its nodes; and a
tree too large for one pass can be cut anywhere, if only the path to the cut is kept.
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

LANES = 16  # a key is laid out where its depth says, or a multiple of this further on; see Group
BLOCK = 1024  # values are summed over this many keys at a time; see Group


@dataclass(frozen=True, eq=False)
class TokenTree:
    """A tree of tokens.

    Attributes:
        tokens: the token of each node, in depth-first order [nodes].
        depth: its place in every sequence that it belongs to, from 0 [nodes].
        runs: the first node of each run, a run being nodes of which each is the parent of the next [runs].
        parents: the parent of the first node of each run, -1 where it has none [runs].
        ends: the last node of each sequence [sequences].
        marks: the nodes of the places of each sequence that were asked for [sequences][places].
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
        """The nodes from the root to ``node``, itself included [depth of node + 1]; none for -1."""
        pieces = []
        while node >= 0:
            run = self._run_of[node]
            pieces.append(np.arange(self.runs[run], node + 1))
            node = int(self.parents[run])
        return np.concatenate(pieces[::-1]) if pieces else np.zeros(0, dtype=np.int64)

    def parent(self, node: int) -> int:
        """The parent of a node; -1 for the first of a sequence."""
        run = self._run_of[node]
        return int(self.parents[run]) if self.runs[run] == node else node - 1

    def runs_within(self, start: int, stop: int) -> Runs:
        """The runs that make up nodes ``start`` to ``stop``, each as (first, one past its last), cut at both ends."""
        inner = self.runs[(self.runs > start) & (self.runs < stop)]
        edges = [start, *map(int, inner), stop]
        return list(pairwise(edges))


def build(sequences: Sequence[Sequence[int]], places: Sequence[Sequence[int]] | None = None) -> TokenTree:
    """The tree of ``sequences``, none of which may be empty; equal sequences end at the same node.

    Args:
        sequences: tokens [sequences][tokens].
        places: for each sequence the places in it whose nodes are wanted; see ``marks``.
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
    tokens, depth = (np.concatenate(part) for part in zip(*pieces, strict=True)) if pieces else (ends, ends)
    return TokenTree(tokens, depth, np.array(runs, np.int64), np.array(parents, np.int64), ends, tuple(marks))


def common_prefix(first: IntArray, second: IntArray) -> int:
    """How many tokens two sequences begin with in common."""
    length = min(len(first), len(second))
    different = np.flatnonzero(first[:length] != second[:length])
    return int(different[0]) if different.size else length


@dataclass(frozen=True, eq=False)
class Group:
    """A stretch of a pack's nodes whose attention is computed together.

    The keys of a group are laid out so that a node's result does not depend on what else is computed with it, bit by
    bit: each ancestor of the first node stands at the index of its depth, and each further node at its depth or a
    multiple of ``LANES`` further on. So the keys that a node attends to have the same order, and fall on the same lanes
    of a vectorised sum, however the sequences are cut, packed or left out; the gaps are masked and add nothing. A key
    that leaves its block of ``BLOCK`` keys would break that, so such runs get groups of their own.

    Attributes:
        start, stop: its nodes, counted from the first of the pack.
        keys: for each index of the layout which key stands there, as a place in (path, then pack) [layout]; gaps are 0.
        free: the first index of the layout that not all of its nodes attend to.
        masked: which keys each node does not attend to, from index ``free`` on [stop - start, layout - free].
    """

    start: int
    stop: int
    keys: IntArray
    free: int
    masked: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pack:
    """Nodes that go through the model in one pass.

    Attributes:
        start, stop: the nodes.
        path: the ancestors of the first, whose keys and values have been computed before [depth of start].
        groups: the nodes in stretches, for attention.
    """

    start: int
    stop: int
    path: IntArray
    groups: tuple[Group, ...]

    def place(self, nodes: IntArray) -> IntArray:
        """Where the keys of ``nodes`` stand in (path, then pack); each must be in one of them."""
        inside = nodes >= self.start
        before = np.searchsorted(self.path, np.where(inside, 0, nodes))
        return np.where(inside, nodes - self.start + len(self.path), before)


def packs(tree: TokenTree, size: int, group: int) -> Iterator[Pack]:
    """Cut a tree into packs of at most ``size`` nodes, each in groups of at most ``group``, in depth-first order."""
    for start in range(0, len(tree.tokens), size):
        stop = min(start + size, len(tree.tokens))
        path = tree.path(tree.parent(start))
        stretches = _stretches(tree.runs_within(start, stop), group)
        laid_out = [piece for runs in stretches for piece in _laid_out(tree, runs)]
        yield Pack(start, stop, path, tuple(_group(tree, start, path, *piece) for piece in laid_out))


def _stretches(runs: Runs, size: int) -> list[Runs]:
    """Gather consecutive runs into stretches of at most ``size`` nodes; a longer run is cut into equal pieces."""
    stretches: list[Runs] = []
    room = 0
    for first, last in runs:
        pieces = -(-(last - first) // size)
        edges = np.linspace(first, last, pieces + 1).astype(int).tolist()
        for begin, end in pairwise(edges):
            if end - begin > room:
                stretches.append([])
                room = size
            stretches[-1].append((begin, end))
            room -= end - begin
    return stretches


def _group(tree: TokenTree, pack_start: int, pack_path: IntArray, runs: Runs, places: IntArray) -> Group:
    start, stop = runs[0][0], runs[-1][1]
    path = tree.path(tree.parent(start))
    width = -(-(int(places.max()) + 1) // (2 * LANES)) * (2 * LANES)
    visible = _visible(tree, start, places, runs, width)
    keys = np.zeros(width, dtype=np.int64)
    offset = len(pack_path) - pack_start
    keys[: len(path)] = np.where(path >= pack_start, path + offset, np.searchsorted(pack_path, path))
    keys[places] = np.arange(start, stop) + offset
    columns = visible.all(axis=0)
    free = width if columns.all() else int(np.argmin(columns))
    return Group(start - pack_start, stop - pack_start, keys, free, ~visible[:, free:])


def _laid_out(tree: TokenTree, runs: Runs) -> list[tuple[Runs, IntArray]]:
    """A stretch with its layout, or each of its runs with its own where a key would leave its block."""
    places = _layout(tree, runs)
    if (places // BLOCK == tree.depth[runs[0][0] : runs[-1][1]] // BLOCK).all():
        return [(runs, places)]
    return [([run], tree.depth[run[0] : run[1]]) for run in runs]


def _layout(tree: TokenTree, runs: Runs) -> IntArray:
    """The index at which each node of a stretch has its key [nodes]; those before belong to the ancestors."""
    start = runs[0][0]
    places = np.zeros(runs[-1][1] - start, dtype=np.int64)
    taken = np.ones(tree.depth[start], dtype=bool)
    for first, last in runs:
        place, size = int(tree.depth[first]), last - first
        while taken[place : place + size].any():
            place += LANES
        if place + size > len(taken):
            taken = np.append(taken, np.zeros(place + size - len(taken), dtype=bool))
        taken[place : place + size] = True
        places[first - start : last - start] = np.arange(place, place + size)
    return places


def _visible(tree: TokenTree, start: int, places: IntArray, runs: Runs, width: int) -> npt.NDArray[np.bool_]:
    """Which keys of the layout each node attends to: itself and its ancestors [nodes, width]."""
    visible = np.zeros((len(places), width), dtype=bool)
    for first, last in runs:
        parent, rows = tree.parent(first), slice(first - start, last - start)
        if parent >= start:
            visible[rows] = visible[parent - start]
        elif parent >= 0:
            visible[rows, : int(tree.depth[parent]) + 1] = True
        own = places[rows]
        visible[rows, own[0] : own[-1] + 1] = np.tri(last - first, dtype=bool)
    return visible
