"""Text that the subject has written for a corpus, kept while a collection goes on: writing it is most of the work."""

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
    """A file of texts, one a line, each added as soon as it is written.

    Attributes:
        path: the file.
        origin: a hash of all that the text depends on; text of another origin is not gone on from.
    """

    path: Path
    origin: str

    def read(self) -> dict[int, Tokens]:
        """The texts by the index of their prompt; a line that was cut off as the process ended is dropped.

        Raises:
            NeuroglossError: the file is damaged, or belongs to another collection.
        """
        if not self.path.is_file():
            return {}
        try:
            whole, _, _ = self.path.read_bytes().rpartition(b"\n")
            first, *lines = [json.loads(line) for line in whole.splitlines()] or [self.origin]
            found = {int(index): tuple(map(int, tokens)) for index, tokens in lines}
        except OSError as error:
            raise NeuroglossError(f"{self.path} cannot be read ({error.strerror or error}); check it.") from error
        except (ValueError, TypeError) as error:
            raise NeuroglossError(f"{self.path} is damaged; delete it to have the text written anew.") from error
        if first != self.origin:
            raise NeuroglossError(
                f"{self.path} is text of a collection with other settings or another subject; finish that one, or "
                "delete the file to begin anew."
            )
        return found

    def adding(self, texts: Iterable[tuple[int, Tokens]]) -> Iterator[tuple[int, Tokens]]:
        """Hand on texts, after those that are not in the file yet have been added to it.

        Raises:
            NeuroglossError: the file cannot be written; the texts before are kept.
        """
        known = self.read()
        self._begin()
        for index, tokens in texts:
            if index not in known:
                self._append(index, tokens)
            yield index, tokens

    def _begin(self) -> None:
        """Have the file end with a whole line, the first of which names the origin."""
        with self._written():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            whole, end, _ = self.path.read_bytes().rpartition(b"\n") if self.path.is_file() else (b"", b"", b"")
            if end:
                os.truncate(self.path, len(whole) + 1)
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
