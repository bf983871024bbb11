"""How people worked, and whose answers are left out by the rule that a study fixed before its data."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.config.settings import ExclusionSettings
from harness.humans.analysis.comparisons import preferred_wording
from harness.humans.answers import PairKind, Rated, RateQuestion, Response


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a person worked.

    Attributes:
        annotator: the random id of the person.
        answers: that they gave.
        known, right: pairs with a known answer, and how many of them they got right.
        repeats, repeated: pairs that they were asked twice, and how many of them they answered the same way.
        seconds: the median time for an answer.
    """

    annotator: str
    answers: int
    known: int
    right: int
    repeats: int
    repeated: int
    seconds: float

    def failing(self, rule: ExclusionSettings) -> tuple[str, ...]:
        """Return what the rule leaves this person out for; nobody fails what they were not tested by."""
        failures = {
            f"{self.right} of {self.known} known answers right": self.right < rule.least_known * self.known,
            f"{self.repeated} of {self.repeats} repeats the same": self.repeated < rule.least_repeats * self.repeats,
            f"{self.seconds:.1f} s for an answer": self.seconds < rule.least_seconds,
        }
        return tuple(failure for failure, is_failed in failures.items() if is_failed)


def conduct(responses: Sequence[Response]) -> dict[str, Conduct]:
    """Return how each person worked, by their random ids in order."""
    by_assignment = {response.assignment.id: response for response in responses}
    by_person: dict[str, list[Response]] = {}
    for response in responses:
        by_person.setdefault(response.answer.annotator, []).append(response)
    return {person: _conduct(person, by_person[person], by_assignment) for person in sorted(by_person)}


def _conduct(person: str, responses: Sequence[Response], by_assignment: Mapping[str, Response]) -> Conduct:
    tested = [_is_right(response) for response in responses if response.assignment.correct is not None]
    repeats = [is_same for response in responses if (is_same := _is_repeated(response, by_assignment)) is not None]
    return Conduct(
        person,
        len(responses),
        len(tested),
        sum(tested),
        len(repeats),
        sum(repeats),
        statistics.median(response.answer.seconds for response in responses),
    )


def _is_right(response: Response) -> bool:
    payload = response.answer.payload
    return isinstance(payload, Rated) and payload.choice is response.assignment.correct


def _is_repeated(response: Response, by_assignment: Mapping[str, Response]) -> bool | None:
    """Return whether a repeated pair was answered as the first time; None if it is no repeat, or of nothing here."""
    question = response.assignment.question
    if not isinstance(question, RateQuestion) or question.kind is not PairKind.REPEAT or question.repeats is None:
        return None
    earlier = by_assignment.get(question.repeats)
    return None if earlier is None else _meaning(response) == _meaning(earlier)


def _meaning(response: Response) -> object:
    """Return the explanation that was preferred, or that it was both or neither."""
    question, payload = response.assignment.question, response.answer.payload
    if not isinstance(question, RateQuestion) or not isinstance(payload, Rated):
        return None
    return preferred_wording(payload.choice, question) or payload.choice


def excluded(responses: Sequence[Response], rule: ExclusionSettings) -> dict[str, tuple[str, ...]]:
    """Return whose answers the rule leaves out, and what for."""
    failures = {person: working.failing(rule) for person, working in conduct(responses).items()}
    return {person: reasons for person, reasons in failures.items() if reasons}


def without(responses: Iterable[Response], people: Iterable[str]) -> list[Response]:
    """Return the answers of all but some people."""
    left_out = set(people)
    return [response for response in responses if response.answer.annotator not in left_out]
