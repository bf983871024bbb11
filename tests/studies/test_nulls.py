"""Nulls are explanations of the right shape that are about something else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from harness.results.audit import Test
from harness.studies import nulls
from harness.studies.nulls import Saying
from harness.tasks.splits import deal, evidence
from harness.types import (
    Candidate,
    Explainer,
    Explanation,
    NeuroglossError,
    Outcome,
    Role,
    ScoredExplanation,
    Scores,
    TokenSums,
    Unit,
    UnitRecord,
    Usage,
)

UNITS = [Unit("N", layer, 0) for layer in range(5)]
OWN = {unit: Explanation(unit, f"words of {unit} here", explainer="x") for unit in UNITS}
Make = Callable[..., UnitRecord]


def _scored(explanation: Explanation) -> ScoredExplanation:
    return ScoredExplanation(explanation, "tuned", (), None, Scores({}))


def test_nulls_are_explainers_one_for_each_seed(record: Make) -> None:
    corpus = record().token_sums
    shuffled = nulls.explainers(Test.SHUFFLED, OWN, corpus, range(3, 5))
    assert list(shuffled) == ["shuffled 3", "shuffled 4"]
    assert list(nulls.explainers(Test.RANDOM, OWN, corpus, range(3, 5))) == ["random 3", "random 4"]
    assert nulls.explainers(Test.RETEST, OWN, corpus, range(2)) == {}
    explainer: Explainer = shuffled["shuffled 3"]
    assert explainer.role is Role.NULL
    items = [evidence(deal(record(unit))) for unit in (UNITS[2], UNITS[0])]
    expected = nulls.shuffled(OWN, 3)
    assert explainer.explain(items) == [expected[UNITS[2]], expected[UNITS[0]]]


def test_the_run_s_own_explanations_are_an_explainer_too(record: Make) -> None:
    explainer = Saying(OWN, Role.EXPLAINER)
    assert isinstance(explainer, Explainer)
    assert explainer.explain([evidence(deal(record(UNITS[1])))]) == [OWN[UNITS[1]]]


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_gives_each_unit_another_s_words(seed: int) -> None:
    explanations = nulls.shuffled(OWN, seed)
    assert sorted(item.text for item in explanations.values()) == sorted(item.text for item in OWN.values())
    for unit, explanation in explanations.items():
        assert explanation.unit == unit
        assert explanation.text != OWN[unit].text


def test_random_words_come_from_the_corpus_as_many_as_the_explanation_has(record: Make) -> None:
    corpus = record().token_sums
    explanations = nulls.random_words(OWN, corpus, 0)
    for explanation in explanations.values():
        words = explanation.text.split()
        assert (len(words), set(words) <= {"sea", "ship"}) == (4, True)
    assert explanations == nulls.random_words(OWN, corpus, 0)
    assert explanations != nulls.random_words(OWN, corpus, 1)


def test_draws_are_those_of_earlier_versions(record: Make) -> None:
    """As neurogloss drew them before nulls were explainers (642e785)."""
    words = [item.text for item in nulls.random_words(OWN, record().token_sums, 1).values()]
    assert words == ["sea sea sea ship", "sea sea sea sea", "sea sea sea ship", "ship ship sea sea", "sea sea ship sea"]
    partners = [item.text for item in nulls.shuffled(OWN, 1).values()]
    assert partners == [f"words of L{layer}N0 here" for layer in (3, 0, 4, 2, 1)]


def test_draws_of_a_unit_do_not_depend_on_other_units(record: Make) -> None:
    corpus = record().token_sums
    alone = nulls.random_words({UNITS[3]: OWN[UNITS[3]]}, corpus, 1)
    assert alone[UNITS[3]] == nulls.random_words(OWN, corpus, 1)[UNITS[3]]
    assert nulls.seed_of(UNITS[0], 0) != nulls.seed_of(UNITS[1], 0)


def test_frequent_words_are_drawn_more_often(record: Make) -> None:
    long = {UNITS[0]: Explanation(UNITS[0], "w " * 4000, explainer="x")}
    words = nulls.random_words(long, record().token_sums, 0)[UNITS[0]].text.split()
    assert words.count("sea") / words.count("ship") == pytest.approx(3.0, rel=0.15)


def test_random_words_stand_in_place_of_all_candidates(record: Make) -> None:
    """The pipeline chooses among candidates; the best of the real ones is no null."""
    candidates = (Candidate("first"), Candidate("second"))
    explanations = {UNITS[0]: Explanation(UNITS[0], "first", candidates=candidates, explainer="x")}
    assert nulls.random_words(explanations, record().token_sums, 0)[UNITS[0]].candidates == ()


def test_a_best_of_several_is_held_against_a_best_of_several() -> None:
    candidates = (Candidate("first"), Candidate("second"))
    explanations = {unit: Explanation(unit, "first", candidates=candidates, explainer="x") for unit in UNITS}
    assert all(item.candidates == candidates for item in nulls.shuffled(explanations, 0).values())


def test_a_corpus_without_words_is_refused() -> None:
    bare = TokenSums(("!", "42"), np.array([3, 3]), np.zeros(2))
    with pytest.raises(NeuroglossError, match="holds no words"):
        nulls.random_words(OWN, bare, 0)


def test_a_missing_explanation_stays_missing(record: Make) -> None:
    refused = {**OWN, UNITS[0]: Explanation(UNITS[0], outcome=Outcome.REFUSED, explainer="x")}
    null = nulls.random_words(refused, record().token_sums, 0)[UNITS[0]]
    assert (null.outcome, null.text) == (Outcome.REFUSED, "")


def test_own_takes_one_explanation_a_unit_and_counts_no_cost_twice() -> None:
    usage = Usage(requests=1, usd=1.0)
    scored = [_scored(Explanation(UNITS[0], text, usage=usage, explainer="people")) for text in ("first", "second")]
    assert nulls.own(scored) == {UNITS[0]: Explanation(UNITS[0], "first", explainer="people")}


def test_a_row_without_words_is_refused() -> None:
    with pytest.raises(NeuroglossError, match="no explanation in words"):
        nulls.own([_scored(Explanation(UNITS[0], explainer="token_lookup"))])
