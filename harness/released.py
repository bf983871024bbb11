"""Neuron records that others have published, fetched over HTTPS one file at a time, slowly, and checked.

The publisher names no digests. So the first download writes those it finds into a lock file, and every later one must
bring the same bytes. Where the server sends a ``Content-MD5``, as Azure's blobs do, the first one is checked too.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from harness import neuron_records
from harness.frozen import file_digest
from harness.models.pace import Backoff, retry_after_seconds
from harness.types import Identity, NeuroglossError, NeuronId, Progress

BACKOFF = Backoff(first=1.0)
PATIENCE = 600.0
"""The longest that a server may ask to wait; one that asks for more is left for another day."""


@dataclass(frozen=True)
class Released:
    """Records of some neurons at ``<url>/<layer>/<neuron>.json``, in the format of OpenAI's neuron-explainer.

    Attributes:
        url: the folder that holds them.
        subject: the model that they were made from.
        neurons: which, each as ``L12N345``.
        revision: of the subject.
        pause: seconds between one request and the next.
        attempts: how often a file is asked for before the download stops.
        timeout: seconds that a server may be silent.
        lock: the file of digests; ``<task's folder>.lock`` where it is None.
    """

    url: str
    subject: str
    neurons: list[str]
    revision: str = ""
    pause: float = 0.5
    attempts: int = 6
    timeout: float = 30.0
    lock: str | None = None

    def __post_init__(self) -> None:
        if not self.neurons or min(self.pause, self.timeout) < 0 or self.attempts < 1:
            raise NeuroglossError("released needs neurons, attempts of at least 1, and no negative time; correct it.")

    @property
    def identity(self) -> Identity:
        """The model that the records were made from."""
        return Identity(self.subject, self.revision)

    def fetch(self, folder: Path, lock: Path, progress: Progress, backoff: Backoff = BACKOFF) -> list[Path]:
        """Have every file in ``folder``: what is there already, and is whole, is not asked for again.

        Args:
            folder: where files are kept; what stands there of another download is checked as any other file is.
            lock: the file of digests, unless the recipe names its own; what is new there is added.
            progress: told how far it is.
            backoff: how long to wait before a file is asked for again.

        Returns:
            The files, in the order of neurons.

        Raises:
            NeuroglossError: a file is not there, is not what it was, or does not come after all attempts; what came
                before is kept, and the same command goes on from there.
        """
        lock = lock if self.lock is None else Path(self.lock).expanduser()
        known = _read_lock(lock)
        names = [f"{one.layer}/{one.index}.json" for one in sorted(set(map(NeuronId.parse, self.neurons)))]
        agent = {"User-Agent": "neurogloss (benchmark of neuron explanations; one file at a time)"}
        with httpx2.Client(headers=agent, timeout=self.timeout, follow_redirects=True) as client:
            for done, name in enumerate(names):
                progress("fetching records", done, len(names))
                path = folder / name
                if not path.is_file() or known.get(name) != file_digest(path):
                    content = self._asked(client, name, known.get(name), backoff)
                    _write(path, content)
                    known[name] = hashlib.sha256(content).hexdigest()
                    _write(lock, json.dumps(known, indent=1, sort_keys=True).encode())
                    time.sleep(self.pause)
        progress("fetching records", len(names), len(names))
        return [folder / name for name in names]

    def _asked(self, client: httpx2.Client, name: str, digest: str | None, backoff: Backoff) -> bytes:
        """The content of a file, asked for until it comes whole."""
        url = f"{self.url.rstrip('/')}/{name}"
        for failures in range(1, self.attempts + 1):
            wait = None
            try:
                reply = client.get(url)
                if reply.status_code == httpx2.codes.OK:
                    problem = _damage(reply)
                    if problem is None:
                        _check(url, name, reply.content, digest)
                        return reply.content
                elif reply.status_code in _PASSING:
                    problem = f"status {reply.status_code}"
                    wait = retry_after_seconds(reply.headers.get("retry-after"))
                else:
                    raise NeuroglossError(f"{url} answers with status {reply.status_code}; check released.url.")
            except httpx2.HTTPError as error:
                problem = str(error) or type(error).__name__
            if failures < self.attempts:
                _sleep(backoff.wait(failures, random.random(), wait), url)
        raise NeuroglossError(
            f"{url} did not come in {self.attempts} attempts ({problem}); what came before is kept, so run the same "
            "command again later."
        )


_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Statuses that may be others a little later."""


def _sleep(seconds: float, url: str) -> None:
    if seconds > PATIENCE:
        raise NeuroglossError(f"{url} asks to wait {seconds:.0f} s; run the same command again after that.")
    time.sleep(seconds)


def _damage(reply: httpx2.Response) -> str | None:
    """What is wrong with a reply by what the server says of it: httpx sees that a body is cut, and this the rest."""
    expected = reply.headers.get("content-md5")
    found = base64.b64encode(hashlib.md5(reply.content, usedforsecurity=False).digest()).decode()
    return None if expected in (None, found) else "its bytes do not have the digest that the server names"


def _check(url: str, name: str, content: bytes, digest: str | None) -> None:
    """Refuse content that is not what the lock file says, or no record of the neuron asked for."""
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise NeuroglossError(
            f"{url} is not what it was when its digest was written into the lock file; find out what changed, and make "
            "a new version of the task where it is meant."
        )
    try:
        neuron = neuron_records.parsed(json.loads(content)).neuron
    except (ValueError, KeyError, TypeError, AttributeError, NeuroglossError) as error:
        raise NeuroglossError(f"{url} holds no neuron record ({error!r}); check released.url.") from error
    if f"{neuron.layer}/{neuron.index}.json" != name:
        raise NeuroglossError(f"{url} holds neuron {neuron}; check released.url.")


def _read_lock(path: Path) -> dict[str, str]:
    try:
        known: Any = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise NeuroglossError(f"{path} is no file of digests ({error}); restore it, it guards the task.") from error
    if not isinstance(known, dict):
        raise NeuroglossError(f"{path} is no file of digests; restore it, it guards the task.")
    return known


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise NeuroglossError(
            f"{path} cannot be written ({error.strerror or error}); make room there and run again, it goes on from "
            "what came before."
        ) from error
