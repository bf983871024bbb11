"""A model that sends nothing: it counts the requests of a run at the most that they can cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from harness.models.backend import Backend, Probing
from harness.models.server.capabilities import Capabilities, Probe
from harness.models.store import CAPABILITIES, COMPLETIONS, LEVELS, Kind, Store, key_of, stored_replies
from harness.types import Completion, CompletionPrompt, Identity, LevelReading, Outcome, SlottedPrompt, Usage

Reply = TypeVar("Reply")
Prompt = TypeVar("Prompt", CompletionPrompt, SlottedPrompt)

_MOST_WORDS = 300  # of a placeholder


@dataclass(frozen=True, slots=True)
class Asked:
    """Usage of one model in one stage: ``new`` requests at the most they can cost, and ``saved`` by stored replies."""

    stage: str
    model: Identity
    new: Usage
    saved: Usage


class Tally:
    """A count of planned requests by stage and model; a repeated request counts once, as its reply will be stored."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.stage = ""
        self._counted_keys: set[str] = set()
        self._usages: dict[tuple[str, Identity], tuple[Usage, Usage]] = {}

    def begin(self, stage: str) -> None:
        """Count the requests from now on under ``stage``."""
        self.stage = stage

    def rows(self) -> list[Asked]:
        """Return the planned usage, in the order of the stages."""
        return [Asked(*stage_and_model, *usages) for stage_and_model, usages in self._usages.items()]

    def stored_replies(self, kind: Kind[Reply], keys: Sequence[str]) -> dict[str, Reply]:
        """Return the stored replies by key; keys without a reply are left out."""
        return stored_replies(self.store, kind, dict.fromkeys(keys))

    def count(self, model: Identity, key: str, new_usage: Usage, saved_usage: Usage) -> None:
        """Count a request, unless it was counted earlier."""
        if key not in self._counted_keys:
            self._counted_keys.add(key)
            total_new, total_saved = self._usages.get((self.stage, model), (Usage(), Usage()))
            self._usages[self.stage, model] = (total_new + new_usage, total_saved + saved_usage)


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
            else:
                self._tally.count(self.identity, key, self._backend.cost(prompt), Usage())
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


def _placeholder(key: str, max_tokens: int) -> str:
    """Return a text of about ``max_tokens`` tokens; it differs by request, so that later requests differ too."""
    return " ".join([key[:8], *["word"] * min(max_tokens, _MOST_WORDS)])
