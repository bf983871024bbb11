"""Backends of language models, and a :class:`StoredModel` that sends a backend only requests without a stored reply."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TypeVar

from typing_extensions import Protocol, runtime_checkable

from harness.models.meter import Meter
from harness.models.server.capabilities import Capabilities, Probe
from harness.models.store import CAPABILITIES, COMPLETIONS, LEVELS, Kind, Store, answered
from harness.types import Completion, CompletionPrompt, Identity, LevelReading, SlottedPrompt, Usage

Request = TypeVar("Request")
Reply = TypeVar("Reply")


@runtime_checkable
class Backend(Protocol):
    """A language model that answers prompts: in this process, on a server, or scripted.

    Replies are yielded as they arrive, in any order, each with the index of its request, so that each can be stored
    before the next one arrives. The failure of a single request is the outcome of its reply, not an error.
    """

    @property
    def identity(self) -> Identity:
        """The model that answers, and its transport."""
        ...

    def levels(self) -> int:
        """Return 11 (levels 0 to 10) if each level is a single token, else 10 (0 to 9)."""
        ...

    def cost(self, prompt: CompletionPrompt | SlottedPrompt) -> Usage:
        """Return the most that ``prompt`` can cost."""
        ...

    def complete(self, prompts: Sequence[CompletionPrompt]) -> Iterator[tuple[int, Completion]]:
        """Answer prompts with text; yield the index and completion of each."""
        ...

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> Iterator[tuple[int, LevelReading]]:
        """Read the distribution over the levels at every slot; yield the index and reading of each prompt."""
        ...


@runtime_checkable
class Probing(Protocol):
    """A backend that must be probed before it reads levels; the result of the probe is stored."""

    def probe_cost(self, probe: Probe) -> Usage:
        """Return the most that ``probe`` can cost; nothing if it is not needed."""
        ...

    def probe(self, probes: Sequence[Probe]) -> Iterator[tuple[int, Capabilities]]:
        """Test whether the backend can read levels; yield the index and result of each probe."""
        ...

    def with_capabilities(self, capabilities: Capabilities) -> Backend:
        """Return the same backend with the result of a probe."""
        ...


@runtime_checkable
class Persistent(Protocol):
    """A backend that repeats failed attempts.

    A request whose next attempt exceeds the budget is answered with the outcome ``not_collected`` and its usage so far.
    """

    def prepare(self, kind: str, stored_replies: int, reserve: Callable[[Usage], bool]) -> None:
        """Note the state of the store and the budget; called once before requests of ``kind`` are sent.

        Args:
            kind: the kind of the requests.
            stored_replies: number of replies to them in the store.
            reserve: reserves the budget for one more attempt of a given cost; returns False if it does not suffice.
        """
        ...


@runtime_checkable
class Computing(Protocol):
    """A backend that computes in this process, on a device, so that a few requests show how fast it is."""

    device: str


class StoredModel:
    """A :class:`harness.types.LanguageModel` that answers from the store, or from its backend if a reply is missing."""

    def __init__(self, backend: Backend, store: Store, meter: Meter | None = None) -> None:
        self._backend = backend
        self._store = store
        self._meter = meter or Meter()

    @property
    def identity(self) -> Identity:
        """The model that answers, and its transport."""
        return self._backend.identity

    def levels(self) -> int:
        """Return 11 (levels 0 to 10) if each level is a single token, else 10 (0 to 9)."""
        return self._reader.levels()

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        """Answer each prompt with text, in order."""
        backend = self._backend
        return self._replies(backend, COMPLETIONS, prompts, backend.complete, backend.cost)

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        """Read the distribution over the levels at every slot of each prompt, in order."""
        backend = self._reader
        return self._replies(backend, LEVELS, prompts, backend.read_levels, backend.cost)

    @cached_property
    def _reader(self) -> Backend:
        """The backend, probed if it needs that."""
        backend = self._backend
        if not isinstance(backend, Probing):
            return backend
        (capabilities,) = self._replies(backend, CAPABILITIES, [Probe()], backend.probe, backend.probe_cost)
        return backend.with_capabilities(capabilities)

    def _replies(
        self,
        backend: object,
        kind: Kind[Reply],
        requests: Sequence[Request],
        ask: Callable[[Sequence[Request]], Iterator[tuple[int, Reply]]],
        cost: Callable[[Request], Usage],
    ) -> list[Reply]:
        prepare = backend.prepare if isinstance(backend, Persistent) else None
        return answered(self._store, self.identity, kind, requests, ask, meter=self._meter, cost=cost, prepare=prepare)
