"""Any causal language model that transformers loads, as a subject: its neurons are read, and replaced."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from harness import weights
from harness.subjects import views
from harness.subjects.divergence import jensen_shannon
from harness.subjects.partial import PartialModel
from harness.subjects.sampling import Sampling, sample
from harness.subjects.token_text import token_text
from harness.types import Effect, FloatArray, Identity, NeuroglossError, NeuronId, Progress, Replacement, TokenEffects

Float32Array = npt.NDArray[np.float32]
Tokens = tuple[int, ...]
Item = TypeVar("Item")

LOGITS_KEPT = 2**26
"""Original log-probabilities kept at once; more sequences than this allows are worked on in turn."""


@dataclass(frozen=True, eq=False)
class _Originals:
    """What is computed once for some sequences of one length, and shared by every replacement on them.

    Attributes:
        row: the place of each sequence in what follows.
        log_probabilities: of the next token at each position, one sequence after another, float32
            [sequences * tokens, vocabulary].
        residuals: what enters each of the layers to run from: layer -> [sequences, tokens, hidden].
        activations: layer -> of the neurons asked for, in the order of their indices [sequences, tokens, neurons].
    """

    row: dict[Tokens, int]
    log_probabilities: torch.Tensor
    residuals: dict[int, torch.Tensor]
    activations: dict[int, torch.Tensor]


class TransformersSubject:
    """A causal language model of transformers; nothing is loaded until something is asked of it.

    Sequences are run with others of the same length only, so that nothing is ever padded.

    Args:
        name: ``embedded:smollm2-135m-instruct``, a local folder, or a name on the hub.
        revision: the hub's commit, branch or tag.
        dtype: ``float32``, ``bfloat16`` or ``float16``; divergences are computed in float32 whatever it is.
        device: where the model runs: ``cpu``, ``cuda``, ``mps``.
        batch_size: how many sequences go through the model together.
        trust_remote_code: whether to run code that comes with the weights.
    """

    def __init__(  # noqa: PLR0913  # one argument for each thing a config can say of a subject
        self,
        name: str = weights.EMBEDDED,
        *,
        revision: str | None = None,
        dtype: str = "float32",
        device: str = "cpu",
        batch_size: int = 16,
        trust_remote_code: bool = False,
    ) -> None:
        self.name = name
        self.revision = revision
        self.dtype = dtype
        self.device = device
        self.batch_size = batch_size
        self.trust_remote_code = trust_remote_code
        self._token_texts: dict[int, str] = {}

    @property
    def identity(self) -> Identity:
        """Which model, at which revision, in which number format."""
        return self._identity

    @property
    def shape(self) -> tuple[int, int]:
        """(layers, neurons in each layer)."""
        return self._model.shape

    @property
    def vocabulary(self) -> int:
        """How many token ids there are."""
        return self._model.vocabulary

    @property
    def context(self) -> int:
        """The most tokens that a sequence may have."""
        return self._model.context

    # -------------------------------------------------------------------------------------------------------- reading

    def activations(self, neuron: NeuronId, sequences: Sequence[Tokens]) -> list[FloatArray]:
        """The neuron's activation on each token of each sequence [sequences][tokens].

        Raises:
            NeuroglossError: the model has no such neuron or token, or the activation is not a finite number.
        """
        found: dict[int, FloatArray] = {}
        for members in _by_length(sequences):
            for batch in _batches(members, self.batch_size):
                read = self.read([neuron], [sequences[index] for index in batch])
                found.update(zip(batch, read[:, :, 0].astype(np.float64), strict=True))
        return [found[index] for index in range(len(sequences))]

    def read(self, neurons: Sequence[NeuronId], sequences: Sequence[Tokens]) -> Float32Array:
        """Activations of many neurons in one pass, in which layers above the highest of them stand aside.

        Args:
            neurons: those to read; only their columns are copied out of the model.
            sequences: token ids, all of one length.

        Returns:
            Activations [sequences, tokens, neurons].

        Raises:
            NeuroglossError: the model has no such neuron or token, or an activation is not a finite number.
        """
        self._check_neurons(neurons)
        by_layer = _by_layer(neurons)
        activations = np.empty((len(sequences), len(sequences[0]), len(neurons)), dtype=np.float32)

        def see(layer: int, seen: torch.Tensor) -> None:
            activations[..., by_layer[layer]] = seen.cpu().numpy()

        columns = {layer: [neurons[place].index for place in places] for layer, places in by_layer.items()}
        self.visit(columns, sequences, see)
        _check_finite(neurons, activations)
        return activations

    @torch.inference_mode()
    def visit(
        self,
        columns: Mapping[int, Sequence[int]],
        sequences: Sequence[Tokens],
        see: Callable[[int, torch.Tensor], None],
    ) -> None:
        """Show activations as they are computed, layer by layer, without copying them where a whole layer is asked for.

        Layers above the highest one asked for stand aside.

        Args:
            columns: layer -> indices of the neurons to show.
            sequences: token ids, all of one length.
            see: called with (layer, its activations, float32 [sequences, tokens, neurons]); they stand in the model's
                own memory, and are only valid while it is called.

        Raises:
            NeuroglossError: the model has no such neuron or token.
        """
        self._check_neurons(
            NeuronId(layer, index) for layer, some in columns.items() for index in (min(some), max(some))
        )
        ids = self._tensor(sequences)
        with ExitStack() as hooks:
            for layer, some in columns.items():
                hooks.enter_context(self._model.reading(layer, some, ids.shape, partial(see, layer)))
            self._model.run(ids, stop=max(columns) + 1)

    # ------------------------------------------------------------------------------------------------------ replacing

    def effects(self, replacements: Sequence[Replacement]) -> Iterator[tuple[int, Effect]]:
        """What each replacement does to the next-token distributions, averaged over positions.

        Each sequence goes through the whole model once, which gives its original distributions and the residuals above
        the replaced neurons; each replacement adds what it changes to such a residual, and runs only the layers above
        its neuron. (Where a layer does not hand on what its neurons write as it is, that layer runs too.) Equal
        replacements are computed once.

        Args:
            replacements: which neuron, on which tokens, by which values.

        Yields:
            (index into ``replacements``, effect), as they are computed, in any order.

        Raises:
            NeuroglossError: the model has no such neuron or token, or an activation or logit is not a finite number.
        """
        self._check_neurons([replacement.neuron for replacement in replacements])
        wanted: dict[Replacement, list[int]] = defaultdict(list)
        for index, replacement in enumerate(replacements):
            _check_values(replacement)
            wanted[replacement].append(index)
        for group in self._groups(wanted):
            for replacement, effect in self._group_effects(group):
                for index in wanted[replacement]:
                    yield index, effect

    def _groups(self, replacements: Iterable[Replacement]) -> Iterator[list[Replacement]]:
        """Replacements that share a pass over their sequences: of one length, and of layers close to each other."""
        by_sequence: dict[Tokens, list[Replacement]] = defaultdict(list)
        for replacement in replacements:
            by_sequence[replacement.token_ids].append(replacement)
        lowest = {sequence: min(one.neuron.layer for one in group) for sequence, group in by_sequence.items()}
        ordered = sorted(by_sequence, key=lowest.__getitem__)
        for members in _by_length(ordered):
            at_once = max(1, min(self.batch_size, LOGITS_KEPT // (len(ordered[members[0]]) * self._model.vocabulary)))
            for batch in _batches(members, at_once):
                yield [one for index in batch for one in by_sequence[ordered[index]]]

    def _group_effects(self, group: Sequence[Replacement]) -> Iterator[tuple[Replacement, Effect]]:
        by_layer = _by_layer([one.neuron for one in group])
        columns = {layer: sorted({group[place].neuron.index for place in places}) for layer, places in by_layer.items()}
        originals = self._originals(list(dict.fromkeys(one.token_ids for one in group)), columns)
        for same_layer in by_layer.values():
            for places in _batches(same_layer, self.batch_size):
                batch = [group[place] for place in places]
                final = self._final(batch, originals, columns[batch[0].neuron.layer])
                yield from zip(batch, self._effects(batch, originals, final), strict=True)

    @torch.inference_mode()
    def _originals(self, sequences: list[Tokens], columns: Mapping[int, list[int]]) -> _Originals:
        """One pass over the whole model without a replacement."""
        residuals: dict[int, torch.Tensor] = {}
        activations: dict[int, torch.Tensor] = {}
        ids = self._tensor(sequences)

        def keep(layer: int, seen: torch.Tensor) -> None:
            activations[layer] = seen.clone()  # it stands in the model's own memory

        with ExitStack() as hooks:
            for start in {self._start(layer) for layer in columns} - {self.shape[0]}:
                hooks.enter_context(self._model.keeping_input(start, residuals))
            for layer, some in columns.items():
                hooks.enter_context(self._model.reading(layer, some, ids.shape, partial(keep, layer)))
            final = residuals[self.shape[0]] = self._model.run(ids)
        kept = torch.empty(ids.numel(), self._model.vocabulary, device=self.device)
        for few, log_probabilities in self._model.log_probabilities(final.flatten(0, 1)):
            kept[few] = log_probabilities
        return _Originals({tokens: row for row, tokens in enumerate(sequences)}, kept, residuals, activations)

    def _start(self, layer: int) -> int:
        """The lowest layer that has to run again when a neuron of ``layer`` is replaced."""
        return layer + 1 if self._model.writes_straight(layer) else layer

    @torch.inference_mode()
    def _final(self, batch: Sequence[Replacement], originals: _Originals, read: list[int]) -> torch.Tensor:
        """What leaves the last layer under replacements in one layer, of which the columns ``read`` were read.

        Args:
            batch: on sequences of one length.
            originals: of these sequences.
            read: indices of the neurons of ``originals.activations`` in the layer.

        Returns:
            [batch, tokens, hidden].
        """
        layer = batch[0].neuron.layer
        start, indices = self._start(layer), [one.neuron.index for one in batch]
        rows, ids = [originals.row[one.token_ids] for one in batch], self._tensor([one.token_ids for one in batch])
        residual, values = originals.residuals[start][rows], self._on_device([one.values for one in batch])
        leading = self._on_device([one.leading for one in batch])
        if start == layer:
            with self._model.replacing(layer, self._on_device(indices), values, leading):
                return self._model.run(ids, start, residual=residual)
        real = originals.activations[layer][rows, :, [read.index(index) for index in indices]]
        replaced = torch.arange(values.shape[1], device=values.device) >= leading[:, None]
        change = torch.where(replaced, values - real, 0.0)
        added = change[..., None] * self._model.directions(layer, indices)[:, None].float()
        return self._model.run(ids, start, residual=(residual + added).to(residual.dtype))

    @torch.inference_mode()
    def _effects(self, batch: Sequence[Replacement], originals: _Originals, final: torch.Tensor) -> Iterator[Effect]:
        """What each replacement does, ``final`` being what leaves the last layer under it [batch, tokens, hidden].

        Only a few positions have log-probabilities after the replacement at any moment.
        """
        count, tokens = final.shape[:2]
        rows = self._on_device([originals.row[one.token_ids] for one in batch])
        places = (rows[:, None] * tokens + torch.arange(tokens, device=self.device)).flatten()
        following = self._on_device([(*one.token_ids[1:], 0) for one in batch]).view(-1, 1)
        divergences, losses = torch.empty(2, count * tokens, device=self.device)
        for few, after in self._model.log_probabilities(final.flatten(0, 1)):
            before = originals.log_probabilities[places[few]]
            divergences[few] = jensen_shannon(before, after)
            losses[few] = (before.gather(1, following[few]) - after.gather(1, following[few]))[:, 0]
        divergence = divergences.view(count, tokens).double().mean(dim=1)
        loss = losses.view(count, tokens)[:, :-1].double().mean(dim=1)  # the last position has no next token to lose on
        for one, found in zip(batch, map(Effect, divergence.tolist(), loss.tolist()), strict=True):
            if not np.isfinite(found.divergence):
                raise NeuroglossError(
                    f"{self.name} gives logits that are not finite numbers around {one.neuron}; run it in float32."
                )
            yield found

    # --------------------------------------------------------------------------------------------------------- tokens

    def input_tokens(self, neuron: NeuronId, count: int) -> tuple[tuple[str, float], ...]:
        """The tokens whose embedding, entering the neuron's layer by itself, excites the neuron most.

        Returns:
            At most ``count`` (text, activation), each above 0, largest first.
        """
        self._check_neurons([neuron])
        return views.largest(views.activations(self._model, neuron), count, self._named)

    def output_tokens(self, neuron: NeuronId, count: int) -> TokenEffects:
        """The tokens that the neuron's output direction points at and away from, by the logit lens.

        Returns:
            At most ``count`` (text, logit above the mean over the vocabulary) of either sign.
        """
        self._check_neurons([neuron])
        return views.effects(views.lens(self._model, neuron), count, self._named)

    def changed_tokens(self, replacements: Sequence[Replacement], count: int) -> TokenEffects:
        """The tokens whose next-token log-probability the replacements change most, on the mean over positions.

        Returns:
            At most ``count`` (text, change in nats) of either sign.
        """
        self._check_neurons([replacement.neuron for replacement in replacements])
        for replacement in replacements:
            _check_values(replacement)
        return views.effects(views.changes(self._model, replacements), count, self._named)

    def _named(self, token_id: int) -> str | None:
        """The text of a token that can be shown: no special token, and no fragment of a character."""
        text = self.token_text(token_id)
        return None if token_id in self._ends or not text or "\ufffd" in text else text

    @cached_property
    def _loaded(self) -> weights.Loaded:
        return weights.load(
            self.name,
            revision=self.revision,
            dtype=self.dtype,
            device=self.device,
            trust_remote_code=self.trust_remote_code,
        )

    @cached_property
    def _identity(self) -> Identity:
        return weights.identify(self.name, self.revision, self.dtype)

    @cached_property
    def _model(self) -> PartialModel:
        return PartialModel(self._loaded.model)

    # --------------------------------------------------------------------------------------------------------- checks

    def _tensor(self, sequences: Sequence[Tokens]) -> torch.Tensor:
        """Token ids [sequences, tokens], none of which the model does not know."""
        largest = max(max(tokens) for tokens in sequences)
        if largest >= self._model.vocabulary:
            raise NeuroglossError(
                f"token id {largest} is outside the {self._model.vocabulary} tokens of {self.name}; "
                "use the subject that the excerpts were collected from."
            )
        return self._on_device(sequences)

    def _on_device(self, values: Any) -> torch.Tensor:
        return torch.tensor(values, device=self.device)

    def _check_neurons(self, neurons: Iterable[NeuronId]) -> None:
        layers, width = self.shape
        for neuron in neurons:
            if not (0 <= neuron.layer < layers and 0 <= neuron.index < width):
                raise NeuroglossError(
                    f"there is no neuron {neuron} in {self.name}; it has {layers} layers of {width} neurons: "
                    f"L0N0 to L{layers - 1}N{width - 1}."
                )

    # ------------------------------------------------------------------------------------------------------- the text

    def encode(self, text: str) -> Tokens:
        """Token ids of ``text``, with no token put before or after it."""
        return tuple(self._loaded.tokenizer(text, add_special_tokens=False)["input_ids"])

    @property
    def start_token(self) -> int:
        """The token that the tokenizer puts before a text."""
        start = self._loaded.tokenizer.bos_token_id
        if start is None:
            raise NeuroglossError(f"the tokenizer of {self.name} has no start token; set collect.start_token=false.")
        return int(start)

    def token_text(self, token_id: int) -> str:
        """The text of one token: see :func:`harness.subjects.token_text.token_text`."""
        if token_id not in self._token_texts:
            self._token_texts[token_id] = token_text(self._loaded.tokenizer, token_id)
        return self._token_texts[token_id]

    def sample(
        self, prompts: Sequence[str], sampling: Sampling, progress: Progress, known: Mapping[int, Tokens]
    ) -> Iterator[tuple[int, Tokens]]:
        """The model's own continuation of each prompt: (index, token ids), without the prompt, in any order.

        A prompt goes through the chat template where the tokenizer has one, and is plain text to go on from otherwise.
        What ``known`` holds of the same call is not written again, as far as whole batches go.
        """
        encoded = [self._prompt(prompt) for prompt in prompts]
        return sample(self._loaded.model, encoded, self._ends, sampling, progress, known=known)

    def _prompt(self, text: str) -> Tokens:
        tokenizer = self._loaded.tokenizer
        if tokenizer.chat_template is None:
            return self.encode(text)
        turn = [{"role": "user", "content": text}]
        return self.encode(tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False))

    @cached_property
    def _ends(self) -> frozenset[int]:
        """Tokens that end a text: the tokenizer's end, and every other special token."""
        return frozenset(self._loaded.tokenizer.all_special_ids)


# ------------------------------------------------------------------------------------------------------------- groups


def _by_length(sequences: Sequence[Tokens]) -> Iterator[list[int]]:
    """Indices of the sequences of each length, shortest first."""
    groups: dict[int, list[int]] = defaultdict(list)
    for index, tokens in enumerate(sequences):
        if not tokens:
            raise NeuroglossError("an excerpt has no tokens; every excerpt needs at least one.")
        groups[len(tokens)].append(index)
    yield from (groups[length] for length in sorted(groups))


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    yield from (items[first : first + size] for first in range(0, len(items), size))


def _by_layer(neurons: Sequence[NeuronId]) -> dict[int, list[int]]:
    """Layer -> places of its neurons in ``neurons``."""
    groups: dict[int, list[int]] = defaultdict(list)
    for place, neuron in enumerate(neurons):
        groups[neuron.layer].append(place)
    return groups


# ------------------------------------------------------------------------------------------------------------- checks


def _check_finite(neurons: Sequence[NeuronId], activations: Float32Array) -> None:
    """Refuse activations [sequences, tokens, neurons] of which one is not a finite number."""
    broken = np.flatnonzero(~np.isfinite(activations).all(axis=(0, 1)))
    if broken.size:
        neuron = neurons[int(broken[0])]
        raise NeuroglossError(
            f"the activation of layer {neuron.layer}, neuron {neuron.index} is not a finite number; "
            "run the subject in float32, and check its weights."
        )


def _check_values(replacement: Replacement) -> None:
    """Refuse a replacement whose values are not one finite number for each token."""
    neuron = replacement.neuron
    if len(replacement.values) != len(replacement.token_ids):
        raise NeuroglossError(
            f"the replacement of {neuron} has {len(replacement.values)} values "
            f"for {len(replacement.token_ids)} tokens; give one for each."
        )
    if not np.isfinite(replacement.values).all():
        raise NeuroglossError(
            f"the replacement of layer {neuron.layer}, neuron {neuron.index} holds a value that is not "
            "a finite number; leave out what the simulator did not predict."
        )
