"""Explanations that OpenAI released with Bills et al. (2023), in the format of its neuron-explainer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.explainers.released.imported import Imported, lines, required, whole_number
from harness.types import NeuroglossError, Unit

LAYER, INDEX = ("layer_index", "layer"), ("neuron_index", "idx")
LIST, TEXT = ("scored_explanations", "scored_explanation_or_baseline_list"), ("explanation", "explanation_or_baseline")


@dataclass(eq=False)
class OpenAIFile(Imported):
    """Importer that reads one ``.jsonl`` with a line for each neuron, or a folder of ``<layer>/<neuron>.jsonl``.

    The first explanation of a neuron is taken. Its released score is ignored, because it is by other excerpts.
    """

    def texts(self, neurons: Collection[Unit]) -> Mapping[Unit, str]:
        """Return the first explanation of each of ``neurons`` that has one.

        Raises:
            NeuroglossError: a file cannot be read, or a line lacks a key; the message names it.
        """
        texts: dict[Unit, str] = {}
        for path in files(Path(self.path), neurons):
            for where, row in lines(path):
                neuron = _neuron(row, where)
                if neuron in neurons and neuron not in texts:
                    texts |= _first(neuron, row, where)
        return texts


def files(path: Path, neurons: Collection[Unit]) -> Iterator[Path]:
    """Yield the file itself, or the folder's files of ``neurons``.

    Raises:
        NeuroglossError: the folder holds no file of any neuron.
    """
    if path.is_file():
        yield path
        return
    if not any(path.glob("*/*.jsonl")):
        raise NeuroglossError(f"the folder {path} holds no <layer>/<neuron>.jsonl; check the path.")
    paths = [path / str(neuron.place) / f"{neuron.index}.jsonl" for neuron in sorted(neurons)]
    yield from (file for file in paths if file.is_file())


def _neuron(row: Mapping[str, Any], where: str) -> Unit:
    neuron_id = required(row, ("neuron_id",), where)
    layer, index = required(neuron_id, LAYER, where), required(neuron_id, INDEX, where)
    return Unit("N", whole_number(layer, where), whole_number(index, where))


def _first(neuron: Unit, row: Mapping[str, Any], where: str) -> dict[Unit, str]:
    explanations = required(row, LIST, where)
    if not isinstance(explanations, list):
        raise NeuroglossError(f"{where}: {LIST[0]} is no list.")
    text = required(explanations[0], TEXT, where) if explanations else None
    if not isinstance(text, str | None):
        raise NeuroglossError(f"{where}: {TEXT[0]} is {text!r:.80}, and a text is wanted.")
    return {} if text is None else {neuron: text}
