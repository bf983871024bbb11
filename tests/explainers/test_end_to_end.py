"""Every explainer of ``conf/`` from a frozen task to results, and two that ask SmolLM2, here and behind llama.cpp.

A new method is tested here as soon as its YAML file is there; one that reads a file must say in ``LINES`` which.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import weights
from harness.config.compose import composed
from harness.files import shipped
from harness.jobs import run
from harness.models.local.model import LocalModel
from harness.results.run import Results, read_run
from harness.tasks import catalog
from harness.tasks.units import read_task
from harness.types import Outcome, ScoredExplanation, Unit

REPLY = 12
"""The longest reply of SmolLM2, in tokens: long enough for a few words."""


def openai_file(neuron: Unit) -> dict[str, object]:
    return {
        "neuron_id": {"layer_index": neuron.place, "neuron_index": neuron.index},
        "scored_explanations": [{"explanation": " released words."}],
    }


def neuronpedia(neuron: Unit) -> dict[str, object]:
    return {"layer": str(neuron.place), "index": str(neuron.index), "description": "exported words"}


LINES = {"openai_file": openai_file, "neuronpedia": neuronpedia}
"""A line about a neuron, for each explainer that reads a file at its ``path``."""
OUTCOMES = {"people": {Outcome.NOT_COLLECTED}, "chain_of_thought": {Outcome.EMPTY}}
"""The outcomes of nobody's explanations, and of reasoning without a conclusion; all others are explanations."""
TABLES = {"token_lookup", "next_token_lookup", "oracle"}
ASKING_NONE = {*LINES, *TABLES, "people", "max_activation", "constant", "random_words", "shuffled"}
"""The methods that ask no model."""


@pytest.fixture
def units(tiny_task: Path) -> list[Unit]:
    return [record.unit for record in catalog.records(read_task(tiny_task), limit=2)]


def run_of(chosen: list[str]) -> Results:
    """Run, and read what the run left."""
    return read_run(run.run(run.prepare(composed("run", chosen)), chosen, lambda *_: None).folder)


def test_every_method_explains_every_unit_or_says_why_not(small: list[str], units: list[Unit], tmp_path: Path) -> None:
    options = [path.stem for path in sorted((shipped("conf") / "explainer").glob("*.yaml"))]
    chosen = [*small, f"explainer=[{','.join(options)}]", "units.limit=2"]
    for name, line in LINES.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(line(unit)) + "\n" for unit in units))
        chosen.append(f"explainer.{name}.path={path}")
    results = run_of(chosen)
    infos = {info.method: info for info in results.explainers}
    assert sorted(infos) == options
    for method, info in infos.items():
        asks = method not in ASKING_NONE
        assert (info.name, info.model) == ((f"{method} · fake", "fake") if asks else (method, ""))
        scored = scored_of(results, info.name)
        assert [item.unit for item in scored] == units
        assert {item.explanation.outcome for item in scored} == OUTCOMES.get(method, {Outcome.OK}), method
        for item in scored:
            check(item, asks, method)


def scored_of(results: Results, explainer: str) -> list[ScoredExplanation]:
    return [item for key, scored in results.scored.items() if key.explainer == explainer for item in scored]


def check(item: ScoredExplanation, asks: bool, method: str) -> None:
    explanation = item.explanation
    assert (explanation.usage.requests > 0, bool(explanation.prompt_version)) == (asks, asks)
    assert ("correlation" in item.scores.values) is (explanation.outcome is Outcome.OK)
    assert (item.simulator == "lookup") is (method in TABLES)
    assert bool(explanation.text) is explanation.in_words


def smollm2_run(small: list[str], units: list[Unit], model: list[str]) -> Results:
    chosen = [*small, "explainer=[token_activation,summary]", f"units.ids=[{units[0]}]", *model]
    return run_of([*chosen, *(f"explainer.{name}.max_tokens={REPLY}" for name in ("token_activation", "summary"))])


def check_smollm2(results: Results, units: list[Unit]) -> None:
    assert [info.method for info in results.explainers] == ["token_activation", "summary"]
    for info in results.explainers:
        scored = scored_of(results, info.name)
        assert [item.unit for item in scored] == units[:1]
        for item in scored:
            assert item.explanation.outcome in {Outcome.OK, Outcome.TRUNCATED, Outcome.COPIED}
            assert item.explanation.text
            assert 0 < item.explanation.usage.completion_tokens <= REPLY + 1
            assert item.explanation.usage.prompt_tokens >= 100 * item.explanation.usage.requests > 0


@pytest.mark.slow
def test_two_methods_ask_smollm2_in_this_process(small: list[str], units: list[Unit], smollm2: weights.Loaded) -> None:
    model = LocalModel(weights.EMBEDDED, dtype="float32")  # keeps the weights in memory for the run
    assert model.engine
    results = smollm2_run(small, units, ["explainer_model=[smollm2]"])
    check_smollm2(results, units)
    assert {info.identity for info in results.explainers} == {model.identity}


@pytest.mark.slow
def test_two_methods_ask_smollm2_behind_a_server(small: list[str], units: list[Unit], llama_cpp: str) -> None:
    server = ["explainer_model.server.name=SmolLM2-135M-Instruct", f"explainer_model.server.base_url={llama_cpp}"]
    results = smollm2_run(small, units, ["explainer_model=[server]", *server])
    check_smollm2(results, units)
    assert {info.identity.base_url for info in results.explainers if info.identity} == {llama_cpp}
