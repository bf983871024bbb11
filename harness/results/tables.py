"""Scored explanations as Parquet tables.

* ``explanations.parquet``: a row an explanation: its text or table, what became of it, its calibration, its cost.
* ``simulations.parquet``: a row a simulated excerpt: its tokens, and the real, simulated and calibrated value of each.
* ``judgements.parquet``: a row a case that a judge was put, in runs that have judges.
* ``scores.parquet``: a row an explanation and metric: its value, or the reason why it has none.

They hold nothing that differs between a run that was resumed and one that never stopped. A missing number is null.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.results.vocabulary import ExplainerInfo, ResultRow
from harness.text import number
from harness.types import (
    Judged,
    ScoredExplanation,
    SimulatedExcerpt,
    utf8,
)

TABLES = ("explanations.parquet", "simulations.parquet", "scores.parquet")
"""The tables that every run has."""


def write_tables(folder: Path, tables: Mapping[str, Table]) -> None:
    """Write Parquet tables, by the name of their file."""
    for name, (rows, schema) in tables.items():
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), folder / name)


def columns(**types: pa.DataType) -> pa.Schema:
    """Return the columns of a table, by name."""
    return pa.schema(list(types.items()))


TEXT, FLOAT, INT, BOOL = pa.string(), pa.float64(), pa.int64(), pa.bool_()


_WHICH = {
    "explainer": TEXT,
    "method": TEXT,
    "model": TEXT,
    "simulator": TEXT,
    "unit": TEXT,
    "unit_kind": TEXT,
    "group": TEXT,
    "index": INT,
    "annotator": TEXT,
}


_EXPLANATIONS = columns(
    **_WHICH,
    text=TEXT,
    table_key=TEXT,
    table_tokens=pa.list_(TEXT),
    table_values=pa.list_(FLOAT),
    default=FLOAT,
    outcome=TEXT,
    prompt_version=TEXT,
    prompt_tokens=INT,
    completion_tokens=INT,
    usd=FLOAT,
    calibration=TEXT,
    slope=FLOAT,
    slope_error=FLOAT,
    intercept=FLOAT,
    clipped=BOOL,
    candidates=pa.list_(pa.struct({"text": TEXT, "outcome": TEXT, "score": FLOAT})),
    shown=pa.list_(TEXT),
    knots_simulated=pa.list_(FLOAT),
    knots_real=pa.list_(FLOAT),
)


_SIMULATIONS = columns(
    **_WHICH,
    split=TEXT,
    kind=TEXT,
    source=TEXT,
    weight=FLOAT,
    leading=INT,
    tokens=pa.list_(TEXT),
    real=pa.list_(FLOAT),
    simulated=pa.list_(FLOAT),
    calibrated=pa.list_(FLOAT),
    mass=pa.list_(FLOAT),
    units=TEXT,
    outcome=TEXT,
)


_JUDGEMENTS = columns(
    **_WHICH,
    judge=TEXT,
    kind=TEXT,
    source=TEXT,
    tokens=pa.list_(TEXT),
    marked=pa.list_(INT),
    truth=BOOL,
    probability=FLOAT,
    outcome=TEXT,
)


_SCORES = columns(**_WHICH, metric=TEXT, value=FLOAT, degenerate=BOOL, reason=TEXT)


Rows = Iterator[dict[str, object]]


Table = tuple[Rows, pa.Schema]
"""The rows of a table, and its columns."""


def tables(explainers: Sequence[ExplainerInfo], rows: Sequence[ResultRow]) -> dict[str, Table]:
    """Return the tables of the rows of a run, by the name of their file."""
    infos = {info.name: info for info in explainers}
    items = [(infos[row.summary.explainer], item) for row in rows for item in row.scored]
    cases = (_judgement_row(info, item, case) for info, item in items for case in item.judged)
    judged = {"judgements.parquet": (cases, _JUDGEMENTS)} if any(item.judged for _, item in items) else {}
    return judged | {
        "explanations.parquet": ((_explanation_row(info, item) for info, item in items), _EXPLANATIONS),
        "simulations.parquet": (
            (_simulation_row(info, item, simulated) for info, item in items for simulated in item.simulated),
            _SIMULATIONS,
        ),
        "scores.parquet": ((row for info, item in items for row in _score_rows(info, item)), _SCORES),
    }


def _which(explainer: ExplainerInfo, item: ScoredExplanation) -> dict[str, object]:
    return {
        "explainer": utf8(explainer.name),
        "method": utf8(explainer.method),
        "model": utf8(explainer.model),
        "simulator": utf8(item.simulator),
        "unit": utf8(str(item.unit)),
        "unit_kind": item.unit.kind,
        "group": utf8(item.unit.group),
        "index": item.unit.index,
        "annotator": utf8(item.explanation.annotator),
    }


def _explanation_row(explainer: ExplainerInfo, item: ScoredExplanation) -> dict[str, object]:
    explanation, usage, line = item.explanation, item.explanation.usage, item.calibration
    table = explanation.table
    return {
        **_which(explainer, item),
        "text": utf8(explanation.text),
        "table_key": None if table is None else explanation.table_key.value,
        "table_tokens": None if table is None else [utf8(token) for token in table],
        "table_values": None if table is None else [number(value) for value in table.values()],
        "default": explanation.default,
        "outcome": explanation.outcome.value,
        "prompt_version": explanation.prompt_version,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "usd": usage.usd,
        "calibration": line and line.method.value,
        "slope": line and number(line.slope),
        "slope_error": line and number(line.error),
        "intercept": line and number(line.intercept),
        "clipped": line and line.clipped,
        "candidates": [
            {"text": utf8(rival.text), "outcome": rival.outcome.value, "score": rival.score}
            for rival in explanation.candidates
        ],
        "shown": [utf8(source) for source in explanation.shown],
        "knots_simulated": line and [knot[0] for knot in line.knots],
        "knots_real": line and [knot[1] for knot in line.knots],
    }


def _simulation_row(
    explainer: ExplainerInfo, item: ScoredExplanation, simulated: SimulatedExcerpt
) -> dict[str, object]:
    excerpt, simulation = simulated.excerpt, simulated.simulation
    return {
        **_which(explainer, item),
        "split": simulated.split,
        "kind": excerpt.kind.value,
        "source": utf8(excerpt.source),
        "weight": excerpt.weight,
        "leading": excerpt.leading,
        "tokens": [utf8(token) for token in excerpt.tokens],
        "real": list(excerpt.activations),
        "simulated": [number(value) for value in simulation.expected],
        "calibrated": [number(value) for value in simulated.calibrated],
        "mass": None if simulation.mass is None else [number(value) for value in simulation.mass],
        "units": simulation.units,
        "outcome": simulation.outcome.value,
    }


def _judgement_row(explainer: ExplainerInfo, item: ScoredExplanation, case: Judged) -> dict[str, object]:
    return {
        **_which(explainer, item),
        "judge": case.judge,
        "kind": case.excerpt.kind.value,
        "source": utf8(case.excerpt.source),
        "tokens": [utf8(token) for token in case.excerpt.tokens],
        "marked": list(case.marked),
        "truth": case.truth,
        "probability": number(case.judgement.probability),
        "outcome": case.judgement.outcome.value,
    }


def _score_rows(explainer: ExplainerInfo, item: ScoredExplanation) -> Rows:
    key, scores = _which(explainer, item), item.scores
    for metric, value in scores.values.items():
        yield {**key, "metric": metric, "value": value, "degenerate": metric in scores.degenerate}
    for metric, reason in scores.missing.items():
        yield {**key, "metric": metric, "degenerate": False, "reason": reason}
