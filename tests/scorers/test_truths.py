"""Scores of units whose explanation is known, by hand and by what must hold of any simulator."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scorers.truths import Truths
from harness.scores import correlation
from harness.tasks.puzzles.records import record as record_of
from harness.types import (
    Explanation,
    NeuroglossError,
    Outcome,
    Puzzle,
    PuzzleText,
    Scorer,
    Scores,
    SimulatedExcerpt,
    SimulatedExplanation,
    Simulation,
    ToldExplanation,
    Validity,
)

NAN = math.nan
PUZZLE = Puzzle(
    key="p",
    name="p",
    explanation="true",
    texts=(PuzzleText(("a", "b"), (10, 0)), PuzzleText(("c", "d"), (0, 10))),
    false_explanations=(ToldExplanation(Validity.NEAR, "nearly"), ToldExplanation(Validity.UNRELATED, "not at all")),
    kind="lexical",
)
HIT = (10.0, 0.0, 0.0, 10.0)


def simulated(
    explainer: str,
    simulations: Sequence[Simulation],
    puzzle: Puzzle = PUZZLE,
    first: int = 0,
    simulator: str = "s",
) -> SimulatedExplanation:
    """An explanation of a puzzle, simulated on its texts from the ``first`` on."""
    record = record_of(puzzle)
    texts = (*record.splits.calibration, *record.splits.valid)[first:]
    excerpts = tuple(
        SimulatedExcerpt("valid", excerpt, simulation, (NAN,) * len(excerpt.tokens))
        for excerpt, simulation in zip(texts, simulations, strict=True)
    )
    return SimulatedExplanation(
        Explanation(record.unit, "words", explainer=explainer), record, simulator, excerpts, None
    )


def of_values(explainer: str, values: Sequence[float]) -> SimulatedExplanation:
    """The same from the four levels of both texts."""
    return simulated(explainer, [Simulation(tuple(values[:2])), Simulation(tuple(values[2:]))])


def score(*explanations: SimulatedExplanation, maximum_missing: float = 0.05) -> list[Scores]:
    return [scored.scores for scored in Truths(maximum_missing).score(explanations)]


def test_a_told_explanation_by_hand() -> None:
    true, near, unrelated = score(
        of_values("true", (8, 2, 2, 4)), of_values("near", (8, 2, 2, 4)), of_values("unrelated", (0, 5, 5, 0))
    )
    # real (10, 0, 0, 10), simulated (8, 2, 2, 4): centred (5, -5, -5, 5) and (4, -2, -2, 0)
    expected = (20 + 10 + 10 + 0) / math.sqrt(100 * 24)
    assert dict(true.values) == pytest.approx({"correlation": expected, "auroc": 1.0, "auprc": 1.0})
    assert dict(near.values) == pytest.approx({"correlation": expected})
    assert dict(unrelated.values) == pytest.approx({"correlation": -1.0})
    assert true.reliability == ()
    assert (true.tokens, true.missing_tokens, true.degenerate) == (4, 0, ())


def test_it_is_a_scorer_that_asks_nothing() -> None:
    assert isinstance(Truths(), Scorer)
    info = Truths().describe()
    assert (info.name, info.identity, [heading.metric for heading in info.headings]) == (
        "truths",
        None,
        ["truth", "difference"],
    )
    assert Truths().score([]) == []


def test_a_silent_simulator_scores_0_and_says_so() -> None:
    (true,) = score(of_values("true", (4, 4, 4, 4)))
    assert true.values["correlation"] == 0.0
    assert true.degenerate == ("correlation",)
    assert true.values["auroc"] == 0.5


def test_a_missing_simulation_is_missing_and_no_zero() -> None:
    (true,) = score(of_values("true", (10, NAN, NAN, 10)))
    assert true.values == {}
    assert set(true.missing) == {"correlation"}
    assert (true.tokens, true.missing_tokens, true.degenerate) == (4, 2, ())


def test_a_few_missing_tokens_are_left_out_and_counted() -> None:
    (true,) = score(of_values("true", (9, 1, NAN, 10)), maximum_missing=0.3)
    assert true.values["correlation"] == pytest.approx(correlation([10, 0, 10], [9, 1, 10]))
    assert true.missing_tokens == 1


EVEN, SURE = (1 / 11,) * 11, (*(0.0,) * 10, 1.0)


def test_probabilities_are_held_against_the_levels() -> None:
    truth = [Simulation((10.0, 5.0), (SURE, EVEN)), Simulation((5.0, 5.0), (EVEN, EVEN))]
    true, near = score(simulated("true", truth), simulated("near", truth))
    assert [item.tokens for item in true.reliability] == [0, 0, 0, 0, 0, 3, 0, 0, 0, 1]
    assert true.reliability[5].predicted == pytest.approx(1.5)
    assert true.reliability[5].actual == pytest.approx(1.0)
    assert near.reliability == ()


def test_a_missing_token_is_in_no_bin() -> None:
    truth = [Simulation((5.0, NAN), (EVEN, (NAN,) * 11)), Simulation((5.0, 5.0), (EVEN, EVEN))]
    (true,) = score(simulated("true", truth), maximum_missing=0.3)
    assert sum(item.tokens for item in true.reliability) == 3


def test_a_scale_of_ten_levels_reaches_as_high_as_one_of_eleven() -> None:
    nine = (*(0.0,) * 9, 1.0)
    (true,) = score(simulated("true", [Simulation((9.0, 9.0), (nine, nine))] * 2))
    assert true.reliability[9].predicted == pytest.approx(4.0)


LEVELS = st.lists(st.integers(0, 10), min_size=4, max_size=12)


@given(LEVELS)
def test_a_simulator_that_knows_the_levels_scores_1(levels: list[int]) -> None:
    if len(set(levels)) < 2 or len({level > 0 for level in levels}) < 2:
        return
    puzzle = Puzzle("p", "p", "e", (PuzzleText(("x",) * len(levels), tuple(levels)),))
    (true,) = score(simulated("true", [Simulation(tuple(map(float, levels)))], puzzle))
    assert dict(true.values) == pytest.approx({"correlation": 1.0, "auroc": 1.0, "auprc": 1.0})


def test_the_levels_of_the_puzzle_do_change_the_score() -> None:
    other = Puzzle("q", "q", "e", (PuzzleText(("a", "b"), (0, 10)), PuzzleText(("c", "d"), (10, 0))))
    simulations = [Simulation((8.0, 2.0)), Simulation((2.0, 4.0))]
    first, second = score(simulated("true", simulations), simulated("true", simulations, other))
    assert first.values["correlation"] == -second.values["correlation"]


# ----------------------------------------------------------------------------------------------- beside the true one

PAIR = PuzzleText(("a", "b"), (10, 0))
LONG = Puzzle("long", "long", "true", (PAIR, PAIR, *PUZZLE.texts))
TRUE = simulated("true", [Simulation((0.0, 9.0))] * 2 + [Simulation((9.0, 1.0)), Simulation((3.0, 8.0))], LONG)
MINE = [Simulation((8.0, 2.0)), Simulation((2.0, 4.0))]


def test_an_explanation_stands_beside_the_truth_on_the_same_texts() -> None:
    expected, truth = 40 / math.sqrt(2400), correlation(HIT, [9, 1, 3, 8])
    mine, _ = score(simulated("mine", MINE, LONG, first=2), TRUE)
    assert dict(mine.values) == pytest.approx({"correlation": expected, "truth": truth, "difference": expected - truth})
    assert mine.tokens == 4
    for explanations in (
        [simulated("mine", MINE, LONG, first=2)],
        [simulated("mine", MINE, LONG, first=2, simulator="other"), TRUE],
        [simulated("mine", MINE, LONG, first=2), simulated("true", [Simulation((NAN, NAN))] * 4, LONG)],
    ):
        assert set(score(*explanations)[0].values) == {"correlation"}


def test_an_explanation_that_was_not_simulated_has_no_score() -> None:
    missing = [Simulation((NAN, NAN), outcome=Outcome.REFUSED)] * 2
    refused, _ = score(simulated("mine", missing, LONG, first=2), TRUE)
    assert not refused.values
    assert refused.missing == {"correlation": "too many tokens have no simulation (outcome: refused)"}
    assert refused.missing_tokens == 4
    flat, _ = score(simulated("mine", [Simulation((1.0, 1.0))] * 2, LONG, first=2), TRUE)
    assert flat.degenerate == ("correlation",)


def test_a_simulation_of_another_length_is_an_error() -> None:
    with pytest.raises(NeuroglossError, match="3 values for 2 tokens"):
        score(simulated("true", [Simulation((1.0,) * 3), Simulation((1.0,) * 2)]))
    (empty,) = score(simulated("true", [Simulation(())] * 2))
    assert (empty.values, empty.missing_tokens) == ({}, 4)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(NeuroglossError, match=rf"^task\.scores\.truths\.maximum_missing is {share}; it is a share"):
        Truths(share)


def test_scores_are_plain_numbers() -> None:
    (true,) = score(of_values("true", (8, 2, 2, 4)))
    assert not any(isinstance(value, np.generic) for value in true.values.values())
