"""Concurrent delivery of requests to a server: as many at once as it can serve, each repeated until it is answered.

The caller iterates; the event loop runs only while the caller waits for the next reply. Ctrl-C or a permanent error
stops the sending. Requests in flight are still awaited and their replies yielded, because they are paid for.

Each reply is followed by the next request at once, and requests are built and written one at a time. Otherwise requests
would travel in bunches, and each would wait for its bunch.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import signal
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from harness.models.server.pace import Backoff, Rate, Window
from harness.models.server.wire import LATER, FailedAttempt
from harness.types import NeuroglossError, Usage

Request = TypeVar("Request")
Reply = TypeVar("Reply")

_OUTAGE = 3  # failed requests in a row, without an answer in between, that count as an outage
_STORED_PER_FAILURE = 10  # stored replies for each further failure allowed; see _is_outage

_MOMENT = 0.01  # share of the time limit

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits on the requests to a server.

    Attributes:
        concurrency: the most requests in flight at once.
        attempts: number of attempts at a request before it fails.
        timeout: seconds from sending a request to the end of its reply; time that the caller is busy does not count.
        requests_per_minute: the server's limit; None for none.
        tokens_per_minute: the server's limit, for prompts and replies together; None for none.
        backoff: the waiting time before another attempt.
    """

    concurrency: int = 32
    attempts: int = 8
    timeout: float = 120.0
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class Delivered(Generic[Reply]):
    """The reply to request ``index``, or the reason that it is missing; ``wasted`` is the cost of failed attempts."""

    index: int
    reply: Reply | FailedAttempt | Postponed
    wasted: Usage


@dataclass(frozen=True, slots=True)
class Postponed:
    """A missing reply: the last attempt was billed and failed, and the budget does not allow another one for now."""


@dataclass(slots=True)
class History:
    """Counts of a server's replies to requests of one kind, over all deliveries of a run.

    Attributes:
        stored_replies: replies stored by earlier runs.
        replies: requests answered in this run.
        failures: requests that failed since the last one that was answered.
    """

    stored_replies: int = 0
    replies: int = 0
    failures: int = 0


@dataclass(slots=True)
class _Entry(Generic[Request]):
    """A queued request and its attempts so far.

    Attributes:
        index: the index of the request.
        request: the request.
        failures: number of failed attempts.
        replies_at_failure: number of requests answered in this run when this one first failed.
        wasted: the cost of failed attempts.
        sent_at: time of the last attempt, in seconds of the event loop's clock.
    """

    index: int
    request: Request
    failures: int = 0
    replies_at_failure: int = 0
    wasted: Usage = field(default_factory=Usage)
    sent_at: float = 0.0


def deliver(  # noqa: PLR0913  # the request, its rules and its accounting
    requests: Iterable[Request],
    send: Callable[[Request], Awaitable[Reply]],
    rules: Rules,
    *,
    where: str = "the server",
    tokens: Callable[[Request], int] = lambda _: 0,
    reply_tokens: Callable[[Reply], int] = lambda _: 0,
    reserve: Callable[[Request], bool] = lambda _: True,
    history: History | None = None,
    close: Callable[[], Awaitable[None]] | None = None,
) -> Iterator[Delivered[Reply]]:
    """Send each request until it is answered or has failed; yield replies as they arrive.

    Args:
        requests: the requests in order; each is generated when it is about to be sent, and released when it is settled.
        send: makes one attempt; raises :class:`FailedAttempt` if another attempt may succeed.
        rules: concurrency, attempts, time limit and rates.
        where: the model and its server, for messages.
        tokens: returns the most tokens that a request can need, for the limit per minute.
        reply_tokens: returns the tokens that a reply took, for the same limit.
        reserve: called when an attempt was billed and failed; reserves the budget for another attempt. If it returns
            False, the request is postponed.
        history: the server's earlier replies, updated in place; one failing request is no outage if others succeed.
        close: awaited at the end, in the same event loop.

    Raises:
        NeuroglossError: an attempt failed for good, or every request failed; replies in flight are yielded first.
        KeyboardInterrupt: Ctrl-C was pressed; replies in flight are yielded first, unless it was pressed twice.
    """
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise NeuroglossError("a model on a server cannot be asked from inside an event loop; call it in a thread.")
    loop = asyncio.new_event_loop()
    traffic = _Traffic(requests, send, rules, where, tokens, reply_tokens, reserve, history or History(), loop)
    try:
        traffic.begin()
        with _interrupts(loop, traffic.interrupt):
            while traffic.open or traffic.settled:
                yield from loop.run_until_complete(traffic.next())
            loop.run_until_complete(_handle_signals())
        if traffic.error is not None:
            raise traffic.error
    finally:
        loop.run_until_complete(traffic.abandon())
        if close is not None:
            loop.run_until_complete(close())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@contextmanager
def _interrupts(loop: asyncio.AbstractEventLoop, interrupt: Callable[[], None]) -> Iterator[None]:
    """Call ``interrupt`` in the loop on Ctrl-C, which only the main thread receives."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or handler is not signal.default_int_handler:
        yield
        return
    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _handle_signals() -> None:
    """Let the loop handle a Ctrl-C since its last run: the first turn receives the signal, the second handles it."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


class _Traffic(Generic[Request, Reply]):
    """The state of one call of :func:`deliver`.

    Attributes:
        settled: deliveries that are not yielded yet.
        error: the error that stops the sending; None if there is none.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # the arguments of deliver
        self,
        requests: Iterable[Request],
        send: Callable[[Request], Awaitable[Reply]],
        rules: Rules,
        where: str,
        tokens: Callable[[Request], int],
        reply_tokens: Callable[[Reply], int],
        reserve: Callable[[Request], bool],
        history: History,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.settled: list[Delivered[Reply]] = []
        self.error: BaseException | None = None
        self._send = send
        self._rules = rules
        self._where = where
        self._tokens = tokens
        self._reply_tokens = reply_tokens
        self._reserve = reserve
        self._history = history
        self._loop = loop
        self._unsent_entries = (_Entry(index, request) for index, request in enumerate(requests))
        self._next_entry: _Entry[Request] | None = None
        self._ready: deque[_Entry[Request]] = deque()
        self._backing_off: list[tuple[float, int, _Entry[Request]]] = []
        self._in_flight = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._limits: set[asyncio.Timeout] = set()
        self._yielded_at = loop.time()
        self._changed = asyncio.Event()
        self._send_lock = asyncio.Lock()  # each request is built and written before the next one is built
        self._window = Window(rules.concurrency)
        self._rates = (Rate(rules.requests_per_minute), Rate(rules.tokens_per_minute))
        self._jitter = random.Random()  # jitter needs no secure generator and never affects a result
        self._abandoned = False
        self._reported = 0

    @property
    def open(self) -> bool:
        """True while replies are still to come."""
        if self.error is not None:
            return self._in_flight > 0 and not self._abandoned
        return bool(self._in_flight or self._backing_off or self._has_ready)

    @property
    def _has_ready(self) -> bool:
        """True if a request could be sent now, the limits of the server apart."""
        return bool(self._ready) or self._next_entry is not None

    def begin(self) -> None:
        """Build the first request."""
        self._next_entry = next(self._unsent_entries, None)

    def interrupt(self) -> None:
        """Stop sending; when called twice, abandon the requests in flight too."""
        self._abandoned = isinstance(self.error, KeyboardInterrupt)
        self.error = KeyboardInterrupt()
        self._changed.set()

    async def abandon(self) -> None:
        """Cancel the requests in flight."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def next(self) -> list[Delivered[Reply]]:
        """Send requests, wait for the next event, and return the deliveries settled meanwhile, possibly none."""
        self._extend(self._loop.time() - self._yielded_at)
        self._fill()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._next_event()):
                await self._changed.wait()
        self._changed.clear()
        self._yielded_at = self._loop.time()
        settled, self.settled = self.settled, []
        return settled

    def _extend(self, seconds: float) -> None:
        """Extend the time limits by the seconds that the caller was busy: replies could not be read meanwhile.

        Very short times are ignored, because they cannot cost a reply.
        """
        if seconds > _MOMENT * self._rules.timeout:
            for limit in self._limits:
                deadline = limit.when()
                if deadline is not None and not limit.expired():
                    limit.reschedule(deadline + seconds)

    # ------------------------------------------------------------------------------------------------------- sending

    def _fill(self) -> None:
        """Send requests until the window is full, a rate limit is reached, or none is ready."""
        while (entry := self._take()) is not None:
            task = self._loop.create_task(self._process(entry))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _process(self, entry: _Entry[Request] | None) -> None:
        """Send a request, settle its result, and continue with the next request at once."""
        while entry is not None:
            async with self._send_lock:
                await asyncio.sleep(0)
            if self.error is not None:  # the sending was stopped while this request waited for the lock
                self._in_flight -= 1
                self._changed.set()
                return
            result = await self._attempt(entry)
            self._in_flight -= 1
            self._settle(entry, result)
            self._changed.set()
            entry = self._take()

    def _take(self) -> _Entry[Request] | None:
        """Return the next request to send and count it as in flight; None if none may be sent."""
        if self.error is not None or self._in_flight >= self._window.size or self._pause() > 0.0:
            return None
        try:
            entry = self._next_ready()
        except Exception as error:  # noqa: BLE001  # building the request failed; raised in the caller's iteration
            self.error = error
            self._changed.set()
            return None
        if entry is not None:
            entry.sent_at = self._loop.time()
            requests, tokens = self._rates
            requests.take(1, entry.sent_at)
            tokens.take(self._tokens(entry.request), entry.sent_at)
            self._in_flight += 1
        return entry

    def _next_ready(self) -> _Entry[Request] | None:
        while self._backing_off and self._backing_off[0][0] <= self._loop.time():
            self._ready.append(heapq.heappop(self._backing_off)[2])
        if self._ready:
            return self._ready.popleft()
        entry, self._next_entry = self._next_entry, next(self._unsent_entries, None)
        return entry

    async def _attempt(self, entry: _Entry[Request]) -> Reply | BaseException:
        try:
            async with asyncio.timeout(self._rules.timeout) as limit:
                self._limits.add(limit)
                try:
                    return await self._send(entry.request)
                finally:
                    self._limits.discard(limit)
        except TimeoutError:
            return FailedAttempt(f"no reply in {self._rules.timeout:g} seconds", congested=True, remedy=LATER)
        except Exception as error:  # noqa: BLE001  # raised again in the caller's iteration
            return error

    def _pause(self) -> float:
        return max(rate.ready() for rate in self._rates) - self._loop.time()

    def _next_event(self) -> float | None:
        """Return when a request can be sent even if no reply arrives; None if only a reply can change anything."""
        if self.error is not None or self._in_flight >= self._window.size:
            return None
        rate_ready = max(rate.ready() for rate in self._rates)
        if self._has_ready:
            return rate_ready
        return max(rate_ready, self._backing_off[0][0]) if self._backing_off else None

    # ------------------------------------------------------------------------------------------------------ settling

    def _settle(self, entry: _Entry[Request], result: Reply | BaseException) -> None:
        if isinstance(result, FailedAttempt):
            self._retry(entry, result)
        elif isinstance(result, BaseException):
            self.error = self.error or result
        else:
            self._window.succeeded()
            self._history.replies += 1
            self._history.failures = 0
            self._rates[1].give_back(self._tokens(entry.request) - self._reply_tokens(result))
            self.settled.append(Delivered(entry.index, result, entry.wasted))

    def _retry(self, entry: _Entry[Request], failure: FailedAttempt) -> None:
        now = self._loop.time()
        if not entry.failures:
            entry.replies_at_failure = self._history.replies
        entry.failures += 1
        entry.wasted += failure.usage
        if failure.congested:
            self._window.congested(entry.sent_at, now)
        self._report(entry, failure)
        if entry.failures >= self._rules.attempts:
            self._give_up(entry, failure)
        elif failure.usage.requests and not self._reserve(entry.request):
            self.settled.append(Delivered(entry.index, Postponed(), entry.wasted))
        else:
            wait = self._rules.backoff.wait(entry.failures, self._jitter.random(), failure.retry_after)
            heapq.heappush(self._backing_off, (now + wait, entry.index, entry))

    def _report(self, entry: _Entry[Request], failure: FailedAttempt) -> None:
        """Say that a server has answered nothing yet, once for each number of the try: waiting would look like work."""
        if not self._history.replies and self._reported < entry.failures < self._rules.attempts:
            self._reported = entry.failures
            _log.warning(
                "%s gives %s (try %d of %d); trying again",
                self._where,
                failure.reason,
                entry.failures,
                self._rules.attempts,
            )

    def _give_up(self, entry: _Entry[Request], failure: FailedAttempt) -> None:
        """Settle a request whose attempts have all failed; stop the sending if this is an outage."""
        unanswered = self._history.replies == entry.replies_at_failure  # else the server answered other requests
        self._history.failures += unanswered
        if unanswered and failure.remedy and self._is_outage(failure):
            self._history.failures = 0
            self.error = self.error or NeuroglossError(
                f"{self._where} gives {failure.reason}, {entry.failures} times in a row, and nothing else meanwhile; "
                f"{failure.remedy}."
            )
            return
        self.settled.append(Delivered(entry.index, failure, entry.wasted))

    def _is_outage(self, failure: FailedAttempt) -> bool:
        """Return whether the failed requests show that the server answers nothing.

        If many replies are stored, the remaining requests may be those that always fail, so more failures are allowed.
        After congestion they are not, because each failure takes long.
        """
        history = self._history
        limit = _OUTAGE if failure.congested else max(_OUTAGE, 1 + history.stored_replies // _STORED_PER_FAILURE)
        return history.failures >= limit or not (history.stored_replies or history.replies or self.open)
