"""Figures of whole runs that are kept, so that none of them changes without being meant to.

Two runs over 30 units of smollm2-v2 (simulators token_overlap and chance, ablation left out), their agreement, an audit
of the first, and a run of all puzzles. No model is asked, so that the figures are those of the code alone.
``python -m tests.equality.figures`` writes them anew.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.config.compose import composed
from harness.jobs import audit, run
from harness.results.audit import Verdict
from harness.results.run import Results, read_run
from harness.results.vocabulary import TruthSummary
from harness.studies import agreement
from harness.types import Comparison, Interval, Summary

KEPT = Path(__file__).parent / "figures.json"
EXPLAINERS = "explainer=[max_activation,shuffled,token_lookup,next_token_lookup,random_words]"
SIMULATORS = ("token_overlap", "chance")
LABEL_TESTS = "tests=[missing_labels,extra_labels,shuffled,random,retest]"


def made(folder: Path, *overrides: str) -> Path:
    """Return the folder of a run with these overrides."""
    return run.run(run.prepare(composed("run", [*overrides, f"output={folder}"])), [], _silent).folder


def runs(folder: Path) -> dict[str, Path]:
    """Return the folder of the run of each simulator."""
    options = ("scores=panel", "units.limit=30", EXPLAINERS)
    return {name: made(folder, f"simulator={name}", *options) for name in SIMULATORS}


def of_run(folder: Path) -> dict[str, Any]:
    """Return the figures of the rows of a run, their ranks and comparisons."""
    results = read_run(folder)
    (standing,) = results.standings
    return {
        "rows": {
            row.summary.explainer: {
                **_of_summary(row.summary),
                "correlation": {str(item.unit): item.scores.values.get("correlation") for item in row.scored},
            }
            for row in results.rows
        },
        "ranks": {name: [rank.best, rank.worst] for name, rank in standing.ranks.items()},
        "comparisons": [_of_comparison(comparison) for comparison in standing.comparisons],
    }


def of_agreement(first: Path, second: Path) -> dict[str, Any]:
    """Return the figures of the agreement of two runs."""
    report = agreement.compare(first, second)
    rows = [
        [row.explainer, row.first, row.second, *_of_interval(row.difference), row.p_value, row.ranks, row.within.mean]
        for row in report.explainers
    ]
    tokens = report.tokens
    return {"tokens": [tokens.tokens, tokens.correlation, tokens.mean_absolute_difference], "explainers": rows}


def of_audit(folder: Path) -> dict[str, Any]:
    """Return the verdicts of the tests by labels on a run."""
    report = audit.run(audit.prepare(composed("audit", [f"run={folder}", LABEL_TESTS])), [], _silent)
    return {f"{verdict.metric} {verdict.test}": _of_verdict(verdict) for verdict in report.verdicts}


def of_puzzles(folder: Path) -> dict[str, Any]:
    """Return the figures of a run over puzzles."""
    explainers = "explainer=[max_activation,shuffled,token_lookup]"
    results = read_run(made(folder, "task=puzzles-v1", "simulator=token_overlap", explainers))
    return {
        "simulators": {f"{one.simulator} {one.category or 'all'}": _of_truths(one) for one in results.truths},
        "explainers": {summary.explainer: _of_summary(summary) for summary in results.summaries},
        "correlation": _correlations(results, "true"),
    }


def _correlations(results: Results, explainer: str) -> dict[str, Any]:
    rows = [row for row in results.rows if row.summary.explainer == explainer]
    return {
        f"{row.summary.simulator} {item.unit}": item.scores.values.get("correlation")
        for row in rows
        for item in row.scored
    }


def _of_summary(summary: Summary) -> dict[str, Any]:
    counts = ("simulator", "scored", "degenerate", "outcomes", "missing_tokens")
    return {"metrics": _of_metrics(summary.metrics), **{name: getattr(summary, name) for name in counts}}


def _of_truths(summary: TruthSummary) -> dict[str, Any]:
    counts = ("calibration_error", "units", "scored", "degenerate", "tokens", "missing_tokens")
    return {"metrics": _of_metrics(summary.metrics), **{name: getattr(summary, name) for name in counts}}


def _of_metrics(metrics: Mapping[str, Interval]) -> dict[str, list[float | None]]:
    return {name: [*_of_interval(interval), interval.units] for name, interval in metrics.items()}


def _of_interval(interval: Interval) -> tuple[float | None, ...]:
    return (interval.mean, interval.low, interval.high)


def _of_comparison(comparison: Comparison) -> list[Any]:
    names = (comparison.first, comparison.second)
    return [*names, *_of_interval(comparison.difference), comparison.p_value, comparison.corrected]


def _of_verdict(verdict: Verdict) -> list[Any]:
    return [verdict.finding, verdict.value, *_of_interval(verdict.interval), verdict.figures]


def _silent(*_: object) -> None:
    """Report no progress."""


def plain(figures: Any) -> Any:
    """Return figures as JSON holds them: what is undefined is null."""
    if isinstance(figures, Mapping):
        return {str(key): plain(value) for key, value in figures.items()}
    if isinstance(figures, Iterable) and not isinstance(figures, str):
        return [plain(value) for value in figures]
    return None if isinstance(figures, float) and math.isnan(figures) else figures


def main() -> None:
    """Write all figures."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = runs(Path(scratch))
        figures = {
            **{name: of_run(folder) for name, folder in folders.items()},
            "agreement": of_agreement(*folders.values()),
            "audit": of_audit(folders["token_overlap"]),
            "puzzles": of_puzzles(Path(scratch)),
        }
    KEPT.write_text(json.dumps(plain(figures), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
