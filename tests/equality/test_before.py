"""Figures of the layout before rows: one pipeline gives the numbers that four pipelines gave.

``before.json`` was written by commit 642e785: two runs over all units of smollm2-mini-v1 (simulators token_overlap and
chance, ablation left out), their agreement, an audit of the first, and a run of all puzzles.

Changed by intent since, and held anew: the ends of all intervals (Student's and Hall's in place of a bootstrap);
p-values (the pattern that was seen counts among those drawn) and their correction (the step-down minimum in place of
Holm's); metrics that are unbounded below (medians in place of means); what is calibrated (on excerpts spread over the
ranks, with a slope that is shrunk); verdicts of audits (label draws that corrupted nothing are left out, retests
compare valid and test excerpts); and metrics that came to the panel. Correlations of units, and means of what is
neither calibrated nor unbounded, are those of then.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.config.compose import composed
from harness.jobs import audit, run
from harness.results.run import Results, read_run
from harness.results.vocabulary import TruthSummary
from harness.studies import agreement
from harness.types import Summary

pytestmark = pytest.mark.slow

BEFORE: dict[str, Any] = json.loads((Path(__file__).parent / "before.json").read_text())
EXPLAINERS = "explainer=[max_activation,shuffled,token_lookup,next_token_lookup,random_words]"
SIMULATORS = ("token_overlap", "chance")


def silent(*_: object) -> None:
    """Report no progress."""


def made(folder: Path, *overrides: str) -> tuple[Path, Results]:
    plan = run.prepare(composed("run", [*overrides, f"output={folder}"]))
    path = run.run(plan, [], silent).folder
    return path, read_run(path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Path, Results]]:
    folder = tmp_path_factory.mktemp("runs")
    options = ("scores=panel", "units=all", EXPLAINERS)
    return {name: made(folder, f"simulator={name}", *options) for name in SIMULATORS}


def same(value: float, before: float | None) -> bool:
    if before is None or math.isnan(value):
        return before is None and math.isnan(value)
    return math.isclose(value, before, rel_tol=1e-12, abs_tol=1e-12)


def check_metrics(summary: Summary | TruthSummary, before: Mapping[str, list[float | None]]) -> None:
    assert set(summary.metrics) == set(before)
    for name, (mean, low, high, units) in before.items():
        interval = summary.metrics[name]
        assert same(interval.mean, mean), name
        assert same(interval.low, low), name
        assert same(interval.high, high), name
        assert interval.units == units, name


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_rows_of_units_are_as_before(runs: Mapping[str, tuple[Path, Results]], simulator: str) -> None:
    _, results = runs[simulator]
    before = BEFORE[simulator]
    assert {row.summary.explainer for row in results.rows} == set(before["rows"])
    for row in results.rows:
        old = before["rows"][row.summary.explainer]
        check_metrics(row.summary, old["metrics"])
        counts = ("simulator", "scored", "degenerate", "outcomes", "missing_tokens")
        assert {name: getattr(row.summary, name) for name in counts} == {name: old[name] for name in counts}
        for item in row.scored:
            assert same(item.scores.values.get("correlation", math.nan), old["correlation"][str(item.unit)])


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_ranks_and_comparisons_are_as_before(runs: Mapping[str, tuple[Path, Results]], simulator: str) -> None:
    (standing,) = runs[simulator][1].standings
    before = BEFORE[simulator]
    assert {name: {"best": rank.best, "worst": rank.worst} for name, rank in standing.ranks.items()} == before["ranks"]
    assert len(standing.comparisons) == len(before["comparisons"])
    for comparison, old in zip(standing.comparisons, before["comparisons"], strict=True):
        assert (comparison.first, comparison.second) == (old["first"], old["second"])
        assert same(comparison.difference.mean, old["difference"]["mean"])
        assert same(comparison.difference.low, old["difference"]["low"])
        assert same(comparison.p_value, old["p_value"])
        assert same(comparison.corrected, old["corrected"])


def test_agreement_of_simulators_is_as_before(runs: Mapping[str, tuple[Path, Results]]) -> None:
    first, second = (runs[name][0] for name in SIMULATORS)
    report = agreement.compare(first, second)
    before = BEFORE["agreement"]
    assert report.tokens.tokens == before["tokens"]["tokens"]
    assert same(report.tokens.correlation, before["tokens"]["correlation"])
    assert same(report.tokens.mean_absolute_difference, before["tokens"]["mean_absolute_difference"])
    by_name = {row.explainer: row for row in report.explainers}
    for old in before["explainers"]:
        row = by_name[old["explainer"]]
        assert same(row.first, old["first"])
        assert same(row.second, old["second"])
        assert same(row.difference.mean, old["difference"]["mean"])
        assert same(row.difference.low, old["difference"]["low"])
        assert same(row.p_value, old["p_value"])
        assert same(row.ranks, old["ranks"])
        assert same(row.within.mean, old["within"]["mean"])


def test_verdicts_of_an_audit_are_as_before(runs: Mapping[str, tuple[Path, Results]]) -> None:
    folder, _ = runs["token_overlap"]
    tests = "tests=[missing_labels,extra_labels,shuffled,random,retest]"
    report = audit.run(audit.prepare(composed("audit", [f"run={folder}", tests])), [], silent)
    verdicts = {f"{verdict.metric} {verdict.test}": verdict for verdict in report.verdicts}
    assert set(verdicts) == set(BEFORE["audit"])
    for name, (finding, value, low, high, figures) in BEFORE["audit"].items():
        verdict = verdicts[name]
        assert verdict.finding == finding, name
        assert same(verdict.value, value), name
        assert same(verdict.interval.low, low), name
        assert same(verdict.interval.high, high), name
        for figure, old in figures.items():
            assert same(verdict.figures[figure.replace("neurons", "units")], old), (name, figure)


def test_puzzles_are_as_before(tmp_path: Path) -> None:
    explainers = "explainer=[max_activation,shuffled,token_lookup]"
    _, results = made(tmp_path, "task=puzzles-v1", "simulator=token_overlap", explainers)
    before = BEFORE["puzzles"]
    assert {info.name for info in results.simulators} == set(before["simulators"])
    for summary in results.truths:
        of_simulator = before["simulators"][summary.simulator]
        old = of_simulator["classes"][summary.category] if summary.category else of_simulator["all"]
        check_metrics(summary, old["metrics"])
        assert same(summary.calibration_error, old["calibration_error"])
        assert (summary.units, summary.scored, summary.degenerate) == (old["puzzles"], old["scored"], old["degenerate"])
        assert (summary.tokens, summary.missing_tokens) == (old["tokens"], old["missing_tokens"])
    for row in results.rows:
        if row.summary.explainer == "true":
            correlations = before["simulators"][row.summary.simulator]["correlation"]
            for item in row.scored:
                assert same(item.scores.values.get("correlation", math.nan), correlations[item.unit.name])
    for summary in results.summaries:
        old = before["explainers"][summary.explainer]
        if summary.explainer == "shuffled":  # its draw hangs on the names of units, and those of puzzles are new
            assert same(summary.metrics["truth"].mean, old["metrics"]["truth"][0])
            continue
        check_metrics(summary, old["metrics"])
        assert (summary.scored, summary.degenerate) == (old["scored"], old["degenerate"])
