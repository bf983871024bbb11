"""Tasks: units and excerpts frozen under a digest, so that every explainer of a board is measured on the same.

A task of units is a folder: ``task.yaml`` (what it is, how it was made, the digest of every file),
``records.parquet``, ``tokens.parquet``, ``sums.parquet``, ``README.md``, and ``quantiles.parquet`` where excerpts by
quantile were collected. It is written whole or not at all, and never changed after. The other kind of task is of
puzzles (:mod:`harness.tasks.puzzles.task`); :func:`harness.tasks.catalog.read` reads either.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.guards.parquet import table_of
from harness.guards.printing import shortened
from harness.tasks import frozen, kinds
from harness.tasks.frozen import QUANTILES, restore
from harness.tasks.openai_format import every_excerpt
from harness.typed_json import from_json
from harness.types import (
    Excerpt,
    ExcerptKind,
    Identity,
    Moments,
    NeuroglossError,
    Task,
    TokenSums,
    Unit,
    UnitRecord,
)

if TYPE_CHECKING:  # reading a task needs no model
    from harness.tasks.collected import Collection


RECORDS, TOKENS, SUMS, PAGE = "records.parquet", "tokens.parquet", "sums.parquet", "README.md"
_PAGE = Path(__file__).with_name("readme.md")


@dataclass(frozen=True)
class Described:
    """What ``task.yaml`` says of a task of units, beyond :class:`harness.tasks.frozen.Description`.

    Attributes:
        name, description, digest: of the task.
        subject: the model that was read.
        excerpt_tokens: tokens of each excerpt.
        leading: of these, first ones that no score counts.
        neurons: unit -> moments of its activation.
        quantile_boundaries: unit -> the boundaries between its strata.
        strata: unit -> the number of its strata, where the boundaries do not tell.
        imported: where records come from that were not collected.
    """

    name: str
    description: str
    digest: str
    subject: Identity
    excerpt_tokens: int
    leading: int
    neurons: Mapping[Unit, Moments]
    quantile_boundaries: Mapping[Unit, tuple[float, ...]] = field(default_factory=dict)
    strata: Mapping[Unit, int] = field(default_factory=dict)
    imported: Mapping[str, object] | None = None

    def check(self) -> None:
        """Refuse numbers that no task has.

        Raises:
            NeuroglossError: naming the key.
        """
        if not (0 <= self.leading < self.excerpt_tokens <= MOST_TOKENS):
            raise NeuroglossError(
                f"it says excerpt_tokens {self.excerpt_tokens} and leading {self.leading}, of which the first must be "
                f"the larger and the second at least 0."
            )
        for unit, moments in self.neurons.items():
            self._check_moments(unit, moments)
        for unit, number in self.strata.items():
            if not 0 <= number <= MOST_STRATA:
                raise NeuroglossError(f"it says {number} strata of {unit}.")
        for unit, cuts in self.quantile_boundaries.items():
            if len(cuts) >= MOST_STRATA or (self.imported is None and not _rise(cuts)):
                raise NeuroglossError(f"its boundaries of {unit} do not rise.")

    def _check_moments(self, unit: Unit, moments: Moments) -> None:
        """Refuse moments that no activation has; those of imported records may be missing."""
        missing_allowed = self.imported is not None
        values = [value for value in dataclasses.astuple(moments) if value is not None]
        if moments.count < 0 or not all(math.isfinite(value) or missing_allowed for value in values):
            raise NeuroglossError(f"its moments of {unit} are no numbers.")
        shares = (moments.fraction_active, 0.0 if moments.positive_share is None else moments.positive_share)
        if moments.variance < 0 or min(shares) < 0 or max(shares) > 1:
            raise NeuroglossError(f"its moments of {unit} are those of no activation.")


MOST_TOKENS, MOST_STRATA = 1 << 20, 1000
"""Tokens of an excerpt, and strata of a unit, that a task can have."""


def _described(contents: Mapping[str, Any], where: str) -> Described:
    """Return what a description says; boundaries may be infinite, which nothing else may, so they are read apart."""
    boundaries = contents.get("quantile_boundaries") or {}
    is_well_formed = isinstance(boundaries, dict) and all(
        isinstance(cuts, list) and all(type(cut) in (int, float) for cut in cuts) for cuts in boundaries.values()
    )
    if not is_well_formed:
        raise NeuroglossError(f"{where}.quantile_boundaries is not a mapping of lists of numbers; the file is damaged.")
    rest = {key: value for key, value in contents.items() if key != "quantile_boundaries"}
    described: Described = from_json(Described, rest, where)
    cuts_by_unit = {Unit.parse(name): tuple(map(float, cuts)) for name, cuts in boundaries.items()}
    return dataclasses.replace(described, quantile_boundaries=cuts_by_unit)


def _rise(values: Sequence[float]) -> bool:
    return not any(map(math.isnan, values)) and all(low <= high for low, high in pairwise(values))


def read_task(folder: Path) -> Task:
    """Read a task of units and check that it is the one that was published.

    Raises:
        NeuroglossError: a file is missing, cut short or changed, or a record is not what the task says it is; the
            sentence names the file, or the unit, and what to do.
    """
    contents = frozen.read(folder)
    described = _described(contents, str(folder / frozen.DESCRIPTION))
    frozen.check_files(folder, contents)
    try:
        described.check()
        texts = _texts(folder)
        columns = {"text": pa.string(), "count": pa.int64(), **{str(unit): pa.float32() for unit in described.neurons}}
        rows = table_of(folder / RECORDS, _COLUMNS).to_pylist()
        records = tuple(
            _records(described, rows, texts, table_of(folder / SUMS, columns), _quantiles(folder, described, texts))
        )
    except (LookupError, TypeError, ValueError, ArithmeticError, NeuroglossError) as error:
        reason = str(error) if isinstance(error, NeuroglossError) else repr(error)
        raise NeuroglossError(
            f"{folder} is not laid out as a task ({shortened(reason, 300)}); {restore(folder)}"
        ) from error
    if described.imported is not None:  # then token ids are numbers of the task's own
        records = tuple(
            _changed(record, lambda excerpt: dataclasses.replace(excerpt, token_ids=())) for record in records
        )
    return Task(
        name=described.name,
        digest=described.digest,
        subject=described.subject,
        records=records,
        excerpt_tokens=described.excerpt_tokens,
        leading=described.leading,
        description=described.description,
    )


Strata = dict[str, list[list[Excerpt]]]


def _texts(folder: Path) -> dict[int, str]:
    """Return the text of each token id."""
    table = table_of(folder / TOKENS, {"id": pa.int32(), "text": pa.string()})
    return dict(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))


def _quantiles(folder: Path, described: Described, texts: Mapping[int, str]) -> Strata:
    """Return unit -> excerpts of each stratum, for a task that has such."""
    numbers = {unit: len(cuts) + 1 for unit, cuts in described.quantile_boundaries.items()} | dict(described.strata)
    strata: Strata = {str(unit): [[] for _ in range(number)] for unit, number in numbers.items()}
    columns = {**_COLUMNS, "stratum": pa.int32()}
    for row in table_of(folder / QUANTILES, columns).to_pylist() if described.quantile_boundaries else []:
        excerpts = strata[row["neuron"]]
        if not 0 <= row["stratum"] < len(excerpts):
            raise NeuroglossError(f"excerpt {row['source']} of unit {row['neuron']} is of no stratum.")
        excerpts[row["stratum"]].append(_excerpt(row, texts, described))
    return strata


def _records(
    described: Described,
    rows: Iterable[Mapping[str, Any]],
    texts: Mapping[int, str],
    sums: pa.Table,
    quantiles: Strata,
) -> Iterator[UnitRecord]:
    excerpts: dict[str, list[Excerpt]] = {str(unit): [] for unit in described.neurons}
    for row in rows:
        excerpts[row["neuron"]].append(_excerpt(row, texts, described))
    tokens, counts = tuple(sums["text"].to_pylist()), sums["count"].to_numpy()
    for unit, moments in described.neurons.items():
        values = sums[str(unit)].to_numpy().astype(np.float64)
        if not np.isfinite(values).all() or (counts < 0).any() or None in tokens:
            raise NeuroglossError(f"its sums by token of {unit} are no numbers.")
        yield UnitRecord(
            unit=unit,
            top=tuple(excerpt for excerpt in excerpts[str(unit)] if excerpt.kind is ExcerptKind.TOP),
            random=tuple(excerpt for excerpt in excerpts[str(unit)] if excerpt.kind is ExcerptKind.RANDOM),
            moments=moments,
            token_sums=TokenSums(tokens, counts, values),
            by_quantile=tuple(map(tuple, quantiles.get(str(unit), []))),
            quantile_boundaries=tuple(described.quantile_boundaries.get(unit, ())),
            hard=tuple(excerpt for excerpt in excerpts[str(unit)] if excerpt.kind is ExcerptKind.HARD),
        )


def _excerpt(row: Mapping[str, Any], texts: Mapping[int, str], described: Described) -> Excerpt:
    """Return an excerpt, checked: of a text without characters that a file cannot hold, and of a weight that counts."""
    _check_row(row, described.excerpt_tokens)
    if not (math.isfinite(row["weight"]) and row["weight"] >= 0 and isinstance(row["source"], str)):
        raise NeuroglossError(f"excerpt {row['source']} of unit {row['neuron']} has the weight {row['weight']}.")
    return Excerpt(
        tokens=tuple(texts[token_id] for token_id in row["token_ids"]),
        token_ids=tuple(row["token_ids"]),
        activations=tuple(row["activations"]),
        kind=ExcerptKind(row["kind"]),
        weight=row["weight"],
        source=row["source"],
        leading=described.leading,
    )


def _check_row(row: Mapping[str, Any], length: int) -> None:
    """Refuse an excerpt of another length than the task's, and one with an activation that is not a finite number."""
    unit = Unit.parse(row["neuron"])
    if not len(row["token_ids"]) == len(row["activations"]) == length:
        raise NeuroglossError(
            f"excerpt {row['source']} of unit {unit} has {len(row['token_ids'])} tokens and "
            f"{len(row['activations'])} activations, and the task's excerpts have {length}; collect it again."
        )
    if not np.isfinite(row["activations"]).all():
        raise NeuroglossError(
            f"excerpt {row['source']} of unit {unit} holds an activation that is not a finite number; collect it again "
            "with the subject in float32."
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
        _write_parquet(draft / RECORDS, _records_table(collection.records, collection.settings.excerpt_tokens))
        _write_parquet(draft / TOKENS, _tokens_table(collection.records))
        _write_parquet(draft / SUMS, _sums_table(collection.records))
        (draft / PAGE).write_text(_page(described), encoding="utf-8", newline="\n")
        files: tuple[str, ...] = (RECORDS, TOKENS, SUMS, PAGE)
        if "quantile_boundaries" in described:
            _write_parquet(draft / QUANTILES, _quantiles_table(collection.records, collection.settings.excerpt_tokens))
            files += (QUANTILES,)
        frozen.seal(draft, described, files)
        task = read_task(draft)  # what cannot be read back is not frozen
    return task


def _numbered(records: Sequence[UnitRecord]) -> tuple[UnitRecord, ...]:
    """Return the records with token ids of their own: the number of each text among all texts, sorted."""
    texts = {token for record in records for excerpt in every_excerpt(record) for token in excerpt.tokens}
    ids = {text: number for number, text in enumerate(sorted(texts))}
    return tuple(
        _changed(
            record, lambda excerpt: dataclasses.replace(excerpt, token_ids=tuple(map(ids.__getitem__, excerpt.tokens)))
        )
        for record in records
    )


def _changed(record: UnitRecord, change: Callable[[Excerpt], Excerpt]) -> UnitRecord:
    """Return a record with each of its excerpts changed."""
    return dataclasses.replace(
        record,
        top=tuple(map(change, record.top)),
        random=tuple(map(change, record.random)),
        hard=tuple(map(change, record.hard)),
        by_quantile=tuple(tuple(map(change, stratum)) for stratum in record.by_quantile),
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


_COLUMNS = {
    "neuron": pa.string(),
    "kind": pa.string(),
    "weight": pa.float64(),
    "source": pa.string(),
    "token_ids": pa.list_(pa.int32()),
    "activations": pa.list_(pa.float32()),
}


def _records_table(records: Sequence[UnitRecord], length: int) -> pa.Table:
    rows = [
        _row(record.unit, excerpt, length)
        for record in records
        for excerpt in (*record.top, *record.random, *record.hard)
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema(_COLUMNS))


def _quantiles_table(records: Sequence[UnitRecord], length: int) -> pa.Table:
    rows = [
        {**_row(record.unit, excerpt, length), "stratum": stratum}
        for record in records
        for stratum, excerpts in enumerate(record.by_quantile)
        for excerpt in excerpts
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema({**_COLUMNS, "stratum": pa.int32()}))


def _row(unit: Unit, excerpt: Excerpt, length: int) -> dict[str, Any]:
    row = {
        "neuron": str(unit),
        "kind": str(excerpt.kind),
        "weight": excerpt.weight,
        "source": excerpt.source,
        "token_ids": excerpt.token_ids,
        "activations": excerpt.activations,
    }
    _check_row(row, length)
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


def _write_parquet(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, compression="zstd", compression_level=19)


def _page(described: Mapping[str, Any]) -> str:
    units = list(map(Unit.parse, described["neurons"]))
    kind = kinds.words(units)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False)
    page = environment.from_string(_PAGE.read_text(encoding="utf-8"))
    shown = {"noun": kind.noun, "definition": kind.definition, "where": kinds.whereabouts(units)}
    return page.render(task=described, **shown) + "\n"
