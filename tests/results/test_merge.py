"""Several runs on one board, made by hand of few units."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from harness import stats
from harness.results import merge, truths
from harness.results.merge import merged
from harness.results.rows import Resampling, by_unit, summarise
from harness.results.run import Results
from harness.results.vocabulary import ExplainerInfo, ResultRow, TaskInfo
from harness.types import (
    Explanation,
    Identity,
    NeuroglossError,
    Role,
    RowKey,
    ScoredExplanation,
    ScorerInfo,
    Scores,
    SimulatorInfo,
    Unit,
    Usage,
)

UNITS = tuple(Unit("N", place // 2, place) for place in range(8))
MODEL = Identity("m", "0")
SIMULATOR = SimulatorInfo("tuned", MODEL, "prompt", 11, "v1")
OTHER = dataclasses.replace(SIMULATOR, prompt_version="v2")
FEW = Resampling(resamples=99)
A, B, C = "aaaaaaaaaaaa0", "bbbbbbbbbbbb0", "cccccccccccc0"


def _values(seed: int, units: Sequence[Unit] = UNITS) -> dict[Unit, float]:
    draws = dict(zip(UNITS, np.random.default_rng(seed).uniform(0, 1, len(UNITS)).tolist(), strict=True))
    return {unit: draws[unit] for unit in units}


def _row(
    name: str,
    values: Mapping[Unit, float],
    role: Role = Role.EXPLAINER,
    simulator: str = "tuned",
    text: str = "words",
    resampling: Resampling = FEW,
) -> ResultRow:
    scored = tuple(
        ScoredExplanation(
            Explanation(unit, text, usage=Usage(1, prompt_tokens=100), explainer=name),
            simulator,
            (),
            None,
            Scores({"correlation": value, "abs_dev": -value}),
        )
        for unit, value in values.items()
    )
    summary = summarise(RowKey(name, simulator), role, scored, resampling)
    return ResultRow(dataclasses.replace(summary, simulate_usage=Usage(10, prompt_tokens=1000)), scored)


def _run(run_id: str, *rows: ResultRow, units: Sequence[Unit] = UNITS, **changes: object) -> Results:
    infos = {
        row.summary.explainer: ExplainerInfo(row.summary.explainer, row.summary.explainer, "", row.summary.role)
        for row in rows
    }
    fields = {
        "run_id": run_id,
        "created": "2025-01-02T03:04:05+00:00",
        "task": TaskInfo("mini-v1", "feedface", 24, tuple(units)),
        "subject": MODEL,
        "simulators": (SIMULATOR,),
        "explainers": tuple(infos.values()),
        "scorers": (ScorerInfo("panel"),),
        "rows": rows,
        "resamples": 99,
        "config": {"a": 1},
        "seconds": {"explain": 1.0},
    }
    results = Results(**{**fields, **changes})  # type: ignore[arg-type]
    return merge.ranked(results, merge.resampling_of(results))


def _keys(results: Results) -> list[tuple[str, str]]:
    return [(row.summary.explainer, row.summary.simulator) for row in results.rows]


def _row_of(results: Results, explainer: str, simulator: str = "tuned") -> ResultRow:
    return next(row for row in results.rows if row.key == RowKey(explainer, simulator))


FLOOR = _row("shuffled", _values(9), Role.FLOOR)
TABLE = _row("token_lookup", _values(8), Role.CEILING, "lookup", "")


# ------------------------------------------------------------------------------------------------------------ one board


def test_one_run_is_itself() -> None:
    run = _run(A, FLOOR)
    assert merged([run]) is run


def test_rows_of_both_stand_and_a_row_that_is_the_same_stands_once() -> None:
    first = _run(A, _row("x", _values(1)), FLOOR, TABLE, created="2025-03-01T00:00:00+00:00")
    second = _run(B, _row("y", _values(2)), FLOOR, TABLE)
    board = merged([first, second])
    assert _keys(board) == [("x", "tuned"), ("shuffled", "tuned"), ("token_lookup", "lookup"), ("y", "tuned")]
    assert [info.name for info in board.explainers] == ["x", "shuffled", "token_lookup", "y"]
    assert board.run_id == "aaaaaaaaaaaa bbbbbbbbbbbb"
    assert board.created == "2025-03-01T00:00:00+00:00"
    assert (board.config, board.seconds, board.usage) == ({}, {}, {})
    assert board.scorers == (ScorerInfo("panel"),)
    assert [info.name for info in board.simulators] == ["tuned"]


def test_rows_of_different_runs_are_compared_on_the_same_units() -> None:
    good = {unit: value + 1 for unit, value in _values(1).items()}
    board = merged([_run(A, _row("x", _values(1)), FLOOR), _run(B, _row("y", good), FLOOR)])
    (standing,) = board.standings
    assert list(standing.ranks) == ["y", "x"]
    pairs = [(comparison.first, comparison.second) for comparison in standing.comparisons]
    assert pairs == [("y", "x"), ("y", "shuffled"), ("x", "shuffled")]
    first = standing.comparisons[0]
    floor = by_unit(FLOOR.scored)
    family = stats.paired_differences([(good, _values(1)), (good, floor), (_values(1), floor)], 0, 99)
    assert (first.difference, first.p_value) == (family[0].interval, family[0].p_value)
    assert [item.corrected for item in standing.comparisons] == [item.corrected for item in family]


def test_runs_can_be_put_together_in_any_number_and_twice() -> None:
    runs = [_run(run_id, _row(name, _values(place)), FLOOR) for place, (run_id, name) in enumerate(
        ((A, "x"), (B, "y"), (C, "z")))]  # fmt: skip
    assert [name for name, _ in _keys(merged(runs))] == ["x", "shuffled", "y", "z"]
    assert len(merged(runs).standings[0].comparisons) == 3 + 3
    assert _keys(merged([runs[0], runs[0]])) == _keys(runs[0])


# --------------------------------------------------------------------------------------------- rows that are told apart


def test_other_explanations_of_one_name_are_told_apart_by_their_run() -> None:
    first, second = _run(A, _row("x", _values(1)), FLOOR), _run(B, _row("x", _values(1), text="others"), FLOOR)
    board = merged([first, second])
    assert [name for name, _ in _keys(board)] == ["x", "shuffled", "x (bbbbbb)"]
    assert {item.explanation.explainer for item in _row_of(board, "x (bbbbbb)").scored} == {"x (bbbbbb)"}
    assert [info.method for info in board.explainers] == ["x", "shuffled", "x"]
    assert set(board.standings[0].ranks) == {"x", "x (bbbbbb)"}


def test_other_scores_of_one_name_are_told_apart() -> None:
    board = merged([_run(A, _row("x", _values(1))), _run(B, _row("x", _values(2)))])
    assert [name for name, _ in _keys(board)] == ["x", "x (bbbbbb)"]
    assert by_unit(_row_of(board, "x (bbbbbb)").scored) == _values(2)


def test_another_model_of_one_name_is_told_apart() -> None:
    row = _row("x", _values(1))
    infos = [(ExplainerInfo("x", "x", "m", Role.EXPLAINER, Identity("m", revision)),) for revision in ("0", "1")]
    board = merged([_run(A, row, explainers=infos[0]), _run(B, row, explainers=infos[1])])
    assert [info.name for info in board.explainers] == ["x", "x (bbbbbb)"]


def test_a_third_run_like_the_second_adds_no_row() -> None:
    second, third = (_run(run_id, _row("x", _values(2)), simulators=(OTHER,)) for run_id in (B, C))
    board = merged([_run(A, _row("x", _values(1))), second, third])
    assert _keys(board) == [("x", "tuned"), ("x", "tuned (bbbbbb)")]


def test_another_simulator_of_one_name_is_told_apart_and_has_its_own_standing() -> None:
    second = _run(B, _row("x", _values(2)), _row("shuffled", _values(7), Role.FLOOR), simulators=(OTHER,))
    board = merged([_run(A, _row("x", _values(1)), FLOOR), second])
    assert [info.name for info in board.simulators] == ["tuned", "tuned (bbbbbb)"]
    assert board.simulators[1].prompt_version == "v2"
    assert set(_keys(board)) == {
        (explainer, simulator) for explainer in ("x", "shuffled") for simulator in ("tuned", "tuned (bbbbbb)")
    }
    assert {item.simulator for item in _row_of(board, "x", "tuned (bbbbbb)").scored} == {"tuned (bbbbbb)"}
    assert [standing.simulator for standing in board.standings] == ["tuned", "tuned (bbbbbb)"]
    assert all(len(standing.comparisons) == 1 for standing in board.standings)


def test_a_note_or_another_place_on_the_board_makes_no_other_simulator() -> None:
    second = dataclasses.replace(SIMULATOR, note="slow", control=True)
    board = merged([_run(A, _row("x", _values(1))), _run(B, _row("x", _values(1)), simulators=(second,))])
    assert [(info.name, info.control) for info in board.simulators] == [("tuned", False)]
    assert len(board.rows) == 1


def test_the_same_explainer_under_two_simulators_keeps_its_name() -> None:
    first = _run(A, _row("x", _values(1)))
    second = _run(B, _row("x", _values(2), simulator="another"), simulators=(SimulatorInfo("another", MODEL),))
    assert _keys(merged([first, second])) == [("x", "tuned"), ("x", "another")]
    otherwise = _row("x", _values(2), simulator="another", text="others")
    second = _run(B, otherwise, simulators=(SimulatorInfo("another", MODEL),))
    assert _keys(merged([first, second])) == [("x", "tuned"), ("x (bbbbbb)", "another")]


def test_judges_of_one_name_on_two_models_are_both_named() -> None:
    scorers = [(ScorerInfo("detection", Identity("m", revision), "v1"),) for revision in ("0", "1")]
    runs = [_run(run_id, FLOOR, scorers=some) for run_id, some in zip((A, B), scorers, strict=True)]
    assert merged(runs).scorers == (*scorers[0], *scorers[1])


def test_texts_of_two_writers_are_never_one_score() -> None:
    def run(run_id: str, writer: str, model: Identity | None = None) -> Results:
        return _run(run_id, FLOOR, scorers=(ScorerInfo("generated", model, writer, part="written"),))

    assert merged([run(A, "template-v1"), run(B, "template-v1")]).scorers[0].prompt_version == "template-v1"
    for other in (run(B, "template-v2"), run(B, "template-v1", Identity("m", "0"))):
        with pytest.raises(NeuroglossError, match=r"generated scores on texts of two writers \(template-v1 and "):
            merged([run(A, "template-v1"), other])


# --------------------------------------------------------------------------------------------------------- shared units


def test_only_units_of_all_runs_count() -> None:
    first = _run(A, _row("x", _values(1, UNITS[:6])), units=UNITS[:6])
    second = _run(B, _row("y", _values(2, UNITS[2:])), units=UNITS[2:])
    board = merged([first, second])
    assert board.task.units == UNITS[2:6]
    for name, seed in (("x", 1), ("y", 2)):
        row = _row_of(board, name)
        assert by_unit(row.scored) == _values(seed, UNITS[2:6])
        interval = stats.unit_interval(_values(seed, UNITS[2:6]), by_group=False)
        assert row.summary.metrics["correlation"] == interval
        assert (row.summary.units, row.summary.scored) == (4, 4)
        assert row.summary.simulate_usage.prompt_tokens == 1000  # costs stay those of the whole run
        assert row.summary.explain_usage.prompt_tokens == 600
    assert board.standings[0].comparisons[0].difference.units == 4


def test_a_row_that_is_the_same_on_the_shared_units_stands_once() -> None:
    few = tuple(reversed(UNITS[2:]))
    first = _run(A, _row("x", _values(1)), FLOOR)
    second = _run(B, _row("x", _values(1, few)), _row("shuffled", _values(9, few), Role.FLOOR), units=few)
    assert [name for name, _ in _keys(merged([first, second]))] == ["x", "shuffled"]


def test_intervals_are_over_groups_if_those_of_any_run_are() -> None:
    by_group = Resampling(resamples=99, by_group=True)
    second = _run(B, _row("y", _values(2), resampling=by_group), _row("z", _values(3), resampling=by_group))
    second = merge.ranked(second, by_group)
    board = merged([_run(A, _row("x", _values(1))), second])
    assert board.standings[0].by_group
    for name, seed in (("x", 1), ("y", 2)):
        interval = stats.unit_interval(_values(seed), by_group=True)
        assert _row_of(board, name).summary.metrics["correlation"] == interval


def test_permutations_are_drawn_with_the_seed_of_the_first_run() -> None:
    runs = [_run(run_id, _row(name, _values(place)), FLOOR, seed=seed) for run_id, name, place, seed in
            ((A, "x", 1, 0), (B, "y", 2, 5))]  # fmt: skip
    board = merged([dataclasses.replace(run, resamples=99) for run in runs])
    pairs = [(by_unit(_row_of(board, a).scored), by_unit(_row_of(board, b).scored))
             for a, b in (("x", "y"), ("x", "shuffled"), ("y", "shuffled"))]  # fmt: skip
    seen = {(item.first, item.second): item.p_value for item in board.standings[0].comparisons}
    expected = [item.p_value for item in stats.paired_differences(pairs, board.seed, 99)]
    assert board.seed == 0
    assert sorted(seen.values()) == sorted(expected)


# --------------------------------------------------------------------------------------------------------------- truths

PUZZLES = tuple(Unit("puzzle", name=key) for key in ("pets", "ing", "ly"))
CATEGORIES = {"puzzle:pets": "lexical", "puzzle:ing": "morphological", "puzzle:ly": "morphological"}


def _puzzles(run_id: str, given: Mapping[str, float], units: Sequence[Unit] = PUZZLES, **changes: object) -> Results:
    """A run of simulators: name -> its correlation given the truth; a near miss has half of it."""
    rows = [
        _row(validity, {unit: truth * share + 0.01 * place for place, unit in enumerate(units)}, Role.TOLD, simulator)
        for validity, share in (("true", 1.0), ("near", 0.5))
        for simulator, truth in given.items()
    ]
    infos = tuple(SimulatorInfo(name, control=name == "chance") for name in given)
    task = TaskInfo("puzzles-v1", "feedface", 3, tuple(units), CATEGORIES)
    results = _run(run_id, *rows, simulators=infos, task=task, subject=None, **changes)
    summaries = [
        summary
        for info in infos
        for summary in truths.summaries(results.rows, info.name, CATEGORIES, merge.resampling_of(results))
    ]
    return dataclasses.replace(results, truths=tuple(summaries))


def test_simulators_of_several_runs_of_puzzles_stand_side_by_side() -> None:
    first, second = _puzzles(A, {"tuned": 0.9, "chance": 0.1}), _puzzles(B, {"another": 0.5, "chance": 0.1})
    board = merged([first, second])
    assert [(info.name, info.control) for info in board.simulators] == [
        ("tuned", False),
        ("chance", True),
        ("another", False),
    ]
    assert board.truths[: len(first.truths)] == first.truths
    assert board.truths[len(first.truths) :] == tuple(
        summary for summary in second.truths if summary.simulator == "another"
    )
    assert board.standings == ()
    assert {name for name, _ in _keys(board)} == {"true", "near"}


def test_truths_are_worked_out_anew_on_the_shared_puzzles() -> None:
    board = merged([_puzzles(A, {"tuned": 0.9}), _puzzles(B, {"another": 0.5}, PUZZLES[1:])])
    assert [(summary.simulator, summary.category, summary.units) for summary in board.truths] == [
        ("tuned", "", 2),
        ("tuned", "morphological", 2),
        ("another", "", 2),
        ("another", "morphological", 2),
    ]
    assert board.truths[0].metrics["correlation"].mean == pytest.approx(0.915)


def test_what_a_simulator_makes_of_told_explanations_is_that_of_the_first_run() -> None:
    first, second = _puzzles(A, {"tuned": 0.9}), _puzzles(B, {"tuned": 0.8})
    board = merged([first, second])
    assert board.truths == first.truths
    assert _keys(board) == [("true", "tuned"), ("near", "tuned")]


def test_told_explanations_stand_behind_explainers() -> None:
    told = _puzzles(A, {"tuned": 0.9})
    explainer = _row("x", dict.fromkeys(PUZZLES, 0.3))
    second = _run(B, explainer, task=told.task, simulators=told.simulators, subject=None)
    assert [info.name for info in merged([told, second]).explainers] == ["x", "true", "near"]


# ------------------------------------------------------------------------------------------------------------- refusals


def test_runs_of_two_tasks_are_refused() -> None:
    second = _run(B, FLOOR, task=TaskInfo("b-v1", "0" * 16, 24, UNITS))
    with pytest.raises(
        NeuroglossError, match=r"of two tasks \(mini-v1 feedface, b-v1 000000000000\); compare runs on one"
    ):
        merged([_run(A, FLOOR), second])


def test_runs_that_share_no_unit_are_refused() -> None:
    halves = [
        _run(run_id, _row("x", _values(1, units)), units=units) for run_id, units in ((A, UNITS[:4]), (B, UNITS[4:]))
    ]
    with pytest.raises(NeuroglossError, match="share no unit; run them with the same units="):
        merged(halves)
