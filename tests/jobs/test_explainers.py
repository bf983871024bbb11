from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.config.build import assemble
from harness.config.compose import composed, plain, settings_from
from harness.config.settings import AskingSettings, RunSettings
from harness.explainers.joined import Joined
from harness.jobs.explainers import ExplainerNode, explainer_nodes
from harness.types import NeuroglossError

MODELS = {"a": {"use": "model/fake", "name": "first"}, "b": {"use": "model/fake", "name": "second"}}
OWN = {"use": "model/fake", "name": "org/own"}


def settings(explainer: dict[str, Any], models: dict[str, Any] = MODELS, **values: Any) -> RunSettings:
    """The settings of a run with these methods and models."""
    return RunSettings(explainer=explainer, explainer_model=models, **values)


def names(explainer: dict[str, Any], models: dict[str, Any] = MODELS) -> list[str]:
    return [row.name for row in explainer_nodes(settings(explainer, models))]


def test_a_method_has_a_row_for_each_model() -> None:
    summary = {"use": "explainer/summary"}
    first, second = explainer_nodes(settings({"s": summary}))
    terms = {"candidates": 1, "temperature": 0.0, "seed": 0}
    lent = ("explainer.s.model",)
    assert first == ExplainerNode("s · a", "s", "a", {**terms, **summary, "model": MODELS["a"]}, lent)
    assert second == ExplainerNode("s · b", "s", "b", {**terms, **summary, "model": MODELS["b"]}, lent)


def test_rows_stand_in_the_order_of_the_config() -> None:
    methods = {"z": {"use": "explainer/summary"}, "lookup": {"use": "explainer/token_lookup"}}
    methods["h"] = {"use": "explainer/highlight"}
    assert names(methods) == ["z · a", "z · b", "lookup", "h · a", "h · b"]


def test_a_method_that_asks_no_model_is_a_row_by_its_own_name() -> None:
    node = {"use": "explainer/max_activation", "tokens": 2}
    assert explainer_nodes(settings({"max": node})) == [ExplainerNode("max", "max", "", node)]
    assert names({"max": node}, {}) == ["max"]


def test_a_method_with_a_model_of_its_own_keeps_it() -> None:
    (row,) = explainer_nodes(settings({"s": {"use": "explainer/summary", "model": OWN}}))
    assert (row.name, row.model, row.node["model"]) == ("s · org/own", "org/own", OWN)


def test_a_model_without_a_name_is_called_by_its_class() -> None:
    assert names({"s": {"use": "explainer/summary", "model": {"use": "model/tuned", "adapter": "x"}}}) == ["s · tuned"]


def test_methods_within_methods_ask_the_same_model() -> None:
    method = {
        "use": "explainer/joined",
        "input": {"use": "explainer/top_tokens"},
        "output": {"use": "explainer/summary"},
    }
    for row, model in zip(explainer_nodes(settings({"j": method})), MODELS, strict=True):
        assert row.name == f"j · {model}"
        assert row.node["input"]["model"] == row.node["output"]["model"] == MODELS[model]
        explainer = assemble(row.node)
        assert isinstance(explainer, Joined)


def test_only_places_without_a_model_are_filled() -> None:
    method = {"use": "explainer/joined", "input": {"use": "explainer/top_tokens", "model": OWN}}
    method["output"] = {"use": "explainer/summary"}
    for row in explainer_nodes(settings({"j": method})):
        assert row.node["input"]["model"] == OWN
        assert row.node["output"]["model"] == MODELS[row.model]


def test_models_of_all_parts_stand_in_the_name() -> None:
    method = {"use": "explainer/joined", "input": {"use": "explainer/top_tokens", "model": OWN}}
    method["output"] = {"use": "explainer/summary", "model": MODELS["a"]}
    assert names({"j": method}) == ["j · org/own + first"]
    method["output"] = {"use": "explainer/summary", "model": OWN}
    assert names({"j": method}) == ["j · org/own"]


def test_a_control_around_a_method_asks_too() -> None:
    shuffled = {"use": "explainer/shuffled", "explainer": {"use": "explainer/summary"}}
    assert names({"s": shuffled}) == ["s · a", "s · b"]


def test_the_config_itself_is_left_as_it_is() -> None:
    methods = {"j": {"use": "explainer/shuffled", "explainer": {"use": "explainer/summary"}}}
    explainer_nodes(settings(methods))
    assert methods == {"j": {"use": "explainer/shuffled", "explainer": {"use": "explainer/summary"}}}


def test_a_method_without_a_model_to_ask_is_refused() -> None:
    with pytest.raises(NeuroglossError) as refusal:
        names({"max": {"use": "explainer/max_activation"}, "s": {"use": "explainer/summary"}}, {})
    assert str(refusal.value) == (
        "explainer.s asks a model, and explainer_model names none; add explainer_model=NAME, or "
        "+model@explainer.s.model=NAME for this method alone."
    )


def test_two_rows_of_one_name_are_refused() -> None:
    methods = {"s": {"use": "explainer/summary"}, "s · a": {"use": "explainer/max_activation"}}
    with pytest.raises(NeuroglossError, match=r"2 explainers are called 's · a'; give one of their nodes another key"):
        names(methods)


def test_a_model_that_no_method_asks_is_no_mistake() -> None:
    assert names({"max": {"use": "explainer/max_activation"}}) == ["max"]


@pytest.mark.parametrize("method", ["summary", "joined", "revision", "clusters"])
def test_every_method_asks_on_the_terms_of_the_run(method: str) -> None:
    """A node written by hand leaves them out, and a best of one does not compare with a best of three."""
    inner = {"explainer": {"use": "explainer/highlight"}}
    parts = {"joined": {"input": {"use": "explainer/summary"}, "output": {"use": "explainer/top_tokens"}}}
    subject = {"subject": {"use": "subject/transformers", "name": "x"}} if method == "revision" else {}
    node = {"use": f"explainer/{method}", **parts.get(method, {} if method == "summary" else inner), **subject}
    run = settings({"m": node}, asking=AskingSettings(candidates=3, temperature=0.7), seed=5)
    nodes = [explainer_nodes(run)[0].node]
    count = 0
    while nodes:
        current = nodes.pop()
        nodes += [value for value in current.values() if isinstance(value, dict)]
        if "candidates" in current:
            assert (current["candidates"], current["temperature"], current["seed"]) == (3, 0.7, 5)
            count += 1
    assert count == {"joined": 2}.get(method, 1)


def test_terms_that_a_node_gives_stay() -> None:
    node = {"use": "explainer/summary", "temperature": 0.9, "seed": 3}
    row = explainer_nodes(settings({"s": node}, asking=AskingSettings(candidates=2, temperature=0.5), seed=1))[0]
    assert (row.node["candidates"], row.node["temperature"], row.node["seed"]) == (2, 0.9, 3)


@pytest.mark.parametrize(
    ("explainer", "models", "answer"),
    [
        ({"s": {"use": "explainer/summary", "promt": "x"}}, MODELS, "did you mean explainer.s.prompt?"),
        ({"s": {"use": "explainer/sumary"}}, MODELS, "explainer.s.use is 'explainer/sumary', which does not exist"),
        ({"s": {"use": "simulator/chance"}}, MODELS, "explainer.s.use is 'simulator/chance', which is no explainer"),
        ({"s": 3}, MODELS, "explainer.s is 3, but a mapping with use: explainer/NAME is wanted there."),
        ({"s": {"use": "explainer/shuffled"}}, MODELS, "explainer.s needs explainer"),
        (
            {"s": {"use": "explainer/summary"}},
            {"b": {"use": "model/server", "name": "x"}},
            "explainer_model.b needs base_url",
        ),
        ({}, {"b": {"use": "explainer/summary"}}, "explainer_model.b.use is 'explainer/summary', which is no model"),
        ({}, {"b": {"use": "model/fake", "nme": "x"}}, "did you mean explainer_model.b.name?"),
    ],
)
def test_a_node_that_does_not_fit_is_refused_by_its_key(explainer: Any, models: Any, answer: str) -> None:
    with pytest.raises(NeuroglossError) as refusal:
        explainer_nodes(settings(explainer, models))
    assert answer in str(refusal.value)


def test_the_default_run_and_a_run_of_two_servers() -> None:
    run = settings_from(RunSettings, plain(composed("run", [])))
    assert [row.name for row in explainer_nodes(run)] == [
        "token_activation · smollm2",
        "max_activation",
        "shuffled",
        "token_lookup",
    ]
    overrides = [
        "explainer=summary",
        "explainer_model=[fake]",
        "+explainer_model.b={use: model/server, name: b, base_url: 'http://localhost/v1'}",
    ]
    run = settings_from(RunSettings, plain(composed("run", overrides)))
    assert [row.name for row in explainer_nodes(run)] == ["summary · fake", "summary · b"]
    assert explainer_nodes(replace(run, explainer={})) == []
