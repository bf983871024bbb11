"""How fast a server is asked, and when again: policies without clocks and without sleep, told the time by their caller.

Times are seconds on any one clock; ``chance`` is a number drawn from [0, 1).
"""

from __future__ import annotations

import email.utils
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: the n-th wait is drawn from [0, min(``most``, ``first`` * 2^(n-1))).

    A server that says how long to wait is obeyed to the second, and a little is added, so that what it sent away
    together does not come back together.
    """

    first: float = 0.5
    most: float = 60.0

    def wait(self, failures: int, chance: float, retry_after: float | None = None) -> float:
        """Seconds to wait after the ``failures``-th failure of a request, counted from 1."""
        if retry_after is not None:
            return max(0.0, retry_after) + chance * min(self.first, self.most)
        return chance * min(self.most, self.first * 2.0 ** min(failures - 1, 60))


def retry_after_seconds(header: str | None, now: datetime | None = None) -> float | None:
    """What a ``Retry-After`` header asks for, a number of seconds or a date (RFC 9110, 10.2.3); None where it says
    nothing that can be read."""
    try:
        seconds = float(header or "")
    except ValueError:
        seconds = _seconds_until(header or "", now or datetime.now(UTC))
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(header: str, now: datetime) -> float:
    """From ``now`` to a date; NaN where it is none."""
    try:
        date = email.utils.parsedate_to_datetime(header)
        return ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, OverflowError):
        return math.nan


@dataclass(slots=True)
class Window:
    """How many requests may be under way at once: additive increase, multiplicative decrease, never above ``most``.

    It begins at ``most``: only a server that complains, or does not answer in time, is asked less at once. Requests
    that were sent before the last cut tell nothing new and cut nothing.
    """

    most: int
    _size: float = field(init=False)
    _cut: float = field(init=False, default=float("-inf"))

    def __post_init__(self) -> None:
        self._size = float(self.most)

    @property
    def size(self) -> int:
        """How many may be under way now; at least 1."""
        return int(self._size)

    def succeeded(self) -> None:
        """A request was answered: a full round of answers makes room for one more."""
        self._size = min(float(self.most), self._size + 1.0 / self._size)

    def congested(self, sent: float, now: float) -> None:
        """A request that was sent at ``sent`` was too much, or took too long: half as many from ``now`` on."""
        if sent >= self._cut:
            self._size, self._cut = max(1.0, self._size / 2.0), now


@dataclass(slots=True)
class Rate:
    """At most ``per_minute`` of something, evenly spread: no minute holds more, and there is no burst at its start."""

    per_minute: float | None
    _free: float = field(init=False, default=float("-inf"))

    def ready(self) -> float:
        """From when on the next request may be sent; minus infinity without a limit."""
        return self._free

    def take(self, amount: float, now: float) -> None:
        """Count a request of ``amount`` that is sent now."""
        if self.per_minute is not None:
            self._free = max(self._free, now) + self._seconds(amount)

    def give_back(self, amount: float) -> None:
        """Count ``amount`` less than was taken: a request turned out smaller than it could have been."""
        if self.per_minute is not None:
            self._free -= self._seconds(amount)

    def _seconds(self, amount: float) -> float:
        return 60.0 * amount / (self.per_minute or 1.0)
