"""The content-addressed store of replies: no reply is asked for twice, and running again is resuming.

The key of a reply is a hash of everything that can change it: which model, what kind of question, and every field of
the request. A reply is committed before it is used. Several processes may share one store.
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

from harness.models.capabilities import Capabilities
from harness.models.meter import Meter
from harness.types import Completion, Identity, LevelReading, NeuroglossError, Outcome, Usage

VERSION = 1
"""Part of every key: raise it when a change of the code changes what is answered to the same request."""

Request = TypeVar("Request")
Reply = TypeVar("Reply")

_BUSY_SECONDS = 60.0
_AT_ONCE = 500  # keys in one query
_FINAL = (Outcome.OK, Outcome.REFUSED, Outcome.TRUNCATED, Outcome.EMPTY)  # asking again would give the same


# ------------------------------------------------------------------------------------------------------------ the file


class Store:
    """Replies as JSON in a SQLite file, by key; the file and its folder are made where there are none.

    Raises:
        NeuroglossError: it cannot be opened, read or written, with what to do.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._explained():
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
        """Close the file; what was put is in it."""
        self._connection.close()

    def __len__(self) -> int:
        with self._explained():
            return int(self._connection.execute("SELECT count(*) FROM replies").fetchone()[0])

    def __iter__(self) -> Iterator[str]:
        """The keys of all replies."""
        with self._explained():
            keys = self._connection.execute("SELECT key FROM replies").fetchall()
        return (key for (key,) in keys)

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, str]]:
        """The replies to those keys that have one, as (key, JSON), in any order."""
        remaining = iter(keys)
        while some := list(islice(remaining, _AT_ONCE)):
            marks = ",".join("?" * len(some))
            with self._explained():
                query = f"SELECT key, reply FROM replies WHERE key IN ({marks})"
                rows = self._connection.execute(query, some).fetchall()
            yield from rows

    def put(self, key: str, reply: str) -> None:
        """Commit a reply; where another process was faster, its reply stays."""
        with self._explained():
            self._connection.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, reply))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise NeuroglossError(f"the store {self.path} cannot be used ({error}); {_remedy(error)}.") from error


def _remedy(error: Exception) -> str:
    remedies = {
        "full": "free some space and run again, what was answered is kept",
        "locked": "another process holds it, so wait for it or set store= to another file",
        "not a database": "it is no store, or is damaged: move it away, or set store= to another file",
        "malformed": "it is damaged: move it away, and what it held is asked again",
        "readonly": "allow writing to it, or set store= to another file",
    }
    text = str(error).lower()
    return next(
        (remedy for sign, remedy in remedies.items() if sign in text), "set store= to a file that can be written"
    )


# ------------------------------------------------------------------------------------------------- requests and replies


@dataclass(frozen=True)
class Kind(Generic[Reply]):
    """A kind of question, and how its replies are stored.

    Attributes:
        name: part of the key, and what progress is reported as.
        encode: a reply as what JSON can hold.
        decode: the same back; what ``encode`` gave must come back equal.
        usage: what a reply cost.
        stored: the same reply, marked as one that was not asked for.
        final: whether a reply is kept; one that a second try could mend is not.
        put_off: whether it is no reply yet: what was tried is paid, and another try could not be paid with all else.
    """

    name: str
    encode: Callable[[Reply], Any]
    decode: Callable[[Any], Reply]
    usage: Callable[[Reply], Usage]
    stored: Callable[[Reply], Reply]
    final: Callable[[Reply], bool]
    put_off: Callable[[Reply], bool] = lambda _: False


Heed = Callable[[str, int, Callable[[Usage], bool]], None]
"""Told the kind of a question, how many replies to it are known, and whom to ask whether the budget bears one more
attempt of a given cost."""


def key_of(identity: Identity, kind: str, request: object) -> str:
    """The key of a reply: sha256 of the canonical JSON of all that can change it.

    Args:
        identity: which model.
        kind: which question.
        request: a dataclass; every field of it, at any depth, is part of the key.
    """
    content = [VERSION, kind, identity, type(request).__name__, request]
    try:
        text = _CANONICAL.encode(content)
    except (TypeError, ValueError) as error:
        raise NeuroglossError(f"a {kind} request cannot be stored: {error}.") from error
    return hashlib.sha256(text.encode()).hexdigest()


def answered(  # noqa: PLR0913  # who is asked what, and what watches over it
    store: Store,
    identity: Identity,
    kind: Kind[Reply],
    requests: Sequence[Request],
    ask: Callable[[Sequence[Request]], Iterator[tuple[int, Reply]]],
    *,
    meter: Meter | None = None,
    cost: Callable[[Request], Usage] | None = None,
    heed: Heed | None = None,
) -> list[Reply]:
    """The reply to each request, in order: from the store where it has one, else asked for once and stored.

    Args:
        store: where replies are kept.
        identity: who answers.
        kind: which question it is.
        requests: dataclasses; equal ones are asked once.
        ask: gives replies to some of the requests as they come, each with its index among those it was given.
        meter: counts, reports progress, and may refuse what would pass a budget.
        cost: the most that a request can cost; needed where the meter has a budget.
        heed: told, before anything is asked, what bears on asking again.

    Raises:
        NeuroglossError: the budget would be passed (what was answered is stored), or the store cannot be used.
    """
    meter = meter or Meter()
    keys = [key_of(identity, kind.name, request) for request in requests]
    places: dict[str, int] = {}
    for index, key in enumerate(keys):
        places.setdefault(key, index)
    replies = _known(store, kind, places, meter)
    missing = {key: requests[index] for key, index in places.items() if key not in replies}
    fresh = set(missing)
    meter.show(kind.name, len(replies), len(places))
    if heed is not None:
        heed(kind.name, len(replies), meter.bears)
    while missing:
        before = len(missing)
        for key, reply in _asked(kind, _within_budget(kind, missing, meter, cost), ask):
            meter.spend(kind.usage(reply))
            if kind.put_off(reply):
                continue
            if kind.final(reply):
                store.put(key, _dumps(kind, reply))
            replies[key] = reply
            del missing[key]
            meter.show(kind.name, len(replies), len(places))
        if len(missing) == before:
            raise meter.refuse(kind.name, before)
    return [
        replies[key] if key in fresh and places[key] == index else kind.stored(replies[key])
        for index, key in enumerate(keys)
    ]


def _known(store: Store, kind: Kind[Reply], keys: Iterable[str], meter: Meter) -> dict[str, Reply]:
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
    """As many of the missing requests as cannot pass the budget, in order; an error where not even one can be sent."""
    if cost is None or not meter.limited:
        return dict(missing)
    count = meter.commit([cost(request) for request in missing.values()])
    if not count:
        raise meter.refuse(kind.name, len(missing))
    return dict(islice(missing.items(), count))


def _asked(
    kind: Kind[Reply],
    batch: Mapping[str, Request],
    ask: Callable[[Sequence[Request]], Iterator[tuple[int, Reply]]],
) -> Iterator[tuple[str, Reply]]:
    keys = list(batch)
    open_places = set(range(len(keys)))
    for place, reply in ask(list(batch.values())):
        if place not in open_places:
            raise NeuroglossError(
                f"a {kind.name} request was answered twice, or never made; this is the model's defect."
            )
        open_places.remove(place)
        yield keys[place], reply
    if open_places:
        raise NeuroglossError(f"{len(open_places)} {kind.name} requests got no reply; this is the model's defect.")


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in _names(cast("Hashable", type(value)))}


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    """The fields of a dataclass; a run asks for those of a few, hundreds of thousands of times."""
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} has no canonical form")
    return tuple(item.name for item in dataclasses.fields(kind))


_CANONICAL = json.JSONEncoder(default=_fields, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _dumps(kind: Kind[Reply], reply: Reply) -> str:
    try:
        return json.dumps(kind.encode(reply), separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise NeuroglossError(f"a {kind.name} reply cannot be stored: {error}; this is the model's defect.") from error


# -------------------------------------------------------------------------------------------------- the kinds there are


def numbers(name: str, reply: type[Reply]) -> Kind[Reply]:
    """A question whose reply is a dataclass of numbers, such as the effect of a replacement; NaN is stored as null."""
    return Kind(
        name,
        encode=lambda found: [_or_null(number) for number in _fields(found).values()],
        decode=lambda values: reply(*map(_or_nan, values)),
        usage=lambda _: Usage(),
        stored=lambda found: found,
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


def _encode_capabilities(found: Capabilities) -> dict[str, Any]:
    return {"levels": found.levels, "problem": found.problem, "usage": _usage_values(found.usage)}


def _decode_capabilities(value: Any) -> Capabilities:
    return Capabilities(value["levels"], value["problem"], _usage(value["usage"]))


COMPLETIONS: Kind[Completion] = Kind(
    "completions",
    _encode_completion,
    _decode_completion,
    usage=lambda reply: reply.usage,
    stored=lambda reply: replace(reply, usage=_stored_usage(reply.usage)),
    final=lambda reply: reply.outcome in _FINAL,
    put_off=lambda reply: reply.outcome is Outcome.NOT_COLLECTED,
)

LEVELS: Kind[LevelReading] = Kind(
    "level readings",
    _encode_reading,
    _decode_reading,
    usage=lambda reply: reply.usage,
    stored=lambda reply: replace(reply, usage=_stored_usage(reply.usage)),
    final=lambda reply: reply.outcome in _FINAL,
    put_off=lambda reply: reply.outcome is Outcome.NOT_COLLECTED,
)

CAPABILITIES: Kind[Capabilities] = Kind(
    "probes",
    _encode_capabilities,
    _decode_capabilities,
    usage=lambda found: found.usage,
    stored=lambda found: replace(found, usage=_stored_usage(found.usage)),
    final=lambda found: not found.problem,  # a server may learn
)
