"""An audit is read back as it was written, and summed up in one line for a board."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from harness import audit_results
from harness.audit_results import NOWHERE, Audit, Finding, Test, Verdict
from harness.report import audit_page, page
from harness.results import SimulatorInfo, TaskInfo
from harness.types import Interval, NeuroglossError, NeuronId

AUDIT = Audit(
    run_id="0123456789ab",
    created="2025-01-02T03:04:05+00:00",
    task=TaskInfo("mini-v1", "feedfacecafe0000", 2, (NeuronId(0, 1), NeuronId(1, 1))),
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
    assert audit_results.read(tmp_path) is None
    audit_results.write(tmp_path, AUDIT, "a page")
    back = audit_results.read(tmp_path)
    assert back is not None
    assert dataclasses.replace(back, verdicts=back.verdicts[:3]) == dataclasses.replace(
        AUDIT, verdicts=AUDIT.verdicts[:3]
    )
    assert back.verdicts[3].sentence == "Not asked."
    assert math.isnan(back.verdicts[3].value)
    assert (tmp_path / "audit.md").read_text() == "a page"


def test_another_version_is_refused(tmp_path: Path) -> None:
    audit_results.write(tmp_path, AUDIT, "")
    document = json.loads((tmp_path / "audit.json").read_text())
    (tmp_path / "audit.json").write_text(json.dumps({**document, "schema_version": 99}))
    with pytest.raises(NeuroglossError, match="schema version 99"):
        audit_results.read(tmp_path)


def test_one_line_says_what_failed_first() -> None:
    said = audit_results.sentence(AUDIT, "correlation")
    assert said == "correlation: fails extra labels; passes missing labels, shuffled explanations"
    assert audit_results.sentence(AUDIT, "ablation") == "ablation: not tested: missing labels"
    assert audit_results.sentence(AUDIT, "other") == "other was not audited"
    assert audit_results.sentence(None, "correlation") == "not audited: neurogloss audit"


def test_the_page_has_a_cell_and_a_sentence_for_each_verdict() -> None:
    built = audit_page.build(AUDIT)
    (table,) = built.tables
    assert [short for short, _ in table.columns] == ["metric", "missing", "extra", "shuffled"]
    assert table.rows == (("correlation", "pass 98 %", "fail 60 %", "pass 0.240"), ("ablation", "–", "–", "–"))
    assert "corrected for all metrics of the panel (Holm)" in built.sentences[1]
    assert [sentence.partition(":")[0] for sentence in built.sentences[2:]] == [
        "fail, extra labels",
        "pass, missing labels",
        "pass, shuffled explanations",
        "not tested, missing labels",
    ]
    assert "Not \\*seen\\*." in page.markdown_page(built)


def test_the_page_says_what_was_done_and_nothing_of_what_was_not() -> None:
    labels = dataclasses.replace(AUDIT, verdicts=tuple(one for one in AUDIT.verdicts if one.test is not Test.SHUFFLED))
    assert not any("Holm" in sentence for sentence in audit_page.build(labels).sentences)
    assert not any("Whole layers" in sentence for sentence in audit_page.build(AUDIT).sentences)
    drawn = audit_page.build(dataclasses.replace(AUDIT, by_layer=True))
    assert any("Whole layers were drawn" in sentence for sentence in drawn.sentences)
