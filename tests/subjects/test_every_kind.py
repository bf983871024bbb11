"""What holds of every kind of unit, in each of three families: gated, fused attention, parallel attention."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from harness.collect.corpora import TextFiles
from harness.collect.corpus_pass import collect
from harness.collect.sample import Stratified
from harness.subjects.directions import Directions
from harness.subjects.groups import Groups
from harness.subjects.heads import Heads
from harness.subjects.latents import Latents
from harness.subjects.neurons import Neurons
from harness.subjects.partial import PartialModel
from harness.subjects.sides import NeuronSides
from harness.subjects.transformers_subject import TransformersSubject
from harness.tasks.collected import CollectionSettings
from harness.types import Effect, Replacement, Unit, UnitKind
from tests.fixtures import TEXT

IDS = torch.tensor([[5, 17, 300, 2, 44, 9], [80, 81, 82, 83, 84, 85], [7, 7, 7, 8, 8, 8]])
HIDDEN = 32
GROUPS = {
    "one-layer": {"sentence": "two neurons", "units": {"L1N3": 0.5, "L1N7": -2.0}},
    "several-layers": {"sentence": "as many layers", "units": {"L0N1": 1.0, "L2N5": -0.5, "L1N2": 2.0, "L1N3": 1.0}},
    "several-kinds": {"sentence": "a head, and a neuron", "units": {"L1H2": 1.0, "L2N4": 0.5}},
}


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("units")
    save_file(
        {name: drawn(HIDDEN + size)[:HIDDEN] for size, name in enumerate("abc")}, folder / "directions.safetensors"
    )
    (folder / "groups.yaml").write_text(yaml.safe_dump(GROUPS))
    names = {"W_enc": (HIDDEN, 50), "W_dec": (50, HIDDEN), "b_enc": (50,), "b_dec": (HIDDEN,)}
    (folder / "sae").mkdir()
    save_file({name: 0.3 * drawn(*shape) for name, shape in names.items()}, folder / "sae" / "sae_weights.safetensors")
    config = {"architecture": "standard", "metadata": {"hook_name": "blocks.1.hook_resid_post"}}
    (folder / "sae" / "cfg.json").write_text(json.dumps(config))
    return folder


KINDS: dict[str, Callable[[Path], UnitKind]] = {
    "neuron": lambda _: Neurons(),
    "positive side": lambda _: NeuronSides("+"),
    "negative side": lambda _: NeuronSides("-"),
    "head": lambda _: Heads(),
    "direction": lambda files: Directions(str(files / "directions.safetensors"), layer=1),
    "latent": lambda files: Latents(str(files / "sae")),
    "group": lambda files: Groups(str(files / "groups.yaml")),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, files: Path) -> UnitKind:
    return KINDS[request.param](files)


@pytest.fixture(scope="module")
def of_kind(family: Path, kind: UnitKind) -> TransformersSubject:
    """A subject that tests share: what one replaces is as it was when it is done."""
    return TransformersSubject(str(family), unit=kind, batch_size=3)


def places(subject: TransformersSubject) -> dict[int, list[int]]:
    return {place: list(range(width)) for place, width in enumerate(subject.units.widths) if width}


def all_units(subject: TransformersSubject) -> list[Unit]:
    return [subject.units.at(position) for position in range(len(subject.units))]


@contextmanager
def reading(subject: TransformersSubject, place: int, index: int) -> Iterator[list[torch.Tensor]]:
    """Append what one unit is read as [sequences, tokens] in each run of the context."""
    seen: list[torch.Tensor] = []
    with subject.unit.read(subject._model, place, [index], IDS.shape, lambda read: seen.append(read[..., 0].clone())):
        yield seen


def rows(ids: torch.Tensor) -> list[tuple[int, ...]]:
    return [tuple(row) for row in ids.tolist()]


def test_neither_the_batch_nor_what_else_is_read_nor_what_follows_changes_an_activation(
    of_kind: TransformersSubject,
) -> None:
    units = all_units(of_kind)
    together = of_kind.read(units, rows(IDS))
    few = units[:: max(1, len(units) // 3)]
    np.testing.assert_allclose(
        of_kind.read(few, rows(IDS)), together[..., :: max(1, len(units) // 3)], rtol=1e-5, atol=1e-6
    )
    alone = np.concatenate([of_kind.read(units, [row]) for row in rows(IDS)])
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-5)
    begun = of_kind.read(units, [row[:4] for row in rows(IDS)])
    np.testing.assert_allclose(begun, together[:, :4], rtol=1e-4, atol=1e-5)
    assert together.std(axis=(0, 1)).max() > 0


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "latent"], indirect=True)
@torch.inference_mode()
def test_what_was_put_there_is_read_and_no_more_is_changed_than_that(of_kind: TransformersSubject) -> None:
    """Whichever is entered first. A latent is no such unit: what is changed is what it writes, not what it reads."""
    model, kind = of_kind._model, of_kind.unit
    leading = torch.tensor([1, 2, 1])
    kept = torch.arange(6) < leading[:, None]
    for place, indices in places(of_kind).items():
        index = indices[-1]
        with reading(of_kind, place, index) as real:
            model.run(IDS)
        wanted = real[0] + 0.5 * real[0].abs() + 0.1
        wanted[:, 3] = real[0][:, 3]
        replacing = partial(kind.replace, model, place, torch.full((3,), index), wanted, leading)
        with replacing(), reading(of_kind, place, index) as seen:
            model.run(IDS)
        with reading(of_kind, place, index) as seen_by_first, replacing():
            model.run(IDS)
        assert torch.equal(seen_by_first[-1], seen[-1])
        expected = torch.where(kept, real[0], wanted)
        if isinstance(
            kind, NeuronSides
        ):  # where the other side is active, both are, and the neuron is their difference
            expected = torch.where((real[0] == 0) & ~kept, seen[-1], expected)
        exact = isinstance(kind, Neurons)
        torch.testing.assert_close(seen[-1], expected, rtol=0 if exact else 1e-4, atol=0 if exact else 1e-4)


@torch.inference_mode()
def test_the_real_activation_in_its_own_place_changes_nothing(of_kind: TransformersSubject) -> None:
    model, kind = of_kind._model, of_kind.unit
    for place, indices in places(of_kind).items():
        with reading(of_kind, place, indices[0]) as real:
            original = model.run(IDS)
        first = torch.full((3,), indices[0])
        with kind.replace(model, place, first, real[-1], torch.zeros(3, dtype=torch.long)):
            again = model.run(IDS)
        if isinstance(kind, Neurons | NeuronSides | Heads | Groups):
            assert torch.equal(again, original)
        torch.testing.assert_close(again, original, rtol=1e-4, atol=1e-4)


def plain_effect(model: PartialModel, kind: UnitKind, address: tuple[int, int], replacement: Replacement) -> Effect:
    """The effect from two whole passes, in float64 from the logits on."""
    ids = torch.tensor([replacement.token_ids])
    values, leading = torch.tensor([replacement.values]), torch.tensor([replacement.leading])
    original = model.run(ids)
    with kind.replace(model, address[0], torch.tensor([address[1]]), values, leading):
        changed = model.run(ids)
    log_p, log_q = (
        torch.cat([few for _, few in model.log_probabilities(final[0])]).double() for final in (original, changed)
    )
    p, q = log_p.exp(), log_q.exp()
    middle = (p + q) / 2
    divergence = ((p * (p / middle).log() + q * (q / middle).log()) / 2).nan_to_num(0.0).sum(-1).mean()
    following = ids[0, 1:, None]
    loss = (log_p[:-1].gather(1, following) - log_q[:-1].gather(1, following)).mean()
    return Effect(float(divergence), float(loss))


@torch.inference_mode()
def test_effects_equal_whole_passes(of_kind: TransformersSubject) -> None:
    units = all_units(of_kind)
    chosen = [units[0], units[len(units) // 2], units[-1]]
    replacements = [
        Replacement(unit, row, (0.0, 1.5, 0.2, 3.0, 0.0, 1.0), leading=1) for unit in chosen for row in rows(IDS[:2])
    ]
    effects = dict(of_kind.effects(replacements))
    for index, replacement in enumerate(replacements):
        expected = plain_effect(of_kind._model, of_kind.unit, of_kind.units.address(replacement.unit), replacement)
        assert dataclasses.astuple(effects[index]) == pytest.approx(dataclasses.astuple(expected), abs=1e-4)
    assert max(effect.divergence for effect in effects.values()) > 1e-3


@torch.inference_mode()
def test_a_direction_is_what_one_more_of_a_unit_adds(of_kind: TransformersSubject) -> None:
    """To the residual stream above its layer; of a group of several layers, to the sum of what they write."""
    model, kind = of_kind._model, of_kind.unit
    for place, indices in places(of_kind).items():
        directions = kind.direction(model, place, indices[:2])
        layers = kind.layers(model, place)
        if directions is None or len(layers) > 1:
            continue
        with reading(of_kind, place, indices[0]) as real:
            original = model.run(IDS, stop=layers.stop)
        first, leading = torch.full((3,), indices[0]), torch.tensor([1, 1, 1])
        with kind.replace(model, place, first, real[0] + 2.0, leading):
            changed = model.run(IDS, stop=layers.stop)
        expected = (2.0 * directions[0]).expand(3, 5, -1)
        torch.testing.assert_close((changed - original)[:, 1:], expected, rtol=1e-3, atol=1e-3)


def test_every_kind_is_collected_and_what_is_kept_can_be_read_again(
    tiny_llama: Path, kind: UnitKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Latents, "check", lambda *_: None)  # the dictionary is random
    (tmp_path / "text.txt").write_text(TEXT)
    subject = TransformersSubject(str(tiny_llama), unit=kind)
    settings = CollectionSettings(excerpt_tokens=16, top=8, random=6, minimum_token_count=1, batch_size=4)
    records = collect(subject, TextFiles(str(tmp_path / "text.txt")), Stratified(1, spares=3), settings).records
    assert len(records) == len(places(subject))
    for record in records:
        excerpt = record.top[0]
        (activations,) = subject.activations(record.unit, [excerpt.token_ids])
        np.testing.assert_allclose(excerpt.activations, activations, rtol=1e-4, atol=1e-4)
        assert str(Unit.parse(str(record.unit))) == str(record.unit)
