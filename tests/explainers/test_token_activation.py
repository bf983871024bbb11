"""The model is shown the evidence, all of it and nothing else, and its reply becomes the explanation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.explainers.token_activation import TokenActivation
from harness.explainers.token_activation_pairs import TokenActivationPairs
from harness.types import Completion, Explainer, NeuroglossError, Outcome, Role, Usage


def test_the_prompt_holds_every_token_with_its_level(scripted, evidence) -> None:
    model = scripted("things in the sky")
    TokenActivationPairs(model).explain([evidence()])
    question = model.asked[0].messages[-1].content
    assert "\n<s>\t0\n the\t0\n sun\t10\n and\t0\n the\t0\n moon\t5\n set\t0\n.\t0\n" in question
    assert question.count(" sun\t10") == 1, "a quarter of the levels is above 0: not repeated"
    assert model.asked[0].messages[-1].role == "user"


def test_firing_tokens_are_repeated_where_they_are_few(scripted, evidence, excerpt) -> None:
    model = scripted("the sun")
    few = excerpt((" sun", 2.0), *[(" dark", 0.0)] * 9)
    TokenActivationPairs(model).explain([evidence(excerpts=(few,))])
    assert model.asked[0].messages[-1].content.count(" sun\t10") == 2


def test_awkward_tokens_stay_on_their_line(scripted, evidence, excerpt) -> None:
    model = scripted("white space")
    TokenActivationPairs(model).explain([evidence(excerpts=(excerpt(("\n", 1.0), ("\t", 1.0), ("a\\n", 0.0)),))])
    assert "\\n\t10\n\\t\t10\na\\\\n\t0\n" in model.asked[0].messages[-1].content


def test_the_strongest_tokens_come_first_in_context_and_then_every_excerpt_as_text(scripted, evidence) -> None:
    question = TokenActivation(scripted()).requests(evidence())[0].messages[-1].content
    assert '" sun" 10: <s> the<< sun>> and the\n" moon" 5: ' in question
    assert "\n1. <s> the<< sun:10>> and the<< moon:5>> set.\n" in question
    shortened = TokenActivation(scripted(), tokens=1).requests(evidence())[0].messages[-1].content
    assert '" moon" 5' not in shortened
    assert "<< moon:5>>" in shortened


def test_marks_of_a_text_itself_are_told_from_ours(scripted, evidence, excerpt) -> None:
    code = excerpt(("a", 0.0), ("<<", 1.0), ("b", 0.0), (">>", 0.0), (":10", 0.5))
    question = TokenActivation(scripted()).requests(evidence(excerpts=(code,)))[0].messages[-1].content
    assert r"1. a<<\<\<:10>>b\>\><<:10:5>>" in question


def test_replies_become_explanations_in_order(scripted, evidence) -> None:
    failed = Completion("", Outcome.FAILED)
    model = scripted("This neuron fires on the sky (at night)", failed, "")
    told = TokenActivationPairs(model).explain([evidence(1), evidence(2), evidence(3)])
    assert [(one.unit.index, one.text, one.outcome) for one in told] == [
        (1, "the sky (at night)", Outcome.OK),
        (2, "", Outcome.FAILED),
        (3, "", Outcome.EMPTY),
    ]
    assert told[0].usage == Usage(1, 0, 10, 5)
    assert told[0].prompt_version == model.asked[0].prompt_version
    assert told[0].prompt_version.startswith("token_activation_pairs-v1+")


def test_a_copy_of_an_example_of_the_prompt_is_no_explanation(scripted, evidence) -> None:
    model = scripted('This neuron fires on "Words for bad weather."', "words for weather")
    told = TokenActivationPairs(model).explain([evidence(1), evidence(2)])
    assert [(item.text, item.outcome) for item in told] == [
        ("Words for bad weather.", Outcome.COPIED),
        ("words for weather", Outcome.OK),
    ]


def test_among_candidates_a_copy_is_passed_over(scripted, evidence) -> None:
    model = scripted("words for bad weather", "rivers")
    (told,) = TokenActivationPairs(model, candidates=2, temperature=1.0).explain([evidence()])
    assert (told.text, told.outcome) == ("rivers", Outcome.OK)
    assert [candidate.outcome for candidate in told.candidates] == [Outcome.COPIED, Outcome.OK]


def test_sampling_is_part_of_the_request(scripted, evidence) -> None:
    request = TokenActivation(scripted(), max_tokens=7, temperature=0.5, seed=3).requests(evidence())[0]
    assert (request.max_tokens, request.temperature, request.seed) == (7, 0.5, 3)


def test_nothing_but_the_evidence_enters_the_request(scripted, evidence) -> None:
    known = evidence()
    other = replace(known, mean=9.0, token_sums=known.token_sums.without(known.excerpts))
    explainer = TokenActivation(scripted())
    assert explainer.requests(known) == explainer.requests(other)


def test_a_missing_prompt_is_found_before_any_work(scripted) -> None:
    with pytest.raises(NeuroglossError, match=r"no prompt 'token_activaton-v2'.*there are: .*token_activation-v2"):
        TokenActivation(scripted(), prompt="token_activaton-v2")


def test_it_is_an_explainer(scripted) -> None:
    assert isinstance(TokenActivation(scripted()), Explainer)
    assert TokenActivation(scripted()).role is Role.EXPLAINER
