from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from harness import stats
from harness.results import rows
from harness.results.rows import Resampling, by_unit, is_ranked, is_whole, standing, standings, summarise
from harness.results.vocabulary import ResultRow
from harness.types import (
    Explanation,
    Interval,
    Outcome,
    RankRange,
    Role,
    RowKey,
    ScoredExplanation,
    Scores,
    SimulatorInfo,
    Standing,
    Summary,
    Unit,
    Usage,
)

UNITS = [Unit("N", place, place * 7 % 5) for place in range(24)]
KEY = RowKey("x", "all_at_once")
FEW = Resampling(resamples=200)


def _scored(
    unit: Unit, values: Mapping[str, float], outcome: Outcome = Outcome.OK, **more: object
) -> ScoredExplanation:
    usage = Usage(requests=1, prompt_tokens=10, usd=0.5) if outcome is Outcome.OK else Usage()
    explanation = Explanation(unit, outcome=outcome, usage=usage)
    return ScoredExplanation(explanation, "s", (), None, Scores(values, **more))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------ summaries


def test_a_summary_counts_what_it_says() -> None:
    a, b, c, d = UNITS[:4]
    scored = [
        _scored(a, {"correlation": 0.5, "ablation": 1.0}),
        _scored(b, {"correlation": 0.0}, degenerate=("correlation", "correlation_top"), missing_tokens=3),
        _scored(c, {}, Outcome.REFUSED, missing={"correlation": "refused"}, missing_tokens=64),
        _scored(d, {"correlation": 0.1}, judgements=8, missing_judgements=2),
    ]
    summary = summarise(KEY, Role.EXPLAINER, scored, FEW)
    assert (summary.explainer, summary.simulator, summary.role) == ("x", "all_at_once", Role.EXPLAINER)
    assert (summary.units, summary.scored, summary.abstained, summary.coverage) == (4, 3, 1, 1.0)
    scores = {a: 0.5, b: 0.0, d: 0.1}
    assert summary.metrics["correlation"] == stats.unit_interval(scores, by_group=False)
    assert summary.metrics["ablation"].units == 1
    assert (summary.degenerate, summary.missing_tokens) == (1, 67)
    assert (summary.judgements, summary.missing_judgements) == (8, 2)
    assert summary.outcomes == {"ok": 3, "refused": 1}
    assert summary.explain_usage == Usage(requests=3, prompt_tokens=30, usd=1.5)
    assert summarise(KEY, Role.HUMAN, [], FEW, units=24).coverage == 0.0


def test_a_summary_adds_up_what_simulations_and_judgements_cost() -> None:
    costs = {"simulate_usage": Usage(2, prompt_tokens=14), "judge_usage": Usage(1, prompt_tokens=5)}
    item = ScoredExplanation(Explanation(UNITS[0]), "s", (), None, Scores({}), **costs)
    summary = summarise(KEY, Role.EXPLAINER, [item, item], FEW)
    assert (summary.simulate_usage.requests, summary.simulate_usage.prompt_tokens) == (4, 28)
    assert (summary.judge_usage.requests, summary.judge_usage.prompt_tokens) == (2, 10)
    assert summary.usage.prompt_tokens == 38


def test_several_people_on_one_unit_are_one_unit() -> None:
    a, b = UNITS[:2]
    scored = [
        _scored(b, {"correlation": 0.6}),
        _scored(a, {"correlation": 0.2}),
        _scored(a, {"correlation": 0.0}, degenerate=("correlation",)),
    ]
    assert by_unit(scored) == {a: 0.1, b: 0.6}
    assert list(by_unit(scored)) == [a, b]
    summary = summarise(KEY, Role.HUMAN, scored, FEW)
    assert (summary.units, summary.scored, summary.degenerate) == (2, 2, 0)
    assert summary.metrics["correlation"].mean == pytest.approx(0.35)


def test_who_said_nothing_of_a_unit_does_not_make_its_only_score_a_sound_one() -> None:
    refused = _scored(UNITS[0], {}, missing={"correlation": "refused"})
    constant = _scored(UNITS[0], {"correlation": 0.0}, degenerate=("correlation",))
    assert summarise(KEY, Role.HUMAN, [refused, constant], FEW).degenerate == 1


def test_intervals_are_over_whole_groups_if_asked() -> None:
    units = [Unit("N", place, index) for place in range(4) for index in range(6)]
    scored = [_scored(unit, {"correlation": (0.1, 0.5, 0.3, 0.9)[unit.place]}) for unit in units]
    apart, whole = (
        summarise(KEY, Role.EXPLAINER, scored, Resampling(by_group=by_group)).metrics["correlation"]
        for by_group in (False, True)
    )
    assert whole.low < apart.low < apart.high < whole.high


@pytest.mark.parametrize(
    ("role", "simulator", "scored", "ranked"),
    [
        (Role.EXPLAINER, "s", 9, True),
        (Role.HUMAN, "s", 9, True),
        (Role.EXPLAINER, "s", 8, False),
        (Role.EXPLAINER, "lookup", 10, False),
        (Role.FLOOR, "s", 10, False),
        (Role.NULL, "s", 10, False),
        (Role.TOLD, "s", 10, False),
    ],
)
def test_a_row_is_ranked_if_it_is_no_control_and_whole(role: Role, simulator: str, scored: int, ranked: bool) -> None:
    row = Summary("x", role, simulator, {"correlation": Interval(0.1, 0.0, 0.2, scored)}, 10, scored)
    assert is_ranked(row, "s", 0.9) is ranked
    assert is_whole(row, 0.9) is (scored >= 9)
    assert not is_whole(Summary("x", role, simulator, {}, 0, 0), 0.0)  # without a score there is no average


# ------------------------------------------------------------------------------------------------------------ standings


def _row(name: str, role: Role, values: Sequence[float], simulator: str = "s") -> ResultRow:
    scored = tuple(_scored(unit, {"correlation": value, "abs_dev": -value})
                   for unit, value in zip(UNITS, values, strict=False))  # fmt: skip
    return ResultRow(summarise(RowKey(name, simulator), role, scored, FEW, units=24), scored)


def _standing(*result_rows: ResultRow, by_group: bool = False) -> Standing:
    return standing(result_rows, "s", 0.9, Resampling(resamples=400, by_group=by_group))


def _values(mean: float, seed: int) -> list[float]:
    return (mean + np.random.default_rng(seed).normal(0, 0.01, 24)).tolist()


def test_who_stands_on_a_board_and_is_compared_with_whom() -> None:
    good, weak, floor = _values(0.5, 1), _values(0.1, 2), _values(0.1, 3)
    board = _standing(
        _row("weak", Role.EXPLAINER, weak),
        _row("good", Role.HUMAN, good),
        _row("floor", Role.FLOOR, floor),
        _row("partial", Role.EXPLAINER, good[:12]),
        _row("partial floor", Role.FLOOR, good[:12]),
        _row("ceiling", Role.CEILING, good),
        _row("table", Role.EXPLAINER, good, simulator="lookup"),
        _row("weak", Role.EXPLAINER, good, simulator="another"),
    )
    assert board.ranks == {"good": RankRange(1, 1), "weak": RankRange(2, 2)}
    pairs = [(comparison.first, comparison.second) for comparison in board.comparisons]
    assert pairs == [("good", "weak"), ("good", "floor"), ("weak", "floor")]
    scores = {name: dict(zip(UNITS, values, strict=True))
              for name, values in (("good", good), ("weak", weak), ("floor", floor))}  # fmt: skip
    family = stats.paired_differences([(scores[first], scores[second]) for first, second in pairs], 0, 400)
    assert [comparison.corrected for comparison in board.comparisons] == [item.corrected for item in family]
    assert [comparison.difference for comparison in board.comparisons] == [item.interval for item in family]
    assert (board.simulator, board.metric, board.by_group) == ("s", "correlation", False)
    assert _standing(by_group=True).by_group
    assert _standing().comparisons == ()


def test_equal_rows_stand_by_their_names() -> None:
    values = _values(0.3, 1)
    board = _standing(_row("b", Role.EXPLAINER, values), _row("a", Role.EXPLAINER, values))
    assert board.ranks == {"a": RankRange(1, 2), "b": RankRange(1, 2)}
    assert list(board.ranks) == ["a", "b"]


def test_each_simulator_that_scored_an_explainer_has_a_standing() -> None:
    result_rows = [
        _row("x", Role.EXPLAINER, _values(0.5, 1)),
        _row("x", Role.EXPLAINER, _values(0.1, 2), "t"),
        _row("y", Role.EXPLAINER, _values(0.2, 3)),
        _row("y", Role.EXPLAINER, _values(0.4, 4), "t"),
        _row("true", Role.TOLD, _values(0.9, 5), "control"),
        _row("table", Role.CEILING, _values(0.9, 6), "lookup"),
    ]
    infos = [SimulatorInfo(name) for name in ("s", "t", "control")]
    boards = standings(result_rows, infos, 0.9, FEW)
    assert [(board.simulator, list(board.ranks)) for board in boards] == [("s", ["x", "y"]), ("t", ["y", "x"])]
    assert boards[1].comparisons[0].first == "y"


def test_another_metric_turns_the_standing_round() -> None:
    result_rows = [_row("x", Role.EXPLAINER, _values(0.5, 1)), _row("y", Role.EXPLAINER, _values(0.2, 3))]
    (board,) = standings(result_rows, [SimulatorInfo("s")], 0.9, FEW, metric="abs_dev")
    assert (board.metric, list(board.ranks)) == ("abs_dev", ["y", "x"])


def test_tables_alone_have_a_standing_and_told_explanations_alone_have_none() -> None:
    table = _row("table", Role.CEILING, _values(0.9, 6), "lookup")
    (board,) = standings([table], [SimulatorInfo("s"), SimulatorInfo("t")], 0.9, FEW)
    assert (board.simulator, board.ranks, board.comparisons) == ("s", {}, ())
    assert standings([_row("true", Role.TOLD, _values(0.9, 5))], [SimulatorInfo("s")], 0.9, FEW) == ()
    assert rows.standings([], [SimulatorInfo("s")], 0.9, FEW) == ()
