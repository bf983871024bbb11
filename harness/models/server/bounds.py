"""Bounds on what a server may answer: no redirect, no compression, a body of limited size, and the model's own name."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import cast

import httpx2

MOST_BYTES = 1 << 26
"""Bytes of a reply: a hundred times what the log-probabilities of a long prompt take."""
HEADERS = {"Accept-Encoding": "identity"}
"""What is asked of every server: a body as long as it looks."""

_SUFFIX = re.compile(
    r"([-@:_. ](\d{4}-\d\d-\d\d|\d{4,8}|v\d+(\.\d+)*|latest|preview|free|main|[0-9a-f]{7,40}"
    r"|i?q\d\w*|f16|f32|bf16|fp16|fp8|int[48]|awq|gptq|gguf|mlx|\d{1,2}bit))*"
)
"""By what the name of a model may go on: a date, a revision, or the numbers that its weights are kept in."""


class BoundError(httpx2.TransportError):
    """A reply that breaks a bound; its message says which."""


class _BoundedStream(httpx2.AsyncByteStream):
    """The body of a reply, which ends with an error where it is too long."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MOST_BYTES:
                raise BoundError(f"a reply of more than {MOST_BYTES:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()


async def bounded(response: httpx2.Response) -> None:
    """Bound the body of a reply before it is read; a hook of the HTTP client.

    Raises:
        BoundError: it is compressed unasked, which could make any size of it.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise BoundError("a compressed reply, which was not asked for")
    response.stream = _BoundedStream(cast("httpx2.AsyncByteStream", response.stream))


def is_name_of(actual: str, expected: str) -> bool:
    """Return whether a server's name of a model is another spelling of the expected one.

    A folder, a file's ending and an owner before it do not count; a date, a revision or a number format may follow
    either name, and ``latest`` stands for any of them. ``gpt-4o-mini`` is no ``gpt-4o``.
    """
    names = [_bare(name) for name in (actual, expected)]
    shorter, longer = sorted(names, key=len)
    return longer.startswith(shorter) and _SUFFIX.fullmatch(longer[len(shorter) :]) is not None


def _bare(name: str) -> str:
    file = re.split(r"[/\\]", name.strip().lower())[-1]
    return re.sub(r"[-:]latest$", "", file.removesuffix(".gguf"))
