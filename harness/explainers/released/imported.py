"""Base class of the importers of released explanations: they ask no model, and some neurons have no explanation."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.guards import reading
from harness.types import Evidence, Explanation, NeuroglossError, Outcome, Role, Unit, utf8

MOST_BYTES = 1 << 30
"""Bytes of a file of explanations, unpacked."""


@dataclass(eq=False)
class Imported(ABC):
    """Explainer that reads released explanations from a file or a folder at ``path``."""

    path: str
    role: Role = field(default=Role.EXPLAINER, init=False)

    def __post_init__(self) -> None:
        if not Path(self.path).exists():
            raise NeuroglossError(f"there is no file or folder {self.path} with explanations; check the path.")

    @abstractmethod
    def texts(self, neurons: Collection[Unit]) -> Mapping[Unit, str]:
        """Return the first released explanation of each of ``neurons`` that has one."""

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """Return one explanation for each neuron, in order, without the white space around it.

        That of a neuron is taken for its positive side; its negative side has none.
        """
        texts = self.texts({item.unit.as_released for item in evidence})
        return [_explanation(item.unit, texts.get(item.unit.as_released)) for item in evidence]


def _explanation(neuron: Unit, text: str | None) -> Explanation:
    if text is None:
        return Explanation(neuron, outcome=Outcome.NOT_COLLECTED)
    text = utf8(text).strip()
    return Explanation(neuron, text=text, outcome=Outcome.OK if text else Outcome.EMPTY)


def lines(path: Path, *, may_be_list: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object of a JSON lines file and its place in words; a file whose name ends in ``.gz`` is gzipped.

    Args:
        path: of the file.
        may_be_list: whether it may be one JSON list instead, as Neuronpedia exported explanations in its first years.

    Raises:
        NeuroglossError: the file cannot be read, or an entry is not a JSON object; the message names it.
    """
    try:
        text = _content(path).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise NeuroglossError(f"{path} cannot be read as JSON lines in UTF-8 ({error}); check the file.") from error
    if may_be_list and text.lstrip().startswith("["):
        for number, row in enumerate(reading.parsed_json(text, str(path), with_nan=True), start=1):
            if not isinstance(row, dict):
                raise NeuroglossError(f"{path}, entry {number}: an entry must be a JSON object.")
            yield f"{path}, entry {number}", row
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path}, line {number}", _object(line, f"{path}, line {number}")


def _content(path: Path) -> bytes:
    """Return the bytes of a file, unpacked: no more of them than a file may have."""
    content = reading.bytes_of(path, MOST_BYTES)
    if path.suffix != ".gz":
        return content
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        unpacked = file.read(MOST_BYTES + 1)
    if len(unpacked) > MOST_BYTES:
        raise NeuroglossError(f"{path} unpacks to more than {MOST_BYTES:,} bytes; give its explanations in parts.")
    return unpacked


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        row = reading.parsed_json(line, where, with_nan=True)  # scores that nobody could compute
    except NeuroglossError as error:
        raise NeuroglossError(f"{where}: this is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise NeuroglossError(f"{where}: a line must be a JSON object.")
    return row


def required(row: object, names: Sequence[str], where: str) -> Any:
    """Return the value of the first of ``names`` (a key and its aliases) in a mapping; NeuroglossError if none."""
    if isinstance(row, Mapping):
        for name in names:
            if name in row:
                return row[name]
    raise NeuroglossError(f"{where}: the key {names[0]} is missing; is this the right kind of file?")


def whole_number(value: object, where: str) -> int:
    """Return a layer or an index as an integer; some files write it as text."""
    if isinstance(value, int | str) and not isinstance(value, bool) and re.fullmatch(r"\d{1,9}", str(value)):
        return int(value)
    raise NeuroglossError(f"{where}: {value!r} is no layer and no index of a neuron; a whole number is wanted.")
