from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from rich.console import Console

from harness.report import board
from harness.report.page import Page, Table, markdown_page, render
from harness.results import merge
from harness.results.rows import Resampling
from harness.results.run import Results, read_run, write_run
from harness.results.vocabulary import ResultRow
from harness.types import (
    Heading,
    Interval,
    NeuroglossError,
    RankRange,
    Role,
    ScorerInfo,
    SimulatorInfo,
    Summary,
    Usage,
)

Make = Callable[..., Results]
EXPLAINER, FLOOR, CEILING, HUMAN = Role.EXPLAINER, Role.FLOOR, Role.CEILING, Role.HUMAN
WEAK, STRONG = "token_activation · smollm2", "max_activation"


def _explainers(page: Page) -> Table:
    return next(table for table in page.tables if table.title.startswith("Explainers"))


def _compared(page: Page) -> tuple[tuple[str, ...], ...]:
    return next((table.rows for table in page.tables if table.title.startswith("Compared")), ())


def _cells(table: Table) -> list[dict[str, str]]:
    return [dict(zip([short for short, _ in table.columns], row, strict=True)) for row in table.rows]


def _terminal(results: Results, width: int = 110) -> str:
    stream = io.StringIO()
    Console(width=width, file=stream, force_terminal=False).print(render(board.build(results)))
    return stream.getvalue()


def _words(text: str) -> str:
    return " ".join(text.split())


def _summary(results: Results, explainer: str) -> Summary:
    return next(summary for summary in results.summaries if summary.explainer == explainer)


def _with_summaries(results: Results, changes: Mapping[str, Mapping[str, object]]) -> Results:
    rows = [
        ResultRow(dataclasses.replace(row.summary, **changes.get(row.summary.explainer, {})), row.scored)  # type: ignore[arg-type]
        for row in results.rows
    ]
    return dataclasses.replace(results, rows=tuple(rows))


# ----------------------------------------------------------------------------------------------------------------- rows


def test_rows_are_ranked_by_score_and_controls_stand_apart(usual: Results) -> None:
    table = _explainers(board.build(usual))
    assert [row[0] for row in table.rows] == [STRONG, WEAK, "people"]
    assert [row[0] for row in table.controls] == ["shuffled (floor)", "token_lookup (ceiling, by lookup)"]


def test_a_row_holds_the_summary(usual: Results) -> None:
    row = _cells(_explainers(board.build(usual)))[0]
    headline = _summary(usual, STRONG).metrics["correlation"]
    assert row["score"] == f"{headline.mean:.3f}"
    assert row["95 % interval"] == f"{headline.low:.3f} to {headline.high:.3f}"
    assert row["random"] == f"{headline.mean / 2:.3f}"
    assert row["top"] == f"{headline.mean / 3:.3f}"
    assert (row["ablat."], row["cover"], row["const"]) == ("-123.5", "24/24", "0")
    assert (row["tokens"], row["cost"]) == ("24.5k", "$0.02")


def test_a_column_stands_for_each_metric_that_a_row_has_in_the_order_of_the_scorers(usual: Results) -> None:
    def headings(results: Results) -> list[str]:
        return [short for short, _ in _explainers(board.build(results)).columns[4:-4]]

    assert headings(usual) == ["random", "top", "ablat."]  # nothing has an explained variance
    metrics = {**_summary(usual, WEAK).metrics, "explained_variance": Interval(0.5, 0.4, 0.6, 24)}
    more = _with_summaries(usual, {WEAK: {"metrics": metrics}})
    assert headings(more) == ["random", "top", "expl.v.", "ablat."]
    cells = [row["expl.v."] for row in _cells(_explainers(board.build(more)))]
    assert cells == ["–", "0.500", "–"]
    assert headings(dataclasses.replace(usual, scorers=usual.scorers[::-1])) == ["ablat.", "random", "top"]
    twice = (*usual.scorers, dataclasses.replace(usual.scorers[1], name="again"))
    assert headings(dataclasses.replace(usual, scorers=twice)) == ["random", "top", "ablat."]


def test_rows_are_compared_two_by_two_and_with_the_floor(usual: Results) -> None:
    page = board.build(usual)
    assert [row[1] for row in _explainers(page).rows] == ["1", "2", "–"]
    assert [row[1] for row in _explainers(page).controls] == ["–", "–"]
    assert [row[0] for row in _compared(page)] == [f"{STRONG} - {WEAK}", f"{STRONG} - shuffled", f"{WEAK} - shuffled"]
    first, _, last = _compared(page)
    assert (first[3:], last[-1]) == (("< 0.001", "< 0.001", "24"), "24")
    difference = _summary(usual, STRONG).metrics["correlation"].mean - _summary(usual, WEAK).metrics["correlation"].mean
    assert first[1] == f"{difference:.3f}"
    assert float(last[4]) > 0.05
    (sentence,) = (sentence for sentence in page.sentences if "Westfall" in sentence)
    assert "exchangeable on each" in sentence
    assert "2 of 3 can be told apart" in sentence


def test_the_board_shows_the_standing_that_the_results_hold(make: Make) -> None:
    results = make({"x": (EXPLAINER, "all_at_once", 0.2), "y": (EXPLAINER, "all_at_once", 0.0)}, by_group=True)
    (standing,) = results.standings
    standing = dataclasses.replace(standing, ranks={**standing.ranks, "y": RankRange(1, 2)})
    page = board.build(dataclasses.replace(results, standings=(standing,)))
    assert dict(row[:2] for row in _explainers(page).rows)["y"] == "1–2"
    assert any("corrects for skewness, over whole layers" in sentence for sentence in page.sentences)


def test_people_are_not_collected_until_there_are_some(make: Make, usual: Results) -> None:
    row = _cells(_explainers(board.build(usual)))[-1]
    assert (row["explainer"], row["rank"], row["score"], row["95 % interval"]) == ("people", "–", "–", "not collected")
    assert (row["top"], row["cover"]) == ("–", "0/24")
    asked = make({"people": (HUMAN, "all_at_once", 0.3), "shuffled": (FLOOR, "all_at_once", 0.0)})
    (row,) = _cells(_explainers(board.build(asked)))
    assert (row["rank"], row["score"]) == ("1", f"{_summary(asked, 'people').metrics['correlation'].mean:.3f}")


def test_a_partial_row_shows_no_average(make: Make) -> None:
    rows = {"x": (EXPLAINER, "all_at_once", 0.9), "shuffled": (FLOOR, "all_at_once", 0.0)}
    page = board.build(make(rows, scored_neurons=12))
    row = _cells(_explainers(page))[0]
    assert (row["rank"], row["score"], row["95 % interval"], row["top"], row["cover"]) == (
        *("–", "–", "partial", "–", "12/24"),
    )
    assert _compared(page) == ()
    assert any("only 12 of 24 units" in sentence for sentence in page.sentences)
    lenient = _cells(_explainers(board.build(make(rows, scored_neurons=12, minimum_coverage=0.5))))[0]
    assert lenient["rank"] == "1"
    assert lenient["score"].startswith("0.")


def test_a_row_under_another_simulator_is_not_ranked(make: Make) -> None:
    results = make({"x": (EXPLAINER, "all_at_once", 0.1), "table": (EXPLAINER, "lookup", 0.9)})
    table = _explainers(board.build(results))
    assert [row[0] for row in table.rows] == ["x", "people"]
    assert [row[0] for row in table.controls] == ["table (by lookup)"]


def test_a_run_of_tables_alone_has_a_board(make: Make) -> None:
    table = _explainers(board.build(make({"token_lookup": (CEILING, "lookup", 0.5)})))
    assert [row[0] for row in table.controls] == ["token_lookup (ceiling, by lookup)"]


# ---------------------------------------------------------------------------------------------------------------- facts


def test_the_head_says_what_was_measured_on_what(usual: Results) -> None:
    assert dict(board.build(usual).facts) == {
        "task": "smollm2-v2, digest feedfacecafe",
        "units": "24 of the task's 24",
        "subject": "HuggingFaceTB/SmolLM2-135M-Instruct at 0123456789ab (float32)",
        "simulator": "all_at_once on HuggingFaceTB/SmolLM2-135M-Instruct at 0123456789ab (float32)",
        "reading": "transport prompt, levels 0 to 10, prompt all_at_once-v1",
        "puzzles": "not measured: neurogloss run task=puzzles-away-v1 simulator=all_at_once",
        "metric": "not audited: neurogloss audit",
        "run": "0123456789ab, seed 0, 2025-01-02T03:04:05+00:00",
    }


def test_the_simulator_s_puzzle_score_and_note_stand_beside_the_scores(usual: Results) -> None:
    noted = dataclasses.replace(usual, simulators=(dataclasses.replace(usual.simulator, note="trained on rules"),))
    page = board.build(noted, lambda simulator: f"{simulator.name}: 0.612 given the truth")
    assert dict(page.facts)["puzzles"] == "all_at_once: 0.612 given the truth"
    assert "all_at_once: trained on rules" in page.sentences
    assert not any(sentence.startswith("all_at_once:") for sentence in board.build(usual).sentences)


def test_the_audit_s_verdict_stands_beside_the_metric_ranked_by(usual: Results) -> None:
    page = board.build(usual, audited="correlation: fails extra labels")
    assert dict(page.facts)["metric"] == "correlation: fails extra labels"


# ------------------------------------------------------------------------------------------------------ another metric


def test_it_can_be_ranked_by_any_metric_of_the_panel(usual: Results) -> None:
    page = board.build(usual, by="correlation_top")
    best = _summary(usual, STRONG).metrics["correlation_top"]
    assert page.title == "Board of smollm2-v2, by correlation_top"
    row = _cells(_explainers(page))[0]
    assert (row["explainer"], row["score"], row["95 % interval"]) == (
        *(STRONG, f"{best.mean:.3f}", f"{best.low:.3f} to {best.high:.3f}"),
    )
    assert dict(_explainers(page).columns)["score"] == "mean correlation_top"
    assert page.sentences[0].startswith("The score is correlation_top, averaged over units")
    (strong,) = (sentence for sentence in page.sentences if sentence.startswith(STRONG))
    floor = _summary(usual, "shuffled").metrics["correlation_top"]
    assert f"difference {best.mean - floor.mean:.3f}" in strong


def test_another_metric_is_compared_over_layers_where_the_run_was(make: Make, usual: Results) -> None:
    rows = {"x": (EXPLAINER, "all_at_once", 0.2), "shuffled": (FLOOR, "all_at_once", 0.0)}
    page = board.build(make(rows, by_group=True), by="correlation_top")
    assert "over whole layers" in page.sentences[1]
    assert "over units" in board.build(usual, by="correlation_top").sentences[1]


def test_a_metric_that_puts_the_rows_the_other_way_round_ranks_them_so(usual: Results) -> None:
    rows = []
    for row in usual.rows:
        headline = row.summary.metrics["correlation"]
        turned = {**row.summary.metrics, "abs_dev": dataclasses.replace(headline, mean=-headline.mean)}
        scored = tuple(
            dataclasses.replace(
                item,
                scores=dataclasses.replace(
                    item.scores, values={**item.scores.values, "abs_dev": -item.scores.values["correlation"]}
                ),
            )
            for item in row.scored
        )
        rows.append(ResultRow(dataclasses.replace(row.summary, metrics=turned), scored))
    results = dataclasses.replace(usual, rows=tuple(rows))
    by_abs_dev = board.build(results, by="abs_dev")
    assert [row[0] for row in _explainers(by_abs_dev).rows] == [WEAK, STRONG, "people"]
    assert _compared(by_abs_dev)[0][0] == f"{WEAK} - {STRONG}"
    assert [row[0] for row in _explainers(board.build(results)).rows] == [STRONG, WEAK, "people"]


def test_a_metric_that_the_run_lacks_is_refused(usual: Results) -> None:
    with pytest.raises(NeuroglossError, match="no scores by auroc; it has: correlation, correlation_random"):
        board.build(usual, by="auroc")


def test_a_figure_that_is_no_score_ranks_nothing(usual: Results) -> None:
    with pytest.raises(NeuroglossError, match="loss_change is no score"):
        board.build(usual, by="loss_change")


# ------------------------------------------------------------------------------------------------------------- verdicts


def test_a_weak_result_reads_as_weak_and_a_strong_one_as_above_the_floor(usual: Results) -> None:
    sentences = board.build(usual).sentences
    (weak,) = (sentence for sentence in sentences if sentence.startswith(WEAK))
    assert "cannot be told from the floor" in weak
    (strong,) = (sentence for sentence in sentences if sentence.startswith(STRONG))
    assert "is above the floor" in strong
    assert "% of the way to the ceiling" in strong
    assert any("its floor, 0.0" in sentence and "its ceiling, 0.5" in sentence for sentence in sentences)


def test_an_explainer_that_misleads_is_below_the_floor(make: Make) -> None:
    results = make({"bad": (EXPLAINER, "all_at_once", -0.2), "shuffled": (FLOOR, "all_at_once", 0.1)})
    assert any(sentence.startswith("bad is below the floor") for sentence in board.build(results).sentences)


def test_the_floor_is_the_hardest_one_under_the_same_simulator(make: Make) -> None:
    results = make(
        {
            "x": (EXPLAINER, "all_at_once", 0.2),
            "low": (FLOOR, "all_at_once", 0.0),
            "high": (FLOOR, "all_at_once", 0.1),
            "table": (FLOOR, "lookup", 0.4),
        }
    )
    (sentence,) = (sentence for sentence in board.build(results).sentences if "its floor" in sentence)
    assert "(high)" in sentence


def test_without_a_floor_nothing_is_concluded(make: Make) -> None:
    sentences = board.build(make({"x": (EXPLAINER, "all_at_once", 0.9)})).sentences
    assert any("There is no floor" in sentence for sentence in sentences)
    assert not any("above the floor" in sentence for sentence in sentences)


def test_a_floor_without_a_score_is_not_said_to_be_missing(make: Make) -> None:
    rows = {"x": (EXPLAINER, "all_at_once", 0.9), "shuffled": (FLOOR, "all_at_once", math.nan)}
    results = make(rows, scored_neurons=0)
    sentences = list(board.build(results).sentences)
    assert any(sentence.startswith("The floor of this run (shuffled) has no score") for sentence in sentences)
    assert not any("There is no floor" in sentence for sentence in sentences)


# --------------------------------------------------------------------------------------------------------------- pages


@pytest.mark.parametrize("width", [80, 96, 110])
def test_the_terminal_page_fits_and_holds_every_cell(usual: Results, width: int) -> None:
    terminal = _terminal(usual, width)
    assert max(map(len, terminal.splitlines())) <= width
    page = board.build(usual)
    for table in page.tables:
        for cells in (*table.rows, *table.controls):
            for cell in cells[1:]:
                assert cell in terminal
    for sentence in page.sentences:
        assert sentence in _words(terminal)


def test_the_markdown_page_holds_the_same(usual: Results) -> None:
    page = board.build(usual)
    text = markdown_page(page).replace("\\", "")
    for table in page.tables:
        assert f"| {' | '.join(long for _, long in table.columns)} |" in text
        for cells in (*table.rows, *table.controls):
            assert f"| {' | '.join(cells)} |" in text
    for line in (*page.sentences, *(f"{name}: {value}" for name, value in page.facts)):
        assert line in text


@pytest.mark.parametrize("name", ["[red]x[/red]", "a|b", "<b>x</b>", "\x1b[31mred\x1b[0m", "two\nlines", "x" * 300])
def test_names_are_shown_and_never_obeyed(make: Make, name: str) -> None:
    rows = {name: (EXPLAINER, "all_at_once", 0.1), "shuffled": (FLOOR, "all_at_once", 0.0)}
    results = make(rows, simulators=(SimulatorInfo("all_at_once", transport=name),))
    terminal, text = _terminal(results), markdown_page(board.build(results))
    assert "\x1b" not in terminal + text
    assert max(map(len, terminal.splitlines())) <= 110
    assert "<b>" not in text.replace("\\<", "")
    widths = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {len(table.columns) + 1 for table in board.build(results).tables}
    if name.startswith("[red]"):
        assert name in terminal


def test_a_run_read_back_gives_the_same_board(usual: Results, tmp_path: Path) -> None:
    text = markdown_page(board.build(usual))
    folder = write_run(tmp_path, usual, text)
    assert markdown_page(board.build(read_run(folder))) == text == (folder / "board.md").read_text()


# -------------------------------------------------------------------------------------------------------------- judges


def _judged(usual: Results) -> Results:
    """The usual run, in which one row was judged on all neurons, another on half of them, and the table on none."""
    interval = Interval(0.75, 0.6, 0.875, 24)
    judged = {"detection": interval, "detection_auroc": Interval(0.8, 0.7, 0.9, 24), "fuzzing": interval}
    few = {"detection": dataclasses.replace(interval, units=12)}

    def change(explainer: str, metrics: Mapping[str, Interval], missing: int) -> dict[str, object]:
        return {
            "metrics": {**_summary(usual, explainer).metrics, **metrics},
            "judgements": 240,
            "missing_judgements": missing,
            "judge_usage": Usage(requests=240, prompt_tokens=1000),
        }

    changes = {STRONG: change(STRONG, judged, 0), WEAK: change(WEAK, few, 120)}
    changes["shuffled"] = change("shuffled", judged, 0)
    headings = tuple(
        heading
        for name in ("detection", "fuzzing")
        for heading in (Heading(name, name, name, True, True), Heading(f"{name}_auroc", "AUROC", "AUROC", judged=True))
    )
    scorers = (*usual.scorers, ScorerInfo("detection", usual.subject, "detection-v1+0123", headings))
    return dataclasses.replace(_with_summaries(usual, changes), scorers=scorers)


def test_what_judges_said_is_a_table_of_its_own_and_part_of_the_cost(usual: Results) -> None:
    page = board.build(_judged(usual))
    score = "0.750 (0.600 to 0.875)"
    (table,) = (table for table in page.tables if table.title == "By judges")
    assert [short for short, _ in table.columns] == ["explainer", "detection", "AUROC", "fuzzing", "cases", "silent"]
    assert table.rows == (
        (STRONG, score, "0.800", score, "240", "0"),
        (WEAK, "–", "–", "–", "240", "120"),  # too few of its units
        ("shuffled (floor)", score, "0.800", score, "240", "0"),
    )
    tokens = [_cells(_explainers(either))[0]["tokens"] for either in (board.build(usual), page)]
    assert tokens == ["24.5k", "25.5k"]
    assert "prompt detection-v1+0123" in dict(page.facts)["detection"]
    assert any("0.5 for a judge that always says the same" in sentence for sentence in page.sentences)
    assert "## By judges" in markdown_page(page)
    assert score in _terminal(_judged(usual))


def test_a_run_without_judges_says_nothing_of_them(usual: Results) -> None:
    assert "judge" not in markdown_page(board.build(usual))


# ------------------------------------------------------------------------------------------- several simulators or runs


@pytest.fixture
def two_simulators(make: Make, usual: Results) -> Results:
    other = dataclasses.replace(usual.simulator, name="one_at_a_time", note="slow")
    first = {"x": (EXPLAINER, "all_at_once", 0.3), "shuffled": (FLOOR, "all_at_once", 0.0)}
    second = {"x": (EXPLAINER, "one_at_a_time", 0.1), "shuffled": (FLOOR, "one_at_a_time", 0.05)}
    table = {"token_lookup": (CEILING, "lookup", 0.5)}
    rows = (*make(first | table).rows, *make(second).rows)
    results = dataclasses.replace(make(first | table), rows=rows, simulators=(usual.simulator, other))
    return merge.ranked(results, Resampling())


def test_each_simulator_has_its_tables_and_verdicts(two_simulators: Results) -> None:
    page = board.build(two_simulators)
    assert [table.title for table in page.tables] == [
        "Explainers by all_at_once",
        "Compared on the same units by all_at_once",
        "Explainers by one_at_a_time",
        "Compared on the same units by one_at_a_time",
    ]
    first, second = page.tables[0], page.tables[2]
    assert [row[0] for row in first.rows] == ["x", "people"]
    assert [row[0] for row in first.controls] == ["shuffled (floor)", "token_lookup (ceiling, by lookup)"]
    assert [row[0] for row in second.rows] == ["x"]
    assert [row[0] for row in second.controls] == ["shuffled (floor)"]
    for simulator in ("all_at_once", "one_at_a_time"):
        assert sum(sentence.startswith(f"By {simulator}: x is above the floor") for sentence in page.sentences) == 1
    assert page.sentences.count("one_at_a_time: slow") == 1
    assert [name for name, _ in page.facts].count("simulator") == 2


def test_a_board_of_several_runs_names_each(make: Make) -> None:
    rows = {"x": (EXPLAINER, "all_at_once", 0.3), "shuffled": (FLOOR, "all_at_once", 0.0)}
    other = make({"y": (EXPLAINER, "all_at_once", 0.1)}, run_id="ba9876543210ff", created="2025-02-02T03:04:05+00:00")
    page = board.build(merge.merged([make(rows), other]))
    runs = [value for name, value in page.facts if name == "run"]
    assert runs == ["0123456789ab", "ba9876543210, seed 0, 2025-02-02T03:04:05+00:00"]
    assert [row[0] for row in _compared(page)] == ["x - y", "x - shuffled", "y - shuffled"]


# ---------------------------------------------------------------------------------------------- units, writers, choices


def test_what_units_show_without_any_explanation_is_a_sentence_and_no_column(usual: Results) -> None:
    metrics = {**_summary(usual, STRONG).metrics, "intruder": Interval(0.4321, 0.3, 0.5, 24)}
    scorers = (*usual.scorers, ScorerInfo("intruder", usual.subject, "intruder-v1+0123"))
    page = board.build(dataclasses.replace(_with_summaries(usual, {STRONG: {"metrics": metrics}}), scorers=scorers))
    assert any("in 43% of the trials (0.300 to 0.500 of 1; by chance 20 %)" in sentence for sentence in page.sentences)
    assert "intruder" not in [long for _, long in _explainers(page).columns]
    assert not any("by chance 20 %" in sentence for sentence in board.build(usual).sentences)


def test_a_mean_over_units_with_hard_excerpts_says_how_many_they_are(usual: Results) -> None:
    metrics = {**_summary(usual, STRONG).metrics, "correlation_hard": Interval(0.4, 0.3, 0.5, 7)}
    page = board.build(_with_summaries(usual, {STRONG: {"metrics": metrics}}))
    assert any(f"over the 7 of {len(usual.task.units)} units that have such" in one for one in page.sentences)
    assert not any("hard excerpts" in one for one in board.build(usual).sentences)


def test_what_is_clipped_at_0_has_no_column_where_no_unit_is_below_it(usual: Results) -> None:
    def with_clipped(results: Results, added: float) -> Results:
        panel = ScorerInfo("panel", headings=(Heading("correlation_clipped", "clipped", "clipped at 0"),))
        result_rows = []
        for row in results.rows:
            scored = [
                dataclasses.replace(
                    item,
                    scores=dataclasses.replace(
                        item.scores,
                        values={**item.scores.values, "correlation_clipped": item.scores.values["correlation"] + added},
                    ),
                )
                for item in row.scored
            ]
            metrics = {**row.summary.metrics, "correlation_clipped": Interval(0.5, 0.4, 0.6, 24)}
            result_rows.append(ResultRow(dataclasses.replace(row.summary, metrics=metrics), tuple(scored)))
        return dataclasses.replace(results, rows=tuple(result_rows), scorers=(panel,))

    both, one_side = (board.build(with_clipped(usual, added)) for added in (0.01, 0.0))
    assert "clipped" in [short for short, _ in _explainers(both).columns]
    assert board.SIGNS in both.sentences
    assert "clipped" not in [short for short, _ in _explainers(one_side).columns]
    assert board.SIGNS not in one_side.sentences


def test_prices_that_nobody_said_are_said_to_be_unknown(usual: Results) -> None:
    def facts(price: float | None) -> dict[str, str]:
        node = {"use": "model/server", "usd_per_million_prompt_tokens": price, "usd_per_million_completion_tokens": 1.0}
        page = board.build(dataclasses.replace(usual, config={"explainer_model": {"server": node}}))
        return dict(page.facts)

    assert facts(None)["cost"] == "the prices of explainer_model.server are unknown: tokens count as $0"
    assert "cost" not in facts(0.0)


def test_a_writer_writes_and_a_judge_judges(usual: Results) -> None:
    scorers = (
        ScorerInfo("generated", None, "template-v1", part="written"),
        ScorerInfo("detection", usual.subject, "detection-v1"),
    )
    facts = dict(board.build(dataclasses.replace(usual, scorers=(*usual.scorers, *scorers))).facts)
    assert facts["generated"] == "written, prompt template-v1"
    assert facts["detection"].startswith("judged by ")


def test_a_row_that_was_chosen_by_the_score_that_ranks_it_is_named(usual: Results) -> None:
    explainers = tuple(dataclasses.replace(info, candidates=8 * (info.name == STRONG)) for info in usual.explainers)
    chosen = dataclasses.replace(usual, explainers=explainers)
    (sentence,) = (one for one in board.build(chosen).sentences if one.startswith("Chosen among several"))
    assert f"on other excerpts: {STRONG} (up to 8). A choice fits" in sentence
    assert not any(one.startswith("Chosen") for one in board.build(chosen, by="ablation").sentences)
    assert not any(one.startswith("Chosen") for one in board.build(usual).sentences)
