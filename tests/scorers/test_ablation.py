"""Ablation as a scorer: what the subject is asked, and what its effects are worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from harness.scorers.ablation import FIGURES, Ablation, figures
from harness.scores.ablation import Way
from harness.types import (
    Effect,
    Identity,
    NeuroglossError,
    Outcome,
    Replacement,
    Scorer,
    Scores,
    SimulatedExplanation,
)

NAN = math.nan
Make = Callable[..., SimulatedExplanation]
EFFECTS = {
    Way.SIMULATION: [Effect(0.1, 0.01), Effect(0.2, -0.02)],
    Way.MEAN: [Effect(0.3, -0.05), Effect(0.5, 0.0)],
    Way.ZERO: [Effect(0.5, 0.1), Effect(0.5, 0.3)],
    Way.RESAMPLE: [Effect(0.1, 0.1), Effect(0.3, 0.2)],
}


class Subject:
    """Gives the effects above, in order, for each explanation; keeps what it is asked."""

    identity = Identity("subject", "1")

    def __init__(self, asked: bool = True) -> None:
        self.asked = asked
        self.calls: list[list[Replacement]] = []

    def effects_of(self, replacements: Sequence[Replacement]) -> list[Effect]:
        self.calls.append(list(replacements))
        effects = [effect for by_way in EFFECTS.values() for effect in by_way]
        return [effects[place % len(effects)] for place in range(len(replacements))] if self.asked else []


def scores(subject: Subject, *explanations: SimulatedExplanation) -> list[Scores]:
    return [scored.scores for scored in Ablation(subject).score(explanations)]


def test_effects_by_hand() -> None:
    result = figures(EFFECTS)
    expected = {"ablation": 0.625, "ablation_zero": 0.7, "ablation_resample": 0.25}  # 0.3 of 0.8, of 1.0 and of 0.4
    expected |= {"ablation_loss": 0.4, "loss_change": -0.005}  # 0.03 of 0.05, whatever the sign; the mean of two
    expected |= {"divergence": 0.15, "divergence_mean": 0.4}
    assert dict(result.values) == pytest.approx(expected)
    assert set(expected) == set(FIGURES)
    assert result.missing == {}


def test_all_explanations_are_asked_about_in_one_call(simulated: Make) -> None:
    subject = Subject()
    first, second = scores(subject, simulated((4.0, 1.0), (0.0, 1.0)), simulated((2.0, 2.0), (3.0, 0.0)))
    (replacements,) = subject.calls
    assert [replacement.values for replacement in replacements] == [
        *((4.0, 1.0), (0.0, 1.0), *[(0.125, 0.125)] * 2, *[(0.0, 0.0)] * 2, (0.5, 0.25), (0.75, 0.0)),
        *((2.0, 2.0), (3.0, 0.0), *[(0.125, 0.125)] * 2, *[(0.0, 0.0)] * 2, (0.5, 0.25), (0.75, 0.0)),
    ]
    assert dict(first.values) == dict(second.values) == pytest.approx(dict(figures(EFFECTS).values))


def test_it_is_a_scorer_that_names_the_subject() -> None:
    scorer = Ablation(Subject())
    assert isinstance(scorer, Scorer)
    info = scorer.describe()
    assert (info.name, info.identity) == ("ablation", Subject.identity)
    assert [heading.metric for heading in info.headings] == ["ablation", "divergence", "divergence_mean"]
    assert scorer.score([]) == []


def test_scores_that_the_effects_do_not_give_are_missing_by_themselves() -> None:
    unsampled = {way: effects for way, effects in EFFECTS.items() if way is not Way.RESAMPLE}
    result = figures(unsampled)
    assert result.missing == {"ablation_resample": "there is no random calibration excerpt to resample from"}
    assert result.values["ablation"] == pytest.approx(0.625)
    still = {**EFFECTS, Way.ZERO: [Effect(0.0, 0.0)] * 2}  # a unit that is silent on these excerpts
    assert set(figures(still).missing) == {"ablation_zero"}
    alone = {way: [Effect(effect.divergence, NAN) for effect in effects] for way, effects in EFFECTS.items()}
    assert set(figures(alone).missing) == {"ablation_loss", "loss_change"}
    nothing = figures({way: [Effect(0.0, 0.0)] * 2 for way in Way})
    assert set(nothing.missing) == set(FIGURES) - {"loss_change", "divergence", "divergence_mean"}
    assert all("undefined" in reason for reason in nothing.missing.values())


LACKING = "an excerpt to ablate lacks token ids or calibrated values"
FAILED = "2 of 2 valid excerpts have no simulation (outcome: refused)"


@pytest.mark.parametrize("neighbour", [True, False])
def test_an_explanation_that_cannot_be_scored_says_why_whether_others_can_or_not(
    simulated: Make, neighbour: bool
) -> None:
    good = [simulated((4.0, 1.0), (0.0, 1.0))] * neighbour
    failed = simulated((NAN, NAN), (NAN, NAN), outcome=Outcome.REFUSED)
    uncalibrated = simulated((4.0, 1.0), (0.0, 1.0), calibrated=[(NAN, NAN)] * 2)
    *_, first, second = scores(Subject(), *good, failed, uncalibrated)
    assert first.missing == dict.fromkeys(FIGURES, FAILED)
    assert second.missing == dict.fromkeys(FIGURES, LACKING)
    assert not {*first.values, *second.values}


def test_a_subject_that_is_not_asked_leaves_every_score_missing(simulated: Make) -> None:
    (result,) = scores(Subject(asked=False), simulated((4.0, 1.0), (0.0, 1.0)))
    assert result.missing == dict.fromkeys(FIGURES, "the subject was not asked")


@pytest.mark.parametrize(("top", "random"), [(0, 0), (-1, 2), (2, -1)])
def test_numbers_that_leave_no_excerpt_are_refused(top: int, random: int) -> None:
    message = rf"^scores\.ablation\.top={top} and scores\.ablation\.random={random} leave no excerpts to ablate"
    with pytest.raises(NeuroglossError, match=message):
        Ablation(Subject(), top, random)
