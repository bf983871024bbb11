"""Two rows side by side: who wins where, how surely, and what cannot be compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.jobs import boards
from harness.report import comparison, page
from harness.results.run import Results, read_run, write_run
from harness.types import Explanation, NeuroglossError, Outcome, Role, ScoredExplanation, Scores, Unit

UNITS = tuple(Unit("N", place % 3, place) for place in range(24))
Make = Callable[..., Results]


def scored(values: list[float], text: str = "words") -> list[ScoredExplanation]:
    return [
        ScoredExplanation(Explanation(unit, f"{text} {unit.index}"), "", (), None, Scores({"correlation": value}))
        for unit, value in zip(UNITS, values, strict=True)
    ]


def results_of(make_results: Make) -> Results:
    high = [0.5 + 0.01 * place for place in range(24)]
    return make_results(
        {
            "high": (Role.EXPLAINER, scored(high, "high")),
            "low": (Role.EXPLAINER, scored([value - 0.2 - 0.001 * place for place, value in enumerate(high)], "low")),
            "shuffled": (Role.FLOOR, scored([0.01 * (place % 2) for place in range(24)])),
        }
    )


def built(results: Results, first: str, second: str) -> page.Page:
    return comparison.build(comparison.find(results, first, "RUN"), comparison.find(results, second, "RUN"))


def test_the_better_row_wins_everywhere_and_is_said_to_be_above(make_results: Make) -> None:
    result = built(results_of(make_results), "low", "high")
    overall, places, largest = result.tables
    assert [row[-1] for row in overall.rows] == ["0", "24"]
    assert [row[:2] for row in places.rows] == [(f"N, layer {layer}", "8") for layer in range(3)]
    assert len(largest.rows) == comparison.LARGEST
    assert largest.rows[0][0] == str(UNITS[23]), "the gap grows with the unit"
    assert largest.rows[0][3:] == ("low 23", "high 23")
    assert result.sentences[0].startswith("B is above A: A - B is -0.2")
    assert result.sentences[1].startswith("Resolution floor: 0.00")


def test_rows_that_cannot_be_told_apart_are_not_ranked(make_results: Make) -> None:
    values = [0.1 * (-1) ** place for place in range(24)]
    rows = {"one": (Role.EXPLAINER, scored(values)), "two": (Role.EXPLAINER, scored(values[::-1]))}
    result = built(make_results(rows), "one", "two")
    assert result.sentences[0].startswith("A and B cannot be told apart")


def test_what_was_passed_over_has_the_floors_score(make_results: Make) -> None:
    results = results_of(make_results)
    row = next(row for row in results.rows if row.summary.explainer == "high")
    silent = replace(row.scored[0], explanation=Explanation(UNITS[0], outcome=Outcome.EMPTY), scores=Scores({}))
    silent = replace(silent, explanation=replace(silent.explanation, explainer="high"))
    others = tuple(other for other in results.rows if other is not row)
    passed_over = replace(row, scored=(silent, *row.scored[1:]))
    side = comparison.find(replace(results, rows=(passed_over, *others)), "high", "RUN")
    assert side.scores("correlation")[UNITS[0]] == 0.0
    assert side.texts[UNITS[0]] == "(empty)"


def test_rows_that_cannot_be_compared_are_refused(make_results: Make) -> None:
    results = results_of(make_results)
    with pytest.raises(NeuroglossError, match=r"RUN has not the row 'mine'; name it behind a #, such as 'RUN#high'"):
        comparison.find(results, "mine", "RUN")
    with pytest.raises(NeuroglossError, match="one row to compare"):
        comparison.find(results, None, "RUN")
    with pytest.raises(NeuroglossError, match="both rows are high"):
        built(results, "high", "high")
    other = replace(results, run_id="bbbb", task=replace(results.task, digest="0" * 64))
    sides = comparison.find(results, "high", "RUN"), comparison.find(other, "high", "RUN")
    with pytest.raises(NeuroglossError, match="only rows on one task"):
        comparison.build(*sides)
    with pytest.raises(NeuroglossError, match="no unit in common with a score by ablation"):
        comparison.build(comparison.find(results, "high", "RUN"), comparison.find(results, "low", "RUN"), "ablation")


def test_rows_are_named_by_a_path_and_a_name(make_results: Make, tmp_path: Path) -> None:
    folder = write_run(tmp_path, results_of(make_results), "")
    assert boards.comparison(f"{folder}#high", f"{folder}#shuffled").title.startswith("high by ")
    single = write_run(tmp_path, make_results({"alone": (Role.EXPLAINER, 0.5)}, run_id="c" * 16), "")
    assert comparison.find(read_run(single), None, str(single)).row.summary.explainer == "alone"


def test_one_unit_is_too_few_and_no_p_value_is_spoken_of(make_results: Make) -> None:
    rows = {name: (Role.EXPLAINER, scored([value] * 24)[:1]) for name, value in (("high", 0.5), ("low", 0.1))}
    sentences = built(make_results(rows), "high", "low").sentences
    assert "too few units to tell: no test takes one alone; " in sentences[0]
    assert "at least –" not in sentences[0]
