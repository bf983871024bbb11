"""People as explainers: their explanations are read from a table and scored like those of a model."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness.explainers.released.imported import lines
from harness.guards import reading
from harness.guards.parquet import rows_where
from harness.types import Evidence, Explanation, NeuroglossError, Outcome, Role, Unit, utf8

COLUMNS = ("neuron", "text", "annotator")
Row = tuple[str, Mapping[str, Any]]
"""The place of a row in words, and its values by column."""


@dataclass(eq=False)
class People:
    """Explainer that reads a CSV, JSONL or Parquet file with the columns neuron, text and annotator.

    Each neuron gets the explanation by ``annotator``; if that is None, those of all its annotators, in order of names,
    whose scores are averaged. Neurons without an explanation are *not collected*; without a ``path`` these are all.
    """

    path: str | None = None
    annotator: str | None = None
    role: Role = field(default=Role.HUMAN, init=False)

    def __post_init__(self) -> None:
        if self.path is not None and not Path(self.path).is_file():
            state = "is no file" if Path(self.path).exists() else "does not exist"
            raise NeuroglossError(f"the file of people's explanations {self.path} {state}; check human.file.")

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """Return the explanations of each neuron, in order."""
        explanations = read(Path(self.path)) if self.path is not None else []
        names = sorted({explanation.annotator for explanation in explanations})
        if self.annotator is not None and self.path is not None and self.annotator not in names:
            raise NeuroglossError(f"{self.path} has nothing by {self.annotator!r}; there are: {', '.join(names)}.")
        by_neuron: dict[Unit, list[Explanation]] = {}
        for explanation in sorted(explanations, key=lambda item: item.annotator):
            if self.annotator in (None, explanation.annotator):
                by_neuron.setdefault(explanation.unit, []).append(explanation)
        return [
            explanation
            for item in evidence
            for explanation in by_neuron.get(item.unit, [Explanation(item.unit, outcome=Outcome.NOT_COLLECTED)])
        ]


def read(path: Path) -> list[Explanation]:
    """Return every explanation in a file; the first invalid row is an error that names the file and the line."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise NeuroglossError(f"{path} is none of {', '.join(_READERS)}; save people's explanations as one of these.")
    explanations: dict[tuple[Unit, str], Explanation] = {}
    try:
        for where, row in reader(path):
            explanation = _explanation(row, where)
            neuron, annotator = explanation.unit, explanation.annotator
            if (neuron, annotator) in explanations:
                raise NeuroglossError(f"{where}: {annotator!r} explains {neuron} a second time.")
            explanations[neuron, annotator] = explanation
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise NeuroglossError(f"{path} cannot be read as {path.suffix[1:]} in UTF-8: {error}.") from error
    if not explanations:
        raise NeuroglossError(f"{path} holds no explanation; write a row for each, with {', '.join(COLUMNS)}.")
    return list(explanations.values())


def _explanation(row: Mapping[str, Any], where: str) -> Explanation:
    if None in row:
        raise NeuroglossError(f"{where}: there are more cells than columns; put a text that holds commas in quotes.")
    if set(row) != set(COLUMNS):
        columns = ", ".join(map(str, row))
        raise NeuroglossError(f"{where}: the columns must be {', '.join(COLUMNS)}; found: {columns}.")
    values = {name: utf8(value).strip() if isinstance(value, str) else "" for name, value in row.items()}
    for name, value in values.items():
        if not value:
            raise NeuroglossError(f"{where}: {name} is empty or not a text; fill it in or delete the row.")
    try:
        neuron = Unit.parse(values["neuron"])
    except NeuroglossError as error:
        raise NeuroglossError(f"{where}: {error}") from error
    return Explanation(neuron, text=values["text"], annotator=values["annotator"])


def _csv(path: Path) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(reading.text_of(path), newline=""), strict=True)
    if len(set(reader.fieldnames or ())) < len(reader.fieldnames or ()):
        raise NeuroglossError(f"{path}, line 1: a column stands there twice; keep one {', one '.join(COLUMNS)}.")
    for row in reader:
        yield f"{path}, line {reader.line_num}", row


def _parquet(path: Path) -> Iterator[Row]:
    for number, row in enumerate(rows_where(path, None).to_pylist(), start=1):
        yield f"{path}, row {number}", row


_READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {".csv": _csv, ".jsonl": lines, ".parquet": _parquet}
