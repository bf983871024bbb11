"""Policies for the rate of requests and for waiting times; the caller passes the time, and nothing here sleeps.

Times are seconds of one clock; ``chance`` is a random number from [0, 1).
"""

from __future__ import annotations

import email.utils
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: the n-th wait is drawn from [0, min(``most``, ``first`` * 2^(n-1))).

    If the server states a waiting time, the wait is that time and a little more at random, so that requests rejected
    together do not return together.
    """

    first: float = 0.5
    most: float = 60.0

    def wait(self, failures: int, chance: float, retry_after: float | None = None) -> float:
        """Return the seconds to wait after the ``failures``-th failure of a request, counted from 1."""
        if retry_after is not None:
            return max(0.0, retry_after) + chance * min(self.first, self.most)
        return chance * min(self.most, self.first * 2.0 ** min(failures - 1, 60))


def retry_after_seconds(header: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header states, as a number or a date; None if it cannot be read.

    Source: RFC 9110, section 10.2.3.
    """
    try:
        seconds = float(header or "")
    except ValueError:
        seconds = _seconds_until(header or "", now or datetime.now(UTC))
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(header: str, now: datetime) -> float:
    """Return the seconds from ``now`` to a date; NaN if the header is not a date."""
    try:
        date = email.utils.parsedate_to_datetime(header)
        return ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, OverflowError):
        return math.nan


@dataclass(slots=True)
class Window:
    """The limit on requests in flight: additive increase, multiplicative decrease, never above ``most``.

    It begins at ``most`` and shrinks only if the server reports congestion or does not answer in time. Requests sent
    before the last decrease do not cause another.
    """

    most: int
    _size: float = field(init=False)
    _decreased_at: float = field(init=False, default=float("-inf"))

    def __post_init__(self) -> None:
        self._size = float(self.most)

    @property
    def size(self) -> int:
        """The number of requests allowed in flight now; at least 1."""
        return int(self._size)

    def succeeded(self) -> None:
        """Count an answered request: a full round of answers raises the limit by one."""
        self._size = min(float(self.most), self._size + 1.0 / self._size)

    def congested(self, sent_at: float, now: float) -> None:
        """Halve the limit: a request sent at ``sent_at`` was rejected or took too long."""
        if sent_at >= self._decreased_at:
            self._size, self._decreased_at = max(1.0, self._size / 2.0), now


@dataclass(slots=True)
class Rate:
    """A limit of ``per_minute`` units, spread evenly: no minute exceeds it, and none begins with a burst."""

    per_minute: float | None
    _free: float = field(init=False, default=float("-inf"))

    def ready(self) -> float:
        """Return the time from which the next request may be sent; minus infinity if there is no limit."""
        return self._free

    def take(self, amount: float, now: float) -> None:
        """Count a request of ``amount`` units that is sent now."""
        if self.per_minute is not None:
            self._free = max(self._free, now) + self._seconds(amount)

    def give_back(self, amount: float) -> None:
        """Return ``amount`` units that a request did not use."""
        if self.per_minute is not None:
            self._free -= self._seconds(amount)

    def _seconds(self, amount: float) -> float:
        return 60.0 * amount / (self.per_minute or 1.0)
