"""Loops over every activation of a collection, compiled: in one reading they do what operations on arrays do in twenty.

All of them stand in this file, because a compiled loop that is kept on disk is made anew when its own file changes, and
not when that of a function which it calls does.
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
"""The highest power of activations that is added up."""
CLASS_BITS = 1
"""Classes of maxima in each octave, as a power of two: two, so that each edge is at most 1.5 times the one before."""
OCTAVES = 16
"""Classes reach from 2 to the minus this up to 2 to this; what lies outside belongs to the first or the last."""
CLASSES = (2 * OCTAVES << CLASS_BITS) + 1

_SHIFT = 23 - CLASS_BITS
_LOWEST_EDGE = (127 - OCTAVES) << CLASS_BITS
_SIGNLESS = 0x7FFFFFFF

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    """Compile when it is first called, for the next process too; other threads may run Python meanwhile.

    Called with one type of each argument only: processes that compile several at once could take each other's.
    """
    try:
        return cast(Function, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # there is no place to keep it: each process compiles anew
        return cast(Function, numba.njit(nogil=True)(function))


# -------------------------------------------------------------------------------------------------- orders and draws


@_compiled
def mixed(values: Any) -> Any:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): a bijection, each bit of which depends on all bits."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@_compiled
def draws(keys: Keys, content: Any) -> Keys:
    """A number of 53 bits for each neuron of ``keys``, a hash of its key, of the seed in it, and of a passage's key.

    The lowest few of a neuron are a uniform sample of all passages, whatever their order, and other ones for another
    neuron.
    """
    drawn: Keys = mixed(keys ^ content) >> np.uint64(11)
    return drawn


@_compiled
def _descending(bits: int) -> np.uint64:
    """A whole number below 2^32 for the bits of a finite float32 that is not -0: the lower, the larger it is."""
    return np.uint64(np.int64(_SIGNLESS) - np.int64(bits ^ ((bits >> 31) & _SIGNLESS)))


@_compiled
def _class(bits: int) -> int:
    """The class of a float32 by its bits: 0 below the lowest edge, then two for each octave."""
    return max(0, min((bits >> _SHIFT) - (_LOWEST_EDGE - 1), CLASSES - 1))


def lower_edge(number: int) -> float:
    """The lowest value of a class; minus infinity for the first."""
    if number == 0:
        return -np.inf
    return float(np.array((number - 1 + _LOWEST_EDGE) << _SHIFT, dtype=np.int32).view(np.float32))


@_compiled
def orders(highest: Bits) -> tuple[Keys, Places]:
    """Of the bits of maxima [passages, neurons] what sorts them, the largest first, and their classes."""
    descending, classes = np.empty(highest.shape, np.uint64), np.empty(highest.shape, np.int64)
    for passage in range(highest.shape[0]):
        for neuron in range(highest.shape[1]):
            descending[passage, neuron] = _descending(highest[passage, neuron])
            classes[passage, neuron] = _class(highest[passage, neuron])
    return descending, classes


# ------------------------------------------------------------------------------------------------- the lowest entries


class Slots(NamedTuple):
    """The few entries of lowest order in each of many groups, in no order, each with a row of values.

    Attributes:
        limit: the highest order that a group keeps, once it is full; before that the highest there is [groups].
        worst: in which place the entry stands that goes first [groups].
        filled: how many entries a group has [groups].
        order: of each entry [groups, places].
        content: what breaks ties; no two entries of a group share it [groups, places].
        row: where the values of each are [groups, places].
        used: how many rows are in use [1].
        values: [rows, width].
    """

    limit: Keys
    worst: Places
    filled: Places
    order: Keys
    content: Keys
    row: Places
    used: Places
    values: Float32Array


@_compiled
def offer(slots: Slots, group: Places, order: Keys, content: Keys, values: Float32Array) -> None:
    """Take in those of some entries that are among the lowest of their groups, of all that came so far.

    Args:
        slots: where they go: in a full group, in the place of the highest entry.
        group: of each entry [entries].
        order: of each [entries].
        content: of each [entries].
        values: of each [width, entries].
    """
    limit, worst, filled, orders, contents, rows, used, kept = slots  # once: an array taken from a tuple is counted
    places = orders.shape[1]
    for entry in range(len(group)):
        own, this, key = group[entry], order[entry], content[entry]
        # Few belong to the lowest once some of a corpus has been read: the test that nearly all fail comes first.
        if this > limit[own] or (this == limit[own] and key >= contents[own, worst[own]]):
            continue
        place = filled[own]
        if place < places:
            filled[own] += 1
            rows[own, place] = used[0]
            used[0] += 1
        else:
            place = worst[own]
        orders[own, place] = this
        contents[own, place] = key
        row = rows[own, place]
        for number in range(len(values)):
            kept[row, number] = values[number, entry]
        if filled[own] == places:
            highest = 0
            for other in range(1, places):
                one, most = orders[own, other], orders[own, highest]
                if one > most or (one == most and contents[own, other] > contents[own, highest]):
                    highest = other
            worst[own] = highest
            limit[own] = orders[own, highest]


@_compiled
def wanted(slots: Slots, group: Places, order: Keys, content: Keys) -> npt.NDArray[np.bool_]:
    """Which of some entries would be among the lowest of their groups, each on its own [entries]."""
    limit, worst, contents = slots.limit, slots.worst, slots.content
    found = np.empty(len(group), np.bool_)
    for entry in range(len(group)):
        own, this, key = group[entry], order[entry], content[entry]
        found[entry] = this < limit[own] or (this == limit[own] and key < contents[own, worst[own]])
    return found


# ---------------------------------------------------------------------------------------------------- all of a passage


@_compiled
def _reduce(scored: Float32Array, most: Float32Array, sums: Float32Array) -> None:
    """Fill in the largest [neurons], and in float32 the sums of powers and how many are above 0 [powers + 1, neurons].

    Of activations [tokens, neurons], four tokens at a time: reading and writing sums is what takes the time.
    """
    tokens, neurons = scored.shape
    whole = tokens - tokens % 4
    first, second, third, fourth, active = sums[0], sums[1], sums[2], sums[3], sums[4]
    most[:] = -np.inf
    sums[:] = 0
    for token in range(0, whole, 4):
        some, more, others, rest = scored[token], scored[token + 1], scored[token + 2], scored[token + 3]
        for neuron in range(neurons):
            a, b, c, d = some[neuron], more[neuron], others[neuron], rest[neuron]
            aa, bb, cc, dd = a * a, b * b, c * c, d * d
            most[neuron] = _larger(_larger(most[neuron], _larger(a, b)), _larger(c, d))
            first[neuron] += (a + b) + (c + d)
            second[neuron] += (aa + bb) + (cc + dd)
            third[neuron] += (aa * a + bb * b) + (cc * c + dd * d)
            fourth[neuron] += (aa * aa + bb * bb) + (cc * cc + dd * dd)
            active[neuron] += (_above(a) + _above(b)) + (_above(c) + _above(d))
    for token in range(whole, tokens):
        some = scored[token]
        for neuron in range(neurons):
            a = some[neuron]
            aa = a * a
            most[neuron] = _larger(most[neuron], a)
            first[neuron] += a
            second[neuron] += aa
            third[neuron] += aa * a
            fourth[neuron] += aa * aa
            active[neuron] += _above(a)
    most += np.float32(0)  # makes one number of the two zeros


@_compiled
def _larger(one: np.float32, other: np.float32) -> np.float32:
    return one if one > other else other


@_compiled
def _above(value: np.float32) -> np.float32:
    return np.float32(1) if value > 0 else np.float32(0)


@_compiled
def take_in(  # noqa: PLR0913, PLR0917  # a compiled loop has no object to keep these in, and takes them in order
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
    """Reduce activations, and offer each passage to what is kept of each neuron while its activations are at hand.

    Args:
        activations: of the neurons of one layer [passages, tokens, neurons].
        leading: positions left out of everything but the rows that are kept.
        first: the place of the first of these neurons among all.
        content: keys of the passages [passages].
        keys: what makes the draws of each neuron its own [neurons].
        top: passages of largest maximum, a group for each neuron.
        random: of lowest draw, a group for each neuron.
        by_class: of lowest draw in each class of maxima, ``CLASSES`` groups for each neuron; none where it has none.
        class_counts: how many passages are in each class [all neurons, classes].

    Returns:
        The largest activation of each passage [passages, neurons], and over all passages, in float64, the sums of the
        powers and how many activations are above 0 [powers + 1, neurons].
    """
    passages, _, neurons = activations.shape
    highest = np.empty((passages, neurons), np.float32)
    bits = highest.view(np.int32)
    totals = np.zeros((POWERS + 1, neurons))
    sums = np.empty((POWERS + 1, neurons), np.float32)
    group, class_group = np.arange(first, first + neurons), np.empty(neurons, np.int64)
    descending = np.empty(neurons, np.uint64)
    for passage in range(passages):
        values = activations[passage]
        _reduce(values[leading:], highest[passage], sums)
        totals += sums
        for neuron in range(neurons):
            descending[neuron] = _descending(bits[passage, neuron])
        drawn = draws(keys, content[passage])
        alike = np.full(neurons, content[passage])
        offer(top, group, descending, alike, values)
        offer(random, group, drawn, alike, values)
        if len(class_counts) > 0:
            for neuron in range(neurons):
                number = _class(bits[passage, neuron])
                class_counts[first + neuron, number] += 1
                class_group[neuron] = group[neuron] * CLASSES + number
            offer(by_class, class_group, drawn, alike, values)
    return highest, totals
