"""A scripted model for offline use of any pipeline: deterministic, free, and able to fail on demand."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence

from harness.models.store import COMPLETIONS, LEVELS, key_of
from harness.types import (
    Completion,
    CompletionPrompt,
    Identity,
    LevelReading,
    Message,
    Outcome,
    SlottedPrompt,
    Usage,
)


class FakeModel:
    """A model that answers from a script, or else by a hash of the prompt: the same prompt always gets the same reply.

    Args:
        name: the model's name; another name gives other replies.
        replies: texts of replies, by a text that the prompt contains; the first match is used. An empty text is an
            empty reply.
        number_of_levels: number of levels that it can read, 10 or 11.
        fail_every: one prompt in ``fail_every`` fails, chosen by its hash, so that the same ones fail each time; 0 for
            none.
        delay: seconds that each reply takes.
        log: a file to which the key of each prompt is appended, a line each, before it is answered.
        usd: the cost that each reply reports, in dollars.
    """

    def __init__(  # noqa: PLR0913  # one argument for each scripted property
        self,
        name: str = "fake",
        *,
        replies: dict[str, str] | None = None,
        number_of_levels: int = 11,
        fail_every: int = 0,
        delay: float = 0.0,
        log: str | None = None,
        usd: float = 0.0,
    ) -> None:
        self.name = name
        self.replies = replies or {}
        self.number_of_levels = number_of_levels
        self.fail_every = fail_every
        self.delay = delay
        self.log = log
        self.usd = usd

    @property
    def identity(self) -> Identity:
        """The name, and a revision that is a hash of the script."""
        script = repr((list(self.replies.items()), self.number_of_levels, self.fail_every))
        return Identity(self.name, hashlib.sha256(script.encode()).hexdigest(), backend="fake", transport="prompt")

    def levels(self) -> int:
        """Return the configured number of levels."""
        return self.number_of_levels

    def cost(self, prompt: CompletionPrompt | SlottedPrompt) -> Usage:
        """Return the most that ``prompt`` can cost; a word counts as a token."""
        words = sum(len(message.content.split()) for message in prompt.messages)
        completion = prompt.max_tokens if isinstance(prompt, CompletionPrompt) else 0
        return Usage(1, 0, words, completion, self.usd)

    def complete(self, prompts: Sequence[CompletionPrompt]) -> Iterator[tuple[int, Completion]]:
        """Yield the index and completion of each prompt: text from the script, or else ``answer <hash>``."""
        for index, prompt in enumerate(prompts):
            digest = self._log_key(COMPLETIONS.name, prompt)
            usage = Usage(1, 0, self.cost(prompt).prompt_tokens, min(2, prompt.max_tokens), self.usd)
            scripted = self._scripted(prompt.messages)
            text = f"answer {digest.hex()[:8]}" if scripted is None else scripted
            outcome = Outcome.OK if text.strip() else Outcome.EMPTY
            failed = self._fails(digest)
            yield index, Completion("", Outcome.FAILED, usage) if failed else Completion(text, outcome, usage)

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> Iterator[tuple[int, LevelReading]]:
        """Yield the index and reading of each prompt; a slot's distribution is a hash of the text before it."""
        for index, prompt in enumerate(prompts):
            failed = self._fails(self._log_key(LEVELS.name, prompt))
            usage = self.cost(prompt)
            yield index, _failed_reading(prompt, usage) if failed else self._reading(prompt, usage)

    def _log_key(self, kind: str, prompt: CompletionPrompt | SlottedPrompt) -> bytes:
        digest = bytes.fromhex(key_of(self.identity, kind, prompt))
        if self.log is not None:
            handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                os.write(handle, digest.hex().encode() + b"\n")
            finally:
                os.close(handle)
        if self.delay:
            time.sleep(self.delay)
        return digest

    def _fails(self, digest: bytes) -> bool:
        return self.fail_every > 0 and int.from_bytes(digest[:8]) % self.fail_every == 0

    def _scripted(self, messages: Sequence[Message]) -> str | None:
        conversation = "\n".join(message.content for message in messages)
        return next((reply for text, reply in self.replies.items() if text in conversation), None)

    def _reading(self, prompt: SlottedPrompt, usage: Usage) -> LevelReading:
        prefix_hash = hashlib.sha256(repr((self.name, prompt.messages)).encode("utf-8", "surrogatepass"))
        rows = []
        for position, text in enumerate(prompt.parts):
            prefix_hash.update((prompt.placeholder if position else "").encode("utf-8", "surrogatepass"))
            prefix_hash.update(text.encode("utf-8", "surrogatepass"))
            weights = [1 + byte for byte in prefix_hash.digest()[: prompt.levels]]
            rows.append(tuple(weight / sum(weights) for weight in weights))
        slots = len(prompt.parts)
        return LevelReading(tuple(rows), (1.0,) * slots, (prompt.levels,) * slots, Outcome.OK, usage)


def _failed_reading(prompt: SlottedPrompt, usage: Usage) -> LevelReading:
    slots, nan = len(prompt.parts), float("nan")
    return LevelReading(((nan,) * prompt.levels,) * slots, (0.0,) * slots, (0,) * slots, Outcome.FAILED, usage)
