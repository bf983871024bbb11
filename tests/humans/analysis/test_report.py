"""The report: what it says of simulated answers, what it does not, and the files that it reads."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from harness.config.settings import ExclusionSettings
from harness.humans.analysis import report
from harness.humans.analysis.process import Process, ratings
from harness.humans.analysis.report import StudyAnswers
from harness.humans.answers import IntruderQuestion, Picked
from harness.humans.exchange import tables
from harness.report import page
from harness.types import Explanation, Role, ScoredExplanation, Scores, Unit

TRUTH = {"good": 1.4, "fair": 0.0, "poor": -1.4}
PROCESS = Process(TRUTH, units=16, pairs=12, random=0.99, looking=(0.0, 1.0), tests=6, repeats=3)
NOBODY = ExclusionSettings()


def study(rule: ExclusionSettings = NOBODY, process: Process = PROCESS) -> StudyAnswers:
    return StudyAnswers("simulated", tuple(ratings(process, 1)), rule)


def table(built: page.Page, title: str) -> page.Table:
    return next(table for table in built.tables if table.title.startswith(title))


def test_the_strengths_that_made_the_choices_are_recovered() -> None:
    built = report.build(study())
    rows = table(built, "Strengths").rows
    assert [row[0] for row in rows] == ["good", "fair", "poor"]
    text = " ".join(built.sentences)
    assert "People prefer good to poor" in text
    assert "neither explanation fits" in text
    assert "No run was given" in text


@pytest.mark.slow
def test_both_results_stand_side_by_side_where_the_rule_leaves_people_out() -> None:
    built = report.build(study(ExclusionSettings(least_known=0.9)))
    headings = [long for _, long in table(built, "Strengths").columns]
    assert "strength, everybody" in headings
    assert "strength, without those left out" in headings
    everybody, kept = (float(table(built, "Strengths").rows[0][place]) for place in (1, 3))
    assert kept > everybody  # who guesses draws strengths together
    assert [row[0] for row in table(built, "People").rows if row[-1] == "yes"] == ["simulated-0"]
    assert "simulated-0 is left out by the rule of the study" in " ".join(built.sentences)
    assert len(table(report.build(study()), "Strengths").columns) < len(headings)


def test_pairs_at_random_stand_apart_only_where_others_were_chosen() -> None:
    small = Process(TRUTH, units=8, pairs=6, random=0.8)
    chosen, random = (report.build(study(process=process)) for process in (small, replace(small, random=1.0)))
    headings = [[long for _, long in table(built, "Strengths").columns] for built in (chosen, random)]
    assert ["strength, pairs at random, everybody" in columns for columns in headings] == [True, False]
    said = [any("pairs drawn at random" in sentence for sentence in built.sentences) for built in (chosen, random)]
    assert said == [True, False]


def test_nothing_is_claimed_of_chance_or_of_few_answers() -> None:
    even = report.build(study(process=Process(dict.fromkeys("ABC", 0.0), units=8, pairs=4, random=1.0)))
    assert not any(sentence.startswith("People prefer") for sentence in even.sentences)
    assert any("too few to tell" in sentence for sentence in even.sentences)
    nobody = report.build(StudyAnswers("new", (), ExclusionSettings()))
    assert nobody.sentences == ("Nobody has answered: there is nothing to say.",)
    assert nobody.facts[0] == ("answers", "0 (none)")


def test_the_score_that_agrees_with_people_is_named(make_results) -> None:
    answers = study()
    units = sorted({response.answer.unit for response in answers.responses})
    scores = {
        author: [
            ScoredExplanation(Explanation(unit, f"{author} on {unit}"), "", (), None,
                              Scores({"correlation": strength, "f1": float(hash((author, unit.index)) % 7)}))
            for unit in units
        ]
        for author, strength in TRUTH.items()
    }  # fmt: skip
    results = make_results({author: (Role.EXPLAINER, items) for author, items in scores.items()})
    built = report.build(answers, report.Run(results, []))
    agreeing = table(built, "Which score agrees")
    assert agreeing.rows[0][0] == "correlation"
    assert agreeing.controls[0][0] == "another person"
    assert any("correlation agrees most often with people" in sentence for sentence in built.sentences)


def test_ratings_of_words_that_the_run_has_not_are_counted_out(make_results) -> None:
    built = report.build(study(), report.Run(make_results({"good": (Role.EXPLAINER, 0.3)}), []))
    assert any("are of explanations that the run has not" in sentence for sentence in built.sentences)
    assert not any(item.title.startswith("Which score") for item in built.tables)


def test_intruders_that_were_found_stand_beside_chance(respond) -> None:
    answers = [
        respond(f"p{person}", Unit("N", 0, unit), IntruderQuestion(tuple("abcde"), 1), Picked(1 if unit % 2 else 4))
        for unit in range(6)
        for person in range(2)
    ]
    built = report.build(StudyAnswers("intruders", tuple(answers), ExclusionSettings()))
    assert any("found 50 % of the intruders" in text and "20 % by chance" in text for text in built.sentences)
    assert table(built, "How far people agree").rows[0][2] == "1.000"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_of_answers_gives_the_same_report(tmp_path: Path, suffix: str) -> None:
    small = Process(TRUTH, units=6, pairs=4, random=1.0)
    path = tmp_path / f"answers{suffix}"
    tables.write(path, ratings(small, 2))
    read = report.read(path)
    assert read.responses == tuple(ratings(small, 2))
    assert read.rule == NOBODY
    assert report.build(read).tables


def test_a_page_is_printed_at_any_width_and_as_markdown() -> None:
    built = report.build(study(ExclusionSettings(least_known=0.9)))
    for width in (40, 200):
        console = Console(file=io.StringIO(), width=width, color_system=None)
        console.print(page.render(built))
        assert "simulated-3" in console.file.getvalue()
    assert "# What people said: simulated" in page.markdown_page(built)
