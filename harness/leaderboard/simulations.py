"""The simulations of an entry: the Parquet file ``simulations/<task>/<run id>.parquet`` of its leaderboard.

By it anybody can work the entry's scores out again. It is no part of an installed package, which entries are.

A row is a simulated excerpt, in the order of the rows of the entry, their explanations, and the excerpts of each: which
excerpt it is, and the value of each of its tokens as it was read. What the excerpt holds stands in the frozen task.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.guards.parquet import table_of
from harness.results.run import Results
from harness.results.tables import FLOAT, TEXT
from harness.types import NeuroglossError, Outcome, Simulation

KEY = "simulations"
"""Of an entry's provenance: the SHA-256 of the file."""
PLACE = ("explainer", "simulator", "unit", "split", "source")
COLUMNS = {
    **dict.fromkeys(PLACE, TEXT),
    "simulated": pa.list_(FLOAT),
    "units": TEXT,
    "outcome": TEXT,
}


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulation, and which excerpt it is of."""

    explainer: str
    simulator: str
    unit: str
    split: str
    source: str
    simulation: Simulation

    @property
    def place(self) -> tuple[str, str, str, str, str]:
        """Which excerpt of which unit it is, under which explainer and simulator."""
        return self.explainer, self.simulator, self.unit, self.split, self.source


def path_of(entry: Path) -> Path:
    """Return where the simulations of an entry are, which is ``entries/<task>/<run id>.json``."""
    return entry.parents[2] / "simulations" / entry.parent.name / f"{entry.stem}.parquet"


def of_run(folder: Path) -> bytes:
    """Return the file of the simulations of a run.

    Raises:
        NeuroglossError: the run's own table of them cannot be read.
    """
    buffer = io.BytesIO()
    pq.write_table(table_of(folder / "simulations.parquet", COLUMNS), buffer, compression="zstd", compression_level=12)
    return buffer.getvalue()


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file of simulations."""
    return hashlib.sha256(content).hexdigest()


def check(path: Path, entry: Results) -> None:
    """Refuse an entry beside which the simulations that it names do not stand.

    Raises:
        NeuroglossError: they are missing, or others.
    """
    file = path_of(path)
    try:
        actual = digest(file.read_bytes())
    except OSError as error:
        reason = error.strerror or error
        raise NeuroglossError(f"{file} cannot be read ({reason}); an entry has its simulations there.") from error
    if actual != entry.provenance.get(KEY):
        raise NeuroglossError(f"{file} holds other simulations than {path.name} names by their digest; restore both.")


def table(path: Path) -> pa.Table:
    """Return the table of the simulations of an entry, with :data:`COLUMNS`.

    Raises:
        NeuroglossError: the file cannot be read, or is too large.
    """
    return table_of(path_of(path), COLUMNS)


def read(path: Path) -> Iterator[Simulated]:
    """Yield the simulations of an entry, in order.

    Raises:
        NeuroglossError: the file cannot be read, is too large, or holds an outcome that there is not.
    """
    file = path_of(path)
    for row in table(path).to_pylist():
        if row["outcome"] not in set(Outcome):
            raise NeuroglossError(f"{file} has a simulation whose outcome is none of ours; restore it.")
        expected = tuple(math.nan if value is None else value for value in row["simulated"] or ())
        simulation = Simulation(expected, units=row["units"] or "", outcome=Outcome(row["outcome"]))
        explainer, simulator, unit, split, source = (row[name] or "" for name in PLACE)
        yield Simulated(explainer, simulator, unit, split, source, simulation)
