"""Sampled text is repeatable, ends where it should, and is drawn from the tokens that it may be drawn from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.subjects.sampling import Sampling, Tokens, draw, sample
from harness.types import NeuroglossError

PROMPTS: list[Tokens] = [(5, 6, 7), (8, 9), (10, 11, 12), (13, 14), (15,), (5, 6, 7)]


def quiet(*_: object) -> None:
    pass


def sampled(model: Any, sampling: Sampling, ends: tuple[int, ...] = ()) -> dict[int, Tokens]:
    return dict(sample(model, PROMPTS, ends, sampling, quiet))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_text_and_another_seed_another(model: Any) -> None:
    sampling = Sampling(12, seed=3, batch_size=2)
    first = sampled(model, sampling)
    assert sampled(model, sampling) == first
    assert sampled(model, Sampling(12, seed=4, batch_size=2)) != first
    assert sorted(first) == list(range(6))
    assert all(len(tokens) == 12 for tokens in first.values())
    assert first[0] != first[5]  # one prompt, two texts


def test_almost_no_temperature_gives_the_likeliest_text(model: Any) -> None:
    found = sampled(model, Sampling(6, temperature=1e-4, batch_size=4))
    for index, prompt in enumerate(PROMPTS):
        tokens = list(prompt)
        for _ in range(6):
            with torch.no_grad():
                tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
        assert found[index] == tuple(tokens[len(prompt) :])


def test_a_text_ends_at_an_end_and_goes_on_unchanged_elsewhere(model: Any) -> None:
    sampling = Sampling(12, temperature=1e-4, batch_size=4)
    whole = sampled(model, sampling)
    end = whole[0][5]
    for index, tokens in sampled(model, sampling, ends=(end,)).items():
        cut = whole[index].index(end) if end in whole[index] else 12
        assert tokens == whole[index][:cut]


@pytest.mark.slow
def test_what_is_known_is_not_written_again_and_a_batch_that_was_begun_is(model: Any) -> None:
    sampling = Sampling(12, seed=3, batch_size=2)
    whole = list(sample(model, PROMPTS, (), sampling, quiet))
    asked: list[torch.Size] = []

    def counting(**given: Any) -> Any:
        asked.append(given["input_ids"].shape)
        return model(**given)

    counting.device = model.device  # type: ignore[attr-defined]
    for kept in range(len(PROMPTS) + 1):
        asked.clear()
        assert list(sample(counting, PROMPTS, (), sampling, quiet, known=dict(whole[:kept]))) == whole
        batches = [1, 3, 5, 6]  # how many texts are there after each batch: lengths are 1, 2, and 3 tokens thrice
        assert len(asked) == 12 * sum(kept < after for after in batches)


def test_progress_is_told_to_the_end(model: Any) -> None:
    told: list[tuple[str, int, int]] = []
    list(sample(model, PROMPTS, (), Sampling(1, batch_size=2), lambda *one: told.append(one)))
    assert told[0] == ("sampling text", 0, 6)
    assert told[-1] == ("sampling text", 6, 6)


@settings(max_examples=settings().max_examples // 2)
@given(
    logits=st.lists(st.floats(-5, 5, width=32), min_size=6, max_size=6),
    top_p=st.floats(0.05, 1.0),
    top_k=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_only_the_likeliest_are_drawn(logits: list[float], top_p: float, top_k: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.tensor([logits] * 20)
    drawn = set(draw(rows, Sampling(1, top_p=top_p, top_k=top_k), generator).tolist())
    probabilities = torch.tensor(logits).softmax(-1)
    for token in drawn:
        likelier = probabilities[probabilities > probabilities[token]]
        assert len(likelier) < top_k
        assert float(likelier.sum()) < top_p + 1e-6


@pytest.mark.parametrize(
    "wrong", [{"tokens": 0}, {"temperature": 0.0}, {"top_p": 0.0}, {"top_p": 1.1}, {"top_k": 0}, {"batch_size": 0}]
)
def test_settings_without_meaning_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(NeuroglossError, match="the sampled corpus"):
        Sampling(**{"tokens": 4, **wrong})
