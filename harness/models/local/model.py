"""A language model of transformers in this process; it reads levels from the logits of the prompt itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from weakref import WeakValueDictionary

import torch

from harness import weights
from harness.models.local import sampling
from harness.models.local.engine import Engine, Scores, out_of_memory
from harness.models.local.render import Rendered, Renderer
from harness.types import (
    Completion,
    CompletionPrompt,
    Identity,
    LevelReading,
    NeuroglossError,
    Outcome,
    SlottedPrompt,
    Usage,
)

_AT_ONCE = 4096  # prompts that are rendered together, so that they can share prefixes

_ON_CPU, _ON_ACCELERATOR = 1024, 16_384  # tokens in a pass; more do not increase the throughput

_engines: WeakValueDictionary[tuple[Identity, str, int], Engine] = WeakValueDictionary()


class LocalModel:
    """A :class:`harness.models.backend.Backend` that loads nothing until it is used, and weights only for an answer.

    Instances that name the same weights share one copy.

    Args:
        name: ``embedded:smollm2-135m-instruct``, a local folder, or a name on the hub.
        revision: the hub's commit, branch or tag.
        dtype: ``float32``, ``bfloat16`` or ``float16``.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``: an accelerator where there is one.
        chat: whether to use the tokenizer's chat template; without one, turns are separated by line ends.
        batch_tokens: number of tokens in one pass through the model; null takes a default for the device. The number
            is halved whenever memory runs out.
        trust_remote_code: whether to run code that comes with the weights.
        usd_per_million_prompt_tokens: price of a million prompt tokens (USD).
        usd_per_million_completion_tokens: price of a million completion tokens (USD).
    """

    def __init__(  # noqa: PLR0913  # one argument for each setting of a model
        self,
        name: str = weights.EMBEDDED,
        *,
        revision: str | None = None,
        dtype: str = "bfloat16",
        device: str = "cpu",
        chat: bool = True,
        batch_tokens: int | None = None,
        trust_remote_code: bool = False,
        usd_per_million_prompt_tokens: float = 0.0,
        usd_per_million_completion_tokens: float = 0.0,
    ) -> None:
        weights.check_dtype(dtype)
        if batch_tokens is not None and batch_tokens < 1:
            raise NeuroglossError(f"model.batch_tokens is {batch_tokens}; write 1 or more, or null.")
        self.name = name
        self.revision = revision
        self.dtype = dtype
        self.device = weights.device_of(device)
        self.chat = chat
        self.batch_tokens = batch_tokens or (_ON_CPU if self.device == "cpu" else _ON_ACCELERATOR)
        self.trust_remote_code = trust_remote_code
        self.usd_per_million_prompt_tokens = usd_per_million_prompt_tokens
        self.usd_per_million_completion_tokens = usd_per_million_completion_tokens

    @cached_property
    def identity(self) -> Identity:
        """The model that answers and its transport; no weights are loaded for it."""
        identity = weights.identify(self.name, self.revision, self.dtype)
        return replace(identity, backend="transformers" if self.chat else "transformers, no chat", transport="prompt")

    def levels(self) -> int:
        """Return 11 (levels 0..10) if each level is one token after other text, else 10 (levels 0..9)."""
        return len(self.renderer.level_tokens)

    def cost(self, prompt: CompletionPrompt | SlottedPrompt) -> Usage:
        """Return the most that a reply to ``prompt`` can cost."""
        if isinstance(prompt, SlottedPrompt):
            return self._usage(len(self.renderer.slotted(prompt).ids), 0)
        return self._usage(len(self.renderer.completion(prompt.messages).ids), prompt.max_tokens)

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> Iterator[tuple[int, LevelReading]]:
        """Yield (index, distributions over the levels at every slot of that prompt); each token is computed once."""
        for start in range(0, len(prompts), _AT_ONCE):
            chunk = prompts[start : start + _AT_ONCE]
            rendered = [self._fitting(self.renderer.slotted(prompt), 0) for prompt in chunk]
            tokens = self.renderer.level_tokens[: self._most_levels(chunk)]
            ids, slots = [prompt.ids for prompt in rendered], [prompt.slots for prompt in rendered]
            for index, scores in self.engine.read(ids, slots, tokens):
                usage = self._usage(len(rendered[index].ids), 0)
                yield start + index, reading(scores, chunk[index].levels, usage)

    def complete(self, prompts: Sequence[CompletionPrompt]) -> Iterator[tuple[int, Completion]]:
        """Yield (index, reply to that prompt), ended by an end token, a stop text or the limit of tokens."""
        rendered = [self._fitting(self.renderer.completion(prompt.messages), prompt.max_tokens) for prompt in prompts]
        room = max((prompt.max_tokens for prompt in prompts), default=0)
        batches = self.engine.batches([prompt.ids for prompt in rendered], room)
        while batches:
            batch, finished = batches.pop(0), set()
            try:
                for row, reply in self._continued([prompts[i] for i in batch], [rendered[i].ids for i in batch], room):
                    yield batch[row], reply
                    finished.add(batch[row])
            except RuntimeError as error:
                if len(batch) == 1 or not out_of_memory(error):
                    self.engine.halve(error)
            retries = [index for index in batch if index not in finished]
            batches[:0] = [half for half in (retries[: len(retries) // 2], retries[len(retries) // 2 :]) if half]

    def _continued(
        self, prompts: Sequence[CompletionPrompt], ids: Sequence[Sequence[int]], room: int
    ) -> Iterator[tuple[int, Completion]]:
        """Yield (row, reply) of prompts that are continued together."""
        decoder = self.engine.start(ids, room)
        samplers = [self._sampler(prompt, tokens) for prompt, tokens in zip(prompts, ids, strict=True)]
        for row, sample in sampling.finish(decoder, samplers):
            yield row, Completion(sample.text, sample.outcome, self._usage(len(ids[row]), len(sample.ids)))

    @cached_property
    def engine(self) -> Engine:
        """The loaded model; instances with equal weights, device and batch size share it."""
        key = (self.identity, self.device, self.batch_tokens)
        engine = _engines.get(key)
        if engine is None:
            loaded = weights.load(
                self.name,
                revision=self.revision,
                dtype=self.dtype,
                device=self.device,
                trust_remote_code=self.trust_remote_code,
            )
            engine = _engines[key] = Engine(loaded.model, self.batch_tokens)
        return engine

    @cached_property
    def renderer(self) -> Renderer:
        """The renderer with the loaded tokenizer."""
        tokenizer = weights.load_tokenizer(self.name, revision=self.revision, trust_remote_code=self.trust_remote_code)
        return Renderer(tokenizer, self.name, self.chat)

    @cached_property
    def _ends(self) -> frozenset[int]:
        """The token ids that end a reply."""
        settings = [self.engine.model.generation_config.eos_token_id, self.renderer.tokenizer.eos_token_id]
        lists = [value if isinstance(value, list) else [value] for value in settings if value is not None]
        return frozenset(token for tokens in lists for token in tokens)

    def _sampler(self, prompt: CompletionPrompt, ids: Sequence[int]) -> sampling.Sampler:
        stream = hashlib.sha256(f"{prompt.seed} {prompt.repeat} {ids}".encode()).digest()[:8]
        return sampling.Sampler(prompt, self._ends, self.renderer.decode, int.from_bytes(stream) >> 1)

    def _most_levels(self, prompts: Sequence[SlottedPrompt]) -> int:
        most = max(prompt.levels for prompt in prompts)
        if most > self.levels():
            raise NeuroglossError(
                f"{self.name} can read {self.levels()} levels, not {most}: its tokenizer splits the others."
            )
        return most

    def _fitting(self, rendered: Rendered, room: int) -> Rendered:
        if len(rendered.ids) + room > self.engine.context:
            raise NeuroglossError(
                f"a prompt of {len(rendered.ids)} tokens{f' and {room} of reply' if room else ''} does not fit "
                f"{self.name}, which takes {self.engine.context}; choose shorter excerpts or another model."
            )
        return rendered

    def _usage(self, prompt_tokens: int, completion_tokens: int) -> Usage:
        millions = prompt_tokens * self.usd_per_million_prompt_tokens
        millions += completion_tokens * self.usd_per_million_completion_tokens
        return Usage(1, 0, prompt_tokens, completion_tokens, millions / 1e6)


def reading(scores: Scores, levels: int, usage: Usage) -> LevelReading:
    """Return the distribution over the levels at each slot; a NaN at any slot makes the reading a failed one.

    Args:
        scores: logits of the levels' tokens [slots, levels or more] and the log-sum-exp over the vocabulary [slots].
        levels: number of levels in the distributions.
        usage: usage of the request.
    """
    logits, totals = scores[0][:, :levels].double(), scores[1].double()
    mass = (logits.logsumexp(-1) - totals).exp()
    if not torch.isfinite(mass).all():
        missing = (float("nan"),) * levels
        slots = len(logits)
        return LevelReading((missing,) * slots, (float("nan"),) * slots, (0,) * slots, Outcome.FAILED, usage)
    shares = logits.softmax(-1)
    return LevelReading(
        tuple(tuple(row) for row in shares.tolist()), tuple(mass.tolist()), (levels,) * len(logits), usage=usage
    )
