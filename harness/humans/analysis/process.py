"""Answers by a stated random process, for tests and benchmarks: they say nothing of people, and show whose they are.

A person looks at a pair with a probability of their own, and else answers at random. Who looks says *neither* with a
fixed probability, and else chooses by Davidson's model with each explainer's strength on the unit, which is its known
strength and a normal effect of the unit. A share of the pairs is drawn uniformly, the others are those that tell most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, count

import numpy as np

from harness.humans.answers import Answer, Assignment, Choice, PairKind, Rated, RateQuestion, Response, Wording
from harness.humans.pairs import Outcome, most_telling
from harness.types import FloatArray, Unit

PAGE = "random process"
"""The version of the pages in such answers: there were none."""


@dataclass(frozen=True)
class Process:
    """What is known of simulated raters.

    Attributes:
        strengths: the log strength of each explainer.
        units: number of units.
        pairs: rated of each unit, by people in turn.
        people: number of people.
        ties: Davidson's nu.
        effect: standard deviation of a strength over units.
        neither: probability that neither explanation fits.
        random: share of the pairs that are drawn uniformly; 1 draws all of them so.
        looking: probability that a person looks, by place; the last holds for all others.
        tests, repeats: pairs with a known answer, and repeated ones, for each person.
        seconds: median time of an answer.
    """

    strengths: Mapping[str, float]
    units: int = 30
    pairs: int = 10
    people: int = 6
    ties: float = 0.6
    effect: float = 0.0
    neither: float = 0.1
    random: float = 0.4
    looking: Sequence[float] = field(default=(1.0,))
    tests: int = 0
    repeats: int = 0
    seconds: float = 8.0


def ratings(process: Process, seed: int) -> list[Response]:
    """Return the answers of a simulated study."""
    return list(_Study(process, np.random.default_rng(seed)).responses())


class _Study:
    """A simulated study while it runs: what was answered so far decides which pair tells most."""

    def __init__(self, process: Process, rng: np.random.Generator) -> None:
        self._process, self._rng = process, rng
        self._authors = sorted(process.strengths)
        self._pairs = list(combinations(self._authors, 2))
        means = np.array([process.strengths[author] for author in self._authors])
        self._strengths = means + rng.normal(0, process.effect, (process.units, len(means)))
        self._outcomes: list[Outcome] = []
        self._numbers = count()

    def responses(self) -> Iterator[Response]:
        order = self._rng.permutation(np.repeat(np.arange(self._process.units), self._process.pairs))
        compared: dict[int, list[Response]] = {person: [] for person in range(self._process.people)}
        for number, place in enumerate(order.tolist()):
            response = self._compared(number % self._process.people, place)
            compared[number % self._process.people].append(response)
            yield response
        for person, earlier in compared.items():
            for _ in range(self._process.tests):
                yield self._known(person)
            for response in earlier[: self._process.repeats]:
                yield self._repeated(person, response)

    def _compared(self, person: int, place: int) -> Response:
        is_random = self._rng.random() < self._process.random
        seed = int(self._rng.integers(2**31))
        pair = self._pairs[seed % len(self._pairs)] if is_random else most_telling(self._pairs, self._outcomes, seed)
        sides = [pair[side] for side in self._rng.permutation(2)]
        unit = _unit(place)
        wordings = [Wording(f"{author} on {unit}", author, unit) for author in sides]
        kind = PairKind.RANDOM if is_random else PairKind.ADAPTIVE
        choice = self._choice(person, *(self._strengths[place, self._authors.index(author)] for author in sides))
        self._outcomes.append((sides[0], sides[1], choice))
        return self._response(person, unit, RateQuestion(wordings[0], wordings[1], kind, ()), choice)

    def _known(self, person: int) -> Response:
        """Return the answer to a pair whose right answer whoever looks can tell."""
        unit, author = _unit(0), self._authors[0]
        wordings = [Wording("fits", author, unit), Wording("of another unit", author, _unit(1))]
        sides = [wordings[side] for side in self._rng.permutation(2)]
        right_answer = Choice.LEFT if sides[0].about == unit else Choice.RIGHT
        choice = right_answer if self._looks(person) else self._guess()
        return self._response(person, unit, RateQuestion(sides[0], sides[1], PairKind.KNOWN, ()), choice)

    def _repeated(self, person: int, earlier: Response) -> Response:
        question, payload = earlier.assignment.question, earlier.answer.payload
        assert isinstance(question, RateQuestion)
        assert isinstance(payload, Rated)
        swapped = {Choice.LEFT: Choice.RIGHT, Choice.RIGHT: Choice.LEFT}
        choice = swapped.get(payload.choice, payload.choice) if self._looks(person) else self._guess()
        pair = RateQuestion(question.right, question.left, PairKind.REPEAT, (), earlier.assignment.id)
        return self._response(person, earlier.answer.unit, pair, choice)

    def _looks(self, person: int) -> bool:
        looking = self._process.looking
        return bool(self._rng.random() < looking[min(person, len(looking) - 1)])

    def _guess(self) -> Choice:
        return list(Choice)[self._rng.integers(len(Choice))]

    def _choice(self, person: int, first: float, second: float) -> Choice:
        if not self._looks(person):
            return self._guess()
        if self._rng.random() < self._process.neither:
            return Choice.NEITHER
        odds = davidson(first, second, self._process.ties)
        return (Choice.LEFT, Choice.RIGHT, Choice.BOTH)[self._rng.choice(3, p=odds)]

    def _response(self, person: int, unit: Unit, question: RateQuestion, choice: Choice) -> Response:
        number = next(self._numbers)
        name, assignment = f"simulated-{person}", f"assignment-{number}"
        began = 100.0 * number
        answered_at = began + self._process.seconds * float(self._rng.lognormal(0, 0.3))
        answer = Answer(f"answer-{number}", name, assignment, unit, began, answered_at, PAGE, Rated(choice))
        return Response(answer, Assignment(assignment, name, unit, number, question))


def _unit(place: int) -> Unit:
    return Unit("N", place // 8, place)


def davidson(first: float, second: float, ties: float) -> FloatArray:
    """Return the probabilities that the first is preferred, that the second is, and that both fit equally well [3]."""
    odds = np.array([np.exp(first), np.exp(second), ties * np.exp((first + second) / 2)])
    return np.asarray(odds / odds.sum())
