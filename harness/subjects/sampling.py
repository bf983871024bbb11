"""Sample text from a model, so that the same seed, machine and versions give the same text bit for bit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from harness.types import NeuroglossError, Progress

Tokens = tuple[int, ...]

COMPACT_BELOW = 0.75
"""Texts that have ended leave the batch once fewer than this share of it goes on: leaving costs a copy of the cache."""


@dataclass(frozen=True)
class Sampling:
    """How text is drawn: each token from the ``top_k`` most likely, cut to the fewest that hold ``top_p``.

    Attributes:
        tokens: the most that a text may have.
        temperature: what logits are divided by, above 0.
        top_k: how many tokens are drawn from at most.
        top_p: the share of the probability (of all tokens) that those drawn from must hold, from 0 to 1.
        seed: with the place of a batch among the batches it decides every draw.
        batch_size: how many texts are written together; it enters what is drawn.
    """

    tokens: int
    temperature: float = 1.0
    top_k: int = 200
    top_p: float = 1.0
    seed: int = 0
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.batch_size < 1 or self.top_k < 1:
            raise NeuroglossError("tokens, batch_size and top_k of the sampled corpus must be at least 1; raise them.")
        if self.temperature <= 0 or not 0 < self.top_p <= 1:
            raise NeuroglossError("the sampled corpus needs a temperature above 0 and a top_p above 0 and at most 1.")
        if self.seed < 0:
            raise NeuroglossError(f"corpus.seed is {self.seed}; write at least 0.")


def sample(  # noqa: PLR0913  # what is written, how, and what has been
    model: Any,
    prompts: Sequence[Tokens],
    ends: Collection[int],
    sampling: Sampling,
    progress: Progress,
    *,
    known: Mapping[int, Tokens] = MappingProxyType({}),
) -> Iterator[tuple[int, Tokens]]:
    """Continue each prompt until a token of ``ends`` or ``sampling.tokens`` tokens.

    Prompts are batched with others of the same length, so that nothing is padded. A batch of which ``known`` holds
    every text is not written again; one that was begun is, as its draws depend on each other.

    Yields:
        (index of the prompt, token ids of the continuation alone), in any order.
    """
    done = 0
    progress("sampling text", done, len(prompts))
    for number, batch in enumerate(_equally_long(prompts, sampling.batch_size)):
        if known.keys() >= set(batch):
            texts = [known[index] for index in batch]
        else:
            seed = int(np.random.SeedSequence((sampling.seed, number)).generate_state(1)[0])
            generator = torch.Generator().manual_seed(seed)
            texts = _continuations(model, [prompts[index] for index in batch], ends, sampling, generator)
        yield from zip(batch, texts, strict=True)
        done += len(batch)
        progress("sampling text", done, len(prompts))


def _equally_long(prompts: Sequence[Tokens], size: int) -> Iterator[list[int]]:
    groups: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        groups[len(prompt)].append(index)
    for length in sorted(groups):
        yield from (groups[length][first : first + size] for first in range(0, len(groups[length]), size))


@torch.inference_mode()
def _continuations(
    model: Any, prompts: list[Tokens], ends: Collection[int], sampling: Sampling, generator: torch.Generator
) -> list[Tokens]:
    """Texts of one batch, written together token by token."""
    texts: list[list[int]] = [[] for _ in prompts]
    going = list(range(len(prompts)))  # the text that each row of the model's batch writes
    ended: set[int] = set()
    ids, cache = torch.tensor(prompts, device=model.device), None
    for _ in range(sampling.tokens):
        output = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        drawn, cache = draw(output.logits[:, -1], sampling, generator), output.past_key_values
        for row, token in zip(going, drawn.tolist(), strict=True):
            if token in ends:
                ended.add(row)
            elif row not in ended:
                texts[row].append(token)
        stay = [place for place, row in enumerate(going) if row not in ended]
        if not stay:
            break
        if len(stay) < COMPACT_BELOW * len(going):
            going, drawn = [going[place] for place in stay], drawn[stay]
            cache.batch_select_indices(torch.tensor(stay, device=model.device))
        ids = drawn[:, None].to(model.device)
    return [tuple(text) for text in texts]


def draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> torch.Tensor:
    """One token id for each row of ``logits`` [rows, vocabulary], on the CPU.

    A token stays in the draw as long as the more likely ones before it hold less than ``top_p``.
    """
    probabilities = torch.softmax(logits.float().cpu() / sampling.temperature, dim=-1)
    likely, ids = probabilities.topk(min(sampling.top_k, logits.shape[-1]), dim=-1)
    before = likely.cumsum(dim=-1) - likely
    kept = likely.masked_fill(before >= sampling.top_p, 0.0)
    return ids.gather(1, torch.multinomial(kept, 1, generator=generator)).squeeze(1)
