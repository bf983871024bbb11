"""File of the text that the subject writes for a corpus, kept during a collection, since writing it takes most time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.types import NeuroglossError

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class WrittenText:
    """File of texts, one a line, each appended as soon as it is written.

    Attributes:
        path: the file.
        origin: hash of everything that the text depends on; text with another origin is refused.
    """

    path: Path
    origin: str

    def read(self) -> dict[int, Tokens]:
        """Return the texts by the index of their prompt; a last line that is incomplete is dropped.

        Raises:
            NeuroglossError: the file is damaged, or belongs to another collection.
        """
        if not self.path.is_file():
            return {}
        try:
            content, _, _ = self.path.read_bytes().rpartition(b"\n")
            origin, *lines = [json.loads(line) for line in content.splitlines()] or [self.origin]
            texts = {int(index): tuple(map(int, tokens)) for index, tokens in lines}
        except OSError as error:
            raise NeuroglossError(f"{self.path} cannot be read ({error.strerror or error}); check it.") from error
        except (ValueError, TypeError) as error:
            raise NeuroglossError(f"{self.path} is damaged; delete it to have the text written anew.") from error
        if origin != self.origin:
            raise NeuroglossError(
                f"{self.path} is text of a collection with other settings or another subject; finish that collection, "
                "or delete the file to begin anew."
            )
        return texts

    def adding(self, texts: Iterable[tuple[int, Tokens]]) -> Iterator[tuple[int, Tokens]]:
        """Append each text that the file lacks, and yield each text after that.

        Raises:
            NeuroglossError: the file cannot be written; the texts already in it are kept.
        """
        written_texts = self.read()
        self._begin()
        for index, tokens in texts:
            if index not in written_texts:
                self._append(index, tokens)
            yield index, tokens

    def _begin(self) -> None:
        """Drop an incomplete last line, and write the origin as the first line of a new file."""
        with self._written():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            content, newline, _ = self.path.read_bytes().rpartition(b"\n") if self.path.is_file() else (b"", b"", b"")
            if newline:
                os.truncate(self.path, len(content) + 1)
            else:
                self.path.write_bytes(_line(self.origin))

    def _append(self, index: int, tokens: Tokens) -> None:
        with self._written(), self.path.open("ab") as stream:
            stream.write(_line([index, tokens]))

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise NeuroglossError(
                f"the text cannot be written to {self.path} ({error.strerror or error}); make room there and run "
                "again: it goes on from what was written."
            ) from error


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
