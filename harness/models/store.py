"""Content-addressed store of replies: no request is sent twice, and a run that starts again resumes.

The key of a reply is a hash of everything that can change it: the model, the kind of request, and every field of the
request. A reply is committed before it is used. Several processes may share one store.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import sqlite3
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from harness.models.meter import Meter
from harness.models.server.capabilities import Capabilities
from harness.types import Completion, Identity, LevelReading, NeuroglossError, Outcome, Usage

VERSION = 1
"""Part of every key; raise it when a change of the code changes the reply to the same request."""

Request = TypeVar("Request")
Reply = TypeVar("Reply")

_BUSY_SECONDS = 60.0
_KEYS_PER_QUERY = 500
_FINAL = (Outcome.OK, Outcome.REFUSED, Outcome.TRUNCATED, Outcome.EMPTY)  # a second request would give the same outcome


# ------------------------------------------------------------------------------------------------------------ the file


class Store:
    """Replies as JSON in a SQLite file, by key; the file and its folder are created if they are missing.

    Raises:
        NeuroglossError: the file cannot be opened, read or written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._explained_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            for statement in (
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = NORMAL",
                "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL) WITHOUT ROWID",
            ):
                self._connection.execute(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
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
        """Yield (key, JSON) for each key that has a reply, in any order."""
        remaining = iter(keys)
        while batch := list(islice(remaining, _KEYS_PER_QUERY)):
            marks = ",".join("?" * len(batch))
            with self._explained_errors():
                query = f"SELECT key, reply FROM replies WHERE key IN ({marks})"
                rows = self._connection.execute(query, batch).fetchall()
            yield from rows

    def put(self, key: str, reply: str) -> None:
        """Commit a reply; if another process has stored one under the key, that one stays."""
        with self._explained_errors():
            self._connection.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, reply))

    @contextmanager
    def _explained_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise NeuroglossError(f"the store {self.path} cannot be used ({error}); {_remedy(error)}.") from error


def _remedy(error: Exception) -> str:
    remedies = {
        "full": "free some space and run again; replies stored so far are kept",
        "locked": "another process holds it, so wait for it or set store= to another file",
        "not a database": "it is not a store, or is damaged: move it away, or set store= to another file",
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
    """

    name: str
    encode: Callable[[Reply], Any]
    decode: Callable[[Any], Reply]
    usage: Callable[[Reply], Usage]
    from_store: Callable[[Reply], Reply]
    final: Callable[[Reply], bool]
    postponed: Callable[[Reply], bool] = lambda _: False


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
        meter: counts usage, reports progress and enforces the budget.
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
    replies = _stored_replies(store, kind, places, meter)
    missing = {key: requests[index] for key, index in places.items() if key not in replies}
    fresh = set(missing)
    meter.show(kind.name, len(replies), len(places))
    if prepare is not None:
        prepare(kind.name, len(replies), meter.reserve)
    while missing:
        missing_count = len(missing)
        for key, reply in _send(kind, _within_budget(kind, missing, meter, cost), ask):
            meter.spend(kind.usage(reply))
            if kind.postponed(reply):
                continue
            if kind.final(reply):
                store.put(key, _dumps(kind, reply))
            replies[key] = reply
            del missing[key]
            meter.show(kind.name, len(replies), len(places))
        if len(missing) == missing_count:
            raise meter.refuse(kind.name, missing_count)
    return [
        replies[key] if key in fresh and places[key] == index else kind.from_store(replies[key])
        for index, key in enumerate(keys)
    ]


def _stored_replies(store: Store, kind: Kind[Reply], keys: Iterable[str], meter: Meter) -> dict[str, Reply]:
    replies = {}
    for key, text in store.get_many(keys):
        try:
            replies[key] = kind.decode(json.loads(text))
        except (ValueError, TypeError, KeyError) as error:
            raise NeuroglossError(
                f"the store {store.path} holds a {kind.name} reply that cannot be read ({key}); move the store away."
            ) from error
        meter.save(kind.usage(replies[key]))
    return replies


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


def _or_nan(number: float | None) -> float:
    return math.nan if number is None else number


def _stored_usage(usage: Usage) -> Usage:
    return replace(usage, stored=usage.requests)


def _usage(values: Sequence[Any]) -> Usage:
    requests, prompt_tokens, completion_tokens, usd = values
    return Usage(requests, 0, prompt_tokens, completion_tokens, usd)


def _usage_values(usage: Usage) -> list[Any]:
    return [usage.requests, usage.prompt_tokens, usage.completion_tokens, usage.usd]


def _encode_completion(reply: Completion) -> dict[str, Any]:
    return {"text": reply.text, "outcome": reply.outcome, "usage": _usage_values(reply.usage)}


def _decode_completion(value: Any) -> Completion:
    return Completion(value["text"], Outcome(value["outcome"]), _usage(value["usage"]))


def _encode_reading(reply: LevelReading) -> dict[str, Any]:
    return {
        "probabilities": [[_or_null(share) for share in shares] for shares in reply.probabilities],
        "mass": [_or_null(mass) for mass in reply.mass],
        "seen": reply.seen,
        "outcome": reply.outcome,
        "usage": _usage_values(reply.usage),
    }


def _decode_reading(value: Any) -> LevelReading:
    return LevelReading(
        tuple([tuple([_or_nan(share) for share in shares]) for shares in value["probabilities"]]),
        tuple([_or_nan(mass) for mass in value["mass"]]),
        tuple(value["seen"]),
        Outcome(value["outcome"]),
        _usage(value["usage"]),
    )


def _encode_capabilities(reply: Capabilities) -> dict[str, Any]:
    return {"levels": reply.levels, "problem": reply.problem, "usage": _usage_values(reply.usage)}


def _decode_capabilities(value: Any) -> Capabilities:
    return Capabilities(value["levels"], value["problem"], _usage(value["usage"]))


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
)

CAPABILITIES: Kind[Capabilities] = Kind(
    "probes",
    _encode_capabilities,
    _decode_capabilities,
    usage=lambda reply: reply.usage,
    from_store=lambda reply: replace(reply, usage=_stored_usage(reply.usage)),
    final=lambda reply: not reply.problem,  # a server may gain the ability later
)
