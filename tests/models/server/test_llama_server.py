"""SmolLM2 behind llama.cpp's own server on loopback, asked by the real client, from explanation to levels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.explainers.token_activation import TokenActivation
from harness.models.backend import StoredModel
from harness.models.server.capabilities import NO_ECHO
from harness.models.server.model import ServerModel
from harness.models.store import Store
from harness.simulators.all_at_once import AllAtOnce
from harness.simulators.one_at_a_time import OneAtATime
from harness.types import (
    Evidence,
    Excerpt,
    ExcerptKind,
    Explanation,
    NeuroglossError,
    Outcome,
    Query,
    TokenSums,
    Unit,
)

TOKENS = ("The", " storm", " came", " at", " night", ",", " and", " the", " fog", " stayed", ".")
QUERY = Query(Explanation(Unit("N", 0, 0), text="words for bad weather", explainer="test"), TOKENS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite") as opened:
        yield opened


def model(url: str, **settings: Any) -> ServerModel:
    return ServerModel("SmolLM2-135M-Instruct", base_url=url, concurrency=2, timeout=300.0, **settings)


@pytest.mark.slow
def test_a_neuron_is_explained(llama_cpp: str, store: Store) -> None:
    activations = tuple(5.0 if token in (" storm", " fog") else 0.0 for token in TOKENS)
    excerpt = Excerpt(TOKENS, (), activations, ExcerptKind.TOP)
    sums = TokenSums(TOKENS, np.ones(len(TOKENS), np.int64), np.array(activations))
    explainer = TokenActivation(StoredModel(model(llama_cpp), store))
    evidence = Evidence(Unit("N", 0, 0), (excerpt,), sums, 0.0)
    (found,) = explainer.explain([evidence])
    assert found.outcome in {Outcome.OK, Outcome.COPIED}
    assert len(found.text.split()) > 1
    assert found.usage.prompt_tokens > 200
    assert 0 < found.usage.completion_tokens <= found.usage.requests * explainer.max_tokens
    costs = [model(llama_cpp).cost(explainer.requests(evidence, draw)[0]).prompt_tokens for draw in (0, 1)]
    assert found.usage.prompt_tokens <= sum(costs[: found.usage.requests])


@pytest.mark.slow
def test_one_at_a_time_reads_the_generated_position(llama_cpp: str, store: Store) -> None:
    stored = StoredModel(model(llama_cpp), store)
    assert stored.levels() == 10, "SmolLM2 writes each digit as a token"
    (found,) = OneAtATime(stored).simulate([QUERY])
    assert found.outcome is Outcome.OK
    assert all(0.0 <= value <= 9.0 for value in found.expected)
    assert found.mass is not None
    assert all(0.3 < mass <= 1.0 + 1e-6 for mass in found.mass)
    before = found.usage
    (again,) = OneAtATime(StoredModel(model(llama_cpp), store)).simulate([QUERY])
    assert again.expected == found.expected
    assert (before.stored, again.usage.stored) == (0, len(TOKENS))


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"transport": "generated"}, {"transport": "text"}], ids=lambda one: one["transport"]
)
def test_all_at_once_has_the_lines_copied_as_far_as_so_small_a_model_can(
    llama_cpp: str, store: Store, settings: dict[str, str]
) -> None:
    (found,) = AllAtOnce(StoredModel(model(llama_cpp, **settings), store)).simulate([QUERY])
    read = [value for value in found.expected if not math.isnan(value)]
    assert found.outcome is Outcome.OK
    assert len(found.expected) == len(TOKENS)
    assert len(read) >= 2
    assert all(0.0 <= value <= 10.0 for value in read)


@pytest.mark.slow
def test_all_at_once_is_written_as_json(llama_cpp: str, store: Store) -> None:
    (found,) = AllAtOnce(StoredModel(model(llama_cpp, transport="text", json_schema=True), store)).simulate([QUERY])
    assert len(found.expected) == len(TOKENS)
    assert any(not math.isnan(value) for value in found.expected)


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_its_missing_prompt_log_probabilities_are_found_out(llama_cpp: str, store: Store, api: str) -> None:
    with pytest.raises(NeuroglossError, match=NO_ECHO):
        StoredModel(model(llama_cpp, api=api, transport="prompt"), store).levels()
    assert len(store) == 0
