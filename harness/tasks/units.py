"""Tasks: units and excerpts frozen under a digest, so that every explainer of a board is measured on the same.

A task of units is a folder: ``task.yaml`` (what it is, how it was made, the digest of every file),
``records.parquet``, ``tokens.parquet``, ``sums.parquet``, ``README.md``, and ``quantiles.parquet`` where excerpts by
quantile were collected. It is written whole or not at all, and never changed after. The other kind of task is of
puzzles (:mod:`harness.tasks.puzzles.task`); :func:`harness.tasks.catalog.read` reads either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.guards.printing import shortened
from harness.tasks import frozen, kinds
from harness.tasks.frozen import QUANTILES, restore
from harness.tasks.frozen_records import (
    QUANTILE_COLUMNS,
    RECORD_COLUMNS,
    RECORDS,
    SUMS,
    TOKENS,
    UNITS_OF_A_PART,
    FrozenRecords,
    check_row,
    described_by,
    with_excerpts,
)
from harness.tasks.openai_format import every_excerpt
from harness.types import Excerpt, NeuroglossError, Task, Unit, UnitRecord

if TYPE_CHECKING:  # reading a task needs no model
    from harness.tasks.collected import Collection


PAGE = "README.md"
_PAGE = Path(__file__).with_name("readme.md")


def read_task(folder: Path) -> Task:
    """Read a task of units and check that it is the one that was published.

    Raises:
        NeuroglossError: a file is missing, cut short or changed, or a record is not what the task says it is; the
            sentence names the file, or the unit, and what to do.
    """
    contents = frozen.read(folder)
    described = described_by(contents, str(folder / frozen.DESCRIPTION))
    frozen.check_files(folder, contents)
    try:
        described.check()
        records = FrozenRecords(folder, described)
        records.check()
    except (LookupError, TypeError, ValueError, ArithmeticError, NeuroglossError) as error:
        reason = str(error) if isinstance(error, NeuroglossError) else repr(error)
        raise NeuroglossError(
            f"{folder} is not laid out as a task ({shortened(reason, 300)}); {restore(folder)}"
        ) from error
    return Task(
        name=described.name,
        digest=described.digest,
        subject=described.subject,
        records=records,
        excerpt_tokens=described.excerpt_tokens,
        leading=described.leading,
        description=described.description,
    )


def write_task(
    folder: Path,
    collection: Collection,
    description: str = "",
    origin: Mapping[str, object] | None = None,
    imported: Mapping[str, object] | None = None,
) -> Task:
    """Freeze a collection as the task named like ``folder``, whole or not at all.

    Args:
        folder: the task's own folder, ``tasks/<name>-v<k>``; it must not exist.
        collection: as :func:`harness.collect.corpus_pass.collect` returns it.
        description: a sentence for people.
        origin: how it was made, as plain values: the config and the package versions. A time or a commit in it would
            give the same task another digest.
        imported: the source of records that were not collected; their excerpts have no token ids.

    Returns:
        The task as it is read back.

    Raises:
        frozen.ExistsError: the folder exists.
        NeuroglossError: an excerpt is not as long as the others, or the disk is full; nothing is left behind.
    """
    described = _description(folder.name, collection, description, origin or {})
    if imported is not None:
        described["imported"] = dict(imported)
        collection = dataclasses.replace(collection, records=_numbered(collection.records))
    with frozen.whole(folder) as draft:
        length = collection.settings.excerpt_tokens
        _write_parquet(draft / RECORDS, _parts(collection.records, lambda part: _records_table(part, length)))
        _write_parquet(draft / TOKENS, [_tokens_table(collection.records)])
        _write_parquet(draft / SUMS, [_sums_table(collection.records)])
        (draft / PAGE).write_text(_page(described), encoding="utf-8", newline="\n")
        files: tuple[str, ...] = (RECORDS, TOKENS, SUMS, PAGE)
        if "quantile_boundaries" in described:
            _write_parquet(draft / QUANTILES, _parts(collection.records, lambda part: _quantiles_table(part, length)))
            files += (QUANTILES,)
        frozen.seal(draft, described, files)
        read_task(draft)  # what cannot be read back is not frozen
    return read_task(folder)


def _numbered(records: Sequence[UnitRecord]) -> tuple[UnitRecord, ...]:
    """Return the records with token ids of their own: the number of each text among all texts, sorted."""
    texts = {token for record in records for excerpt in every_excerpt(record) for token in excerpt.tokens}
    ids = {text: number for number, text in enumerate(sorted(texts))}
    return tuple(
        with_excerpts(
            record, lambda excerpt: dataclasses.replace(excerpt, token_ids=tuple(map(ids.__getitem__, excerpt.tokens)))
        )
        for record in records
    )


def _description(name: str, collection: Collection, description: str, origin: Mapping[str, object]) -> dict[str, Any]:
    """Return the content of ``task.yaml`` without the digests, which need the files."""
    settings = collection.settings
    top, random, hard = settings.top // 4, settings.random // 3, _fewest_hard(collection.records) // 3
    stratified = [record for record in collection.records if record.by_quantile or record.quantile_boundaries]
    boundaries = {str(record.unit): list(record.quantile_boundaries) for record in stratified}
    strata = {  # imported records may have strata of which nobody knows the boundaries, or boundaries alone
        str(record.unit): len(record.by_quantile)
        for record in stratified
        if len(record.by_quantile) != len(record.quantile_boundaries) + 1
    }
    return {
        "schema": frozen.SCHEMA,
        "name": name,
        "description": description,
        "subject": dataclasses.asdict(collection.subject),
        "excerpt_tokens": settings.excerpt_tokens,
        "leading": settings.leading,
        "splits": {
            "train": {"top": top, "random": 0, "hard": 0},
            **{split: {"top": top, "random": random, "hard": hard} for split in ("calibration", "valid", "test")},
        },
        "collection": settings.written,
        "corpus": {"excerpts": collection.excerpts, "distinct_tokens": collection.distinct_tokens},
        "threads": collection.threads,
        "made": dict(origin),
        "neurons": {str(record.unit): dataclasses.asdict(record.moments) for record in collection.records},
        "rejected": [str(unit) for unit in collection.rejected],
        **({"quantile_boundaries": boundaries} if boundaries else {}),
        **({"strata": strata} if strata else {}),
    }


def _fewest_hard(records: Sequence[UnitRecord]) -> int:
    """Return the number of hard excerpts that every unit has."""
    return min((len(record.hard) for record in records), default=0)


def _records_table(records: Sequence[UnitRecord], length: int) -> pa.Table:
    rows = [
        _row(record.unit, excerpt, length)
        for record in records
        for excerpt in (*record.top, *record.random, *record.hard)
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema(RECORD_COLUMNS))


def _quantiles_table(records: Sequence[UnitRecord], length: int) -> pa.Table:
    rows = [
        {**_row(record.unit, excerpt, length), "stratum": stratum}
        for record in records
        for stratum, excerpts in enumerate(record.by_quantile)
        for excerpt in excerpts
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema(QUANTILE_COLUMNS))


def _row(unit: Unit, excerpt: Excerpt, length: int) -> dict[str, Any]:
    row = {
        "neuron": str(unit),
        "kind": str(excerpt.kind),
        "weight": excerpt.weight,
        "source": excerpt.source,
        "token_ids": excerpt.token_ids,
        "activations": excerpt.activations,
    }
    check_row(row, length)
    return row


def _tokens_table(records: Sequence[UnitRecord]) -> pa.Table:
    texts = {
        token_id: text
        for record in records
        for excerpt in every_excerpt(record)
        for token_id, text in zip(excerpt.token_ids, excerpt.tokens, strict=True)
    }
    ids = sorted(texts)
    return pa.table(
        {"id": pa.array(ids, pa.int32()), "text": pa.array([texts[token_id] for token_id in ids], pa.string())}
    )


def _sums_table(records: Sequence[UnitRecord]) -> pa.Table:
    shared = records[0].token_sums
    sums = {str(record.unit): record.token_sums.sums.astype(np.float32) for record in records}
    return pa.table({"text": pa.array(shared.tokens, pa.string()), "count": shared.counts, **sums})


def _parts(
    records: Sequence[UnitRecord], table_of_part: Callable[[Sequence[UnitRecord]], pa.Table]
) -> Iterator[pa.Table]:
    """Yield the table of each part of the units, which is read without the others."""
    starts = range(0, max(1, len(records)), UNITS_OF_A_PART)
    return (table_of_part(records[start : start + UNITS_OF_A_PART]) for start in starts)


def _write_parquet(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write tables of the same columns as one file, each as a row group."""
    remaining = iter(tables)
    first = next(remaining)
    with pq.ParquetWriter(path, first.schema, compression="zstd", compression_level=19) as writer:
        for table in chain([first], remaining):
            writer.write_table(table, row_group_size=max(1, table.num_rows))


def _page(described: Mapping[str, Any]) -> str:
    units = list(map(Unit.parse, described["neurons"]))
    kind = kinds.words(units)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False)
    page = environment.from_string(_PAGE.read_text(encoding="utf-8"))
    shown = {"noun": kind.noun, "definition": kind.definition, "where": kinds.whereabouts(units)}
    return page.render(task=described, **shown) + "\n"
