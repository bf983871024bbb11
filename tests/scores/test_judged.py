"""Detection and fuzzing: the cases hold what they should, and answers are worth what they should be."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scores import ScoreInputError, UndefinedScoreError, judged
from harness.types import Excerpt, ExcerptKind, Judged, Judgement, Outcome

NAN = math.nan


def excerpt(*activations: float, leading: int = 0, name: str = "t") -> Excerpt:
    tokens = tuple(f"{name}{place}" for place in range(len(activations)))
    return Excerpt(tokens, (), activations, ExcerptKind.TOP, leading=leading)


def answers(truths: list[bool], probabilities: list[float], judge: str = "detection") -> list[Judged]:
    return [
        Judged(judge, excerpt(1.0), (), truth, Judgement(share, Outcome.FAILED if math.isnan(share) else Outcome.OK))
        for truth, share in zip(truths, probabilities, strict=True)
    ]


def test_detection_asks_of_every_excerpt_whether_it_is_active_anywhere() -> None:
    some = [excerpt(0, 10, 0), excerpt(0.5, 0.9, 0), excerpt(1.0, 0, 0), excerpt(50, 0, 0, leading=1)]
    cases = judged.detection(some, level=1)
    assert [case.excerpt for case in cases] == some
    assert [case.truth for case in cases] == [True, False, True, False]  # from 1 of 10 on; a leading token is none
    assert all(case.marked == () for case in cases)
    assert [case.truth for case in judged.detection(some, level=10)] == [True, False, False, False]


def test_a_silent_neuron_is_active_nowhere() -> None:
    some = [excerpt(0, 0), excerpt(-1, 0)]
    assert not any(case.truth for case in judged.detection(some, 1))
    assert judged.fuzzing(some, 1) == []


def test_fuzzing_marks_the_active_tokens_and_as_many_others() -> None:
    right, wrong = judged.fuzzing([excerpt(99, 0, 8, 0, 0, 9, 0, leading=1)], 1)
    assert (right.marked, right.truth) == ((2, 5), True)
    assert wrong.truth is False
    assert len(wrong.marked) == 2
    assert set(wrong.marked) <= {1, 3, 4, 6}  # neither active nor leading


def test_hard_cases_are_measured_by_the_activations_of_the_others() -> None:
    easy, hard = [excerpt(0, 10, 0, 10)], [excerpt(0, 2, 2.9), excerpt(3, 1, 0, leading=1), excerpt(0, 4, 1)]
    assert [case.truth for case in judged.detection_hard(easy, hard, 3)] == [False, False, True]
    means = {"t0": 9.0, "t1": 8.0, "t2": 7.0}
    cases = judged.fuzzing_hard(easy, hard, 3, means)
    assert [case.marked for case in cases] == [(0, 1), (1, 2), (0, 2)]  # two of the silent tokens that confuse most
    assert not any(case.truth for case in cases)
    assert judged.fuzzing_hard([excerpt(0, 0)], hard, 3, means) == []


def test_fuzzing_leaves_out_what_has_no_two_sides() -> None:
    silent, everywhere, few = excerpt(0, 0), excerpt(5, 5), excerpt(5, 5, 0)
    assert [case.marked for case in judged.fuzzing([silent, everywhere, few], 1)] == [(0, 1), (2,)]


@given(st.lists(st.lists(st.integers(0, 10), min_size=2, max_size=8), min_size=1, max_size=5))
def test_cases_of_fuzzing_come_in_pairs_that_share_no_token_and_no_draw_of_their_company(
    drawn: list[list[int]],
) -> None:
    some = [excerpt(10, 0)] + [excerpt(*map(float, row), name=f"e{place}-") for place, row in enumerate(drawn)]
    cases = judged.fuzzing(some, 3)
    for right, wrong in zip(cases[::2], cases[1::2], strict=True):
        assert (right.truth, wrong.truth, right.excerpt) == (True, False, wrong.excerpt)
        assert not set(right.marked) & set(wrong.marked)
    reversed_ = judged.fuzzing(some[::-1], 3)
    assert {(case.excerpt.tokens, case.marked) for case in cases} == {
        (case.excerpt.tokens, case.marked) for case in reversed_
    }


def test_wrong_marks_differ_between_excerpts() -> None:
    some = [excerpt(9, *[0] * 40, name=f"e{number}-") for number in range(10)]
    assert len({case.marked for case in judged.fuzzing(some, 1) if not case.truth}) > 3


def test_balanced_accuracy_by_hand() -> None:
    assert judged.balanced_accuracy([1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 1]) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert judged.balanced_accuracy([1, 0], [1, 0]) == 1.0
    assert judged.balanced_accuracy([1, 0], [0, 1]) == 0.0


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=12))
def test_balanced_accuracy_is_fair_to_both_sides(drawn: list[tuple[bool, bool]]) -> None:
    truth, said = map(np.array, zip(*drawn, strict=True))
    if truth.all() or not truth.any():
        with pytest.raises(UndefinedScoreError):
            judged.balanced_accuracy(truth, said)
        return
    found = judged.balanced_accuracy(truth, said)
    assert 0.0 <= found <= 1.0
    assert judged.balanced_accuracy(truth, np.ones_like(truth)) == 0.5
    assert judged.balanced_accuracy(truth, ~said) == pytest.approx(1 - found)
    assert judged.balanced_accuracy(~truth, ~said) == pytest.approx(found)
    order = np.random.default_rng(0).permutation(len(truth))
    assert judged.balanced_accuracy(truth[order], said[order]) == pytest.approx(found)
    assert judged.balanced_accuracy(np.tile(truth, 2), np.tile(said, 2)) == pytest.approx(found)


@pytest.mark.parametrize("sides", [([], []), ([1], [1, 0]), ([[1, 0]], [[1, 0]])])
def test_answers_that_fit_no_cases_are_refused(sides: tuple[list[int], list[int]]) -> None:
    with pytest.raises(ScoreInputError, match="balanced accuracy has"):
        judged.balanced_accuracy(*sides)


def test_a_yes_is_a_probability_of_one_half_or_more_and_auroc_needs_the_order_only() -> None:
    found = judged.figures("detection", answers([True, True, False, False], [0.5, 0.4, 0.3, 0.49]), 0.0)
    assert found == ({"detection": 0.75, "detection_auroc": pytest.approx(0.75)}, {})
    low = judged.figures("fuzzing", answers([True, False], [0.02, 0.01], "fuzzing"), 0.0)
    assert low[0] == {"fuzzing": 0.5, "fuzzing_auroc": 1.0}


def test_written_answers_have_no_auroc() -> None:
    values, missing = judged.figures("detection", answers([True, False], [1.0, 0.0]), 0.0, probabilities=False)
    assert values == {"detection": 1.0}
    assert "no probabilities" in missing["detection_auroc"]


def test_a_perfect_judge_whose_every_second_answer_fails_has_no_score() -> None:
    truths = [True, True, False, False] * 2
    perfect = answers(truths, [float(truth) for truth in truths])
    assert judged.figures("detection", perfect, 0.0)[0]["detection"] == 1.0
    broken = [
        replace(one, judgement=Judgement(NAN, Outcome.REFUSED if place % 4 else Outcome.FAILED)) if place % 2 else one
        for place, one in enumerate(perfect)
    ]
    values, missing = judged.figures("detection", broken, 0.4)
    assert values == {}
    assert set(missing) == {"detection", "detection_auroc"}
    assert missing["detection"] == "4 of 8 judgements are missing (outcomes: 4 refused)"
    assert judged.figures("detection", broken, 0.5)[0]["detection"] == 1.0  # the rest, where so many may be missing


def test_no_answer_and_no_case_are_no_score() -> None:
    for some in ([], answers([True, False], [NAN, NAN])):
        values, missing = judged.figures("fuzzing", some, 1.0)
        assert values == {}
        assert set(missing) == {"fuzzing", "fuzzing_auroc"}
    same = judged.figures("detection", answers([True, True], [1.0, 0.0]), 0.0)
    assert same[0] == {}
    assert set(same[1].values()) == {"all cases have the same right answer"}
