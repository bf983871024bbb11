"""The tables of a run, read back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from harness.guards.parquet import Filter, batches_of, rows_where
from harness.results.tables import EXPLANATIONS, SCORES
from harness.typed_json import from_json
from harness.types import RowKey, ScoredExplanation, TableKey


def read_scored(folder: Path) -> dict[RowKey, tuple[ScoredExplanation, ...]]:
    """Return the scored explanations of each row of a run, in the order of its tables.

    Simulated excerpts, judged cases, lookup tables and the knots of calibrations are not read.

    Raises:
        NeuroglossError: a table cannot be read, or holds what no run writes.
    """
    path = folder / "explanations.parquet"
    scores = _scores(folder / "scores.parquet")
    by_row: dict[RowKey, list[ScoredExplanation]] = {}
    for batch in batches_of(path, {field.name: field.type for field in EXPLANATIONS if field.name not in _NOT_READ}):
        documents = [_document(row, scores.get(row["explanation"], {})) for row in batch.to_pylist()]
        for item in from_json(list[ScoredExplanation], documents, str(path)):
            by_row.setdefault(RowKey(item.explanation.explainer, item.simulator), []).append(item)
    return {key: tuple(items) for key, items in by_row.items()}


_NOT_READ = {"table_tokens", "table_values", "knots_simulated", "knots_real", "unit_kind", "group", "index"}


def _scores(path: Path) -> dict[int, dict[str, Any]]:
    """Return the scores of each explanation by its number: values, which are degenerate, and what is missing."""
    columns_read = {
        name: SCORES.field(name).type for name in ("explanation", "metric", "value", "degenerate", "reason")
    }
    scores: dict[int, dict[str, Any]] = {}
    for batch in batches_of(path, columns_read):
        for place, metric, value, is_degenerate, reason in zip(*(column.to_pylist() for column in batch), strict=True):
            of_explanation = scores.setdefault(place, {"values": {}, "degenerate": [], "missing": {}})
            if value is None:
                of_explanation["missing"][metric] = reason
            else:
                of_explanation["values"][metric] = value
            if is_degenerate:
                of_explanation["degenerate"].append(metric)
    return scores


def _document(row: Mapping[str, Any], scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the table of explanations, and its scores, as JSON has a scored explanation."""
    usage = {name: row[name] for name in ("prompt_tokens", "completion_tokens", "usd", "requests")}
    counts = {name: row[name] for name in ("tokens", "missing_tokens", "judgements", "missing_judgements")}
    line = None
    if row["calibration"] is not None:
        line = {name: row[name] for name in ("slope", "intercept", "clipped")}
        line |= {"method": row["calibration"], "error": row["slope_error"]}
    explanation = {
        name: row[name]
        for name in ("unit", "text", "default", "outcome", "prompt_version", "annotator", "candidates", "shown")
    }
    explanation |= {
        "explainer": row["explainer"],
        "table_key": row["table_key"] or TableKey.TOKEN.value,
        "usage": usage,
    }
    return {
        "explanation": explanation,
        "simulator": row["simulator"],
        "simulated": [],
        "calibration": line,
        "scores": {"values": {}, **scores, **counts, "reliability": row["reliability"]},
        "simulate_usage": row["simulate_usage"],
        "judge_usage": row["judge_usage"],
    }


def explanation_numbers(folder: Path) -> dict[RowKey, list[int]]:
    """Return the numbers of the explanations of each row of a run, in the order of :func:`read_scored`."""
    table = rows_where(folder / "explanations.parquet", None, ["explanation", "explainer", "simulator"])
    numbers: dict[RowKey, list[int]] = {}
    for place, explainer, simulator in zip(*(column.to_pylist() for column in table.columns), strict=True):
        numbers.setdefault(RowKey(explainer, simulator), []).append(place)
    return numbers


def simulated_excerpts(folder: Path, numbers: Collection[int]) -> list[dict[str, Any]]:
    """Return the rows of the simulated excerpts of some explanations of a run, by the numbers of these."""
    filters: list[Filter] = [("explanation", "in", list(numbers))]
    return list(rows_where(folder / "simulations.parquet", filters).to_pylist()) if numbers else []
