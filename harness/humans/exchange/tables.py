"""Answers as CSV, JSON lines and Parquet, both ways: a row an answer, beside the question that it answers.

All three hold the same columns, all of what answers hold, and random ids alone. ``question`` and ``payload`` are JSON.
A correction is a row of its own. Files are written whole or not at all.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.files import write_whole
from harness.guards import reading
from harness.guards.parquet import table_of
from harness.guards.printing import shortened
from harness.humans.answers import Answer, Assignment, Response
from harness.typed_json import from_json, to_json
from harness.types import NeuroglossError

MOST_BYTES = 1 << 28
"""Bytes of a file of answers."""
SUFFIXES = (".csv", ".jsonl", ".parquet")
"""The endings of files of answers."""
_TEXT = pa.string()
COLUMNS: Mapping[str, pa.DataType] = {
    "id": _TEXT,
    "annotator": _TEXT,
    "assignment": _TEXT,
    "unit": _TEXT,
    "mode": _TEXT,
    "place": pa.int64(),
    "shown_at": pa.float64(),
    "answered_at": pa.float64(),
    "page": _TEXT,
    "corrects": _TEXT,
    "question": _TEXT,
    "payload": _TEXT,
}
Row = Mapping[str, Any]
Placed = tuple[str, Callable[[], Row]]
"""The place of a row in words, and what reads its values by column: a row that cannot be read is one, not the end."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file held: its answers, and a sentence on each row that was refused."""

    responses: tuple[Response, ...]
    refused: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------------------- writing


def write(path: Path, responses: Iterable[Response]) -> None:
    """Write answers, in the form that the name of the file ends in.

    Raises:
        NeuroglossError: it ends in none that is known, or cannot be written.
    """
    content = _form(path).write([_row(response) for response in responses])
    put(path, content)


def put(path: Path, content: bytes) -> None:
    """Write a file whole.

    Raises:
        NeuroglossError: it cannot be written; nothing is left of it.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        raise NeuroglossError(f"{path} cannot be written: {error.strerror or error}.") from error


def _row(response: Response) -> Row:
    answer, assignment = response.answer, response.assignment
    return {
        "id": answer.id,
        "annotator": answer.annotator,
        "assignment": assignment.id,
        "unit": str(answer.unit),
        "mode": answer.mode.value,
        "place": assignment.place,
        "shown_at": answer.shown_at,
        "answered_at": answer.answered_at,
        "page": answer.page,
        "corrects": answer.corrects,
        "question": json.dumps(to_json(assignment.question), ensure_ascii=False),
        "payload": json.dumps(to_json(answer.payload), ensure_ascii=False),
    }


def _csv_of(rows: Sequence[Row]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _jsonl_of(rows: Sequence[Row]) -> bytes:
    documents = (
        {**row, "question": json.loads(row["question"]), "payload": json.loads(row["payload"])} for row in rows
    )
    return "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents).encode()


def _parquet_of(rows: Sequence[Row]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=pa.schema(list(COLUMNS.items()))), file)
    return file.getvalue()


# ------------------------------------------------------------------------------------------------------------- reading


def read(path: Path, skip_bad: bool = False) -> Imported:
    """Return the answers of a file.

    Args:
        path: a CSV, JSON lines or Parquet file.
        skip_bad: whether rows that cannot be read are left out, and not the end of it.

    Raises:
        NeuroglossError: the file cannot be read, or a row cannot; the place and the reason are named.
    """
    return taken(_form(path).read(path), response_of, skip_bad)


def taken(rows: Iterable[Placed], respond: Callable[[Row, str], Response], skip_bad: bool) -> Imported:
    """Return the answers that rows hold, and the rows that were refused.

    Refused is also a second row of one id, one with an assignment that another row has with other content, and a
    correction of what no row before it holds.

    Raises:
        NeuroglossError: a row is refused, unless ``skip_bad``.
    """
    answers: dict[str, Response] = {}
    assignments: dict[str, Assignment] = {}
    refused = []
    for where, row in rows:
        try:
            candidate = respond(row(), where)
            _check_fit(candidate, answers, assignments, where)
        except NeuroglossError as error:
            sentence = str(error) if where in str(error) else f"{where}: {error}"
            if not skip_bad:
                raise NeuroglossError(sentence) from error
            refused.append(sentence)
            continue
        answers[candidate.answer.id] = candidate
        assignments[candidate.assignment.id] = candidate.assignment
    return Imported(tuple(answers.values()), tuple(refused))


def _check_fit(
    candidate: Response, answers: Mapping[str, Response], assignments: Mapping[str, Assignment], where: str
) -> None:
    answer = candidate.answer
    if answer.id in answers:
        raise NeuroglossError(f"{where}: there is an answer with the id {answer.id} already; keep one.")
    if assignments.get(answer.assignment, candidate.assignment) != candidate.assignment:
        raise NeuroglossError(f"{where}: assignment {answer.assignment} is another question in a row before it.")
    if answer.corrects is None:
        return
    corrected = answers.get(answer.corrects)
    if corrected is None or corrected.answer.assignment != answer.assignment:
        raise NeuroglossError(
            f"{where}: it corrects {answer.corrects}, which is no answer to its assignment before it."
        )


def response_of(row: Row, where: str) -> Response:
    """Return the answer that a row holds.

    Raises:
        NeuroglossError: a column is missing or does not belong there, or the values are none of an answer.
    """
    if set(row) != set(COLUMNS):
        apart = ", ".join(sorted(set(map(str, row)) ^ set(COLUMNS)))
        raise NeuroglossError(f"{where}: the columns must be {', '.join(COLUMNS)}; the difference is: {apart}.")
    check_random(row["annotator"], where)
    question, payload = (_document(row[name], f"{where}: {name}") for name in ("question", "payload"))
    shared = {"annotator": row["annotator"], "unit": row["unit"]}
    assignment: Assignment = from_json(
        Assignment, {**shared, "id": row["assignment"], "place": row["place"], "question": question}, where
    )
    answer_names = ("id", "assignment", "shown_at", "answered_at", "page", "corrects")
    answer: Answer = from_json(
        Answer, {**shared, **{name: row[name] for name in answer_names}, "payload": payload}, where
    )
    if not answer.mode == assignment.mode == row["mode"]:
        raise NeuroglossError(
            f"{where}: the mode is {row['mode']}, the question {assignment.mode} and the answer {answer.mode}."
        )
    return Response(answer, assignment)


def check_random(annotator: object, where: str) -> None:
    """Refuse what is no random id of a person but an address or a name of several words.

    Raises:
        NeuroglossError: it is none.
    """
    if not isinstance(annotator, str) or not annotator or re.search(r"[@\s]", annotator):
        raise NeuroglossError(
            f"{where}: the annotator is {shortened(repr(annotator))}; write a random id, and keep apart whose it is."
        )


def _document(value: object, where: str) -> Any:
    """Return the value of a column of JSON, which a JSON line holds as it is."""
    return reading.parsed_json(value, where) if isinstance(value, str) else value


def _csv_rows(path: Path) -> Iterator[Placed]:
    text = reading.text_of(path, MOST_BYTES, "CSV").removeprefix("\ufeff")
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if len(set(reader.fieldnames or ())) < len(reader.fieldnames or ()):
        raise NeuroglossError(f"{path}, line 1: a column stands there twice; keep one of each name.")
    line = 2
    try:
        for row in reader:
            yield f"{path}, line {line}", partial(_cells, row)
            line = reader.line_num + 1
    except csv.Error as error:
        raise NeuroglossError(f"{path}, line {line}: {error}.") from error


def _cells(row: Mapping[str, str | None]) -> Row:
    return {name: _cell(name, text) for name, text in row.items()}


def _cell(name: str, text: str | None) -> object:
    """Return the value that a cell of CSV stands for, or its text where it is none of its column."""
    if name == "corrects" and not text:
        return None
    kinds: dict[str, Callable[[str], object]] = {"place": int, "shown_at": float, "answered_at": float}
    try:
        return kinds.get(name, str)(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _json_lines(path: Path) -> Iterator[Placed]:
    for number, line in enumerate(reading.text_of(path, MOST_BYTES, "JSON lines").split("\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, partial(mapping, line, where)


def mapping(text: str, where: str) -> Row:
    """Return the object that a text in JSON holds.

    Raises:
        NeuroglossError: it holds none.
    """
    document = reading.parsed_json(text, where)
    if not isinstance(document, dict):
        raise NeuroglossError(f"{where}: a JSON object is wanted.")
    return document


def _parquet_rows(path: Path) -> Iterator[Placed]:
    for number, row in enumerate(table_of(path, COLUMNS).to_pylist(), start=1):
        yield f"{path}, row {number}", partial(dict, row)


@dataclass(frozen=True)
class _Form:
    write: Callable[[Sequence[Row]], bytes]
    read: Callable[[Path], Iterator[Placed]]


def _form(path: Path) -> _Form:
    made_and_read = (
        _Form(_csv_of, _csv_rows),
        _Form(_jsonl_of, _json_lines),
        _Form(_parquet_of, _parquet_rows),
    )
    forms = dict(zip(SUFFIXES, made_and_read, strict=True))
    if path.suffix.lower() not in forms:
        raise NeuroglossError(
            f"{path} is none of {', '.join(forms)}; name a file of answers that ends in one of these."
        )
    return forms[path.suffix.lower()]
