"""The few entries of lowest order in each of many groups, kept while they come, in any order and in any parts.

What a task keeps of a neuron are all cases of it: its excerpts of largest maximum, a uniform sample of all excerpts
(the lowest hashes), and a uniform sample of those whose maximum lies in a given range (a group for each range).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

PENDING = 2**16
"""Entries that wait at least before they are sorted in; above it, as many as are kept, so that sorting stays cheap."""
LAST = np.iinfo(np.uint64).max


@dataclass(frozen=True, eq=False)
class Entries:
    """Entries, column by column.

    Attributes:
        group: what each belongs to [entries].
        order: what is kept lowest [entries].
        content: what breaks ties; no two entries of a group share it [entries].
        row: where the values of each are kept [entries].
    """

    group: Places
    order: Keys
    content: Keys
    row: Places

    @classmethod
    def joined(cls, parts: Sequence[Entries]) -> Self:
        """All parts, one after another."""
        names = ("group", "order", "content", "row")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def __len__(self) -> int:
        return len(self.group)

    def __getitem__(self, places: npt.NDArray[np.bool_] | Places | slice) -> Entries:
        return Entries(self.group[places], self.order[places], self.content[places], self.row[places])

    def sorted(self) -> Entries:
        """By group, then order, then content.

        One sort of whole numbers that hold the group and the first bits of the order, then another of the few that are
        alike in these: many times faster than sorting by three keys.
        """
        bits = 64 - int(self.group.max(initial=0)).bit_length()
        shift = max(0, int(self.order.max(initial=0)).bit_length() - bits)
        key = (self.group.astype(np.uint64) << np.uint64(bits)) | (self.order >> np.uint64(shift))
        places = np.argsort(key)
        alike = key[places[1:]] == key[places[:-1]]
        run = np.zeros(len(places), dtype=bool)
        run[1:] |= alike
        run[:-1] |= alike
        some = places[run]
        places[run] = some[np.lexsort((self.content[some], self.order[some], key[some]))]
        return self[places]


class Lowest:
    """The ``places`` entries of lowest order in each group, ties broken by content, each with a row of values.

    Args:
        groups: how many groups there are.
        places: how many entries of each are kept.
        width: how many values an entry has.

    Attributes:
        worst: an entry of a higher order than this can not be kept in its group any more [groups].
        worst_content: the same of the content, where the order is equal [groups].
    """

    def __init__(self, groups: int, places: int, width: int) -> None:
        self.places = places
        self.worst = np.full(groups, LAST)
        self.worst_content = np.full(groups, LAST)
        self._rows = _Rows(width)
        none, no_keys = np.zeros(0, np.int64), np.zeros(0, np.uint64)
        self._kept = Entries(none, no_keys, no_keys, none)
        self._pending: list[Entries] = []

    def wants(self, group: Places, order: Keys, content: Keys) -> npt.NDArray[np.bool_]:
        """Which entries may belong to the lowest, by all that has been settled [entries]."""
        worst = self.worst[group]
        wanted: npt.NDArray[np.bool_] = (order < worst) | ((order == worst) & (content < self.worst_content[group]))
        return wanted

    def add(self, group: Places, order: Keys, content: Keys, values: Float32Array) -> None:
        """Take in entries with ``values`` [entries, width]."""
        self._pending.append(Entries(group, order, content, self._rows.put(values)))
        if sum(map(len, self._pending)) > max(PENDING, len(self._kept)):
            self.settle()

    def settle(self) -> None:
        """Sort in what waits, and let go of what is not among the lowest."""
        if not self._pending:
            return
        entries = Entries.joined([self._kept, *self._pending]).sorted()
        first = np.flatnonzero(np.diff(entries.group, prepend=-1))
        rank = np.arange(len(entries)) - np.repeat(first, np.diff(first, append=len(entries)))
        self._rows.free(entries.row[rank >= self.places])
        self._kept, self._pending = entries[rank < self.places], []
        last = entries[rank == self.places - 1]
        self.worst[last.group] = last.order
        self.worst_content[last.group] = last.content

    def absorb(self, other: Lowest) -> None:
        """Take in all that another one keeps."""
        entries, values = other.found()
        if len(entries):
            self.add(entries.group, entries.order, entries.content, values)

    def found(self, first: int = 0, last: int | None = None) -> tuple[Entries, Float32Array]:
        """What is kept in groups ``first`` to ``last - 1``, sorted, and its values [entries, width]."""
        self.settle()
        ends = [first, len(self.worst) if last is None else last]
        entries = self._kept[slice(*np.searchsorted(self._kept.group, ends))]
        return entries, self._rows.values[entries.row]

    def contents(self) -> Keys:
        """The distinct contents of all that is kept or waits, sorted."""
        return np.unique(np.concatenate([part.content for part in (self._kept, *self._pending)]))


class _Rows:
    """Rows of values under numbers; the number of a row let go is given to another."""

    def __init__(self, width: int) -> None:
        self.values = np.zeros((0, width), dtype=np.float32)
        self._free = np.zeros(0, dtype=np.int64)

    def put(self, values: Float32Array) -> Places:
        """Keep rows [rows, width]; their numbers are returned."""
        missing = len(values) - len(self._free)
        if missing > 0:
            before = len(self.values)
            after = before + max(missing, before // 4)
            self.values.resize((after, self.values.shape[1]), refcheck=False)  # in place: two copies never exist
            self._free = np.concatenate([self._free, np.arange(before, after)])
        taken, self._free = self._free[: len(values)], self._free[len(values) :]
        self.values[taken] = values
        return taken

    def free(self, rows: Places) -> None:
        """Let go of rows."""
        self._free = np.concatenate([self._free, rows])
