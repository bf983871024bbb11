"""Explanations exported from Neuronpedia: ``.jsonl`` or ``.jsonl.gz`` files, one explanation a line, or a JSON list."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.explainers.released.imported import Imported, lines, required, whole_number
from harness.types import NeuroglossError, Unit


@dataclass(eq=False)
class Neuronpedia(Imported):
    """Importer that reads one file, or every export in a folder by name; neurons are matched by layer and index.

    The first explanation of a neuron is taken.

    Attributes:
        source: the suffix of the number in ``layer``; "" for neurons. Rows of other sources are left out: they are
            features of a dictionary, numbered like neurons.
        method: keep only explanations of this ``typeName`` (``oai_token-act-pair``, ``np_max-act``, ...).
        model_name: keep only explanations by this ``explanationModelName``.
    """

    source: str = ""
    method: str | None = None
    model_name: str | None = None

    def texts(self, neurons: Collection[Unit]) -> Mapping[Unit, str]:
        """Return the first explanation of each of ``neurons`` that has one.

        Raises:
            NeuroglossError: a file cannot be read, a line lacks a key, or no line is of this source, method and model.
        """
        texts: dict[Unit, str] = {}
        rejected_kinds: set[str] = set()
        for neuron, kind, text in self._rows():
            if neuron is None:
                rejected_kinds.add(kind)
            elif neuron in neurons:
                texts.setdefault(neuron, text)
        if not texts and rejected_kinds:
            raise NeuroglossError(
                f"{self.path} has no explanation of these neurons by this source, method and model; it has these "
                f"instead: {', '.join(sorted(rejected_kinds)[:5])}."
            )
        return texts

    def _rows(self) -> Iterator[tuple[Unit | None, str, str]]:
        """Yield (neuron, kind, text) of each line; the neuron is None if the kind does not match."""
        for path in files(Path(self.path)):
            for where, row in lines(path, may_be_list=True):
                layer, text = str(required(row, ("layer",), where)), required(row, ("description",), where)
                is_of_source = isinstance(layer, str) and layer.endswith(self.source)
                number = layer.removesuffix(self.source) if is_of_source else ""
                kind = (row.get("typeName"), row.get("explanationModelName"))
                if not number.isdecimal() or not self._matches(*kind):
                    yield None, f"layer {layer}, typeName {kind[0]}, explanationModelName {kind[1]}", ""
                else:
                    index = whole_number(required(row, ("index",), where), where)
                    yield Unit("N", whole_number(number, where), index), "", text if isinstance(text, str) else ""

    def _matches(self, method: object, model: object) -> bool:
        return self.method in (None, method) and self.model_name in (None, model)


def files(path: Path) -> list[Path]:
    """Return the file itself, or every export in the folder.

    Raises:
        NeuroglossError: the folder holds no export.
    """
    paths = [path] if path.is_file() else sorted([*path.rglob("*.jsonl"), *path.rglob("*.jsonl.gz")])
    if not paths:
        raise NeuroglossError(f"the folder {path} holds no .jsonl and no .jsonl.gz; check the path.")
    return paths
