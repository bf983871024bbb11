from __future__ import annotations

import pytest

from harness.simulators.token_overlap import TokenOverlap, stem
from harness.types import Explanation, Outcome, Query, Unit


def _levels(explanation: str, *tokens: str) -> tuple[float, ...]:
    (simulation,) = TokenOverlap().simulate([Query(Explanation(Unit("N", 0, 0), explanation), tokens)])
    assert simulation.probabilities is None
    return simulation.expected


def test_it_fires_on_the_words_of_the_explanation() -> None:
    assert _levels("the words Dog and walking", " dogs", " walked", ",", " cat", " The") == (10, 10, 0, 0, 0)


def test_words_without_a_meaning_of_their_own_are_left_out() -> None:
    assert _levels('the words that contain "of" and dogs', " the", " words", " of", " contains", " dog") == (
        0,
        0,
        0,
        0,
        10,
    )


def test_a_word_in_pieces_is_one_word() -> None:
    assert _levels("running", " run", "ning", " run") == (10, 10, 0)
    assert _levels("ning", " run", "ning") == (0, 0)


@pytest.mark.parametrize(
    ("word", "expected"), [("Dogs", "dog"), ("walked", "walk"), ("king", "king"), ("boxes", "box")]
)
def test_stems(word: str, expected: str) -> None:
    assert stem(word) == expected


def test_without_an_explanation_it_says_nothing() -> None:
    query = Query(Explanation(Unit("N", 0, 0), outcome=Outcome.REFUSED), ("a",))
    assert TokenOverlap().simulate([query])[0].outcome is Outcome.REFUSED
