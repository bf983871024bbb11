"""Entries of lowest order in each of many groups, updated as entries arrive, in any order and any batches.

The passages kept of a neuron are cases of it: those of largest maximum, a uniform sample of all passages (the lowest
hashes), and a uniform sample of those whose maximum lies in a given range (one group for each range).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.collect.kernels import Float32Array, Keys, Places, Slots, offer

LAST = np.iinfo(np.uint64).max


@dataclass(frozen=True, eq=False)
class Entries:
    """Entries, column by column.

    Attributes:
        group: group of each entry [entries].
        order: rank key of each entry; the lowest are kept [entries].
        content: content key, which breaks ties; distinct within a group [entries].
        values: row of values of each entry [entries, width].
    """

    group: Places
    order: Keys
    content: Keys
    values: Float32Array


class Lowest:
    """The ``places`` entries of lowest order in each group, ties broken by content, each with a row of values.

    Args:
        groups: number of groups.
        places: number of entries kept in each group.
        width: number of values of an entry.

    Attributes:
        slots: the entries; ``slots.values`` may have more rows than are in use.
    """

    def __init__(self, groups: int, places: int, width: int) -> None:
        # Pages of zeros take no memory until they are written: most groups may stay empty.
        self.slots = Slots(
            limit=np.full(groups, LAST),
            worst=np.zeros(groups, np.int64),
            filled=np.zeros(groups, np.int64),
            order=np.zeros((groups, places), np.uint64),
            content=np.zeros((groups, places), np.uint64),
            row=np.zeros((groups, places), np.int64),
            row_count=np.zeros(1, np.int64),
            values=np.zeros((0, width), dtype=np.float32),
        )

    def reserve(self, entries: int) -> None:
        """Make room for the values of ``entries`` more entries."""
        slots = self.slots
        row_limit = min(int(slots.row_count[0]) + entries, slots.order.size)
        if row_limit > len(slots.values):
            rows = min(row_limit + len(slots.values) // 4, slots.order.size)
            slots.values.resize((rows, slots.values.shape[1]), refcheck=False)  # in place: never two copies in memory

    def add(self, entries: Entries) -> None:
        """Add the entries that are among the lowest of their groups.

        Raises:
            ValueError: the columns do not fit each other or these groups; a compiled loop would write out of bounds.
        """
        count, width = len(entries.group), self.slots.values.shape[1]
        shapes = [column.shape for column in (entries.order, entries.content, entries.values)]
        if shapes != [(count,), (count,), (count, width)]:
            raise ValueError(f"{count} entries of {width} values came with columns of {shapes}")
        if count and not 0 <= entries.group.min() <= entries.group.max() < len(self.slots.limit):
            raise ValueError(f"groups go from 0 to {len(self.slots.limit) - 1}, and some entries are outside")
        self.reserve(count)
        offer(self.slots, entries.group, entries.order, entries.content, np.ascontiguousarray(entries.values.T))

    def found(self, first: int = 0, last: int | None = None) -> Entries:
        """Return the entries of groups ``first`` to ``last - 1``, sorted by group, then order, then content."""
        slots = self.slots
        group, place = np.nonzero(self._filled(first, last))
        group += first
        places = _sorted(group, slots.order[group, place], slots.content[group, place])
        group, place = group[places], place[places]
        values = slots.values[slots.row[group, place]]
        return Entries(group, slots.order[group, place], slots.content[group, place], values)

    def contents(self) -> Keys:
        """Return the distinct content keys of all entries, sorted."""
        return np.unique(self.slots.content[self._filled()])

    def _filled(self, first: int = 0, last: int | None = None) -> npt.NDArray[np.bool_]:
        filled: npt.NDArray[np.bool_] = np.arange(self.slots.order.shape[1]) < self.slots.filled[first:last, None]
        return filled


def _sorted(group: Places, order: Keys, content: Keys) -> Places:
    """Return the indices that sort entries by group, then order, then content.

    Entries are sorted by an integer that packs the group and the first bits of the order. Then the few that are equal
    in it are sorted by all keys: many times faster than sorting all by three keys.
    """
    bits = 64 - int(group.max(initial=0)).bit_length()
    shift = max(0, int(order.max(initial=0)).bit_length() - bits)
    key = (group.astype(np.uint64) << np.uint64(bits)) | (order >> np.uint64(shift))
    places = np.argsort(key)
    is_equal = key[places[1:]] == key[places[:-1]]
    is_tied = np.zeros(len(places), dtype=bool)
    is_tied[1:] |= is_equal
    is_tied[:-1] |= is_equal
    tied = places[is_tied]
    places[is_tied] = tied[np.lexsort((content[tied], order[tied], key[tied]))]
    return places
