"""What a site shows, as plain values: the rows of a board, and units with their levels by token."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.guards.printing import harmless
from harness.results.run import Results
from harness.results.unit_view import UnitView
from harness.results.vocabulary import ResultRow
from harness.stats import HEADLINE, rank
from harness.text import figure, span
from harness.types import HIGHEST_LEVEL, Interval, Role, Standing, Unit

RANKED = (Role.EXPLAINER, Role.HUMAN)
UNITS_PER_SHARD, CHARACTERS_PER_SHARD = 20, 1_000_000
"""A shard of the data ends where it holds so much."""
DIGITS = "0123456789a"
"""A level as one character."""


@dataclass(frozen=True)
class RowData:
    """A row of the board.

    Attributes:
        name: of the explainer, its model included; ``simulator`` scored it.
        control: whether it is a floor, a ceiling or another control, which are not ranked.
        rank: as it is printed; empty if it has none.
        metrics: by name.
        scores: the headline of each unit that has it, by the unit's name.
        groups: the group (layer) of each of these units.
        tokens: that it cost; ``usd`` in dollars at the prices of the config.
        words: the mean number of words of its explanations; NaN if it has none.
    """

    name: str
    simulator: str
    control: bool
    rank: str
    metrics: Mapping[str, Interval]
    scores: Mapping[str, float]
    groups: Mapping[str, str]
    tokens: int
    usd: float
    words: float

    def mean(self, metric: str) -> str:
        """Return a mean as it is printed."""
        return figure(self.metrics[metric].mean) if metric in self.metrics else "–"

    def interval(self, metric: str) -> str:
        """Return an interval as it is printed."""
        return span(self.metrics[metric]) if metric in self.metrics else "–"

    def sort_value(self, metric: str) -> float:
        """Return what a table is sorted by; missing means stand last."""
        value = self.metrics[metric].mean if metric in self.metrics else math.nan
        return -math.inf if math.isnan(value) else value


@dataclass(frozen=True)
class UnitLine:
    """A unit in the list: which row explains it best, and by what score."""

    unit: str
    group: str
    best: str
    score: float


@dataclass(frozen=True)
class BoardData:
    """The board of a run: the metric that it is ranked by, all others, its rows and its units."""

    task: str
    metric: str
    metrics: tuple[str, ...]
    rows: tuple[RowData, ...]
    units: tuple[UnitLine, ...]

    @property
    def ranked(self) -> tuple[RowData, ...]:
        """The rows that are no controls."""
        return tuple(row for row in self.rows if not row.control)


def board_data(results: Results) -> BoardData:
    """Return what the board of a run shows; explanations that came with units are rows of it too."""
    standings = {standing.simulator: standing for standing in results.standings}
    metric = next((standing.metric for standing in results.standings), HEADLINE)
    rows = tuple(_row(row, standings.get(row.key.simulator), metric) for row in results.rows)
    return board_of(results.task.name, metric, rows, results.task.units)


def board_of(task: str, metric: str, rows: tuple[RowData, ...], units: Sequence[Unit]) -> BoardData:
    """Return a board of rows, and of which of them explains each unit best."""
    metrics = dict.fromkeys(name for row in rows for name in row.metrics)
    return BoardData(task, metric, tuple(metrics), rows, tuple(_line(unit, rows) for unit in units))


def _row(row: ResultRow, standing: Standing | None, metric: str) -> RowData:
    """Return a row of a run; what it is ranked by has the floor's score where it gave no explanation."""
    values = {str(item.unit): item.scores.values[metric] for item in row.scored if metric in item.scores.values}
    if standing is None:
        return row_of(row, "", values)
    ranks, means = standing.ranks.get(row.key.explainer), standing.means.get(row.key.explainer)
    return row_of(row, "" if ranks is None else rank(ranks), values, {} if means is None else {metric: means})


def row_of(
    row: ResultRow,
    ranks: str,
    scores: Mapping[str, float],
    means: Mapping[str, Interval] = MappingProxyType({}),
    name: str = "",
) -> RowData:
    """Return a row of a board.

    Args:
        row: of results.
        ranks: as they are printed; empty if it has none.
        scores: of each unit, by its name.
        means: of metrics, in place of the row's own.
        name: on the board; that of its explainer where it is empty.
    """
    summary = row.summary
    words = [len(item.explanation.text.split()) for item in row.scored if item.explanation.in_words]
    return RowData(
        name=name or summary.explainer,
        simulator=summary.simulator,
        control=summary.role not in RANKED,
        rank=ranks,
        metrics={**summary.metrics, **means},
        scores={unit: value for unit, value in scores.items() if math.isfinite(value)},
        groups={str(item.unit): item.unit.group for item in row.scored},
        tokens=summary.usage.prompt_tokens + summary.usage.completion_tokens,
        usd=summary.usage.usd,
        words=sum(words) / len(words) if words else math.nan,
    )


def _line(unit: Unit, rows: Sequence[RowData]) -> UnitLine:
    scores = {row.name: row.scores[str(unit)] for row in rows if str(unit) in row.scores and not row.control}
    best = max(scores, key=lambda explainer: scores[explainer], default="")
    return UnitLine(str(unit), unit.group, best, scores.get(best, math.nan))


# --------------------------------------------------------------------------------------------------------------- units


def unit_data(view: UnitView) -> dict[str, Any]:
    """Return a unit as its shard holds it: levels of all tokens of an excerpt as one string of :data:`DIGITS`."""
    return {
        "unit": view.unit,
        "rows": [
            {
                "name": row.key.explainer,
                "simulator": row.key.simulator,
                "text": harmless(row.explanation),
                "score": None if row.score is None else round(row.score, 4),
            }
            for row in view.rows
        ],
        "excerpts": [
            {
                "kind": excerpt.kind,
                "source": excerpt.source,
                "tokens": [harmless(token) for token in excerpt.tokens],
                "real": digits(excerpt.real),
                "simulated": [
                    digits(excerpt.simulated[row.key]) if row.key in excerpt.simulated else "" for row in view.rows
                ],
            }
            for excerpt in view.excerpts
        ],
    }


def digits(shares: Sequence[float]) -> str:
    """Return a level for each share of the largest value, from 0 to 1."""
    return "".join(DIGITS[round(share * HIGHEST_LEVEL)] for share in shares)
