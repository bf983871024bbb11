"""In every family that is claimed, reading equals a forward hook of plain torch, and ablating a plain full pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from harness.subjects.attending import NAME, find_attention
from harness.subjects.directions import Directions
from harness.subjects.effects import Replacer
from harness.subjects.heads import Heads
from harness.subjects.latents import Latents
from harness.subjects.locate import locate
from harness.subjects.neurons import Neurons
from harness.subjects.partial import PartialModel
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import NeuroglossError, Replacement, Unit
from tests.subjects.families import FAMILIES, WITHOUT_HEADS, WITHOUT_NEURONS, built

TOKENS = (5, 17, 300, 2, 44, 9)
VALUES = (0.0, 1.5, 0.2, 3.0, 0.0, 1.0)
LEADING = 1


def subject_of(name: str, kind: Any) -> TransformersSubject:
    subject = TransformersSubject(name, unit=kind)
    subject.__dict__.update(_model=PartialModel(built(name), name))
    return subject


def plain_effect(model: Any, handle: Any) -> float:
    """The Jensen-Shannon divergence of the model's own logits with a hook, and without it, which removes the hook."""
    ids = torch.tensor([TOKENS])
    with torch.inference_mode():
        changed = model(ids).logits[0].double().softmax(-1)
        handle.remove()
        original = model(ids).logits[0].double().softmax(-1)
    middle = (changed + original) / 2
    terms = original * (original / middle).log() + changed * (changed / middle).log()
    return float(terms.nan_to_num(0.0).sum(-1).mean()) / 2


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - set(WITHOUT_NEURONS)))
def test_neurons_equal_plain_hooks(name: str) -> None:
    model, subject = built(name), subject_of(name, Neurons())
    unit = Unit("N", 1, 3)
    inputs: list[torch.Tensor] = []
    projection = locate(model).projections[1]
    hook = projection.register_forward_pre_hook(lambda _, entered: inputs.append(entered[0].clone()))
    with torch.inference_mode():
        model(torch.tensor([TOKENS]))
    hook.remove()
    (activations,) = subject.activations(unit, [TOKENS])
    torch.testing.assert_close(torch.tensor(activations).float(), inputs[0].view(6, -1)[:, 3], rtol=1e-5, atol=1e-6)

    def put(_: Any, entered: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        states = entered[0].clone()
        states.view(6, -1)[LEADING:, 3] = torch.tensor(VALUES[LEADING:])
        return (states, *entered[1:])

    expected = plain_effect(model, projection.register_forward_pre_hook(put))
    effects = dict(subject.effects([Replacement(unit, TOKENS, VALUES, LEADING)]))
    assert effects[0].divergence == pytest.approx(expected, rel=1e-2, abs=1e-6)


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - set(WITHOUT_HEADS)))
def test_heads_equal_plain_hooks(name: str) -> None:
    """A silenced head is a slice of what enters the output projection, without all but the first key's share."""
    model, subject = built(name), subject_of(name, Heads())
    attending = find_attention(model)
    shown: list[torch.Tensor] = []

    def look(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        spread = values.repeat_interleave(weights.shape[1] // values.shape[1], dim=1)
        shown.append(weights[0, 1, :, :1] * spread[0, 1, 0])  # [queries, size]
        return weights

    with torch.inference_mode(), attending.looking(1, look):
        model(torch.tensor([TOKENS]))

    def put(_: Any, entered: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        states = entered[0].clone()
        states.view(6, attending.heads[1], -1)[LEADING:, 1] = shown[0][LEADING:]
        return (states, *entered[1:])

    projection: Any = attending.projections[1]
    expected = plain_effect(model, projection.register_forward_pre_hook(put))
    silent = Replacement(Unit("H", 1, 1), TOKENS, (0.0,) * 6, LEADING)
    effects = dict(subject.effects([silent]))
    assert effects[0].divergence == pytest.approx(expected, rel=1e-2, abs=1e-6)
    assert expected > 1e-6
    assert model.config._attn_implementation != NAME


@pytest.mark.parametrize("name", WITHOUT_NEURONS)
def test_neurons_that_cannot_be_read_are_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(NeuroglossError, match=WITHOUT_NEURONS[name]):
        subject_of(name, Neurons()).units  # noqa: B018


@pytest.mark.parametrize("name", ["Llama", "Gemma 2", "OLMo 2", "Granite"])
def test_what_an_mlp_gives_reaches_the_residual_stream_straight(name: str, tmp_path: Path) -> None:
    """In families with a norm behind the MLP it is what that norm gives; in Granite it is scaled."""
    save_file({"it": torch.ones(16)}, tmp_path / "directions.safetensors")
    kind = Directions(str(tmp_path / "directions.safetensors"), 1, "mlp_output")
    assert Replacer(PartialModel(built(name)), kind, 1).writes_straight(1)


KINDS = {"neurons": (Neurons(), WITHOUT_NEURONS), "heads": (Heads(), WITHOUT_HEADS)}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS for name in FAMILIES if name not in KINDS[kind][1]]
)
@torch.inference_mode()
def test_the_real_activation_in_its_own_place_is_bit_equal(kind: str, name: str) -> None:
    units, model, ids = KINDS[kind][0], PartialModel(built(name), name), torch.tensor([TOKENS])
    real: list[torch.Tensor] = []
    layout = units.units(model)
    layer = max(place for place, width in enumerate(layout.widths) if width)
    with units.read(model, layer, [1], ids.shape, lambda read: real.append(read[..., 0].clone())):
        original = model.run(ids)
    with units.replace(model, layer, torch.tensor([1]), real[-1], torch.tensor([0])):
        again = model.run(ids)
    assert torch.equal(again, original)
    if kind == "neurons":  # heads are read with eager attention, whose last bits differ from the model's own
        assert torch.equal(model.run(ids), original)


@pytest.mark.parametrize("name", sorted(FAMILIES))
@torch.inference_mode()
def test_directions_and_latents_equal_plain_hooks(name: str, tmp_path: Path) -> None:
    """Behind the layer, where its output is a tensor or the first of several; ablated, they equal a plain full pass."""
    model, width = built(name), built(name).config.get_text_config().hidden_size
    vector = torch.randn(width, generator=torch.Generator().manual_seed(0))
    save_file({"it": vector}, tmp_path / "directions.safetensors")
    names = {"W_enc": vector[:, None], "W_dec": vector[None], "b_enc": torch.ones(1), "b_dec": torch.zeros(width)}
    save_file({key: tensor.clone().contiguous() for key, tensor in names.items()}, tmp_path / "sae_weights.safetensors")
    (tmp_path / "cfg.json").write_text('{"metadata": {"hook_name": "blocks.0.hook_resid_post"}}')
    direction = subject_of(name, Directions(str(tmp_path / "directions.safetensors"), 0))
    latent = subject_of(name, Latents(str(tmp_path)))
    layer, outputs = direction._model.layers[0], list[torch.Tensor]()
    hook = layer.register_forward_hook(lambda _, __, output: outputs.append(_first(output).clone()))
    model(torch.tensor([TOKENS]))
    hook.remove()
    products = outputs[0][0] @ vector
    (read,) = direction.activations(Unit("direction", name="it"), [TOKENS])
    torch.testing.assert_close(torch.tensor(read).float(), products, rtol=1e-4, atol=1e-4)
    (encoded,) = latent.activations(Unit("S", 0, 0), [TOKENS])
    torch.testing.assert_close(torch.tensor(encoded).float(), (products + 1).relu(), rtol=1e-4, atol=1e-4)

    def silenced(change: torch.Tensor) -> Any:
        def put(_: Any, __: Any, output: Any) -> Any:
            states = _first(output).clone()
            states[0, LEADING:] += (change[:, None] * vector)[LEADING:]
            return states if isinstance(output, torch.Tensor) else (states, *output[1:])

        return put

    zeros = (0.0,) * len(TOKENS)
    for subject, unit, change in (
        (direction, Unit("direction", name="it"), -products / vector.square().sum()),
        (latent, Unit("S", 0, 0), -(products + 1).relu()),
    ):
        expected = plain_effect(model, layer.register_forward_hook(silenced(change)))
        effects = dict(subject.effects([Replacement(unit, TOKENS, zeros, LEADING)]))
        assert effects[0].divergence == pytest.approx(expected, rel=1e-2, abs=1e-6)


def _first(output: Any) -> torch.Tensor:
    states: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return states
