"""The matrix of scores says which scores rank alike, which know the truth, and which follow length."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report import matrix_page
from harness.results.audit import Matrix
from harness.results.rows import Resampling
from harness.results.run import Results
from harness.studies import matrix
from harness.types import Explanation, Heading, Role, RowKey, ScoredExplanation, ScorerInfo, Scores, Unit

UNITS = tuple(Unit("N", 0, index) for index in range(24))
DRAW = np.random.default_rng(3)
QUALITY = DRAW.permutation(24).astype(float)
LENGTHS = DRAW.permutation(24) + 1
SCORERS = (ScorerInfo("made up", headings=tuple(Heading(name, name, name) for name in ("twin", "opposite", "long"))),)
Make = Callable[..., Results]


def scored(shift: float, lengths: np.ndarray = LENGTHS) -> list[ScoredExplanation]:
    """Scores of which one is a twin of the headline, one is its opposite, and one is the number of words."""
    return [
        ScoredExplanation(
            Explanation(unit, " ".join(["word"] * int(count))), "all_at_once", (), None,
            Scores({"correlation": quality + shift, "twin": (quality + shift) ** 3, "opposite": -quality - shift,
                    "long": float(count), "divergence": 1.0}),
        )
        for unit, quality, count in zip(UNITS, QUALITY, lengths, strict=True)
    ]  # fmt: skip


@pytest.fixture
def found(make_results: Make) -> Matrix:
    rows: Mapping[str, tuple[Role, list[ScoredExplanation]]] = {
        "truth": (Role.CEILING, scored(30)),
        **{f"method {number}": (Role.EXPLAINER, scored(number)) for number in range(1, 5)},
        "shuffled": (Role.FLOOR, scored(-30)),
    }
    return matrix.of_run(make_results(rows, scorers=SCORERS), Resampling())


def test_scores_that_rank_alike_are_told_from_their_opposites(found: Matrix) -> None:
    cells = {(cell.first, cell.second): (cell.over_units, cell.over_rows) for cell in found.cells}
    assert cells["correlation", "twin"] == pytest.approx((1.0, 1.0))
    assert cells["correlation", "opposite"] == pytest.approx((-1.0, -1.0))
    assert abs(cells["correlation", "long"][0]) < 0.5
    assert math.isnan(cells["correlation", "long"][1])  # each row has the same lengths
    assert [score.metric for score in found.scores] == ["correlation", "twin", "opposite", "long"]  # no divergence


def test_a_score_that_follows_length_is_named_and_no_other(found: Matrix) -> None:
    scores = {score.metric: score for score in found.scores}
    assert (scores["long"].length, scores["long"].p_value) == pytest.approx((1.0, 1 / (1 + matrix.PERMUTATIONS)))
    assert scores["correlation"].p_value > 0.05
    named = [sentence for sentence in matrix_page.sentences(found) if "follows length" in sentence]
    assert len(named) == 1
    assert named[0].startswith("long follows length: longer explanations score higher (rank correlation 1.000")


def test_truth_is_what_outscores_the_floor(found: Matrix) -> None:
    scores = {score.metric: (score.truth, score.truth_units) for score in found.scores}
    assert scores == {"correlation": (1.0, 24), "twin": (1.0, 24), "opposite": (0.0, 24), "long": (0.5, 24)}
    blind = [sentence.split()[0] for sentence in matrix_page.sentences(found) if "does not know the truth" in sentence]
    assert blind == ["opposite", "long"]


def test_without_words_truth_or_enough_rows_cells_are_empty_and_never_zero(make_results: Make) -> None:
    rows: Mapping[str | RowKey, tuple[Role, list[ScoredExplanation]]] = {"method": (Role.EXPLAINER, scored(1))}
    single = matrix.of_run(make_results(rows, scorers=SCORERS), Resampling())
    assert all(math.isnan(cell.over_rows) and not math.isnan(cell.over_units) for cell in single.cells[:2])
    assert all(math.isnan(score.truth) and score.truth_units == 0 for score in single.scores)
    titles = [table.title for table in matrix_page.tables(single)]
    assert titles == ["Scores against each other, over units", "Scores against truth and length"]
    tables = make_results({"table": (Role.TABLE, [_table(item) for item in scored(1)])}, scorers=SCORERS)
    assert matrix.of_run(tables, Resampling()) == Matrix()
    assert list(matrix_page.tables(Matrix())) == list(matrix_page.sentences(Matrix())) == []


def _table(item: ScoredExplanation) -> ScoredExplanation:
    return replace(item, explanation=replace(item.explanation, text="", table={"a": 1.0}))


def test_a_score_that_is_0_by_convention_is_left_out(make_results: Make) -> None:
    items = [replace(item, scores=replace(item.scores, degenerate=("twin",))) for item in scored(1)]
    cut = matrix.of_run(make_results({"method": (Role.EXPLAINER, items)}, scorers=SCORERS), Resampling())
    assert [score.metric for score in cut.scores] == ["correlation", "opposite", "long"]


@pytest.mark.slow
@given(st.integers(0, 10**6))
def test_lengths_that_say_nothing_are_called_so_as_often_as_they_should(seed: int) -> None:
    """The p-value of the family is at least that of each score alone, and is one of the permutations' shares."""
    rng = np.random.default_rng(seed)
    units = UNITS[:8]
    scores = {name: dict(zip(units, rng.normal(size=8).tolist(), strict=True)) for name in "abc"}
    words = dict(zip(units, rng.permutation(8).astype(float).tolist(), strict=True))
    row = matrix._Row("x", Role.EXPLAINER, words, scores)
    family = matrix._against_length([row], "abc", np.random.default_rng(0))
    alone = {name: matrix._against_length([row], [name], np.random.default_rng(0))[name] for name in "abc"}
    for name in "abc":
        assert family[name][0] == alone[name][0] == pytest.approx(matrix.rank_correlation(scores[name], words))
        assert 1 / (1 + matrix.PERMUTATIONS) <= alone[name][1] <= family[name][1] <= 1
