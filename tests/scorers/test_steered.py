"""Steered asks the subject once a unit, on text that nothing is reported on, and has no score where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from harness.scorers.steered import FIGURES, Steer, Steered, SteeredSubject, Steering, steer
from harness.types import (
    Effect,
    Explanation,
    Identity,
    NeuroglossError,
    Record,
    Replacement,
    Scorer,
    SimulatedExplanation,
    TokenEffects,
    Unit,
)

PLACES = {"dog": 0.9, "cat": 0.7}


class Promoting:
    """A subject that promotes dogs and cats, and keeps what it is asked."""

    identity = Identity("promoting", "0")

    def __init__(self) -> None:
        self.steerings: list[Steering] = []

    def steered(self, steerings: Sequence[Steering]) -> list[Steered]:
        self.steerings += steerings
        return [Steered(tuple(PLACES.get(name, 0.5) for name in one.names), 2.0, 0.03) for one in steerings]


def explained(record: Record, text: str) -> SimulatedExplanation:
    return SimulatedExplanation(Explanation(record.unit, text), record, "", (), None)


@pytest.fixture
def shown(small_record: Record) -> Record:
    return replace(small_record, shown=small_record.splits.valid)


def test_a_score_is_the_mean_standing_of_what_is_named(shown: Record) -> None:
    subject = Promoting()
    scorer = Steer(subject, excerpts=1)
    assert isinstance(scorer, Scorer)
    assert isinstance(subject, SteeredSubject)
    first, second = scorer.score([explained(shown, 'makes "dog" or "cat" likelier'), explained(shown, "the word tree")])
    assert first.scores.values == {"steered": pytest.approx(0.8), "steered_factor": 2.0, "steered_divergence": 0.03}
    assert second.scores.values["steered"] == 0.5
    (steering, _) = subject.steerings
    assert steering.names == ("dog", "cat")
    assert (len(steering.sequences), steering.maximum) == (1, 4.0)
    assert steering.activations == ((0.5, 0.25),)  # the first random calibration excerpt, which is no top one


def test_without_words_texts_or_activation_there_is_no_score(shown: Record) -> None:
    no_texts = replace(shown, splits=replace(shown.splits, calibration=shown.splits.calibration[:1]))
    items = [
        explained(shown, ""),
        explained(no_texts, "dogs"),
        explained(replace(shown, shown=()), "dogs"),
        explained(replace(shown, unit=Unit("puzzle", name="x")), "dogs"),
    ]
    subject = Promoting()
    reasons = [item.scores.missing for item in Steer(subject).score(items)]
    assert [set(reason) for reason in reasons] == [set(FIGURES)] * 4
    words = ["names no word", "no random calibration excerpt", "never above 0", "puzzle has no subject"]
    assert all(word in reason["steered"] for word, reason in zip(words, reasons, strict=True))
    assert subject.steerings == []


def test_a_subject_that_is_not_to_be_asked_leaves_no_zero(shown: Record) -> None:
    class Silent(Promoting):
        def steered(self, steerings: Sequence[Steering]) -> list[Steered]:
            return []

    (scored,) = Steer(Silent()).score([explained(shown, "dogs")])
    assert scored.scores.missing["steered"] == "the subject was not asked"


class Open:
    """A subject of a line of tokens, each promoted by as much as its number; twice the maximum moves it enough."""

    def __init__(self) -> None:
        self.replaced: list[Replacement] = []

    def effects(self, replacements: Sequence[Replacement]) -> Iterator[tuple[int, Effect]]:
        for place, replacement in enumerate(replacements):
            yield place, Effect((replacement.values[-1] - 1.0) / 400, 0.0)

    def changed_tokens(self, replacements: Sequence[Replacement], count: int) -> TokenEffects:
        self.replaced += replacements
        sign = 1 if replacements[0].values[-1] > 0 else -1
        changes = [(str(number), float(sign * number)) for number in range(-4, 5)]
        return TokenEffects(tuple(one for one in changes if one[1] > 0), tuple(one for one in changes if one[1] < 0))

    def encode(self, text: str) -> tuple[int, ...]:
        assert text[0] in " -"  # a word stands behind a space
        return (int(text.split(maxsplit=1)[0]), 99)

    def token_text(self, token_id: int) -> str:
        return str(token_id)


def test_a_unit_is_raised_until_the_output_moves_enough_and_lowered_by_as_much() -> None:
    request = Steering(Unit("N", 0, 1), ((7, 8),), ((9.0, 1.0),), 1, 4.0, 0.02, ("4 and more", "-4"))
    subject = Open()
    replies = dict(steer(subject, [request, replace(request, names=("0",))]))  # type: ignore[arg-type]
    assert [replacement.values for replacement in subject.replaced] == [(17.0, 9.0), (1.0, -7.0)]  # 2 x 4 is enough
    assert {replacement.leading for replacement in subject.replaced} == {1}
    assert (replies[0].factor, replies[0].divergence) == (2.0, pytest.approx(0.02))
    assert replies[0].places == pytest.approx((7.5 / 8, 0.5 / 8))
    assert replies[1].places == (0.5,)


@pytest.mark.parametrize("wrong", [{"excerpts": 0}, {"divergence": 0.0}, {"divergence": 0.7}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(NeuroglossError, match=rf"^scores\.steered\.{next(iter(wrong))} is "):
        Steer(Promoting(), **wrong)  # type: ignore[arg-type]
