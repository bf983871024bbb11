"""A causal language model of transformers as a subject: its units are read and replaced, and it writes text."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from harness import weights
from harness.config import keys
from harness.subjects import views
from harness.subjects.batches import Tokens, batches, by_length, by_place
from harness.subjects.effects import Replacer, check_values
from harness.subjects.heads import Heads
from harness.subjects.neurons import Neurons
from harness.subjects.once import reading_once
from harness.subjects.partial import PartialModel
from harness.subjects.sampling import Sampling, sample
from harness.subjects.token_text import token_text
from harness.types import (
    CheckedKind,
    Effect,
    FloatArray,
    Identity,
    NeuroglossError,
    Progress,
    Replacement,
    TokenEffects,
    Unit,
    UnitKind,
    UnitLayout,
)

Float32Array = npt.NDArray[np.float32]


class TransformersSubject:
    """A causal language model of transformers, loaded on first use.

    A batch holds sequences of one length only, so that nothing is padded.

    Args:
        name: ``embedded:smollm2-135m-instruct``, a local folder, or a name on the hub.
        revision: the hub's commit, branch or tag.
        dtype: ``float32``, ``bfloat16`` or ``float16``; divergences are always computed in float32.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``: an accelerator where there is one.
        batch_size: number of sequences in one batch.
        trust_remote_code: whether to run code that comes with the weights.
        unit: the kind of the units that are read and replaced; MLP neurons where it is None.
    """

    def __init__(  # noqa: PLR0913  # one argument for each setting of a subject
        self,
        name: str = weights.EMBEDDED,
        *,
        revision: str | None = None,
        dtype: str = "float32",
        device: str = "cpu",
        batch_size: int = 16,
        trust_remote_code: bool = False,
        unit: UnitKind | None = None,
    ) -> None:
        self.name = name
        self.revision = revision
        self.dtype = dtype
        self.device = device
        self.batch_size = batch_size
        self.trust_remote_code = trust_remote_code
        self.unit: UnitKind = unit or Neurons()
        self._token_texts: dict[int, str] = {}

    @property
    def identity(self) -> Identity:
        """The model, its revision and its number format; what else defines the units is part of the revision."""
        return self._identity

    @property
    def units(self) -> UnitLayout:
        """The units that there are."""
        return self._units

    @property
    def vocabulary(self) -> int:
        """The number of token ids."""
        return self._model.vocabulary

    @property
    def context(self) -> int:
        """The largest number of tokens in a sequence."""
        return self._model.context

    # -------------------------------------------------------------------------------------------------------- reading

    def activations(self, unit: Unit, sequences: Sequence[Tokens]) -> list[FloatArray]:
        """Return the unit's activation on each token of each sequence [sequences][tokens].

        Raises:
            NeuroglossError: the model has no such unit or token, or the activation is not a finite number.
        """
        activations: dict[int, FloatArray] = {}
        for members in by_length(sequences):
            for batch in batches(members, self.batch_size):
                values = self.read([unit], [sequences[index] for index in batch])
                activations.update(zip(batch, values[:, :, 0].astype(np.float64), strict=True))
        return [activations[index] for index in range(len(sequences))]

    def read(self, units: Sequence[Unit], sequences: Sequence[Tokens]) -> Float32Array:
        """Return activations of many units from one pass, which skips the layers above the highest of them.

        Args:
            units: the units to read; only their activations are copied out of the model.
            sequences: token ids, all of one length.

        Returns:
            Activations [sequences, tokens, units].

        Raises:
            NeuroglossError: the model has no such unit or token, or an activation is not a finite number.
        """
        self._check(units)
        addresses = list(map(self.units.address, units))
        positions = by_place(addresses)
        activations = np.empty((len(sequences), len(sequences[0]), len(units)), dtype=np.float32)

        def see(place: int, values: torch.Tensor) -> None:
            activations[..., positions[place]] = values.cpu().numpy()

        columns = {place: [addresses[position][1] for position in members] for place, members in positions.items()}
        self.visit(columns, sequences, see)
        _check_finite(units, activations)
        return activations

    @torch.inference_mode()
    def visit(
        self,
        columns: Mapping[int, Sequence[int]],
        sequences: Sequence[Tokens],
        see: Callable[[int, torch.Tensor], None],
    ) -> None:
        """Pass activations to ``see`` as they are computed, place by place; those of a whole layer are not copied.

        Layers above the highest requested one are skipped.

        Args:
            columns: place -> indices of the units to read.
            sequences: token ids, all of one length.
            see: called with (place, its activations, float32 [sequences, tokens, units]); these may be the model's
                own memory, and are valid during the call only.

        Raises:
            NeuroglossError: the model has no such unit or token.
        """
        for place, indices in columns.items():
            self._check(self.units.of_place(place, (min(indices), max(indices))))
        model, kind = self._model, self.unit
        ids = model.ids(sequences)
        with reading_once(model, kind, columns, ids.shape, see):
            model.run(ids, stop=max(kind.layers(model, place).stop for place in columns))

    @torch.inference_mode()
    def pairs(self, unit: Unit, sequences: Sequence[Tokens]) -> list[FloatArray]:
        """Return the activation of each pair of tokens that a head attends by [sequences][queries, keys].

        It is 0 where the key is the first position, and where it is behind the query.

        Raises:
            NeuroglossError: the unit is no head, or the model has no such unit or token.
        """
        self._check([unit])
        if not isinstance(self.unit, Heads):
            raise NeuroglossError(f"{unit} is a {self.unit.noun}, which attends to no token; use unit=head.")
        place, index = self.units.address(unit)
        matrices: dict[int, FloatArray] = {}
        for members in by_length(sequences):
            for batch in batches(members, self.batch_size):
                ids, seen = self._model.ids([sequences[position] for position in batch]), list[torch.Tensor]()
                with self.unit.read_pairs(self._model, place, index, seen.append):
                    self._model.run(ids, stop=self.unit.layers(self._model, place).stop)
                matrices.update(zip(batch, seen[-1].double().cpu().numpy(), strict=True))
        return [matrices[position] for position in range(len(sequences))]

    @property
    def can_check_units(self) -> bool:
        """Whether the kind of the units can turn out not to fit the model."""
        return isinstance(self.unit, CheckedKind)

    def check_units(self, sequences: Sequence[Tokens]) -> None:
        """Refuse units that do not fit the model, as far as their kind can tell it from some text.

        Args:
            sequences: token ids, all of one length.

        Raises:
            NeuroglossError: they do not fit, or the model has no such token.
        """
        if isinstance(self.unit, CheckedKind):
            self.unit.check(self._model, self._model.ids(sequences))

    # ------------------------------------------------------------------------------------------------------ replacing

    def effects(self, replacements: Sequence[Replacement]) -> Iterator[tuple[int, Effect]]:
        """Yield the effect of each replacement on the next-token distributions, averaged over positions.

        Args:
            replacements: unit, tokens and values of each replacement.

        Yields:
            (index into ``replacements``, effect), as soon as they are computed, in any order.

        Raises:
            NeuroglossError: the model has no such unit or token, or an activation or logit is not a finite number.
        """
        self._check([replacement.unit for replacement in replacements])
        yield from self._replacer.effects(replacements)

    # --------------------------------------------------------------------------------------------------------- tokens

    def input_tokens(self, unit: Unit, count: int) -> tuple[tuple[str, float], ...]:
        """Return the tokens whose embedding excites the unit most when it alone enters the unit's layer.

        Returns:
            At most ``count`` (text, activation), each above 0, largest first.
        """
        self._check([unit])
        return views.largest(views.activations(self._model, self.unit, unit), count, self._named)

    def output_tokens(self, unit: Unit, count: int) -> TokenEffects:
        """Return the tokens that the unit's output direction promotes and suppresses, by the logit lens.

        Returns:
            At most ``count`` (text, logit above the mean over the vocabulary) of either sign.

        Raises:
            NeuroglossError: units of this kind write in no fixed direction.
        """
        self._check([unit])
        return views.effects(views.lens(self._model, self.unit, unit), count, self._named)

    def changed_tokens(self, replacements: Sequence[Replacement], count: int) -> TokenEffects:
        """Return the tokens whose next-token log-probability the replacements change most, averaged over positions.

        Returns:
            At most ``count`` (text, change in nats) of either sign.
        """
        self._check([replacement.unit for replacement in replacements])
        for replacement in replacements:
            check_values(replacement)
        return views.effects(views.changes(self._model, self.unit, replacements), count, self._named)

    def _named(self, token_id: int) -> str | None:
        """Return the text of a token, None for a special token, an empty text or a fragment of a character."""
        text = self.token_text(token_id)
        return None if token_id in self._ends or not text or "\ufffd" in text else text

    @cached_property
    def _loaded(self) -> weights.Loaded:
        with keys.named("subject"):
            return weights.load(
                self.name,
                revision=self.revision,
                dtype=self.dtype,
                device=self.device,
                trust_remote_code=self.trust_remote_code,
            )

    @cached_property
    def _identity(self) -> Identity:
        with keys.named("subject"):
            identity = weights.identify(self.name, self.revision, self.dtype)
        if not self.unit.digest:
            return identity
        revision = hashlib.sha256(f"{identity.revision} {self.unit.letters} {self.unit.digest}".encode()).hexdigest()
        return dataclasses.replace(identity, revision=revision)

    @cached_property
    def _model(self) -> PartialModel:
        return PartialModel(self._loaded.model, self.name)

    @cached_property
    def _units(self) -> UnitLayout:
        return self.unit.units(self._model)

    @cached_property
    def _replacer(self) -> Replacer:
        return Replacer(self._model, self.unit, self.batch_size)

    def _check(self, units: Sequence[Unit]) -> None:
        self.units.check(units, self.name)

    # ------------------------------------------------------------------------------------------------------- the text

    def encode(self, text: str) -> Tokens:
        """Return token ids of ``text``, without special tokens before or after it.

        A control token that is written in the text (``<|im_end|>`` on a page about chat templates) is text like any
        other, as it is in prompts: else it would end a turn in the middle of an excerpt.
        """
        encoding = self._loaded.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return tuple(encoding["input_ids"])

    @property
    def start_token(self) -> int:
        """The token id that the tokenizer puts before a text.

        Raises:
            NeuroglossError: the tokenizer has no start token.
        """
        start = self._loaded.tokenizer.bos_token_id
        if start is None:
            raise NeuroglossError(f"the tokenizer of {self.name} has no start token; set collect.start_token=false.")
        return int(start)

    def token_text(self, token_id: int) -> str:
        """Return the text of one token; see :func:`harness.subjects.token_text.token_text`."""
        if token_id not in self._token_texts:
            self._token_texts[token_id] = token_text(self._loaded.tokenizer, token_id)
        return self._token_texts[token_id]

    def sample(
        self, prompts: Sequence[str], sampling: Sampling, progress: Progress, known: Mapping[int, Tokens]
    ) -> Iterator[tuple[int, Tokens]]:
        """Yield the model's own continuation of each prompt as (index, token ids without the prompt), in any order.

        Prompts are put into the tokenizer's chat template; without one they are continued as plain text. A batch is not
        computed if ``known`` holds all its continuations from an earlier equal call.
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
        """Token ids that end a text: all special tokens of the tokenizer."""
        return frozenset(self._loaded.tokenizer.all_special_ids)


def _check_finite(units: Sequence[Unit], activations: Float32Array) -> None:
    """Refuse activations [sequences, tokens, units] that are not all finite numbers."""
    broken = np.flatnonzero(~np.isfinite(activations).all(axis=(0, 1)))
    if broken.size:
        unit = units[int(broken[0])]
        raise NeuroglossError(
            f"the activation of {unit} is not a finite number; run the subject in float32, and check its weights."
        )
