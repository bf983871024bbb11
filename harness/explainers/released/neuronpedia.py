"""Explanations in the layouts of Neuronpedia: of its exports (``.jsonl`` or ``.jsonl.gz``, one explanation a line, or a
JSON list), and of what it takes as an upload (``.json``, one upload a line)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.explainers.released.imported import Imported, lines, required, whole_number
from harness.types import NeuroglossError, Unit


@dataclass(eq=False)
class Neuronpedia(Imported):
    """Importer that reads one file, or every file in a folder by name; units are matched by layer and index.

    The first explanation of a unit is taken.

    Attributes:
        source: the suffix of the number in ``layer``; "" for neurons. Rows of other sources are left out: they are
            features of a dictionary, numbered like neurons, and ``L12S345`` is such a feature.
        method: keep only explanations of this ``typeName`` (``oai_token-act-pair``, ``np_max-act``, ...).
        model_name: keep only explanations by this ``explanationModelName``.
    """

    source: str = ""
    method: str | None = None
    model_name: str | None = None

    def texts(self, neurons: Collection[Unit]) -> Mapping[Unit, str]:
        """Return the first explanation of each of ``neurons``, or latents, that has one.

        Raises:
            NeuroglossError: a file cannot be read, a line lacks a key, or no line is of this source, method and model.
        """
        texts: dict[Unit, str] = {}
        rejected_kinds: set[str] = set()
        units = {(unit.place, unit.index): unit for unit in neurons if unit.kind in ("N", "S")}
        for place, kind, text in self._rows():
            if place is None:
                rejected_kinds.add(kind)
            elif place in units:
                texts.setdefault(units[place], text)
        if not texts and rejected_kinds:
            raise NeuroglossError(
                f"{self.path} has no explanation of these neurons by this source, method and model; it has these "
                f"instead: {', '.join(sorted(rejected_kinds)[:5])}."
            )
        return texts

    def _rows(self) -> Iterator[tuple[tuple[int, int] | None, str, str]]:
        """Yield (layer and index, kind, text) of each explanation; the first is None if the kind does not match."""
        for path in files(Path(self.path)):
            for where, row in _entries(path):
                layer, text = str(required(row, ("layer",), where)), required(row, ("description",), where)
                is_of_source = isinstance(layer, str) and layer.endswith(self.source)
                number = layer.removesuffix(self.source) if is_of_source else ""
                kind = (row.get("typeName"), row.get("explanationModelName"))
                if not number.isdecimal() or not self._matches(*kind):
                    yield None, f"layer {layer}, typeName {kind[0]}, explanationModelName {kind[1]}", ""
                else:
                    index = whole_number(required(row, ("index",), where), where)
                    yield (whole_number(number, where), index), "", text if isinstance(text, str) else ""

    def _matches(self, method: object, model: object) -> bool:
        return self.method in (None, method) and self.model_name in (None, model)


def _entries(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each explanation of a file and its place in words; a line may be a whole upload.

    Raises:
        NeuroglossError: the file cannot be read, or lacks a key.
    """
    for where, row in lines(path, may_be_list=True):
        if "features" in row:
            yield from _uploaded(row, where)
        else:
            yield where, row


def _uploaded(body: Mapping[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each explanation of an upload, under the keys of an export, and its place in words."""
    for number, feature in enumerate(_items(body, "features", where), start=1):
        place = f"{where}, feature {number}"
        index = required(feature, ("index",), place)
        for explanation in _items(feature, "explanations", place) if feature.get("explanations") else ():
            yield (
                place,
                {
                    "layer": required(body, ("source",), where),
                    "index": index,
                    "description": required(explanation, ("text",), place),
                    "typeName": explanation.get("methodName"),
                    "explanationModelName": explanation.get("modelName"),
                },
            )


def _items(row: object, name: str, where: str) -> list[Any]:
    items = required(row, (name,), where)
    if not isinstance(items, list):
        raise NeuroglossError(f"{where}: {name} is no list.")
    return items


def files(path: Path) -> list[Path]:
    """Return the file itself, or every file in the folder that can hold explanations.

    An export has activations and features in folders of these names, which hold none.

    Raises:
        NeuroglossError: the folder holds no export.
    """
    if path.is_file():
        return [path]
    candidates = {file for name in ("*.jsonl", "*.jsonl.gz", "batch-*.json") for file in path.rglob(name)}
    paths = sorted(file for file in candidates if not _WITHOUT & set(file.relative_to(path).parts))
    if not paths:
        raise NeuroglossError(f"the folder {path} holds no .jsonl, no .jsonl.gz and no batch-*.json; check the path.")
    return paths


_WITHOUT = {"activations", "features"}
"""Folders of an export without explanations."""
