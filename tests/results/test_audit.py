"""An audit is read back as it was written, and summed up in one line for a board."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from harness.report import audit_page, page
from harness.results import audit
from harness.results.audit import NOWHERE, Audit, Finding, Test, Verdict
from harness.results.vocabulary import TaskInfo
from harness.scores.panel import HARD_METRICS, METRICS
from harness.types import Interval, NeuroglossError, SimulatorInfo, Unit

AUDIT = Audit(
    run_id="0123456789ab",
    created="2025-01-02T03:04:05+00:00",
    task=TaskInfo("mini-v1", "feedfacecafe0000", 2, (Unit("N", 0, 1), Unit("N", 1, 1))),
    simulator=SimulatorInfo("tuned"),
    explainer="max_activation",
    verdicts=(
        Verdict(
            "correlation", Test.MISSING_LABELS, Finding.PASS, 0.98, Interval(0.98, 0.9, 1.0, 2), {"n": 2.0}, "Seen."
        ),
        Verdict("correlation", Test.EXTRA_LABELS, Finding.FAIL, 0.6, Interval(0.6, 0.5, 0.7, 2), {}, "Not *seen*."),
        Verdict("correlation", Test.SHUFFLED, Finding.PASS, 0.24, Interval(0.24, 0.1, 0.4, 2), {}, "Told apart."),
        Verdict("ablation", Test.MISSING_LABELS, Finding.UNTESTED, math.nan, NOWHERE, {}, "Not asked."),
    ),
)


def test_it_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    assert audit.read(tmp_path) is None
    audit.write(tmp_path, AUDIT, "a page")
    back = audit.read(tmp_path)
    assert back is not None
    assert dataclasses.replace(back, verdicts=back.verdicts[:3]) == dataclasses.replace(
        AUDIT, verdicts=AUDIT.verdicts[:3]
    )
    assert back.verdicts[3].sentence == "Not asked."
    assert math.isnan(back.verdicts[3].value)
    assert (tmp_path / "audit.md").read_text() == "a page"


def test_another_version_is_refused(tmp_path: Path) -> None:
    audit.write(tmp_path, AUDIT, "")
    document = json.loads((tmp_path / "audit.json").read_text())
    (tmp_path / "audit.json").write_text(json.dumps({**document, "schema_version": 99}))
    with pytest.raises(NeuroglossError, match="schema version 99"):
        audit.read(tmp_path)


def test_a_line_for_boards_names_failures_first() -> None:
    sentence = audit.sentence(AUDIT, "correlation")
    assert sentence == "correlation: fails extra labels; passes missing labels, shuffled explanations"
    assert audit.sentence(AUDIT, "ablation") == "ablation: not tested: missing labels"
    assert audit.sentence(AUDIT, "other") == "other was not audited"
    assert audit.sentence(None, "correlation") == "not audited: neurogloss audit"


def test_the_page_has_a_cell_and_a_sentence_for_each_verdict() -> None:
    document_page = audit_page.build(AUDIT)
    (table,) = document_page.tables
    assert [short for short, _ in table.columns] == ["metric", "missing", "extra", "shuffled"]
    assert table.rows == (("correlation", "pass 98 %", "fail 60 %", "pass 0.240"), ("ablation", "–", "–", "–"))
    assert ("units" in dict(document_page.facts)["task"], dict(document_page.facts)["simulator"]) == (True, "tuned")
    assert "The metrics of a null are one family" in document_page.sentences[1]
    assert [sentence.partition(":")[0] for sentence in document_page.sentences[2:]] == [
        "fail, extra labels",
        "pass, missing labels",
        "pass, shuffled explanations",
        "not tested, missing labels",
    ]
    assert "Not \\*seen\\*." in page.markdown_page(document_page)


def test_the_page_tells_of_no_test_that_was_not_made() -> None:
    labels = dataclasses.replace(
        AUDIT, verdicts=tuple(item for item in AUDIT.verdicts if item.test is not Test.SHUFFLED)
    )
    assert not any("Westfall" in sentence for sentence in audit_page.build(labels).sentences)
    assert audit_page.build(labels).sentences[0] == "Label tests show the share of draws in which the score drops."
    assert not any("retest" in sentence for sentence in audit_page.build(AUDIT).sentences)
    assert not any("Whole groups" in sentence for sentence in audit_page.build(AUDIT).sentences)
    by_group = audit_page.build(dataclasses.replace(AUDIT, by_group=True))
    assert any("Whole groups of units (layers) were the sample" in sentence for sentence in by_group.sentences)


def test_a_terminal_is_shown_a_page_of_many_metrics() -> None:
    names = (*METRICS, *HARD_METRICS)
    verdicts = tuple(
        Verdict(name, test, finding, 0.5, NOWHERE, {}, f"{name} was held against {test}.")
        for name in names
        for test, finding in zip(Test, [*Finding, *Finding], strict=True)
    )
    audited = dataclasses.replace(AUDIT, verdicts=verdicts)
    whole, summary = audit_page.build(audited), audit_page.summary(audited)
    lines = lines_at(80, page.render(summary))
    assert len(lines) < 60
    assert max(map(len, lines)) <= 80
    assert len(lines_at(80, page.render(whole))) > 5 * len(lines)
    assert [row[0] for row in summary.tables[0].rows if row[0].startswith("auroc")] == ["auroc"]
    assert "correlation_random" in [row[0] for row in summary.tables[0].rows]
    assert set(summary.tables[0].rows) < set(whole.tables[0].rows)
    assert f"missing labels {len(names)} of {len(names)}" in summary.sentences[-1]
    assert "shuffled explanations 0 of 0" in summary.sentences[-1]
    told = [sentence for sentence in summary.sentences if "was held against" in sentence]
    assert [sentence.partition(":")[0] for sentence in told] == ["extra labels", "re-initialised subject"]


def lines_at(width: int, renderable: RenderableType) -> list[str]:
    """Return the lines that a terminal of that width shows."""
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text().splitlines()
