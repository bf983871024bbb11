"""Sampling of text from a model; the same seed, machine and versions give the same text bit for bit."""

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
"""Share of unfinished texts below which finished texts are removed from the batch; removal copies the cache."""


@dataclass(frozen=True)
class Sampling:
    """Settings of sampling: each token is drawn from the ``top_k`` most likely, cut to the fewest that hold ``top_p``.

    Attributes:
        tokens: largest number of tokens of a text.
        temperature: divisor of the logits, above 0.
        top_k: largest number of tokens that can be drawn.
        top_p: share of the probability of all tokens that these must hold, from 0 to 1.
        seed: seed of every draw, together with the index of the batch.
        batch_size: number of texts written together; it changes the draws.
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


def sample(  # noqa: PLR0913  # the model, the prompts, the settings, and the texts of an earlier process
    model: Any,
    prompts: Sequence[Tokens],
    ends: Collection[int],
    sampling: Sampling,
    progress: Progress,
    *,
    known: Mapping[int, Tokens] = MappingProxyType({}),
) -> Iterator[tuple[int, Tokens]]:
    """Continue each prompt until a token of ``ends`` or ``sampling.tokens`` tokens.

    Prompts of one length are batched together, so that nothing is padded. A batch is skipped if ``known`` holds all of
    its texts; an incomplete batch is written again, as its draws depend on each other.

    Yields:
        (index of the prompt, token ids of the continuation alone), in any order.
    """
    count = 0
    progress("sampling text", count, len(prompts))
    for number, batch in enumerate(_equally_long(prompts, sampling.batch_size)):
        if known.keys() >= set(batch):
            texts = [known[index] for index in batch]
        else:
            seed = int(np.random.SeedSequence((sampling.seed, number)).generate_state(1)[0])
            generator = torch.Generator().manual_seed(seed)
            texts = _continuations(model, [prompts[index] for index in batch], ends, sampling, generator)
        yield from zip(batch, texts, strict=True)
        count += len(batch)
        progress("sampling text", count, len(prompts))


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
    """Return the texts of one batch, written together token by token."""
    texts: list[list[int]] = [[] for _ in prompts]
    active = list(range(len(prompts)))  # the text that each row of the model's batch writes
    ended_rows: set[int] = set()
    ids, cache = torch.tensor(prompts, device=model.device), None
    for _ in range(sampling.tokens):
        output = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        token_ids, cache = draw(output.logits[:, -1], sampling, generator), output.past_key_values
        for row, token in zip(active, token_ids.tolist(), strict=True):
            if token in ends:
                ended_rows.add(row)
            elif row not in ended_rows:
                texts[row].append(token)
        places = [place for place, row in enumerate(active) if row not in ended_rows]
        if not places:
            break
        if len(places) < COMPACT_BELOW * len(active):
            active, token_ids = [active[place] for place in places], token_ids[places]
            cache.batch_select_indices(torch.tensor(places, device=model.device))
        ids = token_ids[:, None].to(model.device)
    return [tuple(text) for text in texts]


def draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> torch.Tensor:
    """Return one token id for each row of ``logits`` [rows, vocabulary], on the CPU.

    A token can be drawn if the more likely tokens hold less than ``top_p``.
    """
    probabilities = torch.softmax(logits.float().cpu() / sampling.temperature, dim=-1)
    top_probabilities, ids = probabilities.topk(min(sampling.top_k, logits.shape[-1]), dim=-1)
    mass_above = top_probabilities.cumsum(dim=-1) - top_probabilities
    weights = top_probabilities.masked_fill(mass_above >= sampling.top_p, 0.0)
    return ids.gather(1, torch.multinomial(weights, 1, generator=generator)).squeeze(1)
