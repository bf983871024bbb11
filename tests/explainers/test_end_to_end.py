"""Every explainer of ``conf/`` from a frozen task to results, asking SmolLM2 in this process and behind llama.cpp.

A new method is tested here as soon as its YAML file is there; one that reads a file must say in ``FILES`` which.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from harness import experiment, gallery, results, tasks, weights
from harness.hydra_config import composed
from harness.models.local import LocalModel
from harness.subjects.collect import Collection, CollectionSettings
from harness.types import Excerpt, NeuronId, NeuronRecord, Outcome

NEURONS = ("L0N198", "L23N1100")
LENGTH = 12
REPLY = 12
"""The longest reply, in tokens: long enough for a few words."""


def openai_file(neuron: NeuronId) -> dict[str, object]:
    return {
        "neuron_id": {"layer_index": neuron.layer, "neuron_index": neuron.index},
        "scored_explanations": [{"explanation": " released words."}],
    }


def neuronpedia(neuron: NeuronId) -> dict[str, object]:
    return {"layer": str(neuron.layer), "index": str(neuron.index), "description": "exported words"}


FILES = {"openai_file": openai_file, "neuronpedia": neuronpedia}
"""What a line says of a neuron, for each explainer that reads a file at its ``path``."""
NAMED = {"people": {Outcome.NOT_COLLECTED}, "chain_of_thought": {Outcome.TRUNCATED}}
"""What becomes of the explanations that there cannot be: of nobody, and of reasoning cut short of its conclusion."""
ENDED = {Outcome.OK, Outcome.TRUNCATED}
"""What becomes of the others, as a small model may not end its sentence in so few tokens."""


def window(excerpt: Excerpt) -> Excerpt:
    """The tokens around the largest activation."""
    largest = excerpt.activations.index(excerpt.maximum)
    first = min(max(0, largest - 8), len(excerpt.tokens) - LENGTH)
    part = slice(first, first + LENGTH)
    return dataclasses.replace(
        excerpt,
        tokens=excerpt.tokens[part],
        token_ids=excerpt.token_ids[part],
        activations=excerpt.activations[part],
        source=f"{excerpt.source}+{first}",
    )


def cut(record: NeuronRecord) -> NeuronRecord:
    """Two short train excerpts, as many to calibrate and to report on."""
    return dataclasses.replace(
        record, top=tuple(map(window, record.top[:8])), random=tuple(map(window, record.random[:3]))
    )


@pytest.fixture(scope="module")
def small_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two neurons of the shipped task, with few and short excerpts."""
    shipped = tasks.read_task(tasks.find_task("smollm2-mini-v1"))
    records = tuple(map(cut, tasks.select(shipped, neurons=NEURONS)))
    settings = CollectionSettings(excerpt_tokens=LENGTH, top=8, random=3)
    folder = tmp_path_factory.mktemp("tasks") / "small-v1"
    tasks.write_task(folder, Collection(shipped.subject, settings, records, (), 0, 0, 1))
    return folder


@pytest.fixture(scope="module")
def loaded(smollm2: weights.Loaded) -> LocalModel:
    """Keeps the weights in memory from test to test; every model of that name shares them."""
    model = LocalModel(weights.EMBEDDED, dtype="float32")
    assert model.engine
    return model


def overrides(option: str, small_task: Path, folder: Path) -> list[str]:
    """A run of one explainer that is as quick as it can be."""
    chosen = [f"task.path={small_task}", f"output={folder}", "simulator=token_overlap", "scores.ablation=false"]
    chosen += [f"explainer={option}", *(f"{place}={REPLY}" for place in gallery.places(option, "max_tokens"))]
    chosen += [f"{place}={3 * REPLY}" for place in gallery.places(option, "max_sentences_tokens")]
    chosen += [f"{place}=1" for place in gallery.places(option, "rounds")]
    if option in FILES:
        path = folder / f"{option}.jsonl"
        path.write_text("".join(json.dumps(FILES[option](NeuronId.parse(name))) + "\n" for name in NEURONS))
        chosen.append(f"explainer.{option}.path={path}")
    return chosen


def check(option: str, chosen: list[str]) -> results.Results:
    """Run it, and find in what it left an explanation or a named reason for each neuron, and what it cost."""
    folder, _ = experiment.run(experiment.prepare(composed("run", chosen)), chosen, lambda *_: None)
    found = results.read_run(folder)
    scored = found.scored[option]
    assert [str(one.explanation.neuron) for one in scored] == list(NEURONS)
    asks = bool(gallery.places(option, "model"))
    for one in scored:
        told = one.explanation
        print(option, told.outcome, repr(told.text), told.usage)
        assert (told.usage.requests > 0, told.usage.completion_tokens > 0, bool(told.prompt_version)) == (asks,) * 3
        assert told.usage.prompt_tokens >= 100 * told.usage.requests
        if told.outcome is Outcome.OK:
            assert "correlation" in one.scores.values
            assert told.text or found.summaries[0].simulator == "lookup"
    assert {one.explanation.outcome for one in scored} <= NAMED.get(option, ENDED)
    return found


@pytest.mark.parametrize("option", gallery.options())
def test_it_runs_in_this_process(option: str, small_task: Path, loaded: LocalModel, tmp_path: Path) -> None:
    chosen = overrides(option, small_task, tmp_path)
    chosen += [f"model@{place}=smollm2" for place in gallery.places(option, "model")]
    found = check(option, chosen)
    assert found.explainers[0].identity == (loaded.identity if gallery.places(option, "model") else None)


@pytest.mark.parametrize("option", [name for name in gallery.options() if gallery.places(name, "model")])
def test_it_runs_against_a_server(option: str, small_task: Path, llama_cpp: str, tmp_path: Path) -> None:
    chosen = overrides(option, small_task, tmp_path)
    for place in gallery.places(option, "model"):
        chosen += [f"model@{place}=server", f"{place}.name=SmolLM2-135M-Instruct", f"{place}.base_url={llama_cpp}"]
    found = check(option, chosen)
    assert found.explainers[0].identity is not None
    assert found.explainers[0].identity.base_url == llama_cpp
