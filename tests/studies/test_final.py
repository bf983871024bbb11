"""The final compares an explainer with itself on other excerpts, on the units that have both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.report import audit_page
from harness.results.audit import Audit
from harness.results.rows import Resampling
from harness.results.run import Results
from harness.studies import final


def test_the_gap_is_over_the_units_that_have_both_scores(make_results: Callable[..., Results]) -> None:
    results = make_results()
    good, bad = (row for row in results.rows if row.summary.explainer in ("good · large", "bad"))
    lower = [
        replace(item, scores=replace(item.scores, values={"correlation": item.scores.values["correlation"] - 0.2}))
        for item in good.scored[4:]
    ]
    (row,) = final.rows([good, bad], {"good · large": lower}, Resampling())
    kept = [item.scores.values["correlation"] for item in good.scored[4:]]
    assert row.explainer == "good · large"
    assert row.valid.mean == pytest.approx(sum(kept) / len(kept))
    assert (row.gap.mean, row.gap.low, row.gap.high) == pytest.approx((0.2, 0.2, 0.2))
    assert row.test.mean == pytest.approx(row.valid.mean - 0.2)
    assert (row.valid.units, row.test.units, row.gap.units) == (20, 20, 20)
    audit = Audit("feed", "2025-01-02", results.task, results.simulator, "good · large", (), final=(row,))
    (table,) = (table for table in audit_page.build(audit).tables if table.title.startswith("Final"))
    assert table.rows[0][3] == "0.200"
    assert not any(table.title.startswith("Final") for table in audit_page.build(replace(audit, final=())).tables)
