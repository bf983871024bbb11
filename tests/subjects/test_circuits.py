"""Neurons that promote tokens, random groups beside them, and groups of latents out of attribution graphs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from harness.subjects import circuits
from harness.subjects.attribution_graphs import groups, is_graph
from harness.subjects.groups import Group, Groups
from harness.subjects.latent_sets import LatentSet
from harness.subjects.neurons import Neurons
from harness.subjects.partial import PartialModel
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import NeuroglossError, Unit
from tests.subjects.families import built

IDS = torch.tensor([[5, 17, 300, 2, 44, 9], [80, 81, 82, 83, 84, 85]])
FAMILY = [17, 80, 300]


@pytest.mark.parametrize("name", ["Llama", "GPT-2", "Gemma 2"])
@torch.inference_mode()
def test_the_neurons_that_promote_a_family_are_those_of_the_largest_lens(name: str) -> None:
    """Worked out for each neuron by itself, from the logits of its direction and of the opposite one."""
    model, kind = PartialModel(built(name)), Neurons()
    expected: dict[Unit, float] = {}
    for layer, width in enumerate(kind.units(model).widths):
        directions = kind.direction(model, layer, range(width))
        unit = directions / directions.square().mean(dim=-1, keepdim=True).sqrt()
        toward, away = (torch.cat([chunk for _, chunk in model.log_probabilities(states)]) for states in (unit, -unit))
        half = (toward - away) / 2
        scores = half[:, FAMILY].mean(dim=-1) - half.mean(dim=-1)
        expected |= {Unit("N", layer, index): float(score) for index, score in enumerate(scores)}
    strongest = sorted(expected, key=lambda unit: -abs(expected[unit]))[:5]
    promoting = circuits.promoting(model, FAMILY, 5)
    assert [unit for unit, _ in promoting] == strongest
    assert [score for _, score in promoting] == pytest.approx([expected[unit] for unit in strongest], rel=1e-3)


def test_a_text_of_several_tokens_is_in_no_family() -> None:
    assert circuits.family_ids(lambda text: [len(text)], ["a", "bc"]) == [1, 2]
    with pytest.raises(NeuroglossError, match="'two' is 2 tokens of the subject"):
        circuits.family_ids(lambda text: [1] * (1 + (text == "two")), ["one", "two"])


def test_random_groups_have_the_size_the_layers_and_the_activity_of_the_group() -> None:
    model = PartialModel(built("Llama"))
    activations = circuits.activity(model, [0, 1], IDS)
    units = {Unit("N", 0, 3): 1.0, Unit("N", 0, 4): -1.0, Unit("N", 1, 5): 1.0}
    group = Group("it", "", circuits.weighted(units, activations))
    assert [weight > 0 for weight in group.weights.values()] == [True, False, True]
    drawn = circuits.matched(group, activations, 3, seed=0)
    assert [item.name for item in drawn] == [f"it-random-{number}" for number in (1, 2, 3)]
    assert drawn == circuits.matched(group, activations, 3, seed=0) != circuits.matched(group, activations, 3, seed=1)
    for other in drawn:
        assert not set(other.weights) & set(group.weights)
        assert [unit.place for unit in other.weights] == [0, 0, 1]
        assert [weight > 0 for weight in other.weights.values()] == [True, False, True]


def test_random_neurons_are_the_nearest_in_mean_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuits, "NEAREST", 1)
    means = torch.tensor([0.1, 0.5, 0.52, 0.9, 0.11])
    group = Group("it", "", {Unit("N", 0, 1): 2.0, Unit("N", 0, 0): 1.0})
    (other,) = circuits.matched(group, {0: (means, 2 * means)}, 1, seed=0)
    assert {str(unit): weight for unit, weight in other.weights.items()} == pytest.approx(
        {"L0N2": 1 / 1.04, "L0N4": 1 / 0.22}
    )


def test_heads_have_no_random_groups() -> None:
    with pytest.raises(NeuroglossError, match="the group it has L0H1, and random groups are drawn of neurons only"):
        circuits.matched(Group("it", "", {Unit("H", 0, 1): 1.0}), {}, 1, 0)


# --------------------------------------------------------------------------------------------------- attribution graphs


def node(layer: int, feature: int, position: int, activation: float | None = 2.0) -> dict[str, Any]:
    return {
        "node_id": f"{layer}_{feature}_{position}",
        "layer": str(layer),
        "feature_type": "cross layer transcoder",
        "activation": activation,
    }


def graph(**parameters: Any) -> dict[str, Any]:
    error = {"node_id": "1_-1_2", "layer": "1", "feature_type": "mlp reconstruction error"}
    logit = {"node_id": "27_5_3", "layer": "27", "feature_type": "logit"}
    nodes = [node(1, 7, 2), node(1, 7, 3, 4.0), node(2, 9, 3, 0.5), node(2, 8, 1, None), error, logit]
    empty = {"pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""}
    metadata = {"slug": "capitals", "scan": "gemma-2-2b", "prompt": "The capital of Texas is"}
    return {"metadata": metadata, "qParams": {**empty, **parameters}, "nodes": nodes, "links": []}


def test_supernodes_are_groups_and_the_error_and_the_logits_are_in_none() -> None:
    content = graph(supernodes=[["Texas", "1_7_2", "1_7_3", "2_9_3", "1_-1_2"], ["say it", "27_5_3"], ["odd", "2_8_1"]])
    assert is_graph(content)
    assert groups(content, "it") == {
        "Texas": {"sentence": "part of what follows 'The capital of Texas is'", "units": {"L1S7": 0.25, "L2S9": 2.0}},
        "odd": {"sentence": "part of what follows 'The capital of Texas is'", "units": {"L2S8": 1.0}},
    }


def test_what_is_pinned_is_one_group_where_nothing_is_grouped() -> None:
    assert groups(graph(pinnedIds=["2_9_3", "27_5_3"]), "it")["capitals"]["units"] == {"L2S9": 2.0}


def test_graphs_without_groups_and_damaged_ones_are_refused() -> None:
    with pytest.raises(NeuroglossError, match="is an attribution graph without groups"):
        groups(graph(), "it")
    with pytest.raises(NeuroglossError, match="is a damaged attribution graph"):
        groups({**graph(), "nodes": [{}]}, "it")
    assert not is_graph({"one": {"units": {}}})


@pytest.fixture
def transcoders(tmp_path: Path) -> str:
    """Dictionaries of layers 1 and 2 of the tiny Llama."""
    for layer in (1, 2):
        (tmp_path / f"layer_{layer}").mkdir()
        shapes = {"W_enc": (32, 10), "W_dec": (10, 32), "b_enc": (10,), "b_dec": (32,)}
        generator = torch.Generator().manual_seed(layer)
        tensors = {name: torch.randn(*shape, generator=generator) for name, shape in shapes.items()}
        save_file(tensors, tmp_path / f"layer_{layer}" / "sae_weights.safetensors")
        config = {"metadata": {"hook_name": f"blocks.{layer}.hook_resid_post"}}
        (tmp_path / f"layer_{layer}" / "cfg.json").write_text(json.dumps(config))
    return str(tmp_path / "layer_{layer}")


def test_a_graph_is_read_as_groups_of_latents_of_several_layers(
    tiny_llama: Path, transcoders: str, tmp_path: Path
) -> None:
    (tmp_path / "graph.json").write_text(json.dumps(graph(supernodes=[["Texas", "1_7_2", "2_9_3"]])))
    latents = LatentSet(transcoders)
    kind = Groups(str(tmp_path / "graph.json"), more=latents)
    row = (5, 17, 300, 2)
    (together,) = TransformersSubject(str(tiny_llama), unit=kind).activations(Unit("circuit", name="Texas"), [row])
    subject = TransformersSubject(str(tiny_llama), unit=latents)
    assert subject.units.widths == (0, 10, 10)
    (first,) = subject.activations(Unit("S", 1, 7), [row])
    (second,) = subject.activations(Unit("S", 2, 9), [row])
    assert together == pytest.approx(0.5 * first + 2.0 * second, rel=1e-4)


def test_sets_of_dictionaries_that_cannot_be_are_refused(tiny_llama: Path, transcoders: str) -> None:
    with pytest.raises(NeuroglossError, match=r"write \{layer\} once"):
        LatentSet("transcoders")
    with pytest.raises(NeuroglossError, match=r"there is no dictionary at .*nowhere"):
        LatentSet(f"{transcoders}-nowhere").digest  # noqa: B018
    assert LatentSet(transcoders).digest != LatentSet(transcoders, site="mlp_output").digest
