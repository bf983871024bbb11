"""A model that sends nothing: it counts the requests of a run at the most that they can cost.

Those to a model in this process are timed too, by the first of each stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from harness.models.backend import Backend, Computing, Probing
from harness.models.server.capabilities import Capabilities, Probe
from harness.models.store import CAPABILITIES, COMPLETIONS, LEVELS, Kind, Store, key_of, stored_replies
from harness.types import Completion, CompletionPrompt, Identity, LevelReading, Outcome, SlottedPrompt, Usage

Reply = TypeVar("Reply")
Prompt = TypeVar("Prompt", CompletionPrompt, SlottedPrompt)

_MOST_WORDS = 300  # of a placeholder
_TIMED = {COMPLETIONS.name: 1, LEVELS.name: 8}  # requests of each stage that are timed, after one that loads the model


@dataclass(frozen=True, slots=True)
class Asked:
    """Usage of one model in one stage.

    Attributes:
        stage, model: which.
        new: the requests that would be sent, at the most that they can cost.
        saved: those that stored replies answer.
        seconds: how long the new ones would take; None for a model that is not in this process.
    """

    stage: str
    model: Identity
    new: Usage
    saved: Usage
    seconds: float | None = None


@dataclass(slots=True)
class _Counted:
    """What is counted of one model in one stage."""

    new: Usage = field(default_factory=Usage)
    saved: Usage = field(default_factory=Usage)
    batches: dict[str, _Batch] = field(default_factory=dict)


@dataclass(slots=True)
class _Batch:
    """Requests of a kind to a model in this process: the first of them, and how many tokens all prompts have."""

    backend: Backend
    first: list[CompletionPrompt | SlottedPrompt] = field(default_factory=list)
    tokens: int = 0


class Tally:
    """A count of planned requests by stage and model; a repeated request counts once, as its reply will be stored."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.stage = ""
        self.counted_keys: set[str] = set()
        self._counted: dict[tuple[str, Identity], _Counted] = {}

    def begin(self, stage: str) -> None:
        """Count the requests from now on under ``stage``."""
        self.stage = stage

    def rows(self) -> list[Asked]:
        """Return the planned usage, in the order of the stages."""
        return [Asked(*stage_and_model, counted.new, counted.saved) for stage_and_model, counted in self._items()]

    def timed_rows(self, clock: Callable[[], float] = time.perf_counter) -> list[Asked]:
        """Return the planned usage with the time that it takes models in this process, which are asked for that.

        Args:
            clock: returns the time in seconds.
        """
        return [
            replace(row, seconds=_seconds(counted, clock))
            for row, (_, counted) in zip(self.rows(), self._items(), strict=True)
        ]

    def stored_replies(self, kind: Kind[Reply], keys: Sequence[str]) -> dict[str, Reply]:
        """Return the stored replies by key; keys without a reply are left out."""
        return stored_replies(self.store, kind, dict.fromkeys(keys))

    def count(self, model: Identity, key: str, new_usage: Usage, saved_usage: Usage) -> None:
        """Count a request, unless it was counted earlier."""
        if key not in self.counted_keys:
            self.counted_keys.add(key)
            counted = self._of(model)
            counted.new += new_usage
            counted.saved += saved_usage

    def keep(self, kind: str, backend: Backend, prompt: CompletionPrompt | SlottedPrompt, tokens: int) -> None:
        """Keep a new request to a model in this process, if it is one of the first, so that it can be timed."""
        batch = self._of(backend.identity).batches.setdefault(kind, _Batch(backend))
        batch.tokens += tokens
        if len(batch.first) <= _TIMED[kind]:
            batch.first.append(prompt)

    def _items(self) -> list[tuple[tuple[str, Identity], _Counted]]:
        return [(stage_and_model, counted) for stage_and_model, counted in self._counted.items()]

    def _of(self, model: Identity) -> _Counted:
        return self._counted.setdefault((self.stage, model), _Counted())


class PlannedModel:
    """A :class:`harness.types.LanguageModel` that uses its backend for costs alone.

    A stored reply is returned, so that requests built from it are exact. Without one, a completion is a placeholder of
    the maximal length, and a reading is missing.
    """

    def __init__(self, backend: Backend, tally: Tally) -> None:
        self._backend = backend
        self._tally = tally

    @property
    def identity(self) -> Identity:
        """The model that would answer, and its transport."""
        return self._backend.identity

    def levels(self) -> int:
        """Return the backend's number of levels; a server without a stored probe counts as reading the fewest."""
        return self._reader.levels()

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        """Return the stored reply to each prompt, or a placeholder, in order."""
        keyed_replies = self._count(COMPLETIONS, prompts)
        return [
            reply or Completion(_placeholder(key, prompt.max_tokens))
            for prompt, (key, reply) in zip(prompts, keyed_replies, strict=True)
        ]

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        """Return the stored reading of each prompt, or a missing one, in order."""
        self._reader  # noqa: B018  # counts the probe
        missing = LevelReading((), (), (), Outcome.NOT_COLLECTED)
        return [reply or missing for _, reply in self._count(LEVELS, prompts)]

    def _count(self, kind: Kind[Reply], prompts: Sequence[Prompt]) -> list[tuple[str, Reply | None]]:
        """Count each prompt as stored or new; return its key and its stored reply, None if there is none."""
        keys = [key_of(self.identity, kind.name, prompt) for prompt in prompts]
        replies = self._tally.stored_replies(kind, keys)
        for key, prompt in zip(keys, prompts, strict=True):
            if key in replies:
                self._tally.count(self.identity, key, Usage(), kind.usage(replies[key]))
            elif key not in self._tally.counted_keys:
                cost = self._backend.cost(prompt)
                self._tally.count(self.identity, key, cost, Usage())
                if isinstance(self._backend, Computing):
                    self._tally.keep(kind.name, self._backend, prompt, cost.prompt_tokens)
        return [(key, replies.get(key)) for key in keys]

    @cached_property
    def _reader(self) -> Backend:
        backend, probe = self._backend, Probe()
        if not isinstance(backend, Probing):
            return backend
        key = key_of(self.identity, CAPABILITIES.name, probe)
        capabilities = self._tally.stored_replies(CAPABILITIES, [key]).get(key)
        self._tally.count(self.identity, key, Usage() if capabilities else backend.probe_cost(probe), Usage())
        return backend.with_capabilities(capabilities or Capabilities())


def _seconds(counted: _Counted, clock: Callable[[], float]) -> float | None:
    """Return how long the new requests of a model in a stage would take, at the pace of the first of them.

    The pace is in tokens of prompts: a stage asks for replies that are about as long as each other.
    """
    if not counted.batches:
        return None if counted.new.requests else 0.0
    return sum(batch.tokens * _pace(kind, batch, clock) for kind, batch in counted.batches.items())


def _pace(kind: str, batch: _Batch, clock: Callable[[], float]) -> float:
    """Return the seconds that a token of the prompts takes; the first request, which loads the model, does not count
    unless it is the only one."""
    loading, timed = batch.first[:1], batch.first[1:] or batch.first
    _ask(kind, batch.backend, loading)
    begin = clock()
    _ask(kind, batch.backend, timed)
    tokens = sum(batch.backend.cost(prompt).prompt_tokens for prompt in timed)
    return (clock() - begin) / max(1, tokens)


def _ask(kind: str, backend: Backend, prompts: Sequence[CompletionPrompt | SlottedPrompt]) -> None:
    if kind == COMPLETIONS.name:
        list(backend.complete([prompt for prompt in prompts if isinstance(prompt, CompletionPrompt)]))
    else:
        list(backend.read_levels([prompt for prompt in prompts if isinstance(prompt, SlottedPrompt)]))


def _placeholder(key: str, max_tokens: int) -> str:
    """Return a text of about ``max_tokens`` tokens; it differs by request, so that later requests differ too."""
    return " ".join([key[:8], *["word"] * min(max_tokens, _MOST_WORDS)])
