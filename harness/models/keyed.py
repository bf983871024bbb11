"""A language model whose messages name its settings by their keys in the config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.config import keys
from harness.types import Completion, CompletionPrompt, Identity, LanguageModel, LevelReading, SlottedPrompt


@dataclass(frozen=True, eq=False)
class KeyedModel:
    """A :class:`harness.types.LanguageModel` that asks another one.

    Attributes:
        model: the model that is asked.
        key: the key of its node in the config; see :func:`harness.config.keys.named`.
    """

    model: LanguageModel
    key: str

    @property
    def identity(self) -> Identity:
        """The model that answers, and its transport."""
        with keys.named(self.key):
            return self.model.identity

    def levels(self) -> int:
        """Return 11 (levels 0 to 10) if each level is a single token, else 10 (0 to 9)."""
        with keys.named(self.key):
            return self.model.levels()

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        """Answer each prompt with text, in order."""
        with keys.named(self.key):
            return self.model.complete(prompts)

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        """Read the distribution over the levels at every slot of each prompt, in order."""
        with keys.named(self.key):
            return self.model.read_levels(prompts)
