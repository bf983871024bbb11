"""Reading of units in one run of a model, where each place has to be passed exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import torch

from harness.subjects.partial import PartialModel
from harness.types import NeuroglossError, UnitKind


@contextmanager
def reading_once(
    model: PartialModel,
    kind: UnitKind,
    columns: Mapping[int, Sequence[int]],
    shape: torch.Size,
    see: Callable[[int, torch.Tensor], object],
) -> Iterator[None]:
    """Within the context, which holds one run, call ``see`` with (place, its activations).

    Args:
        model: which runs.
        kind: of the units.
        columns: place -> indices of the units to read.
        shape: (batch, tokens).
        see: is handed activations float32 [batch, tokens, units], which may be the model's own memory.

    Raises:
        NeuroglossError: the run did not pass through a place exactly once, as where a module's weights are used without
            calling it.
    """
    passes: Counter[int] = Counter()

    def count(place: int, values: torch.Tensor) -> None:
        passes[place] += 1
        see(place, values)

    with ExitStack() as hooks:
        for place, indices in columns.items():
            hooks.enter_context(kind.read(model, place, indices, shape, partial(count, place)))
        yield
    for place in columns:
        if passes[place] != 1:
            raise NeuroglossError(
                f"{model.name} passed through the {kind.noun}s of layer {kind.layers(model, place).start} "
                f"{passes[place]} times in one run, not once, so that their activations cannot be told; use another "
                "subject, or other settings of it."
            )
