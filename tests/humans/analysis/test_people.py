"""How people worked, and the rule by which answers are left out."""

from __future__ import annotations

from harness.config.settings import ExclusionSettings
from harness.humans.analysis.people import conduct, excluded, without
from harness.humans.analysis.process import Process, ratings
from harness.humans.answers import Choice, PairKind, Rated, RateQuestion, Wording
from harness.types import Unit

UNIT, OTHER = Unit("N", 0, 1), Unit("N", 0, 2)
TRUE, FALSE = Wording("rivers", "m", UNIT), Wording("cars", "m", OTHER)
LEFT, RIGHT = Rated(Choice.LEFT), Rated(Choice.RIGHT)


def test_known_answers_and_repeats_are_counted_whatever_the_sides(respond) -> None:
    known = RateQuestion(TRUE, FALSE, PairKind.KNOWN, ())
    swapped = RateQuestion(FALSE, TRUE, PairKind.KNOWN, ())
    pair = RateQuestion(Wording("a", "m", UNIT), Wording("b", "n", UNIT), PairKind.RANDOM, ())
    again = RateQuestion(pair.right, pair.left, PairKind.REPEAT, (), "first")
    answers = [
        respond("p", UNIT, known, LEFT, 4),
        respond("p", UNIT, swapped, RIGHT, 5),
        respond("p", UNIT, swapped, LEFT, 9),
        respond("p", UNIT, pair, LEFT, 6, assignment="first"),
        respond("p", UNIT, again, RIGHT, 7),
        respond("p", UNIT, again, LEFT, 8),
    ]
    (working,) = conduct(answers).values()
    assert (working.answers, working.known, working.right) == (6, 3, 2)
    assert (working.repeats, working.repeated) == (2, 1)
    assert working.seconds == 6.5


def test_both_again_is_the_same_and_neither_is_not(respond) -> None:
    pair = RateQuestion(Wording("a", "m", UNIT), Wording("b", "n", UNIT), PairKind.RANDOM, ())
    again = RateQuestion(pair.right, pair.left, PairKind.REPEAT, (), "first")
    first = respond("p", UNIT, pair, Rated(Choice.BOTH), assignment="first")
    later = [respond("p", UNIT, again, Rated(choice)) for choice in (Choice.BOTH, Choice.NEITHER)]
    assert conduct([first, *later])["p"].repeated == 1


def test_nobody_fails_what_they_were_not_tested_by(respond) -> None:
    pair = RateQuestion(Wording("a", "m", UNIT), Wording("b", "n", UNIT), PairKind.RANDOM, ())
    answers = [respond("p", UNIT, pair, LEFT, 2)]
    assert excluded(answers, ExclusionSettings(1.0, 1.0, 2.0)) == {}
    assert excluded(answers, ExclusionSettings(0.0, 0.0, 2.5)) == {"p": ("2.0 s for an answer",)}


def test_the_rule_leaves_out_who_guesses_and_no_others() -> None:
    """Two of six simulated people never look; four always do."""
    answers = ratings(
        Process({"A": 1.0, "B": -1.0}, units=10, pairs=6, looking=(0.0, 0.0, 1.0), tests=6, repeats=4), seed=5
    )
    left_out = excluded(answers, ExclusionSettings(least_known=0.9))
    assert set(left_out) == {"simulated-0", "simulated-1"}
    kept = without(answers, left_out)
    assert {response.answer.annotator for response in kept} == {f"simulated-{person}" for person in range(2, 6)}
    assert excluded(answers, ExclusionSettings()) == {}
