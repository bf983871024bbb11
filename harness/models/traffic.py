"""Many requests under way at once: as many as the server bears, each again until it is answered, none lost on the way.

The caller iterates; the event loop runs only while it waits for the next reply. What stops a run (Ctrl-C, an error that
no second attempt mends) stops the sending: what is under way is waited for and handed over first, because it is paid.

A reply's place is taken by the next request at once, and requests are made and written one by one. Were all replies at
hand read first and all requests made before the first is written, they would travel in bunches, round after round, and
each would wait for the whole bunch.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import signal
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from harness.models.pace import Backoff, Rate, Window
from harness.models.wire import LATER, Again
from harness.types import NeuroglossError, Usage

Request = TypeVar("Request")
Reply = TypeVar("Reply")

_IN_VAIN = 3  # requests given up, one after the other and none answered in between, are an outage and no bad luck
_STORED_FOR_EACH = 10  # stored replies, for each request in vain that may be bad luck: a run again asks only for those

_MOMENT = 0.01  # of the time limit


@dataclass(frozen=True, slots=True)
class Rules:
    """How a server is asked.

    Attributes:
        concurrency: the most requests under way at once.
        attempts: how often a request is sent before it is given up.
        timeout: seconds from sending a request to the end of its reply, those apart in which the caller was busy.
        requests_per_minute, tokens_per_minute: the server's limits, where it has some; tokens of prompts and replies.
        backoff: how long to wait before a request is sent again.
    """

    concurrency: int = 32
    attempts: int = 8
    timeout: float = 120.0
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class Delivered(Generic[Reply]):
    """What became of request ``index``: a reply, or why there is none; ``wasted`` is what attempts before it cost."""

    index: int
    reply: Reply | Again | PutOff
    wasted: Usage


@dataclass(frozen=True, slots=True)
class PutOff:
    """In place of a reply: the last attempt was billed and came to nothing, and another one cannot be paid for now."""


@dataclass(slots=True)
class Record:
    """How a server has fared with requests of one kind, in one delivery after the other.

    Attributes:
        stored: replies that an earlier run was given.
        answered: requests that were answered in this run.
        in_vain: requests given up since the last one that was answered.
    """

    stored: int = 0
    answered: int = 0
    in_vain: int = 0


@dataclass(slots=True)
class _Errand(Generic[Request]):
    """A request that is not answered yet, and what its attempts so far have told.

    ``answered`` is how many others had been answered when it first failed.
    """

    index: int
    request: Request
    failures: int = 0
    answered: int = 0
    wasted: Usage = field(default_factory=Usage)
    sent: float = 0.0


def deliver(  # noqa: PLR0913  # who is asked what, by which rules, and what is counted
    requests: Iterable[Request],
    send: Callable[[Request], Awaitable[Reply]],
    rules: Rules,
    *,
    where: str = "the server",
    tokens: Callable[[Request], int] = lambda _: 0,
    used: Callable[[Reply], int] = lambda _: 0,
    again: Callable[[Request], bool] = lambda _: True,
    record: Record | None = None,
    close: Callable[[], Awaitable[None]] | None = None,
) -> Iterator[Delivered[Reply]]:
    """Send each request until it is answered or given up; replies are yielded as they come.

    Args:
        requests: what to send, first ones first; each is taken when its turn comes, and dropped when it is settled.
        send: one attempt; it raises :class:`Again` where another may help.
        rules: how many at once, how often, how long.
        where: who is asked, for messages.
        tokens: the most tokens that a request can need; ``used`` what its reply took, for the limit by minute.
        used: see ``tokens``.
        again: whether a request may be sent again of which an attempt was billed and came to nothing; else it is put
            off.
        record: how the server has fared before, and from now on; a server that answered others is not out of reach
            because one request fails.
        close: awaited at the end, in the same loop.

    Raises:
        NeuroglossError: an attempt did, or none of the requests got through; what was under way was yielded before.
        KeyboardInterrupt: Ctrl-C was pressed; what was under way was yielded before, unless it was pressed twice.
    """
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise NeuroglossError("a model on a server cannot be asked from inside an event loop; call it in a thread.")
    loop = asyncio.new_event_loop()
    traffic = _Traffic(requests, send, rules, where, tokens, used, again, record or Record(), loop)
    try:
        traffic.begin()
        with _interrupts(loop, traffic.interrupt):
            while traffic.open or traffic.settled:
                yield from loop.run_until_complete(traffic.next())
            loop.run_until_complete(_heard())
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
    """Ctrl-C calls ``interrupt`` in the loop; elsewhere than in the main thread there is no Ctrl-C."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield
        return
    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _heard() -> None:
    """Let the loop hear a Ctrl-C that was pressed since it last ran: one turn takes notice of it, the next one acts."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


class _Traffic(Generic[Request, Reply]):
    """The state of one :func:`deliver`.

    Attributes:
        settled: what has come and is not handed over yet.
        error: what stops the sending.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # those of deliver
        self,
        requests: Iterable[Request],
        send: Callable[[Request], Awaitable[Reply]],
        rules: Rules,
        where: str,
        tokens: Callable[[Request], int],
        used: Callable[[Reply], int],
        again: Callable[[Request], bool],
        record: Record,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.settled: list[Delivered[Reply]] = []
        self.error: BaseException | None = None
        self._send = send
        self._rules = rules
        self._where = where
        self._tokens = tokens
        self._used = used
        self._again = again
        self._record = record
        self._loop = loop
        self._fresh = (_Errand(index, request) for index, request in enumerate(requests))
        self._coming: _Errand[Request] | None = None
        self._ready: deque[_Errand[Request]] = deque()
        self._waiting: list[tuple[float, int, _Errand[Request]]] = []
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._limits: set[asyncio.Timeout] = set()
        self._left = loop.time()
        self._news = asyncio.Event()
        self._door = asyncio.Lock()  # one request is made at a time, and written before the next one is made
        self._window = Window(rules.concurrency)
        self._rates = (Rate(rules.requests_per_minute), Rate(rules.tokens_per_minute))
        self._chance = random.Random()  # jitter is no secret, and never part of a result
        self._hurried = False

    @property
    def open(self) -> bool:
        """Whether anything is still to come."""
        if self.error is not None:
            return self._under_way > 0 and not self._hurried
        return bool(self._under_way or self._waiting or self._unsent)

    @property
    def _unsent(self) -> bool:
        """Whether a request could be sent now, if only the server bore it."""
        return bool(self._ready) or self._coming is not None

    def begin(self) -> None:
        """Make the first request."""
        self._coming = next(self._fresh, None)

    def interrupt(self) -> None:
        """Stop sending; the second time, do not wait for what is under way either."""
        self._hurried = isinstance(self.error, KeyboardInterrupt)
        self.error = KeyboardInterrupt()
        self._news.set()

    async def abandon(self) -> None:
        """Cancel what is still under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def next(self) -> list[Delivered[Reply]]:
        """Send what may be sent, and wait until something has come; what is settled meanwhile, perhaps nothing."""
        self._extend(self._loop.time() - self._left)
        self._fill()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._next_event()):
                await self._news.wait()
        self._news.clear()
        self._left = self._loop.time()
        settled, self.settled = self.settled, []
        return settled

    def _extend(self, seconds: float) -> None:
        """Do not count the time that the caller was busy for: what came meanwhile is read after it. A moment is too
        little to lose a reply, and not worth the work."""
        if seconds > _MOMENT * self._rules.timeout:
            for limit in self._limits:
                when = limit.when()
                if when is not None and not limit.expired():
                    limit.reschedule(when + seconds)

    # ------------------------------------------------------------------------------------------------------- sending

    def _fill(self) -> None:
        """Send requests until the window is full, a rate is reached, or none is due."""
        while (errand := self._taken()) is not None:
            task = self._loop.create_task(self._carry(errand))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, errand: _Errand[Request] | None) -> None:
        """Send a request, settle what comes, and go on with the next one at once."""
        while errand is not None:
            async with self._door:
                await asyncio.sleep(0)
            if self.error is not None:  # the sending was stopped while this one waited for its turn
                self._under_way -= 1
                self._news.set()
                return
            came = await self._attempt(errand)
            self._under_way -= 1
            self._settle(errand, came)
            self._news.set()
            errand = self._taken()

    def _taken(self) -> _Errand[Request] | None:
        """The next request to be sent, under way from now on; None where none may be."""
        if self.error is not None or self._under_way >= self._window.size or self._pause() > 0.0:
            return None
        try:
            errand = self._due()
        except Exception as error:  # noqa: BLE001  # a request that cannot be made; raised where the caller iterates
            self.error = error
            self._news.set()
            return None
        if errand is not None:
            errand.sent = self._loop.time()
            requests, tokens = self._rates
            requests.take(1, errand.sent)
            tokens.take(self._tokens(errand.request), errand.sent)
            self._under_way += 1
        return errand

    def _due(self) -> _Errand[Request] | None:
        while self._waiting and self._waiting[0][0] <= self._loop.time():
            self._ready.append(heapq.heappop(self._waiting)[2])
        if self._ready:
            return self._ready.popleft()
        errand, self._coming = self._coming, next(self._fresh, None)
        return errand

    async def _attempt(self, errand: _Errand[Request]) -> Reply | BaseException:
        try:
            async with asyncio.timeout(self._rules.timeout) as limit:
                self._limits.add(limit)
                try:
                    return await self._send(errand.request)
                finally:
                    self._limits.discard(limit)
        except TimeoutError:
            return Again(f"no reply in {self._rules.timeout:g} seconds", congested=True, remedy=LATER)
        except Exception as error:  # noqa: BLE001  # it is raised again, where the caller iterates
            return error

    def _pause(self) -> float:
        return max(rate.ready() for rate in self._rates) - self._loop.time()

    def _next_event(self) -> float | None:
        """When something is to be done even if nothing comes; None where only a reply can change anything."""
        if self.error is not None or self._under_way >= self._window.size:
            return None
        held = max(rate.ready() for rate in self._rates)
        if self._unsent:
            return held
        return max(held, self._waiting[0][0]) if self._waiting else None

    # ------------------------------------------------------------------------------------------------------ settling

    def _settle(self, errand: _Errand[Request], came: Reply | BaseException) -> None:
        if isinstance(came, Again):
            self._failed(errand, came)
        elif isinstance(came, BaseException):
            self.error = self.error or came
        else:
            self._window.succeeded()
            self._record.answered += 1
            self._record.in_vain = 0
            self._rates[1].give_back(self._tokens(errand.request) - self._used(came))
            self.settled.append(Delivered(errand.index, came, errand.wasted))

    def _failed(self, errand: _Errand[Request], again: Again) -> None:
        now = self._loop.time()
        if not errand.failures:
            errand.answered = self._record.answered
        errand.failures += 1
        errand.wasted += again.usage
        if again.congested:
            self._window.congested(errand.sent, now)
        if errand.failures >= self._rules.attempts:
            self._give_up(errand, again)
        elif again.usage.requests and not self._again(errand.request):
            self.settled.append(Delivered(errand.index, PutOff(), errand.wasted))
        else:
            wait = self._rules.backoff.wait(errand.failures, self._chance.random(), again.retry_after)
            heapq.heappush(self._waiting, (now + wait, errand.index, errand))

    def _give_up(self, errand: _Errand[Request], again: Again) -> None:
        """Settle a request that no attempt got through, or where that is an outage, stop."""
        in_vain = self._record.answered == errand.answered  # else the server answered others meanwhile
        self._record.in_vain += in_vain
        if in_vain and again.remedy and self._out_of_reach(again):
            self._record.in_vain = 0
            self.error = self.error or NeuroglossError(
                f"{self._where} gives {again.reason}, {errand.failures} times in a row, and nothing else meanwhile; "
                f"{again.remedy}."
            )
            return
        self.settled.append(Delivered(errand.index, again, errand.wasted))

    def _out_of_reach(self, again: Again) -> bool:
        """Whether what is given up one after the other shows that the server answers nothing.

        Where many replies are stored, those that are left may be just the ones that fail each time; to find that out
        is quick, unless each has to be waited for.
        """
        stored, answered, in_vain = self._record.stored, self._record.answered, self._record.in_vain
        bad_luck = _IN_VAIN if again.congested else max(_IN_VAIN, 1 + stored // _STORED_FOR_EACH)
        return in_vain >= bad_luck or not (stored or answered or self.open)
