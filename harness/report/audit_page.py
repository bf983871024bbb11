"""The pages of an audit: a table of metrics and tests with a sentence on each, and a summary for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness.report import matrix_page
from harness.report.page import Columns, Page, Row, Table, short
from harness.results import audit as audit_results
from harness.results.audit import Audit, Finding, Test, Verdict
from harness.scores.panel import HARD, SAMPLES
from harness.stats import HEADLINE
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
_NULLS = (Test.SHUFFLED, Test.RANDOM, Test.REINITIALISED)
_PARTS = (*filter(None, SAMPLES), HARD)
"""The endings of metrics on a part of the excerpts."""


def build(audit: Audit) -> Page:
    """Return the whole page of an audit, which has a sentence on each verdict."""
    tables = (_verdicts(audit, audit.metrics), *_finals(audit), *matrix_page.tables(audit.matrix))
    sentences = (*_reading(audit), *_all_verdicts(audit), *matrix_page.sentences(audit.matrix))
    return _page(audit, tables, sentences)


def summary(audit: Audit) -> Page:
    """Return what a terminal shows of an audit: the metrics on all excerpts, the headline on each part of them, and
    sentences on the headline alone; the whole page has the rest."""
    of_headline = {HEADLINE + part for part in _PARTS}
    metrics = [metric for metric in audit.metrics if metric in of_headline or not metric.endswith(_PARTS)]
    sentences = (*_reading(audit), *_of_headline(audit), _counts(audit), *matrix_page.findings(audit.matrix))
    return _page(audit, (_verdicts(audit, metrics), *_finals(audit)), sentences)


def _page(audit: Audit, tables: tuple[Table, ...], sentences: tuple[str, ...]) -> Page:
    return Page(
        title=f"Audit of the metrics on {plain(audit.task.name)}",
        facts=tuple((name, plain(value)) for name, value in _facts(audit)),
        tables=tables,
        sentences=tuple(map(plain, sentences)),
    )


def _verdicts(audit: Audit, metrics: Sequence[str]) -> Table:
    """Return a table with a row for each of the metrics, and a column for each test."""
    columns: Columns = (("metric", "metric"), *(HEADINGS[test] for test in audit.tests))
    rows: tuple[Row, ...] = tuple(
        (plain(metric), *(_cell(audit.verdict(metric, test)) for test in audit.tests)) for metric in metrics
    )
    return Table("Metrics and tests", columns, rows)


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


def _reading(audit: Audit) -> Iterator[str]:
    """Yield how to read the table."""
    words = {
        "label tests show the share of draws in which the score drops": _LABELS,
        "nulls show by how much a unit's own explanation outscores them": _NULLS,
        "the retest shows how well scores on two sets of excerpts of a unit agree": (Test.RETEST,),
    }
    sentence = "; ".join(clause for clause, tests in words.items() if set(tests) & set(audit.tests))
    if sentence:
        yield f"{sentence[0].upper()}{sentence[1:]}."
    if set(audit.tests) & set(_NULLS):
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


def _all_verdicts(audit: Audit) -> Iterator[str]:
    """Yield a sentence on each cell, failures first."""
    for finding in (Finding.FAIL, Finding.PASS, Finding.UNTESTED):
        for verdict in audit.verdicts:
            if verdict.finding is finding:
                yield f"{finding}, {verdict.test.words}: {verdict.sentence}"


def _of_headline(audit: Audit) -> Iterator[str]:
    """Yield which tests the headline passes, in the words of the board, and a sentence on each that it fails."""
    yield f"{audit_results.sentence(audit, HEADLINE)}."
    for verdict in audit.verdicts:
        if verdict.metric == HEADLINE and verdict.finding is Finding.FAIL:
            yield f"{verdict.test.words}: {verdict.sentence}"


def _counts(audit: Audit) -> str:
    """Return how many of all metrics pass each test, of those that it has a verdict on."""
    counts = []
    for test in audit.tests:
        findings = [item.finding for item in audit.verdicts if item.test is test]
        tested = len(findings) - findings.count(Finding.UNTESTED)
        counts.append(f"{test.words} {findings.count(Finding.PASS)} of {tested}")
    return (
        f"Of {len(audit.metrics)} metrics, those on parts of the excerpts included, so many pass of those that could "
        f"be tested: {', '.join(counts)}. {audit_results.NAME}.md has a sentence on each, and the scores against each "
        "other."
    )
