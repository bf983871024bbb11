"""Answers and assignments: what JSON keeps of them, corrections, and what belongs together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.humans.answers import (
    Answer,
    Assignment,
    Choice,
    Explained,
    ExplainQuestion,
    IntruderQuestion,
    Levels,
    Mode,
    PairKind,
    Payload,
    Picked,
    Question,
    Rated,
    RateQuestion,
    SimulateQuestion,
    Wording,
    joined,
    latest,
)
from harness.typed_json import from_json, to_json
from harness.types import NeuroglossError, Unit

UNIT, OTHER = Unit("N", 3, 7), Unit("N", 4, 2)
WORDINGS = st.builds(Wording, st.text(), st.text(), st.sampled_from([UNIT, OTHER]))
KEYS = st.lists(st.text("0123456789abcdef", min_size=1), max_size=3).map(tuple)
FIVE = tuple("abcde")
QUESTIONS = st.one_of(
    st.builds(ExplainQuestion, KEYS),
    st.builds(RateQuestion, WORDINGS, WORDINGS, st.sampled_from(PairKind), KEYS, st.none() | st.text()),
    st.builds(SimulateQuestion, WORDINGS, st.text(), st.floats(0, 100)),
    st.builds(IntruderQuestion, st.just(FIVE), st.integers(0, 4)),
)
PAYLOADS = st.one_of(
    st.builds(Explained, st.text(), st.integers(1, 5)),
    st.builds(Rated, st.sampled_from(Choice)),
    st.builds(Levels, st.lists(st.integers(0, 10)).map(tuple)),
    st.builds(Picked, st.integers(0, 4)),
)


def answer(key: str, corrects: str | None = None, at: float = 2.0, assignment: str = "s1") -> Answer:
    return Answer(key, "p1", assignment, UNIT, 1.0, at, "pages-v1", Explained(key, 3), corrects)


ASSIGNMENT = Assignment("s1", "p1", UNIT, 0, ExplainQuestion(("a",)))


@given(QUESTIONS)
def test_assignments_pass_through_json(question: Question) -> None:
    assignment = Assignment("s1", "p1", UNIT, 0, question)
    assert from_json(Assignment, to_json(assignment), "row") == assignment


@given(PAYLOADS)
def test_answers_pass_through_json(payload: Payload) -> None:
    row = replace(answer("a1"), payload=payload)
    assert from_json(Answer, to_json(row), "row") == row


@pytest.mark.parametrize(
    ("payload", "mode"),
    [
        (Explained("", 1), Mode.EXPLAIN),
        (Rated(Choice.BOTH), Mode.RATE),
        (Levels((0, 10)), Mode.SIMULATE),
        (Picked(4), Mode.INTRUDER),
    ],
)
def test_a_payload_tells_its_mode(payload: Payload, mode: Mode) -> None:
    assert replace(answer("a1"), payload=payload).mode is mode


@pytest.mark.parametrize(
    "make",
    [
        lambda: Explained("x", 0),
        lambda: Explained("x", 6),
        lambda: Levels((0, 11)),
        lambda: Levels((-1,)),
        lambda: Picked(5),
        lambda: IntruderQuestion(FIVE, 5),
        lambda: IntruderQuestion(FIVE[:4], 0),
    ],
)
def test_what_cannot_be_is_refused(make: object) -> None:
    with pytest.raises(NeuroglossError):
        make()  # type: ignore[operator]


@given(st.permutations([answer("a1"), answer("a2", "a1", 3.0), answer("a3", "a2", 4.0)]))
def test_a_correction_of_a_correction_stands_in_any_order(rows: list[Answer]) -> None:
    assert [row.id for row in latest(rows)] == ["a3"]


def test_of_two_corrections_the_last_stands_in_the_place_of_the_first_answer() -> None:
    rows = [answer("a1"), answer("b1", assignment="s2"), answer("a2", "a1", 9.0), answer("a3", "a1", 4.0)]
    assert [row.id for row in latest(rows)] == ["a2", "b1"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([answer("a1"), answer("a1", "a1")], "have the id a1"),
        ([answer("a1"), answer("a2")], "were given to assignment s1"),
        ([answer("a1", "a0")], "corrects a0"),
        ([answer("a1", assignment="s2"), answer("a2", "a1")], "no answer to assignment s1"),
        ([answer("a1", "a2"), answer("a2", "a1")], "corrects itself"),
    ],
)
def test_rows_that_contradict_each_other_are_named(rows: list[Answer], words: str) -> None:
    with pytest.raises(NeuroglossError, match=words):
        latest(rows)


def test_an_answer_stands_beside_its_assignment() -> None:
    [response] = joined([answer("a1"), answer("a2", "a1", 3.0)], [ASSIGNMENT])
    assert (response.answer.id, response.assignment) == ("a2", ASSIGNMENT)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"assignment": "s9"}, "s9, which is not there"),
        ({"annotator": "p2"}, "the person p2"),
        ({"unit": OTHER}, "the unit L4N2"),
        ({"payload": Picked(0)}, "the mode intruder"),
    ],
)
def test_an_answer_to_another_assignment_is_named(change: dict[str, object], words: str) -> None:
    with pytest.raises(NeuroglossError, match=words):
        joined([replace(answer("a1"), **change)], [ASSIGNMENT])  # type: ignore[arg-type]


def test_a_known_answer_is_on_the_side_of_the_unit_itself() -> None:
    theirs, ours = Wording("months", "max_activation", OTHER), Wording("years", "max_activation", UNIT)
    pair = RateQuestion(theirs, ours, PairKind.KNOWN, ("a",))
    assert replace(ASSIGNMENT, question=pair).correct is Choice.RIGHT
    assert replace(ASSIGNMENT, question=replace(pair, left=ours, right=theirs)).correct is Choice.LEFT
    assert replace(ASSIGNMENT, question=replace(pair, kind=PairKind.RANDOM)).correct is None
