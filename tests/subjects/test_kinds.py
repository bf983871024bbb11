"""Units that are no neurons are read, replaced and collected by the same code.

Coordinates of the residual stream stand in for further kinds: with a fixed direction, and without one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from harness.collect.corpora import TextFiles
from harness.collect.corpus_pass import collect
from harness.collect.sample import Uniform
from harness.subjects.partial import PartialModel, hooked
from harness.subjects.transformers_subject import TransformersSubject
from harness.tasks.collected import CollectionSettings
from harness.types import NeuroglossError, Replacement, Unit, UnitLayout
from tests.fixtures import TEXT

TOKENS = (5, 17, 300, 2, 44, 9)
COUNT = 7


def hidden(output: Any) -> torch.Tensor:
    states: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return states


@dataclass(frozen=True)
class Coordinates:
    """The first coordinates of what layers 1 and 2 give to the residual stream; layer 0 has none."""

    letters: ClassVar[str] = "R"
    noun: ClassVar[str] = "coordinate"
    is_fixed: bool = True
    digest: str = ""

    def units(self, model: PartialModel) -> UnitLayout:
        return UnitLayout(self.letters, self.noun, (0, *(COUNT,) * (model.depth - 1)))

    def layers(self, _: PartialModel, place: int) -> range:
        return range(place, place + 1)

    @contextmanager
    def read(
        self,
        model: PartialModel,
        place: int,
        indices: Sequence[int],
        _: torch.Size,
        see: Callable[[torch.Tensor], object],
    ) -> Iterator[None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            see(hidden(output)[..., indices].float())

        with hooked(model.layers[place].register_forward_hook(hook)):
            yield

    @contextmanager
    def replace(
        self, model: PartialModel, place: int, indices: torch.Tensor, values: torch.Tensor, leading: torch.Tensor
    ) -> Iterator[None]:
        rows = torch.arange(len(indices))
        is_replaced = torch.arange(values.shape[1]) >= leading[:, None]

        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            states = hidden(output).clone()
            states[rows, :, indices] = torch.where(is_replaced, values, states[rows, :, indices])
            return states if isinstance(output, torch.Tensor) else (states, *output[1:])

        with hooked(model.layers[place].register_forward_hook(hook)):
            yield

    def direction(self, model: PartialModel, _: int, indices: Sequence[int]) -> torch.Tensor | None:
        width = model.part(lambda module: module.config.hidden_size)
        return torch.eye(width)[list(indices)] if self.is_fixed else None


def subject_of(folder: Path, **changes: Any) -> TransformersSubject:
    return TransformersSubject(str(folder), unit=Coordinates(**changes))


@pytest.mark.parametrize("is_fixed", [True, False])
def test_units_of_another_kind_are_read_and_replaced(family: Path, is_fixed: bool) -> None:
    """The layer of a unit without a fixed direction runs again; otherwise only the layers above it do."""
    subject = subject_of(family, is_fixed=is_fixed)
    replacements = [
        Replacement(Unit("R", place, index), TOKENS, (3.0, -2.0, 1.0, 0.0, 4.0, -5.0), leading=1)
        for place in (1, 2)
        for index in (0, 6)
    ]
    effects = dict(subject.effects(replacements))
    assert all(effect.divergence > 1e-4 for effect in effects.values())
    assert subject._replacer.writes_straight(1) is is_fixed
    reference = dict(subject_of(family, is_fixed=not is_fixed).effects(replacements))
    for index, effect in effects.items():
        assert dataclasses.astuple(effect) == pytest.approx(dataclasses.astuple(reference[index]), abs=1e-5)
    real = subject.activations(replacements[0].unit, [TOKENS])[0]
    unchanged = dataclasses.replace(replacements[0], values=tuple(real.tolist()))
    assert abs(dict(subject.effects([unchanged]))[0].divergence) < 1e-9


def test_units_that_write_in_no_fixed_direction_have_no_lens(tiny_llama: Path) -> None:
    unit = Unit("R", 1, 0)
    assert subject_of(tiny_llama).output_tokens(unit, 3).promoted
    with pytest.raises(NeuroglossError, match="L1R0 writes in no fixed direction, like every coordinate"):
        subject_of(tiny_llama, is_fixed=False).output_tokens(unit, 3)


@pytest.mark.parametrize("unit", [Unit("R", 0, 0), Unit("R", 1, 7), Unit("R", 3, 0), Unit("N", 1, 0)])
def test_a_unit_that_is_not_there_or_of_another_kind_is_refused(tiny_llama: Path, unit: Unit) -> None:
    with pytest.raises(
        NeuroglossError, match=rf"there is no coordinate {unit} in .*; it has 14 coordinates: L1R0 to L2R6"
    ):
        subject_of(tiny_llama).activations(unit, [TOKENS])


def test_units_of_another_kind_are_collected(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    subject = subject_of(tiny_llama)
    settings = CollectionSettings(excerpt_tokens=16, top=8, random=6, minimum_token_count=1, batch_size=4)
    records = collect(subject, TextFiles(str(tmp_path / "text.txt")), Uniform(4, spares=1), settings).records
    assert {record.unit.kind for record in records} == {"R"}
    assert {record.unit.place for record in records} <= {1, 2}
    for record in records:
        excerpt = record.top[0]
        (activations,) = subject.activations(record.unit, [excerpt.token_ids])
        np.testing.assert_allclose(excerpt.activations, activations, rtol=1e-4, atol=1e-5)


def test_what_defines_units_beside_the_model_is_part_of_its_identity(tiny_llama: Path) -> None:
    """Otherwise the store would give the replies of one dictionary for another."""
    revisions = {
        subject.identity.revision
        for subject in (
            TransformersSubject(str(tiny_llama)),
            subject_of(tiny_llama),
            subject_of(tiny_llama, digest="a"),
            subject_of(tiny_llama, digest="b"),
        )
    }
    assert len(revisions) == 3


def test_a_layout_counts_place_by_place() -> None:
    layout = UnitLayout("R", "coordinate", (0, 2, 0, 3))
    assert list(map(str, map(layout.at, range(len(layout))))) == ["L1R0", "L1R1", "L3R0", "L3R1", "L3R2"]
    assert all(layout.at(position) in layout for position in range(len(layout)))
    with pytest.raises(IndexError):
        layout.at(5)
    assert str(UnitLayout("R", "coordinate", (2, 2))) == "2 layers of 2 coordinates: L0R0 to L1R1"
    assert str(UnitLayout("R", "coordinate", (0, 0))) == "no coordinates"


def test_named_units_of_a_layout_have_a_place_that_they_do_not_say() -> None:
    layout = UnitLayout("direction", "direction", (0, 2, 1), ("cat", "dog", "sea"))
    units = list(map(layout.at, range(3)))
    assert list(map(str, units)) == ["direction:cat", "direction:dog", "direction:sea"]
    assert list(map(layout.address, units)) == [(1, 0), (1, 1), (2, 0)]
    assert [layout.of_place(place, range(width)) for place, width in enumerate(layout.widths)] == [
        (),
        tuple(units[:2]),
        tuple(units[2:]),
    ]
    assert all(unit in layout for unit in units)
    others = (Unit("direction", name="sun"), Unit("circuit", name="cat"), Unit("direction", 1, 0))
    assert not any(unit in layout for unit in others)
    assert str(layout) == "3 directions: direction:cat to direction:sea"
