"""The page of an audit: a table of metrics and tests, and a sentence on each."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.report import matrix_page
from harness.report.page import Columns, Page, Row, Table, short
from harness.results.audit import Audit, Finding, Test, Verdict
from harness.text import figure, plain, span

HEADINGS = {
    Test.MISSING_LABELS: ("missing", "missing labels"),
    Test.EXTRA_LABELS: ("extra", "extra labels"),
    Test.SHUFFLED: ("shuffled", "shuffled explanations"),
    Test.RANDOM: ("random", "random explanations"),
    Test.REINITIALISED: ("re-init.", "re-initialised subject"),
    Test.RETEST: ("retest", "test-retest"),
}
"""The heading of each test's column, short for the terminal and long for the page."""
_LABELS = (Test.MISSING_LABELS, Test.EXTRA_LABELS)


def build(audit: Audit) -> Page:
    """Return the page of an audit."""
    columns: Columns = (("metric", "metric"), *(HEADINGS[test] for test in audit.tests))
    rows: tuple[Row, ...] = tuple(
        (plain(metric), *(_cell(audit.verdict(metric, test)) for test in audit.tests)) for metric in audit.metrics
    )
    return Page(
        title=f"Audit of the metrics on {plain(audit.task.name)}",
        facts=tuple((name, plain(value)) for name, value in _facts(audit)),
        tables=(Table("Metrics and tests", columns, rows), *_finals(audit), *matrix_page.tables(audit.matrix)),
        sentences=tuple(plain(sentence) for sentence in (*_sentences(audit), *matrix_page.sentences(audit.matrix))),
    )


def _finals(audit: Audit) -> Iterator[Table]:
    """Yield the scores on test excerpts, if these were looked at."""
    columns: Columns = (
        ("explainer", "explainer"),
        ("valid", "valid excerpts"),
        ("test", "test excerpts"),
        ("gap", "valid - test"),
        ("95 % interval", "95 % interval of the gap"),
        ("units", "units"),
    )
    if audit.final:
        rows: tuple[Row, ...] = tuple(
            (
                plain(row.explainer),
                figure(row.valid.mean),
                f"{figure(row.test.mean)} ({span(row.test)})",
                figure(row.gap.mean),
                span(row.gap),
                str(row.gap.units),
            )
            for row in audit.final
        )
        yield Table("Final, on excerpts that nothing was chosen on", columns, rows)


def _cell(verdict: Verdict | None) -> str:
    """Return pass or fail, and the value that was compared; a dash without one."""
    if verdict is None or verdict.finding is Finding.UNTESTED:
        return "–"
    value = f"{100 * verdict.value:.0f} %" if verdict.test in _LABELS else figure(verdict.value)
    return f"{verdict.finding} {value}"


def _facts(audit: Audit) -> Iterator[tuple[str, str]]:
    yield "run", f"{audit.run_id}, audited {audit.created}"
    yield "task", f"{audit.task.name}, digest {audit.task.digest[:12]}, {len(audit.task.units)} units"
    if audit.explainer:
        yield "explanations", f"by {audit.explainer}"
        yield "simulator", audit.simulator.name
        tokens = sum(use.spent.prompt_tokens + use.spent.completion_tokens for use in audit.usage.values())
        dollars = math.fsum(use.spent.usd for use in audit.usage.values())
        yield "cost", f"{short(tokens)} tokens, ${dollars:.2f}, {math.fsum(audit.seconds.values()):.0f} s"


def _sentences(audit: Audit) -> Iterator[str]:
    """Yield how to read the table, then a sentence on each cell, failures first."""
    yield (
        "Label tests show the share of draws in which the score drops; nulls show by how much a unit's own "
        "explanation outscores them; the retest shows how well scores on two sets of excerpts of a unit agree."
    )
    if set(audit.tests) - set(_LABELS):
        yield (
            "The metrics of a null are one family: their p-values are corrected together by the step-down minimum over "
            "the same sign flips (Westfall and Young), so that near-copies count as one and of many metrics that see "
            "nothing none passes by chance. Intervals are of each metric by itself."
        )
    if audit.by_group:
        yield (
            "Whole groups of units (layers) were the sample, and flipped whole, as on the board of the run: units of a "
            "group may be alike."
        )
    for finding in (Finding.FAIL, Finding.PASS, Finding.UNTESTED):
        for verdict in audit.verdicts:
            if verdict.finding is finding:
                yield f"{finding}, {verdict.test.words}: {verdict.sentence}"
