"""Worked examples: the pool is sound, each unit has its own, and what only repeats them is no explanation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.config import plugins
from harness.explainers.highlight_summary import HighlightSummary
from harness.explainers.shared import asking
from harness.explainers.shared.asking import Asking
from harness.explainers.shared.cleaning import is_contentless, is_copy
from harness.explainers.shared.worked import deal
from harness.explainers.summary import Summary
from harness.explainers.token_activation import TokenActivation
from harness.models.prompts import load
from harness.types import Completion, Evidence, NeuroglossError, Outcome, Unit

POOL: list[dict[str, Any]] = yaml.safe_load((asking.PROMPTS / "worked_neurons-v1.yaml").read_text())
UNITS = [Unit("N", layer, index) for layer in range(6) for index in range(40)]
METHODS = [TokenActivation, Summary, HighlightSummary]


def test_the_pool_has_many_kinds_and_every_text_is_cut_into_all_of_itself() -> None:
    assert len({entry["explanation"] for entry in POOL}) == len(POOL) >= 24
    neurons = {neuron.explanation: neuron for neuron in deal(POOL, len(POOL), UNITS[0], 0)}
    for entry in POOL:
        excerpts = neurons[entry["explanation"]].evidence.excerpts
        plain = [re.sub(r"\{([^{}]+)=\d+\}", r"\1", text) for text in entry["texts"]]
        assert ["".join(excerpt.tokens) for excerpt in excerpts] == plain
        assert all(excerpt.maximum >= 7 for excerpt in excerpts)
        assert all(sum(value == 0 for value in excerpt.activations) >= 2 for excerpt in excerpts)


def test_each_unit_is_dealt_examples_of_its_own_whatever_else_is_asked() -> None:
    hands = [tuple(neuron.explanation for neuron in deal(POOL, 2, unit, 0)) for unit in UNITS]
    assert hands == [tuple(neuron.explanation for neuron in deal(POOL, 2, unit, 0)) for unit in UNITS]
    assert all(len(set(hand)) == 2 for hand in hands)
    counts = [sum(entry["explanation"] in hand for hand in hands) for entry in POOL]
    assert max(counts) < 0.2 * len(UNITS)  # 2 of 26 is 8 %: no example stands in most prompts
    assert hands[0] != tuple(neuron.explanation for neuron in deal(POOL, 2, UNITS[0], 1))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
def test_a_prompt_shows_the_examples_as_it_shows_the_unit(scripted, planted: Evidence, method: type[Asking]) -> None:
    explainer = method(scripted())
    (request,) = explainer.requests(planted)
    first = deal(POOL, 2, planted.unit, 0)[0]
    assert [message.role for message in request.messages] == ["system", *["user", "assistant"] * 2, "user"]
    assert request.messages[2].content == first.explanation
    (alone,) = explainer.requests(Evidence(planted.unit, first.evidence.excerpts, planted.token_sums, 0.0))
    assert alone.messages[-1] == request.messages[1]


@pytest.mark.parametrize("outcome", [Outcome.COPIED, Outcome.EMPTY])
def test_a_reply_that_says_nothing_is_asked_for_once_more_with_other_examples(
    scripted, planted: Evidence, outcome: Outcome
) -> None:
    bad = {Outcome.COPIED: deal(POOL, 2, planted.unit, 0)[1].explanation, Outcome.EMPTY: "certain words and tokens"}
    model = scripted(bad[outcome], "words for heat")
    (explanation,) = Summary(model).explain([planted])
    assert (explanation.text, explanation.outcome) == ("words for heat", Outcome.OK)
    assert explanation.usage.requests == 2
    assert model.asked[0].messages[-1] == model.asked[1].messages[-1]
    assert model.asked[0].messages[1] != model.asked[1].messages[1]
    model = scripted(bad[outcome], bad[Outcome.EMPTY])
    assert Summary(model).explain([planted])[0].outcome is Outcome.EMPTY
    assert len(model.asked) == 2  # once, and no more


def test_what_failed_otherwise_is_not_asked_again(scripted, planted: Evidence) -> None:
    model = scripted(Completion("I cannot help with that.", Outcome.REFUSED))
    assert Summary(model).explain([planted])[0].outcome is Outcome.REFUSED
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    ("text", "is_copied"),
    [
        ('words for bad weather, such as " storm", " fog", " hail"', True),
        ("Words for bad weather.", True),
        ('words for bad weather, such as " smoke", " fire"', True),  # the saying is the example's
        ('words for bad weather like " rain"', True),
        ('words for weather, such as " storm"', False),
        ('the word " in" after a verb', False),  # of the example, only its form
        ('the word " of" after an amount', True),
    ],
)
def test_a_copy_is_one_whatever_it_quotes(text: str, is_copied: bool) -> None:
    examples = [
        'words for bad weather, such as " storm", " fog", " hail"',
        'the word " of" after an amount',
    ]
    assert is_copy(text, examples) is is_copied


@pytest.mark.parametrize(
    ("text", "says_nothing"),
    [
        ("words", True),
        ("the following tokens", True),
        ("tokens that have a strong firing in the text", True),
        ('the token "the"', False),
        ("the", False),  # a token as good as any
        ("words about the moon", False),
        ("commas", False),
    ],
)
def test_an_explanation_that_is_true_of_every_neuron_says_nothing(text: str, says_nothing: bool) -> None:
    assert is_contentless(text) is says_nothing


def test_a_prompt_is_another_version_with_another_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_LOADED", {})
    (tmp_path / "ask-v1.yaml").write_text("system: s\nuser: u\nassistant: a\nexamples: {pool: pool-v1, deal: 2}\n")
    versions = set()
    for pool in ("[{a: 1}, {a: 2}]", "[{a: 1}, {a: 3}]"):
        (tmp_path / "pool-v1.yaml").write_text(pool)
        versions.add(load(tmp_path, "ask-v1").version)
    assert len(versions) == 2
    assert load(tmp_path, "ask-v1").pool == ({"a": 1}, {"a": 3})
    for bad, said in (("[{a: 1}]", "examples.deal is 2"), ("a: 1", "must be a list"), ("[1, 2]", "list of that many")):
        (tmp_path / "pool-v1.yaml").write_text(bad)
        with pytest.raises(NeuroglossError, match=said):
            load(tmp_path, "ask-v1")
    (tmp_path / "pool-v1.yaml").unlink()
    with pytest.raises(NeuroglossError, match="there is no prompt 'pool-v1'"):
        load(tmp_path, "ask-v1")
