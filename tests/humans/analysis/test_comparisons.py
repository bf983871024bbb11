"""Ratings as comparisons: whatever the sides, and without pairs that test the rater."""

from __future__ import annotations

import pytest

from harness.humans.analysis.comparisons import Preference, comparisons
from harness.humans.answers import Choice, Explained, ExplainQuestion, PairKind, Rated, RateQuestion, Wording
from harness.types import Unit

UNIT = Unit("N", 1, 2)
HERE, THERE = Wording("rivers", "zeta", UNIT), Wording("lakes", "alpha", UNIT)


@pytest.mark.parametrize(
    ("choice", "preference"),
    [
        (Choice.LEFT, Preference.SECOND),
        (Choice.RIGHT, Preference.FIRST),
        (Choice.BOTH, Preference.BOTH),
        (Choice.NEITHER, Preference.NEITHER),
    ],
)
def test_authors_stand_in_the_order_of_their_names_on_whatever_side(respond, choice, preference) -> None:
    (compared,) = comparisons([respond("p", UNIT, RateQuestion(HERE, THERE, PairKind.RANDOM, ()), Rated(choice))])
    assert (compared.first, compared.second, compared.preference) == ("alpha", "zeta", preference)
    assert compared.texts == ("lakes", "rivers")
    assert compared.is_random


def test_pairs_that_test_the_rater_and_other_answers_are_no_comparisons(respond) -> None:
    kinds = [PairKind.KNOWN, PairKind.REPEAT, PairKind.ADAPTIVE]
    answers = [respond("p", UNIT, RateQuestion(HERE, THERE, kind, ()), Rated(Choice.LEFT)) for kind in kinds]
    answers.append(respond("p", UNIT, ExplainQuestion(()), Explained("seas", 3)))
    assert [item.is_random for item in comparisons(answers)] == [False]
