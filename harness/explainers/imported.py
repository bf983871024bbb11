"""What importers of released explanations share: they ask no model, and a neuron without an explanation is named so."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.types import Evidence, Explanation, NeuroglossError, NeuronId, Outcome, Role, utf8


@dataclass(eq=False)
class Imported(ABC):
    """Explanations from a file or a folder at ``path``, as somebody else released them."""

    path: str
    role: Role = field(default=Role.EXPLAINER, init=False)

    def __post_init__(self) -> None:
        if not Path(self.path).exists():
            raise NeuroglossError(f"there is no file or folder {self.path} with explanations; check the path.")

    @abstractmethod
    def texts(self, neurons: Collection[NeuronId]) -> Mapping[NeuronId, str]:
        """The first explanation that was released of each of ``neurons``, as far as there is one."""

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """One explanation for each neuron, in order; only the white space around it is taken off."""
        found = self.texts({known.neuron for known in evidence})
        return [_explanation(known.neuron, found.get(known.neuron)) for known in evidence]


def _explanation(neuron: NeuronId, text: str | None) -> Explanation:
    if text is None:
        return Explanation(neuron, "", outcome=Outcome.NOT_COLLECTED)
    kept = utf8(text).strip()
    return Explanation(neuron, "", text=kept, outcome=Outcome.OK if kept else Outcome.EMPTY)


def lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object of a file with one JSON object a line, gzipped where its name ends in ``.gz``, with where it stands.

    Raises:
        NeuroglossError: the file cannot be read, or a line is no JSON object; it is named.
    """
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise NeuroglossError(f"{path} cannot be read as JSON lines in UTF-8 ({error}); check the file.") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path}, line {number}", _object(line, f"{path}, line {number}")


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise NeuroglossError(f"{where}: this is not JSON ({error}).") from error
    if not isinstance(row, dict):
        raise NeuroglossError(f"{where}: a line must be a JSON object.")
    return row


def needed(row: object, names: Sequence[str], where: str) -> Any:
    """The value of the first of ``names`` (a key and its aliases) that a mapping has; NeuroglossError if none."""
    if isinstance(row, Mapping):
        for name in names:
            if name in row:
                return row[name]
    raise NeuroglossError(f"{where}: the key {names[0]} is missing; is this the right kind of file?")


def whole_number(value: object, where: str) -> int:
    """A layer or an index, which some files write as text."""
    if isinstance(value, int | str) and not isinstance(value, bool) and re.fullmatch(r"\d{1,9}", str(value)):
        return int(value)
    raise NeuroglossError(f"{where}: {value!r} is no layer and no index of a neuron; a whole number is wanted.")
