"""The few entries of lowest order in each of many groups, kept while they come, in any order and in any parts.

What a task keeps of a neuron are all cases of it: its excerpts of largest maximum, a uniform sample of all excerpts
(the lowest hashes), and a uniform sample of those whose maximum lies in a given range (a group for each range).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.subjects.kernels import Float32Array, Keys, Places, Slots, offer

LAST = np.iinfo(np.uint64).max


@dataclass(frozen=True, eq=False)
class Entries:
    """Entries, column by column.

    Attributes:
        group: what each belongs to [entries].
        order: what is kept lowest [entries].
        content: what breaks ties; no two entries of a group share it [entries].
        values: what comes with each [entries, width].
    """

    group: Places
    order: Keys
    content: Keys
    values: Float32Array


class Lowest:
    """The ``places`` entries of lowest order in each group, ties broken by content, each with a row of values.

    Args:
        groups: how many groups there are.
        places: how many entries of each are kept.
        width: how many values an entry has.

    Attributes:
        slots: the entries; there may be more rows of values than are in use.
    """

    def __init__(self, groups: int, places: int, width: int) -> None:
        # Pages of zeros that are never touched take no memory: most groups may stay empty.
        self.slots = Slots(
            limit=np.full(groups, LAST),
            worst=np.zeros(groups, np.int64),
            filled=np.zeros(groups, np.int64),
            order=np.zeros((groups, places), np.uint64),
            content=np.zeros((groups, places), np.uint64),
            row=np.zeros((groups, places), np.int64),
            used=np.zeros(1, np.int64),
            values=np.zeros((0, width), dtype=np.float32),
        )

    def reserve(self, entries: int) -> None:
        """Make room for the values of as many more entries."""
        slots = self.slots
        needed = min(int(slots.used[0]) + entries, slots.order.size)
        if needed > len(slots.values):
            rows = min(needed + len(slots.values) // 4, slots.order.size)
            slots.values.resize((rows, slots.values.shape[1]), refcheck=False)  # in place: two copies never exist

    def add(self, entries: Entries) -> None:
        """Take in those of some entries that are among the lowest of their groups.

        Raises:
            ValueError: they do not fit each other or this; a compiled loop would write anywhere.
        """
        count, width = len(entries.group), self.slots.values.shape[1]
        shapes = [one.shape for one in (entries.order, entries.content, entries.values)]
        if shapes != [(count,), (count,), (count, width)]:
            raise ValueError(f"{count} entries of {width} values came with columns of {shapes}")
        if count and not 0 <= entries.group.min() <= entries.group.max() < len(self.slots.limit):
            raise ValueError(f"there are groups 0 to {len(self.slots.limit) - 1}, and not those of the entries")
        self.reserve(count)
        offer(self.slots, entries.group, entries.order, entries.content, np.ascontiguousarray(entries.values.T))

    def found(self, first: int = 0, last: int | None = None) -> Entries:
        """What is kept in groups ``first`` to ``last - 1``, by group, then order, then content."""
        slots = self.slots
        group, place = np.nonzero(self._filled(first, last))
        group += first
        places = _sorted(group, slots.order[group, place], slots.content[group, place])
        group, place = group[places], place[places]
        values = slots.values[slots.row[group, place]]
        return Entries(group, slots.order[group, place], slots.content[group, place], values)

    def contents(self) -> Keys:
        """The distinct contents of all that is kept, sorted."""
        return np.unique(self.slots.content[self._filled()])

    def _filled(self, first: int = 0, last: int | None = None) -> npt.NDArray[np.bool_]:
        filled: npt.NDArray[np.bool_] = np.arange(self.slots.order.shape[1]) < self.slots.filled[first:last, None]
        return filled


def _sorted(group: Places, order: Keys, content: Keys) -> Places:
    """The places of entries by group, then order, then content.

    One sort of whole numbers that hold the group and the first bits of the order, then another of the few that are
    alike in these: many times faster than sorting by three keys.
    """
    bits = 64 - int(group.max(initial=0)).bit_length()
    shift = max(0, int(order.max(initial=0)).bit_length() - bits)
    key = (group.astype(np.uint64) << np.uint64(bits)) | (order >> np.uint64(shift))
    places = np.argsort(key)
    alike = key[places[1:]] == key[places[:-1]]
    run = np.zeros(len(places), dtype=bool)
    run[1:] |= alike
    run[:-1] |= alike
    some = places[run]
    places[run] = some[np.lexsort((content[some], order[some], key[some]))]
    return places
