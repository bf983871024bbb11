"""Where a collection keeps its state, so that it can be killed at any point and goes on from there.

A state file holds arrays and a few words, nothing that could run: no pickle. It is written whole or not at all, so the
one that stands there is always a good one.
"""

from __future__ import annotations

import os
import secrets
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.subjects.sketch import Sketch
from harness.types import NeuroglossError


@dataclass(frozen=True)
class StateFile:
    """The state of one worker's share of a collection.

    Attributes:
        path: the file, and beside it, under a name of its own that ends in ``.part``, what is being written.
        origin: a hash of all that the collection depends on; a state of another origin is not gone on from.
        every: how many batches are read between one saving and the next.
    """

    path: Path
    origin: str
    every: int = 64

    def restore(self, sketch: Sketch) -> int | None:
        """Fill a new sketch with what was saved, if anything was.

        Returns:
            The mark of the whole text that its worker walked through, where the share is complete; None where not.

        Raises:
            NeuroglossError: the file is damaged, or belongs to another collection.
        """
        try:
            with np.load(self.path, allow_pickle=False) as saved:
                if str(saved["origin"]) != self.origin:
                    raise NeuroglossError(
                        f"{self.path} is the state of a collection with other settings or another subject; finish that "
                        "one, or delete the file to begin anew."
                    )
                sketch.restore({name: saved[name] for name in saved.files})
                return next(iter(saved["whole"].tolist()), None)
        except FileNotFoundError:  # nothing was saved, or another worker has just frozen the task
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise NeuroglossError(
                f"{self.path} is no state of a collection, or a damaged one; delete it to begin anew."
            ) from error

    def save(self, sketch: Sketch, whole: int | None = None) -> None:
        """Write the state of a sketch in place of what stands there.

        Args:
            sketch: what was read.
            whole: the mark of the whole text, where the share is complete.

        Raises:
            NeuroglossError: it cannot be written; what stood there before still does.
        """
        draft = self.path.with_name(f"{self.path.stem}.{secrets.token_hex(8)}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("xb") as stream:
                np.savez(
                    stream,
                    allow_pickle=False,
                    origin=np.array(self.origin),
                    whole=np.array([] if whole is None else [whole], dtype=np.uint64),
                    **sketch.state(),
                )
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(self.path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise NeuroglossError(
                f"the state of the collection cannot be written to {self.path} ({error.strerror or error}); make room "
                "there and run again: it goes on from the last state that was saved."
            ) from error
