"""The board of a run of puzzles: simulators beside their controls, by class, and the explainers beside the truth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness.puzzle_results import PuzzleResults, SimulatorRow
from harness.report.page import Columns, Page, Row, Table, tokens
from harness.results import SimulatorInfo, figure, plain, span
from harness.trust import percent
from harness.types import Identity, Interval, PuzzleSummary, Role, Summary

_NOTHING = Interval(math.nan, math.nan, math.nan, 0)

_BEATS = {
    "beats_near": ("near", "beats near misses"),
    "beats_unrelated": ("unrel.", "beats unrelated"),
    "beats_unspecified": ("false", "beats false ones"),
}
"""The win rates, by metric; a board has the columns of those that its puzzles have."""
_EXPLAINERS: Columns = (
    ("explainer", "explainer"),
    ("score", "mean correlation"),
    ("95 % interval", "95 % interval"),
    ("truth", "truth's"),
    ("minus truth", "minus truth"),
    ("95 % interval", "95 % interval of the difference"),
    ("share", "share of truth's"),
    ("cover", "puzzles scored"),
    ("const", "constant (score 0)"),
)


def build(found: PuzzleResults) -> Page:
    """The board of a run of puzzles."""
    own = found.simulators[0]
    beats = [name for name in _BEATS if any(name in row.summary.metrics for row in found.simulators)]
    tables = [_simulators(found.simulators, beats)]
    tables += [_classes(found.simulators, beats)] if own.classes else []
    tables += [_explainers(found)] if found.explainers else []
    return Page(
        title=f"Puzzles: can {plain(own.simulator.name)} be trusted?",
        facts=tuple((name, plain(value)) for name, value in _facts(found)),
        tables=tuple(tables),
        sentences=tuple(map(plain, _sentences(found))),
    )


# -------------------------------------------------------------------------------------------------------------- tables


def _simulators(rows: Sequence[SimulatorRow], beats: Sequence[str]) -> Table:
    columns = (
        ("simulator", "simulator"),
        *_scores_columns(beats),
        ("calib.", "calibration error"),
        ("cover", "puzzles scored"),
        ("tokens", "tokens"),
        ("sec.", "seconds"),
    )
    own = [_simulator(row, beats) for row in rows if not row.control]
    return Table("Simulators", columns, tuple(own), tuple(_simulator(row, beats) for row in rows if row.control))


def _scores_columns(beats: Sequence[str]) -> Columns:
    return (
        ("truth", "correlation given the truth"),
        ("95 % interval", "95 % interval"),
        *(_BEATS[name] for name in beats),
        ("margin", "margin"),
        ("AUROC", "AUROC"),
    )


def _simulator(row: SimulatorRow, beats: Sequence[str]) -> Row:
    summary = row.summary
    return (
        plain(row.simulator.name),
        *_scores(summary, beats),
        figure(summary.calibration_error),
        _coverage(summary.scored, summary.puzzles),
        tokens(row.usage),
        "–" if math.isnan(row.seconds) else f"{row.seconds:.0f}",
    )


def _scores(summary: PuzzleSummary, beats: Sequence[str]) -> Row:
    def of(name: str) -> Interval:
        return summary.metrics.get(name, _NOTHING)

    own = of("correlation")
    shares = (percent(of(name).mean) for name in beats)
    return (figure(own.mean), span(own), *shares, figure(of("margin").mean), figure(of("auroc").mean))


def _classes(rows: Sequence[SimulatorRow], beats: Sequence[str]) -> Table:
    """A row for each class of the run's own simulator, and what its controls have given the truth there."""
    own, controls = rows[0], [row for row in rows if row.control]
    columns = (
        ("class", "class"),
        *_scores_columns(beats),
        ("cover", "puzzles scored"),
        *((plain(row.simulator.name), f"{plain(row.simulator.name)} given the truth") for row in controls),
    )
    beside = [{one.kind: one.metrics.get("correlation", _NOTHING).mean for one in row.classes} for row in controls]
    lines = tuple(
        (
            plain(one.kind),
            *_scores(one, beats),
            _coverage(one.scored, one.puzzles),
            *(figure(means.get(one.kind, math.nan)) for means in beside),
        )
        for one in own.classes
    )
    return Table(f"{plain(own.simulator.name)} by class", columns, lines)


def _explainers(found: PuzzleResults) -> Table:
    own = found.simulators[0].simulator.name
    ranked = [row for row in found.summaries if row.role not in (Role.FLOOR, Role.CEILING) and row.simulator == own]
    controls = [row for row in found.summaries if row not in ranked]
    ranked.sort(key=lambda row: (-_mean(row) if row.scored else math.inf, row.explainer))
    return Table(
        "Explainers, on the second half of each puzzle's texts",
        _EXPLAINERS,
        tuple(_explainer(row, plain(row.explainer)) for row in ranked),
        tuple(_explainer(row, _control_name(row, own)) for row in controls),
    )


def _control_name(row: Summary, simulator: str) -> str:
    notes = [row.role.value] if row.role in (Role.FLOOR, Role.CEILING) else []
    notes += [f"by {row.simulator}"] if row.simulator != simulator else []
    return plain(f"{row.explainer} ({', '.join(notes)})")


def _explainer(row: Summary, name: str) -> Row:
    own, truth = row.metrics.get("correlation", _NOTHING), row.metrics.get("truth", _NOTHING)
    difference = row.metrics.get("difference", _NOTHING)
    share = 1.0 + difference.mean / truth.mean if truth.low > 0 else math.nan  # of noise there is no share
    return (
        name,
        figure(own.mean),
        span(own),
        figure(truth.mean),
        figure(difference.mean),
        span(difference),
        percent(share),
        _coverage(row.scored, row.neurons),
        str(row.degenerate),
    )


def _mean(row: Summary) -> float:
    return row.metrics.get("correlation", _NOTHING).mean


def _coverage(scored: int, asked: int) -> str:
    return f"{scored}/{asked}"


# ------------------------------------------------------------------------------------------------------ facts and words


def _facts(found: PuzzleResults) -> Iterator[tuple[str, str]]:
    task, simulator = found.task, found.simulators[0].simulator
    yield "task", f"{task.name}, digest {task.digest[:12]}"
    yield "puzzles", f"{len(task.puzzles)} of the task's {task.size}, {found.simulators[0].summary.tokens} tokens"
    yield from simulator_facts(simulator)
    yield "run", f"{found.run_id}, seed {found.seed}, {found.created}"


def simulator_facts(simulator: SimulatorInfo) -> Iterator[tuple[str, str]]:
    """Which simulator, on which model, and how it is read."""
    yield "simulator", f"{simulator.name} on {_model(simulator.identity)}" if simulator.identity else simulator.name
    if simulator.identity:
        version = f", prompt {simulator.prompt_version}" if simulator.prompt_version else ""
        yield "reading", f"transport {simulator.transport or '?'}, levels 0 to {simulator.levels - 1}{version}"


def _model(identity: Identity) -> str:
    revision = f" at {identity.revision[:12]}" if identity.revision else ""
    return f"{identity.name}{revision}" + (f" ({identity.dtype})" if identity.dtype else "")


def _sentences(found: PuzzleResults) -> Iterator[str]:
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
    names = [row.simulator.name for row in found.simulators if row.control]
    if names:
        yield (
            f"Read a simulator from its controls ({', '.join(names)}): chance is noise; token_overlap fires on the "
            "words of the explanation itself. One that does not pass them has not understood the explanations."
        )
    yield from _complaints(found)
    if found.explainers:
        yield (
            "An explainer is shown the firing texts of the first half of each puzzle. Its score, like truth's beside "
            f"it, is by {found.simulators[0].simulator.name} on the second half; a lookup's is by its own table."
        )
    for row in found.simulators:
        if row.simulator.note:
            yield f"{row.simulator.name}: {row.simulator.note}"


def _complaints(found: PuzzleResults) -> Iterator[str]:
    """What is missing from a row, or is a score by convention only."""
    for row in found.simulators:
        summary, name = row.summary, row.simulator.name
        if summary.missing_tokens:
            yield f"{name} gave nothing on {summary.missing_tokens} of {summary.tokens} tokens; they are left out."
        if summary.scored < summary.puzzles:
            yield f"{name} has no score for {summary.puzzles - summary.scored} puzzles; its averages leave them out."
        if summary.degenerate:
            yield f"{name} gives one level everywhere on {summary.degenerate} puzzles; they score 0."
        if math.isnan(row.seconds):
            yield f"{name} was answered from the store, in part at least, so its seconds say nothing."
