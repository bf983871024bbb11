from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable

import pytest
from rich.console import Console

from harness import stats
from harness.report import board
from harness.results import JudgeInfo, Results, SimulatorInfo, read_run, write_run
from harness.types import Interval, NeuroglossError, RankRange, Role, Usage

Make = Callable[..., Results]
EXPLAINER, FLOOR, CEILING, HUMAN = Role.EXPLAINER, Role.FLOOR, Role.CEILING, Role.HUMAN


def _terminal(results: Results, width: int = 100) -> str:
    stream = io.StringIO()
    Console(width=width, file=stream, force_terminal=False).print(board.render(board.build(results)))
    return stream.getvalue()


def _words(text: str) -> str:
    return " ".join(text.split())


def test_rows_are_ranked_by_score_and_controls_stand_apart(usual: Results) -> None:
    built = board.build(usual)
    assert [row[0] for row in built.ranked] == ["max_activation", "smollm2", "people"]
    assert [row[0] for row in built.controls] == ["shuffled (floor)", "token_lookup (ceiling, by lookup)"]


def test_a_row_holds_the_summary(usual: Results) -> None:
    (row,) = (
        dict(zip([short for short, _ in board.COLUMNS], cells, strict=True)) for cells in board.build(usual).ranked[:1]
    )
    (summary,) = (summary for summary in usual.summaries if summary.explainer == "max_activation")
    headline = summary.metrics["correlation"]
    assert row["score"] == f"{headline.mean:.3f}"
    assert row["95 % interval"] == f"{headline.low:.3f} to {headline.high:.3f}"
    assert row["random"] == f"{headline.mean / 2:.3f}"
    assert row["top"] == f"{headline.mean / 3:.3f}"
    assert (row["ablat."], row["expl.v."], row["cover"], row["const"]) == ("-123.5", "–", "24/24", "0")
    assert (row["tokens"], row["cost"]) == ("24.5k", "$0.02")


def test_rows_are_compared_two_by_two_and_with_the_floor(usual: Results) -> None:
    built = board.build(usual)
    assert [row[1] for row in built.ranked] == ["1", "2", "–"]
    assert [row[1] for row in built.controls] == ["–", "–"]
    names = ["max_activation - smollm2", "max_activation - shuffled", "smollm2 - shuffled"]
    assert [row[0] for row in built.comparisons] == names
    first, _, last = built.comparisons
    assert (first[3:], last[-1]) == (("< 0.001", "< 0.001", "24"), "24")
    difference = usual.summaries[1].metrics["correlation"].mean - usual.summaries[0].metrics["correlation"].mean
    assert first[1] == f"{difference:.3f}"
    assert float(last[4]) > 0.05
    (sentence,) = (sentence for sentence in built.sentences if "Holm" in sentence)
    assert "corrected for 3 comparisons (Holm). 2 of 3 can be told apart" in sentence


def test_the_board_shows_the_standing_that_the_results_hold(usual: Results) -> None:
    asked = {"minimum_coverage": 0.9, "seed": 0, "resamples": 200, "by_layer": True}
    standing = stats.standing(usual.summaries, usual.scored, "all_at_once", **asked)  # type: ignore[arg-type]
    standing = dataclasses.replace(standing, ranks={**standing.ranks, "smollm2": RankRange(1, 2)})
    built = board.build(dataclasses.replace(usual, standing=standing))
    assert dict(row[:2] for row in built.ranked)["smollm2"] == "1–2"
    assert any("bootstrap over whole layers" in sentence for sentence in built.sentences)


def test_people_are_not_collected_until_there_are_some(make: Make, usual: Results) -> None:
    assert board.build(usual).ranked[-1][:5] == ("people", "–", "–", "not collected", "–")
    asked = make({"people": (HUMAN, "all_at_once", 0.3), "shuffled": (FLOOR, "all_at_once", 0.0)})
    assert [row[0] for row in board.build(asked).ranked] == ["people"]
    assert board.build(asked).ranked[0][1:3] == ("1", f"{asked.summaries[0].metrics['correlation'].mean:.3f}")


def test_header_says_what_was_measured_on_what(usual: Results) -> None:
    facts = dict(board.build(usual).facts)
    assert facts == {
        "task": "smollm2-mini-v1, digest feedfacecafe",
        "neurons": "24 of the task's 24",
        "subject": "HuggingFaceTB/SmolLM2-135M-Instruct at 0123456789ab (float32)",
        "simulator": "all_at_once on HuggingFaceTB/SmolLM2-135M-Instruct at 0123456789ab (float32)",
        "reading": "transport prompt, levels 0 to 10, prompt all_at_once-v1",
        "puzzles": "not measured: neurogloss run task=puzzles-v1 simulator=all_at_once",
        "metric": "not audited: neurogloss audit",
        "run": "0123456789ab, seed 0, 2025-01-02T03:04:05+00:00",
    }


def test_the_simulator_s_puzzle_score_and_note_stand_beside_the_scores(usual: Results) -> None:
    noted = dataclasses.replace(usual, simulator=dataclasses.replace(usual.simulator, note="trained on rules"))
    built = board.build(noted, "0.612 given the truth")
    assert dict(built.facts)["puzzles"] == "0.612 given the truth"
    assert "all_at_once: trained on rules" in built.sentences
    assert not any(sentence.startswith("all_at_once:") for sentence in board.build(usual).sentences)


def test_the_audit_s_verdict_stands_beside_the_metric_ranked_by(usual: Results) -> None:
    built = board.build(usual, None, "correlation: fails extra labels")
    assert dict(built.facts)["metric"] == "correlation: fails extra labels"


def test_it_can_be_ranked_by_any_metric_of_the_panel(usual: Results) -> None:
    built = board.build(usual, None, None, "correlation_top")
    best = next(row for row in usual.summaries if row.explainer == "max_activation").metrics["correlation_top"]
    assert built.title == "Board of smollm2-mini-v1, by correlation_top"
    assert (built.ranked[0][0], *built.ranked[0][2:4]) == (
        "max_activation",
        f"{best.mean:.3f}",
        f"{best.low:.3f} to {best.high:.3f}",
    )
    assert dict(board.columns(built))["score"] == "mean correlation_top"
    assert built.sentences[0].startswith("The score is correlation_top, averaged over neurons")
    (strong,) = (sentence for sentence in built.sentences if sentence.startswith("max_activation"))
    floor = next(row for row in usual.summaries if row.explainer == "shuffled").metrics["correlation_top"]
    assert f"difference {best.mean - floor.mean:.3f}" in strong


def test_another_metric_is_compared_over_layers_where_the_run_was(usual: Results) -> None:
    asked = {"minimum_coverage": 0.9, "seed": 0, "resamples": 200, "by_layer": True}
    standing = stats.standing(usual.summaries, usual.scored, "all_at_once", **asked)  # type: ignore[arg-type]
    built = board.build(dataclasses.replace(usual, standing=standing), by="correlation_top")
    assert "a bootstrap over whole layers" in built.sentences[0]
    assert "over neurons" in board.build(usual, by="correlation_top").sentences[0]


def test_a_metric_that_puts_the_rows_the_other_way_round_ranks_them_so(usual: Results) -> None:
    turned = dataclasses.replace(
        usual,
        summaries=tuple(
            dataclasses.replace(
                row,
                metrics={
                    **row.metrics,
                    "abs_dev": dataclasses.replace(row.metrics["correlation"], mean=-row.metrics["correlation"].mean),
                },
            )
            for row in usual.summaries
        ),
        scored={
            name: tuple(
                dataclasses.replace(
                    one,
                    scores=dataclasses.replace(
                        one.scores, values={**one.scores.values, "abs_dev": -one.scores.values["correlation"]}
                    ),
                )
                for one in some
            )
            for name, some in usual.scored.items()
        },
    )
    assert [row[0] for row in board.build(turned, by="abs_dev").ranked] == ["smollm2", "max_activation", "people"]
    assert [row[0] for row in board.build(turned).ranked] == ["max_activation", "smollm2", "people"]


def test_a_metric_that_the_run_lacks_is_refused(usual: Results) -> None:
    with pytest.raises(NeuroglossError, match="no scores by auroc; it has: correlation, correlation_random"):
        board.build(usual, by="auroc")


def test_a_weak_result_reads_as_weak_and_a_strong_one_as_above_the_floor(usual: Results) -> None:
    sentences = board.build(usual).sentences
    (weak,) = (sentence for sentence in sentences if sentence.startswith("smollm2"))
    assert "cannot be told from the floor" in weak
    (strong,) = (sentence for sentence in sentences if sentence.startswith("max_activation"))
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


def test_a_partial_row_shows_no_average(make: Make) -> None:
    results = make({"x": (EXPLAINER, "all_at_once", 0.9), "shuffled": (FLOOR, "all_at_once", 0.0)}, scored_neurons=12)
    built = board.build(results)
    assert built.ranked[0][:9] == ("x", "–", "–", "partial", "–", "–", "–", "–", "12/24")
    assert built.comparisons == ()
    assert any("only 12 of 24 neurons" in sentence for sentence in built.sentences)
    lenient = dataclasses.replace(results, minimum_coverage=0.5)
    assert board.build(lenient).ranked[0][1] == "1"
    assert board.build(lenient).ranked[0][2].startswith("0.")


def test_a_row_under_another_simulator_is_not_ranked(make: Make) -> None:
    results = make({"x": (EXPLAINER, "all_at_once", 0.1), "table": (EXPLAINER, "lookup", 0.9)})
    built = board.build(results)
    assert [row[0] for row in built.ranked] == ["x", "people"]
    assert [row[0] for row in built.controls] == ["table (by lookup)"]


def test_the_terminal_page_fits_100_columns_and_holds_every_cell(usual: Results) -> None:
    page = _terminal(usual)
    assert max(map(len, page.splitlines())) <= 100
    built = board.build(usual)
    for cells in (*built.ranked, *built.controls, *built.comparisons):
        for cell in cells[1:]:
            assert cell in page
    for sentence in built.sentences:
        assert sentence in _words(page)


def test_the_markdown_page_holds_the_same(usual: Results) -> None:
    built = board.build(usual)
    page = board.markdown_page(built).replace("\\", "")
    for cells in (*built.ranked, *built.controls, *built.comparisons):
        assert f"| {' | '.join(cells)} |" in page
    for text in (*built.sentences, *(f"{name}: {value}" for name, value in built.facts)):
        assert text in page
    widths = {line.count(" | ") for line in page.splitlines() if line.startswith("|")}
    assert widths == {len(board.COLUMNS) - 1, len(board.COMPARED) - 1}


@pytest.mark.parametrize("name", ["[red]x[/red]", "a|b", "<b>x</b>", "\x1b[31mred\x1b[0m", "two\nlines", "x" * 300])
def test_names_are_shown_and_never_obeyed(make: Make, name: str) -> None:
    results = make({name: (EXPLAINER, "all_at_once", 0.1), "shuffled": (FLOOR, "all_at_once", 0.0)})
    results = dataclasses.replace(results, simulator=SimulatorInfo("all_at_once", transport=name))
    terminal, page = _terminal(results), board.markdown_page(board.build(results))
    assert "\x1b" not in terminal + page
    assert max(map(len, terminal.splitlines())) <= 100
    assert "<b>" not in page.replace("\\<", "")
    widths = {line.replace("\\|", "").count("|") for line in page.splitlines() if line.startswith("|")}
    assert widths == {len(board.COLUMNS) + 1, len(board.COMPARED) + 1}
    if name.startswith("[red]"):
        assert name in terminal


def test_a_run_read_back_gives_the_same_board(usual: Results, tmp_path: pytest.TempPathFactory) -> None:
    page = board.markdown_page(board.build(usual))
    folder = write_run(tmp_path, usual, page)  # type: ignore[arg-type]
    assert board.markdown_page(board.build(read_run(folder))) == page == (folder / "board.md").read_text()


# -------------------------------------------------------------------------------------------------------------- judges


def _judged(usual: Results) -> Results:
    """The usual run, in which one row was judged on all neurons, another on half of them, and the table on none."""
    interval = Interval(0.75, 0.6, 0.875, 24)
    metrics = {"detection": interval, "detection_auroc": Interval(0.8, 0.7, 0.9, 24), "fuzzing": interval}
    few = {"detection": dataclasses.replace(interval, neurons=12)}
    changes = {"max_activation": (metrics, 240, 0), "smollm2": (few, 240, 120), "shuffled": (metrics, 240, 0)}
    rows = []
    for row in usual.summaries:
        more, cases, missing = changes.get(row.explainer, ({}, 0, 0))
        spent = Usage(requests=cases, prompt_tokens=1000)
        rows.append(
            dataclasses.replace(
                row,
                metrics={**row.metrics, **more},
                judgements=cases,
                missing_judgements=missing,
                judge_usage=spent if cases else Usage(),
            )
        )
    judges = (JudgeInfo("detection", usual.subject, "detection-v1+0123"),)
    return dataclasses.replace(usual, summaries=tuple(rows), judges=judges)


def test_what_judges_said_is_a_table_of_its_own_and_part_of_the_cost(usual: Results) -> None:
    found, before = board.build(_judged(usual)), board.build(usual)
    score = "0.750 (0.600 to 0.875)"
    assert found.judged == (
        ("max_activation", score, "0.800", score, "–", "240", "0"),
        ("smollm2", "–", "–", "–", "–", "240", "120"),  # too few of its neurons
        ("shuffled (floor)", score, "0.800", score, "–", "240", "0"),
    )
    tokens = [name for name, _ in board.COLUMNS].index("tokens")
    assert [before.ranked[0][tokens], found.ranked[0][tokens]] == ["24.5k", "25.5k"]
    assert ("detection", True) in [(name, "prompt detection-v1+0123" in value) for name, value in found.facts]
    assert any("0.5 for a judge that always says the same" in sentence for sentence in found.sentences)
    assert "## By judges" in board.markdown_page(found)
    assert score in _terminal(_judged(usual))


def test_a_run_without_judges_says_nothing_of_them(usual: Results) -> None:
    assert board.build(usual).judged == ()
    assert "judge" not in board.markdown_page(board.build(usual))


def test_a_figure_that_is_no_score_ranks_nothing(usual: Results) -> None:
    with pytest.raises(NeuroglossError, match="loss_change is no score"):
        board.build(usual, by="loss_change")
