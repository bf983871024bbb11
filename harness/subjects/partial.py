"""Run a range of decoder layers of a model; the layers outside the range are replaced by identities.

The model itself still computes position embeddings, masks, rotary angles and the final norm, so that the same code
serves every model family. A replaced layer returns its input; the one just below the range returns a given residual.

Where upper layers need more than a residual from those below them, such as keys and values that they share, all layers
run, and the residual is put in its place on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from harness.subjects.locate import CANNOT_RUN, PROBE, decoder_layers, hidden, states
from harness.types import NeuroglossError

LOGITS_AT_ONCE = 2**23
"""Number of logits computed at once; positions beyond this number are unembedded in turn."""
NEAR = 0.01
"""Largest difference between two ways to compute the same states, as a share of their length."""
LOGITS_HANDED_ON = 2**19
"""Number of logits normalised and yielded at once: few enough that computations on them stay in a processor's cache."""

Inputs = tuple[torch.Tensor, ...]
Part = TypeVar("Part")


class PassThrough(nn.Module):
    """An identity in place of a decoder layer: it returns its hidden states, or ``replacement``, in the layer's format.

    Args:
        layer: the real layer, whose attributes (such as the kind of attention) remain readable.
        extras: number of values that the layer returns after the hidden states; None if it returns a bare tensor.
        replacement: hidden states to return [batch, tokens, hidden] in place of those received.
    """

    def __init__(self, layer: nn.Module, extras: int | None, replacement: torch.Tensor | None = None) -> None:
        super().__init__()
        self.__dict__.update(_layer=layer, _extras=extras, _replacement=replacement)  # neither submodule nor buffer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_layer"], name)

    def forward(self, hidden_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Return hidden states [batch, tokens, hidden] in the format of the real layer."""
        out = hidden_states if self._replacement is None else self._replacement
        return out if self._extras is None else (out, *(None,) * self._extras)


class PartialModel:
    """A causal language model of transformers of which a range of layers runs.

    Args:
        module: a model of transformers in evaluation mode.
        name: what messages call it.

    Attributes:
        layers: the model's own list of decoder layers.
        depth: number of decoder layers.
        vocabulary: number of token ids.
        outputs: number of tokens that can follow; some models embed more tokens than they write.
        context: the largest number of tokens in a sequence; 2^30 if the model states no limit.

    Raises:
        NeuroglossError: see :func:`harness.subjects.locate.decoder_layers`.
    """

    def __init__(self, module: Any, name: str = "the model") -> None:
        self.name = name
        self.layers = decoder_layers(module)
        self.depth = len(self.layers)
        self.vocabulary = int(module.get_input_embeddings().num_embeddings)
        limit = getattr(module.config.get_text_config(), "max_position_embeddings", None) or 0
        self.context = int(limit) if limit > 0 else 1 << 30  # XLNet has none, and says -1
        self._module = module
        self._rehearsals: list[Callable[[Callable[[], torch.Tensor]], object]] = []
        self._parts: dict[Callable[[Any], Any], Any] = {}
        self._extras = self._extra_outputs()
        self._resumes, self._ends_alone = self._tried()

    def part(self, find: Callable[[Any], Part]) -> Part:
        """Return what ``find`` finds in the model of transformers, which is searched once; unit kinds hook into it."""
        if find not in self._parts:
            self._parts[find] = find(self._module)
        part: Part = self._parts[find]
        return part

    def tensor(self, values: Any) -> torch.Tensor:
        """Return numbers as a tensor on the device of the model."""
        return torch.tensor(values, device=self.device)

    def ids(self, sequences: Sequence[tuple[int, ...]]) -> torch.Tensor:
        """Return token ids [sequences, tokens] on the device of the model.

        Raises:
            NeuroglossError: a token id is not in the vocabulary.
        """
        largest = max(max(tokens) for tokens in sequences)
        if largest >= self.vocabulary:
            raise NeuroglossError(
                f"token id {largest} is outside the {self.vocabulary} tokens of {self.name}; "
                "use the subject that the excerpts were collected from."
            )
        return self.tensor(sequences)

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        device: torch.device = self._module.device
        return device

    def run(
        self, ids: torch.Tensor, start: int = 0, stop: int | None = None, residual: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Run layers ``start`` to ``stop - 1`` (by default all layers) without the final norm and the unembedding.

        Args:
            ids: token ids [batch, tokens].
            start: first layer that runs; if it is 0, the model's embeddings enter it and ``residual`` is ignored.
            stop: first layer above the range, which does not run.
            residual: the input of layer ``start`` [batch, tokens, hidden]; if it is None, the embeddings enter there.

        Returns:
            The output of the last layer that runs [batch, tokens, hidden].

        Raises:
            NeuroglossError: the embeddings are to enter a layer that cannot run without those below it.
        """
        stop = self.depth if stop is None else stop
        is_whole = 0 < start < self.depth and not self._resumes
        if is_whole and residual is None:
            raise NeuroglossError(
                f"layer {start} of {self.name} cannot run without those below it; leave out explainers that look at a "
                "layer alone (input_tokens)."
            )

        def run() -> torch.Tensor:
            return self._run_whole(ids, start, stop, residual) if is_whole else self._run(ids, start, stop, residual)

        for rehearse in self._rehearsals:
            rehearse(run)
        return run()

    def _run(self, ids: torch.Tensor, start: int, stop: int, residual: torch.Tensor | None) -> torch.Tensor:
        outputs: list[Any] = []
        with self._between(start, stop, residual), _keeping_output(self.layers, outputs):
            self._module.base_model(input_ids=ids, use_cache=False)
        return hidden(outputs[0])

    def _run_whole(self, ids: torch.Tensor, start: int, stop: int, residual: torch.Tensor | None) -> torch.Tensor:
        """Run the layers below ``start`` too, and put the residual in the place of what they return."""
        assert residual is not None

        def put(_: nn.Module, inputs: Inputs, keywords: dict[str, Any]) -> tuple[Inputs, dict[str, Any]]:
            return ((residual, *inputs[1:]), keywords) if inputs else (inputs, {**keywords, "hidden_states": residual})

        with hooked(self.layers[start].register_forward_pre_hook(put, with_kwargs=True, prepend=True)):
            return self._run(ids, 0, stop, None)

    @contextmanager
    def rehearsing(self, rehearse: Callable[[Callable[[], torch.Tensor]], object]) -> Iterator[None]:
        """Within this context, call ``rehearse`` before each run, with a function that makes this run beforehand.

        For units of several layers, whose activation is known at the end of a run only.
        """
        self._rehearsals.append(rehearse)
        try:
            yield
        finally:
            self._rehearsals.remove(rehearse)

    def log_probabilities(self, final: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield next-token log-probabilities for the last layer's output ``final`` [tokens, hidden].

        The model computes them with all its layers replaced, so that its final norm and its scaling of logits apply.

        Yields:
            (slice of the positions, their log-probabilities in float32 [positions, vocabulary]), in order.

        Raises:
            NeuroglossError: that does not give what the model gives.
        """
        if not self._ends_alone:
            raise NeuroglossError(
                f"what a change does to the output of {self.name} cannot be told: its output does not follow from the "
                "residual behind its last layer alone, as where it has several residual streams; leave out ablation "
                "(scores=[panel]) and explainers that look at the output, or use another subject."
            )
        yield from self._log_probabilities(final)

    def _log_probabilities(self, final: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        first = 0
        for part in torch.split(final, max(1, LOGITS_AT_ONCE // self.vocabulary)):
            ids = torch.zeros(len(part), 1, dtype=torch.long, device=part.device)
            with self._between(self.depth, self.depth, part.unsqueeze(1)):  # each position as one sequence
                logits = self._module(input_ids=ids, use_cache=False).logits.squeeze(1)
            for chunk in torch.split(logits, max(1, LOGITS_HANDED_ON // self.vocabulary)):
                yield slice(first, first + len(chunk)), torch.log_softmax(chunk.float(), dim=-1)
                first += len(chunk)

    # -------------------------------------------------------------------------------------------- hooks during a run

    @contextmanager
    def keeping_input(self, layer: int, residuals: dict[int, torch.Tensor]) -> Iterator[None]:
        """Within this context, store the residual that enters a layer [batch, tokens, hidden] in ``residuals``."""

        def hook(_: nn.Module, inputs: Inputs, keywords: dict[str, torch.Tensor]) -> None:
            residuals[layer] = states(inputs, keywords)

        with hooked(self.layers[layer].register_forward_pre_hook(hook, with_kwargs=True)):
            yield

    # --------------------------------------------------------------------------------------------- replacing layers

    @contextmanager
    def _between(self, start: int, stop: int, residual: torch.Tensor | None) -> Iterator[None]:
        """Within this context, run layers ``start`` to ``stop - 1`` only; restore the other layers at its end."""
        extras, real = self._extras, list(self.layers)
        try:
            for index, layer in enumerate(real):
                if not start <= index < stop:
                    replacement = residual if index == start - 1 else None
                    self.layers[index] = PassThrough(layer, extras, replacement)
            yield
        finally:
            for index, layer in enumerate(real):
                self.layers[index] = layer

    @torch.inference_mode()
    def _tried(self) -> tuple[bool, bool]:
        """Return whether upper layers run on a residual alone, from two layers on, and whether the output follows from
        what the last layer returns; tried on a few tokens, before any hook is there."""
        ids, residuals = self.tensor([PROBE]), dict[int, torch.Tensor]()
        starts = sorted({min(1, self.depth - 1), self.depth - 1})
        with ExitStack() as hooks:
            for start in starts:
                hooks.enter_context(self.keeping_input(start, residuals))
            final = self._run(ids, 0, self.depth, None)
        logits = self._module(input_ids=ids, use_cache=False).logits[0].float()
        self.outputs = logits.shape[-1]

        def resumes() -> bool:
            return all(_is_near(self._run(ids, start, self.depth, residuals[start]), final) for start in starts)

        def ends_alone() -> bool:
            ends = torch.cat([chunk for _, chunk in self._log_probabilities(final[0])])
            return final.shape[:-1] == ids.shape and _is_near(ends, logits.log_softmax(-1))

        return _holds(resumes), _holds(ends_alone)

    @torch.inference_mode()
    def _extra_outputs(self) -> int | None:
        """Return the number of values that a decoder layer returns after the hidden states, tried on a few tokens."""
        outputs: list[Any] = []
        with _keeping_output(self.layers, outputs):
            self._module.base_model(input_ids=self.tensor([PROBE]), use_cache=False)
        return None if isinstance(outputs[0], torch.Tensor) else len(outputs[0]) - 1


@contextmanager
def hooked(handle: RemovableHandle) -> Iterator[None]:
    """Remove a hook at the end of the context."""
    try:
        yield
    finally:
        handle.remove()


def replaced(real: torch.Tensor, values: torch.Tensor, leading: torch.Tensor) -> torch.Tensor:
    """Return ``values`` [batch, tokens] in the number format of the real ones, which the first positions keep.

    Args:
        real: the real activations [batch, tokens].
        values: the activations in their place [batch, tokens].
        leading: number of first positions of each sequence that keep the real activation [batch].
    """
    is_replaced = torch.arange(values.shape[1], device=values.device) >= leading[:, None]
    return torch.where(is_replaced, values.to(real.dtype), real)


@contextmanager
def _keeping_output(layers: nn.ModuleList, outputs: list[Any]) -> Iterator[None]:
    """Append to ``outputs`` what the last layer returns: the layer that is last when this context is entered."""
    with hooked(layers[-1].register_forward_hook(lambda _, __, output: outputs.append(output))):
        yield


def _holds(check: Callable[[], bool]) -> bool:
    """Return whether a check holds; where a model cannot be run as it does, it does not."""
    try:
        return check()
    except CANNOT_RUN:
        return False


def _is_near(values: torch.Tensor, reference: torch.Tensor) -> bool:
    """Return whether values equal a reference up to the rounding of half precision; NaN is left to who reads it."""
    return values.shape == reference.shape and not (values - reference).norm() > NEAR * reference.norm()
