"""State files of a collection, so that it can be killed at any point and resumed.

A state file holds arrays and a few strings, no pickle and nothing that could run. It is replaced atomically, so the
file on disk is always complete.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import files
from harness.collect.sketch import Sketch
from harness.types import NeuroglossError


@dataclass(frozen=True)
class StateFile:
    """State of one worker's share of a collection.

    Attributes:
        path: the file.
        origin: hash of everything that the collection depends on; a state with another origin is refused.
        interval: number of batches between two saves.
    """

    path: Path
    origin: str
    interval: int = 64

    def restore(self, sketch: Sketch) -> int | None:
        """Fill an empty sketch from the file, if it exists.

        Returns:
            The mark of the whole text that the worker read, if its share is complete; otherwise None.

        Raises:
            NeuroglossError: the file is damaged, or belongs to another collection.
        """
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                if str(arrays["origin"]) != self.origin:
                    raise NeuroglossError(
                        f"{self.path} is the state of a collection with other settings or another subject; finish that "
                        "collection, or delete the file to begin anew."
                    )
                sketch.restore({name: arrays[name] for name in arrays.files})
                return next(iter(arrays["whole"].tolist()), None)
        except FileNotFoundError:  # no state was saved, or another worker has just frozen the task
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise NeuroglossError(
                f"{self.path} is no state of a collection, or is damaged; delete it to begin anew."
            ) from error

    def save(self, sketch: Sketch, corpus_mark: int | None = None) -> None:
        """Write the state of a sketch, and replace the file.

        Args:
            sketch: the sketch.
            corpus_mark: mark of the whole text, if the share is complete.

        Raises:
            NeuroglossError: the file cannot be written; the previous state is kept.
        """
        try:
            with files.whole_file(self.path) as stream:
                np.savez(
                    stream,
                    allow_pickle=False,
                    origin=np.array(self.origin),
                    whole=np.array([] if corpus_mark is None else [corpus_mark], dtype=np.uint64),
                    **sketch.state(),
                )
        except OSError as error:
            raise NeuroglossError(
                f"the state of the collection cannot be written to {self.path} ({error.strerror or error}); make room "
                "there and run again: it goes on from the last state that was saved."
            ) from error
