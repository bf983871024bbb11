"""Compiled loops over every activation of a collection; one pass replaces about twenty array operations.

All loops are in this file, because numba recompiles a cached loop if its own file changes, but not if the file of a
function that it calls does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
Bits = npt.NDArray[np.int32]

POWERS = 4
"""Highest power of activations that is summed."""
TOTALS = POWERS + 2
"""Rows of what is summed over activations: the powers, the number above 0, and the absolute values."""
CLASS_BITS = 1
"""Log2 of the classes in each octave of maxima: two classes, so each edge is at most 1.5 times the previous one."""
OCTAVES = 16
"""Classes cover maxima from ``2**-OCTAVES`` to ``2**OCTAVES``; others belong to the first or the last class."""
CLASSES = (2 * OCTAVES << CLASS_BITS) + 1

_SHIFT = 23 - CLASS_BITS
_LOWEST_EDGE = (127 - OCTAVES) << CLASS_BITS
_SIGNLESS = 0x7FFFFFFF

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    """Compile at the first call, cache on disk for later processes, and release the GIL meanwhile.

    Call each function with one type of each argument only: processes that compile several at once could load each
    other's.
    """
    try:
        return cast(Function, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # no folder for the cache: each process compiles anew
        return cast(Function, numba.njit(nogil=True)(function))


# -------------------------------------------------------------------------------------------------- orders and draws


@_compiled
def mixed(values: Any) -> Any:
    """Mix values by the finaliser of SplitMix64 (Steele, Lea and Flood, 2014): a bijection; each bit depends on all
    bits."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@_compiled
def draws(keys: Keys, content: Any) -> Keys:
    """Return a 53-bit number for each neuron key, hashed from the key (which includes the seed) and a passage's key.

    The passages with the lowest numbers of a neuron are a uniform sample of all passages, in any order of reading. The
    samples of different neurons are independent.
    """
    numbers: Keys = mixed(keys ^ content) >> np.uint64(11)
    return numbers


@_compiled
def _descending(bits: int) -> np.uint64:
    """Return an integer below 2^32 for the bits of a finite float32 other than -0; a larger value gives a lower
    integer."""
    return np.uint64(np.int64(_SIGNLESS) - np.int64(bits ^ ((bits >> 31) & _SIGNLESS)))


@_compiled
def _class(bits: int) -> int:
    """Return the class of a float32 from its bits: 0 below the lowest edge, then two classes for each octave."""
    return max(0, min((bits >> _SHIFT) - (_LOWEST_EDGE - 1), CLASSES - 1))


def lower_edge(number: int) -> float:
    """Return the lowest value of a class; minus infinity for class 0."""
    if number == 0:
        return -np.inf
    return float(np.array((number - 1 + _LOWEST_EDGE) << _SHIFT, dtype=np.int32).view(np.float32))


@_compiled
def orders(highest: Bits) -> tuple[Keys, Places]:
    """Return sort keys (largest first) and classes of maxima, given as bits [passages, neurons]."""
    descending, classes = np.empty(highest.shape, np.uint64), np.empty(highest.shape, np.int64)
    for passage in range(highest.shape[0]):
        for neuron in range(highest.shape[1]):
            descending[passage, neuron] = _descending(highest[passage, neuron])
            classes[passage, neuron] = _class(highest[passage, neuron])
    return descending, classes


# ------------------------------------------------------------------------------------------------- the lowest entries


class Slots(NamedTuple):
    """Entries of lowest order in each of many groups, unsorted, each with a row of values.

    Attributes:
        limit: highest order in a full group; the largest possible order in any other [groups].
        worst: place of the entry that is replaced next [groups].
        filled: number of entries of a group [groups].
        order: rank key of each entry [groups, places].
        content: content key, which breaks ties; distinct within a group [groups, places].
        row: row of ``values`` of each entry [groups, places].
        row_count: number of rows in use [1].
        values: values of the entries [rows, width].
    """

    limit: Keys
    worst: Places
    filled: Places
    order: Keys
    content: Keys
    row: Places
    row_count: Places
    values: Float32Array


@_compiled
def offer(slots: Slots, group: Places, order: Keys, content: Keys, values: Float32Array) -> None:
    """Add the entries that are among the lowest of their groups so far.

    Args:
        slots: the groups; in a full one, an entry replaces the highest.
        group: group of each entry [entries].
        order: rank key of each entry [entries].
        content: content key of each entry [entries].
        values: values of each entry [width, entries].
    """
    limit, worst, filled, orders, contents, rows, row_count, row_values = slots  # once: each access counts references
    places = orders.shape[1]
    for entry in range(len(group)):
        group_id, rank, key = group[entry], order[entry], content[entry]
        # Nearly all entries fail this test once some of a corpus has been read, so it comes first.
        if rank > limit[group_id] or (rank == limit[group_id] and key >= contents[group_id, worst[group_id]]):
            continue
        place = filled[group_id]
        if place < places:
            filled[group_id] += 1
            rows[group_id, place] = row_count[0]
            row_count[0] += 1
        else:
            place = worst[group_id]
        orders[group_id, place] = rank
        contents[group_id, place] = key
        row = rows[group_id, place]
        for column in range(len(values)):
            row_values[row, column] = values[column, entry]
        if filled[group_id] == places:
            highest = 0
            for candidate in range(1, places):
                candidate_rank, highest_rank = orders[group_id, candidate], orders[group_id, highest]
                if candidate_rank > highest_rank or (
                    candidate_rank == highest_rank and contents[group_id, candidate] > contents[group_id, highest]
                ):
                    highest = candidate
            worst[group_id] = highest
            limit[group_id] = orders[group_id, highest]


@_compiled
def wanted(slots: Slots, group: Places, order: Keys, content: Keys) -> npt.NDArray[np.bool_]:
    """Return whether each entry, taken alone, would be among the lowest of its group [entries]."""
    limit, worst, contents = slots.limit, slots.worst, slots.content
    is_wanted = np.empty(len(group), np.bool_)
    for entry in range(len(group)):
        group_id, rank, key = group[entry], order[entry], content[entry]
        is_wanted[entry] = rank < limit[group_id] or (
            rank == limit[group_id] and key < contents[group_id, worst[group_id]]
        )
    return is_wanted


# ---------------------------------------------------------------------------------------------------- all of a passage


@_compiled
def _reduce(scored: Float32Array, most: Float32Array, sums: Float32Array) -> None:
    """Fill in the maxima [neurons] and, in float32, the totals: sums of powers, counts above 0, and sums of absolute
    values [totals, neurons].

    ``scored`` holds activations [tokens, neurons]. Four tokens are added at a time, as most time goes into memory
    access.
    """
    tokens, neurons = scored.shape
    blocked = tokens - tokens % 4
    first, second, third, fourth, active, absolute = sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]
    most[:] = -np.inf
    sums[:] = 0
    for token in range(0, blocked, 4):
        row_a, row_b, row_c, row_d = scored[token], scored[token + 1], scored[token + 2], scored[token + 3]
        for neuron in range(neurons):
            a, b, c, d = row_a[neuron], row_b[neuron], row_c[neuron], row_d[neuron]
            aa, bb, cc, dd = a * a, b * b, c * c, d * d
            most[neuron] = _larger(_larger(most[neuron], _larger(a, b)), _larger(c, d))
            first[neuron] += (a + b) + (c + d)
            second[neuron] += (aa + bb) + (cc + dd)
            third[neuron] += (aa * a + bb * b) + (cc * c + dd * d)
            fourth[neuron] += (aa * aa + bb * bb) + (cc * cc + dd * dd)
            active[neuron] += (_above(a) + _above(b)) + (_above(c) + _above(d))
            absolute[neuron] += (abs(a) + abs(b)) + (abs(c) + abs(d))
    for token in range(blocked, tokens):
        row_a = scored[token]
        for neuron in range(neurons):
            a = row_a[neuron]
            aa = a * a
            most[neuron] = _larger(most[neuron], a)
            first[neuron] += a
            second[neuron] += aa
            third[neuron] += aa * a
            fourth[neuron] += aa * aa
            active[neuron] += _above(a)
            absolute[neuron] += abs(a)
    most += np.float32(0)  # turns -0 into 0


@_compiled
def _larger(a: np.float32, b: np.float32) -> np.float32:
    return a if a > b else b


@_compiled
def _above(value: np.float32) -> np.float32:
    return np.float32(1) if value > 0 else np.float32(0)


@_compiled
def take_in(  # noqa: PLR0913, PLR0917  # a compiled loop takes neither objects nor keywords
    activations: Float32Array,
    leading: int,
    first: int,
    content: Keys,
    keys: Keys,
    top: Slots,
    random: Slots,
    by_class: Slots,
    class_counts: Places,
) -> tuple[Float32Array, npt.NDArray[np.float64]]:
    """Reduce activations, and offer each passage to the samples of each neuron while its activations are in the cache.

    Args:
        activations: activations of the neurons of one layer [passages, tokens, neurons].
        leading: number of first positions that are ignored except in the rows that are kept.
        first: place of the first of these neurons among all neurons.
        content: content keys of the passages [passages].
        keys: keys of the neurons' draws [neurons].
        top: passages of largest maximum, one group for each neuron.
        random: passages of lowest draw, one group for each neuron.
        by_class: passages of lowest draw in each class of maxima, ``CLASSES`` groups for each neuron; empty if unused.
        class_counts: number of passages in each class [all neurons, classes].

    Returns:
        The largest activation of each passage [passages, neurons]; and, in float64 over all passages, the sums of
        powers, the counts of activations above 0 and the sums of absolute ones [totals, neurons].
    """
    passages, _, neurons = activations.shape
    highest = np.empty((passages, neurons), np.float32)
    bits = highest.view(np.int32)
    totals = np.zeros((TOTALS, neurons))
    sums = np.empty((TOTALS, neurons), np.float32)
    group, class_group = np.arange(first, first + neurons), np.empty(neurons, np.int64)
    descending = np.empty(neurons, np.uint64)
    for passage in range(passages):
        values = activations[passage]
        _reduce(values[leading:], highest[passage], sums)
        totals += sums
        for neuron in range(neurons):
            descending[neuron] = _descending(bits[passage, neuron])
        draw_numbers = draws(keys, content[passage])
        contents = np.full(neurons, content[passage])
        offer(top, group, descending, contents, values)
        offer(random, group, draw_numbers, contents, values)
        if len(class_counts) > 0:
            for neuron in range(neurons):
                class_number = _class(bits[passage, neuron])
                class_counts[first + neuron, class_number] += 1
                class_group[neuron] = group[neuron] * CLASSES + class_number
            offer(by_class, class_group, draw_numbers, contents, values)
    return highest, totals
