"""Asking by way of the store: one mechanism for every kind of reply, and the language model made of it.

A backend answers as replies come in; each is stored before it is handed on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from harness.models.meter import Meter
from harness.models.store import Store, key
from harness.types import (
    Completion,
    CompletionPrompt,
    Identity,
    LevelReading,
    NeuroglossError,
    Outcome,
    SlottedPrompt,
    Usage,
)

Request = TypeVar("Request")
Reply = TypeVar("Reply")


@runtime_checkable
class Backend(Protocol):
    """A language model as it is reached: in this process, on a server, or scripted. Its replies come in any order."""

    @property
    def identity(self) -> Identity:
        """Which model answers, and by which transport."""
        ...

    def levels(self) -> int:
        """How many levels can be read in one place; see :class:`harness.types.LanguageModel`."""
        ...

    def estimate(self, request: CompletionPrompt | SlottedPrompt) -> Usage:
        """The most that a request can cost."""
        ...

    def complete(self, prompts: Sequence[CompletionPrompt]) -> Iterator[tuple[int, Completion]]:
        """Answer each prompt with text: (index of the prompt, reply), as they come."""
        ...

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> Iterator[tuple[int, LevelReading]]:
        """Read the levels at every slot of each prompt: (index of the prompt, reading), as they come."""
        ...


@dataclass(frozen=True)
class Verb(Generic[Request, Reply]):
    """One kind of question, with how its replies are kept.

    Attributes:
        kind: its name in the store.
        ask: puts requests to the model; yields (index, reply) as they come.
        encode, decode: a reply as plain JSON values, and back.
        usage: what a reply did cost.
        estimate: the most that a request can cost.
        lasting: whether a reply may be kept: a failure that a repeat could mend may not.
    """

    kind: str
    ask: Callable[[Sequence[Request]], Iterator[tuple[int, Reply]]]
    encode: Callable[[Reply], Any]
    decode: Callable[[Any], Reply]
    usage: Callable[[Reply], Usage] = lambda _: Usage(requests=1)
    estimate: Callable[[Request], Usage] = lambda _: Usage(requests=1)
    lasting: Callable[[Reply], bool] = lambda _: True


def answered(
    verb: Verb[Request, Reply], identity: Identity, requests: Sequence[Request], store: Store, meter: Meter
) -> list[tuple[Reply, bool]]:
    """The reply to each request, in order, and whether the store had it; equal requests are asked once.

    Raises:
        NeuroglossError: the budget ends, the store can not be used, or the model leaves a request unanswered.
    """
    keys = [key(verb.kind, identity, request) for request in requests]
    wanted = dict(zip(keys, requests, strict=True))
    meter.expect(len(wanted))
    replies = {one: verb.decode(plain) for one, plain in store.get_many(list(wanted)).items()}
    had = set(replies)
    for reply in replies.values():
        meter.count(verb.usage(reply), stored=True)
    open_keys = [one for one in wanted if one not in had]
    while open_keys:
        admitted = open_keys[: meter.admitted([verb.estimate(wanted[one]) for one in open_keys])]
        for index, reply in verb.ask([wanted[one] for one in admitted]):
            if verb.lasting(reply):
                store.put(admitted[index], verb.kind, verb.encode(reply))
            replies[admitted[index]] = reply
            meter.count(verb.usage(reply), stored=False)
        if any(one not in replies for one in admitted):
            raise NeuroglossError(f"{identity.name} left {verb.kind} requests unanswered; run again to go on.")
        open_keys = open_keys[len(admitted) :]
    return [(replies[one], one in had) for one in keys]


class StoredModel:
    """A backend as explainers and simulators know it: a :class:`harness.types.LanguageModel` that remembers."""

    def __init__(self, backend: Backend, store: Store, meter: Meter) -> None:
        self._backend = backend
        self._store = store
        self._meter = meter

    @property
    def identity(self) -> Identity:
        """Which model answers, and by which transport."""
        return self._backend.identity

    def levels(self) -> int:
        """How many levels can be read in one place."""
        return self._backend.levels()

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        """Answer each prompt with text."""
        verb = Verb(
            "completion",
            self._backend.complete,
            encode=_encode_completion,
            decode=_decode_completion,
            usage=lambda reply: reply.usage,
            estimate=self._backend.estimate,
            lasting=lambda reply: reply.outcome is not Outcome.FAILED,
        )
        found = answered(verb, self.identity, prompts, self._store, self._meter)
        return [replace(reply, usage=_marked(reply.usage, stored)) for reply, stored in found]

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        """Read the levels at every slot of each prompt."""
        verb = Verb(
            "levels",
            self._backend.read_levels,
            encode=_encode_reading,
            decode=_decode_reading,
            usage=lambda reply: reply.usage,
            estimate=self._backend.estimate,
            lasting=lambda reply: reply.outcome is not Outcome.FAILED,
        )
        found = answered(verb, self.identity, prompts, self._store, self._meter)
        return [replace(reply, usage=_marked(reply.usage, stored)) for reply, stored in found]


def divergence_verb(ask: Callable[[Sequence[Request]], Iterator[tuple[int, float]]]) -> Verb[Request, float]:
    """The verb by which a subject is asked what a replacement does to its output: a number, in nats."""
    return Verb("divergence", ask, encode=float, decode=float)


# --------------------------------------------------------------------------------------------- replies as plain JSON


def _marked(usage: Usage, stored: bool) -> Usage:
    return replace(usage, stored=usage.requests if stored else 0)


def _encode_usage(usage: Usage) -> list[float]:
    return [usage.requests, usage.prompt_tokens, usage.completion_tokens, usage.usd]


def _decode_usage(plain: list[Any]) -> Usage:
    requests, prompt_tokens, completion_tokens, usd = plain
    return Usage(int(requests), 0, int(prompt_tokens), int(completion_tokens), float(usd))


def _encode_completion(reply: Completion) -> dict[str, Any]:
    return {"text": reply.text, "outcome": reply.outcome.value, "usage": _encode_usage(reply.usage)}


def _decode_completion(plain: dict[str, Any]) -> Completion:
    return Completion(plain["text"], Outcome(plain["outcome"]), _decode_usage(plain["usage"]))


def _encode_reading(reply: LevelReading) -> dict[str, Any]:
    return {
        "probabilities": [[_null(value) for value in slot] for slot in reply.probabilities],
        "mass": [_null(value) for value in reply.mass],
        "seen": list(reply.seen),
        "outcome": reply.outcome.value,
        "usage": _encode_usage(reply.usage),
    }


def _decode_reading(plain: dict[str, Any]) -> LevelReading:
    return LevelReading(
        probabilities=tuple(tuple(map(_nan, slot)) for slot in plain["probabilities"]),
        mass=tuple(map(_nan, plain["mass"])),
        seen=tuple(plain["seen"]),
        outcome=Outcome(plain["outcome"]),
        usage=_decode_usage(plain["usage"]),
    )


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _nan(value: float | None) -> float:
    return math.nan if value is None else value
