"""One unit of a run, as its tables have it: explanations and scores, and real and simulated activations by token."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from harness.guards.parquet import Filter, rows_where
from harness.results.rows import COMPARED
from harness.results.run import Results, read_summaries
from harness.stats import HEADLINE
from harness.typed_json import from_json
from harness.types import HIGHEST_LEVEL, NeuroglossError, RowKey


@dataclass(frozen=True, slots=True)
class RowView:
    """What a row of the board said of a unit, and the score that it is ranked by; None if it has none."""

    key: RowKey
    explanation: str
    score: float | None


@dataclass(frozen=True, slots=True)
class ExcerptView:
    """A valid excerpt: its tokens, and the share of the largest value at each, from 0 to 1 [tokens].

    Attributes:
        kind: top, random or hard.
        source: the document and its place there.
        tokens: the text, token by token.
        real: activations as shares of the unit's largest over the excerpts of the run; below 0 as 0.
        simulated: by row; of levels the share of the highest, of activations as ``real``; empty where it is missing.
    """

    kind: str
    source: str
    tokens: tuple[str, ...]
    real: tuple[float, ...]
    simulated: Mapping[RowKey, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class UnitView:
    """A unit: its rows in the order of the run, best explainers first where they are ranked, and its excerpts."""

    unit: str
    metric: str
    rows: tuple[RowView, ...]
    excerpts: tuple[ExcerptView, ...]


def read(folder: Path, unit: str | None = None) -> UnitView:
    """Return one unit of a run; without a name the one that is explained best, controls left out.

    Raises:
        NeuroglossError: the folder is no run, or the run has no such unit.
    """
    results = read_summaries(folder)
    metric = _metric(results)
    names = _rows(folder, "explanations", _Named, None, ["explanation", "unit"])
    units = list(dict.fromkeys(row.unit for row in names))
    if not units:
        raise NeuroglossError(f"{folder} is a run of no unit.")
    by_metric: list[Filter] = [("metric", "=", metric)]
    name = unit or _best(results, _rows(folder, "scores", _Score, by_metric), units)
    if name not in units:
        raise NeuroglossError(f"the run has no unit {name}; it has {', '.join(units[:8])}{', ...' * (len(units) > 8)}.")
    of_unit: list[Filter] = [("unit", "=", name)]
    return _view(name, metric, *(_rows(folder, table, kind, of_unit) for table, kind in _SHOWN.items()))


def read_all(folder: Path) -> Iterator[UnitView]:
    """Yield every unit of a run, in the order of its tables, of which memory holds the part about some units only.

    Raises:
        NeuroglossError: the folder is no run.
    """
    metric = _metric(read_summaries(folder))
    for first, end, units in _parts(_rows(folder, "explanations", _Named, None, ["explanation", "unit"])):
        part: list[Filter] = [("explanation", ">=", first), ("explanation", "<", end)]
        tables = {name: _table(folder, name, kind, part) for name, kind in _SHOWN.items()}
        for unit in units:
            yield _view(unit, metric, *(_typed(folder, name, _SHOWN[name], table.filter(pc.field("unit") == unit))
                                        for name, table in tables.items()))  # fmt: skip


def _parts(explanations: Sequence[_Named]) -> Iterator[tuple[int, int, list[str]]]:
    """Yield parts of a run's tables that have all there is of their units: the number of the first explanation, that of
    the first one behind the part, and the units in order."""
    last = {row.unit: row.explanation for row in explanations}
    units: dict[str, None] = {}
    first = end = explanations[0].explanation if explanations else 0
    for row in explanations:
        units[row.unit] = None
        end = max(end, last[row.unit])
        if row.explanation == end:
            yield first, end + 1, list(units)
            units, first, end = {}, end + 1, end + 1


def _metric(results: Results) -> str:
    """Return what the rows of a run are ranked by."""
    return next((standing.metric for standing in results.standings), HEADLINE)


def _best(results: Results, scores: Sequence[_Score], units: Sequence[str]) -> str:
    """Return the unit with the highest score by a method; by any row where there is no method."""
    methods = {row.explainer for row in results.summaries if row.role in COMPARED}
    best: dict[str, float] = {}
    for row in [row for row in scores if row.explainer in methods] or scores:
        best[row.unit] = max(-1.0 if math.isnan(row.value) else row.value, best.get(row.unit, -1.0))
    return max(units, key=lambda name: best.get(name, -1.0))


def _view(
    unit: str,
    metric: str,
    explanations: Sequence[_Explanation],
    scores: Sequence[_Score],
    simulations: Sequence[_Simulation],
) -> UnitView:
    values = {row.key: row.value for row in scores if row.metric == metric and not math.isnan(row.value)}
    rows = tuple(RowView(row.key, row.words, values.get(row.key)) for row in explanations)
    return UnitView(unit, metric, rows, tuple(_excerpts(simulations)))


# --------------------------------------------------------------------------------------------------- rows of the tables


@dataclass(frozen=True, slots=True)
class _Named:
    """The number of an explanation, and its unit."""

    explanation: int
    unit: str


@dataclass(frozen=True, slots=True)
class _OfRow:
    """The unit and the row of the board that something is about."""

    unit: str
    explainer: str
    simulator: str

    @property
    def key(self) -> RowKey:
        """The row of the board."""
        return RowKey(self.explainer, self.simulator)


@dataclass(frozen=True, slots=True)
class _Explanation(_OfRow):
    """An explanation, in words or as a table."""

    text: str
    outcome: str
    table_tokens: tuple[str, ...] | None

    @property
    def words(self) -> str:
        """The words, or what stands in their place."""
        if self.table_tokens is not None:
            return f"a table of {len(self.table_tokens)} entries"
        return self.text if self.outcome == "ok" else f"none ({self.outcome})"


@dataclass(frozen=True, slots=True)
class _Score(_OfRow):
    """A score; NaN where it is missing."""

    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class _Simulation(_OfRow):
    """A simulated excerpt [tokens]; ``simulated`` is empty or NaN where it is missing."""

    split: str
    kind: str
    source: str
    leading: int
    tokens: tuple[str, ...]
    real: tuple[float, ...]
    simulated: tuple[float, ...]
    units: str


_SHOWN: Mapping[str, Any] = {"explanations": _Explanation, "scores": _Score, "simulations": _Simulation}
"""The tables of which units are made, and what their rows hold."""


def _table(
    folder: Path, name: str, kind: Any, filters: list[Filter] | None, columns: list[str] | None = None
) -> pa.Table:
    names = columns or [field.name for field in dataclasses.fields(kind)]
    try:
        return rows_where(folder / f"{name}.parquet", filters, names)
    except NeuroglossError as error:
        raise NeuroglossError(f"{str(error).rstrip('.')}; give the folder of a whole run.") from error


def _rows(
    folder: Path, name: str, kind: Any, filters: list[Filter] | None = None, columns: list[str] | None = None
) -> list[Any]:
    return _typed(folder, name, kind, _table(folder, name, kind, filters, columns))


def _typed(folder: Path, name: str, kind: Any, table: pa.Table) -> list[Any]:
    """Return the rows of a table as a ``kind`` each.

    Raises:
        NeuroglossError: they are not what a run writes.
    """
    return list(from_json(list[kind], table.to_pylist(), str(folder / f"{name}.parquet")))


def _excerpts(rows: Sequence[_Simulation]) -> Iterator[ExcerptView]:
    """Yield the valid excerpts of a unit, each with the simulations of every row."""
    valid = [row for row in rows if row.split == "valid"]
    largest = max((value for row in valid for value in row.real[row.leading :]), default=0.0)
    for source, kind in dict.fromkeys((row.source, row.kind) for row in valid):
        members = [row for row in valid if (row.source, row.kind) == (source, kind)]
        yield ExcerptView(
            kind,
            source,
            members[0].tokens,
            shares(members[0].real, largest),
            {row.key: shares(row.simulated, _whole(row.units, largest)) for row in members},
        )


def _whole(units: str, largest: float) -> float:
    """Return the value that counts as 1: the highest level, or the unit's largest activation."""
    return float(HIGHEST_LEVEL) if units == "levels" else largest


def shares(values: Sequence[float], whole: float) -> tuple[float, ...]:
    """Return values as shares of the one that counts as 1, from 0 to 1; missing ones, and all where it is 0, are 0."""
    if not whole > 0:
        return (0.0,) * len(values)
    return tuple(0.0 if math.isnan(value) else min(max(value / whole, 0.0), 1.0) for value in values)
