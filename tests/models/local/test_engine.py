"""A model run over a token tree gives what it gives to each sequence alone, and the same bits whatever is beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, Gemma2Config, MistralConfig

from harness import weights
from harness.models.local.engine import Engine, Scores
from harness.types import NeuroglossError

FAMILIES = ["tiny_llama", "tiny_gpt2", "tiny_neox"]
TOKENS = range(20, 30)


def sequences(seed: int, vocabulary: int, count: int = 12) -> list[list[int]]:
    """Sequences that share beginnings of all lengths; one is the beginning of another, and two are equal."""
    random = np.random.default_rng(seed)
    stem = random.integers(vocabulary, size=40).tolist()
    found = []
    for _ in range(count):
        found.append(stem[: random.integers(1, 40)] + random.integers(vocabulary, size=random.integers(1, 30)).tolist())
        stem = found[-1] + stem[:40] if random.random() < 0.5 else stem
    return [*found, found[0][: len(found[0]) // 2], list(found[1])]


def places(ids: list[list[int]]) -> list[list[int]]:
    return [sorted({0, len(one) // 3, len(one) - 1}) for one in ids]


def apart(first: Scores, second: Scores) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(first, second, strict=True))


def engine(folder: Path, dtype: str = "float32", **sizes: int) -> Engine:
    return Engine(weights.load(str(folder), dtype=dtype).model, **sizes)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sizes", [(1024, 128), (23, 7)])
def test_a_tree_reads_as_each_sequence_alone(
    family: str, sizes: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    shared = engine(request.getfixturevalue(family), pack_tokens=sizes[0], group_tokens=sizes[1])
    assert shared.shares
    ids = sequences(1, 512)
    found = dict(shared.read(ids, places(ids), TOKENS))
    assert sorted(found) == list(range(len(ids)))
    for index, (one, at) in enumerate(zip(ids, places(ids), strict=True)):
        assert apart(found[index], shared.read_alone(one, at, TOKENS)) < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_sequences_continued_together_go_as_full_passes_do(family: str, request: pytest.FixtureRequest) -> None:
    shared = engine(request.getfixturevalue(family), pack_tokens=50)
    ids = sequences(2, 512, count=4)
    decoder = shared.start(ids, 6)
    random = np.random.default_rng(3)
    for step in range(6):
        for row, one in enumerate(ids):
            full, _ = shared.read_alone(one, [len(one) - 1], range(512))
            assert torch.allclose(decoder.logits[row], full[0], atol=1e-4)
        if step in (2, 4):
            kept = [0, 2, 3] if step == 2 else [1]
            decoder.keep(kept)
            ids = [ids[row] for row in kept]
        new = random.integers(512, size=len(ids)).tolist()
        decoder.step(new)
        ids = [[*one, token] for one, token in zip(ids, new, strict=True)]


@pytest.mark.slow
def test_in_bfloat16_a_reading_is_the_same_bits_whatever_is_beside_it(smollm2: weights.Loaded) -> None:
    """So that a run that was interrupted, and asks for the rest, reads what it would have read."""
    shared = Engine(weights.load(smollm2.identity.name, dtype="bfloat16").model)
    ids = sequences(4, 40_000, count=5)
    found = dict(shared.read(ids, places(ids), TOKENS))
    shared.pack_tokens, shared.group_tokens = 61, 17
    for index, scores in shared.read(ids[3:], places(ids)[3:], TOKENS):
        assert apart(scores, found[3 + index]) == 0.0


@pytest.mark.slow
def test_in_bfloat16_a_continuation_is_the_same_bits_whatever_is_beside_it(smollm2: weights.Loaded) -> None:
    shared = Engine(weights.load(smollm2.identity.name, dtype="bfloat16").model)
    ids = sequences(5, 40_000, count=2)
    together, alone = shared.start(ids, 4), shared.start(ids[1:2], 4)
    for token in (5, 50, 500):
        together.step([token] * len(ids))
        alone.step([token])
        assert torch.equal(together.logits[1], alone.logits[0])


# A model of each way in which a model can be beyond the tree: biases of its own, capped scores, a window.
BEYOND: dict[str, Any] = {
    "bloom": BloomConfig(vocab_size=512, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3),
    "gemma2": Gemma2Config(
        vocab_size=512,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=8,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=2.0,
        initializer_range=0.3,
    ),
    "mistral": MistralConfig(
        vocab_size=512,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=24,
        initializer_range=0.3,
    ),
}


@pytest.mark.parametrize("name", BEYOND)
@pytest.mark.filterwarnings("ignore:.*cannot share the beginnings")
def test_a_model_beyond_the_tree_is_run_in_its_own_way(name: str) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(BEYOND[name]).eval().requires_grad_(False)
    shared = Engine(model)
    assert shared.shares is (name == "mistral")  # whose short sequences do not feel its window
    ids = sequences(6, 512, count=4)
    found = dict(shared.read(ids, places(ids), TOKENS))
    decoder = shared.start(ids[:1], 2)
    decoder.step([7])
    fresh = AutoModelForCausalLM.from_config(BEYOND[name]).eval()
    fresh.load_state_dict(model.state_dict())
    with torch.inference_mode():
        for index, (one, at) in enumerate(zip(ids, places(ids), strict=True)):
            logits = fresh(input_ids=torch.tensor([one])).logits[0, at]
            assert apart(found[index], (logits[:, list(TOKENS)], logits.logsumexp(-1))) < 1e-4
        assert torch.allclose(decoder.logits[0], fresh(input_ids=torch.tensor([[*ids[0], 7]])).logits[0, -1], atol=1e-4)


def test_a_model_beyond_the_tree_is_named_once() -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(BEYOND["bloom"]).eval()
    with pytest.warns(UserWarning, match="BloomForCausalLM cannot share the beginnings of prompts"):
        Engine(model)


def test_batches_are_of_like_length_and_bounded(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = engine(tiny_llama)
    monkeypatch.setattr("harness.models.local.engine._CACHE_BYTES", 100 * shared._bytes_per_token)
    lengths = [40, 10, 12, 90, 9, 11]
    batches = shared.batches([[0] * length for length in lengths], room=10)
    assert [[lengths[index] for index in batch] for batch in batches] == [[9, 10, 11, 12], [40], [90]]


def short_of_memory(shared: Engine, most: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a pass of more than ``most`` tokens run out of memory; the sizes of all passes are noted."""
    run, sizes = shared.run, []

    def limited(tokens: torch.Tensor, *others: Any) -> torch.Tensor:
        sizes.append(tokens.numel())
        if tokens.numel() > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(tokens, *others)

    monkeypatch.setattr(shared, "run", limited)
    return sizes


def test_a_pass_is_halved_until_memory_does(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = sequences(7, 512, count=30)
    expected = dict(engine(tiny_llama).read(ids, places(ids), TOKENS))
    shared = engine(tiny_llama, pack_tokens=512)
    sizes = short_of_memory(shared, 130, monkeypatch)
    found = list(shared.read(ids, places(ids), TOKENS))
    assert shared.pack_tokens == 128
    assert sorted(index for index, _ in found) == list(range(len(ids))), "none is lost, and none is read twice"
    assert all(apart(scores, expected[index]) < 1e-4 for index, scores in found)
    assert max(sizes) > 130


def test_what_a_pass_has_read_before_memory_ran_out_is_kept(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = sequences(8, 512, count=30)
    shared = engine(tiny_llama, pack_tokens=128)
    run, passes = shared.run, iter(range(100))

    def once(*arguments: Any) -> torch.Tensor:
        if next(passes) == 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return run(*arguments)

    monkeypatch.setattr(shared, "run", once)
    assert sorted(index for index, _ in shared.read(ids, places(ids), TOKENS)) == list(range(len(ids)))
    assert shared.pack_tokens == 64


def test_a_model_that_fits_no_pass_is_one_sentence(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = engine(tiny_llama)
    short_of_memory(shared, 0, monkeypatch)
    with pytest.raises(NeuroglossError, match="too little memory for this model, even with 64 tokens"):
        dict(shared.read([[1, 2]], [[0]], TOKENS))


def test_any_other_error_is_no_want_of_memory(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = engine(tiny_llama)
    monkeypatch.setattr(shared, "run", lambda *_: (_ for _ in ()).throw(RuntimeError("shapes")))
    with pytest.raises(RuntimeError, match="shapes"):
        dict(shared.read([[1, 2]], [[0]], TOKENS))
