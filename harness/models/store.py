"""The store of replies: one SQLite file, keyed by the content of what was asked and of whom.

Every reply is committed before it is used. A run that is killed and started again finds all that it was answered; a
request that differs in any field has another key, so that no model is ever credited with another's reply.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.types import Identity, NeuroglossError

SCHEMA_VERSION = 1
_SECONDS_TO_WAIT = 60.0  # for another process that is writing
_KEYS_AT_A_TIME = 500  # SQLite limits the number of parameters of a query


def key(kind: str, identity: Identity, request: object) -> bytes:
    """The key of a request: a hash of its kind, of every field of the model's identity, and of its own every field.

    Args:
        kind: what is asked for, so that two verbs never share a reply.
        identity: who is asked.
        request: a dataclass of plain values.
    """
    content = {"kind": kind, "identity": dataclasses.asdict(identity), "request": _plain(request)}
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def _plain(value: Any) -> Any:
    """A dataclass as JSON holds it; its type is part of it, so that two kinds of request never look alike."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
        return {"": type(value).__name__, **fields}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


class Store:
    """Replies on disk, shared by any number of processes. Use it as a context manager.

    Raises:
        NeuroglossError: the file can not be opened, is not a store, or can not be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._one_sentence():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_SECONDS_TO_WAIT, isolation_level=None)
            self._open()

    def _open(self) -> None:
        # A commit in WAL mode survives the death of the process at any moment, without waiting for the disk each time.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS replies (key BLOB PRIMARY KEY, kind TEXT NOT NULL, reply TEXT NOT NULL) "
            "WITHOUT ROWID"
        )
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise NeuroglossError(
                f"the store {self.path} has version {version}, and this neurogloss reads {SCHEMA_VERSION}; "
                "set store=FILE to begin another."
            )

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Any]:
        """The replies that are there, by key, as the plain values that were put."""
        found: dict[bytes, Any] = {}
        with self._one_sentence():
            for start in range(0, len(keys), _KEYS_AT_A_TIME):
                some = keys[start : start + _KEYS_AT_A_TIME]
                marks = ",".join("?" * len(some))
                rows = self._connection.execute(f"SELECT key, reply FROM replies WHERE key IN ({marks})", some)
                found.update((row_key, json.loads(reply)) for row_key, reply in rows)
        return found

    def put(self, reply_key: bytes, kind: str, reply: Any) -> None:
        """Commit a reply of plain values; one that is there already stays."""
        text = json.dumps(reply, allow_nan=False, separators=(",", ":"))
        with self._one_sentence():
            self._connection.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?)", (reply_key, kind, text))

    def __len__(self) -> int:
        (count,) = self._connection.execute("SELECT count(*) FROM replies").fetchone()
        return int(count)

    def __iter__(self) -> Iterator[bytes]:
        """Every key that has a reply."""
        for (one,) in self._connection.execute("SELECT key FROM replies ORDER BY key"):
            yield one

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _one_sentence(self) -> Iterator[None]:
        """Turn what the disk or the database says into a sentence for the user."""
        try:
            yield
        except (sqlite3.Error, OSError, json.JSONDecodeError) as error:
            raise NeuroglossError(
                f"the store of replies {self.path} can not be used ({error}); free space, check the file, or set "
                "store=FILE to begin another. Replies that it holds are kept."
            ) from error
