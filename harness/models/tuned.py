"""The tuned model: SmolLM2 with trained additions that reads levels in one pass, without examples or placeholders.

It is a backend like any other, with the transport ``head``: a slot stands behind each token of the subject, and its
level is read where the base model's own token that reaches the slot ends. Tokens of any subject are found by their
place in the text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from harness import weights
from harness.models.tuned_network import LEVELS, Architecture, TunedNetwork
from harness.models.tuned_text import Tokenizer, readers
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

ADAPTERS = Path(__file__).parent / "adapters"

_AT_ONCE = 4096  # prompts that are put in order together, so that equal texts come into one pass
_SHORTEST = 0.7  # of the longest text of a pass, so that little of it is padding


@dataclass(frozen=True, eq=False)
class Adapter:
    """A file of trained tensors, with what it says of itself."""

    path: Path
    architecture: Architecture
    base: str
    bias: tuple[float, ...]
    temperature: float
    digest: str


class TunedModel:
    """A :class:`harness.models.backend.Backend` that reads levels, and answers nothing else.

    Args:
        adapter: the name of an adapter that ships, or the path of a ``.safetensors`` file.
        dtype: ``float32`` or ``bfloat16``.
        device: ``cpu``, ``cuda`` or ``mps``.
        batch_tokens: how many tokens of texts go through the upper layers in one pass.
    """

    def __init__(
        self,
        adapter: str = "smollm2-simulator-v5",
        *,
        dtype: str = "float32",
        device: str = "cpu",
        batch_tokens: int = 2048,
    ) -> None:
        weights.check_dtype(dtype)
        if batch_tokens < 1:
            raise NeuroglossError(f"model.batch_tokens is {batch_tokens}; write 1 or more.")
        self.name = adapter
        self.dtype = dtype
        self.device = device
        self.batch_tokens = batch_tokens

    @cached_property
    def adapter(self) -> Adapter:
        """The adapter's file, its header read."""
        return read_adapter(self.name)

    @cached_property
    def identity(self) -> Identity:
        """Which base model and which additions; no weights are loaded for it."""
        base = weights.identify(self.adapter.base, None, self.dtype)
        revision = hashlib.sha256(f"{base.revision} {self.adapter.digest}".encode()).hexdigest()
        return replace(base, name=self.name, revision=revision, backend="tuned", transport="head")

    def levels(self) -> int:
        """11: levels 0 to 10."""
        return LEVELS

    def cost(self, prompt: CompletionPrompt | SlottedPrompt) -> Usage:
        """What asking ``prompt`` costs: the tokens of the explanation and of the text."""
        if isinstance(prompt, CompletionPrompt):
            raise NeuroglossError(_NO_TEXT)
        told = self.tokenizer.explanation(_explanation(prompt))
        return _usage(len(told), self.tokenizer.encode("".join(prompt.parts))[0])

    def complete(self, prompts: Sequence[CompletionPrompt]) -> Iterator[tuple[int, Completion]]:  # noqa: ARG002
        """Nothing: it writes no text."""
        raise NeuroglossError(_NO_TEXT)

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> Iterator[tuple[int, LevelReading]]:
        """Read the levels at every slot; what prompts share of explanations and texts is computed once for a pass."""
        for start in range(0, len(prompts), _AT_ONCE):
            some = prompts[start : start + _AT_ONCE]
            for batch in self._batches(some):
                yield from ((start + index, found) for index, found in self._read(some, batch))

    # ------------------------------------------------------------------------------------------------------ computing

    @cached_property
    def network(self) -> TunedNetwork:
        """Base model and additions, loaded and merged."""
        loaded = weights.load(self.adapter.base, dtype="float32", device="cpu")
        architecture = self.adapter.architecture
        network = TunedNetwork(loaded.model.model, architecture, self.tokenizer.pieces if architecture.spelled else ())
        restore(network, self.adapter)
        network.merge()
        return network.to(getattr(torch, self.dtype)).to(self.device).eval()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The base model's tokenizer, loaded."""
        return Tokenizer.of(weights.load_tokenizer(self.adapter.base))

    def _batches(self, prompts: Sequence[SlottedPrompt]) -> Iterator[list[int]]:
        """Prompts that go through the network together, as many as a pass has room for.

        Those that share texts and explanations stand together, as what they share is computed once: explanations that
        are read on the same texts begin with the same one.
        """
        first: dict[str, tuple[str, ...]] = {}
        for prompt in prompts:
            told = _explanation(prompt)
            first[told] = min(prompt.parts, first.get(told, prompt.parts))

        def place(index: int) -> tuple[tuple[str, ...], int, tuple[str, ...]]:
            prompt = prompts[index]
            return first[_explanation(prompt)], _length(prompt), prompt.parts

        batch: list[int] = []
        for index in sorted(range(len(prompts)), key=place):
            lengths = [_length(prompts[one]) for one in (*batch, index)]
            if batch and (len(lengths) * max(lengths) > self.batch_tokens or min(lengths) < _SHORTEST * max(lengths)):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    @torch.inference_mode()
    def _read(self, prompts: Sequence[SlottedPrompt], batch: Sequence[int]) -> Iterator[tuple[int, LevelReading]]:
        told = [self.tokenizer.explanation(_explanation(prompts[index])) for index in batch]
        encoded = [self.tokenizer.encode("".join(prompts[index].parts)) for index in batch]
        explanations = {one: number for number, one in enumerate(dict.fromkeys(told))}
        texts = {one: number for number, one in enumerate(dict.fromkeys(ids for ids, _ in encoded))}
        pairs = [(explanations[one], texts[ids]) for one, (ids, _) in zip(told, encoded, strict=True)]
        logits = self.network(list(explanations), [self.tokenizer.text(ids) for ids in texts], pairs).double()
        bias = torch.tensor(self.adapter.bias, dtype=torch.float64, device=logits.device)
        shares = (logits / self.adapter.temperature + bias).softmax(-1)[:, 1:].cpu()
        for index, before, (ids, ends), found in zip(batch, told, encoded, shares, strict=True):
            yield index, _reading(prompts[index], ends, found, _usage(len(before), ids))


def read_adapter(name: str) -> Adapter:
    """Find an adapter, by name among those that ship or by path, and read what it says of itself.

    Raises:
        NeuroglossError: there is none, or it is no adapter; the sentence names those that ship.
    """
    path = Path(name) if name.endswith(".safetensors") else ADAPTERS / f"{name}.safetensors"
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in ADAPTERS.glob("*.safetensors"))) or "none"
        raise NeuroglossError(f"there is no adapter {name!r}; there are: {known}; or name a .safetensors file.")
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["neurogloss"])
        architecture = Architecture(**about["architecture"])
        bias = tuple(float(one) for one, _ in zip(about["bias"], range(LEVELS), strict=True))
        temperature = float(about["temperature"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise NeuroglossError(f"{path} is not an adapter of the tuned simulator; fetch it again.") from error
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Adapter(path, architecture, about["base"], bias, temperature, digest)


def restore(network: TunedNetwork, adapter: Adapter, *, strict: bool = True) -> None:
    """Put the tensors of an adapter into a network; unless ``strict``, what the adapter lacks stays as it is.

    Raises:
        NeuroglossError: they are those of another architecture.
    """
    try:
        with safe_open(adapter.path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network.restore(tensors, strict=strict)
    except (KeyError, RuntimeError) as error:
        raise NeuroglossError(f"{adapter.path} is not an adapter of this version; fetch it again.") from error


_NO_TEXT = "the tuned model reads levels and writes no text; choose another model for the explainer."


def _explanation(prompt: SlottedPrompt) -> str:
    return prompt.messages[-1].content


def _usage(told: int, ids: Sequence[int]) -> Usage:
    """Of an explanation of so many tokens and a text, which has one more token before it."""
    return Usage(1, 0, told + 1 + len(ids), 0)


def _length(prompt: SlottedPrompt) -> int:
    return len(prompt.parts)


def _reading(prompt: SlottedPrompt, ends: Sequence[int], shares: torch.Tensor, usage: Usage) -> LevelReading:
    """The levels [tokens, levels] at the slots; a text that the tokenizer makes nothing of has none."""
    slots = len(prompt.parts)
    found = (
        shares[readers(ends, list(accumulate(map(len, prompt.parts))))]
        if ends
        else torch.full((slots, LEVELS), torch.nan)
    )
    if not torch.isfinite(found).all():
        missing = (float("nan"),) * LEVELS
        return LevelReading((missing,) * slots, (float("nan"),) * slots, (0,) * slots, Outcome.FAILED, usage)
    return LevelReading(tuple(map(tuple, found.tolist())), (1.0,) * slots, (LEVELS,) * slots, usage=usage)
