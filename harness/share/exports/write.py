"""Exports by their names, and how one is written: whole or not at all, to a new folder."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.files import sync_tree, unfinished
from harness.guards import secrets
from harness.results.run import Results
from harness.share.exports import neuronpedia, openai
from harness.share.exports.explained import Exporting, explained_rows
from harness.types import NeuroglossError, Record, Unit

Files = Callable[[Exporting], Iterator[tuple[str, bytes]]]
"""Makes the files of an export: their paths and contents."""


@dataclass(frozen=True, slots=True)
class Written:
    """An export that was written: how many files it has, and the units that the format has no name for."""

    files: int
    left_out: tuple[Unit, ...]


@dataclass(frozen=True, slots=True)
class Format:
    """A format of another tool.

    Attributes:
        files: makes its files.
        kinds: of units that it can hold; ``noun`` is what it calls them.
        needs_records: whether it holds excerpts and activations of the task.
    """

    files: Files
    kinds: Sequence[str]
    noun: str
    needs_records: bool = False


FORMATS = {
    "openai": Format(openai.files, openai.KINDS, openai.NOUN),
    "neuronpedia": Format(neuronpedia.exported, neuronpedia.KINDS, neuronpedia.NOUN, needs_records=True),
    "neuronpedia-upload": Format(neuronpedia.uploads, neuronpedia.KINDS, neuronpedia.NOUN, needs_records=True),
}
"""The formats, by the name that ``neurogloss export --as`` takes."""


def write(  # noqa: PLR0913, PLR0917  # what is exported, from where, to where, and how
    results: Results, records: Sequence[Record], run: Path, folder: Path, form: str, source: str = ""
) -> Written:
    """Write the explanations of a run, by methods and by people, in the format of another tool.

    The positive side of a neuron is written as the neuron; negative sides are left out.

    Args:
        results: of the run.
        records: its units, for a format that needs them.
        run: its folder.
        folder: a new one.
        form: a key of :data:`FORMATS`.
        source: the name of a set of Neuronpedia's sources, as in ``12-NAME``; empty for neurons.

    Raises:
        NeuroglossError: the folder exists or cannot be written, or the format cannot hold the run's units.
    """
    chosen = FORMATS[form]
    if folder.exists():
        raise NeuroglossError(f"{folder} exists already; give a new folder.")
    try:
        with unfinished(folder) as draft:
            rows = explained_rows(results, run, chosen.kinds, chosen.noun)
            export = Exporting(results, rows, records, source)
            number = sum(_write(draft / path, content) for path, content in chosen.files(export))
            sync_tree(draft)
            draft.rename(folder)
    except OSError as error:
        raise NeuroglossError(f"{folder} cannot be written ({error.strerror or error}); give a new folder.") from error
    return Written(number, tuple(unit for unit in results.task.units if unit.side == "-"))


def _write(path: Path, content: bytes) -> int:
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    variable = secrets.variable_in(text.decode())
    if variable is not None:
        raise NeuroglossError(
            f"{path.name} would hold the value of the environment variable {variable}, a secret; nothing was written."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return 1
