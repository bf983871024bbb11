"""Explanations and activations in the two layouts of Neuronpedia: what it exports, and what it takes as an upload.

``explainer=neuronpedia`` reads both. A layer is a source there: ``12`` for neurons, ``12-NAME`` for the latents of a
dictionary that somebody named. Method and model names are those of the run, but for two methods that Neuronpedia knows
by another name; it takes an upload of names that it knows only.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from harness.files import safe_name
from harness.results.run import Results
from harness.results.vocabulary import ExplainerInfo
from harness.share.exports.explained import Exporting
from harness.types import Excerpt, Record, Unit

KINDS, NOUN = ("N", "S"), "neurons and latents of a dictionary"
METHODS = {"token_activation_pairs": "oai_token-act-pair", "people": "human"}
"""Methods of ours that are an explanation type of Neuronpedia, and its name."""
AUTHOR = "neurogloss"
ROWS_OF_A_BATCH = 1024
"""Lines of a file of an export."""
FEATURES_OF_A_BATCH, MOST_CHARACTERS = 128, 512
"""The most units of one upload, and the longest explanation that it takes."""


def exported(export: Exporting) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content of each file of an export: explanations and activations, by layer.

    Explanations of a unit stand in the order of the rows; importers take the first.
    """
    model = _model_id(export.results)
    by_layer: dict[str, list[dict[str, Any]]] = {}
    for row in export.rows:
        for explained in row.explanations:
            layer = _layer(explained.unit, export.source)
            entry = _explanation(model, layer, explained.unit, explained.text, row.info)
            by_layer.setdefault(layer, []).append(entry)
    for layer, entries in by_layer.items():
        yield from _batches(f"{model}/{layer}/explanations", entries)
    for layer, layer_records in _by_layer(export.records, export.source).items():
        entries = [
            _activation(model, layer, record.unit, excerpt) for record in layer_records for excerpt in _excerpts(record)
        ]
        yield from _batches(f"{model}/{layer}/activations", entries)


def uploads(export: Exporting) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content of each body of an upload: at most 128 units of one layer, as JSON.

    An explanation that is too long for Neuronpedia ends in an ellipsis after 511 characters.
    """
    texts: dict[Unit, list[dict[str, str]]] = {}
    for row in export.rows:
        for explained in row.explanations:
            texts.setdefault(explained.unit, []).append(_of_upload(explained.text, row.info))
    for layer, layer_records in _by_layer(export.records, export.source).items():
        features = [
            _feature(record, texts[record.unit.as_released])
            for record in layer_records
            if record.unit.as_released in texts
        ]
        for number, batch in enumerate(_parts(features, FEATURES_OF_A_BATCH)):
            body = {"modelId": _model_id(export.results), "source": layer, "features": batch}
            yield f"{layer}/batch-{number}.json", f"{json.dumps(body, allow_nan=False)}\n".encode()


def _model_id(results: Results) -> str:
    """Return what Neuronpedia calls a subject: the name of its repository or folder, in small letters."""
    name = results.subject.name if results.subject else ""
    return safe_name(name.replace(":", "/").rstrip("/").rpartition("/")[2].lower())


def _layer(unit: Unit, source: str) -> str:
    return f"{unit.place}-{source}" if source else str(unit.place)


def _by_layer(records: Iterable[Record], source: str) -> dict[str, list[Record]]:
    """Return the units of each layer, but for negative sides."""
    layers: dict[str, list[Record]] = {}
    for record in (record for record in records if record.unit.side != "-"):
        layers.setdefault(_layer(record.unit, source), []).append(record)
    return layers


def _excerpts(record: Record) -> list[Excerpt]:
    """Return the excerpts of a unit that an upload can hold: each token a text that is not empty, the strongest first.

    Those of the test split stay out, so that nobody learns of them from a page.
    """
    splits = record.splits
    excerpts = [*splits.train, *splits.calibration, *splits.valid]
    return sorted((item for item in excerpts if item.tokens and all(item.tokens)), key=lambda item: -item.maximum)


def _explanation(model: str, layer: str, unit: Unit, text: str, info: ExplainerInfo) -> dict[str, Any]:
    entry = {
        "modelId": model,
        "layer": layer,
        "index": str(unit.index),
        "authorId": AUTHOR,
        "description": text,
        "embedding": None,
        "typeName": METHODS.get(info.method, info.method),
        "explanationModelName": info.model or None,
    }
    return {"id": _id(entry), **entry, **dict.fromkeys(_MAP)}


_MAP = ("umap_x", "umap_y", "umap_cluster", "umap_log_feature_sparsity")
"""Where an explanation lies on a map that Neuronpedia draws, which nobody has drawn here."""


def _activation(model: str, layer: str, unit: Unit, excerpt: Excerpt) -> dict[str, Any]:
    values = list(excerpt.activations)
    entry = {
        "modelId": model,
        "layer": layer,
        "index": str(unit.index),
        "creatorId": AUTHOR,
        "dataSource": excerpt.source,
        "tokens": list(excerpt.tokens),
        "maxValue": max(values),
        "minValue": min(values),
        "values": values,
        "maxValueTokenIndex": values.index(max(values)),
    }
    return {"id": _id(entry), **entry}


def _id(entry: Mapping[str, Any]) -> str:
    """Return what names an entry: always the same for the same content."""
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()[:25]


def _batches(folder: str, entries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, bytes]]:
    for number, batch in enumerate(_parts(entries, ROWS_OF_A_BATCH)):
        lines = "".join(f"{json.dumps(entry, allow_nan=False)}\n" for entry in batch)
        yield f"{folder}/batch-{number}.jsonl.gz", gzip.compress(lines.encode(), mtime=0)


def _parts(entries: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    remaining = iter(entries)
    while part := list(islice(remaining, size)):
        yield part


def _of_upload(text: str, info: ExplainerInfo) -> dict[str, str]:
    fitting = text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
    entry = {"text": fitting, "methodName": METHODS.get(info.method, info.method).lower()}
    return entry | ({"modelName": info.model.lower()} if info.model else {})


def _feature(record: Record, explanations: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    density = math.nan if record.source is None else record.source.moments.fraction_active
    return {
        "index": record.unit.index,
        **({} if math.isnan(density) else {"density": density}),
        "explanations": list(explanations),
        "activations": [
            {"tokens": list(excerpt.tokens), "values": list(excerpt.activations)} for excerpt in _excerpts(record)
        ],
    }
