"""Scored explanations as Parquet tables.

* ``explanations.parquet``: a row an explanation: its text or table, what became of it, its calibration, its cost.
* ``simulations.parquet``: a row a simulated excerpt: its tokens, and the real, simulated and calibrated value of each.
* ``judgements.parquet``: a row a case that a judge was put, in runs that have judges.
* ``scores.parquet``: a row an explanation and metric: its value, or the reason why it has none.

They hold nothing that differs between a run that was resumed and one that never stopped. A missing number is null.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from harness.results.vocabulary import ExplainerInfo
from harness.text import number
from harness.types import Judged, RowKey, ScoredExplanation, SimulatedExcerpt, Usage, utf8

TABLES = ("explanations.parquet", "simulations.parquet", "scores.parquet")
"""The tables that every run has."""
_ROWS_TOGETHER = 8192
"""Rows of a table that are made at once, and that are one row group of its file."""


def columns(**types: pa.DataType) -> pa.Schema:
    """Return the columns of a table, by name."""
    return pa.schema(list(types.items()))


TEXT, FLOAT, INT, BOOL = pa.string(), pa.float64(), pa.int64(), pa.bool_()


_WHICH = {
    "explanation": INT,
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


_USAGE = pa.struct({"requests": INT, "prompt_tokens": INT, "completion_tokens": INT, "usd": FLOAT})


EXPLANATIONS = columns(
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
    requests=INT,
    simulate_usage=_USAGE,
    judge_usage=_USAGE,
    tokens=INT,
    missing_tokens=INT,
    judgements=INT,
    missing_judgements=INT,
    reliability=pa.list_(pa.struct({"tokens": INT, "predicted": FLOAT, "actual": FLOAT})),
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


SCORES = columns(**_WHICH, metric=TEXT, value=FLOAT, degenerate=BOOL, reason=TEXT)


Rows = Iterator[dict[str, object]]


class TableWriter:
    """Writes the tables of a run into a folder, each part of the run as a row group of each.

    Args:
        folder: that is there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish the files."""
        for writer in self._writers.values():
            writer.close()

    def write(self, explainers: Iterable[ExplainerInfo], scored: Mapping[RowKey, Sequence[ScoredExplanation]]) -> None:
        """Write the scored explanations of some units.

        Args:
            explainers: of all rows.
            scored: the explanations of each row, whose rows of a table stand in this order.

        Raises:
            OSError: they cannot be written.
        """
        infos = {info.name: info for info in explainers}
        members = [(infos[key.explainer], item) for key, of_row in scored.items() for item in of_row]
        items = [(_which(number, *member), member[1]) for number, member in enumerate(members, start=self._number)]
        self._number += len(items)
        self._add("explanations", EXPLANATIONS, (which | _explanation_row(item) for which, item in items))
        simulations = ((which, simulated) for which, item in items for simulated in item.simulated)
        self._add("simulations", _SIMULATIONS, (which | _simulation_row(simulated) for which, simulated in simulations))
        scores = ((which, row) for which, item in items for row in _score_rows(item))
        self._add("scores", SCORES, (which | row for which, row in scores))
        if "judgements" in self._writers or any(item.judged for _, item in items):
            cases = ((which, case) for which, item in items for case in item.judged)
            self._add("judgements", _JUDGEMENTS, (which | _judgement_row(case) for which, case in cases))

    def _add(self, name: str, schema: pa.Schema, rows: Rows) -> None:
        if name not in self._writers:
            self._writers[name] = pq.ParquetWriter(self.folder / f"{name}.parquet", schema)
        while chunk := list(islice(rows, _ROWS_TOGETHER)):
            self._writers[name].write_table(pa.Table.from_pylist(chunk, schema=schema))


def _which(number: int, explainer: ExplainerInfo, item: ScoredExplanation) -> dict[str, object]:
    """Return which explanation a row is about: its number in its table, which all tables share, and its place."""
    return {
        "explanation": number,
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


def _explanation_row(item: ScoredExplanation) -> dict[str, object]:
    explanation, usage, line, scores = item.explanation, item.explanation.usage, item.calibration, item.scores
    table = explanation.table
    return {
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
        "requests": usage.requests,
        "simulate_usage": _usage(item.simulate_usage),
        "judge_usage": _usage(item.judge_usage),
        "tokens": scores.tokens,
        "missing_tokens": scores.missing_tokens,
        "judgements": scores.judgements,
        "missing_judgements": scores.missing_judgements,
        "reliability": [dataclasses.asdict(part) for part in scores.reliability],
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


def _usage(usage: Usage) -> dict[str, float]:
    """Return a cost; how many replies the store had differs between runs that are the same."""
    return {name: value for name, value in dataclasses.asdict(usage).items() if name != "stored"}


def _simulation_row(simulated: SimulatedExcerpt) -> dict[str, object]:
    excerpt, simulation = simulated.excerpt, simulated.simulation
    return {
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


def _judgement_row(case: Judged) -> dict[str, object]:
    return {
        "judge": case.judge,
        "kind": case.excerpt.kind.value,
        "source": utf8(case.excerpt.source),
        "tokens": [utf8(token) for token in case.excerpt.tokens],
        "marked": list(case.marked),
        "truth": case.truth,
        "probability": number(case.judgement.probability),
        "outcome": case.judgement.outcome.value,
    }


def _score_rows(item: ScoredExplanation) -> Rows:
    scores = item.scores
    for metric, value in scores.values.items():
        yield {"metric": metric, "value": value, "degenerate": metric in scores.degenerate}
    for metric, reason in scores.missing.items():
        yield {"metric": metric, "degenerate": False, "reason": reason}
