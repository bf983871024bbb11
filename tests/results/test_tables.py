"""The tables of a run: a row for each explanation, simulated excerpt, judged case and score."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.results.run import Results, compact_item
from harness.results.stored import explanation_numbers, read_scored, simulated_excerpts
from harness.results.tables import TABLES, TableWriter
from harness.types import (
    Calibration,
    CalibrationMethod,
    Candidate,
    Excerpt,
    ExcerptKind,
    Explanation,
    Judged,
    Judgement,
    Outcome,
    Role,
    RowKey,
    ScoredExplanation,
    Scores,
    SimulatedExcerpt,
    Simulation,
    TableKey,
    Unit,
    Usage,
)

Make = Callable[..., Results]
A, B = Unit("N", 0, 5), Unit("N", 3, 1)
EXCERPT = Excerpt((" a", "\ud800"), (1, 2), (0.5, 0.25), ExcerptKind.RANDOM, 12.5, "doc:7", 1)
JUDGED = (
    Judged("detection", EXCERPT, (), True, Judgement(0.25, usage=Usage(1))),
    Judged("fuzzing", EXCERPT, (1,), False, Judgement(math.nan, Outcome.REFUSED)),
)


def _words(judged: tuple[Judged, ...] = ()) -> ScoredExplanation:
    simulation = Simulation((math.nan, 3.0), mass=(0.0, 0.75), usage=Usage(requests=1, prompt_tokens=9))
    return ScoredExplanation(
        Explanation(
            *(A, "ends in\ud800 \n 語"),
            prompt_version="v1",
            annotator="Ann",
            usage=Usage(1, 1, 100, 5, 0.25),
            shown=("d:0",),
        ),
        "",
        (SimulatedExcerpt("valid", EXCERPT, simulation, (math.nan, 1.5)),),
        Calibration(0.5, 0.0, clipped=True),
        Scores({"correlation": 0.0, "abs_dev": 0.5}, ("correlation",), {"ablation": "not asked"}, 1, 1),
        judged,
    )


def _table() -> ScoredExplanation:
    explanation = Explanation(A, table={" a": 0.5, "b": 0.1}, default=0.01, table_key=TableKey.NEXT_TOKEN)
    bent = Calibration(method=CalibrationMethod.ISOTONIC, knots=((0.0, -0.5), (3.0, 2.5)))
    return ScoredExplanation(explanation, "", (), bent, Scores({"correlation": 0.5}))


def _refused() -> ScoredExplanation:
    candidates = (Candidate("no\ud800", Outcome.REFUSED), Candidate("", Outcome.EMPTY, 0.25))
    explanation = Explanation(B, outcome=Outcome.REFUSED, candidates=candidates)
    return ScoredExplanation(explanation, "", (), None, Scores({}, (), {"correlation": "refused"}))


def _written(folder: Path, results: Results) -> dict[str, list[dict[str, Any]]]:
    with TableWriter(folder) as writer:
        writer.write(results.explainers, results.scored)
    return {path.stem: pq.read_table(path).to_pylist() for path in folder.glob("*.parquet")}


@pytest.fixture
def results(make_results: Make) -> Results:
    return make_results(
        {
            "words · model": (Role.EXPLAINER, (_words(), _refused())),
            RowKey("table", "lookup"): (Role.CEILING, (_table(),)),
        }
    )


def test_every_table_says_of_which_row_and_unit(tmp_path: Path, results: Results) -> None:
    by_table = _written(tmp_path, results)
    assert set(by_table) == {name.removesuffix(".parquet") for name in TABLES}
    names = ("explanation", "explainer", "method", "model", "simulator", "unit", "unit_kind", "group", "index")
    names += ("annotator",)
    for rows in by_table.values():
        assert tuple(rows[0])[: len(names)] == names
        expected = (0, "words · model", "words", "model", "all_at_once", "L0N5", "N", "L0", 5, "Ann")
        assert tuple(rows[0][name] for name in names) == expected
    keys = [
        (row["explainer"], row["method"], row["model"], row["simulator"], row["unit"])
        for row in by_table["explanations"]
    ]
    assert keys[1:] == [
        ("words · model", "words", "model", "all_at_once", "L3N1"),
        ("table", "table", "", "lookup", "L0N5"),
    ]


def test_parts_of_a_run_are_numbered_on_and_judgements_may_begin_later(tmp_path: Path, make_results: Make) -> None:
    parts = [make_results({"words": (Role.EXPLAINER, (_words(judged), _refused()))}) for judged in ((), JUDGED)]
    with TableWriter(tmp_path) as writer:
        for part in parts:
            writer.write(part.explainers, part.scored)
    by_table = {path.stem: pq.read_table(path).to_pylist() for path in tmp_path.glob("*.parquet")}
    assert [row["explanation"] for row in by_table["explanations"]] == [0, 1, 2, 3]
    assert [row["explanation"] for row in by_table["judgements"]] == [2, 2]
    assert explanation_numbers(tmp_path) == {RowKey("words", "all_at_once"): [0, 1, 2, 3]}
    assert [row["explanation"] for row in simulated_excerpts(tmp_path, {2})] == [2]
    both = {key: compact_item(item) for part in parts for key, items in part.scored.items() for item in items}
    assert set(read_scored(tmp_path)) == set(both)
    assert len(read_scored(tmp_path)[RowKey("words", "all_at_once")]) == 4


def test_explanations(tmp_path: Path, results: Results) -> None:
    words, refused, table = _written(tmp_path, results)["explanations"]
    assert [row["outcome"] for row in (words, refused, table)] == ["ok", "refused", "ok"]
    assert (words["text"], words["prompt_version"]) == ("ends in\ufffd \n 語", "v1")
    assert (words["prompt_tokens"], words["completion_tokens"], words["usd"]) == (100, 5, 0.25)
    assert (words["slope"], words["intercept"], words["clipped"], words["calibration"]) == (0.5, 0.0, True, "linear")
    assert (refused["slope"], refused["clipped"], refused["calibration"]) == (None, None, None)
    assert (table["table_tokens"], table["table_values"], table["default"]) == ([" a", "b"], [0.5, 0.1], 0.01)
    assert [row["table_key"] for row in (words, refused, table)] == [None, None, "next token"]
    assert (words["candidates"], words["shown"]) == ([], ["d:0"])
    assert refused["candidates"] == [
        {"text": "no\ufffd", "outcome": "refused", "score": None},
        {"text": "", "outcome": "empty", "score": 0.25},
    ]
    assert (table["calibration"], table["slope"], table["clipped"]) == ("isotonic", None, False)
    assert (table["knots_simulated"], table["knots_real"]) == ([0.0, 3.0], [-0.5, 2.5])


def test_simulations(tmp_path: Path, results: Results) -> None:
    (simulation,) = _written(tmp_path, results)["simulations"]
    expected = {
        "split": "valid",
        "kind": "random",
        "source": "doc:7",
        "weight": 12.5,
        "leading": 1,
        "tokens": [" a", "\ufffd"],
        "real": [0.5, 0.25],
        "simulated": [None, 3.0],
        "calibrated": [None, 1.5],
        "mass": [0.0, 0.75],
        "units": "levels",
        "outcome": "ok",
    }
    assert expected.items() <= simulation.items()


def test_scores(tmp_path: Path, results: Results) -> None:
    scores = [
        (row["explainer"], row["unit"], row["metric"], row["value"], row["degenerate"], row["reason"])
        for row in _written(tmp_path, results)["scores"]
    ]
    assert scores == [
        ("words · model", "L0N5", "correlation", 0.0, True, None),
        ("words · model", "L0N5", "abs_dev", 0.5, False, None),
        ("words · model", "L0N5", "ablation", None, False, "not asked"),
        ("words · model", "L3N1", "correlation", None, False, "refused"),
        ("table", "L0N5", "correlation", 0.5, False, None),
    ]


def test_judgements_are_a_table_where_there_are_any(tmp_path: Path, make_results: Make) -> None:
    rows = {"words": (Role.EXPLAINER, (_words(JUDGED), _refused()))}
    first, second = _written(tmp_path, make_results(rows))["judgements"]
    assert (first["explainer"], first["unit"], first["kind"], first["source"]) == ("words", "L0N5", "random", "doc:7")
    assert (first["judge"], first["marked"], first["truth"], first["probability"]) == ("detection", [], True, 0.25)
    assert (second["judge"], second["marked"], second["truth"], second["probability"]) == ("fuzzing", [1], False, None)
    assert (second["outcome"], second["tokens"]) == ("refused", [" a", "\ufffd"])


def test_a_run_of_puzzles_has_every_explanation_by_every_simulator(tmp_path: Path, puzzle_results: Make) -> None:
    results = puzzle_results()
    by_table = _written(tmp_path, results)
    keys = [(row["explainer"], row["simulator"], row["unit"]) for row in by_table["explanations"]]
    simulators = ("oracle", "token_overlap", "chance")
    for explainer, number in (("true", 1), ("near", 3), ("unrelated", 1)):
        for simulator in simulators:
            for unit in ("puzzle:pets", "puzzle:ing"):
                assert keys.count((explainer, simulator, unit)) == number
    assert len(keys) == 3 * 2 * 5 + 3 * 2  # and a row of each explainer
    assert {(row["unit_kind"], row["group"]) for row in by_table["explanations"]} == {
        ("puzzle", "puzzle:pets"),
        ("puzzle", "puzzle:ing"),
    }
    texts = [row for row in by_table["simulations"] if row["explainer"] in ("true", "near", "unrelated")]
    assert len(texts) == 3 * 2 * 5 * 12
    firing = next(row for row in texts if row["explainer"] == "true" and row["simulator"] == "oracle")
    assert firing["real"] == firing["simulated"]
    metrics = {row["metric"] for row in by_table["scores"] if row["explainer"] == "max_activation"}
    assert metrics == {"correlation", "truth", "difference"}
