"""Content-addressed store of replies: no request is sent twice, and a run that starts again resumes.

The key of a reply is a hash of everything that can change it: the model, the kind of request, and every field of the
request. A reply is committed before it is used. Several processes may share one store.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import math
import os
import re
import sqlite3
import time
import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Generic, Self, TypeVar, cast

from harness.guards.printing import shortened
from harness.models.meter import Meter
from harness.models.server.capabilities import MOST_LEVELS, Capabilities
from harness.models.server.slots import MOST_MASS
from harness.types import Completion, Identity, LevelReading, NeuroglossError, Outcome, Usage

VERSION = 1
"""Part of every key; raise it when a change of the code changes the reply to the same request."""

Request = TypeVar("Request")
Reply = TypeVar("Reply")

_BUSY_SECONDS = 60.0
_KEYS_PER_QUERY = 500
_OWNER = 16  # hexadecimal digits of the name of a process among the claims
_MOMENT = 0.1
"""Seconds between two looks at what another process is asking for."""
_FINAL = (Outcome.OK, Outcome.REFUSED, Outcome.TRUNCATED, Outcome.EMPTY)  # a second request would give the same outcome


# ------------------------------------------------------------------------------------------------------------ the file


class Store:
    """Replies as JSON in a SQLite file, by key; the file and its folder are created if they are missing.

    Each reply is kept with a checksum, and compressed. Where several processes share a file, each claims the keys that
    it is about to ask for, and waits for those that another has claimed; claims end with the process. A file that
    cannot be written is read as it is.

    Raises:
        NeuroglossError: the file cannot be opened, read or written, or a reply in it is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._claims: BinaryIO | None = None
        with self._explained_errors():
            self._connection = self._writable() if self._can_write() else self._readable()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, and give up all claims."""
        try:
            self.release()
        finally:
            self._connection.close()

    def __len__(self) -> int:
        with self._explained_errors():
            return int(self._connection.execute("SELECT count(*) FROM replies").fetchone()[0])

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys of all replies."""
        with self._explained_errors():
            keys = self._connection.execute("SELECT key FROM replies").fetchall()
        return (key for (key,) in keys)

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield (key, JSON) for each key that has a reply, in any order.

        Raises:
            NeuroglossError: a reply is not what was stored.
        """
        for batch in _batches(keys):
            marks = ",".join("?" * len(batch))
            with self._explained_errors():
                query = f"SELECT key, reply, checksum FROM replies WHERE key IN ({marks})"
                rows = self._connection.execute(query, batch).fetchall()
            yield from ((key, self._opened(key, reply, checksum)) for key, reply, checksum in rows)

    def put(self, key: str, reply: str) -> str:
        """Commit a reply, and return the one that the file holds: another process may have stored one before."""
        self._insert("IGNORE", key, reply)
        return dict(self.get_many([key]))[key]

    def replace(self, key: str, reply: str) -> None:
        """Commit a reply in place of the one that the file holds."""
        self._insert("REPLACE", key, reply)

    def _insert(self, conflict: str, key: str, reply: str) -> None:
        packed = zlib.compress(reply.encode("utf-8", "surrogatepass"))
        with self._explained_errors():
            row = (key, packed, _checksum(key, packed))
            self._connection.execute(f"INSERT OR {conflict} INTO replies (key, reply, checksum) VALUES (?, ?, ?)", row)

    # ------------------------------------------------------------------------------------------------------- claims

    def claim(self, keys: Sequence[str]) -> set[str]:
        """Return those of some keys that nobody has a reply to or asks for, and let nobody else ask for them.

        The claims of processes that have ended, however they did, do not count.
        """
        if not self._is_shared:
            return set(keys)
        with self._explained_errors(), self._transaction():
            owner = self._owner()
            for (name,) in self._connection.execute("SELECT DISTINCT owner FROM claims").fetchall():
                if name != owner and not (self._is_owner(name) and self._lives(name)):
                    self._connection.execute("DELETE FROM claims WHERE owner = ?", (name,))
            self._connection.executemany(
                "INSERT OR IGNORE INTO claims SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM replies WHERE key = ?)",
                ((key, owner, key) for key in keys),
            )
            rows = self._connection.execute("SELECT key FROM claims WHERE owner = ?", (owner,)).fetchall()
        return {key for (key,) in rows} & set(keys)

    def release(self) -> None:
        """Give up all claims; replies stay."""
        if self._claims is None:
            return
        claims, self._claims = self._claims, None
        with closing(claims), suppress(sqlite3.Error):
            Path(claims.name).unlink(missing_ok=True)
            self._connection.execute("DELETE FROM claims WHERE owner = ?", (Path(claims.name).name,))

    @property
    def _is_shared(self) -> bool:
        return str(self.path) != ":memory:"

    def _owner(self) -> str:
        """Return the name of this store among the claims: that of a file on which it holds a lock while it lives."""
        if self._claims is None:
            path = self.path.with_name(f"{self.path.name}-claims-{os.urandom(_OWNER // 2).hex()}")
            self._claims = path.open("xb")
            fcntl.flock(self._claims, fcntl.LOCK_EX)
        return Path(self._claims.name).name

    def _is_owner(self, name: object) -> bool:
        """Return whether a name is one of those that :meth:`_owner` gives; a file by another name is not ours."""
        pattern = rf"{re.escape(self.path.name)}-claims-[0-9a-f]{{{_OWNER}}}"
        return isinstance(name, str) and re.fullmatch(pattern, name) is not None

    def _lives(self, owner: str) -> bool:
        """Return whether the process of a claim goes on; what it has left is removed where it does not."""
        path = self.path.with_name(owner)
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    # ---------------------------------------------------------------------------------------------------- the file

    def _can_write(self) -> bool:
        place = self.path if self.path.exists() else self.path.parent
        return not self._is_shared or not self.path.exists() or os.access(place, os.W_OK)

    def _writable(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", *_TABLES):
                connection.execute(statement)
        except sqlite3.Error as error:
            connection.close()
            if "readonly" not in str(error):
                raise
            return self._readable()
        return connection

    def _readable(self) -> sqlite3.Connection:
        """Return a connection to a file, or a disk, that cannot be written."""
        log = self.path.with_name(f"{self.path.name}-wal")
        is_whole = not log.exists() or not log.stat().st_size
        options = "mode=ro&immutable=1" if is_whole else "mode=ro"
        address = f"{self.path.resolve().as_uri()}?{options}"
        connection = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.execute("SELECT key, reply, checksum FROM replies LIMIT 1").fetchall()
        return connection

    def _opened(self, key: str, reply: object, checksum: object) -> str:
        """Return the JSON of a row, which is what was stored."""
        try:
            content = _unpacked(reply) if isinstance(reply, bytes) and checksum == _checksum(key, reply) else None
        except (ValueError, zlib.error):
            content = None
        if content is None:
            raise NeuroglossError(
                f"the store {self.path} is damaged: its reply {shortened(str(key), 70)} is not what was stored; move "
                "the store away, and its requests will be sent again."
            )
        return content

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _explained_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise NeuroglossError(f"the store {self.path} cannot be used ({error}); {_remedy(error)}.") from error


_TABLES = (
    "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply BLOB NOT NULL, checksum BLOB) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID",
)
_MOST_REPLY = 1 << 28
"""Bytes of a reply as JSON."""


_MOST_COUNT = 1 << 53
"""Tokens, requests or levels: a float represents every smaller one exactly."""
_ROUNDED = 1.0 + 1e-6
"""The most that rounding makes of a probability."""


def _checksum(key: str, packed: bytes) -> bytes:
    return hashlib.sha256(key.encode() + packed).digest()[:8]


def _unpacked(packed: bytes) -> str | None:
    """Return the JSON of a packed reply; None if it is cut short, or too large."""
    unpacking = zlib.decompressobj()
    content = unpacking.decompress(packed, _MOST_REPLY)
    return content.decode("utf-8", "surrogatepass") if unpacking.eof else None


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(keys)
    while batch := list(islice(remaining, _KEYS_PER_QUERY)):
        yield batch


def _remedy(error: Exception) -> str:
    remedies = {
        "full": "free some space and run again; replies stored so far are kept",
        "locked": "another process holds it, so wait for it or set store= to another file",
        "not a database": "it is not a store, or is damaged: move it away, or set store= to another file",
        "no such column": "it is no store of this program: move it away, or set store= to another file",
        "malformed": "it is damaged: move it away, and its requests will be sent again",
        "readonly": "allow writing to it, or set store= to another file",
    }
    text = str(error).lower()
    return next(
        (remedy for symptom, remedy in remedies.items() if symptom in text), "set store= to a file that can be written"
    )


# ------------------------------------------------------------------------------------------------- requests and replies


@dataclass(frozen=True)
class Kind(Generic[Reply]):
    """A kind of request, and the functions that store its replies.

    Attributes:
        name: the name of the kind, part of the key; progress is reported under it.
        encode: converts a reply to a value that JSON can hold.
        decode: the inverse of ``encode``.
        usage: returns the cost of a reply.
        from_store: returns a reply with its usage marked as stored.
        final: returns whether a reply is stored; one that a second attempt could improve is not.
        postponed: returns whether the reply is missing because the budget does not allow another attempt for now.
        fits: returns whether a stored reply has the form that its request asks for.
    """

    name: str
    encode: Callable[[Reply], Any]
    decode: Callable[[Any], Reply]
    usage: Callable[[Reply], Usage]
    from_store: Callable[[Reply], Reply]
    final: Callable[[Reply], bool]
    postponed: Callable[[Reply], bool] = lambda _: False
    fits: Callable[[Any, Reply], bool] = lambda _request, _reply: True


Prepare = Callable[[str, int, Callable[[Usage], bool]], None]
"""Called with the kind of the requests, the number of stored replies to them, and a function that reserves the budget
for one more attempt of a given cost."""


def key_of(identity: Identity, kind: str, request: object) -> str:
    """Return the key of a reply: the SHA-256 of the canonical JSON of everything that can change it.

    Args:
        identity: the model.
        kind: the kind of request.
        request: a dataclass; each of its fields, at any depth, is part of the key.

    Raises:
        NeuroglossError: the request has no canonical JSON.
    """
    content = [VERSION, kind, identity, type(request).__name__, request]
    try:
        text = _CANONICAL.encode(content)
    except (TypeError, ValueError) as error:
        raise NeuroglossError(f"a {kind} request cannot be stored: {error}.") from error
    return hashlib.sha256(text.encode()).hexdigest()


def answered(  # noqa: PLR0913  # the model, the requests, the store and the budget
    store: Store,
    identity: Identity,
    kind: Kind[Reply],
    requests: Sequence[Request],
    ask: Callable[[Sequence[Request]], Iterator[tuple[int, Reply]]],
    *,
    meter: Meter | None = None,
    cost: Callable[[Request], Usage] | None = None,
    prepare: Prepare | None = None,
) -> list[Reply]:
    """Return the reply to each request, in order: from the store, or from the model if the store has none.

    Args:
        store: the stored replies; new ones are added.
        identity: the model that answers.
        kind: the kind of the requests.
        requests: dataclasses; equal ones are sent once.
        ask: sends requests; yields replies as they arrive, each with the index of its request.
        meter: counts usage, reports progress (a request that failed makes none) and enforces the budget.
        cost: returns the most that a request can cost; needed if the meter has a budget.
        prepare: called once before any request is sent.

    Raises:
        NeuroglossError: the budget does not suffice (replies so far are stored), or the store cannot be used.
    """
    meter = meter or Meter()
    keys = [key_of(identity, kind.name, request) for request in requests]
    places: dict[str, int] = {}
    for index, key in enumerate(keys):
        places.setdefault(key, index)
    requests_by_key = {key: requests[index] for key, index in places.items()}
    replies = _stored_replies(store, kind, requests_by_key, meter)
    missing = {key: request for key, request in requests_by_key.items() if key not in replies}
    fresh: set[str] = set()
    failed = 0
    meter.show(kind.name, len(replies), len(places))
    if prepare is not None:
        prepare(kind.name, len(replies), meter.reserve)
    try:
        while missing:
            batch = _claimed(store, kind, missing, replies, meter)
            for key, reply in _send(kind, _within_budget(kind, batch, meter, cost), ask) if batch else ():
                meter.spend(kind.usage(reply))
                if kind.postponed(reply):
                    continue
                replies[key], is_fresh = keep(store, kind, key, reply)
                fresh |= {key} if is_fresh else set()
                failed += not kind.final(replies[key])
                del missing[key]
                meter.show(kind.name, len(replies) - failed, len(places))
            if batch and all(key in missing for key in batch):
                raise meter.refuse(kind.name, len(missing))
    finally:
        store.release()
    return [
        replies[key] if key in fresh and places[key] == index else kind.from_store(replies[key])
        for index, key in enumerate(keys)
    ]


def _claimed(
    store: Store, kind: Kind[Reply], missing: dict[str, Request], replies: dict[str, Reply], meter: Meter
) -> dict[str, Request]:
    """Return the missing requests that are for this process to send; what others have stored moves to ``replies``.

    If others are asking for all of them, it waits a moment first.
    """
    claims = store.claim(list(missing))
    if not claims:
        time.sleep(_MOMENT)
    others = {key: request for key, request in missing.items() if key not in claims}
    for key, reply in _stored_replies(store, kind, others, meter).items():
        replies[key] = reply
        del missing[key]
    return {key: request for key, request in missing.items() if key in claims}


def keep(store: Store, kind: Kind[Reply], key: str, reply: Reply) -> tuple[Reply, bool]:
    """Store a reply that is final; return what the store holds then, and whether it is this one."""
    if not kind.final(reply):
        return reply, True
    text = _dumps(kind, reply)
    stored = store.put(key, text)
    return (reply, True) if stored == text else (_decoded(store, kind, key, stored), False)


def _stored_replies(store: Store, kind: Kind[Reply], requests: Mapping[str, Request], meter: Meter) -> dict[str, Reply]:
    replies = stored_replies(store, kind, requests)
    for key, reply in replies.items():
        if not kind.fits(requests[key], reply):
            raise _unreadable(store, kind, key)
        meter.save(kind.usage(reply))
    return replies


def stored_replies(store: Store, kind: Kind[Reply], keys: Iterable[str]) -> dict[str, Reply]:
    """Return the stored replies by key; keys without a reply are left out.

    Raises:
        NeuroglossError: a reply is damaged, or none of its kind.
    """
    return {key: _decoded(store, kind, key, text) for key, text in store.get_many(keys)}


def _decoded(store: Store, kind: Kind[Reply], key: str, text: str) -> Reply:
    """Return a reply of the store, whose checksum says only that it is as somebody has stored it."""
    try:
        reply = kind.decode(json.loads(text))
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise _unreadable(store, kind, key) from error
    if not kind.final(reply):  # which is never stored
        raise _unreadable(store, kind, key)
    return reply


def _unreadable(store: Store, kind: Kind[Any], key: str) -> NeuroglossError:
    return NeuroglossError(
        f"the store {store.path} holds a {kind.name} reply that cannot be read ({shortened(key, 70)}); move the store "
        "away."
    )


def _within_budget(
    kind: Kind[Reply], missing: Mapping[str, Request], meter: Meter, cost: Callable[[Request], Usage] | None
) -> dict[str, Request]:
    """Return the first missing requests, in order, that the budget allows.

    Raises:
        NeuroglossError: it does not allow a single one.
    """
    if cost is None or not meter.limited:
        return dict(missing)
    count = meter.commit([cost(request) for request in missing.values()])
    if not count:
        raise meter.refuse(kind.name, len(missing))
    return dict(islice(missing.items(), count))


def _send(
    kind: Kind[Reply],
    batch: Mapping[str, Request],
    ask: Callable[[Sequence[Request]], Iterator[tuple[int, Reply]]],
) -> Iterator[tuple[str, Reply]]:
    keys = list(batch)
    open_places = set(range(len(keys)))
    for place, reply in ask(list(batch.values())):
        if place not in open_places:
            raise NeuroglossError(
                f"the model answered a {kind.name} request twice, or one that was never sent; this is a defect of the "
                "model's code."
            )
        open_places.remove(place)
        yield keys[place], reply
    if open_places:
        raise NeuroglossError(
            f"{len(open_places)} {kind.name} requests got no reply; this is a defect of the model's code."
        )


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in _names(cast("Hashable", type(value)))}


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    """Return the fields of a dataclass; cached, because a run asks for them hundreds of thousands of times."""
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} has no canonical form")
    return tuple(field.name for field in dataclasses.fields(kind))


_CANONICAL = json.JSONEncoder(default=_fields, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _dumps(kind: Kind[Reply], reply: Reply) -> str:
    try:
        return json.dumps(kind.encode(reply), separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise NeuroglossError(
            f"a {kind.name} reply cannot be stored: {error}; this is a defect of the model's code."
        ) from error


# -------------------------------------------------------------------------------------------------- kinds of requests


def numbers(name: str, reply: type[Reply]) -> Kind[Reply]:
    """Return a kind whose reply is a dataclass of numbers, such as an ablation's effect; NaN is stored as null."""
    return Kind(
        name,
        encode=lambda value: [_or_null(number) for number in _fields(value).values()],
        decode=lambda values: reply(*map(_or_nan, values)),
        usage=lambda _: Usage(),
        from_store=lambda value: value,
        final=lambda _: True,
    )


def _or_null(number: float) -> float | None:
    return None if math.isnan(number) else number


def _or_nan(number: object) -> float:
    if number is None:
        return math.nan
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise TypeError("a value that is no number")
    return number


def _share(number: Any, most: float) -> float:
    """Return a probability of at most ``most``, or NaN."""
    if number is None:
        return math.nan
    if type(number) not in (int, float) or not 0.0 <= number <= most:
        raise ValueError("a value that is no probability")
    return cast("float", number)


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no text")
    return text


def _count(number: object) -> int:
    if type(number) is not int or not 0 <= number < _MOST_COUNT:
        raise TypeError("a value that is no count")
    return number


def _stored_usage(usage: Usage) -> Usage:
    return replace(usage, stored=usage.requests)


def _usage(values: Sequence[Any]) -> Usage:
    requests, prompt_tokens, completion_tokens, usd = values
    if not _or_nan(usd) >= 0.0:
        raise ValueError(f"{usd} is no price")
    return Usage(_count(requests), 0, _count(prompt_tokens), _count(completion_tokens), usd)


def _usage_values(usage: Usage) -> list[Any]:
    return [usage.requests, usage.prompt_tokens, usage.completion_tokens, usage.usd]


def _encode_completion(reply: Completion) -> dict[str, Any]:
    return {"text": reply.text, "outcome": reply.outcome, "usage": _usage_values(reply.usage)}


def _decode_completion(value: Any) -> Completion:
    return Completion(_text(value["text"]), Outcome(value["outcome"]), _usage(value["usage"]))


def _encode_reading(reply: LevelReading) -> dict[str, Any]:
    return {
        "probabilities": [[_or_null(share) for share in shares] for shares in reply.probabilities],
        "mass": [_or_null(mass) for mass in reply.mass],
        "seen": reply.seen,
        "outcome": reply.outcome,
        "usage": _usage_values(reply.usage),
    }


def _decode_reading(value: Any) -> LevelReading:
    reading = LevelReading(
        tuple([tuple([_share(share, _ROUNDED) for share in shares]) for shares in value["probabilities"]]),
        tuple([_share(mass, MOST_MASS) for mass in value["mass"]]),
        tuple(map(_count, value["seen"])),
        Outcome(value["outcome"]),
        _usage(value["usage"]),
    )
    if not len(reading.probabilities) == len(reading.mass) == len(reading.seen):
        raise ValueError("slots without a mass, or without a count of levels")
    return reading


def _has_slots(request: Any, reading: LevelReading) -> bool:
    """Return whether a reading has the slots and the levels of its prompt."""
    return len(reading.probabilities) == len(request.parts) and all(
        len(shares) == request.levels for shares in reading.probabilities
    )


def _encode_capabilities(reply: Capabilities) -> dict[str, Any]:
    return {"levels": reply.levels, "problem": reply.problem, "usage": _usage_values(reply.usage)}


def _decode_capabilities(value: Any) -> Capabilities:
    levels = value["levels"]
    if type(levels) is not int or levels not in (MOST_LEVELS - 1, MOST_LEVELS):
        raise ValueError("levels that no server reads")
    return Capabilities(levels, _text(value["problem"]), _usage(value["usage"]))


COMPLETIONS: Kind[Completion] = Kind(
    "completions",
    _encode_completion,
    _decode_completion,
    usage=lambda reply: reply.usage,
    from_store=lambda reply: replace(reply, usage=_stored_usage(reply.usage)),
    final=lambda reply: reply.outcome in _FINAL,
    postponed=lambda reply: reply.outcome is Outcome.NOT_COLLECTED,
)

LEVELS: Kind[LevelReading] = Kind(
    "level readings",
    _encode_reading,
    _decode_reading,
    usage=lambda reply: reply.usage,
    from_store=lambda reply: replace(reply, usage=_stored_usage(reply.usage)),
    final=lambda reply: reply.outcome in _FINAL,
    postponed=lambda reply: reply.outcome is Outcome.NOT_COLLECTED,
    fits=_has_slots,
)

CAPABILITIES: Kind[Capabilities] = Kind(
    "probes",
    _encode_capabilities,
    _decode_capabilities,
    usage=lambda reply: reply.usage,
    from_store=lambda reply: replace(reply, usage=_stored_usage(reply.usage)),
    final=lambda reply: not reply.problem,  # a server may gain the ability later
)
