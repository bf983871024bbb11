"""Answers for tests of analyses. None are of people: they are written down, or drawn by a stated random process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import pytest

from harness.humans.analysis.comparisons import Comparison, Preference
from harness.humans.answers import Answer, Assignment, Payload, Question, Response
from harness.types import Unit

Respond = Callable[..., Response]
Compare = Callable[..., list[Comparison]]


@pytest.fixture
def respond() -> Respond:
    """Makes an answer beside its assignment; ``seconds`` is how long it took."""
    numbers = count()

    def make(
        person: str,
        unit: Unit,
        question: Question,
        payload: Payload,
        seconds: float = 9.0,
        assignment: str | None = None,
    ) -> Response:
        number = next(numbers)
        name = assignment or f"assignment-{number}"
        answer = Answer(f"answer-{number}", person, name, unit, 50.0 * number, 50.0 * number + seconds, "v1", payload)
        return Response(answer, Assignment(name, person, unit, number, question))

    return make


@pytest.fixture
def compare() -> Compare:
    """Makes comparisons of two explainers, one for each preference, on units in turn."""

    def make(
        first: str, second: str, preferences: Sequence[Preference], units: int = 8, is_random: bool = True
    ) -> list[Comparison]:
        return [
            Comparison(Unit("N", 0, place % units), f"p{place % 3}", first, second, ("a", "b"), preference, is_random)
            for place, preference in enumerate(preferences)
        ]

    return make
