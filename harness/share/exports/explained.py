"""The explanations of a run that other tools can hold: those in words, by methods and by people, with their scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.guards.parquet import Filter, rows_where
from harness.results.run import Results
from harness.results.vocabulary import ExplainerInfo
from harness.types import NeuroglossError, Outcome, Record, Role, RowKey, Unit

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation of a unit in words.

    Attributes:
        unit: by the name that other tools have for it; that of the neuron for its positive side.
        text: the explanation.
        scores: metric -> value, of those that it has.
        simulations: its simulated excerpts of the valid split, as ``simulations.parquet`` has them.
    """

    unit: Unit
    text: str
    scores: Mapping[str, float]
    simulations: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class ExplainedRow:
    """A row of the board: its explainer, its simulator, and its explanations in words, in the order of the units."""

    info: ExplainerInfo
    simulator: str
    explanations: tuple[Explained, ...]


@dataclass(frozen=True)
class Exporting:
    """What an export is made of.

    Attributes:
        results: of the run.
        rows: of the board by methods and people, one at a time in memory.
        records: its units with their excerpts; empty for a format that holds none.
        source: the name of a set of Neuronpedia's sources, as in ``12-NAME``; empty for neurons.
    """

    results: Results
    rows: Iterator[ExplainedRow]
    records: Sequence[Record] = ()
    source: str = ""


def explained_rows(results: Results, folder: Path, kinds: Sequence[str], noun: str) -> Iterator[ExplainedRow]:
    """Yield each row by a method or by people, one at a time in memory; controls and negative sides are left out.

    Args:
        results: of the run.
        folder: the run's.
        kinds: of units that the format can hold.
        noun: what the format calls them, for errors.

    Raises:
        NeuroglossError: a unit is of another kind, no row has an explanation in words, or a table cannot be read.
    """
    strangers = [unit for unit in results.task.units if unit.as_released.kind.rstrip("-") not in kinds]
    if strangers:
        raise NeuroglossError(f"{strangers[0]} is none of the {noun} that the format holds; export another run.")
    infos = {info.name: info for info in results.explainers}
    keys = [row.key for row in results.rows if row.summary.role in (Role.EXPLAINER, Role.HUMAN)]
    is_empty = True
    for key in keys:
        explanations = tuple(_explanations(folder, key))
        if explanations:
            is_empty = False
            yield ExplainedRow(infos[key.explainer], key.simulator, explanations)
    if is_empty:
        raise NeuroglossError(
            f"{folder} has no explanation in words by a method or by people that the format can hold."
        )


def _explanations(folder: Path, key: RowKey) -> Iterator[Explained]:
    scores: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in _rows(folder, "scores", key):
        if row["value"] is not None:
            scores[_of(row)][row["metric"]] = row["value"]
    simulations: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in _rows(folder, "simulations", key):
        if row["split"] == "valid" and row["outcome"] == Outcome.OK.value:
            simulations[_of(row)].append(row)
    for row in _rows(folder, "explanations", key):
        if row["outcome"] == Outcome.OK.value and row["table_tokens"] is None and row["text"].strip():
            unit = Unit.parse(row["unit"]).as_released
            if unit.side != "-":
                yield Explained(unit, row["text"], scores[_of(row)], tuple(simulations[_of(row)]))


def _of(row: Row) -> tuple[str, str]:
    return row["unit"], row["annotator"]


def _rows(folder: Path, table: str, key: RowKey) -> list[Row]:
    filters: list[Filter] = [("explainer", "=", key.explainer), ("simulator", "=", key.simulator)]
    return list(rows_where(folder / f"{table}.parquet", filters).to_pylist())
