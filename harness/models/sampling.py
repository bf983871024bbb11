"""Choosing the tokens of replies, one after another, from a decoder's logits.

Each reply has a random stream of its own, so that it does not depend on what else is asked at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from harness.models.engine import Decoder
from harness.types import CompletionPrompt, Outcome


@dataclass(frozen=True, slots=True)
class Sample:
    """A finished reply: its text, the tokens that were computed for it, and what became of it."""

    text: str
    ids: tuple[int, ...]
    outcome: Outcome


@dataclass(eq=False)
class Sampler:
    """One reply on its way.

    Attributes:
        prompt: says how to sample and when to stop.
        ends: the tokens that end a reply.
        decode: from tokens to text.
        stream: the seed of its random numbers.
        ids: the tokens so far.
    """

    prompt: CompletionPrompt
    ends: frozenset[int]
    decode: Callable[[Sequence[int]], str]
    stream: int
    ids: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = torch.Generator().manual_seed(self.stream)

    def take(self, logits: torch.Tensor) -> Sample | None:
        """Choose the next token by its logits [vocabulary]; the finished reply, where it is the last."""
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
        kept = int((sums - shares < self.prompt.top_p).sum())
        drawn = torch.rand(1, generator=self._random, dtype=torch.float64) * sums[kept - 1]
        return int(tokens[:kept][torch.searchsorted(sums[:kept], drawn).clamp(max=kept - 1)])


def finish(decoder: Decoder, samplers: Sequence[Sampler]) -> Iterator[tuple[int, Sample]]:
    """Continue all replies to their ends.

    Args:
        decoder: after the prompts, a row for each reply.
        samplers: the replies.

    Yields:
        the row of a reply, as it is finished, and the reply.
    """
    rows = list(range(len(samplers)))  # the reply that stands in each of the decoder's rows
    done: set[int] = set()
    while True:
        for row, logits in zip(rows, decoder.logits, strict=True):
            if row not in done and (sample := samplers[row].take(logits)) is not None:
                done.add(row)
                yield row, sample
        going = [place for place, row in enumerate(rows) if row not in done]
        if not going:
            return
        if 2 * len(going) <= len(rows):
            decoder.keep(going)
            rows = [rows[place] for place in going]
        decoder.step([samplers[row].ids[-1] for row in rows])
