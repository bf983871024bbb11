"""Explanations exported from Neuronpedia: ``.jsonl`` or ``.jsonl.gz`` files, one explanation a line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.explainers.imported import Imported, lines, needed, whole_number
from harness.types import NeuroglossError, NeuronId


@dataclass(eq=False)
class Neuronpedia(Imported):
    """Reads one file, or every export in a folder in the order of names; neurons are joined by layer and index.

    Of several explanations of a neuron the first is taken.

    Attributes:
        source: what follows the number in ``layer``; "" for neurons. Rows of other sources are left out: they are
            features of a dictionary, and share the numbers of neurons.
        method: only explanations of this ``typeName`` (``oai_token-act-pair``, ``np_max-act``, ...).
        model_name: only explanations by this ``explanationModelName``.
    """

    source: str = ""
    method: str | None = None
    model_name: str | None = None

    def texts(self, neurons: Collection[NeuronId]) -> Mapping[NeuronId, str]:
        """The first explanation of each of ``neurons``.

        Raises:
            NeuroglossError: a file cannot be read, a line lacks what it needs, or no line is of such explanations.
        """
        found: dict[NeuronId, str] = {}
        others: set[str] = set()
        for neuron, kind, text in self._rows():
            if neuron is None:
                others.add(kind)
            elif neuron in neurons:
                found.setdefault(neuron, text)
        if not found and others:
            raise NeuroglossError(
                f"{self.path} has no explanation of these neurons by this source, method and model; what it has "
                f"otherwise: {', '.join(sorted(others)[:5])}."
            )
        return found

    def _rows(self) -> Iterator[tuple[NeuronId | None, str, str]]:
        """(neuron, what kind, text) of each line; the neuron is None where the kind is not the one asked for."""
        for path in files(Path(self.path)):
            for where, row in lines(path):
                layer, text = str(needed(row, ("layer",), where)), needed(row, ("description",), where)
                number = layer.removesuffix(self.source) if layer.endswith(self.source) else ""
                kind = (row.get("typeName"), row.get("explanationModelName"))
                if not number.isdecimal() or not self._wanted(*kind):
                    yield None, f"layer {layer}, typeName {kind[0]}, explanationModelName {kind[1]}", ""
                else:
                    index = whole_number(needed(row, ("index",), where), where)
                    yield NeuronId(whole_number(number, where), index), "", text if isinstance(text, str) else ""

    def _wanted(self, method: object, model: object) -> bool:
        return self.method in (None, method) and self.model_name in (None, model)


def files(path: Path) -> list[Path]:
    """The file itself, or every export in the folder.

    Raises:
        NeuroglossError: the folder holds none.
    """
    found = [path] if path.is_file() else sorted([*path.rglob("*.jsonl"), *path.rglob("*.jsonl.gz")])
    if not found:
        raise NeuroglossError(f"the folder {path} holds no .jsonl and no .jsonl.gz; check the path.")
    return found
