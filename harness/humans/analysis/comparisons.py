"""Ratings as comparisons of explainers: who was preferred to whom on which unit.

Only pairs that were drawn to compare explainers are: those with a known answer test the rater, and a repeated pair
would count one opinion twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from harness.humans.answers import Choice, PairKind, Rated, RateQuestion, Response, Wording
from harness.types import Unit


class Preference(StrEnum):
    """The first of two explanations fits better, or the second, or both fit equally well, or neither fits."""

    FIRST = "first"
    SECOND = "second"
    BOTH = "both"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a person said of two explanations of a unit.

    Attributes:
        unit: which they explain.
        annotator: the random id of the person.
        first, second: their authors, in the order of their names, whatever the sides on which they stood.
        texts: what they read, in that order.
        preference: what was said.
        is_random: whether the pair was drawn uniformly, and not because its order was open.
    """

    unit: Unit
    annotator: str
    first: str
    second: str
    texts: tuple[str, str]
    preference: Preference
    is_random: bool

    @property
    def item(self) -> tuple[Unit, str, str]:
        """What several people may have rated: the unit and both authors."""
        return self.unit, self.first, self.second


def comparisons(responses: Iterable[Response]) -> list[Comparison]:
    """Return the comparisons of explainers among answers, in order."""
    compared = (_comparison(response) for response in responses)
    return [comparison for comparison in compared if comparison is not None]


def _comparison(response: Response) -> Comparison | None:
    question, payload = response.assignment.question, response.answer.payload
    if not isinstance(question, RateQuestion) or not isinstance(payload, Rated):
        return None
    if question.kind not in (PairKind.ADAPTIVE, PairKind.RANDOM):
        return None
    sides = sorted((question.left, question.right), key=lambda wording: (wording.author, wording.text))
    return Comparison(
        response.answer.unit,
        response.answer.annotator,
        sides[0].author,
        sides[1].author,
        (sides[0].text, sides[1].text),
        _preference(payload.choice, question, sides[0]),
        question.kind is PairKind.RANDOM,
    )


def _preference(choice: Choice, question: RateQuestion, first: Wording) -> Preference:
    preferred = preferred_wording(choice, question)
    if preferred is None:
        return Preference(choice.value)
    return Preference.FIRST if preferred is first else Preference.SECOND


def preferred_wording(choice: Choice, question: RateQuestion) -> Wording | None:
    """Return the explanation that was preferred; None if both or neither was said."""
    return {Choice.LEFT: question.left, Choice.RIGHT: question.right}.get(choice)
