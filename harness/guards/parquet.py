"""Parquet files that others may have made, read within bounds: sizes are known before anything is decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import dataset

from harness.guards.printing import shortened
from harness.guards.reading import MOST_BYTES
from harness.types import NeuroglossError

MOST_DECODED = 1 << 29
"""Bytes of the decoded columns of a file, unless its reader allows more."""
_ROWS = 4096


def table_of(
    path: Path, kinds: Mapping[str, pa.DataType], most: int = MOST_DECODED, rows: range | None = None
) -> pa.Table:
    """Return the columns of a Parquet file, or those of some rows.

    Sizes are taken from the file's own account before anything is decoded, and decoding stops where that was wrong.

    Args:
        path: of the file.
        kinds: column -> its type.
        most: bytes of the decoded columns.
        rows: which to return; None for all. Only the row groups that hold them are decoded.

    Raises:
        NeuroglossError: it cannot be read, lacks a column, has one of another type, or is too large.
    """
    with _explained(path):
        file = pq.ParquetFile(path, thrift_string_size_limit=MOST_BYTES, thrift_container_size_limit=MOST_BYTES)
        names = list(kinds)
        _check_columns(file, kinds, path)
        groups, offset = _groups(file, rows)
        together = _check_sizes(file, names, groups, most, path)
        batches = list(_batches(file, names, groups, together, most, path))
        schema = file.schema_arrow  # which is made anew each time that it is asked for
        table = pa.Table.from_batches(batches, pa.schema([schema.field(name) for name in names]))
        return table if rows is None else table.slice(rows.start - offset, len(rows))


def batches_of(path: Path, kinds: Mapping[str, pa.DataType], most: int = MOST_DECODED) -> Iterator[pa.RecordBatch]:
    """Yield the columns of a Parquet file by and by, however large it is.

    Args:
        path: of the file.
        kinds: column -> its type.
        most: bytes of the decoded columns of a row group.

    Raises:
        NeuroglossError: it cannot be read, lacks a column, has one of another type, or a row group is too large.
    """
    with _explained(path):
        file = pq.ParquetFile(path, thrift_string_size_limit=MOST_BYTES, thrift_container_size_limit=MOST_BYTES)
        names = list(kinds)
        _check_columns(file, kinds, path)
        for group in range(file.metadata.num_row_groups):
            together = _check_sizes(file, names, [group], most, path)
            yield from _batches(file, names, [group], together, most, path)


Filter = tuple[str, str, object]
"""A column, a comparison, and what it is compared with."""


def rows_where(
    path: Path, filters: list[Filter] | None, columns: list[str] | None = None, most: int = MOST_BYTES
) -> pa.Table:
    """Return the rows of a file for which all comparisons hold, however large the file is.

    Args:
        path: of the file.
        filters: comparisons, as :func:`pyarrow.parquet.read_table` takes them; None for all rows.
        columns: which; None for all.
        most: bytes of the decoded rows.

    Raises:
        NeuroglossError: it cannot be read, a row group of it is too large, or these rows are.
    """
    check_groups(path)
    with _explained(path):
        data = dataset.dataset(path, format="parquet")
        where = None if filters is None else pq.filters_to_expression(filters)
        total, batches = 0, []
        for batch in data.scanner(columns=columns, filter=where, batch_size=_ROWS, use_threads=False).to_batches():
            total += batch.nbytes
            if total > most:
                raise NeuroglossError(f"{path} cannot be read: decoded, it has more than {most:,} bytes.")
            batches.append(batch)
        schema = data.schema if columns is None else pa.schema([data.schema.field(name) for name in columns])
        return pa.Table.from_batches(batches, schema)


def check_groups(path: Path, most: int = MOST_DECODED) -> None:
    """Refuse a file of which a row group decodes, as it says itself, to more than so many bytes.

    Raises:
        NeuroglossError: one does, or the file cannot be read.
    """
    with _explained(path), pq.ParquetFile(path) as file:
        for group in range(file.metadata.num_row_groups):
            _check_sizes(file, file.schema_arrow.names, [group], most, path)


def _groups(file: Any, rows: range | None) -> tuple[list[int], int]:
    """Return the row groups that hold some rows, or all, and the number of rows before the first of them."""
    ends = list(accumulate(file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)))
    if rows is None:
        return list(range(len(ends))), 0
    starts = [0, *ends]
    groups = [number for number, end in enumerate(ends) if starts[number] < rows.stop and end > rows.start]
    return groups, starts[groups[0]] if groups else rows.start


def _check_columns(file: Any, kinds: Mapping[str, pa.DataType], path: Path) -> None:
    """Refuse a file without a column that is asked for, or with it as another type."""
    schema = file.schema_arrow
    for name, kind in kinds.items():
        if schema.names.count(name) != 1:
            raise NeuroglossError(f"{path} cannot be read: it has not one column {shortened(name)}.")
        actual = schema.field(name).type
        if not _alike(actual, kind):
            raise NeuroglossError(f"{path} cannot be read: its column {shortened(name)} is {actual}, not {kind}.")


def _alike(actual: pa.DataType, kind: pa.DataType) -> bool:
    """Return whether two types are the same but for the names of the items of lists."""
    if pa.types.is_list(kind):
        return bool(pa.types.is_list(actual)) and _alike(actual.value_type, kind.value_type)
    return bool(actual == kind)


def _check_sizes(file: Any, names: Iterable[str], numbers: Sequence[int], most: int, path: Path) -> int:
    """Refuse row groups that say themselves how large they are; return how many rows fit in ``most`` together."""
    groups, columns = list(map(file.metadata.row_group, numbers)), set(names)
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    chunks = [chunk for chunk in chunks if chunk.path_in_schema.partition(".")[0] in columns]
    largest = max((chunk.total_uncompressed_size for chunk in chunks), default=0)
    total = sum(max(chunk.total_uncompressed_size, chunk.num_values) for chunk in chunks)
    if total > most or sum(group.num_rows for group in groups) > most:
        raise NeuroglossError(f"{path} cannot be read: decoded, it has more than {most:,} bytes.")
    return max(1, min(_ROWS, most // max(1, largest)))


def _batches(  # noqa: PLR0913, PLR0917  # what is read, and within which bounds
    file: Any, names: list[str], groups: list[int], rows: int, most: int, path: Path
) -> Iterator[Any]:
    total = 0
    for batch in file.iter_batches(batch_size=rows, row_groups=groups, columns=names):
        total += batch.nbytes
        if total > most:
            raise NeuroglossError(f"{path} cannot be read: decoded, it has more than {most:,} bytes.")
        yield batch


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        if not path.is_file():
            raise NeuroglossError(f"{path} cannot be read: it is missing, or no regular file.")
        yield
    except (OSError, ValueError, TypeError, KeyError, MemoryError, OverflowError, pa.ArrowException) as error:
        raise NeuroglossError(f"{path} cannot be read as Parquet: {shortened(str(error), 200)}.") from error
