"""Reading levels in this process: equal to the model's own full forward passes, however prompts share beginnings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness import weights
from harness.models.backend import Backend
from harness.models.local.engine import Decoder
from harness.models.local.model import LocalModel
from harness.types import CompletionPrompt, Message, NeuroglossError, Outcome, SlottedPrompt

FAMILIES = ["tiny_llama", "tiny_gpt2", "tiny_neox"]
WORDS = ["The", " harbour", " lay", " quiet", "\\n", " <|im_end|>", " 10", " boats", ",", " and", " the", " crate"]


def slotted(explanation: str, words: list[str], levels: int = 10) -> SlottedPrompt:
    parts = [("\n" if number else "") + word + "\t" for number, word in enumerate(words)]
    messages = (Message("system", "Write levels."), Message("user", f"The neuron fires on {explanation}"))
    return SlottedPrompt(messages, tuple(parts), "-", levels)


PROMPTS = [slotted(about, WORDS[start:]) for about in ("boats", "boats and crates", "rain") for start in range(3)]


def truncated(prompt: SlottedPrompt) -> list[SlottedPrompt]:
    """One prompt for each slot of ``prompt``, holding the same text up to it and that slot alone."""
    texts = ["".join(part + prompt.placeholder for part in prompt.parts[:slot]) for slot in range(len(prompt.parts))]
    return [
        SlottedPrompt(prompt.messages, (text + part,), prompt.placeholder, prompt.levels)
        for text, part in zip(texts, prompt.parts, strict=True)
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_levels_equal_those_of_full_forward_passes(family: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(family)
    model = LocalModel(str(folder), dtype="float32", batch_tokens=64)
    assert isinstance(model, Backend)
    plain = weights.load(str(folder), dtype="float32").model
    tokens = model.renderer.level_tokens[:10]
    for index, found in model.read_levels(PROMPTS):
        rendered = model.renderer.slotted(PROMPTS[index])
        with torch.inference_mode():
            logits = plain(input_ids=torch.tensor([rendered.ids])).logits[0, rendered.slots].double()
        expected = logits[:, tokens].softmax(-1)
        mass = (logits[:, tokens].logsumexp(-1) - logits.logsumexp(-1)).exp()
        assert torch.allclose(torch.tensor(found.probabilities, dtype=torch.float64), expected, atol=1e-4)
        assert torch.allclose(torch.tensor(found.mass, dtype=torch.float64), mass, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_prompt_with_many_slots_reads_as_many_prompts_with_one(family: str, request: pytest.FixtureRequest) -> None:
    model = LocalModel(str(request.getfixturevalue(family)), dtype="float32")
    ((_, together),) = model.read_levels([PROMPTS[0]])
    apart = dict(model.read_levels(truncated(PROMPTS[0])))
    for slot, probabilities in enumerate(together.probabilities):
        assert probabilities == pytest.approx(apart[slot].probabilities[0], abs=1e-5)
        assert together.mass[slot] == pytest.approx(apart[slot].mass[0], abs=1e-5)


@pytest.mark.slow
def test_the_same_holds_for_smollm2_in_bfloat16(smollm2: weights.Loaded) -> None:
    model = LocalModel()
    ((_, together),) = model.read_levels([PROMPTS[0]])
    apart = dict(model.read_levels(truncated(PROMPTS[0])))
    for slot, probabilities in enumerate(together.probabilities):
        assert probabilities == pytest.approx(apart[slot].probabilities[0], abs=1e-3)


def test_shared_beginnings_are_computed_once(tiny_llama: Path) -> None:
    model = LocalModel(str(tiny_llama), dtype="float32", batch_tokens=4096)
    dict(model.read_levels(PROMPTS))
    rendered = [tuple(model.renderer.slotted(prompt).ids) for prompt in PROMPTS]
    distinct = {ids[:length] for ids in rendered for length in range(1, len(ids) + 1)}
    assert model.engine.computed == len(distinct)


def test_a_reply_does_not_depend_on_what_else_is_asked(tiny_llama: Path) -> None:
    model = LocalModel(str(tiny_llama), dtype="float32")
    prompts = [
        CompletionPrompt((Message("user", f"Say {word}"),), max_tokens=12, temperature=temperature, seed=3)
        for word in WORDS
        for temperature in (0.0, 1.0)
    ]
    together = dict(model.complete(prompts))
    for index in (0, 5, 23):
        ((_, alone),) = model.complete([prompts[index]])
        assert alone == together[index]


def test_replies_are_continued_in_halves_where_memory_runs_out(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [CompletionPrompt((Message("user", f"Say {word}"),), max_tokens=6) for word in WORDS]
    expected = dict(LocalModel(str(tiny_llama), dtype="float32").complete(prompts))
    model = LocalModel(str(tiny_llama), dtype="float32", batch_tokens=2048)
    start, rows = model.engine.start, []

    def limited(sequences: list[list[int]], room: int) -> Decoder:
        rows.append(len(sequences))
        if len(sequences) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return start(sequences, room)

    monkeypatch.setattr(model.engine, "start", limited)
    assert dict(model.complete(prompts)) == expected
    assert rows == [12, 6, 3, 3, 6, 3, 3]


def test_a_reply_that_is_cut_says_so(tiny_llama: Path) -> None:
    prompt = CompletionPrompt((Message("user", "Say boats"),), max_tokens=3)
    ((_, reply),) = LocalModel(str(tiny_llama)).complete([prompt])
    assert (reply.outcome, reply.usage.completion_tokens) == (Outcome.TRUNCATED, 3)


def test_a_prompt_beyond_the_models_context_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(NeuroglossError, match="takes 512"):
        dict(LocalModel(str(tiny_llama)).read_levels([slotted("boats", WORDS * 40)]))


@pytest.mark.slow
def test_more_levels_than_the_tokenizer_writes_are_refused(smollm2: weights.Loaded) -> None:
    model = LocalModel()
    assert model.levels() == 10
    with pytest.raises(NeuroglossError, match="10 levels, not 11"):
        dict(model.read_levels([slotted("boats", WORDS, levels=11)]))


def test_an_excerpt_cannot_end_a_turn(tiny_llama: Path) -> None:
    renderer = LocalModel(str(tiny_llama)).renderer
    end = renderer.tokenizer.convert_tokens_to_ids("<|im_end|>")
    ids = renderer.slotted(slotted("boats", ["<|im_end|>"])).ids
    scaffold = renderer.slotted(slotted("boats", ["boats"])).ids
    assert ids.count(end) == scaffold.count(end)
