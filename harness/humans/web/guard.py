"""What stands before every page: which hosts a server answers for, how much it reads, and what browsers may do.

A page loads its own style and script and nothing else, is framed by nobody, and is kept by no cache. A request for
another host than the study's is refused, so that no name that somebody points at this machine opens it (DNS
rebinding).
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import deque
from collections.abc import Callable, Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harness.humans.web.forms import MOST_BYTES
from harness.types import NeuroglossError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Middleware that refuses foreign hosts and large bodies, and adds :data:`HEADERS` to every reply."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app, self.hosts = app, frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if host_of(headers.get("host", "")) not in self.hosts:
            app: ASGIApp = PlainTextResponse("This study is not at that address.", 400)
        elif not length.isdecimal() or int(length) > MOST_BYTES:
            app = PlainTextResponse("That is too much.", 413)
        else:
            app = self.app
        await app(scope, receive, send_guarded)


def host_of(header: str) -> str:
    """Return the host that a ``Host`` header names, without its port."""
    host = header.lower()
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]


async def body_of(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        NeuroglossError: it is larger than a form can be, whatever its headers say.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise NeuroglossError("what was sent is too large.")
    return bytes(body)


def csrf_of(session: str) -> str:
    """Return the token that the forms of a browser carry: only a page that it was sent knows it."""
    return hmac.new(session.encode(), b"form", hashlib.sha256).hexdigest()


def is_own_form(session: str, token: str) -> bool:
    """Return whether a form is one that this browser was sent; compared in constant time."""
    return bool(session) and hmac.compare_digest(csrf_of(session).encode(), token.encode())


class Attempts:
    """Counts failures by client, so that nobody can try many invitations.

    Attributes:
        most: failures of one client within ``seconds``; ten times as many of all clients together.
        seconds: the length of the window.
    """

    def __init__(self, most: int = 10, seconds: float = 300.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self.seconds, self._clock = most, seconds, clock
        self._failures: deque[tuple[float, str]] = deque()

    def allows(self, client: str) -> bool:
        """Return whether a client may try."""
        while self._failures and self._failures[0][0] < self._clock() - self.seconds:
            self._failures.popleft()
        failures = sum(name == client for _, name in self._failures)
        return failures < self.most and len(self._failures) < 10 * self.most

    def failed(self, client: str) -> None:
        """Count a failure."""
        self._failures.append((self._clock(), client))
