"""A run as a Hugging Face dataset, which is always in the run's own folder, and elsewhere only when asked.

The dataset holds six tables at most, one subset each, in Parquet shards of bounded size, with a card that says how they
were made and what they are not good for. People who explained are numbered, not named. What says where the run lay on
its machine (``output``, ``store``, ``track``, ``publish``) is left out of its config.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.config.compose import NOT_PART_OF_A_RUN
from harness.config.settings import PublishSettings
from harness.files import put, safe_name, sync_tree, unfinished
from harness.guards import secrets
from harness.guards.parquet import check_groups, rows_where
from harness.results.provenance import redact
from harness.results.run import Results
from harness.results.tables import Rows
from harness.share import leaks
from harness.share.dataset_card import SPLIT, Subset, card
from harness.share.dataset_tables import LEADERBOARD, UNITS, leaderboard_rows, unit_rows
from harness.typed_json import dump, from_json, read_json, to_json
from harness.types import NeuroglossError, Record

FOLDER = "dataset"
MANIFEST = "run.json"
"""What a dataset says of its run, and the digests of the files beside it, by which it is known again."""
OF_RUN = ("explanations", "simulations", "scores", "judgements")
"""The tables of a run that are published; one without judges has no judgements."""
SHARD_BYTES = 1 << 27
"""The most bytes of a shard, as Arrow counts them in memory; a single row that has more is a shard of its own."""
_ROWS = 64
"""Rows of a table that are read or made at once."""


# ------------------------------------------------------------------------------------------------------------- writing


def write_dataset(  # noqa: PLR0913, PLR0917  # what is published, how, from where and to where
    results: Results,
    records: Sequence[Record],
    settings: PublishSettings,
    folder: Path,
    target: Path | None = None,
    most: int = SHARD_BYTES,
) -> None:
    """Make the dataset of a run out of the tables in its folder; an older one is replaced.

    ``datasets.load_dataset("<run>/dataset", "scores")`` reads it. Memory holds one shard, besides ``records``.

    Args:
        results: of the run, for the card; simulated excerpts are not needed.
        records: the units of the run, as its task has them.
        settings: licences, the repository that the card names, and whether local paths are shortened.
        folder: the run's, which may be unfinished but has its tables.
        target: where to write; ``dataset/`` in the run's folder if it is None.
        most: bytes of a shard.

    Raises:
        NeuroglossError: the config holds a secret.
        OSError: it cannot be written; nothing half-written is left.
    """
    target = target or folder / FOLDER
    numbers = _annotators(folder)
    results = _publishable(results, settings.shorten_paths)
    with unfinished(target) as draft:
        subsets = {
            name: _write_shards(batches, schema, draft / "data" / name, most)
            for name, (batches, schema) in _tables(results, records, folder, numbers).items()
        }
        page = card(results, subsets, settings, len(numbers), tag_of(results))
        (draft / "README.md").write_text(secrets.scrubbed(page), encoding="utf-8", newline="\n")
        digests = {name: file_digest(path) for name, path in files_of(draft).items()}
        about = _numbered(to_json(results), numbers)
        about |= {"publication": _publication(results, settings), "files": digests}
        (draft / MANIFEST).write_bytes(dump(about))
        sync_tree(draft)
        put(draft, target)


def tag_of(results: Results) -> str:
    """Return the name of the revision that a publication of a run is: its task's, with the digest of that."""
    return safe_name(f"{results.task.name}-{results.task.digest[:12]}")


def files_of(folder: Path) -> dict[str, Path]:
    """Return every file below a folder, by its path in it, in order."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -------------------------------------------------------------------------------------------------------------- tables

Batches = tuple[Iterator[pa.RecordBatch], pa.Schema]
"""The rows of a table by and by, and its columns."""


def _tables(
    results: Results, records: Sequence[Record], folder: Path, numbers: Mapping[str, str]
) -> dict[str, Batches]:
    """Return the tables of a dataset by their names, none of which is read or made yet."""
    paths = {name: folder / f"{name}.parquet" for name in OF_RUN}
    of_run = {name: _stored(path, numbers) for name, path in paths.items() if path.exists()}
    return {
        "units": (_made(unit_rows(records), UNITS), UNITS),
        **of_run,
        "leaderboard": (_made(leaderboard_rows(results), LEADERBOARD), LEADERBOARD),
    }


def _made(rows: Rows, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    while chunk := list(islice(rows, _ROWS)):
        yield pa.RecordBatch.from_pylist(chunk, schema=schema)


def _stored(path: Path, numbers: Mapping[str, str]) -> Batches:
    """Return a table of a run, with numbers in the place of people's names."""
    return (_without_names(batch, numbers) for batch in _batches(path)), pq.read_schema(path).remove_metadata()


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    check_groups(path)
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=_ROWS)


def _annotators(folder: Path) -> dict[str, str]:
    """Return a number for each person who explained in a run, in the order of their first explanation."""
    column = rows_where(folder / "explanations.parquet", None, ["annotator"])["annotator"]
    names = dict.fromkeys(name for name in column.to_pylist() if name)
    return {name: f"annotator {number}" for number, name in enumerate(names, start=1)}


def _without_names(batch: pa.RecordBatch, numbers: Mapping[str, str]) -> pa.RecordBatch:
    index = batch.schema.get_field_index("annotator")
    annotators = [numbers.get(name, name) for name in batch.column(index).to_pylist()]
    return batch.set_column(index, batch.schema.field(index), pa.array(annotators, pa.string()))


def _write_shards(batches: Iterable[pa.RecordBatch], schema: pa.Schema, folder: Path, most: int) -> Subset:
    """Write a table as ``results-00000-of-00002.parquet`` and so on, and return its size; an empty one is one shard."""
    folder.mkdir(parents=True)
    paths, rows, size = [], 0, 0
    for number, shard in enumerate(_shards(batches, schema, most)):
        paths.append(folder / f"{number}.parquet")
        pq.write_table(shard, paths[-1])
        rows, size = rows + shard.num_rows, size + shard.nbytes
    for number, path in enumerate(paths):
        path.rename(folder / f"{SPLIT}-{number:05}-of-{len(paths):05}.parquet")
    return Subset(schema, rows, size)


def _shards(batches: Iterable[pa.RecordBatch], schema: pa.Schema, most: int) -> Iterator[pa.Table]:
    """Yield the rows of a table, in order, in parts of at most so many bytes."""
    pieces: list[pa.RecordBatch] = []
    size = number = 0
    for piece in (piece for batch in batches for piece in _pieces(batch, most)):
        if pieces and size + piece.nbytes > most:
            yield pa.Table.from_batches(pieces, schema)
            pieces, size, number = [], 0, number + 1
        pieces.append(piece)
        size += piece.nbytes
    if pieces or not number:
        yield pa.Table.from_batches(pieces, schema)


def _pieces(batch: pa.RecordBatch, most: int) -> Iterator[pa.RecordBatch]:
    """Yield a batch, in halves of halves where it has more bytes."""
    if batch.nbytes <= most or batch.num_rows <= 1:
        yield batch
        return
    middle = batch.num_rows // 2
    for half in (batch.slice(0, middle), batch.slice(middle)):
        yield from _pieces(half, most)


# -------------------------------------------------------------------------------------------------------- the manifest


@dataclass(frozen=True, slots=True)
class Manifest:
    """What says which publication a dataset is.

    Attributes:
        run_id: of its run.
        publication: its tag and its licences.
        files: the digest of every file beside the manifest.
    """

    run_id: str
    publication: Mapping[str, str]
    files: Mapping[str, str]

    @property
    def tag(self) -> str:
        """The name of its revision."""
        return self.publication.get("tag", "")

    def is_same(self, manifest: Manifest) -> bool:
        """Return whether two datasets are one publication: the same run, licences and tables, whenever it was made."""
        mine, theirs = ((item.run_id, item.publication, item.tables) for item in (self, manifest))
        return mine == theirs

    @property
    def tables(self) -> dict[str, str]:
        """The digest of each shard."""
        return {name: digest for name, digest in self.files.items() if name.startswith("data/")}


def read_manifest(path: Path) -> Manifest | None:
    """Return what a file says of the dataset that it lies in; None if it is the manifest of none."""
    try:
        manifest: Manifest = from_json(Manifest, read_json(path), str(path))
    except NeuroglossError:
        return None
    return manifest


def _publication(results: Results, settings: PublishSettings) -> dict[str, str]:
    return {
        "tag": tag_of(results),
        "license": settings.license,
        "subject_license": settings.subject_license,
    }


def _publishable(results: Results, shorten: bool) -> Results:
    """Return what is published of results: no scored explanation, which the tables have, and no path of the machine.

    Nothing says where the run lay. The paths that are left, where a model or a task is one, are shortened to
    ``.../NAME`` if asked.
    """
    overrides = results.provenance.get("overrides")
    public = dataclasses.replace(
        results,
        rows=tuple(dataclasses.replace(row, scored=()) for row in results.rows),
        config=published_config(results.config),
        provenance={
            **results.provenance,
            "overrides": [text for text in overrides if _is_of_run(str(text))] if isinstance(overrides, list) else [],
        },
    )
    shortened: Results = from_json(Results, leaks.shortened(to_json(public)), "results") if shorten else public
    return shortened


def published_config(config: Mapping[str, object]) -> dict[str, object]:
    """Return a run's config as it is published: without what says where results go.

    Raises:
        NeuroglossError: an entry looks like a secret.
    """
    return redact({key: value for key, value in config.items() if key not in NOT_PART_OF_A_RUN})


def _is_of_run(override: str) -> bool:
    key = override.lstrip("+~").partition("=")[0]
    return key.partition(".")[0].partition("@")[0] not in NOT_PART_OF_A_RUN


def _numbered(value: Any, numbers: Mapping[str, str]) -> Any:
    """Return a JSON value with numbers for people, where the config or an override of it names them."""
    if isinstance(value, Mapping):
        return {
            key: numbers.get(str(item)) if key == "annotator" else _numbered(item, numbers)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_numbered(item, numbers) for item in value]
    match = re.fullmatch(r"(.*annotator=)(.*)", value) if isinstance(value, str) else None
    return value if match is None else match[1] + numbers.get(match[2], "null")
