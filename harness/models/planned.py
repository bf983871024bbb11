"""A model that is asked everything and sends nothing: what a run would ask, counted at the most that it can cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from harness.models.backend import Backend, Probing
from harness.models.capabilities import Capabilities, Probe
from harness.models.store import CAPABILITIES, COMPLETIONS, LEVELS, Kind, Store, key_of
from harness.types import Completion, CompletionPrompt, Identity, LevelReading, Outcome, SlottedPrompt, Usage

Reply = TypeVar("Reply")
Prompt = TypeVar("Prompt", CompletionPrompt, SlottedPrompt)

_LONGEST = 300  # words of a stand-in


@dataclass(frozen=True, slots=True)
class Asked:
    """What one stage would ask of one model: ``new`` requests at the most they can cost, ``saved`` by the store."""

    stage: str
    model: Identity
    new: Usage
    saved: Usage


class Tally:
    """Counts, by stage and model, what would be asked; a question that was counted once is stored from then on."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.stage = ""
        self._seen: set[str] = set()
        self._found: dict[tuple[str, Identity], tuple[Usage, Usage]] = {}

    def begin(self, stage: str) -> None:
        """What is counted from now on belongs to ``stage``."""
        self.stage = stage

    def rows(self) -> list[Asked]:
        """What would be asked, in the order of the stages."""
        return [Asked(*where, *counted) for where, counted in self._found.items()]

    def known(self, kind: Kind[Reply], keys: Sequence[str]) -> dict[str, Reply]:
        """The replies that the store has."""
        return {key: kind.decode(json.loads(text)) for key, text in self.store.get_many(dict.fromkeys(keys))}

    def count(self, model: Identity, key: str, new: Usage, saved: Usage) -> None:
        """Count a question, unless it was counted before."""
        if key not in self._seen:
            self._seen.add(key)
            before = self._found.get((self.stage, model), (Usage(), Usage()))
            self._found[self.stage, model] = (before[0] + new, before[1] + saved)


class PlannedModel:
    """A :class:`harness.types.LanguageModel` over a backend that is asked for nothing but its costs.

    Where the store has a reply it is given, so that what follows from it is exact; elsewhere a completion is a text
    as long as it may be, and a reading is missing.
    """

    def __init__(self, backend: Backend, tally: Tally) -> None:
        self._backend = backend
        self._tally = tally

    @property
    def identity(self) -> Identity:
        """Which model would answer, and by which transport."""
        return self._backend.identity

    def levels(self) -> int:
        """As many as the backend says; a server that was never tried out is taken to read the fewest."""
        return self._reader.levels()

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        """A stored reply, or a stand-in, for each prompt, in order."""
        counted = self._counted(COMPLETIONS, prompts)
        return [
            reply or Completion(_stand_in(key, prompt.max_tokens))
            for prompt, (key, reply) in zip(prompts, counted, strict=True)
        ]

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        """A stored reading, or a missing one, for each prompt, in order."""
        self._reader  # noqa: B018  # it counts the probe
        nothing = LevelReading((), (), (), Outcome.NOT_COLLECTED)
        counted = self._counted(LEVELS, prompts)
        return [reply or nothing for _, reply in counted]

    def _counted(self, kind: Kind[Reply], prompts: Sequence[Prompt]) -> list[tuple[str, Reply | None]]:
        """The key of each prompt, and its reply where there is one; both are counted."""
        keys = [key_of(self.identity, kind.name, prompt) for prompt in prompts]
        known = self._tally.known(kind, keys)
        for key, prompt in zip(keys, prompts, strict=True):
            saved = kind.usage(known[key]) if key in known else Usage()
            self._tally.count(self.identity, key, Usage() if key in known else self._backend.cost(prompt), saved)
        return [(key, known.get(key)) for key in keys]

    @cached_property
    def _reader(self) -> Backend:
        backend, probe = self._backend, Probe()
        if not isinstance(backend, Probing):
            return backend
        key = key_of(self.identity, CAPABILITIES.name, probe)
        known = self._tally.known(CAPABILITIES, [key]).get(key)
        self._tally.count(self.identity, key, Usage() if known else backend.probe_cost(probe), Usage())
        return backend.knowing(known or Capabilities())


def _stand_in(key: str, max_tokens: int) -> str:
    """A text of about ``max_tokens`` tokens, another for each question: what is asked about it is not yet known."""
    return " ".join([key[:8], *["word"] * min(max_tokens, _LONGEST)])
