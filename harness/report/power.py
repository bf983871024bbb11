"""Number of units needed to tell explainers apart, from the differences of their scores in a run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from harness import stats
from harness.report.page import Page, Row, Table
from harness.results import rows
from harness.results.run import Results
from harness.text import figure, plain
from harness.types import NeuroglossError, RowKey, Unit

COLUMNS = (
    ("explainers", "explainers"),
    ("seen", "difference seen"),
    ("deviation", "deviation of differences"),
    ("units", "units of both"),
    ("needed", "units needed"),
    ("95 % range", "95 % range of these"),
    ("smallest", "smallest difference now"),
)


@dataclass(frozen=True, slots=True)
class PowerSettings:
    """Settings of a power analysis by ``metric``: a ``difference`` is to be detected with probability ``power``, and
    one of 0 mistaken for another with probability ``alpha``; ``explainers`` names two at least, or none for all."""

    difference: float
    power: float = 0.8
    alpha: float = 0.05
    metric: str = stats.HEADLINE
    explainers: tuple[str, ...] = ()


def build(results: Results, settings: PowerSettings) -> Page:
    """Return a page with a row for each two explainers that one simulator scored.

    Raises:
        NeuroglossError: the run has fewer than two such explainers, or lacks an explainer or the metric; or two
            explainers share fewer than three units, or differ by the same on all.
    """
    stats.units_needed(1.0, settings.difference, settings.power, settings.alpha)  # which refuses what cannot be asked
    scores = _scores(results, settings)
    pairs = list(combinations(scores, 2))
    lines = tuple(_row(a, b, _differences(a, b, scores), settings) for a, b in pairs)
    return Page(
        title=f"Units needed on {plain(results.task.name)}",
        facts=(
            ("run", f"{plain(results.run_id)}, {len(results.task.units)} units"),
            ("asked", f"a difference of {settings.difference:g} in {plain(settings.metric)}"),
        ),
        tables=(Table("Each two explainers", COLUMNS, lines),),
        sentences=(_answer(pairs[0], scores, settings), *_how_to_read(settings)),
    )


def _scores(results: Results, settings: PowerSettings) -> dict[str, dict[Unit, float]]:
    """Return the score of each unit by each of the explainers to compare."""
    simulator = results.simulator.name
    simulators = _simulators(results)
    names = settings.explainers or [name for name in simulators if simulators[name] == simulator]
    _check_names(names, simulators)
    scores = {name: rows.by_unit(results.scored[RowKey(name, simulators[name])], settings.metric) for name in names}
    _check_metric(scores, results, settings)
    scores = {name: by_unit for name, by_unit in scores.items() if by_unit}
    if len(scores) < 2:
        raise NeuroglossError(
            f"the run has scores of {len(scores)} explainer under {simulator}, and a difference needs two; "
            "run it again with another explainer, explainer=[max_activation,shuffled] for instance."
        )
    return scores


def _simulators(results: Results) -> dict[str, str]:
    """Return the simulator that each explainer is compared under: the run's own if that scored it, else its first."""
    simulators: dict[str, str] = {}
    for row in results.summaries:
        if row.explainer not in simulators or row.simulator == results.simulator.name:
            simulators[row.explainer] = row.simulator
    return simulators


def _check_names(names: Sequence[str], simulators: Mapping[str, str]) -> None:
    unknown = [name for name in names if name not in simulators]
    if unknown:
        raise NeuroglossError(f"the run has no explainer {unknown[0]!r}; it has {', '.join(simulators)}.")
    simulator_names = sorted({simulators[name] for name in names})
    if len(simulator_names) > 1:
        raise NeuroglossError(
            f"{' and '.join(names)} were scored by {' and '.join(simulator_names)}, and scores by two simulators "
            "cannot be compared; name explainers that one simulator scored."
        )


def _check_metric(scores: Mapping[str, Mapping[Unit, float]], results: Results, settings: PowerSettings) -> None:
    metrics = sorted({name for row in results.summaries for name in row.metrics})
    if scores and not any(scores.values()) and metrics:
        raise NeuroglossError(f"the run has no scores by {settings.metric!r}; it has {', '.join(metrics)}.")


def _differences(a: str, b: str, scores: Mapping[str, Mapping[Unit, float]]) -> list[float]:
    units = sorted(scores[a].keys() & scores[b].keys())
    if len(units) < 3:
        raise NeuroglossError(
            f"{a} and {b} share {len(units)} units with a score, and how differences vary cannot be seen in fewer "
            "than 3; run them on more units."
        )
    return [scores[a][unit] - scores[b][unit] for unit in units]


def _row(a: str, b: str, differences: Sequence[float], settings: PowerSettings) -> Row:
    variance, units = _variance(a, b, differences), len(differences)
    lowest, highest = (_units_needed(end, settings) for end in stats.variance_range(variance, units))
    return (
        plain(f"{a} - {b}"),
        figure(statistics.fmean(differences)),
        figure(variance**0.5),
        str(units),
        str(_units_needed(variance, settings)),
        f"{lowest} to {highest}",
        figure(stats.smallest_difference(variance, units, settings.power, settings.alpha)),
    )


def _variance(a: str, b: str, differences: Sequence[float]) -> float:
    variance = statistics.variance(differences)
    if variance <= 1e-24:  # float noise of scores, which lie between -1 and 1
        raise NeuroglossError(
            f"{a} and {b} differ by the same on every unit, so nothing follows from this run for another number of "
            "units; compare other explainers."
        )
    return variance


def _units_needed(variance: float, settings: PowerSettings) -> int:
    return stats.units_needed(variance, settings.difference, settings.power, settings.alpha)


def _answer(pair: tuple[str, str], scores: Mapping[str, Mapping[Unit, float]], settings: PowerSettings) -> str:
    """Return the first row in words."""
    a, b = pair
    differences = _differences(a, b, scores)
    variance = _variance(a, b, differences)
    smallest = stats.smallest_difference(variance, len(differences), settings.power, settings.alpha)
    return (
        f"To tell {plain(a)} from {plain(b)} where they differ by {settings.difference:g} takes about "
        f"{_units_needed(variance, settings)} units, with a chance of {settings.power:.0%} to see it and of "
        f"{settings.alpha:.0%} to see one that is not there; this run's {len(differences)} units tell "
        f"{figure(smallest)} apart."
    )


def _how_to_read(settings: PowerSettings) -> tuple[str, ...]:
    return (
        "Needed is (z of 1 - alpha/2 + z of the power) squared, times the variance of the differences between the two "
        "on the same units, over the difference squared.",
        "The range is that of the variance, which so few units do not tell exactly; it takes differences to be normal.",
        f"alpha ({settings.alpha:g}) is that of one comparison: for a board that corrects for k comparisons, ask with "
        "alpha / k.",
    )
