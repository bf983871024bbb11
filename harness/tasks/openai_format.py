"""Neuron records in the public format of OpenAI's neuron-explainer, read and written without loss.

A file holds one ``UnitRecord`` in JSON. Two notations of a float32 are recognised and preserved: every digit of its
binary value, and the shortest decimal that denotes it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from harness.guards import reading
from harness.types import (
    Excerpt,
    ExcerptKind,
    Moments,
    NeuroglossError,
    TokenSums,
    Unit,
    UnitRecord,
    utf8,
)


class Decimals(StrEnum):
    """Notation of a float32 in a file: every digit of its binary value, or the shortest decimal that denotes it."""

    BINARY = "binary"
    SHORTEST = "shortest"


@dataclass(frozen=True, eq=False)
class Imported:
    """Records read from files.

    Attributes:
        records: records, in the order of neurons.
        paths: file of each record.
        decimals: notation of numbers in the files.
        rounded: number of activations that were a float32 in neither notation and were rounded to one.
    """

    records: tuple[UnitRecord, ...]
    paths: tuple[Path, ...]
    decimals: Decimals
    rounded: int


def read(places: Iterable[Path]) -> Imported:
    """Read files, and folders of ``.json`` files, of one record each.

    Raises:
        NeuroglossError: there are no files, a file cannot be read or lacks a key, or two are of the same neuron; the
            file is named.
    """
    paths = [path for place in places for path in (sorted(place.rglob("*.json")) if place.is_dir() else [place])]
    if not paths:
        raise NeuroglossError("there is no .json file to import; give files of neuron records, or a folder with them.")
    records_by_neuron: dict[Unit, tuple[UnitRecord, Path]] = {}
    numbers: list[float] = []
    for path in paths:
        record = _read_file(path)
        if record.unit in records_by_neuron:
            raise NeuroglossError(f"{path} is of neuron {record.unit}, as another file is; leave one of them out.")
        numbers.extend(value for excerpt in every_excerpt(record) for value in excerpt.activations)
        records_by_neuron[record.unit] = record, path
    records, record_paths = zip(*(records_by_neuron[neuron] for neuron in sorted(records_by_neuron)), strict=True)
    return Imported(records, record_paths, *_decimals(np.array(numbers)))


def every_excerpt(record: UnitRecord) -> list[Excerpt]:
    """Return the top, random, hard and quantile excerpts of a record, in this order."""
    strata = (excerpt for stratum in record.by_quantile for excerpt in stratum)
    return [*record.top, *record.random, *record.hard, *strata]


def dumped(record: UnitRecord, decimals: Decimals = Decimals.SHORTEST) -> str:
    """Return a record as the text of a file; reading the text and writing the record again changes neither.

    Missing quantile samples and boundaries are written as null.
    """
    moments = record.moments
    strata = [_written(stratum, decimals) for stratum in record.by_quantile]
    document = {
        "dataclass_name": "NeuronRecord",
        "neuron_id": {
            "dataclass_name": "NeuronId",
            "layer_index": record.unit.place,
            "neuron_index": record.unit.index,
        },
        "random_sample": _written(record.random, decimals),
        "random_sample_by_quantile": strata or None,
        "quantile_boundaries": [_or_null(edge) for edge in record.quantile_boundaries] or None,
        "mean": _or_null(moments.mean),
        "variance": _or_null(moments.variance),
        "skewness": _or_null(moments.skewness),
        "kurtosis": _or_null(moments.kurtosis),
        "most_positive_activation_records": _written(record.top, decimals),
    }
    return json.dumps(document, ensure_ascii=True, allow_nan=False)


def write(records: Sequence[UnitRecord], folder: Path, decimals: Decimals) -> list[Path]:
    """Write each record as ``<layer>/<neuron>.json`` to a new folder, and return the paths.

    Raises:
        NeuroglossError: a record is of no neuron, or the folder exists, or cannot be written.
    """
    others = [str(record.unit) for record in records if record.unit.kind != "N"]
    if others:
        raise NeuroglossError(f"{others[0]} is no neuron, and the files of OpenAI's format hold neurons alone.")
    try:
        folder.mkdir(parents=True)
        paths = [folder / str(record.unit.place) / f"{record.unit.index}.json" for record in records]
        for path, record in zip(paths, records, strict=True):
            path.parent.mkdir(exist_ok=True)
            path.write_text(dumped(record, decimals), encoding="utf-8", newline="\n")
    except OSError as error:
        raise NeuroglossError(f"{folder} cannot be written ({error.strerror or error}); give a new folder.") from error
    return paths


# ------------------------------------------------------------------------------------------------------------ reading


def _read_file(path: Path) -> UnitRecord:
    try:
        document = reading.json_of(path)
    except NeuroglossError as error:
        raise NeuroglossError(f"{str(error).rstrip('.')}; check it, or fetch it again.") from error
    try:
        return parsed(document)
    except KeyError as error:
        raise NeuroglossError(f"{path} lacks the key {error}, which a neuron record needs; fetch it again.") from error
    except NeuroglossError as error:
        raise NeuroglossError(f"{path}: {error}") from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise NeuroglossError(f"{path} is no neuron record in JSON ({error}); fetch it again.") from error


def parsed(document: Mapping[str, Any]) -> UnitRecord:
    """Return the record of a JSON object; missing moments are NaN, and its count of positions is 0.

    Raises:
        KeyError: a key that a record needs is missing.
        NeuroglossError: an activation is missing or not finite, a token or the neuron is invalid, or the numbers of
            quantile samples and boundaries do not fit.
    """
    strata = document.get("random_sample_by_quantile") or []
    boundaries = document.get("quantile_boundaries") or []
    if strata and boundaries and len(strata) != len(boundaries) + 1:
        raise NeuroglossError(
            f"it has {len(strata)} samples by quantile and {len(boundaries)} boundaries between them; "
            "there must be one boundary fewer than samples."
        )
    top = _excerpts(document["most_positive_activation_records"], ExcerptKind.TOP, "top")
    return UnitRecord(
        unit=_neuron(document["neuron_id"]),
        top=top,
        random=_excerpts(document["random_sample"], ExcerptKind.RANDOM, "random"),
        moments=Moments(
            count=0,
            **{name: _or_nan(document[name]) for name in ("mean", "variance", "skewness", "kurtosis")},
            fraction_active=math.nan,
            maximum=max((excerpt.maximum for excerpt in top), default=math.nan),
        ),
        token_sums=TokenSums((), np.zeros(0, dtype=np.int64), np.zeros(0)),
        by_quantile=tuple(
            _excerpts(records, ExcerptKind.QUANTILE, f"quantile-{number}") for number, records in enumerate(strata)
        ),
        quantile_boundaries=tuple(map(_or_nan, boundaries)),
    )


def _neuron(document: Mapping[str, Any]) -> Unit:
    """Return the name of a neuron, also from the keys of the later transformer-debugger."""
    layer = document["layer_index"] if "layer_index" in document else document["layer"]
    index = document["neuron_index"] if "neuron_index" in document else document["idx"]
    return Unit.parse(f"{int(layer)}:{int(index)}")


def _tokens(tokens: Sequence[object], source: str) -> tuple[str, ...]:
    for token in tokens:
        if not isinstance(token, str) or utf8(token) != token:
            raise NeuroglossError(f"excerpt {source} has the token {token!r}, which is no text; fetch it again.")
    return tuple(map(str, tokens))


def _excerpts(records: Sequence[Mapping[str, Any]], kind: ExcerptKind, name: str) -> tuple[Excerpt, ...]:
    return tuple(
        Excerpt(
            tokens=_tokens(record["tokens"], f"{name}-{number}:0"),
            token_ids=(),
            activations=tuple(map(_or_nan, record["activations"])),
            kind=kind,
            source=f"{name}-{number}:0",
        )
        for number, record in enumerate(records)
    )


def _decimals(numbers: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[Decimals, int]:
    """Return the notation of numbers, and how many of them are no float32 in it."""
    nearest = numbers.astype(np.float32)
    if np.array_equal(nearest.astype(np.float64), numbers):
        return Decimals.BINARY, 0
    pairs = zip(nearest.tolist(), numbers.tolist(), strict=True)
    return Decimals.SHORTEST, sum(_shortest(value) != number for value, number in pairs)


def _shortest(value: float) -> float:
    return float(str(np.float32(value)))


def _written(excerpts: Iterable[Excerpt], decimals: Decimals) -> list[dict[str, Any]]:
    exact = {Decimals.BINARY: lambda value: float(np.float32(value)), Decimals.SHORTEST: _shortest}[decimals]
    return [
        {
            "dataclass_name": "ActivationRecord",
            "tokens": list(excerpt.tokens),
            "activations": [exact(value) for value in excerpt.activations],
        }
        for excerpt in excerpts
    ]


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _or_null(value: float) -> float | None:
    return value if math.isfinite(value) else None
