"""Answers of people, and the assignments that they answer: plain values that know of no page and no database.

People are random ids here; who they are is nowhere in these values. A person who explains is an explainer, a rating is
a judgement between two explanations, and a person who simulates is a simulator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from harness.types import HIGHEST_LEVEL, NeuroglossError, Unit

INTRUDERS_AMONG = 5
"""Excerpts of a question for an intruder, of which one does not belong."""
HIGHEST_CONFIDENCE = 5
"""The highest confidence in an explanation; 1 is the lowest."""


class Mode(StrEnum):
    """What people do in a study."""

    EXPLAIN = "explain"
    RATE = "rate"
    SIMULATE = "simulate"
    INTRUDER = "intruder"


class Choice(StrEnum):
    """Which of two explanations fits better, or that both fit equally well, or that neither fits."""

    LEFT = "left"
    RIGHT = "right"
    BOTH = "both"
    NEITHER = "neither"


class PairKind(StrEnum):
    """Why two explanations were put against each other.

    ``adaptive``: because what is known so far leaves their order most open; ``random``: drawn uniformly; ``known``: a
    unit's explanation against another unit's by the same author; ``repeat``: an earlier pair of the same person, with
    its sides swapped.
    """

    ADAPTIVE = "adaptive"
    RANDOM = "random"
    KNOWN = "known"
    REPEAT = "repeat"


# ----------------------------------------------------------------------------------------------------------- questions


@dataclass(frozen=True, slots=True)
class Wording:
    """An explanation as people read it.

    Attributes:
        text: the words.
        author: the explainer of a run that wrote it (``Explanation.explainer``). Browsers are never sent it.
        about: the unit that it was written about; another than that of the question in a pair of kind ``known``.
    """

    text: str
    author: str
    about: Unit


@dataclass(frozen=True, slots=True)
class ExplainQuestion:
    """What does this unit respond to? ``excerpts`` are the keys (``Excerpt.digest``) of the train excerpts shown."""

    excerpts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RateQuestion:
    """Which of two explanations fits the excerpts better?

    Attributes:
        left, right: the explanations, on the sides on which they stood.
        kind: why these two.
        excerpts: keys of the excerpts shown beside them.
        repeats: the assignment of the same person that a pair of kind ``repeat`` repeats; else None.
    """

    left: Wording
    right: Wording
    kind: PairKind
    excerpts: tuple[str, ...]
    repeats: str | None = None

    @property
    def authors(self) -> tuple[str, str]:
        """Who wrote the left one and the right one."""
        return self.left.author, self.right.author


@dataclass(frozen=True, slots=True)
class SimulateQuestion:
    """What are the levels of an unseen excerpt, going by an explanation?

    Attributes:
        explanation: which is read.
        excerpt: the key of the valid excerpt.
        weight: of this excerpt, which was importance-sampled: the sum over all excerpts drawn for a unit and an
            explanation of weight times x has as its expectation the mean of x over all valid excerpts of the unit.
    """

    explanation: Wording
    excerpt: str
    weight: float


@dataclass(frozen=True, slots=True)
class IntruderQuestion:
    """Which of five excerpts does not belong? ``intruder`` is its place in ``excerpts``, counted from 0."""

    excerpts: tuple[str, ...]
    intruder: int

    def __post_init__(self) -> None:
        if len(self.excerpts) != INTRUDERS_AMONG or not 0 <= self.intruder < INTRUDERS_AMONG:
            raise NeuroglossError(
                f"a question for an intruder has {len(self.excerpts)} excerpts and the intruder {self.intruder}; it "
                f"needs {INTRUDERS_AMONG}, and one of them by its place from 0."
            )


Question = ExplainQuestion | RateQuestion | SimulateQuestion | IntruderQuestion


@dataclass(frozen=True, slots=True)
class Assignment:
    """A question that was put to a person.

    Attributes:
        id: which assignment, unique within a study.
        annotator: the random id of the person.
        unit: which the question is about; people never see its name.
        place: of the question in the sequence of this person, counted from 0.
        question: what was asked.
    """

    id: str
    annotator: str
    unit: Unit
    place: int
    question: Question

    @property
    def mode(self) -> Mode:
        """What the person was asked to do."""
        return _ASKED[type(self.question)]

    @property
    def correct(self) -> Choice | None:
        """The side of the unit's own explanation in a pair whose answer is known; None where none is."""
        pair = self.question
        if not isinstance(pair, RateQuestion) or pair.kind is not PairKind.KNOWN:
            return None
        return Choice.LEFT if pair.left.about == self.unit else Choice.RIGHT


_ASKED: dict[type, Mode] = {
    ExplainQuestion: Mode.EXPLAIN,
    RateQuestion: Mode.RATE,
    SimulateQuestion: Mode.SIMULATE,
    IntruderQuestion: Mode.INTRUDER,
}


# ------------------------------------------------------------------------------------------------------------- answers


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation by a person, empty where they see no pattern, and their confidence in it from 1 to 5."""

    text: str
    confidence: int

    def __post_init__(self) -> None:
        _check("confidence", self.confidence, 1, HIGHEST_CONFIDENCE)


@dataclass(frozen=True, slots=True)
class Rated:
    """A judgement between two explanations."""

    choice: Choice


@dataclass(frozen=True, slots=True)
class Levels:
    """A simulation by a person: a level from 0 to 10 for each token of the excerpt [tokens].

    Leading positions, which count in no score, hold 0.
    """

    levels: tuple[int, ...]

    def __post_init__(self) -> None:
        for level in self.levels:
            _check("a level", level, 0, HIGHEST_LEVEL)


@dataclass(frozen=True, slots=True)
class Picked:
    """The place of the excerpt that a person took for the intruder, counted from 0."""

    place: int

    def __post_init__(self) -> None:
        _check("the place of an intruder", self.place, 0, INTRUDERS_AMONG - 1)


Payload = Explained | Rated | Levels | Picked


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's answer to an assignment: one row, never overwritten.

    Attributes:
        id: of the row; a browser makes it, so that an answer that is sent twice is one row.
        annotator: the random id of the person.
        assignment: the id of the :class:`Assignment`.
        unit: which the answer is about.
        shown_at, answered_at: when the question was first shown and when the answer was sent, in seconds since
            1970-01-01 UTC, by the server's clock.
        page: the version of the pages that it was given on.
        payload: the answer.
        corrects: the id of the row that this one corrects; None for a first answer.
    """

    id: str
    annotator: str
    assignment: str
    unit: Unit
    shown_at: float
    answered_at: float
    page: str
    payload: Payload
    corrects: str | None = None

    @property
    def mode(self) -> Mode:
        """What the person did."""
        return _DONE[type(self.payload)]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.answered_at - self.shown_at


_DONE: dict[type, Mode] = {
    Explained: Mode.EXPLAIN,
    Rated: Mode.RATE,
    Levels: Mode.SIMULATE,
    Picked: Mode.INTRUDER,
}


@dataclass(frozen=True, slots=True)
class Response:
    """An answer beside the assignment that it answers."""

    answer: Answer
    assignment: Assignment


# ----------------------------------------------------------------------------------------------------------- functions


def latest(answers: Iterable[Answer]) -> list[Answer]:
    """Return the answers that hold, with corrections in the places of what they correct.

    A correction may be corrected in turn; of several corrections of one row the last to be given holds.

    Raises:
        NeuroglossError: a row corrects one that is not there or is another assignment's, two rows have one id, or an
            assignment has two answers of which neither corrects the other.
    """
    rows = list(answers)
    _check_single("have the id", (row.id for row in rows))
    _check_single("were given to assignment", (row.assignment for row in rows if row.corrects is None))
    by_id = {row.id: row for row in rows}
    standing: dict[str, Answer] = {}
    for row in rows:
        first = _first(row, by_id)
        if first.id not in standing or _given_later(row, standing[first.id]):
            standing[first.id] = row
    return list(standing.values())


def joined(answers: Iterable[Answer], assignments: Iterable[Assignment]) -> list[Response]:
    """Return the answers that hold (:func:`latest`), each beside its assignment, in order.

    Raises:
        NeuroglossError: an assignment is not there, or is another person's, of another unit or another mode.
    """
    by_id = {assignment.id: assignment for assignment in assignments}
    return [Response(answer, _assignment_of(answer, by_id)) for answer in latest(answers)]


def _given_later(row: Answer, current: Answer) -> bool:
    return row.corrects is not None and row.answered_at >= current.answered_at


def _first(row: Answer, by_id: dict[str, Answer]) -> Answer:
    """Return the first answer of the chain of corrections that ends in a row."""
    first = row
    for _ in by_id:
        if first.corrects is None:
            return first
        corrected = by_id.get(first.corrects)
        if corrected is None or corrected.assignment != row.assignment:
            raise NeuroglossError(
                f"answer {first.id} corrects {first.corrects}, which is no answer to assignment {row.assignment}."
            )
        first = corrected
    raise NeuroglossError(f"answer {row.id} corrects itself through others; corrections must end in a first answer.")


def _assignment_of(answer: Answer, by_id: dict[str, Assignment]) -> Assignment:
    assignment = by_id.get(answer.assignment)
    if assignment is None:
        raise NeuroglossError(f"answer {answer.id} is to assignment {answer.assignment}, which is not there.")
    values = (answer.annotator, str(answer.unit), answer.mode)
    expected_values = (assignment.annotator, str(assignment.unit), assignment.mode)
    for noun, value, expected in zip(("person", "unit", "mode"), values, expected_values, strict=True):
        if value != expected:
            raise NeuroglossError(
                f"answer {answer.id} has the {noun} {value}, but its assignment {assignment.id} has {expected}."
            )
    return assignment


def _check_single(claim: str, ids: Iterable[str]) -> None:
    number, most = next(iter((count, key) for key, count in Counter(ids).most_common(1)), (0, ""))
    if number > 1:
        raise NeuroglossError(f"{number} answers {claim} {most}, and none of them corrects another; there can be one.")


def _check(noun: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise NeuroglossError(f"{noun} is {value}; it can be {least} to {most}.")
