"""A :class:`Backend` answers questions as it can; a :class:`StoredModel` asks it only those that are new."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Protocol, TypeVar, runtime_checkable

from harness.models.capabilities import Capabilities, Probe
from harness.models.meter import Meter
from harness.models.store import CAPABILITIES, COMPLETIONS, LEVELS, Kind, Store, answered
from harness.types import Completion, CompletionPrompt, Identity, LevelReading, SlottedPrompt, Usage

Request = TypeVar("Request")
Reply = TypeVar("Reply")


@runtime_checkable
class Backend(Protocol):
    """A language model that can be asked: in this process, on a server, or scripted.

    Replies are yielded as they come, in any order, each with the index of its request, so that each can be stored
    before the next is waited for. What fails for one request is that reply's outcome, and no error.
    """

    @property
    def identity(self) -> Identity:
        """Which model answers, and by which transport."""
        ...

    def levels(self) -> int:
        """11 (levels 0..10) where each level is one token in place, else 10 (0..9)."""
        ...

    def cost(self, prompt: CompletionPrompt | SlottedPrompt) -> Usage:
        """The most that asking ``prompt`` can cost."""
        ...

    def complete(self, prompts: Sequence[CompletionPrompt]) -> Iterator[tuple[int, Completion]]:
        """Answer prompts with text."""
        ...

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> Iterator[tuple[int, LevelReading]]:
        """Read the distribution over the levels at every slot of each prompt."""
        ...


@runtime_checkable
class Probing(Protocol):
    """A backend that must be tried out before it reads levels; what was found is stored, and tried no second time."""

    def probe_cost(self, probe: Probe) -> Usage:
        """The most that ``probe`` can cost; nothing where nothing has to be tried."""
        ...

    def probe(self, probes: Sequence[Probe]) -> Iterator[tuple[int, Capabilities]]:
        """Try out what reading needs."""
        ...

    def knowing(self, known: Capabilities) -> Backend:
        """The same backend, told what was found."""
        ...


@runtime_checkable
class Persistent(Protocol):
    """A backend that sends a request again where an attempt came to nothing. What cannot be paid again for now it
    answers with the outcome ``not_collected``, and the usage so far."""

    def heed(self, kind: str, stored: int, again: Callable[[Usage], bool]) -> None:
        """Take note, before a question of ``kind`` is asked, of how many replies to it are known, and of whom to ask
        whether the budget bears one more attempt of a given cost after one that was billed."""
        ...


class StoredModel:
    """A :class:`harness.types.LanguageModel` that answers from the store, and where that cannot, from its backend."""

    def __init__(self, backend: Backend, store: Store, meter: Meter | None = None) -> None:
        self._backend = backend
        self._store = store
        self._meter = meter or Meter()

    @property
    def identity(self) -> Identity:
        """Which model answers, and by which transport."""
        return self._backend.identity

    def levels(self) -> int:
        """11 (levels 0..10) where each level is one token in place, else 10 (0..9)."""
        return self._reader.levels()

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        """Answer each prompt with text, in order."""
        backend = self._backend
        return self._answered(backend, COMPLETIONS, prompts, backend.complete, backend.cost)

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        """Read the distribution over the levels at every slot of each prompt, in order."""
        backend = self._reader
        return self._answered(backend, LEVELS, prompts, backend.read_levels, backend.cost)

    @cached_property
    def _reader(self) -> Backend:
        """The backend, tried out where that is needed."""
        backend = self._backend
        if not isinstance(backend, Probing):
            return backend
        (known,) = self._answered(backend, CAPABILITIES, [Probe()], backend.probe, backend.probe_cost)
        return backend.knowing(known)

    def _answered(
        self,
        backend: object,
        kind: Kind[Reply],
        requests: Sequence[Request],
        ask: Callable[[Sequence[Request]], Iterator[tuple[int, Reply]]],
        cost: Callable[[Request], Usage],
    ) -> list[Reply]:
        heed = backend.heed if isinstance(backend, Persistent) else None
        return answered(self._store, self.identity, kind, requests, ask, meter=self._meter, cost=cost, heed=heed)
