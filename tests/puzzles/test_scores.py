"""Scores of one puzzle, by hand and by what must hold of any simulator."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.puzzles import scores
from harness.scores import correlation
from harness.types import Falseness, Outcome, Puzzle, PuzzleText, Simulation

NEAR, UNRELATED = Falseness.NEAR, Falseness.UNRELATED
PUZZLE = Puzzle(
    key="p",
    name="p",
    explanation="true",
    texts=(PuzzleText(("a", "b"), (10, 0)), PuzzleText(("c", "d"), (0, 10))),
    false_explanations=((NEAR, "nearly"), (UNRELATED, "not at all")),
    kind="lexical",
)


def _simulated(*values: tuple[float, ...]) -> list[list[Simulation]]:
    """Simulations of the two texts from the four levels under each explanation."""
    return [[Simulation(some[:2]), Simulation(some[2:])] for some in values]


def test_by_hand() -> None:
    found = scores.score(PUZZLE, _simulated((8, 2, 2, 4), (8, 2, 2, 4), (0, 5, 5, 0)), 0.05)
    # real (10, 0, 0, 10), simulated (8, 2, 2, 4): centred (5, -5, -5, 5) and (4, -2, -2, 0)
    own = (20 + 10 + 10 + 0) / math.sqrt(100 * 24)
    assert found.correlation == pytest.approx(own)
    assert [rival.correlation for rival in found.rivals] == pytest.approx([own, -1.0])
    assert [rival.won for rival in found.rivals] == [0.5, 1.0]
    assert found.margin == pytest.approx((0 + own + 1) / 2)
    assert found.auroc == 1.0
    assert found.auprc == 1.0
    assert found.reliability == ()
    assert (found.tokens, found.missing_tokens, found.degenerate) == (4, 0, False)
    assert found.figures["beats_near"] == 0.5
    assert found.figures["beats_unrelated"] == 1.0
    assert "beats_unspecified" not in found.figures


def test_tokens_of_all_texts_are_pooled() -> None:
    found = scores.score(PUZZLE, _simulated((3, 1, 5, 9), (0, 0, 0, 0), (0, 0, 0, 0)), 0.05)
    assert found.correlation == pytest.approx(correlation([10, 0, 0, 10], [3, 1, 5, 9]))


def test_a_silent_simulator_scores_0_and_ties_with_itself() -> None:
    found = scores.score(PUZZLE, _simulated((4, 4, 4, 4), (0, 0, 0, 0), (0, 5, 5, 0)), 0.05)
    assert (found.correlation, found.degenerate) == (0.0, True)
    assert [rival.won for rival in found.rivals] == [0.5, 1.0]
    assert found.auroc == 0.5


def test_what_is_missing_is_missing_and_no_zero() -> None:
    nan = math.nan
    found = scores.score(PUZZLE, _simulated((10, nan, nan, 10), (1, 0, 0, 1), (0, 1, 1, 0)), 0.05)
    assert math.isnan(found.correlation)
    assert math.isnan(found.auroc)
    assert math.isnan(found.margin)
    assert all(math.isnan(rival.won) for rival in found.rivals)
    assert found.missing_tokens == 2
    assert found.figures == {}
    assert not found.degenerate


def test_a_missing_false_explanation_is_no_win() -> None:
    found = scores.score(PUZZLE, _simulated((10, 0, 0, 10), (math.nan,) * 4, (0, 1, 1, 0)), 0.05)
    assert math.isnan(found.rivals[0].won)
    assert found.margin == pytest.approx(2.0)
    assert "beats_near" not in found.figures


def test_a_few_missing_tokens_are_left_out_and_counted() -> None:
    found = scores.score(PUZZLE, _simulated((9, 1, math.nan, 10), (0, 0, 0, 1), (0, 0, 0, 1)), 0.3)
    assert found.correlation == pytest.approx(correlation([10, 0, 10], [9, 1, 10]))
    assert found.missing_tokens == 1


def test_probabilities_are_held_against_the_levels() -> None:
    even = tuple([1 / 11] * 11)
    sure = tuple([0.0] * 10 + [1.0])
    truth = [Simulation((10.0, 5.0), (sure, even)), Simulation((5.0, 5.0), (even, even))]
    found = scores.score(PUZZLE, [truth, *_simulated((0, 0, 0, 1), (0, 0, 0, 1))], 0.05)
    assert [one.tokens for one in found.reliability] == [0, 0, 0, 0, 0, 3, 0, 0, 0, 1]
    assert found.reliability[5].predicted == pytest.approx(1.5)
    assert found.reliability[5].actual == pytest.approx(1.0)


def test_a_missing_token_is_in_no_bin() -> None:
    even, nothing = tuple([1 / 11] * 11), (math.nan,) * 11
    truth = [Simulation((5.0, math.nan), (even, nothing)), Simulation((5.0, 5.0), (even, even))]
    found = scores.score(PUZZLE, [truth, *_simulated((0, 0, 0, 1), (0, 0, 0, 1))], 0.3)
    assert sum(one.tokens for one in found.reliability) == 3


def test_a_scale_of_ten_levels_reaches_as_high_as_one_of_eleven() -> None:
    nine = tuple([0.0] * 9 + [1.0])
    truth = [Simulation((9.0, 9.0), (nine, nine)), Simulation((9.0, 9.0), (nine, nine))]
    found = scores.score(PUZZLE, [truth, *_simulated((0, 0, 0, 1), (0, 0, 0, 1))], 0.05)
    assert found.reliability[9].predicted == pytest.approx(4.0)


levels = st.lists(st.integers(0, 10), min_size=4, max_size=12)


@given(levels, st.lists(levels, max_size=3))
def test_one_who_knows_the_levels_scores_1_and_always_wins(real: list[int], false: list[list[int]]) -> None:
    if len(set(real)) < 2 or len({value > 0 for value in real}) < 2:
        return
    puzzle = Puzzle("p", "p", "e", (PuzzleText(("x",) * len(real), tuple(real)),), ((NEAR, "f"),) * len(false))
    others = [[float(value) for value in (one * 12)[: len(real)]] for one in false]
    others = [one if correlation(real, one) < 1 - 1e-9 else [0.0] * len(real) for one in others]
    simulated = [[Simulation(tuple(map(float, one)))] for one in (real, *others)]
    found = scores.score(puzzle, simulated, 0.05)
    assert found.correlation == pytest.approx(1.0)
    assert (found.auroc, found.auprc) == pytest.approx((1.0, 1.0))
    assert all(rival.won == 1.0 for rival in found.rivals)


def test_an_explanation_stands_beside_the_truth_on_the_same_texts() -> None:
    texts = PUZZLE.texts
    simulations = [Simulation((8.0, 2.0)), Simulation((2.0, 4.0))]
    own = 40 / math.sqrt(2400)
    found = scores.explained(texts, simulations, 0.9, 0.05)
    assert dict(found.values) == pytest.approx({"correlation": own, "truth": 0.9, "difference": own - 0.9})
    assert found.tokens == 4
    assert "truth" not in scores.explained(texts, simulations, math.nan, 0.05).values


def test_an_explanation_that_was_not_simulated_has_no_score() -> None:
    missing = [Simulation((math.nan, math.nan), outcome=Outcome.REFUSED)] * 2
    found = scores.explained(PUZZLE.texts, missing, 0.9, 0.05)
    assert not found.values
    assert found.missing == {"correlation": "too many tokens have no simulation (outcome: refused)"}
    assert found.missing_tokens == 4
    flat = scores.explained(PUZZLE.texts, [Simulation((1.0, 1.0))] * 2, 0.9, 0.05)
    assert flat.degenerate == ("correlation",)


def test_a_simulation_of_another_length_is_an_error() -> None:
    with pytest.raises(scores.NeuroglossError, match="3 values for 2 tokens"):
        scores.pooled(PUZZLE.texts, [Simulation((1.0,) * 3), Simulation((1.0,) * 2)])
    assert np.isnan(scores.pooled(PUZZLE.texts, [Simulation(())] * 2)).all()


def test_the_levels_of_the_puzzle_do_change_the_score() -> None:
    other = dataclasses.replace(PUZZLE, texts=(PuzzleText(("a", "b"), (0, 10)), PuzzleText(("c", "d"), (10, 0))))
    simulated = _simulated((8, 2, 2, 4), (1, 0, 0, 0), (0, 5, 5, 0))
    assert scores.score(other, simulated, 0.05).correlation == -scores.score(PUZZLE, simulated, 0.05).correlation
