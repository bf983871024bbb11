"""How simulators do on units whose explanation is known: a row for each, beside controls, and by category."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness.report.page import Columns, Row, Table, tokens
from harness.results.run import Results
from harness.results.vocabulary import TruthSummary
from harness.stats import NOTHING
from harness.text import figure, percent, plain, span
from harness.types import Interval, Role, SimulatorInfo, Summary, Usage

DIFFERENCE = "difference"
"""The metric of how much lower an explanation scores than the true one."""
SHARE = ("share", "share of truth's")
"""The headings of the column of :func:`share`."""
_BEATS = {
    "beats_near": ("near", "beats near misses"),
    "beats_unrelated": ("unrel.", "beats unrelated"),
    "beats_unspecified": ("false", "beats false ones"),
}
"""The win rates, by metric; a board has the columns of those that its units have."""


def tables(results: Results) -> list[Table]:
    """Return the table of simulators, and that of the run's own by category; none if no explanation is known."""
    if not results.truths:
        return []
    overall = [summary for summary in results.truths if not summary.category]
    beats = [name for name in _BEATS if any(name in summary.metrics for summary in overall)]
    categories = [_categories(results, info, beats) for info in results.simulators if not info.control]
    return [_simulators(results, overall, beats), *(table for table in categories if table.rows)]


def share(row: Summary) -> str:
    """Return what share of the true explanation's score a row has; a dash if the truth's may be 0."""
    truth, difference = row.metrics.get("truth", NOTHING), row.metrics.get(DIFFERENCE, NOTHING)
    return percent(1.0 + difference.mean / truth.mean if truth.low > 0 else math.nan)


def tokens_of(results: Results) -> int:
    """Return the number of tokens of the units whose explanation is known."""
    overall = (summary for summary in results.truths if not summary.category)
    return next((summary.tokens for summary in overall), 0)


def usage_of(results: Results, simulator: str) -> Usage:
    """Return what the simulations of told explanations cost a simulator."""
    summaries = [row.summary for row in results.rows if row.summary.role is Role.TOLD]
    return sum((summary.simulate_usage for summary in summaries if summary.simulator == simulator), Usage())


def seconds_of(results: Results, simulator: str) -> float:
    """Return how long a simulator took; NaN if the store answered for any of it, or nothing is known of it."""
    return math.nan if _was_stored(results, simulator) else results.seconds.get(_stage(simulator), math.nan)


def _was_stored(results: Results, simulator: str) -> bool:
    """Tell whether the store answered for any of what a simulator was asked."""
    usage = results.usage.get(_stage(simulator))
    return usage is not None and usage.saved.requests > 0


def _stage(simulator: str) -> str:
    return f"simulate by {simulator}"


def _simulators(results: Results, overall: Sequence[TruthSummary], beats: Sequence[str]) -> Table:
    columns = (
        ("simulator", "simulator"),
        *_score_columns(beats),
        ("calib.", "calibration error"),
        ("cover", "units scored"),
        ("tokens", "tokens"),
        ("sec.", "seconds"),
    )
    controls = {info.name for info in results.simulators if info.control}
    lines = {summary.simulator: _simulator(results, summary, beats) for summary in overall}
    return Table(
        "Simulators",
        columns,
        tuple(line for name, line in lines.items() if name not in controls),
        tuple(line for name, line in lines.items() if name in controls),
    )


def _score_columns(beats: Sequence[str]) -> Columns:
    return (
        ("truth", "correlation given the truth"),
        ("95 % interval", "95 % interval"),
        *(_BEATS[name] for name in beats),
        ("margin", "margin"),
        ("AUROC", "AUROC"),
    )


def _simulator(results: Results, summary: TruthSummary, beats: Sequence[str]) -> Row:
    seconds = seconds_of(results, summary.simulator)
    return (
        plain(summary.simulator),
        *_scores(summary, beats),
        figure(summary.calibration_error),
        f"{summary.scored}/{summary.units}",
        tokens(usage_of(results, summary.simulator)),
        "–" if math.isnan(seconds) else f"{seconds:.0f}",
    )


def _scores(summary: TruthSummary, beats: Sequence[str]) -> Row:
    def interval(name: str) -> Interval:
        return summary.metrics.get(name, NOTHING)

    headline = interval("correlation")
    shares = (percent(interval(name).mean) for name in beats)
    return (
        figure(headline.mean),
        span(headline),
        *shares,
        figure(interval("margin").mean),
        figure(interval("auroc").mean),
    )


def _categories(results: Results, simulator: SimulatorInfo, beats: Sequence[str]) -> Table:
    """Return a row for each category of a simulator, and what the controls give the truth there."""
    controls = [info.name for info in results.simulators if info.control]
    means = {
        (summary.simulator, summary.category): summary.metrics.get("correlation", NOTHING).mean
        for summary in results.truths
    }
    columns = (
        ("class", "class"),
        *_score_columns(beats),
        ("cover", "units scored"),
        *((plain(name), f"{plain(name)} given the truth") for name in controls),
    )
    lines = tuple(
        (
            plain(summary.category),
            *_scores(summary, beats),
            f"{summary.scored}/{summary.units}",
            *(figure(means.get((name, summary.category), math.nan)) for name in controls),
        )
        for summary in results.truths
        if summary.category and summary.simulator == simulator.name
    )
    return Table(f"{plain(simulator.name)} by class", columns, lines)


def sentences(results: Results) -> Iterator[str]:
    """Yield how to read the tables."""
    if not results.truths:
        return
    yield (
        "Truth: the correlation of simulated and real levels over all tokens of a puzzle, given its true explanation, "
        "averaged over puzzles. Near and unrel.: the share of false explanations that the truth outscores, a tie "
        "counting one half. Margin: truth's correlation minus a false one's. AUROC: of firing at all, given the truth. "
        "Every interval is a bootstrap over puzzles."
    )
    yield (
        "Calibration error: the mean, weighted by tokens, of |predicted - real| level in ten bins of the predicted "
        "level, both as shares of the highest; only of a simulator that gives probabilities."
    )
    names = [info.name for info in results.simulators if info.control]
    if names:
        yield (
            f"Read a simulator from its controls ({', '.join(map(plain, names))}): chance is noise; token_overlap "
            "fires on the words of the explanation itself. One that does not pass them has not understood the "
            "explanations."
        )
    yield from _complaints(results)
    if results.standings:
        yield (
            "An explainer is shown the firing texts of the first half of each puzzle. Its score, like truth's beside "
            f"it, is by {plain(results.simulator.name)} on the second half; a lookup's is by its own table."
        )
    for info in results.simulators:
        if info.note:
            yield f"{plain(info.name)}: {plain(info.note)}"


def _complaints(results: Results) -> Iterator[str]:
    """Yield what is missing from a row, or is a score by convention only."""
    for summary in results.truths:
        if summary.category:
            continue
        name = plain(summary.simulator)
        if summary.missing_tokens:
            yield f"{name} gave nothing on {summary.missing_tokens} of {summary.tokens} tokens; they are left out."
        if summary.scored < summary.units:
            yield f"{name} has no score for {summary.units - summary.scored} puzzles; its averages leave them out."
        if summary.degenerate:
            yield f"{name} gives one level everywhere on {summary.degenerate} puzzles; they score 0."
        if _was_stored(results, summary.simulator):
            yield f"{name} was answered from the store, in part at least, so its seconds say nothing."
