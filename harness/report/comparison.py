"""The page of two rows side by side: on which units either wins, by how much, and with what certainty."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness import stats
from harness.guards.printing import shortened
from harness.report import resolution
from harness.report.page import Page, Row, Table
from harness.results import rows
from harness.results.merge import resampling_of
from harness.results.rows import Resampling
from harness.results.run import Results
from harness.results.vocabulary import ResultRow
from harness.stats import HEADLINE, PairedDifference
from harness.text import figure, plain, span
from harness.types import LOOKUP, Interval, NeuroglossError, Unit

LARGEST = 10
"""The number of units that are named for differing most."""
TEXT = 60
"""Characters of an explanation."""
_SIDES = ("A", "B")


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """A row, and the results that it stands in."""

    results: Results
    row: ResultRow

    @property
    def name(self) -> str:
        """Who explained, and who simulated."""
        return f"{self.row.summary.explainer} by {self.row.summary.simulator}"

    def scores(self, metric: str) -> dict[Unit, float]:
        """Return the metric of each unit; the floor's where the explainer answered and gave no explanation."""
        members = [row for row in self.results.rows if row.summary.simulator == self.row.summary.simulator]
        return rows.charged(self.row, rows.floors_of(members, self.results.minimum_coverage), metric)

    @property
    def texts(self) -> dict[Unit, str]:
        """The explanation of each unit, the first of several."""
        texts: dict[Unit, str] = {}
        for item in self.row.scored:
            text = item.explanation.text or f"({item.explanation.outcome.value})"
            texts.setdefault(item.unit, text)
        return texts


def find(results: Results, name: str | None, where: str) -> ComparedRow:
    """Return a row of results by its explainer's name; without one, the only row that is ranked.

    Raises:
        NeuroglossError: there is no such row, or several could be meant.
    """
    beside = [row for row in results.rows if row.summary.simulator in (results.simulator.name, LOOKUP)]
    names = [row.summary.explainer for row in beside]
    candidates = [
        row for row in beside if (row.summary.role in rows.COMPARED if name is None else name == row.key.explainer)
    ]
    if len(candidates) != 1:
        description = "one row to compare" if name is None else f"row {name!r}"
        raise NeuroglossError(
            f"{where} has not the {description}; name it behind a #, such as '{where}#{next(iter(names), 'NAME')}': "
            f"{', '.join(names) or 'it has no rows'}."
        )
    return ComparedRow(results, candidates[0])


def build(first: ComparedRow, second: ComparedRow, metric: str = HEADLINE) -> Page:
    """Return the page of a comparison.

    Args:
        first: a row.
        second: another.
        metric: what they are compared by.

    Raises:
        NeuroglossError: the rows are of two tasks, lack the metric, or share no unit.
    """
    _check(first, second)
    scores = first.scores(metric), second.scores(metric)
    units = sorted(scores[0].keys() & scores[1].keys())
    if not units:
        raise NeuroglossError(f"{first.name} and {second.name} have no unit in common with a score by {plain(metric)}.")
    resampling = resampling_of(first.results)
    (difference,) = resampling.differences([scores], [metric])
    gaps = {unit: scores[0][unit] - scores[1][unit] for unit in units}
    means = [resampling.interval({unit: side[unit] for unit in units}, metric) for side in scores]
    return Page(
        title=f"{plain(first.name)} (A) against {plain(second.name)} (B)",
        facts=tuple(_facts(first, second, metric, len(units))),
        tables=(
            _overall((first, second), means, gaps),
            _by_place(scores, units, resampling, metric),
            _largest((first, second), scores, gaps),
        ),
        sentences=tuple(_sentences(difference, gaps, metric)),
    )


def _check(first: ComparedRow, second: ComparedRow) -> None:
    if first.row == second.row and first.results.run_id == second.results.run_id:
        raise NeuroglossError(f"both rows are {first.name} of one run; name another one behind a #.")
    tasks = [side.results.task for side in (first, second)]
    if tasks[0].digest != tasks[1].digest:
        raise NeuroglossError(
            f"{first.name} is on {tasks[0].name} ({tasks[0].digest[:12]}) and {second.name} on {tasks[1].name} "
            f"({tasks[1].digest[:12]}); only rows on one task can be compared."
        )


def _facts(first: ComparedRow, second: ComparedRow, metric: str, units: int) -> Iterator[tuple[str, str]]:
    task = first.results.task
    yield "task", f"{plain(task.name)}, digest {task.digest[:12]}"
    yield "metric", plain(metric)
    yield "units that both have", str(units)
    for side, name in zip((first, second), _SIDES, strict=True):
        model = side.results.simulator.identity
        simulated = plain(side.row.summary.simulator) + (f" on {plain(model.name)}" if model else "")
        yield name, f"{plain(side.row.summary.explainer)}, simulated by {simulated}, run {side.results.run_id[:12]}"


# -------------------------------------------------------------------------------------------------------------- tables


def _overall(sides: Sequence[ComparedRow], means: Sequence[Interval], gaps: Mapping[Unit, float]) -> Table:
    columns = (("row", "row"), ("mean", "mean"), ("95 % interval", "95 % interval"), ("wins", "units on which it wins"))
    wins = (sum(gap > 0 for gap in gaps.values()), sum(gap < 0 for gap in gaps.values()))
    lines = zip(_SIDES, sides, means, wins, strict=True)
    return Table(
        "Over all units",
        columns,
        tuple(
            (f"{name}: {plain(side.name)}", figure(mean.mean), span(mean), str(won)) for name, side, mean, won in lines
        ),
    )


def _by_place(
    scores: Sequence[Mapping[Unit, float]], units: Sequence[Unit], resampling: Resampling, metric: str
) -> Table:
    """Return the means in each place (a layer, for most kinds) and of each kind of unit."""
    groups: dict[str, list[Unit]] = {}
    for unit in units:
        groups.setdefault(unit.kind if unit.name else f"{unit.kind}, layer {unit.place}", []).append(unit)
    columns = (("place", "kind and place"), ("units", "units"), ("A", "A"), ("B", "B"), ("A-B", "A - B"))
    lines = []
    for name, members in groups.items():
        means = [resampling.interval({unit: side[unit] for unit in members}, metric).mean for side in scores]
        lines.append((plain(name), str(len(members)), *map(figure, means), figure(means[0] - means[1])))
    return Table("By kind and place", columns, tuple(lines))


def _largest(sides: Sequence[ComparedRow], scores: Sequence[Mapping[Unit, float]], gaps: Mapping[Unit, float]) -> Table:
    columns = (
        ("unit", "unit"),
        ("A", "A"),
        ("B", "B"),
        ("explanation of A", "explanation of A"),
        ("explanation of B", "explanation of B"),
    )
    texts = [side.texts for side in sides]
    largest = sorted(gaps, key=lambda unit: (-abs(gaps[unit]), unit))[:LARGEST]
    return Table(
        "Units on which they differ most", columns, tuple(_disagreement(unit, scores, texts) for unit in largest)
    )


def _disagreement(unit: Unit, scores: Sequence[Mapping[Unit, float]], texts: Sequence[Mapping[Unit, str]]) -> Row:
    return (
        str(unit),
        *(figure(side[unit]) for side in scores),
        *(shortened(side.get(unit, "–"), TEXT) for side in texts),
    )


# ----------------------------------------------------------------------------------------------------------- sentences


def _sentences(difference: PairedDifference, gaps: Mapping[Unit, float], metric: str) -> Iterator[str]:
    interval = difference.interval
    figures = f"{figure(interval.mean)} ({span(interval)}), p = {figure(difference.p_value)}"
    ties = sum(gap == 0 for gap in gaps.values())
    if stats.differs(interval, difference.p_value):
        better, worse = _SIDES if interval.mean > 0 else _SIDES[::-1]
        yield f"{better} is above {worse}: A - B is {figures}."
    else:
        verdict = resolution.in_words(interval, difference.least, difference.deviation, metric)
        yield f"A and B cannot be told apart: A - B is {figures}; {verdict}."
    if not math.isnan(difference.deviation) and not stats.unbounded(metric) and difference.deviation > 0:
        floor = stats.smallest_difference(difference.deviation**2, interval.units)
        yield f"Resolution floor: {figure(floor)}, the smallest gap that these units show with a chance of 80 %."
    yield f"Both rows are compared on the same units, by flipping the signs of their differences; ties: {ties}."
    yield "What an explainer passed over has its floor's score."
    yield "Places with few units show where the gap arises, and prove nothing by themselves."
    yield "neurogloss show RUN UNIT draws what either simulated on the excerpts of a unit."
