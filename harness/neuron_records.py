"""Neuron records in the public format of OpenAI's neuron-explainer, read and written so that nothing is lost between.

A file holds one ``NeuronRecord`` in JSON. Two ways of writing a float32 are known and kept: every digit of its binary
value, and the shortest decimal that means it.
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

from harness.types import (
    Excerpt,
    ExcerptKind,
    Moments,
    NeuroglossError,
    NeuronId,
    NeuronRecord,
    TokenSums,
    utf8,
)


class Decimals(StrEnum):
    """How a file writes a float32: with every digit of its binary value, or as the shortest decimal that means it."""

    BINARY = "binary"
    SHORTEST = "shortest"


@dataclass(frozen=True, eq=False)
class Imported:
    """Records read from files.

    Attributes:
        records: in the order of neurons.
        paths: the file that each was read from.
        decimals: how the files write numbers.
        rounded: how many activations were no float32 either way, and have been rounded to one.
    """

    records: tuple[NeuronRecord, ...]
    paths: tuple[Path, ...]
    decimals: Decimals
    rounded: int


def read(places: Iterable[Path]) -> Imported:
    """Read files, and folders of ``.json`` files, of one record each.

    Raises:
        NeuroglossError: there is none, one cannot be read or lacks a key, or two are of the same neuron; the file is
            named.
    """
    paths = [path for place in places for path in (sorted(place.rglob("*.json")) if place.is_dir() else [place])]
    if not paths:
        raise NeuroglossError("there is no .json file to import; give files of neuron records, or a folder with them.")
    found: dict[NeuronId, tuple[NeuronRecord, Path]] = {}
    numbers: list[float] = []
    for path in paths:
        record = _read_file(path)
        if record.neuron in found:
            raise NeuroglossError(f"{path} is of neuron {record.neuron}, as another file is; leave one of them out.")
        numbers.extend(value for excerpt in every_excerpt(record) for value in excerpt.activations)
        found[record.neuron] = record, path
    records, kept = zip(*(found[neuron] for neuron in sorted(found)), strict=True)
    return Imported(records, kept, *_decimals(np.array(numbers)))


def every_excerpt(record: NeuronRecord) -> list[Excerpt]:
    """Top, random and then quantile excerpts of a record."""
    return [*record.top, *record.random, *(one for stratum in record.by_quantile for one in stratum)]


def dumped(record: NeuronRecord, decimals: Decimals = Decimals.SHORTEST) -> str:
    """A record as the text of a file; reading it gives the same record, and writing that the same text.

    Where there are no samples by quantile, or no boundaries, it says null.
    """
    moments = record.moments
    strata = [_written(stratum, decimals) for stratum in record.by_quantile]
    found = {
        "dataclass_name": "NeuronRecord",
        "neuron_id": {
            "dataclass_name": "NeuronId",
            "layer_index": record.neuron.layer,
            "neuron_index": record.neuron.index,
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
    return json.dumps(found, ensure_ascii=True, allow_nan=False)


def write(records: Sequence[NeuronRecord], folder: Path, decimals: Decimals) -> list[Path]:
    """Write each record as ``<layer>/<neuron>.json`` in a folder that does not exist; the files are returned.

    Raises:
        NeuroglossError: the folder exists, or cannot be written.
    """
    try:
        folder.mkdir(parents=True)
        paths = [folder / str(one.neuron.layer) / f"{one.neuron.index}.json" for one in records]
        for path, record in zip(paths, records, strict=True):
            path.parent.mkdir(exist_ok=True)
            path.write_text(dumped(record, decimals), encoding="utf-8", newline="\n")
    except OSError as error:
        raise NeuroglossError(f"{folder} cannot be written ({error.strerror or error}); give a new folder.") from error
    return paths


# ------------------------------------------------------------------------------------------------------------ reading


def _read_file(path: Path) -> NeuronRecord:
    try:
        return parsed(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise NeuroglossError(
            f"{path} cannot be read ({error.strerror or error}); check it and import again."
        ) from error
    except KeyError as error:
        raise NeuroglossError(f"{path} lacks the key {error}, which a neuron record needs; fetch it again.") from error
    except NeuroglossError as error:
        raise NeuroglossError(f"{path}: {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise NeuroglossError(f"{path} is no neuron record in JSON ({error}); fetch it again.") from error


def parsed(found: Mapping[str, Any]) -> NeuronRecord:
    """One record from its JSON object; what it does not say is NaN, and its count of positions 0.

    Raises:
        KeyError: a key that a record needs is missing.
        NeuroglossError: an activation is missing or not a finite number, a token or the neuron is none, or quantiles
            and boundaries do not fit.
    """
    strata = found.get("random_sample_by_quantile") or []
    boundaries = found.get("quantile_boundaries") or []
    if strata and boundaries and len(strata) != len(boundaries) + 1:
        raise NeuroglossError(
            f"it has {len(strata)} samples by quantile and {len(boundaries)} boundaries between them; "
            "there must be one less."
        )
    top = _excerpts(found["most_positive_activation_records"], ExcerptKind.TOP, "top")
    return NeuronRecord(
        neuron=_neuron(found["neuron_id"]),
        top=top,
        random=_excerpts(found["random_sample"], ExcerptKind.RANDOM, "random"),
        moments=Moments(
            count=0,
            **{name: _or_nan(found[name]) for name in ("mean", "variance", "skewness", "kurtosis")},
            fraction_active=math.nan,
            maximum=max((excerpt.maximum for excerpt in top), default=math.nan),
        ),
        token_sums=TokenSums((), np.zeros(0, dtype=np.int64), np.zeros(0)),
        by_quantile=tuple(
            _excerpts(records, ExcerptKind.QUANTILE, f"quantile-{number}") for number, records in enumerate(strata)
        ),
        quantile_boundaries=tuple(map(_or_nan, boundaries)),
    )


def _neuron(found: Mapping[str, Any]) -> NeuronId:
    """A neuron's name, also under the keys of the later transformer-debugger."""
    layer = found["layer_index"] if "layer_index" in found else found["layer"]
    index = found["neuron_index"] if "neuron_index" in found else found["idx"]
    return NeuronId.parse(f"{int(layer)}:{int(index)}")


def _tokens(found: Sequence[object], source: str) -> tuple[str, ...]:
    for token in found:
        if not isinstance(token, str) or utf8(token) != token:
            raise NeuroglossError(f"excerpt {source} has the token {token!r}, which is no text; fetch it again.")
    return tuple(map(str, found))


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
    """How numbers are written, and how many of them are no float32 so."""
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
