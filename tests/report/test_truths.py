from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable

from rich.console import Console

from harness.report import board
from harness.report.page import Page, Table, markdown_page, render
from harness.results.run import Results
from harness.results.vocabulary import ResultRow, StageUsage
from harness.types import Identity, Interval, Role, SimulatorInfo, Usage

Make = Callable[..., Results]
MODEL = SimulatorInfo("tuned", Identity("org/model", "0123456789abcdef", transport="prompt"), "prompt", 11, "v1")


def _cells(table: Table) -> list[dict[str, str]]:
    headings = [heading for _, heading in table.columns]
    return [dict(zip(headings, row, strict=True)) for row in (*table.rows, *table.controls)]


def _explainers(page: Page) -> Table:
    return next(table for table in page.tables if table.title == "Explainers")


def _terminal(results: Results, width: int = 110) -> str:
    stream = io.StringIO()
    Console(width=width, file=stream, force_terminal=False).print(render(board.build(results)))
    return stream.getvalue()


def _with_metrics(results: Results, metrics: dict[str, Interval]) -> Results:
    rows = tuple(
        row
        if row.summary.role is Role.TOLD
        else ResultRow(dataclasses.replace(row.summary, metrics=metrics), row.scored)
        for row in results.rows
    )
    return dataclasses.replace(results, rows=rows)


def test_simulators_stand_beside_their_controls(of_puzzles: Make) -> None:
    simulators = board.build(of_puzzles()).tables[0]
    assert [row[0] for row in simulators.rows] == ["tuned"]
    assert [row[0] for row in simulators.controls] == ["token_overlap", "chance"]
    row = _cells(simulators)[0]
    assert row["correlation given the truth"] == "0.800"
    assert row["AUROC"] == "1.000"
    assert row["beats near misses"] == row["beats unrelated"] == "100 %"
    assert row["margin"] == "0.350"  # of 0.2 and 0.5
    assert row["calibration error"] == "–"
    assert (row["units scored"], row["seconds"], row["tokens"]) == ("3/3", "1", "900")
    assert "beats false ones" not in row  # no puzzle has an explanation of that kind


def test_each_class_has_a_row_beside_the_controls(of_puzzles: Make) -> None:
    results = of_puzzles()
    table = board.build(results).tables[1]
    assert table.title == "tuned by class"
    lexical, morphological = _cells(table)
    assert (lexical["class"], morphological["class"]) == ("lexical", "morphological")
    assert lexical["correlation given the truth"] == "0.900"
    assert morphological["correlation given the truth"] == "0.750"
    assert lexical["token_overlap given the truth"] == "0.500"
    assert morphological["chance given the truth"] == "-0.050"
    assert morphological["units scored"] == "2/2"
    overall = tuple(summary for summary in results.truths if not summary.category)
    titles = [table.title for table in board.build(dataclasses.replace(results, truths=overall)).tables]
    assert "tuned by class" not in titles


def test_explainers_stand_beside_the_truth(of_puzzles: Make) -> None:
    results = of_puzzles()
    table = _explainers(board.build(results))
    assert [row[0] for row in table.rows] == ["max_activation"]
    assert [row[0] for row in table.controls] == ["shuffled (floor)", "token_lookup (ceiling, by lookup)"]
    row = _cells(table)[0]
    assert (row["mean correlation"], row["truth's"], row["share of truth's"]) == ("0.400", "0.800", "50 %")
    assert row["minus truth"].startswith("-0.400 (-0.")
    assert [cells["share of truth's"] for cells in _cells(table)] == ["50 %"] * 3


def test_of_a_truth_that_may_be_worth_nothing_there_is_no_share(of_puzzles: Make) -> None:
    metrics = {"correlation": Interval(0.3, 0.2, 0.4, 3), "truth": Interval(0.6, 0.5, 0.7, 3)}
    metrics["difference"] = Interval(-0.3, -0.4, -0.2, 3)
    row = _cells(_explainers(board.build(_with_metrics(of_puzzles(), metrics))))[0]
    assert (row["minus truth"], row["share of truth's"]) == ("-0.300 (-0.400 to -0.200)", "50 %")
    metrics = {**metrics, "truth": Interval(0.6, -0.1, 1.3, 3)}
    row = _cells(_explainers(board.build(_with_metrics(of_puzzles(), metrics))))[0]
    assert (row["truth's"], row["share of truth's"]) == ("0.600", "–")


def test_a_run_without_explainers_has_no_table_of_them(of_puzzles: Make) -> None:
    page = board.build(of_puzzles(explainers=False))
    assert [table.title for table in page.tables] == ["Simulators", "tuned by class"]
    assert not any("An explainer is shown" in sentence for sentence in page.sentences)


def test_a_run_of_neurons_has_no_table_of_simulators(usual: Results) -> None:
    page = board.build(usual)
    assert page.tables[0].title == "Explainers"
    assert "share" not in {short for short, _ in page.tables[0].columns}
    assert not any("true explanation" in sentence for sentence in page.sentences)


def test_the_head_says_which_simulator_and_how_many_tokens_and_the_foot_its_note(of_puzzles: Make) -> None:
    results = of_puzzles()
    noted = dataclasses.replace(MODEL, note="trained on rules: prefers rule-like wordings")
    page = board.build(dataclasses.replace(results, simulators=(noted, *results.simulators[1:])))
    assert page.facts == (
        ("task", "puzzles-v1, digest feedfacefeed"),
        ("units", "3 of the task's 3, 150 tokens"),
        ("simulator", "tuned on org/model at 0123456789ab"),
        ("reading", "transport prompt, levels 0 to 10, prompt v1"),
        ("control", "token_overlap"),
        ("control", "chance"),
        ("run", "feedfacecafe, seed 0, 2025-01-02T03:04:05+00:00"),
    )
    assert page.sentences.count("tuned: trained on rules: prefers rule-like wordings") == 1


def test_what_is_missing_is_said(of_puzzles: Make) -> None:
    results = of_puzzles()
    first, *others = results.truths
    poor = dataclasses.replace(first, scored=1, missing_tokens=7, degenerate=1)
    usage = {**results.usage, "simulate by tuned": StageUsage(saved=Usage(1, 1))}
    page = board.build(dataclasses.replace(results, truths=(poor, *others), usage=usage))
    for words in ("nothing on 7 of 150", "no score for 2 puzzles", "one level everywhere on 1", "from the store"):
        assert any(sentence.startswith("tuned") and words in sentence for sentence in page.sentences), words
    assert _cells(page.tables[0])[0]["seconds"] == "–"


def test_seconds_that_nobody_took_are_not_called_stored(of_puzzles: Make) -> None:
    page = board.build(of_puzzles(seconds={}, usage={}))
    assert _cells(page.tables[0])[0]["seconds"] == "–"
    assert not any("answered from the store" in sentence for sentence in page.sentences)


def test_terminal_and_page_show_the_same(of_puzzles: Make) -> None:
    results = of_puzzles()
    terminal, page = _terminal(results), board.build(results)
    text = markdown_page(page).replace("\\", "")
    for table in page.tables:
        assert table.title in terminal
        assert f"## {table.title}" in text
        for row in (*table.rows, *table.controls):
            assert f"| {' | '.join(row)} |" in text
            assert all(cell in terminal for cell in row[1:])
    assert max(len(line.rstrip()) for line in terminal.splitlines()) <= 110


def test_no_text_is_markup(of_puzzles: Make) -> None:
    evil = "[red]x[/red] <b>| `y`"
    results = of_puzzles()
    named = (dataclasses.replace(MODEL, note=evil), *results.simulators[1:])
    results = dataclasses.replace(results, simulators=named)
    assert "[red]x[/red]" in "".join(_terminal(results).split("\n"))
    assert "<b>" not in markdown_page(board.build(results)).replace("\\<b\\>", "")
