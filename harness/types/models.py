"""Prompts, replies and the protocol of language models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from typing_extensions import Protocol, runtime_checkable

from harness.types.methods import Outcome, Usage
from harness.types.units import Identity


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation: ``role`` is ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class CompletionPrompt:
    """A request for text. Sampling belongs to the request: every field enters the store's key.

    ``repeat`` tells apart several samples of one prompt; a temperature above 0 needs it.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    repeat: int = 0
    prompt_version: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's text, with what became of the request."""

    text: str
    outcome: Outcome = Outcome.OK
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class SlottedPrompt:
    """A conversation whose last, assistant turn is written by us and has slots in which a level is read.

    The assistant turn is ``parts[0] SLOT parts[1] SLOT ... parts[n-1] SLOT``: each part is the text before one slot, so
    a prompt has as many slots as parts. In the text after a slot, ``placeholder`` stands where the level would stand
    (the last slot ends the prompt). Slots are known by construction, never searched for in text.

    ``levels`` is how many levels 0..levels-1 are read; see :meth:`LanguageModel.levels`.
    """

    messages: tuple[Message, ...]
    parts: tuple[str, ...]
    placeholder: str
    levels: int
    prompt_version: str = ""


@dataclass(frozen=True, slots=True)
class LevelReading:
    """What a model gives at the slots of one prompt.

    Attributes:
        probabilities: renormalised over the levels seen [slots, levels]; all NaN at a slot where none was seen.
        mass: the total probability of the levels before renormalising [slots].
        seen: how many levels were among the returned ones [slots]; 0 is a missing slot, never a zero.
    """

    probabilities: tuple[tuple[float, ...], ...]
    mass: tuple[float, ...]
    seen: tuple[int, ...]
    outcome: Outcome = Outcome.OK
    usage: Usage = field(default_factory=Usage)


@runtime_checkable
class LanguageModel(Protocol):
    """What explainers and simulators ask: replies in the order of the requests, from the store where it has them."""

    @property
    def identity(self) -> Identity:
        """Which model answers, and by which transport."""
        ...

    def levels(self) -> int:
        """11 (levels 0..10) where the model's tokenizer writes each level as one token in place, else 10 (0..9)."""
        ...

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        """Answer each prompt with text."""
        ...

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        """Read the distribution over the levels at every slot of each prompt."""
        ...
