"""Methods that ask a model: one budget, one cleaning, and each shows the evidence of a planted neuron."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.explainers.highlight import Highlight
from harness.explainers.highlight_summary import HighlightSummary
from harness.explainers.shared import asking
from harness.explainers.shared.asking import Asking
from harness.explainers.summary import Summary
from harness.explainers.token_activation import TokenActivation
from harness.explainers.token_space import TokenSpace
from harness.explainers.top_tokens import TopTokens
from harness.models.prompts import load
from harness.types import Candidate, Completion, Evidence, Explainer, NeuroglossError, Outcome, Role, Usage

SHOWN = {
    TokenActivation: ['" ember" 10: <s>The<< ember>> glowed in\n', "<< kiln:8>> and the<< forge:6>> (both)."],
    Summary: ["Excerpt 1: <s>The ember glowed in the dark\\nNo one spoke.\n", "the kiln and the forge (both)."],
    Highlight: ["The<< ember>> glowed in the dark\\nNo", "the<< kiln>> and the<< forge>> (both)."],
    HighlightSummary: ["The<< ember>> glowed", 'Marked tokens: " ember", " kiln", " forge"\n'],
    TopTokens: [
        " ember\t10\t<s>The<< ember>> glowed in\n",
        " kiln\t8\t",
        " forge\t6\t lit the kiln and the<< forge>> (",
    ],
    TokenSpace: ["\n ember\t10\n kiln\t8\n forge\t6\n"],
}
"""What each method must show of the planted neuron."""


def question(method: Asking, evidence: Evidence) -> str:
    return "\n" + method.requests(evidence)[0].messages[-1].content


@pytest.mark.parametrize("method", SHOWN, ids=lambda method: method.__name__)
def test_a_prompt_shows_what_the_planted_neuron_fires_on(scripted, planted, method: type[Asking]) -> None:
    found = question(method(scripted()), planted)
    for expected in SHOWN[method]:
        assert expected in found
    assert found.endswith("\nThis neuron fires on")


@pytest.mark.parametrize("method", SHOWN, ids=lambda method: method.__name__)
def test_a_reply_becomes_the_explanation_in_every_method(scripted, planted, method: type[Asking]) -> None:
    model = scripted('This neuron fires on heat (as of a "kiln")\n\nBecause')
    explainer = method(model)
    told = explainer.explain([planted])[0]
    assert isinstance(explainer, Explainer)
    assert explainer.role is Role.EXPLAINER
    assert (told.text, told.outcome, told.candidates) == ('heat (as of a "kiln")', Outcome.OK, ())
    assert told.prompt_version == model.asked[0].prompt_version
    assert told.prompt_version.partition("+")[0] == method.prompt


def test_summary_shows_no_activation(scripted, planted) -> None:
    found = question(Summary(scripted()), planted)
    assert "<<" not in found
    assert "\t" not in found


def test_token_space_recovers_the_planted_set_exactly(scripted, planted) -> None:
    shown = TokenSpace(scripted()).variables(planted)
    assert shown == {"tokens": [(" ember", 10), (" kiln", 8), (" forge", 6)]}
    assert TokenSpace(scripted(), share=0.7).variables(planted) == {"tokens": [(" ember", 10), (" kiln", 8)]}
    assert TokenSpace(scripted(), tokens=1).variables(planted) == {"tokens": [(" ember", 10)]}
    assert (TokenSpace(scripted(), minimum_count=1).variables(planted) or {})["tokens"][0] == (" seldom", 10)


def test_what_a_method_shows_follows_the_threshold(scripted, planted) -> None:
    found = question(HighlightSummary(scripted(), threshold=8), planted)
    assert "<< kiln>> and the forge (both)" in found
    assert 'Marked tokens: " ember", " kiln"\n' in found


@pytest.mark.parametrize("method", [TopTokens, TokenSpace])
def test_nothing_is_asked_where_there_is_nothing_to_show(scripted, evidence, excerpt, method: type[Asking]) -> None:
    silent = evidence(excerpts=(excerpt(("a", 0.0), ("b", -1.0)),))
    silent = Evidence(silent.unit, silent.excerpts, silent.token_sums.without(()), 0.0)
    silent.token_sums.sums[:] = 0.0
    model = scripted()
    told = method(model).explain([silent])[0]
    assert (told.text, told.outcome, told.prompt_version, model.asked) == ("", Outcome.EMPTY, "", [])


# ------------------------------------------------------------------------------------------------------------- budget


def test_every_method_asks_once_for_each_candidate_and_keeps_them_all(scripted, planted, evidence) -> None:
    model = scripted("", "heat", "I'm sorry, but no.", "fire", "", "")
    told = Highlight(model, candidates=3, temperature=0.7).explain([planted, evidence()])
    assert [(one.repeat, one.temperature) for one in model.asked] == [(0, 0.7), (1, 0.7), (2, 0.7)] * 2
    assert told[0].text == "heat", "the first that is an explanation, until one is chosen"
    assert told[0].candidates == (
        Candidate("", Outcome.EMPTY),
        Candidate("heat"),
        Candidate("I'm sorry, but no.", Outcome.REFUSED),
    )
    assert told[0].usage == Usage(3, 0, 30, 15)
    assert (told[1].text, [one.text for one in told[1].candidates]) == ("fire", ["fire", "", ""])


def test_without_any_explanation_the_first_outcome_is_named(scripted, planted) -> None:
    model = scripted(Completion("", Outcome.FAILED), "")
    told = Highlight(model, candidates=2, temperature=1.0).explain([planted])[0]
    assert (told.text, told.outcome) == ("", Outcome.FAILED)


@pytest.mark.parametrize(("candidates", "temperature"), [(0, 1.0), (2, 0.0), (-1, 0.0)])
def test_candidates_that_would_all_be_the_same_are_refused(scripted, candidates: int, temperature: float) -> None:
    with pytest.raises(NeuroglossError, match=r"asking\.temperature"):
        Summary(scripted(), candidates=candidates, temperature=temperature)


@pytest.mark.parametrize(
    ("method", "change"),
    [
        (TokenSpace, {"tokens": 0}),
        (TokenSpace, {"minimum_count": 0}),
        (TokenSpace, {"share": 0.0}),
        (TokenSpace, {"share": 1.5}),
        (TopTokens, {"tokens": 0}),
        (Highlight, {"threshold": 0}),
        (Highlight, {"threshold": 11}),
        (HighlightSummary, {"threshold": -1}),
        (Summary, {"max_tokens": 0}),
        (Summary, {"temperature": -1}),
    ],
)
def test_limits_that_leave_nothing_are_refused(scripted, method: type[Asking], change: dict[str, float]) -> None:
    ((name, value),) = change.items()
    with pytest.raises(NeuroglossError, match=f"^{name} is {value}; write "):
        method(scripted(), **change)


# ------------------------------------------------------------------------------------------------------- prompt files


@pytest.mark.parametrize(
    "path",
    sorted(set(asking.PROMPTS.glob("*.yaml")) - set(asking.PROMPTS.glob("worked_*"))),
    ids=lambda path: path.stem,
)
def test_every_prompt_has_worked_examples_and_says_what_it_may_name(path: Path) -> None:
    prompt = load(asking.PROMPTS, path.stem)
    assert len(prompt.examples) >= 2 or prompt.deal >= 2
    assert path.read_text().startswith("# ")
    assert set(prompt.parts) >= {"system", "user", "assistant"}
    lead_in = {"lead_in": prompt.parts["lead_in"]} if "lead_in" in prompt.parts else {}
    defaults = {"silenced": False} if path.stem.startswith("token_change") else {}
    messages = prompt.opening({**lead_in, **defaults})
    assert len(messages) == 1 + 2 * len(prompt.examples)
    assert all(message.content.strip() for message in messages)


def test_a_changed_prompt_is_another_request(scripted, planted, tmp_path: Path, monkeypatch) -> None:
    before = Highlight(scripted()).requests(planted)[0]
    content = yaml.safe_load((asking.PROMPTS / "highlight-v2.yaml").read_text())
    (tmp_path / "highlight-v2.yaml").write_text(yaml.safe_dump(content))
    pool = content["examples"]["pool"]
    (tmp_path / f"{pool}.yaml").write_text((asking.PROMPTS / f"{pool}.yaml").read_text())
    monkeypatch.setattr(asking, "PROMPTS", tmp_path)
    after = Highlight(scripted()).requests(planted)[0]
    assert before.messages == after.messages
    assert before.prompt_version != after.prompt_version
