"""Server on loopback, in a process of its own, that answers chat requests after a delay and refuses too many."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

REPLY = {
    "object": "chat.completion",
    "model": "loopback",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "rain"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 13},
}


@contextmanager
def serving(seconds: float, at_once: int) -> Iterator[str]:
    """Yield the base URL of a running server.

    Args:
        seconds: delay of each answer.
        at_once: the most requests in progress; further ones are answered with 429.
    """
    receiver, sender = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(sender, seconds, at_once), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}/v1"
    finally:
        process.terminate()
        process.join()


def _serve(connection: Connection, seconds: float, at_once: int) -> None:
    asyncio.run(_listen(connection, seconds, at_once))


async def _listen(connection: Connection, seconds: float, at_once: int) -> None:
    loop = asyncio.get_running_loop()
    counter = [0]
    server = await loop.create_server(lambda: _Protocol(loop, seconds, at_once, counter), "127.0.0.1", 0, backlog=256)
    connection.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


class _Protocol(asyncio.Protocol):
    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, at_once: int, counter: list[int]) -> None:
        self._loop, self._seconds, self._at_once, self._counter = loop, seconds, at_once, counter
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, separator, body = self._data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        if separator and len(body) >= length:
            self._data = body[length:]
            self._counter[0] += 1
            if self._counter[0] > self._at_once:
                self._answer(b"HTTP/1.1 429 X\r\nretry-after: 0.1\r\n", b"{}")
            else:
                self._loop.call_later(self._seconds, self._answer, b"HTTP/1.1 200 OK\r\n", json.dumps(REPLY).encode())

    def _answer(self, head: bytes, body: bytes) -> None:
        self._counter[0] -= 1
        if not self._transport.is_closing():
            length = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            self._transport.write(head + length.encode() + body)
