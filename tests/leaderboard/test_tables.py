"""Rankings of explainers and of simulators: what is compared with what, and how rows are ordered."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.leaderboard import trust
from harness.results.run import Results
from harness.results.vocabulary import ResultRow, TaskInfo
from harness.types import (
    Explanation,
    Identity,
    Outcome,
    Role,
    RowKey,
    ScoredExplanation,
    Scores,
    SimulatorInfo,
    Unit,
)

Make = Callable[..., Results]
Add = Callable[[Results], Path]
Cells = Callable[[], list[list[list[str]]]]
DIGEST = "feedface" * 8
UNITS = tuple(Unit("N", layer, layer) for layer in range(24))
MODEL = Identity("org/simulator", "s1", dtype="float32", transport="prompt")
SIMULATOR = SimulatorInfo("all_at_once", MODEL, "prompt", 11, "v1")
TUNED = SimulatorInfo("tuned", Identity("org/model", "r1", transport="prompt"), "prompt", 11, "v1", "trained on rules")
GIT = {"neurogloss": "0.1.0", "python": "3.11", "packages": {}, "git": {"commit": "c0ffee" * 6, "dirty": False}}


def _scored(values: Any) -> list[ScoredExplanation]:
    return [
        ScoredExplanation(Explanation(unit, "words"), "", (), None, Scores({"correlation": float(value)}))
        for unit, value in zip(UNITS, values, strict=True)
    ]


# ---------------------------------------------------------------------------------------------------------- explainers


def test_ranks_are_apart_or_shared_by_the_same_units(add: Add, cells: Cells, make_results: Make) -> None:
    add(make_results(run_id="aaaa", provenance=GIT))
    falling = _scored(0.495 - np.linspace(-0.04, 0.04, 24))
    add(
        make_results(
            {
                "close · small": (Role.EXPLAINER, falling),
                "worse": (Role.EXPLAINER, 0.095),
                "shuffled": (Role.FLOOR, 0.02),
            },
            run_id="bbbb",
        )
    )
    (rows,) = cells()
    assert [row[:3] for row in rows] == [
        ["1–2", "good", "large"],
        ["1–2", "close", "small"],
        ["3", "bad", "–"],
        ["4", "worse", "–"],  # by 0.005 only, but on every unit
        ["floor", "shuffled", "–"],
        ["floor", "shuffled", "–"],
    ]
    assert rows[0][3:8] == ["0.500", "0.490 to 0.510", "–", "–", "24/24"]
    assert rows[0][-1] == "aaaa (neurogloss 0.1.0, c0ffeec0ffee)"
    assert rows[1][-1] == "bbbb (neurogloss 0.1.0, no checkout)"


@pytest.mark.parametrize(
    "changes",
    [
        {"simulators": (replace(SIMULATOR, name="one_at_a_time"),)},
        {"simulators": (replace(SIMULATOR, transport="generated"),)},
        {"simulators": (replace(SIMULATOR, levels=10),)},
        {"simulators": (replace(SIMULATOR, prompt_version="v2"),)},
        {"simulators": (replace(SIMULATOR, identity=replace(MODEL, revision="s2")),)},
        {"simulators": (replace(SIMULATOR, identity=replace(MODEL, dtype="bfloat16")),)},
        {"simulators": (replace(SIMULATOR, identity=replace(MODEL, name="other")),)},
        {"simulators": (replace(SIMULATOR, identity=replace(MODEL, backend="llama.cpp")),)},
        {"subject": Identity("org/subject", "r2")},
        {"task": TaskInfo("mini-v1", "0" * 64, 24, UNITS)},
    ],
)
def test_what_differs_is_never_in_the_same_table(
    add: Add, cells: Cells, make_results: Make, changes: dict[str, Any]
) -> None:
    add(make_results(run_id="aaaa"))
    add(make_results(run_id="bbbb", **changes))
    tables = cells()
    assert len(tables) == 2
    for rows in tables:
        assert len({row[-1] for row in rows}) == 1  # one run in each
        assert [row[0] for row in rows] == ["1", "2", "floor"]


def test_where_a_server_stands_does_not_part_tables(add: Add, cells: Cells, make_results: Make) -> None:
    add(make_results(run_id="aaaa"))
    elsewhere = replace(SIMULATOR, identity=replace(MODEL, base_url="http://10.0.0.1:8000/v1"))
    add(make_results(run_id="bbbb", simulators=(elsewhere,)))
    assert len(cells()) == 1


def test_rows_of_two_simulators_of_a_run_are_two_tables(
    add: Add, cells: Cells, page: Callable[[], str], make_results: Make
) -> None:
    rows = {
        **{RowKey(name, "all_at_once"): (Role.EXPLAINER, mean) for name, mean in (("a", 0.5), ("b", 0.1))},
        **{RowKey(name, "other"): (Role.EXPLAINER, mean) for name, mean in (("a", 0.1), ("b", 0.5))},
        RowKey("table", "lookup"): (Role.CEILING, 0.7),
        RowKey("lost", "lookup"): (Role.EXPLAINER, 0.6),
    }
    add(make_results(rows, simulators=(SIMULATOR, replace(SIMULATOR, name="other"))))
    first, second = cells()
    assert [row[:2] for row in first] == [
        ["1", "a"],
        ["2", "b"],
        ["ceiling", "table"],
        ["by lookup", "lost"],
    ]
    assert [row[:2] for row in second] == [["1", "b"], ["2", "a"]]
    titles = re.findall("^## (.*)", page(), re.MULTILINE)
    assert titles == [
        "mini-v1, simulated by all_at_once on org/simulator",
        "mini-v1, simulated by other on org/simulator",
        "Entries",
    ]


def test_a_partial_row_is_shown_without_averages_and_not_ranked(add: Add, cells: Cells, make_results: Make) -> None:
    half = [
        item
        if place < 12
        else replace(item, explanation=Explanation(item.unit, outcome=Outcome.FAILED), scores=Scores({}))
        for place, item in enumerate(_scored([0.5] * 24))
    ]
    add(make_results({"half": (Role.EXPLAINER, half), "bad": (Role.EXPLAINER, 0.1), "shuffled": (Role.FLOOR, 0.0)}))
    (rows,) = cells()
    assert [row[:2] for row in rows] == [["1", "bad"], ["partial", "half"], ["floor", "shuffled"]]
    assert rows[1][3:8] == ["–", "–", "–", "–", "12/24"]


def test_a_unit_without_an_explanation_counts_as_the_floor_of_the_table(
    add: Add, cells: Cells, make_results: Make
) -> None:
    values = [0.0] * 2 + [0.5] * 22
    silent = [
        replace(item, explanation=Explanation(item.unit, outcome=Outcome.EMPTY), scores=Scores({}))
        if place < 2
        else item
        for place, item in enumerate(_scored(values))
    ]
    add(
        make_results(
            {
                "silent": (Role.EXPLAINER, silent),
                "honest": (Role.EXPLAINER, _scored([0.1] * 2 + [0.5] * 22)),
                "shuffled": (Role.FLOOR, _scored([-0.1] * 24)),
            }
        )
    )
    (table,) = cells()
    means = {row[1]: row[3] for row in table}
    assert [row[1] for row in table] == ["honest", "silent", "shuffled"]
    assert means["silent"] == f"{(22 * 0.5 - 2 * 0.1) / 24:.3f}"
    assert means["honest"] == f"{(22 * 0.5 + 2 * 0.1) / 24:.3f}"


def test_people_are_ranked_and_null_rows_are_not(add: Add, cells: Cells, make_results: Make) -> None:
    add(make_results({"people": (Role.HUMAN, 0.5), "random_words": (Role.NULL, 0.6), "a": (Role.EXPLAINER, 0.1)}))
    (rows,) = cells()
    assert [row[:2] for row in rows] == [["1", "people"], ["2", "a"], ["null", "random_words"]]


def test_a_table_says_how_far_its_simulator_can_be_trusted(
    add: Add, page: Callable[[], str], make_results: Make, puzzle_results: Make
) -> None:
    add(make_results(simulators=(replace(TUNED, name="mine"),)))
    assert "* puzzles: not measured: neurogloss run task=puzzles-away-v1 simulator=mine" in page()
    assert "* note: mine: trained on rules" in page()
    add(puzzle_results(info=TUNED))
    assert "* puzzles: 1.000 (1.000 to 1.000) given the truth, beats 100 % of near misses" in page()


@pytest.mark.slow
def test_tables_by_simulators_that_the_puzzles_trust_more_stand_first(
    add: Add, page: Callable[[], str], make_results: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"a": (-math.inf, -math.inf), "b": (0.2, 0.9), "c": (0.6, -math.inf), "d": (-0.1, 0.9)}
    monkeypatch.setattr(trust, "scores", lambda simulator, _: scores[simulator.name])
    for name in scores:
        add(make_results(run_id=4 * name, simulators=(replace(SIMULATOR, name=name),)))
    add(make_results(run_id="eeee", simulators=(replace(SIMULATOR, name="b"),), subject=Identity("a/b", "r")))
    *titles, last = re.findall("^## (.*)", page(), re.MULTILINE)
    assert last == "Entries"
    assert titles == [f"mini-v1, simulated by {name} on org/simulator" for name in "bcbda"]
    assert page().index("* subject: a/b") < page().index("* subject: org/subject")


def test_a_dirty_checkout_shows(add: Add, page: Callable[[], str], make_results: Make) -> None:
    add(make_results(provenance={**GIT, "git": {"commit": "beef" * 10, "dirty": True}}))
    assert "beefbeefbeef with uncommitted changes" in page()


# ---------------------------------------------------------------------------------------------------------- simulators


def test_the_simulators_stand_above_with_their_controls_and_notes(
    add: Add, cells: Cells, page: Callable[[], str], puzzle_results: Make
) -> None:
    add(puzzle_results())
    add(puzzle_results(run_id="b" * 12, info=TUNED))
    simulators, *explainers = cells()
    assert [row[1] for row in simulators] == ["oracle", "tuned", "token_overlap", "chance"]
    assert [row[0] for row in simulators] == ["1–2", "1–2", "control", "control"]
    assert simulators[0][3:7] == ["1.000", "1.000 to 1.000", "100 %", "100 %"]
    assert simulators[0][2] == "–"
    assert simulators[1][2] == "org/model r1"
    assert simulators[1][-2] == "prompt, levels 0 to 10, prompt v1"
    assert [[row[:2] for row in rows] for rows in explainers] == 2 * [
        [["1", "max_activation"], ["without words", "token_lookup"], ["floor", "shuffled"]]
    ]
    assert page().index("## Simulators: puzzles-v1") < page().index("## puzzles-v1, simulated by")
    assert "* note: tuned: trained on rules" in page()
    assert "beats near misses" in page()


def test_a_control_that_was_run_by_itself_is_ranked_once(add: Add, cells: Cells, puzzle_results: Make) -> None:
    results = puzzle_results()
    add(results)
    simulators = (replace(results.simulators[1], control=False), results.simulators[2])
    names = {info.name for info in simulators}
    rows = tuple(row for row in results.rows if row.summary.simulator in names and row.summary.role is Role.TOLD)
    add(
        replace(
            results,
            run_id="c" * 12,
            simulators=simulators,
            rows=rows,
            explainers=tuple(info for info in results.explainers if info.role is Role.TOLD),
            truths=tuple(truth for truth in results.truths if truth.simulator in names),
            standings=(),
        )
    )
    (row,) = (row for row in cells()[0] if row[1] == "token_overlap")
    assert row[0] == "1–2"
    assert [row[1] for row in cells()[0]] == ["oracle", "token_overlap", "chance"]


def _worse(results: Results, created: str, run_id: str) -> Results:
    """The same run at another time, whose own simulator has the scores of a control."""
    rows = [
        ResultRow(
            replace(row.summary, simulator="oracle"), tuple(replace(item, simulator="oracle") for item in row.scored)
        )
        for row in results.rows
        if row.summary.simulator == "chance"
    ]
    controls = [row for row in results.rows if row.summary.role is Role.TOLD and row.summary.simulator != "oracle"]
    truths = [replace(truth, simulator="oracle") for truth in results.truths if truth.simulator == "chance"]
    return replace(
        results,
        run_id=run_id,
        created=created,
        rows=(*rows, *controls),
        explainers=tuple(info for info in results.explainers if info.role is Role.TOLD),
        truths=(*truths, *(truth for truth in results.truths if truth.simulator != "oracle")),
        standings=(),
    )


@pytest.mark.parametrize(
    ("created", "mean"), [("2026-01-01T00:00:00+00:00", "-0.102"), ("2024-01-01T00:00:00+00:00", "1.000")]
)
def test_of_several_measurements_of_a_simulator_the_newest_counts(
    add: Add, cells: Cells, puzzle_results: Make, created: str, mean: str
) -> None:
    results = puzzle_results()
    add(results)
    add(_worse(results, created, "b" * 12))
    rows = [row for row in cells()[0] if row[1] == "oracle"]
    assert [row[3] for row in rows] == [mean]
