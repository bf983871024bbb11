"""Effects of replaced units on next-token distributions, from as few layers as will do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch

from harness.subjects.batches import Tokens, batches, by_length, by_place
from harness.subjects.divergence import jensen_shannon
from harness.subjects.once import reading_once
from harness.subjects.partial import PartialModel
from harness.types import Effect, NeuroglossError, Replacement, UnitKind

LOGITS_KEPT = 2**26
"""Number of original log-probabilities in memory at once; sequences beyond this number are processed in turn."""
STRAIGHT = 0.02
"""Largest difference between what a unit writes and what arrives, as a share; half-precision rounding gives 0.01."""


@dataclass(frozen=True, eq=False)
class Originals:
    """Results without a replacement for sequences of one length, shared by every replacement on them.

    Attributes:
        row: sequence -> its row in the tensors.
        log_probabilities: next-token log-probabilities at each position, one sequence after another, float32
            [sequences * tokens, vocabulary].
        residuals: layer to run from -> the residual that enters it [sequences, tokens, hidden].
        activations: place -> activations of the replaced units, by index [sequences, tokens, units].
    """

    row: dict[Tokens, int]
    log_probabilities: torch.Tensor
    residuals: dict[int, torch.Tensor]
    activations: dict[int, torch.Tensor]


class Replacer:
    """Replaces units of a model, and measures what that does.

    Args:
        model: which runs.
        kind: of the units.
        batch_size: number of sequences in one batch.
    """

    def __init__(self, model: PartialModel, kind: UnitKind, batch_size: int) -> None:
        self.model = model
        self.kind = kind
        self.batch_size = batch_size
        self._address = kind.units(model).address
        self._straight: dict[int, bool] = {}

    def effects(self, replacements: Sequence[Replacement]) -> Iterator[tuple[int, Effect]]:
        """Yield (index, effect) of each replacement, as soon as it is computed, in any order.

        Each sequence goes through the whole model once, which gives its original distributions and the residuals above
        the replaced units. Each replacement adds its change to such a residual and runs only the layers above its
        unit. If a layer transforms what its units write, or these write in no fixed direction, that layer runs too.
        Equal replacements are computed once.

        Raises:
            NeuroglossError: the model has no such token, or a logit is not a finite number.
        """
        indices: dict[Replacement, list[int]] = defaultdict(list)
        for index, replacement in enumerate(replacements):
            check_values(replacement)
            indices[replacement].append(index)
        for group in self._groups(indices):
            for replacement, effect in self._group_effects(group):
                for index in indices[replacement]:
                    yield index, effect

    def _groups(self, replacements: Iterable[Replacement]) -> Iterator[list[Replacement]]:
        """Yield replacements that share one pass over their sequences: of equal length and in neighbouring layers."""
        by_sequence: dict[Tokens, list[Replacement]] = defaultdict(list)
        for replacement in replacements:
            by_sequence[replacement.token_ids].append(replacement)
        lowest = {sequence: min(map(self._first_layer, members)) for sequence, members in by_sequence.items()}
        ordered = sorted(by_sequence, key=lowest.__getitem__)
        for members in by_length(ordered):
            at_once = max(1, min(self.batch_size, LOGITS_KEPT // (len(ordered[members[0]]) * self.model.vocabulary)))
            for batch in batches(members, at_once):
                yield [replacement for index in batch for replacement in by_sequence[ordered[index]]]

    def _group_effects(self, group: Sequence[Replacement]) -> Iterator[tuple[Replacement, Effect]]:
        addresses = [self._address(replacement.unit) for replacement in group]
        positions = by_place(addresses)
        columns = {
            place: sorted({addresses[position][1] for position in members}) for place, members in positions.items()
        }
        originals = self._originals(list(dict.fromkeys(replacement.token_ids for replacement in group)), columns)
        for place, same_place in positions.items():
            for members in batches(same_place, self.batch_size):
                batch = [group[position] for position in members]
                final = self._final(batch, originals, place, columns[place])
                yield from zip(batch, self._effects(batch, originals, final), strict=True)

    @torch.inference_mode()
    def _originals(self, sequences: list[Tokens], columns: Mapping[int, list[int]]) -> Originals:
        """Run the whole model once, without a replacement."""
        model = self.model
        residuals: dict[int, torch.Tensor] = {}
        activations: dict[int, torch.Tensor] = {}
        ids = model.ids(sequences)

        def keep(place: int, values: torch.Tensor) -> None:
            activations[place] = values.clone()  # values may be the model's own memory

        with ExitStack() as hooks:
            for start in {self._start(place) for place in columns} - {model.depth}:
                hooks.enter_context(model.keeping_input(start, residuals))
            hooks.enter_context(reading_once(model, self.kind, columns, ids.shape, keep))
            final = residuals[model.depth] = model.run(ids)
        log_probabilities = torch.empty(ids.numel(), model.outputs, device=model.device)
        for positions, chunk in model.log_probabilities(final.flatten(0, 1)):
            log_probabilities[positions] = chunk
        rows = {tokens: row for row, tokens in enumerate(sequences)}
        return Originals(rows, log_probabilities, residuals, activations)

    @torch.inference_mode()
    def _final(
        self, batch: Sequence[Replacement], originals: Originals, place: int, columns: list[int]
    ) -> torch.Tensor:
        """Return the output of the last layer under replacements at one place.

        Args:
            batch: replacements at one place, on sequences of one length.
            originals: results of these sequences without a replacement.
            place: that one.
            columns: indices of the place's units in ``originals.activations``.

        Returns:
            Hidden states [batch, tokens, hidden].
        """
        model = self.model
        start, indices = self._start(place), [self._address(replacement.unit)[1] for replacement in batch]
        rows = [originals.row[replacement.token_ids] for replacement in batch]
        ids = model.ids([replacement.token_ids for replacement in batch])
        residual = originals.residuals[start][rows]
        values = model.tensor([replacement.values for replacement in batch])
        leading = model.tensor([replacement.leading for replacement in batch])
        if not self.writes_straight(place):
            with self.kind.replace(model, place, model.tensor(indices), values, leading):
                return model.run(ids, start, residual=residual)
        real = originals.activations[place][rows, :, [columns.index(index) for index in indices]]
        replaced = torch.arange(values.shape[1], device=values.device) >= leading[:, None]
        change = torch.where(replaced, values - real, 0.0)
        shift = change[..., None] * self._directions(place, indices)[:, None].float()
        return model.run(ids, start, residual=(residual + shift).to(residual.dtype))

    @torch.inference_mode()
    def _effects(self, batch: Sequence[Replacement], originals: Originals, final: torch.Tensor) -> Iterator[Effect]:
        """Yield the effect of each replacement from the output of the last layer under it [batch, tokens, hidden].

        Log-probabilities under the replacement are computed for a few positions at a time, to bound the memory.
        """
        model = self.model
        count, tokens = final.shape[:2]
        rows = model.tensor([originals.row[replacement.token_ids] for replacement in batch])
        places = (rows[:, None] * tokens + torch.arange(tokens, device=model.device)).flatten()
        following = model.tensor([(*replacement.token_ids[1:], 0) for replacement in batch]).view(-1, 1)
        divergences, losses = torch.empty(2, count * tokens, device=model.device)
        for positions, changed in model.log_probabilities(final.flatten(0, 1)):
            original = originals.log_probabilities[places[positions]]
            divergences[positions] = jensen_shannon(original, changed)
            next_tokens = following[positions]
            losses[positions] = (original.gather(1, next_tokens) - changed.gather(1, next_tokens))[:, 0]
        divergence = divergences.view(count, tokens).double().mean(dim=1)
        loss = losses.view(count, tokens)[:, :-1].double().mean(dim=1)  # the last position has no next token
        for replacement, effect in zip(batch, map(Effect, divergence.tolist(), loss.tolist()), strict=True):
            if not np.isfinite(effect.divergence):
                raise NeuroglossError(
                    f"{model.name} gives logits that are not finite numbers when {replacement.unit} is replaced; "
                    "run it in float32."
                )
            yield effect

    # ------------------------------------------------------------------------------------------- the layers that run

    def _first_layer(self, replacement: Replacement) -> int:
        return self.kind.layers(self.model, self._address(replacement.unit)[0]).start

    def _start(self, place: int) -> int:
        """Return the lowest layer that must run again after a unit of ``place`` is replaced."""
        layers = self.kind.layers(self.model, place)
        return layers.stop if self.writes_straight(place) else layers.start

    def writes_straight(self, place: int) -> bool:
        """Return whether what the units of a place write reaches the residual stream above their layers unchanged.

        For neurons this holds in most model families, except those that normalise or scale what a layer writes. It is
        tried once on one token: the first unit is changed by as much as the residual is long. What the units of several
        layers write goes through all but the last of these.
        """
        if place not in self._straight:
            self._straight[place] = len(self.kind.layers(self.model, place)) == 1 and self._try_writing(place)
        return self._straight[place]

    @torch.inference_mode()
    def _try_writing(self, place: int) -> bool:
        model, kind = self.model, self.kind
        directions = kind.direction(model, place, [0])
        if directions is None:
            return False
        ids, stop = torch.zeros(1, 1, dtype=torch.long, device=model.device), kind.layers(model, place).stop
        activations: list[torch.Tensor] = []
        with reading_once(model, kind, {place: [0]}, ids.shape, lambda _, values: activations.append(values)):
            original = model.run(ids, stop=stop).float()
        direction = directions[0].float()
        length = original.norm().clamp(min=1.0)  # a padding token may have a zero embedding, and so a zero residual
        change = length / direction.norm()
        first = ids[0]  # index 0, and no leading position
        with kind.replace(model, place, first, activations[0][..., 0] + change, first):
            changed = model.run(ids, stop=stop).float()
        return bool((changed - original - change * direction).norm() < STRAIGHT * length)

    def _directions(self, place: int, indices: Sequence[int]) -> torch.Tensor:
        directions = self.kind.direction(self.model, place, indices)
        assert directions is not None
        return directions


def check_values(replacement: Replacement) -> None:
    """Refuse a replacement whose values are not one finite number for each token."""
    unit = replacement.unit
    if len(replacement.values) != len(replacement.token_ids):
        raise NeuroglossError(
            f"the replacement of {unit} has {len(replacement.values)} values "
            f"for {len(replacement.token_ids)} tokens; give one for each."
        )
    if not np.isfinite(replacement.values).all():
        raise NeuroglossError(
            f"the replacement of {unit} holds a value that is not a finite number; "
            "leave out what the simulator did not predict."
        )
