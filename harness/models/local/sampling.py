"""Sampling of replies, token by token, from a decoder's logits.

Each reply has its own random stream, so that it does not depend on the other replies of its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from harness.models.local.engine import Decoder
from harness.types import CompletionPrompt, Outcome


@dataclass(frozen=True, slots=True)
class Sample:
    """A finished reply: its text, the tokens computed for it, and its outcome."""

    text: str
    ids: tuple[int, ...]
    outcome: Outcome


@dataclass(eq=False)
class Sampler:
    """A reply that is being sampled.

    Attributes:
        prompt: the prompt, with the settings of sampling and stopping.
        ends: the ids of tokens that end a reply.
        decode: converts token ids to text.
        stream: the seed of the reply's random numbers.
        ids: the token ids so far.
    """

    prompt: CompletionPrompt
    ends: frozenset[int]
    decode: Callable[[Sequence[int]], str]
    stream: int
    ids: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = torch.Generator().manual_seed(self.stream)

    def take(self, logits: torch.Tensor) -> Sample | None:
        """Choose the next token from ``logits`` [vocabulary]; return the reply if it is finished, else None."""
        if bool(torch.isnan(logits).any()):
            return Sample("", tuple(self.ids), Outcome.FAILED)
        self.ids.append(self._choose(logits))
        if self.ids[-1] in self.ends:
            return self._finished(self.decode(self.ids[:-1]), Outcome.OK)
        text = self.decode(self.ids)
        stops = [text.find(stop) for stop in self.prompt.stop if stop and stop in text]
        if stops:
            return self._finished(text[: min(stops)], Outcome.OK)
        if len(self.ids) >= self.prompt.max_tokens:
            return self._finished(text, Outcome.TRUNCATED)
        return None

    def _finished(self, text: str, outcome: Outcome) -> Sample:
        return Sample(text, tuple(self.ids), outcome if text.strip() else Outcome.EMPTY)

    def _choose(self, logits: torch.Tensor) -> int:
        if self.prompt.temperature <= 0:
            return int(logits.argmax())
        shares, tokens = torch.softmax(logits.double() / self.prompt.temperature, -1).sort(descending=True, stable=True)
        sums = shares.cumsum(0)
        count = int((sums - shares < self.prompt.top_p).sum())
        threshold = torch.rand(1, generator=self._random, dtype=torch.float64) * sums[count - 1]
        return int(tokens[:count][torch.searchsorted(sums[:count], threshold).clamp(max=count - 1)])


def finish(decoder: Decoder, samplers: Sequence[Sampler]) -> Iterator[tuple[int, Sample]]:
    """Sample all replies to their ends.

    Args:
        decoder: a decoder that has processed the prompts, one row for each reply.
        samplers: the replies [rows].

    Yields:
        The index of each reply and the reply, in the order in which they finish.
    """
    indices = list(range(len(samplers)))  # the index of the reply in each of the decoder's rows
    finished: set[int] = set()
    while True:
        for index, logits in zip(indices, decoder.logits, strict=True):
            if index not in finished and (sample := samplers[index].take(logits)) is not None:
                finished.add(index)
                yield index, sample
        open_rows = [row for row, index in enumerate(indices) if index not in finished]
        if not open_rows:
            return
        if 2 * len(open_rows) <= len(indices):
            decoder.keep(open_rows)
            indices = [indices[row] for row in open_rows]
        decoder.step([samplers[index].ids[-1] for index in indices])
