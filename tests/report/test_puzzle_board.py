from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Callable

from rich.console import Console

from harness.puzzle_results import PuzzleResults
from harness.report import page, puzzle_board
from harness.results import SimulatorInfo
from harness.types import Identity, Interval

Make = Callable[..., PuzzleResults]
MODEL = SimulatorInfo("tuned", Identity("org/model", "0123456789abcdef", transport="prompt"), "prompt", 11, "v1")


def _cells(table: page.Table) -> list[dict[str, str]]:
    headings = [heading for _, heading in table.columns]
    return [dict(zip(headings, row, strict=True)) for row in (*table.rows, *table.controls)]


def _terminal(found: PuzzleResults) -> str:
    stream = io.StringIO()
    Console(width=110, file=stream, force_terminal=False).print(page.render(puzzle_board.build(found)))
    return stream.getvalue()


def test_simulators_stand_beside_their_controls(puzzle_results: Make) -> None:
    simulators = puzzle_board.build(puzzle_results()).tables[0]
    assert [row[0] for row in simulators.rows] == ["oracle"]
    assert [row[0] for row in simulators.controls] == ["token_overlap", "chance"]
    own = _cells(simulators)[0]
    assert own["correlation given the truth"] == own["AUROC"] == "1.000"
    assert own["beats near misses"] == own["beats unrelated"] == "100 %"
    assert own["calibration error"] == "–"
    assert (own["puzzles scored"], own["seconds"], own["tokens"]) == ("2/2", "1", "0")


def test_each_class_has_a_row_beside_the_controls(puzzle_results: Make) -> None:
    found = puzzle_results()
    classes = _cells(puzzle_board.build(found).tables[1])
    assert [row["class"] for row in classes] == ["lexical", "morphological"]
    overlap = found.simulators[1].classes[0].metrics["correlation"].mean
    assert classes[0]["token_overlap given the truth"] == f"{overlap:.3f}"
    bare = tuple(dataclasses.replace(row, classes=()) for row in found.simulators)
    assert len(puzzle_board.build(dataclasses.replace(found, simulators=bare)).tables) == 2


def test_explainers_stand_beside_the_truth(puzzle_results: Make) -> None:
    found = puzzle_results()
    table = puzzle_board.build(found).tables[-1]
    assert [row[0] for row in table.rows] == ["max_activation"]
    assert [row[0] for row in table.controls] == ["shuffled (floor)", "token_lookup (ceiling, by lookup)"]
    metrics = {"correlation": Interval(0.3, 0.2, 0.4, 2), "truth": Interval(0.6, 0.5, 0.7, 2)}
    metrics["difference"] = Interval(-0.3, -0.4, -0.2, 2)
    rows = tuple(dataclasses.replace(row, metrics=metrics) for row in found.summaries)
    (own, *_) = _cells(puzzle_board.build(dataclasses.replace(found, summaries=rows)).tables[-1])
    assert (own["mean correlation"], own["truth's"], own["minus truth"]) == ("0.300", "0.600", "-0.300")
    assert own["95 % interval of the difference"] == "-0.400 to -0.200"
    assert own["share of truth's"] == "50 %"
    metrics["truth"] = Interval(0.6, -0.1, 1.3, 2)
    rows = tuple(dataclasses.replace(row, metrics=dict(metrics)) for row in found.summaries)
    (own, *_) = _cells(puzzle_board.build(dataclasses.replace(found, summaries=rows)).tables[-1])
    assert own["share of truth's"] == "–"


def test_a_run_without_explainers_has_no_table_of_them(puzzle_results: Make) -> None:
    found = puzzle_results(explainers=(), summaries=(), scored={})
    assert [table.title for table in puzzle_board.build(found).tables] == ["Simulators", "oracle by class"]


def test_the_head_says_which_simulator_and_the_foot_its_note(puzzle_results: Make) -> None:
    noted = dataclasses.replace(MODEL, note="trained on rules: prefers rule-like wordings")
    built = puzzle_board.build(puzzle_results(info=noted))
    facts = dict(built.facts)
    assert facts["simulator"] == "tuned on org/model at 0123456789ab"
    assert facts["reading"] == "transport prompt, levels 0 to 10, prompt v1"
    assert built.sentences[-1] == "tuned: trained on rules: prefers rule-like wordings"


def test_what_is_missing_is_said(puzzle_results: Make) -> None:
    found = puzzle_results()
    own = found.simulators[0]
    summary = dataclasses.replace(own.summary, scored=1, missing_tokens=7, degenerate=1)
    poor = dataclasses.replace(own, summary=summary, seconds=math.nan)
    sentences = puzzle_board.build(dataclasses.replace(found, simulators=(poor, *found.simulators[1:]))).sentences
    for words in ("nothing on 7 of ", "no score for 1 puzzles", "one level everywhere on 1", "answered from the store"):
        assert any(sentence.startswith("oracle") and words in sentence for sentence in sentences), words


def test_terminal_and_page_show_the_same(puzzle_results: Make) -> None:
    found = puzzle_results()
    shown, built = _terminal(found), puzzle_board.build(found)
    text = page.markdown_page(built).replace("\\", "")
    for table in built.tables:
        assert table.title in shown
        assert f"## {table.title}" in text
        for row in (*table.rows, *table.controls):
            assert f"| {' | '.join(row)} |" in text
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 110


def test_no_text_is_markup(puzzle_results: Make) -> None:
    evil = "[red]x[/red] <b>| `y`"
    found = puzzle_results(info=dataclasses.replace(MODEL, name=evil))
    assert "[red]x[/red]" in "".join(_terminal(found).split("\n"))
    assert "<b>" not in page.markdown_page(puzzle_board.build(found)).replace("\\<b\\>", "")
