"""Directions, groups and sides: what is theirs alone, and what is refused."""

from __future__ import annotations

import functools
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness.config import build
from harness.subjects.directions import Directions
from harness.subjects.groups import Groups
from harness.subjects.sides import NeuronSides
from harness.subjects.sites import PARTS, Site, reading, width
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import NeuroglossError, Replacement, Unit, UnitKind

ROWS = [(5, 17, 300, 2, 44, 9), (80, 81, 82, 83, 84, 85)]
NEURON = Unit("N", 1, 3)


def side(sign: str) -> Unit:
    return Unit(f"N{sign}", 1, 3)


@functools.cache
def model_of(folder: Path) -> dict[str, Any]:
    """What subjects of all kinds share, which takes longest to make and which none changes: the model and its parts."""
    subject = TransformersSubject(str(folder))
    return {"_loaded": subject._loaded, "_model": subject._model}


def subject_of(folder: Path, kind: UnitKind | None = None) -> TransformersSubject:
    subject = TransformersSubject(str(folder), unit=kind)
    subject.__dict__.update(model_of(folder))
    return subject


def sentence(folder: Path, kind: UnitKind) -> str:
    with pytest.raises(NeuroglossError) as refusal:
        subject_of(folder, kind).units  # noqa: B018
    return str(refusal.value)


# ----------------------------------------------------------------------------------------------------------- notation


@pytest.mark.parametrize(
    "text", ["L12N345", "L12N345-", "L12N345+", "L0H2", "L3S16383", "direction:a b", "circuit:x:y"]
)
def test_a_unit_is_read_as_it_is_written(text: str) -> None:
    assert str(Unit.parse(text)) == text
    assert str(Unit.parse(f" {text} ")) == text


def test_a_side_is_a_unit_of_its_own() -> None:
    whole, positive, negative = map(Unit.parse, ("L12N345", "L12N345+", "L12N345-"))
    assert (whole.side, positive.side, negative.side) == ("", "+", "-")
    assert len({whole, positive, negative}) == 3
    assert whole.group == negative.group == "L12"
    assert Unit.parse("12:345") == whole


@pytest.mark.parametrize("text", ["L12N345--", "L12N-345", "-L12N345", "L12n3", "N3", "circuit:", "Circuit:a"])
def test_what_is_no_unit_is_refused(text: str) -> None:
    with pytest.raises(NeuroglossError, match="is not a unit; write a layer, a kind and an index"):
        Unit.parse(text)


# -------------------------------------------------------------------------------------------------------------- sides


def test_a_neuron_is_the_difference_of_its_sides(family: Path) -> None:
    whole = subject_of(family).read([NEURON], ROWS)
    sides = [subject_of(family, NeuronSides(sign)).read([side(sign)], ROWS) for sign in "+-"]
    np.testing.assert_array_equal(sides[0] - sides[1], whole)
    np.testing.assert_array_equal(np.minimum(*sides), 0.0)


@pytest.mark.parametrize("sign", "+-")
def test_silencing_a_side_leaves_the_other_one(family: Path, sign: str) -> None:
    """It is as if the neuron were replaced by its other side."""
    (real,) = subject_of(family).activations(NEURON, ROWS[:1])
    other = np.minimum(real, 0) if sign == "+" else np.maximum(real, 0)
    expected = dict(subject_of(family).effects([Replacement(NEURON, ROWS[0], tuple(other))]))[0]
    silent = Replacement(side(sign), ROWS[0], (0.0,) * 6)
    effect = dict(subject_of(family, NeuronSides(sign)).effects([silent]))[0]
    assert effect.divergence == pytest.approx(expected.divergence, rel=1e-3, abs=1e-7)
    assert (expected.divergence > 1e-7) is bool(np.abs(other - real).max() > 0)


def test_the_lens_of_a_side_is_that_of_its_sign(tiny_llama: Path) -> None:
    negative = subject_of(tiny_llama, NeuronSides("-")).output_tokens(side("-"), 3)
    whole = subject_of(tiny_llama).output_tokens(NEURON, 3)
    assert [text for text, _ in negative.promoted] == [text for text, _ in whole.suppressed]


@pytest.mark.slow
def test_both_sides_are_units_of_one_subject(family: Path) -> None:
    both = subject_of(family, NeuronSides("+-"))
    units = [side("+"), side("-"), Unit("N-", 1, 0)]
    apart = [subject_of(family, NeuronSides(unit.side)).read([unit], ROWS) for unit in units]
    np.testing.assert_array_equal(both.read(units, ROWS), np.concatenate(apart, axis=-1))
    (real,) = both.activations(side("-"), ROWS[:1])
    for unit in units:
        replacement = Replacement(unit, ROWS[0], tuple(real[::-1]))
        (effect,) = dict(both.effects([replacement])).values()
        (alone,) = dict(subject_of(family, NeuronSides(unit.side)).effects([replacement])).values()
        assert effect == alone


def test_the_sides_of_a_neuron_stand_side_by_side(tiny_llama: Path) -> None:
    layout = subject_of(tiny_llama, NeuronSides("+-")).units
    first = [layout.at(position) for position in range(layout.widths[0])]
    assert list(map(str, first[:4])) == ["L0N0+", "L0N0-", "L0N1+", "L0N1-"]
    assert first == list(layout.of_place(0, range(layout.widths[0])))
    assert all(unit < later for unit, later in pairwise(first))
    assert [layout.address(unit) for unit in first] == [(0, index) for index in range(len(first))]
    assert len(layout) == 2 * len(subject_of(tiny_llama).units)
    assert NEURON not in layout
    assert Unit("N-", 0, layout.widths[0] // 2) not in layout
    with pytest.raises(NeuroglossError, match=r"there is no neuron side L1N3 in .*: L0N0\+ to L2N\d+-"):
        subject_of(tiny_llama, NeuronSides("+-")).read([NEURON], ROWS)


def test_a_side_without_a_sign_is_refused() -> None:
    with pytest.raises(NeuroglossError, match=r"unit\.side is 'left'; write '\+', '-' or '\+-'"):
        NeuronSides("left")


# --------------------------------------------------------------------------------------------------------- directions


def directions(folder: Path, **tensors: torch.Tensor) -> str:
    save_file(tensors, folder / "directions.safetensors")
    return str(folder / "directions.safetensors")


WITHOUT = {("gpt_neox", "residual_mid"), ("gpt_neox", "mlp_normalised"), ("gpt2", "mlp_normalised")}
"""(family, part): a layer of GPT-NeoX attends beside its MLP, and the norm of GPT-2 has a bias."""


@pytest.mark.parametrize("part", PARTS)
@torch.inference_mode()
def test_a_direction_is_the_dot_product_with_its_site(family: Path, part: str, tmp_path: Path) -> None:
    model = subject_of(family)._model
    if (subject_of(family)._loaded.model.config.model_type, part) in WITHOUT:
        with (
            pytest.raises(NeuroglossError, match=r"choose (another|the) site"),
            reading(model, Site(1, part), torch.Size((2, 6)), lambda _: None),
        ):
            pass
        return
    vector = torch.randn(width(model, Site(1, part)), generator=torch.Generator().manual_seed(3))
    subject = subject_of(family, Directions(directions(tmp_path, it=vector), 1, part))
    unit = Unit("direction", name="it")
    states: list[torch.Tensor] = []
    with reading(model, Site(1, part), torch.Size((2, 6)), lambda seen: states.append(seen.clone())):
        model.run(torch.tensor(ROWS))
    expected = (states[0] @ vector).numpy()
    np.testing.assert_allclose(subject.read([unit], ROWS)[..., 0], expected, rtol=1e-4, atol=1e-4)
    effects = dict(subject.effects([Replacement(unit, ROWS[0], tuple(3.0 + expected[0]), leading=1)]))
    assert effects[0].divergence > 1e-6


@torch.inference_mode()
def test_the_sites_around_the_norm_before_an_mlp_are_what_stands_there(tiny_llama: Path) -> None:
    """The stream with what attention adds, and it divided by its root mean square, before the norm's own weight."""
    subject = TransformersSubject(str(tiny_llama))  # one of its own, for its weights are changed
    model: Any = subject._loaded.model
    layer, partial = model.model.layers[1], subject._model
    seen: dict[str, torch.Tensor] = {}
    attended: list[torch.Tensor] = []
    handle = layer.self_attn.register_forward_hook(lambda _, __, output: attended.append(output[0].clone()))
    layer.post_attention_layernorm.weight.data.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(0))
    shape = torch.Size((2, 6))
    with (
        reading(partial, Site(1, "residual_before"), shape, lambda states: seen.update(before=states.clone())),
        reading(partial, Site(1, "residual_mid"), shape, lambda states: seen.update(mid=states.clone())),
        reading(partial, Site(1, "mlp_normalised"), shape, lambda states: seen.update(normalised=states.clone())),
    ):
        partial.run(torch.tensor(ROWS))
    handle.remove()
    torch.testing.assert_close(seen["mid"], seen["before"] + attended[0])
    scale = seen["mid"].square().mean(dim=-1, keepdim=True).sqrt()
    torch.testing.assert_close(seen["normalised"], seen["mid"] / scale, rtol=1e-4, atol=1e-4)


def test_the_lens_of_a_direction_is_its_own(tiny_llama: Path, tmp_path: Path) -> None:
    """One that a token's unembedding points along promotes that token."""
    model: Any = subject_of(tiny_llama)._loaded.model
    token = 300
    kind = Directions(directions(tmp_path, it=model.lm_head.weight[token].clone()), 2)
    subject = subject_of(tiny_llama, kind)
    promoted = subject.output_tokens(Unit("direction", name="it"), 3).promoted
    assert subject.token_text(token) in [text for text, _ in promoted]


def test_what_is_no_direction_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    path = directions(tmp_path, it=torch.ones(7))
    assert "holds it of shape [7], and the residual of layer 1" in sentence(tiny_llama, Directions(path, 1))
    assert "has no layer 3; it has 3, counted from 0" in sentence(tiny_llama, Directions(path, 3))
    path = directions(tmp_path, it=torch.zeros(32))
    assert "holds it, which is no direction: all 0, or not finite" in sentence(tiny_llama, Directions(path, 1))
    (tmp_path / "text").write_text("no tensors")
    assert "is no safetensors file" in sentence(tiny_llama, Directions(str(tmp_path / "text"), 1))
    assert "cannot be read: No such file" in sentence(tiny_llama, Directions(str(tmp_path / "nowhere"), 1))
    with pytest.raises(NeuroglossError, match="the site 'attention' does not exist; there are: residual, "):
        Directions(path, 1, "attention")


def test_files_that_differ_are_subjects_that_differ(tiny_llama: Path, tmp_path: Path) -> None:
    """And so are sites; where a file lies does not matter."""
    first = Directions(directions(tmp_path, it=torch.ones(32)), 1)
    digests = [first.digest, Directions(first.path, 2).digest, Directions(first.path, 1, "mlp_output").digest]
    (tmp_path / "copy").mkdir()
    assert Directions(directions(tmp_path / "copy", it=torch.ones(32)), 1).digest == digests[0]
    digests.append(Directions(directions(tmp_path / "copy", it=-torch.ones(32)), 1).digest)
    assert len(set(digests)) == 4
    assert subject_of(tiny_llama, first).identity.revision != subject_of(tiny_llama).identity.revision


# ------------------------------------------------------------------------------------------------------------- groups


def groups(folder: Path, text: str) -> Groups:
    (folder / "groups.yaml").write_text(text)
    return Groups(str(folder / "groups.yaml"))


@pytest.mark.slow
def test_a_group_is_the_weighted_sum_of_its_units(family: Path, tmp_path: Path) -> None:
    units = {"L0N1": 1.0, "L1H2": 0.25, "L1N3-": 3.0, "L2N5": -0.5}
    kind = groups(tmp_path, f"all: {{units: {{{', '.join(f'{unit}: {weight}' for unit, weight in units.items())}}}}}")
    activations = subject_of(family, kind).read([Unit("circuit", name="all")], ROWS)
    expected = np.zeros((2, 6, 1))
    for text, weight in units.items():
        unit = Unit.parse(text)
        of_unit = subject_of(family, kind._kind(unit))
        expected += weight * of_unit.read([unit], ROWS)
    np.testing.assert_allclose(activations, expected, rtol=1e-4, atol=1e-4)


def test_both_sides_with_either_sign_are_the_neuron(family: Path, tmp_path: Path) -> None:
    kind = groups(tmp_path, "both: {units: {L1N3+: 1.0, L1N3-: -1.0}}")
    activations = subject_of(family, kind).read([Unit("circuit", name="both")], ROWS)
    np.testing.assert_allclose(activations, subject_of(family).read([NEURON], ROWS), rtol=1e-6, atol=1e-7)


def test_a_group_of_one_neuron_is_ablated_like_that_neuron(family: Path, tmp_path: Path) -> None:
    subject = subject_of(family, groups(tmp_path, "one: {units: {L1N3: -0.5}}"))
    values = (1.0, 0.0, -2.0, 3.0, 0.5, 1.5)
    replacement = Replacement(Unit("circuit", name="one"), ROWS[0], tuple(-0.5 * value for value in values), leading=1)
    effect = dict(subject.effects([replacement]))[0]
    expected = dict(subject_of(family).effects([Replacement(NEURON, ROWS[0], values, leading=1)]))[0]
    assert effect.divergence == pytest.approx(expected.divergence, rel=1e-3)
    assert expected.divergence > 1e-3


GROUPS_REFUSED = {
    "[]": "holds no groups; write NAME",
    "{": "cannot be read as YAML",
    "one: &a {units: *a}": "repeats itself by aliases",
    "one: {units: {L1N3: !!float 1}}": "has the tag",
    "one: {units: {L1N3: 2024-01-01}}": "(date)",
    "one: {units: {}}": "the group one has no units",
    "one: [L1N3]": "the group one has no units",
    "one: {units: {L1N3: 0}}": "L1N3 of group one has the weight 0; write a number, not 0",
    "one: {units: {L1N3: .nan}}": "has the weight nan",
    "one: {units: {L1N3: true}}": "has the weight True",
    "one: {units: {neuron: 1.0}}": "'neuron' is not a unit",
    "one: {units: {L1S3: 1.0}}": "has a group with L1S3, whose kind is unknown here; name it by unit.more",
    "one: {units: {L1N999: 1.0}}": "there is no neuron L1N999 in",
    "one: {units: {L1H9: 1.0}}": "there is no head L1H9 in",
}


@pytest.mark.parametrize("text", GROUPS_REFUSED)
def test_what_is_no_group_is_refused(tiny_llama: Path, text: str, tmp_path: Path) -> None:
    assert GROUPS_REFUSED[text] in sentence(tiny_llama, groups(tmp_path, text))


def test_a_file_of_groups_that_is_not_there_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    assert "cannot be read as YAML: No such file" in sentence(tiny_llama, Groups(str(tmp_path / "nowhere.yaml")))


def test_units_of_one_more_kind_can_be_in_a_group(tiny_llama: Path, tmp_path: Path) -> None:
    """A config names it; its digest is part of the group's."""
    path = directions(tmp_path, it=torch.ones(32))
    text = "one: {units: {L1N3: 1.0, 'direction:it': 0.5}}"
    plain = groups(tmp_path, text)
    more = {"use": "unit/direction", "path": path, "layer": 1}
    kind: Groups = build.assemble({"use": "unit/group", "path": plain.path, "more": more})
    activations = subject_of(tiny_llama, kind).read([Unit("circuit", name="one")], ROWS)
    expected = subject_of(tiny_llama).read([NEURON], ROWS)
    expected = expected + 0.5 * subject_of(tiny_llama, kind.more).read([Unit("direction", name="it")], ROWS)
    np.testing.assert_allclose(activations, expected, rtol=1e-4, atol=1e-4)
    assert kind.digest != plain.digest
