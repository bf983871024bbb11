"""Published neuron records, downloaded over HTTPS one file at a time, slowly, and verified.

The publisher lists no digests, so nobody can vouch for a first download but the user: it ends with a sentence that
states the one digest of all files, and goes on where ``released.digest`` repeats it. Only then a lock file keeps the
digest of each file, which every later download must match. A recipe that knows the digest states it. Downloads are also
checked for damage on their way if the server sends ``Content-MD5``, as Azure's blob storage does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from harness import files
from harness.guards import reading
from harness.guards.printing import shortened
from harness.models.server import bounds
from harness.models.server.pace import Backoff, retry_after_seconds
from harness.tasks import openai_format
from harness.tasks.frozen import file_digest
from harness.types import Identity, NeuroglossError, Progress, Unit

BACKOFF = Backoff(first=1.0)
PATIENCE = 600.0
"""Longest wait in seconds that a server may request; a longer one stops the download."""


@dataclass(frozen=True)
class Released:
    """Records of neurons at ``<url>/<layer>/<neuron>.json``, in the format of OpenAI's neuron-explainer.

    Attributes:
        url: folder that holds the records.
        subject: model from which the records were made.
        neurons: neurons, each as ``L12N345``.
        revision: revision of the subject.
        pause: seconds between two requests.
        attempts: number of requests for a file before the download stops.
        timeout: seconds without an answer before a request fails.
        lock: file of digests; ``<task's folder>.lock`` if it is None.
        digest: of all files together, as :func:`digest_of` makes it; None if nobody has stated it.
    """

    url: str
    subject: str
    neurons: list[str]
    revision: str = ""
    pause: float = 0.5
    attempts: int = 6
    timeout: float = 30.0
    lock: str | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        if not self.neurons or min(self.pause, self.timeout) < 0 or self.attempts < 1:
            raise NeuroglossError("released needs neurons, attempts of at least 1, and no negative times; correct it.")

    @property
    def identity(self) -> Identity:
        """Model from which the records were made."""
        return Identity(self.subject, self.revision)

    def fetch(self, folder: Path, lock: Path, progress: Progress, backoff: Backoff = BACKOFF) -> list[Path]:
        """Download every file to ``folder`` that is missing there or does not match its digest.

        Args:
            folder: folder for the files; files of earlier downloads are verified like all others.
            lock: file of digests, unless the recipe names its own; digests that are confirmed are added to it.
            progress: called with the progress.
            backoff: waiting times between attempts.

        Returns:
            The paths of the files, in the order of neurons.

        Raises:
            NeuroglossError: a file does not exist, does not match its digest, or fails in all attempts; or files came
                for the first time, and their digest is not confirmed. Files downloaded before are kept, and the same
                command resumes there.
        """
        lock = lock if self.lock is None else Path(self.lock).expanduser()
        digests = _read_lock(lock)
        names = [f"{neuron.place}/{neuron.index}.json" for neuron in sorted(set(map(Unit.parse, self.neurons)))]
        agent = {"User-Agent": "neurogloss (benchmark of neuron explanations; one file at a time)", **bounds.HEADERS}
        with httpx2.Client(headers=agent, timeout=self.timeout, follow_redirects=False) as client:
            for number, name in enumerate(names):
                progress("fetching records", number, len(names))
                if not _is_there(folder / name, name, digests.get(name)):
                    _write(folder / name, self._download(client, name, digests.get(name), backoff))
                    time.sleep(self.pause)
        progress("fetching records", len(names), len(names))
        self._confirm({name: file_digest(folder / name) for name in names}, digests, folder, lock)
        return [folder / name for name in names]

    def _confirm(self, files: dict[str, str], confirmed: dict[str, str], folder: Path, lock: Path) -> None:
        """Write the lock file if the digest of all files is confirmed, and refuse files that nobody vouches for."""
        digest = digest_of(files)
        if self.digest not in (None, digest):
            raise NeuroglossError(
                f"the files of {self.url} have the digest {digest} together, and released.digest is "
                f"{shortened(str(self.digest))}; find out what changed, and remove {folder} to fetch them again."
            )
        fresh = files.keys() - confirmed.keys()
        if fresh and self.digest is None:
            raise NeuroglossError(
                f"{len(fresh)} files of {self.url} came for the first time, and their publisher states no digests: "
                "compare the digest of all with another person's, or with what another network gives; if you trust "
                f"them, add to the command: released.digest={digest} (the files are kept in {folder})."
            )
        if fresh:
            _write(lock, json.dumps(confirmed | files, indent=1, sort_keys=True).encode())

    def _download(self, client: httpx2.Client, name: str, digest: str | None, backoff: Backoff) -> bytes:
        """Return the content of a file, requested until it arrives complete."""
        url = f"{self.url.rstrip('/')}/{name}"
        for failures in range(1, self.attempts + 1):
            wait = None
            try:
                reply, content = _get(client, url)
                if reply.status_code == httpx2.codes.OK:
                    problem = _damage(reply, content)
                    if problem is None:
                        _check(url, name, content, digest)
                        return content
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
            f"{url} did not come in {self.attempts} attempts ({problem}); earlier files are kept, so run the same "
            "command again later."
        )


def digest_of(files: Mapping[str, str]) -> str:
    """Return the sha256 of all files: that of their names and digests as JSON, sorted by names, without spaces."""
    return hashlib.sha256(json.dumps(files, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Statuses that may change after a while."""


def _sleep(seconds: float, url: str) -> None:
    if seconds > PATIENCE:
        raise NeuroglossError(f"{url} asks to wait {seconds:.0f} s; run the same command again after that.")
    time.sleep(seconds)


def _get(client: httpx2.Client, url: str) -> tuple[httpx2.Response, bytes]:
    """Return the response at an address and its content, of at most :data:`reading.MOST_BYTES` bytes."""
    content = bytearray()
    with client.stream("GET", url) as reply:
        for chunk in reply.iter_raw():
            content += chunk
            if len(content) > reading.MOST_BYTES:
                raise NeuroglossError(f"{url} has more than {reading.MOST_BYTES:,} bytes; check released.url.")
    return reply, bytes(content)


def _is_there(path: Path, name: str, digest: str | None) -> bool:
    """Return whether a file has come before, and is as it was then, or a record of its neuron if nobody knows."""
    if not path.is_file():
        return False
    if digest is not None:
        return digest == file_digest(path)
    try:
        _check(str(path), name, reading.bytes_of(path), None)
    except NeuroglossError:
        return False
    return True


def _damage(reply: httpx2.Response, content: bytes) -> str | None:
    """Return the defect of a reply that the server's digest reveals, or None; httpx itself detects a truncated body."""
    expected = reply.headers.get("content-md5")
    digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    return None if expected in (None, digest) else "its bytes do not have the digest that the server names"


def _check(url: str, name: str, content: bytes, digest: str | None) -> None:
    """Refuse content that does not match the lock file, or is not a record of the requested neuron."""
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise NeuroglossError(
            f"{url} is not what it was when its digest was written into the lock file; find out what changed, and make "
            "a new version of the task if the change is intended."
        )
    try:
        neuron = openai_format.parsed(reading.parsed_json(content.decode(), url)).unit
    except (ValueError, KeyError, TypeError, AttributeError, NeuroglossError) as error:
        raise NeuroglossError(f"{url} holds no neuron record ({error!r}); check released.url.") from error
    if f"{neuron.place}/{neuron.index}.json" != name:
        raise NeuroglossError(f"{url} holds neuron {neuron}; check released.url.")


def _read_lock(path: Path) -> dict[str, str]:
    try:
        digests: Any = reading.json_of(path) if path.is_file() else {}
    except NeuroglossError as error:
        raise NeuroglossError(f"{path} is no file of digests ({error}); restore it: it protects the task.") from error
    if not isinstance(digests, dict) or not all(isinstance(digest, str) for digest in digests.values()):
        raise NeuroglossError(f"{path} is no file of digests; restore it: it protects the task.")
    return digests


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    try:
        files.write_whole(path, content)
    except OSError as error:
        raise NeuroglossError(
            f"{path} cannot be written ({error.strerror or error}); make room there and run again; earlier files are "
            "kept."
        ) from error
