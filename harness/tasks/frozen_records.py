"""The records of a frozen task, read from its files when they are asked for.

A task can hold more units than memory does, so that only the parts that were asked for last are kept. Rows of one unit
stand together; files are written in the order of ``task.yaml`` and in row groups of a part's size, so that a part is
read without the others.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.guards.parquet import table_of
from harness.tasks.frozen import QUANTILES
from harness.typed_json import from_json
from harness.types import Excerpt, ExcerptKind, Identity, Moments, NeuroglossError, TokenSums, Unit, UnitRecord

RECORDS, TOKENS, SUMS = "records.parquet", "tokens.parquet", "sums.parquet"
UNITS_OF_A_PART = 128
"""Units whose excerpts are read together, and whose rows are one group of a file."""
_KEPT_PARTS = 2
RECORD_COLUMNS = {
    "neuron": pa.string(),
    "kind": pa.string(),
    "weight": pa.float64(),
    "source": pa.string(),
    "token_ids": pa.list_(pa.int32()),
    "activations": pa.list_(pa.float32()),
}
QUANTILE_COLUMNS = {**RECORD_COLUMNS, "stratum": pa.int32()}
MOST_TOKENS, MOST_STRATA = 1 << 20, 1000
"""Tokens of an excerpt, and strata of a unit, that a task can have."""


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


def described_by(contents: Mapping[str, Any], where: str) -> Described:
    """Return what a description says; boundaries may be infinite, which nothing else may, so they are read apart."""
    boundaries = contents.get("quantile_boundaries") or {}
    is_well_formed = isinstance(boundaries, dict) and all(
        isinstance(cuts, list) and all(type(cut) in (int, float) for cut in cuts) for cuts in boundaries.values()
    )
    if not is_well_formed:
        raise NeuroglossError(f"{where}.quantile_boundaries is not a mapping of lists of numbers; the file is damaged.")
    plain = {key: value for key, value in contents.items() if key != "quantile_boundaries"}
    described: Described = from_json(Described, plain, where)
    cuts_by_unit = {Unit.parse(name): tuple(map(float, cuts)) for name, cuts in boundaries.items()}
    return dataclasses.replace(described, quantile_boundaries=cuts_by_unit)


def _rise(values: Sequence[float]) -> bool:
    return not any(map(math.isnan, values)) and all(low <= high for low, high in pairwise(values))


class FrozenRecords(Sequence[UnitRecord]):
    """The records of the task in a folder, in the order of its description.

    Args:
        folder: the task's, whose files have been checked.
        described: what its description says.

    Raises:
        NeuroglossError: here, or when a record is read: it is not what the description says it is.
    """

    def __init__(self, folder: Path, described: Described) -> None:
        self.units = tuple(described.neurons)
        self._folder = folder
        self._described = described
        self._texts = _texts(folder)
        self._rows = _rows_by_unit(folder / RECORDS, self.units)
        self._quantile_rows = _rows_by_unit(folder / QUANTILES, self.units) if described.quantile_boundaries else {}
        shared = table_of(folder / SUMS, {"text": pa.string(), "count": pa.int64()})
        self._tokens, self._counts = tuple(shared["text"].to_pylist()), shared["count"].to_numpy()
        self._part = lru_cache(maxsize=_KEPT_PARTS)(self._read_part)

    def __len__(self) -> int:
        return len(self.units)

    @overload
    def __getitem__(self, place: int) -> UnitRecord: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[UnitRecord, ...]: ...

    def __getitem__(self, place: int | slice) -> UnitRecord | tuple[UnitRecord, ...]:
        """Return the record of a unit, or those of some."""
        places = range(len(self.units))[place]
        if isinstance(places, range):
            return tuple(self[number] for number in places)
        part, number = divmod(places, UNITS_OF_A_PART)
        return self._part(part)[number]

    def check(self) -> None:
        """Read every record once.

        Raises:
            NeuroglossError: one is not what the description says it is.
        """
        for part in range(math.ceil(len(self.units) / UNITS_OF_A_PART)):
            self._part(part)

    def _read_part(self, part: int) -> tuple[UnitRecord, ...]:
        units = self.units[part * UNITS_OF_A_PART : (part + 1) * UNITS_OF_A_PART]
        excerpts: dict[str, list[Excerpt]] = {str(unit): [] for unit in units}
        for row in _read_rows(self._folder / RECORDS, RECORD_COLUMNS, self._rows, units):
            excerpts[row["neuron"]].append(_excerpt(row, self._texts, self._described))
        quantiles = self._quantiles(units)
        sums = table_of(self._folder / SUMS, {str(unit): pa.float32() for unit in units})
        return tuple(
            self._record(unit, excerpts[str(unit)], sums[str(unit)].to_numpy(), quantiles.get(str(unit), []))
            for unit in units
        )

    def _record(
        self,
        unit: Unit,
        excerpts: Sequence[Excerpt],
        sums: npt.NDArray[np.float32],
        quantiles: Sequence[Sequence[Excerpt]],
    ) -> UnitRecord:
        values = sums.astype(np.float64)
        if not np.isfinite(values).all() or (self._counts < 0).any() or None in self._tokens:
            raise NeuroglossError(f"its sums by token of {unit} are no numbers.")
        record = UnitRecord(
            unit=unit,
            top=tuple(excerpt for excerpt in excerpts if excerpt.kind is ExcerptKind.TOP),
            random=tuple(excerpt for excerpt in excerpts if excerpt.kind is ExcerptKind.RANDOM),
            moments=self._described.neurons[unit],
            token_sums=TokenSums(self._tokens, self._counts, values),
            by_quantile=tuple(map(tuple, quantiles)),
            quantile_boundaries=tuple(self._described.quantile_boundaries.get(unit, ())),
            hard=tuple(excerpt for excerpt in excerpts if excerpt.kind is ExcerptKind.HARD),
        )
        if self._described.imported is None:
            return record
        # token ids of imported records are numbers of the task's own
        return with_excerpts(record, lambda excerpt: dataclasses.replace(excerpt, token_ids=()))

    def _quantiles(self, units: Sequence[Unit]) -> dict[str, list[list[Excerpt]]]:
        """Return unit -> excerpts of each stratum, for a task that has such."""
        described = self._described
        numbers = {
            unit: described.strata.get(unit, len(described.quantile_boundaries.get(unit, ())) + 1)
            for unit in units
            if unit in described.quantile_boundaries or unit in described.strata
        }
        strata: dict[str, list[list[Excerpt]]] = {
            str(unit): [[] for _ in range(number)] for unit, number in numbers.items()
        }
        if not described.quantile_boundaries:
            return strata
        for row in _read_rows(self._folder / QUANTILES, QUANTILE_COLUMNS, self._quantile_rows, units):
            excerpts = strata[row["neuron"]]
            if not 0 <= row["stratum"] < len(excerpts):
                raise NeuroglossError(f"excerpt {row['source']} of unit {row['neuron']} is of no stratum.")
            excerpts[row["stratum"]].append(_excerpt(row, self._texts, described))
        return strata


def with_excerpts(record: UnitRecord, change: Callable[[Excerpt], Excerpt]) -> UnitRecord:
    """Return a record with each of its excerpts changed."""
    return dataclasses.replace(
        record,
        top=tuple(map(change, record.top)),
        random=tuple(map(change, record.random)),
        hard=tuple(map(change, record.hard)),
        by_quantile=tuple(tuple(map(change, stratum)) for stratum in record.by_quantile),
    )


def _texts(folder: Path) -> dict[int, str]:
    """Return the text of each token id."""
    table = table_of(folder / TOKENS, {"id": pa.int32(), "text": pa.string()})
    return dict(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))


def _rows_by_unit(path: Path, units: Sequence[Unit]) -> dict[Unit, range]:
    """Return which rows of a file are those of each unit; a unit that is not named has none.

    Raises:
        NeuroglossError: the rows of a unit do not stand together, or are of none of the units.
    """
    names = table_of(path, {"neuron": pa.string()})["neuron"].combine_chunks().dictionary_encode()
    codes, order = names.indices.to_numpy(zero_copy_only=False), names.dictionary.to_pylist()
    starts = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)] if len(codes) else [0]
    spans = {str(unit): unit for unit in units}
    strangers = [name for name in order if name not in spans]
    if strangers or len(starts) - 1 != len(order):
        name = strangers[0] if strangers else order[0]
        raise NeuroglossError(f"the rows of {name} in {path.name} are of no unit, or do not stand together.")
    return {spans[name]: range(*bounds) for name, bounds in zip(order, pairwise(starts), strict=True)}


def _read_rows(
    path: Path, columns: Mapping[str, pa.DataType], rows_by_unit: Mapping[Unit, range], units: Sequence[Unit]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of some units, those together that stand one after another."""
    spans: list[range] = []
    for unit in units:
        rows = rows_by_unit.get(unit, range(0))
        if spans and spans[-1].stop == rows.start:
            spans[-1] = range(spans[-1].start, rows.stop)
        elif rows:
            spans.append(rows)
    for span in spans:
        yield from table_of(path, columns, rows=span).to_pylist()


def _excerpt(row: Mapping[str, Any], texts: Mapping[int, str], described: Described) -> Excerpt:
    """Return an excerpt, checked: of a text without characters that a file cannot hold, and of a weight that counts."""
    check_row(row, described.excerpt_tokens)
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


def check_row(row: Mapping[str, Any], length: int) -> None:
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
