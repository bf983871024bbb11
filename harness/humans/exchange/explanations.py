"""Explanations by people as the table that the explainer ``people`` reads: ``human=table human.file=FILE``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.explainers.released.people import COLUMNS
from harness.guards.printing import plain
from harness.humans.answers import Explained, Response
from harness.humans.exchange.tables import put
from harness.types import NeuroglossError


@dataclass(frozen=True, slots=True)
class Written:
    """What a table holds: its rows, the people who wrote them, and answers that saw no pattern and have no row."""

    rows: int
    people: tuple[str, ...]
    without_words: int


def write(path: Path, responses: Sequence[Response]) -> Written:
    """Write every explanation that people gave, a row for each of a unit and a person.

    Where a person explained a unit more than once, as two assignments may ask, the last one given stands.

    Args:
        path: of a CSV file.
        responses: the answers that hold, corrections in the places of what they correct.

    Raises:
        NeuroglossError: the name does not end in .csv, nobody explained anything, or it cannot be written.
    """
    if path.suffix.lower() != ".csv":
        raise NeuroglossError(f"{path}: explanations are written as CSV; name a file that ends in .csv.")
    texts: dict[tuple[str, str], str] = {}
    for response in sorted(responses, key=lambda response: response.answer.answered_at):
        if isinstance(response.answer.payload, Explained):
            texts[str(response.answer.unit), response.answer.annotator] = plain(response.answer.payload.text)
    rows = [(unit, text, annotator) for (unit, annotator), text in sorted(texts.items()) if text]
    if not rows:
        raise NeuroglossError("nobody has explained a unit in words; there are no explanations to write.")
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows([COLUMNS, *rows])
    put(path, table.getvalue().encode())
    return Written(len(rows), tuple(sorted({annotator for _, _, annotator in rows})), len(texts) - len(rows))
