"""Answers to exchange, of every mode and written down here, and the excerpts that their questions are about."""

from __future__ import annotations

import pytest

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
    Picked,
    Rated,
    RateQuestion,
    Response,
    SimulateQuestion,
    Wording,
)
from harness.humans.exchange.questions import Texts
from harness.types import Excerpt, ExcerptKind, Unit

UNIT, OTHER = Unit("N", 3, 7), Unit("N", 4, 2)
EXCERPTS = [
    Excerpt(
        ("A ", f"<b>{place}</b>", " 🌊 ", "river", "\x1b[0m"), (), (9.0, 0.0, 1.0, 4.0, 0.5), ExcerptKind.TOP, leading=1
    )
    for place in range(5)
]
KEYS = tuple(excerpt.digest for excerpt in EXCERPTS)
LEFT, RIGHT = Wording("rivers & <i>seas</i>", "secret_method", UNIT), Wording("cars", "other_method", UNIT)
ASKED = {
    Mode.EXPLAIN: (ExplainQuestion(KEYS[:2]), Explained('rivers, "all"\nof them', 4)),
    Mode.RATE: (RateQuestion(LEFT, RIGHT, PairKind.ADAPTIVE, KEYS[:2]), Rated(Choice.BOTH)),
    Mode.SIMULATE: (SimulateQuestion(LEFT, KEYS[0], 1.25), Levels((0, 0, 3, 10, 1))),
    Mode.INTRUDER: (IntruderQuestion(KEYS, 3), Picked(2)),
}


@pytest.fixture
def texts() -> Texts:
    return Texts({UNIT: dict(zip(KEYS[:4], EXCERPTS[:4], strict=True)), OTHER: {KEYS[4]: EXCERPTS[4]}})


def answer_of(mode: Mode, number: int = 0, corrects: str | None = None) -> Response:
    question, payload = ASKED[mode]
    assignment = Assignment(f"{mode}-assignment", "p7f3", UNIT, 5, question)
    began = 1.7e9 + 0.1 + 100 * number
    answer = Answer(f"{mode}-{number}", "p7f3", assignment.id, UNIT, began, began + 31 / 3, "v1", payload, corrects)
    return Response(answer, assignment)


@pytest.fixture
def responses() -> list[Response]:
    """One answer of each mode, and a correction."""
    first = [answer_of(mode) for mode in Mode]
    return [*first, answer_of(Mode.RATE, 1, corrects="rate-0")]
