"""The tuned model: pairs that are read together read as they do apart, and slots are found by place in the text."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2Model

from harness import weights
from harness.models.tuned.model import TunedModel, read_adapter, restore
from harness.models.tuned.network import LEVELS, Architecture, LowRank, Sequences, TunedNetwork
from harness.models.tuned.text import Tokenizer, readers
from harness.types import CompletionPrompt, Message, NeuroglossError, Outcome, SlottedPrompt

ARCHITECTURE = Architecture(joint=1, top=3, rank=2, hidden=8)
DEEPER = replace(ARCHITECTURE, adapted=0, spelled=4)
EXPLANATIONS = [(1, 40, 41, 42), (1, 50, 51), (1, 60, 61, 62, 63, 64)]
TEXTS = [(1, 70, 71, 72, 73, 74), (1, 80, 81, 82), (1, 90, 91, 92, 93)]


def begun(base: Path, architecture: Architecture) -> TunedNetwork:
    pieces = Tokenizer.of(weights.load_tokenizer(str(base))).pieces
    return TunedNetwork(weights.load(str(base)).model.model, architecture, pieces)


def made(base: Path, architecture: Architecture) -> TunedNetwork:
    """A network on a small random base whose additions and head are random too, so that nothing is left as it began."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = begun(base, architecture)
        for tensor in network.trained().values():
            torch.nn.init.normal_(tensor, std=0.3)
    return network.eval()


@pytest.fixture
def network(tiny_llama: Path) -> TunedNetwork:
    return made(tiny_llama, ARCHITECTURE)


@pytest.fixture
def deeper(tiny_llama: Path) -> TunedNetwork:
    """One with additions below the layers where text and explanation meet, which reads spelling."""
    return made(tiny_llama, DEEPER)


@torch.inference_mode()
def alone(network: TunedNetwork, explanation: tuple[int, ...], text: tuple[int, ...]) -> torch.Tensor:
    logits: torch.Tensor = network([explanation], [text], [(0, 0)])
    return logits[0]


@torch.inference_mode()
def test_pairs_that_are_read_together_read_as_they_do_apart(network: TunedNetwork) -> None:
    pairs = [(0, 0), (2, 1), (1, 2), (1, 0), (2, 2)]
    together = network(EXPLANATIONS, TEXTS, pairs)
    assert together.shape == (5, 6, LEVELS)
    for found, (told, text) in zip(together, pairs, strict=True):
        expected = alone(network, EXPLANATIONS[told], TEXTS[text])
        assert torch.allclose(found[: len(TEXTS[text])], expected, atol=1e-4)


@torch.inference_mode()
def test_a_token_sees_its_explanation_and_the_text_before_it_and_no_more(network: TunedNetwork) -> None:
    before = alone(network, EXPLANATIONS[0], TEXTS[0])
    later = alone(network, EXPLANATIONS[0], (*TEXTS[0][:4], 99, 98))
    assert torch.allclose(before[:4], later[:4], atol=1e-5)
    assert not torch.allclose(before[4:], later[4:], atol=1e-2)
    assert not torch.allclose(before, alone(network, EXPLANATIONS[1], TEXTS[0]), atol=1e-2)


@torch.inference_mode()
def test_spelling_is_read_up_to_each_token(deeper: TunedNetwork) -> None:
    for sequence in (*EXPLANATIONS, *TEXTS):
        whole = deeper.lower([sequence])
        assert torch.allclose(whole[:, :3], deeper.lower([sequence[:3]]), atol=1e-5)
    before = deeper.lower(TEXTS)
    deeper.spelling.out.zero_()
    assert not torch.allclose(before, deeper.lower(TEXTS), atol=1e-2)


@torch.inference_mode()
def test_merged_additions_read_the_same(network: TunedNetwork, deeper: TunedNetwork) -> None:
    for one in (network, deeper):
        before = alone(one, EXPLANATIONS[0], TEXTS[0])
        one.merge()
        assert not any(isinstance(module, LowRank) for module in one.modules())
        assert torch.allclose(before, alone(one, EXPLANATIONS[0], TEXTS[0]), atol=1e-4)


def test_another_kind_of_base_is_read_and_trained_the_same_way() -> None:
    """Qwen's layers have biases and fewer heads for keys and values than for queries."""
    config = Qwen2Config(
        vocab_size=120,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = TunedNetwork(Qwen2Model(config).eval(), ARCHITECTURE, ())
        for tensor in network.trained().values():
            torch.nn.init.normal_(tensor, std=0.3)
    together = network(EXPLANATIONS, TEXTS, [(0, 0), (2, 1)])
    assert torch.allclose(together[1, : len(TEXTS[1])], alone(network, EXPLANATIONS[2], TEXTS[1]), atol=1e-4)
    together.logsumexp(-1).sum().backward()
    assert all(tensor.grad is not None and tensor.grad.any() for tensor in network.trained().values())
    network.merge()
    assert torch.allclose(together[0], alone(network, EXPLANATIONS[0], TEXTS[0]), atol=1e-4)


@torch.inference_mode()
def test_sequences_that_another_process_prepared_read_the_same(deeper: TunedNetwork) -> None:
    explanations, texts = deeper.prepared(EXPLANATIONS), deeper.prepared(TEXTS)
    pairs = [(0, 1), (2, 0)]
    assert torch.equal(deeper(explanations, texts, torch.tensor(pairs)), deeper(EXPLANATIONS, TEXTS, pairs))
    with pytest.raises(AssertionError, match="without the texts of the tokens"):
        deeper.lower(Sequences.of(TEXTS, None))


def test_only_the_additions_and_the_head_are_trained(network: TunedNetwork, deeper: TunedNetwork) -> None:
    for one, layers, spelling in ((network, 2, 0), (deeper, 3, 2)):
        one(EXPLANATIONS[:1], TEXTS[:1], [(0, 0)]).logsumexp(-1).sum().backward()
        assert all(tensor.grad is not None and tensor.grad.any() for tensor in one.trained().values())
        assert len(one.trained()) == layers * 7 * 2 + 5 + spelling
        assert all(tensor.grad is None for name, tensor in one.named_parameters() if name not in one.trained())


@torch.inference_mode()
def test_additions_to_the_lower_layers_change_what_is_read(network: TunedNetwork, deeper: TunedNetwork) -> None:
    deeper.restore(network.trained(), strict=False)
    assert not torch.allclose(
        alone(network, EXPLANATIONS[0], TEXTS[0]), alone(deeper, EXPLANATIONS[0], TEXTS[0]), atol=1e-3
    )
    with pytest.raises(KeyError):
        deeper.restore(network.trained())


def test_training_may_begin_with_an_adapter_of_fewer_layers(
    tmp_path: Path, tiny_llama: Path, network: TunedNetwork
) -> None:
    path = written(tmp_path / "fewer.safetensors", tiny_llama, network, [0.0] * LEVELS)
    deeper = begun(tiny_llama, DEEPER).eval()
    restore(deeper, read_adapter(str(path)), strict=False)
    with torch.inference_mode():
        found = alone(deeper, EXPLANATIONS[0], TEXTS[0])
        assert torch.allclose(alone(network, EXPLANATIONS[0], TEXTS[0]), found, atol=1e-5)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.lists(st.integers(1, 5), min_size=1, max_size=30))
def test_a_slot_is_read_at_the_first_token_that_reaches_it(theirs: list[int], ours: list[int]) -> None:
    wanted, ends = list(accumulate(theirs)), list(accumulate(ours))
    for end, found in zip(wanted, readers(ends, wanted), strict=True):
        assert ends[found] >= end or found == len(ends) - 1
        assert found == 0 or ends[found - 1] < end


# --------------------------------------------------------------------------------------------------------- the backend


@pytest.fixture
def adapter(tmp_path: Path, tiny_llama: Path, network: TunedNetwork) -> Path:
    """A file of the network's additions."""
    return written(tmp_path / "a.safetensors", tiny_llama, network, [0.0] * LEVELS)


def written(path: Path, base: Path, network: TunedNetwork, bias: list[float]) -> Path:
    about = {
        "base": str(base),
        "architecture": {"joint": 1, "top": 3, "rank": 2, "scale": 2.0, "hidden": 8},
        "temperature": 1.0,
        "bias": bias,
    }
    save_file(
        {name: one.detach().clone() for name, one in network.trained().items()}, path, {"neurogloss": json.dumps(about)}
    )
    return path


@pytest.fixture
def model(adapter: Path) -> TunedModel:
    return TunedModel(str(adapter))


def prompt(explanation: str, parts: list[str]) -> SlottedPrompt:
    return SlottedPrompt((Message("user", explanation),), tuple(parts), "", LEVELS)


PARTS = ["The", " harbour", " lay", " quiet", ",", " and", "\n", "boats"]


def test_a_reading_does_not_depend_on_what_is_asked_beside_it(model: TunedModel) -> None:
    prompts = [prompt(about, PARTS[:size]) for about in ("boats", "rain at noon") for size in (3, 5, 8)]
    together = dict(model.read_levels(prompts))
    assert sorted(together) == list(range(6))
    for index, one in enumerate(prompts):
        ((_, apart),) = model.read_levels([one])
        assert len(apart.probabilities) == len(one.parts)
        assert together[index].usage == apart.usage == model.cost(one)
        for found, expected in zip(together[index].probabilities, apart.probabilities, strict=True):
            assert found == pytest.approx(expected, abs=1e-5)
            assert sum(found) == pytest.approx(1.0)


def test_another_tokenization_of_the_subject_reads_the_same_places(model: TunedModel) -> None:
    ((_, whole),) = model.read_levels([prompt("boats", PARTS)])
    ((_, split),) = model.read_levels(
        [prompt("boats", ["T", "he", " har", "bour", " lay", " quiet", ",", " and", "\nboats"])]
    )
    places = {1: 0, 3: 1, 4: 2, 5: 3, 6: 4, 7: 5, 8: 7}
    for theirs, ours in places.items():
        assert split.probabilities[theirs] == pytest.approx(whole.probabilities[ours], abs=1e-6)


def test_the_bias_moves_the_levels(tmp_path: Path, tiny_llama: Path, network: TunedNetwork, model: TunedModel) -> None:
    sure = written(tmp_path / "b.safetensors", tiny_llama, network, [0.0] * (LEVELS - 1) + [50.0])
    ((_, found),) = TunedModel(str(sure)).read_levels([prompt("boats", PARTS)])
    assert all(shares[10] > 0.99 for shares in found.probabilities)
    assert TunedModel(str(sure)).identity != model.identity


def test_the_base_may_be_named_by_its_place(adapter: Path, tiny_llama: Path, model: TunedModel, tmp_path: Path) -> None:
    named = TunedModel(str(adapter), base=str(tiny_llama))
    assert named.identity == model.identity
    other = tmp_path / "other"
    shutil.copytree(tiny_llama, other)
    with pytest.raises(NeuroglossError, match=r"model\.base=.*other is not .*, which .* was trained on"):
        _ = TunedModel(str(adapter), base=str(other)).identity


def test_a_text_without_tokens_is_missing_and_no_zero(model: TunedModel) -> None:
    ((_, found),) = model.read_levels([prompt("boats", ["", ""])])
    assert found.outcome is Outcome.FAILED
    assert found.seen == (0, 0)


def test_it_writes_no_text(model: TunedModel) -> None:
    with pytest.raises(NeuroglossError, match="writes no text"):
        model.complete([CompletionPrompt((Message("user", "Hello"),))])


def test_what_is_no_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NeuroglossError, match="there is no adapter 'nonsense'"):
        read_adapter("nonsense")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a safetensors file")
    with pytest.raises(NeuroglossError, match="is not an adapter"):
        read_adapter(str(broken))
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(NeuroglossError, match="is not an adapter"):
        read_adapter(str(tmp_path / "other.safetensors"))


def test_an_adapter_of_another_architecture_is_refused(tmp_path: Path, tiny_llama: Path, network: TunedNetwork) -> None:
    path = written(tmp_path / "c.safetensors", tiny_llama, network, [0.0] * LEVELS)
    tensors = {name: one.detach().clone() for name, one in list(network.trained().items())[:-1]}
    with safe_open(path, "pt") as file:
        about = file.metadata()
    save_file(tensors, path, about)
    with pytest.raises(NeuroglossError, match="not an adapter of this version"):
        list(TunedModel(str(path)).read_levels([prompt("boats", PARTS)]))


def test_an_adapter_that_corrects_other_levels_is_refused(
    tmp_path: Path, tiny_llama: Path, network: TunedNetwork
) -> None:
    path = written(tmp_path / "d.safetensors", tiny_llama, network, [0.0] * (LEVELS - 1))
    with pytest.raises(NeuroglossError, match="is not an adapter"):
        read_adapter(str(path))


def test_training_begins_with_no_adapter_that_has_nothing_to_begin_with(network: TunedNetwork) -> None:
    with pytest.raises(KeyError):
        network.restore({"other": torch.zeros(1)}, strict=False)
