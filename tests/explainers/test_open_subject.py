"""Methods that look into the subject: what it says of a planted neuron stands in the prompt."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.explainers.ensemble import Ensemble
from harness.explainers.input_tokens import InputTokens
from harness.explainers.joined import Joined
from harness.explainers.logit_lens import LogitLens
from harness.explainers.max_activation import MaxActivation
from harness.explainers.token_change import TokenChange
from harness.types import Candidate, Completion, Evidence, NeuroglossError, Outcome, Replacement, TokenEffects, Unit


class Planted:
    """A subject of which only its tokens are known; it keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.excites: tuple[tuple[str, float], ...] = ((" ember", 5.0), ("\n", 2.5))

    def input_tokens(self, neuron: Unit, count: int) -> tuple[tuple[str, float], ...]:
        self.asked.append((neuron, count))
        return self.excites

    def output_tokens(self, neuron: Unit, count: int) -> TokenEffects:
        self.asked.append((neuron, count))
        return TokenEffects(((" ash", 3.0), (" smoke", 1.0)), ((" ice", -2.0),))

    def changed_tokens(self, replacements: Sequence[Replacement], count: int) -> TokenEffects:
        self.asked.append((tuple(replacements), count))
        return TokenEffects(((" soot", 0.5),), ((" snow", -0.2), (" rain", -0.1)))


def question(method, evidence: Evidence) -> str:
    return method.requests(evidence)[0].messages[-1].content


def test_the_logit_lens_shows_both_signs_and_no_excerpt(scripted, planted) -> None:
    subject = Planted()
    found = question(LogitLens(scripted(), subject=subject, tokens=7), planted)
    assert found == 'Likelier: " ash", " smoke"\nLess likely: " ice"\nThis neuron is about'
    assert subject.asked == [(planted.unit, 7)]


def test_input_tokens_are_shown_with_their_level(scripted, planted) -> None:
    assert question(InputTokens(scripted(), subject=Planted()), planted) == " ember\t10\n\\n\t5\nThis neuron fires on"


def test_nothing_is_asked_where_no_token_excites_the_neuron(scripted, planted) -> None:
    subject, model = Planted(), scripted()
    subject.excites = ()
    told = InputTokens(model, subject=subject).explain([planted])[0]
    assert (told.outcome, model.asked) == (Outcome.EMPTY, [])


@pytest.mark.parametrize(("factor", "words"), [(2.0, "made to fire strongly"), (0.0, "silenced")])
def test_token_change_amplifies_or_silences_on_the_train_excerpts(
    scripted, planted_with_ids, factor: float, words: str
) -> None:
    subject, known = Planted(), planted_with_ids
    request = TokenChange(scripted(), subject=subject, factor=factor).requests(known)[0]
    assert 'Likelier: " soot"\nLess likely: " snow", " rain"\n' in request.messages[-1].content
    assert f"it was {words}" in request.messages[0].content
    (asked, _), (first, second) = subject.asked[0], known.excerpts
    assert asked == (
        Replacement(known.unit, first.token_ids, (factor * 10.0,) * 12, 1),
        Replacement(known.unit, second.token_ids, (factor * 10.0,) * 12, 1),
    )


def test_token_change_needs_token_ids(scripted, planted) -> None:
    with pytest.raises(NeuroglossError, match="L1N2 has no token ids"):
        TokenChange(scripted(), subject=Planted()).requests(planted)


def test_the_ensemble_shows_what_excites_the_neuron_and_what_it_promotes(scripted, planted) -> None:
    found = question(Ensemble(scripted(), subject=Planted()), planted)
    assert " ember\t10\t<s>The<< ember>> glowed in\n" in found
    assert 'Likelier: " ash", " smoke"\nLess likely: " ice"\n' in found


def test_joined_views_stand_in_one_sentence_with_their_cost(scripted, planted) -> None:
    both = Joined(MaxActivation(1), LogitLens(scripted("fire"), subject=Planted()))
    told = both.explain([planted])[0]
    assert (told.text, told.outcome) == ('the token " ember"; fire', Outcome.OK)
    assert told.prompt_version.startswith("logit_lens-v1+")
    assert told.usage.requests == 1


def test_a_view_without_an_explanation_leaves_the_other_alone(scripted, planted) -> None:
    refused = LogitLens(scripted("I'm sorry, but no."), subject=Planted())
    assert Joined(refused, MaxActivation(1)).explain([planted])[0].text == 'the token " ember"'
    failed = LogitLens(scripted(Completion("", Outcome.FAILED)), subject=Planted())
    empty = LogitLens(scripted(""), subject=Planted())
    told = Joined(failed, empty).explain([planted])[0]
    assert (told.text, told.outcome) == ("", Outcome.FAILED)


def test_joined_views_have_as_many_candidates_as_each(scripted, planted) -> None:
    first = LogitLens(scripted("fire", ""), subject=Planted(), candidates=2, temperature=1.0)
    second = LogitLens(scripted("heat", "warmth"), subject=Planted(), candidates=2, temperature=1.0)
    told = Joined(first, second).explain([planted])[0]
    assert told.candidates == (Candidate("fire; heat"), Candidate("warmth"))
    assert told.text == "fire; heat"
