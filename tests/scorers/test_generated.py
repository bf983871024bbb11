"""Generated texts as a scorer: what writer and subject are asked, and what is missing where one gives nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from harness.scorers.generated import Activations, Generated, TextReading, opening_of
from harness.scorers.writing import Writing
from harness.scores.generated import FIGURES
from harness.types import (
    Excerpt,
    ExcerptKind,
    Explanation,
    Identity,
    NeuroglossError,
    Outcome,
    Record,
    Scorer,
    Scores,
    SimulatedExplanation,
    Unit,
)

WORDS = Writing(("the sea", "a wide sea today"), ("the land", "a wide land"))


@dataclass
class Writer:
    """Writes what it holds, and keeps what it is asked."""

    writing: Writing = WORDS
    identity: Identity | None = None
    version: str = "w-v1"
    calls: list[tuple[list[str], int]] = field(default_factory=list)

    def write(self, explanations: Sequence[str], count: int) -> list[Writing]:
        self.calls.append((list(explanations), count))
        return [self.writing for _ in explanations]


class Subject:
    """Fires by 5 on the word sea, by 1 on others; keeps what it is asked."""

    identity = Identity("subject", "1")

    def __init__(self, asked: bool = True) -> None:
        self.asked = asked
        self.calls: list[list[TextReading]] = []

    def activations_of(self, readings: Sequence[TextReading]) -> list[Activations]:
        self.calls.append(list(readings))
        return [self.activations(reading.text) for reading in readings] if self.asked else []

    def activations(self, text: str) -> Activations:
        return tuple(5.0 if word == "sea" else 1.0 for word in text.split())


def explained(record: Record, text: str = "the sea", **changes: Any) -> SimulatedExplanation:
    explanation = replace(Explanation(record.unit, text, explainer="x"), **changes)
    return SimulatedExplanation(explanation, record, "s", (), None)


def scores(writer: Writer, subject: Subject, *explanations: SimulatedExplanation) -> list[Scores]:
    scorer = Generated(writer, subject, texts=2, minimum=2)
    return [scored.scores for scored in scorer.score(explanations)]


def test_a_unit_that_fires_on_the_texts_that_fit_is_scored_against_near_misses_and_corpus(small_record: Record) -> None:
    (result,) = scores(Writer(), Subject(), explained(small_record))
    assert result.values["generated"] == result.values["generated_corpus"] == 1.0
    assert result.values["generated_mad"] == (5.0 - 1.0) / 4  # the largest activation of the excerpts is 4
    assert result.values["generated_corpus_mad"] == (5.0 - 1.0) / 4  # one random valid excerpt, whose maximum is 1
    assert result.values["generated_share"] == 1.0
    assert result.values["generated_listed"] == 0.0
    assert set(result.values) == set(FIGURES)


def test_writer_and_subject_are_asked_once_and_the_writer_about_each_text_once(small_record: Record) -> None:
    writer, subject = Writer(), Subject()
    scores(writer, subject, explained(small_record), explained(small_record, "the land"), explained(small_record))
    assert writer.calls == [(["the sea", "the land"], 2)]
    (readings,) = subject.calls
    assert [reading.text for reading in readings] == [*WORDS.fitting, *WORDS.near] * 3
    assert {reading.unit for reading in readings} == {small_record.unit}


def test_texts_stand_where_excerpts_do(small_record: Record) -> None:
    started = [
        replace(excerpt, token_ids=(9, 1), leading=1)
        for excerpt in (*small_record.splits.calibration, *small_record.splits.valid)
    ]
    assert opening_of(started) == (9,)
    assert opening_of([started[0], replace(started[1], token_ids=(8, 1))]) == ()
    record = replace(
        small_record, splits=replace(small_record.splits, calibration=tuple(started), valid=tuple(started))
    )
    subject = Subject()
    scores(Writer(), subject, explained(record))
    assert {(reading.opening, reading.leading, reading.tokens) for reading in subject.calls[0]} == {((9,), 1, 1)}


def test_random_excerpts_are_cut_to_the_length_of_the_texts(small_record: Record) -> None:
    long = Excerpt(tuple("abcdef"), (), (1.0, 0.0, 6.0, 0.0, 1.0, 0.0), ExcerptKind.RANDOM)
    record = replace(small_record, splits=replace(small_record.splits, valid=(), test=(long,)))
    (result,) = scores(Writer(Writing(("a sea", "the sea"), ("a land", "the land"))), Subject(), explained(record))
    assert result.values["generated_corpus"] == pytest.approx(2 / 3)  # stretches of two tokens: 1, 6 and 1


@pytest.mark.parametrize(
    ("writing", "reason"),
    [
        (Writing(problem="the writer refused"), "the writer refused"),
        (Writing(("the sea",), WORDS.near), "the writer wrote 1 different fitting texts and 2 near misses of 2"),
        (Writing(WORDS.fitting, ()), "the writer wrote 2 different fitting texts and 0 near misses of 2"),
    ],
)
def test_a_writer_that_refuses_or_writes_too_little_is_missing_and_never_zero(
    small_record: Record, writing: Writing, reason: str
) -> None:
    subject = Subject()
    (result,) = scores(Writer(writing), subject, explained(small_record))
    assert result == Scores({}, missing=dict.fromkeys(FIGURES, reason))
    assert subject.calls == [[]]


@pytest.mark.parametrize(
    "changes",
    [{"table": {" sea": 1.0}}, {"outcome": Outcome.REFUSED}, {"text": " "}],
    ids=["table", "refused", "empty"],
)
def test_what_has_no_words_is_missing_beside_what_has(small_record: Record, changes: dict[str, Any]) -> None:
    wordless, neighbour = scores(Writer(), Subject(), explained(small_record, **changes), explained(small_record))
    assert wordless.missing == dict.fromkeys(FIGURES, "there are no words to write texts of")
    assert neighbour.values["generated"] == 1.0


def test_a_puzzle_has_no_subject_and_says_so(small_record: Record) -> None:
    subject = Subject()
    (result,) = scores(Writer(), subject, explained(replace(small_record, unit=Unit("puzzle", name="cats"))))
    assert result.missing == dict.fromkeys(FIGURES, "a puzzle has no subject that could be run on texts")
    assert subject.calls == [[]]


def test_a_subject_that_is_not_asked_leaves_every_figure_missing(small_record: Record) -> None:
    (result,) = scores(Writer(), Subject(asked=False), explained(small_record))
    assert result.missing == dict.fromkeys(FIGURES, "the subject was not asked")


def test_texts_that_list_the_words_of_the_explanation_are_counted(small_record: Record) -> None:
    writing = Writing(("Oceans and waves", "the waves rose on all oceans that day"), WORDS.near)
    (result,) = scores(Writer(writing), Subject(), explained(small_record, "oceans and waves"))
    assert result.values["generated_listed"] == 0.5


def test_the_description_names_the_writer(small_record: Record) -> None:
    model = Identity("writer", "2")
    scorer = Generated(Writer(identity=model, version="writer-v1+abc"), Subject())
    assert isinstance(scorer, Scorer)
    info = scorer.describe()
    assert (info.name, info.identity, info.prompt_version) == ("generated", model, "writer-v1+abc")
    assert {heading.metric for heading in info.headings} <= set(FIGURES)
    assert scorer.score([]) == []
    assert small_record.unit


@pytest.mark.parametrize(("texts", "minimum"), [(10, 11), (10, 0), (0, 0)])
def test_numbers_that_score_nothing_are_refused(texts: int, minimum: int) -> None:
    with pytest.raises(NeuroglossError, match=rf"^scores\.generated\.minimum is {minimum}; write a number from 1 to"):
        Generated(Writer(), Subject(), texts, minimum)
