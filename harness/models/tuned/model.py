"""The tuned model: SmolLM2 with trained adapters that reads levels in one pass, without examples or placeholders.

It is a backend with the transport ``head``. A slot follows each token of the subject. Its level is read at the first
token of the base model that ends at the slot or after it. So the tokenizer of the subject does not matter.
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
from harness.models.tuned.network import LEVELS, Architecture, TunedNetwork
from harness.models.tuned.text import Tokenizer, readers
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

_AT_ONCE = 4096  # prompts that are sorted together, so that equal texts share a pass
_SHORTEST = 0.7  # least ratio of the shortest text of a pass to the longest, which limits the padding


@dataclass(frozen=True, eq=False)
class Adapter:
    """A file of trained tensors and the settings in its header."""

    path: Path
    architecture: Architecture
    base: str
    bias: tuple[float, ...]
    temperature: float
    digest: str


class TunedModel:
    """A :class:`harness.models.backend.Backend` that reads levels and writes no text.

    Args:
        adapter: the name of an adapter that ships with the package, or the path of a ``.safetensors`` file.
        base: a local copy of the adapter's base model; None to find it by the name in the adapter's header.
        dtype: ``float32`` or ``bfloat16``.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``: an accelerator where there is one.
        batch_tokens: number of text tokens in one pass through the upper layers.
    """

    def __init__(
        self,
        adapter: str = "smollm2-simulator-v6",
        *,
        base: str | None = None,
        dtype: str = "float32",
        device: str = "cpu",
        batch_tokens: int = 2048,
    ) -> None:
        weights.check_dtype(dtype)
        if batch_tokens < 1:
            raise NeuroglossError(f"model.batch_tokens is {batch_tokens}; write 1 or more.")
        self.name = adapter
        self.base = base
        self.dtype = dtype
        self.device = weights.device_of(device)
        self.batch_tokens = batch_tokens

    @cached_property
    def adapter(self) -> Adapter:
        """The adapter, of which only the header is read."""
        return read_adapter(self.name)

    @cached_property
    def identity(self) -> Identity:
        """The base model and its adapter; no weights are loaded for it."""
        base = weights.identify(self.base_name, None, self.dtype)
        revision = hashlib.sha256(f"{base.revision} {self.adapter.digest}".encode()).hexdigest()
        return replace(base, name=self.name, revision=revision, backend="tuned", transport="head")

    @cached_property
    def base_name(self) -> str:
        """The name by which the base model is found.

        Raises:
            NeuroglossError: the local copy is another model than the adapter was trained on.
        """
        if self.base is not None and self.adapter.base not in (self.base, weights.locate(self.base).name):
            raise NeuroglossError(
                f"model.base={self.base} is not {self.adapter.base}, which {self.name} was trained on; name that file."
            )
        return self.base or self.adapter.base

    def levels(self) -> int:
        """Return 11, for levels 0 to 10."""
        return LEVELS

    def cost(self, prompt: CompletionPrompt | SlottedPrompt) -> Usage:
        """Return the cost of reading ``prompt``: the tokens of its explanation and of its text.

        Raises:
            NeuroglossError: the prompt asks for text.
        """
        if isinstance(prompt, CompletionPrompt):
            raise NeuroglossError(_NO_TEXT)
        explanation = self.tokenizer.explanation(_explanation(prompt))
        return _usage(len(explanation), self.tokenizer.encode("".join(prompt.parts))[0])

    def complete(self, prompts: Sequence[CompletionPrompt]) -> Iterator[tuple[int, Completion]]:  # noqa: ARG002
        """Refuse to write text.

        Raises:
            NeuroglossError: always.
        """
        raise NeuroglossError(_NO_TEXT)

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> Iterator[tuple[int, LevelReading]]:
        """Yield (index, levels at every slot of that prompt); a pass computes equal explanations and texts once."""
        for start in range(0, len(prompts), _AT_ONCE):
            chunk = prompts[start : start + _AT_ONCE]
            for batch in self._batches(chunk):
                yield from ((start + index, reading) for index, reading in self._read(chunk, batch))

    # ------------------------------------------------------------------------------------------------------ computing

    @cached_property
    def network(self) -> TunedNetwork:
        """The base model with the adapter merged into it, loaded."""
        loaded = weights.load(self.base_name, dtype="float32", device="cpu")
        architecture = self.adapter.architecture
        network = TunedNetwork(loaded.model.model, architecture, self.tokenizer.pieces if architecture.spelled else ())
        restore(network, self.adapter)
        network.merge()
        return network.to(getattr(torch, self.dtype)).to(self.device).eval()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The base model's tokenizer, loaded."""
        return Tokenizer.of(weights.load_tokenizer(self.base_name))

    def _batches(self, prompts: Sequence[SlottedPrompt]) -> Iterator[list[int]]:
        """Yield indices of the prompts of each pass, as many as a pass has room for.

        Prompts with equal texts or explanations come next to each other, because what they share is computed once. They
        are sorted by the smallest text of their explanation, which is equal if explanations are read on equal texts.
        """
        first: dict[str, tuple[str, ...]] = {}
        for prompt in prompts:
            explanation = _explanation(prompt)
            first[explanation] = min(prompt.parts, first.get(explanation, prompt.parts))

        def place(index: int) -> tuple[tuple[str, ...], int, tuple[str, ...]]:
            prompt = prompts[index]
            return first[_explanation(prompt)], _length(prompt), prompt.parts

        batch: list[int] = []
        for index in sorted(range(len(prompts)), key=place):
            lengths = [_length(prompts[member]) for member in (*batch, index)]
            if batch and (len(lengths) * max(lengths) > self.batch_tokens or min(lengths) < _SHORTEST * max(lengths)):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    @torch.inference_mode()
    def _read(self, prompts: Sequence[SlottedPrompt], batch: Sequence[int]) -> Iterator[tuple[int, LevelReading]]:
        queries = [self.tokenizer.explanation(_explanation(prompts[index])) for index in batch]
        encoded = [self.tokenizer.encode("".join(prompts[index].parts)) for index in batch]
        explanations = {query: number for number, query in enumerate(dict.fromkeys(queries))}
        texts = {ids: number for number, ids in enumerate(dict.fromkeys(ids for ids, _ in encoded))}
        pairs = [(explanations[query], texts[ids]) for query, (ids, _) in zip(queries, encoded, strict=True)]
        logits = self.network(list(explanations), [self.tokenizer.text(ids) for ids in texts], pairs).double()
        bias = torch.tensor(self.adapter.bias, dtype=torch.float64, device=logits.device)
        shares = (logits / self.adapter.temperature + bias).softmax(-1)[:, 1:].cpu()
        for index, query, (ids, ends), levels in zip(batch, queries, encoded, shares, strict=True):
            yield index, _reading(prompts[index], ends, levels, _usage(len(query), ids))


def read_adapter(name: str) -> Adapter:
    """Read the header of an adapter, named by its path or by its name among those that ship with the package.

    Raises:
        NeuroglossError: the file is missing or is no adapter.
    """
    path = Path(name) if name.endswith(".safetensors") else ADAPTERS / f"{name}.safetensors"
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in ADAPTERS.glob("*.safetensors"))) or "none"
        raise NeuroglossError(f"there is no adapter {name!r}; there are: {names}; or name a .safetensors file.")
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})["neurogloss"])
        architecture = Architecture(**header["architecture"])
        bias = tuple(float(value) for value, _ in zip(header["bias"], range(LEVELS), strict=True))
        temperature = float(header["temperature"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise NeuroglossError(f"{path} is not an adapter of the tuned simulator; fetch it again.") from error
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Adapter(path, architecture, header["base"], bias, temperature, digest)


def restore(network: TunedNetwork, adapter: Adapter, *, strict: bool = True) -> None:
    """Copy the tensors of an adapter into a network; unless ``strict``, tensors that the adapter lacks stay unchanged.

    Raises:
        NeuroglossError: the tensors belong to another architecture.
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


def _usage(explanation_tokens: int, ids: Sequence[int]) -> Usage:
    """Return the usage of an explanation and a text; one token is put before the text."""
    return Usage(1, 0, explanation_tokens + 1 + len(ids), 0)


def _length(prompt: SlottedPrompt) -> int:
    return len(prompt.parts)


def _reading(prompt: SlottedPrompt, ends: Sequence[int], shares: torch.Tensor, usage: Usage) -> LevelReading:
    """Return the reading at the slots from ``shares`` [tokens, levels]; a text without a token gives a failed one."""
    slots = len(prompt.parts)
    rows = (
        shares[readers(ends, list(accumulate(map(len, prompt.parts))))]
        if ends
        else torch.full((slots, LEVELS), torch.nan)
    )
    if not torch.isfinite(rows).all():
        missing = (float("nan"),) * LEVELS
        return LevelReading((missing,) * slots, (float("nan"),) * slots, (0,) * slots, Outcome.FAILED, usage)
    return LevelReading(tuple(map(tuple, rows.tolist())), (1.0,) * slots, (LEVELS,) * slots, usage=usage)
