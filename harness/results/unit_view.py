"""One unit of a run, as its tables have it: explanations and scores, and real and simulated activations by token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.results.rows import COMPARED
from harness.results.run import Results, read_run
from harness.stats import HEADLINE
from harness.types import HIGHEST_LEVEL, NeuroglossError, RowKey

Row = Mapping[str, Any]
Filter = tuple[str, str, str | int]
"""A column, a comparison, and what it is compared with."""
TABLES_SHOWN = ("explanations", "scores", "simulations")


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
    results = read_run(folder)
    metric = _metric(results)
    units = list(dict.fromkeys(_table(folder, "explanations", columns=["unit"])["unit"].to_pylist()))
    name = unit or _best(results, _scores(folder, metric), units)
    if name not in units:
        raise NeuroglossError(f"the run has no unit {name}; it has {', '.join(units[:8])}{', ...' * (len(units) > 8)}.")
    return _view(name, metric, *(_table(folder, table, [("unit", "=", name)]).to_pylist() for table in TABLES_SHOWN))


def read_all(folder: Path) -> Iterator[UnitView]:
    """Yield every unit of a run, in the order of its tables, of which memory holds the part about some units only.

    Raises:
        NeuroglossError: the folder is no run.
    """
    metric = _metric(read_run(folder))
    for first, end, units in _parts(_table(folder, "explanations", columns=["explanation", "unit"])):
        part: list[Filter] = [("explanation", ">=", first), ("explanation", "<", end)]
        tables = [_table(folder, name, part) for name in TABLES_SHOWN]
        for unit in units:
            yield _view(unit, metric, *(table.filter(pc.field("unit") == unit).to_pylist() for table in tables))


def _parts(explanations: pa.Table) -> Iterator[tuple[int, int, list[str]]]:
    """Yield parts of a run's tables that have all there is of their units: the number of the first explanation, that of
    the first one behind the part, and the units in order."""
    pairs = list(zip(explanations["explanation"].to_pylist(), explanations["unit"].to_pylist(), strict=True))
    last = {unit: number for number, unit in pairs}
    units: dict[str, None] = {}
    first = pairs[0][0] if pairs else 0
    end = first
    for number, unit in pairs:
        units[unit] = None
        end = max(end, last[unit])
        if number == end:
            yield first, end + 1, list(units)
            units, first, end = {}, end + 1, end + 1


def _metric(results: Results) -> str:
    """Return what the rows of a run are ranked by."""
    return next((standing.metric for standing in results.standings), HEADLINE)


def _scores(folder: Path, metric: str) -> list[Row]:
    columns = ["unit", "explainer", "value"]
    return list(_table(folder, "scores", [("metric", "=", metric)], columns).to_pylist())


def _best(results: Results, scores: Sequence[Row], units: Sequence[str]) -> str:
    """Return the unit with the highest score by a method; by any row where there is no method."""
    methods = {row.explainer for row in results.summaries if row.role in COMPARED}
    best: dict[str, float] = {}
    for row in [row for row in scores if row["explainer"] in methods] or scores:
        best[row["unit"]] = max(_value(row), best.get(row["unit"], -1.0))
    return max(units, key=lambda name: best.get(name, -1.0))


def _view(
    unit: str, metric: str, explanations: Sequence[Row], scores: Sequence[Row], simulations: Sequence[Row]
) -> UnitView:
    values = {_key(row): row["value"] for row in scores if row["metric"] == metric}
    rows = tuple(RowView(_key(row), _explanation(row), values.get(_key(row))) for row in explanations)
    return UnitView(unit, metric, rows, tuple(_excerpts(simulations)))


def _table(folder: Path, name: str, filters: list[Filter] | None = None, columns: list[str] | None = None) -> pa.Table:
    path = folder / f"{name}.parquet"
    try:
        return pq.read_table(path, filters=filters, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise NeuroglossError(f"{path} cannot be read; give the folder of a whole run.") from error


def _key(row: Row) -> RowKey:
    return RowKey(row["explainer"], row["simulator"])


def _value(row: Row) -> float:
    return -1.0 if row["value"] is None else float(row["value"])


def _explanation(row: Row) -> str:
    """Return the words of an explanation, or what stands in their place."""
    if row["table_tokens"] is not None:
        return f"a table of {len(row['table_tokens'])} entries"
    return str(row["text"]) if row["outcome"] == "ok" else f"none ({row['outcome']})"


def _excerpts(rows: Sequence[Row]) -> Iterator[ExcerptView]:
    """Yield the valid excerpts of a unit, each with the simulations of every row."""
    valid = [row for row in rows if row["split"] == "valid"]
    largest = max((value for row in valid for value in row["real"][row["leading"] :]), default=0.0)
    for source, kind in dict.fromkeys((row["source"], row["kind"]) for row in valid):
        members = [row for row in valid if (row["source"], row["kind"]) == (source, kind)]
        yield ExcerptView(
            kind,
            source,
            tuple(members[0]["tokens"]),
            shares(members[0]["real"], largest),
            {_key(row): shares(row["simulated"], _whole(row["units"], largest)) for row in members},
        )


def _whole(units: str, largest: float) -> float:
    """Return the value that counts as 1: the highest level, or the unit's largest activation."""
    return float(HIGHEST_LEVEL) if units == "levels" else largest


def shares(values: Sequence[float | None] | None, whole: float) -> tuple[float, ...]:
    """Return values as shares of the one that counts as 1, from 0 to 1; missing ones, and all where it is 0, are 0."""
    return tuple(min(max((value or 0.0) / whole, 0.0), 1.0) if whole > 0 else 0.0 for value in values or ())
