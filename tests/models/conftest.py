"""A server on loopback that answers as a test tells it to, and misbehaves as a test tells it to."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass(frozen=True)
class Act:
    """One response: its body after ``delay`` seconds, or only its first ``cut`` bytes before the connection is lost.

    ``raw`` bytes are sent in place of it, and the connection is closed.
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: int | None = None
    content_type: str = "application/json"
    raw: bytes | None = None

    def head_and_body(self) -> tuple[bytes, bytes]:
        if self.raw is not None:
            return self.raw, b""
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        lines = [f"HTTP/1.1 {self.status} X", f"content-type: {self.content_type}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode(), body


Script = Callable[[str, dict[str, Any]], Act]


class Loopback:
    """Serves in a thread; ``script`` gives the response to a path and a decoded body, ``asked`` keeps all of these."""

    def __init__(self) -> None:
        self.script: Script = lambda path, body: Act({"error": {"message": "no script"}}, 404)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.at_once = 0
        self.most_at_once = 0
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listening = asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=512)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))))
        path = lines[0].split()[1].removeprefix("/v1")
        self.asked.append((path, body))
        self.headers.append(headers)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            act = self.script(path, body)
            await asyncio.sleep(act.delay)
            head, content = act.head_and_body()
            writer.write(head + content[: act.cut])
            await writer.drain()
        finally:
            self.at_once -= 1
        return act.cut is None and act.raw is None


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    server = Loopback()
    yield server
    server.close()


@pytest.fixture
def act() -> type[Act]:
    return Act


def _token(text: str, top: dict[str, float]) -> dict[str, Any]:
    likeliest = [{"token": t, "bytes": list(t.encode()), "logprob": math.log(p)} for t, p in top.items()]
    return {"token": text, "bytes": list(text.encode()), "logprob": -0.1, "top_logprobs": likeliest}


def _chat(
    text: str | None,
    tokens: list[tuple[str, dict[str, float]]] | None = None,
    *,
    finish: str = "stop",
    model: str = "tiny",
    refusal: str | None = None,
    usage: tuple[int, int] | None = (7, 3),
) -> dict[str, Any]:
    logprobs = None if tokens is None else {"content": [_token(*one) for one in tokens]}
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": logprobs}
    document: dict[str, Any] = {"object": "chat.completion", "model": model, "choices": [choice]}
    if usage:
        document["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return document


@pytest.fixture
def chat() -> Callable[..., dict[str, Any]]:
    """Makes the document of a chat reply: its text, and its tokens with the probabilities of the likeliest there."""
    return _chat
