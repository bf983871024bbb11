"""The intruder measures the unit: one judgement for all its explanations, at chance for a judge that sees nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from harness.scorers.intruder import NAME, Intruder, places, share_of_hit
from harness.types import (
    Excerpt,
    ExcerptKind,
    Explanation,
    Identity,
    LevelReading,
    NeuroglossError,
    Outcome,
    Record,
    Scorer,
    SimulatedExplanation,
    SlottedPrompt,
    Splits,
    TokenSums,
    Unit,
    Usage,
)

UNIT = Unit("N", 0, 1)
MISSING = LevelReading((), (), (), Outcome.REFUSED)


class Seeing:
    """Names the text in which ``sign`` is not marked, or always the same place; keeps what it is asked."""

    identity = Identity("seeing", "0", transport="prompt")

    def __init__(self, sign: str = "", place: int = 0, silent: int = 0) -> None:
        self.sign, self.place, self.silent = sign, place, silent
        self.prompts: list[SlottedPrompt] = []

    def levels(self) -> int:
        return 11

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        self.prompts += prompts
        return [MISSING if number < self.silent else self.reading(prompt) for number, prompt in enumerate(prompts)]

    def reading(self, prompt: SlottedPrompt) -> LevelReading:
        texts = prompt.messages[-1].content.strip().splitlines()
        place = next((number for number, text in enumerate(texts) if self.sign not in text), self.place)
        return LevelReading(
            (tuple(0.9 if level == place + 1 else 0.02 for level in range(6)),), (1.0,), (6,), usage=Usage(1)
        )

    def complete(self, prompts: Sequence[object]) -> list[object]:
        raise AssertionError("a judge reads, and asks for no text")


def explanation(words: str, top: int = 20) -> SimulatedExplanation:
    fires = [Excerpt((f"a{place}", " boat", "c"), (), (0.0, 9.0, 0.0), ExcerptKind.TOP) for place in range(top)]
    silent = [Excerpt((f"d{place}", " tree", "e"), (), (0.0,) * 3, ExcerptKind.RANDOM) for place in range(15)]
    splits = Splits(tuple(fires), (), (), tuple(silent))
    sums = TokenSums((), np.zeros(0, dtype=np.int64), np.zeros(0))
    return SimulatedExplanation(Explanation(UNIT, words), Record(UNIT, splits, (), sums, 0.0, 0.0), "", (), None)


def test_a_judge_that_sees_what_is_common_finds_each_intruder_and_is_asked_once_a_unit() -> None:
    model = Seeing("« boat»")
    assert isinstance(Intruder(model), Scorer)
    first, second = Intruder(model).score([explanation("boats"), explanation("something else")])
    assert (first.scores.values, second.scores.values) == ({NAME: 1.0}, {NAME: 1.0})
    assert len(model.prompts) == len(first.judged) == first.scores.judgements == 5
    assert second.judged == ()
    assert second.scores.judgements == 0
    assert {prompt.levels for prompt in model.prompts} == {6}
    assert "boats" not in "".join(prompt.messages[-1].content for prompt in model.prompts)


@pytest.mark.parametrize("place", range(5))
def test_a_judge_that_always_names_one_place_is_at_chance(place: int) -> None:
    (scored,) = Intruder(Seeing("", place)).score([explanation("boats")])
    assert scored.scores.values == {NAME: pytest.approx(0.2)}


def test_trials_without_an_answer_are_missing_and_never_zero() -> None:
    (scored,) = Intruder(Seeing("« boat»", silent=1)).score([explanation("boats")])
    assert scored.scores.missing == {NAME: "1 of 5 trials have no answer (outcomes: 1 refused)"}
    (scored,) = Intruder(Seeing("« boat»", silent=1), maximum_missing=0.2).score([explanation("boats")])
    assert scored.scores.values == {NAME: 1.0}
    (few,) = Intruder(Seeing("")).score([explanation("boats", top=3)])
    assert "too few excerpts" in few.scores.missing[NAME]


def test_a_tie_is_shared_and_a_zero_is_no_place() -> None:
    assert share_of_hit([0.3, 0.3, 0.2, 0.1, 0.1], 1) == 0.5
    assert share_of_hit([0.3, 0.3, 0.2, 0.1, 0.1], 2) == 0.0
    reading = LevelReading(((0.5, 0.1, 0.1, 0.1, 0.1, 0.1),), (1.0,), (6,))
    assert places(reading) == pytest.approx((0.2,) * 5)
    assert places(replace(reading, probabilities=((1.0, 0.0, 0.0, 0.0, 0.0, 0.0),))) == ()
    assert places(replace(reading, probabilities=((math.nan,) * 6,), seen=(0,))) == ()


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(NeuroglossError, match=r"^scores\.intruder\.level is 0; write a level from 1 to 10\.$"):
        Intruder(Seeing(""), level=0)
