"""People as simulators beside simulators, on tokens whose levels are written down here."""

from __future__ import annotations

import numpy as np
import pytest

from harness.humans.analysis import simulations
from harness.humans.analysis.simulated import SimulatedExcerpt
from harness.humans.answers import Levels, SimulateQuestion, Wording
from harness.results.rows import Resampling
from harness.scores.metrics import correlation
from harness.types import Explanation, NeuroglossError, Role, ScoredExplanation, Scores, SimulatorInfo, Unit

UNITS = [Unit("N", 0, place) for place in range(8)]
SETTINGS = Resampling(seed=0, resamples=999)
NOISE = np.random.default_rng(0)


def excerpt(unit: Unit, key: str, simulator: str, values: list[float], real: list[float]) -> SimulatedExcerpt:
    return SimulatedExcerpt("method", "", simulator, unit, key, 1, np.array(real), np.array(values))


@pytest.fixture
def results(make_results):
    items = [
        ScoredExplanation(Explanation(unit, "words"), "", (), None, Scores({"correlation": 0.1})) for unit in UNITS
    ]
    simulators = (SimulatorInfo("close"), SimulatorInfo("far"))
    return make_results({"method": (Role.EXPLAINER, items)}, simulators=simulators)


def made(respond):
    """Return answers that are the real levels, and excerpts of a simulator close to them and of one that is not."""
    answers, excerpts = [], []
    for unit in UNITS:
        for key, weight in (("a", 1.0), ("b", 3.0)):
            real = NOISE.integers(0, 11, 9).tolist()
            question = SimulateQuestion(Wording("words", "method", unit), key, weight)
            answers.append(respond("p", unit, question, Levels(tuple(real))))
            excerpts.append(excerpt(unit, key, "close", (np.array(real) + NOISE.normal(0, 3, 9)).tolist(), real))
            excerpts.append(excerpt(unit, key, "far", NOISE.normal(0, 1, 9).tolist(), real))
    return answers, excerpts


def test_people_who_know_the_levels_are_ahead_of_who_does_not(respond, results) -> None:
    beside = simulations.beside_simulators(*[*made(respond)][:1], results, [], SETTINGS)
    assert (beside.excerpts, beside.left_out) == (0, 16)
    answers, excerpts = made(respond)
    beside = simulations.beside_simulators(answers, results, excerpts, SETTINGS)
    close, far = beside.simulators
    assert (beside.excerpts, beside.left_out, beside.people.mean) == (16, 0, pytest.approx(1.0))
    assert (close.simulator, far.simulator) == ("close", "far")
    assert 0.3 < close.real.mean < 1
    assert close.with_people.mean == pytest.approx(close.real.mean)
    assert far.people_ahead.mean == pytest.approx(1 - far.real.mean)
    assert far.p_value < 0.05
    assert far.people_ahead.units == 8


def test_weights_of_excerpts_and_leading_tokens_are_applied(respond, results) -> None:
    real = {"a": [9.0, 0, 1, 2], "b": [9.0, 3, 0, 1]}
    levels = {"a": (0, 1, 2, 2), "b": (0, 2, 4, 0)}
    weights = {"a": 1.0, "b": 5.0}
    answers = [
        respond(
            "p",
            UNITS[0],
            SimulateQuestion(Wording("words", "method", UNITS[0]), key, weights[key]),
            Levels(levels[key]),
        )
        for key in "ab"
    ]
    excerpts = [excerpt(UNITS[0], key, "close", real[key], real[key]) for key in "ab"]
    beside = simulations.beside_simulators(answers, results, excerpts, SETTINGS)
    expected = correlation([0, 1, 2, 3, 0, 1], [1, 2, 2, 2, 4, 0], [1, 1, 1, 5, 5, 5])
    assert beside.people.mean == pytest.approx(expected)


def test_missing_levels_of_a_simulator_are_left_out_and_other_lengths_refused(respond, results) -> None:
    question = SimulateQuestion(Wording("words", "method", UNITS[0]), "a", 1.0)
    answers = [respond("p", UNITS[0], question, Levels((0, 1, 2, 3)))]
    missing = excerpt(UNITS[0], "a", "close", [0, 1, float("nan"), 3], [0, 1, 2, 3])
    beside = simulations.beside_simulators(answers, results, [missing], SETTINGS)
    assert beside.simulators[0].real.mean == pytest.approx(1.0)
    with pytest.raises(NeuroglossError, match="4 levels for 3 tokens"):
        simulations.beside_simulators(answers, results, [excerpt(UNITS[0], "a", "close", [0] * 3, [1] * 3)], SETTINGS)
