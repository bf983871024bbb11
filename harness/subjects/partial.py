"""Run only some decoder layers of a model: the others stand aside, and the model goes on minding its own business.

Position embeddings, masks, rotary angles and the final norm stay with the model, so that one way serves every family.
A layer that stands aside hands on what it gets; the last one below those that run hands on a given residual instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from harness.subjects.locate import locate

LOGITS_AT_ONCE = 2**23
"""Logits computed in one go; more positions than this allows are unembedded in turn."""
LOGITS_HANDED_ON = 2**19
"""Logits normalised and handed on in one go: few enough for what is computed of them to stay in a processor's cache."""
STRAIGHT = 0.02
"""By how much of itself what a neuron writes may differ from what arrives; half-precision numbers differ by 0.01."""

Inputs = tuple[torch.Tensor, ...]


class PassThrough(nn.Module):
    """Stands in for a decoder layer: returns ``given``, or the hidden states it gets, the way the real layer returns.

    Args:
        layer: the real layer; what a model reads off its layers (the kind of attention, say) is still found.
        extras: how many values a layer returns after the hidden states; None where it returns a bare tensor.
        given: hidden states to hand on [batch, tokens, hidden] in place of those received.
    """

    def __init__(self, layer: nn.Module, extras: int | None, given: torch.Tensor | None = None) -> None:
        super().__init__()
        self.__dict__.update(_layer=layer, _extras=extras, _given=given)  # not as a submodule, nor as a buffer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_layer"], name)

    def forward(self, hidden_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Hand on the hidden states [batch, tokens, hidden]."""
        out = hidden_states if self._given is None else self._given
        return out if self._extras is None else (out, *(None,) * self._extras)


class PartialModel:
    """A causal language model of transformers, run between two of its layers, with its neurons at hand.

    Args:
        model: as transformers makes it, in evaluation mode.

    Attributes:
        shape: (layers, neurons in each layer).
        vocabulary: how many token ids there are.
        context: the most tokens that a sequence may have; very many where the model has no such limit.

    Raises:
        NeuroglossError: see :func:`harness.subjects.locate.locate`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        located = locate(model)
        self._layers, self._projections = located.layers, located.projections
        self.shape = (len(located.layers), located.neurons)
        self.vocabulary = int(model.get_input_embeddings().num_embeddings)
        self.context = int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 30)
        self._extras = self._extra_outputs()
        self._straight: dict[int, bool] = {}

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        device: torch.device = self._model.device
        return device

    def run(
        self, ids: torch.Tensor, start: int = 0, stop: int | None = None, residual: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Run layers ``start`` to ``stop - 1``, all of them by default, without the final norm and the unembedding.

        Args:
            ids: token ids [batch, tokens].
            start: first layer that runs; where it is 0, the model's embeddings enter it and ``residual`` plays no part.
            stop: first layer above that stands aside.
            residual: what enters layer ``start`` [batch, tokens, hidden].

        Returns:
            What leaves the last layer that runs [batch, tokens, hidden].
        """
        kept: list[Any] = []
        stop = self.shape[0] if stop is None else stop
        with self._between(start, stop, residual), _keeping_output(self._layers, kept):
            self._model.base_model(input_ids=ids, use_cache=False)
        return _hidden(kept[0])

    def log_probabilities(self, final: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """Next-token log-probabilities after the last layer's output ``final`` [tokens, hidden].

        The model itself does it, all its layers standing aside, so that its final norm and its scaling of logits hold.

        Yields:
            (some of the positions, their log-probabilities in float32 [positions, vocabulary]), in order.
        """
        first = 0
        for some in torch.split(final, max(1, LOGITS_AT_ONCE // self.vocabulary)):
            ids = torch.zeros(len(some), 1, dtype=torch.long, device=some.device)
            with self._between(self.shape[0], self.shape[0], some.unsqueeze(1)):  # each position a sequence of its own
                logits = self._model(input_ids=ids, use_cache=False).logits.squeeze(1)
            for few in torch.split(logits, max(1, LOGITS_HANDED_ON // self.vocabulary)):
                yield slice(first, first + len(few)), torch.log_softmax(few.float(), dim=-1)
                first += len(few)

    def directions(self, layer: int, columns: Sequence[int]) -> torch.Tensor:
        """What each neuron of activation 1 adds to the output of its layer's down projection [columns, hidden]."""
        projection = self._projections[layer]
        dtype = next(projection.parameters()).dtype
        units = torch.zeros(len(columns) + 1, self.shape[1], dtype=dtype, device=self.device)
        units[list(range(len(columns))), list(columns)] = 1
        *ones, none = projection(units)
        added: torch.Tensor = torch.stack(ones) - none
        return added

    def writes_straight(self, layer: int) -> bool:
        """Whether what a neuron adds to its down projection reaches the residual stream as it is.

        Tried out once on one token, where the first neuron is moved as far as the residual is long. It does in most
        families; in those that normalise or scale what a layer writes it does not.
        """
        if layer not in self._straight:
            self._straight[layer] = self._try_writing(layer)
        return self._straight[layer]

    @torch.inference_mode()
    def _try_writing(self, layer: int) -> bool:
        ids = torch.zeros(1, 1, dtype=torch.long, device=self.device)
        seen: list[torch.Tensor] = []
        with self.reading(layer, [0], ids.shape, seen.append):
            before = self.run(ids, stop=layer + 1).float()
        direction = self.directions(layer, [0])[0].float()
        length = before.norm().clamp(min=1.0)  # a padding token may have no embedding, and so leave nothing
        far = length / direction.norm()
        with self.replacing(layer, ids[0], seen[0][..., 0] + far, ids[0]):  # column 0, no leading position
            after = self.run(ids, stop=layer + 1).float()
        return bool((after - before - far * direction).norm() < STRAIGHT * length)

    # --------------------------------------------------------------------------------------- what is done on the way

    @contextmanager
    def reading(
        self, layer: int, columns: Sequence[int], shape: torch.Size, see: Callable[[torch.Tensor], object]
    ) -> Iterator[None]:
        """Within this context, show neurons ``columns`` of a layer to ``see``, float32 [batch, tokens, columns].

        Where they are all its neurons in order, nothing is copied. ``shape`` is (batch, tokens).
        """
        every = list(columns) == list(range(self.shape[1]))

        def hook(_: nn.Module, inputs: Inputs) -> None:
            shown = inputs[0] if every else inputs[0][..., columns]
            see(shown.reshape(*shape, len(columns)).float())

        with _hooked(self._projections[layer].register_forward_pre_hook(hook)):
            yield

    @contextmanager
    def replacing(
        self, layer: int, columns: torch.Tensor, values: torch.Tensor, leading: torch.Tensor
    ) -> Iterator[None]:
        """Within this context, replace one neuron of a layer in each sequence of the batch.

        Args:
            layer: where.
            columns: the neuron's index in the layer [batch].
            values: its activations [batch, tokens].
            leading: how many first positions keep the real ones [batch].
        """
        rows = torch.arange(len(columns), device=columns.device)
        replaced = torch.arange(values.shape[1], device=values.device) >= leading[:, None]

        def hook(_: nn.Module, inputs: Inputs) -> Inputs:
            changed = inputs[0].reshape(*values.shape, -1).clone()
            real = changed[rows, :, columns]
            changed[rows, :, columns] = torch.where(replaced, values.to(real.dtype), real)
            return (changed.reshape(inputs[0].shape), *inputs[1:])

        with _hooked(self._projections[layer].register_forward_pre_hook(hook)):
            yield

    @contextmanager
    def keeping_input(self, layer: int, kept: dict[int, torch.Tensor]) -> Iterator[None]:
        """Within this context, keep the residual that enters a layer [batch, tokens, hidden] in ``kept``."""

        def hook(_: nn.Module, inputs: Inputs, named: dict[str, torch.Tensor]) -> None:
            kept[layer] = inputs[0] if inputs else named["hidden_states"]

        with _hooked(self._layers[layer].register_forward_pre_hook(hook, with_kwargs=True)):
            yield

    # --------------------------------------------------------------------------------------------------- standing aside

    @contextmanager
    def _between(self, start: int, stop: int, residual: torch.Tensor | None) -> Iterator[None]:
        """Within this context only layers ``start`` to ``stop - 1`` run; after it all stand in their places again."""
        extras, real = self._extras, list(self._layers)
        try:
            for index, layer in enumerate(real):
                if not start <= index < stop:
                    given = residual if index == start - 1 else None
                    self._layers[index] = PassThrough(layer, extras, given)
            yield
        finally:
            for index, layer in enumerate(real):
                self._layers[index] = layer

    @torch.inference_mode()
    def _extra_outputs(self) -> int | None:
        """How many values a decoder layer returns after the hidden states, seen in a pass over one token."""
        kept: list[Any] = []
        with _keeping_output(self._layers, kept):
            ids = torch.zeros(1, 1, dtype=torch.long, device=self._model.device)
            self._model.base_model(input_ids=ids, use_cache=False)
        return None if isinstance(kept[0], torch.Tensor) else len(kept[0]) - 1


@contextmanager
def _hooked(handle: RemovableHandle) -> Iterator[None]:
    """Take a hook off again at the end of the context."""
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _keeping_output(layers: nn.ModuleList, kept: list[Any]) -> Iterator[None]:
    """Keep what is returned by the layer, or the stand-in, that is the last one when this context is entered."""
    with _hooked(layers[-1].register_forward_hook(lambda _, __, output: kept.append(output))):
        yield


def _hidden(output: Any) -> torch.Tensor:
    """The hidden states in what a decoder layer returns."""
    hidden: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return hidden
