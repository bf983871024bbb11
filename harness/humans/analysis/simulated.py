"""The simulated excerpts of a run, as analyses of people need them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from harness.guards.parquet import table_of
from harness.types import FloatArray, Unit, content_digest

MOST_BYTES = 1 << 32
"""Bytes of the decoded simulations of a run."""
_TEXT, _NUMBERS = pa.string(), pa.list_(pa.float64())
_COLUMNS = {
    "explainer": _TEXT,
    "annotator": _TEXT,
    "simulator": _TEXT,
    "unit": _TEXT,
    "split": _TEXT,
    "leading": pa.int64(),
    "tokens": pa.list_(_TEXT),
    "real": _NUMBERS,
    "simulated": _NUMBERS,
}


@dataclass(frozen=True, slots=True)
class SimulatedExcerpt:
    """A valid excerpt of a unit under an explanation and a simulator.

    Attributes:
        explainer, annotator: who wrote the explanation; ``annotator`` is empty for a method.
        simulator: which simulated it.
        unit: which is explained.
        excerpt: its key (``Excerpt.digest``).
        leading: number of first positions that count in no score.
        real: activations [tokens].
        simulated: what the simulator expects, in its own scale; NaN where it is missing [tokens].
    """

    explainer: str
    annotator: str
    simulator: str
    unit: Unit
    excerpt: str
    leading: int
    real: FloatArray
    simulated: FloatArray


def read(folder: Path) -> list[SimulatedExcerpt]:
    """Return the valid excerpts of a run's folder.

    Raises:
        NeuroglossError: its table cannot be read.
    """
    return list(_rows(table_of(folder / "simulations.parquet", _COLUMNS, MOST_BYTES)))


def _rows(table: pa.Table) -> Iterator[SimulatedExcerpt]:
    for row in table.to_pylist():
        if row["split"] == "valid":
            real = np.array(row["real"], dtype=np.float64)
            simulated = np.array(row["simulated"] or [np.nan] * len(real), dtype=np.float64)
            yield SimulatedExcerpt(
                row["explainer"],
                row["annotator"],
                row["simulator"],
                Unit.parse(row["unit"]),
                content_digest(row["tokens"]),
                row["leading"],
                real,
                simulated,
            )
