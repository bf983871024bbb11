"""Explanations that OpenAI released with Bills et al. (2023), in the format of its neuron-explainer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.explainers.imported import Imported, lines, needed, whole_number
from harness.types import NeuroglossError, NeuronId

LAYER, INDEX = ("layer_index", "layer"), ("neuron_index", "idx")
LIST, TEXT = ("scored_explanations", "scored_explanation_or_baseline_list"), ("explanation", "explanation_or_baseline")


@dataclass(eq=False)
class OpenAIFile(Imported):
    """Reads one ``.jsonl`` with a line for each neuron, or a folder of ``<layer>/<neuron>.jsonl`` as they lie there.

    Of several explanations of a neuron the first is taken: by its score would be by excerpts that are not ours.
    """

    def texts(self, neurons: Collection[NeuronId]) -> Mapping[NeuronId, str]:
        """The first explanation of each of ``neurons``.

        Raises:
            NeuroglossError: a file cannot be read, or a line lacks what it needs; both are named.
        """
        found: dict[NeuronId, str] = {}
        for path in files(Path(self.path), neurons):
            for where, row in lines(path):
                neuron = _neuron(row, where)
                if neuron in neurons and neuron not in found:
                    found |= _first(neuron, row, where)
        return found


def files(path: Path, neurons: Collection[NeuronId]) -> Iterator[Path]:
    """The file itself, or those of the neurons that are asked for and that the folder has.

    Raises:
        NeuroglossError: the folder holds no such file of any neuron.
    """
    if path.is_file():
        yield path
        return
    if not any(path.glob("*/*.jsonl")):
        raise NeuroglossError(f"the folder {path} holds no <layer>/<neuron>.jsonl; check the path.")
    wanted = [path / str(neuron.layer) / f"{neuron.index}.jsonl" for neuron in sorted(neurons)]
    yield from (file for file in wanted if file.is_file())


def _neuron(row: Mapping[str, Any], where: str) -> NeuronId:
    named = needed(row, ("neuron_id",), where)
    return NeuronId(whole_number(needed(named, LAYER, where), where), whole_number(needed(named, INDEX, where), where))


def _first(neuron: NeuronId, row: Mapping[str, Any], where: str) -> dict[NeuronId, str]:
    scored = needed(row, LIST, where)
    if not isinstance(scored, list):
        raise NeuroglossError(f"{where}: {LIST[0]} is no list.")
    text = needed(scored[0], TEXT, where) if scored else None
    if not isinstance(text, str | None):
        raise NeuroglossError(f"{where}: {TEXT[0]} is {text!r:.80}, and a text is wanted.")
    return {} if text is None else {neuron: text}
