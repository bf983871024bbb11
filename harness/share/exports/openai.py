"""Explanations in the format of OpenAI's neuron-explainer, a file of one line each.

A file is ``METHOD[/MODEL]/SIMULATOR/<layer>/<neuron>.jsonl``, and ``explainer=openai_file`` reads the folder of a
method, its model if it asks one, and a simulator. Of a simulation only expected
activations are known, so that its distributions are empty, as they are for simulators that give none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from harness.files import safe_name
from harness.scores.metrics import UndefinedScoreError, abs_dev, correlation, is_degenerate, r2_uncentred
from harness.share.exports.explained import Explained, Exporting, Row
from harness.types import FloatArray, Unit

KINDS, NOUN = ("N",), "neurons"
SCORES = {
    "ev_correlation_score": "correlation",
    "rsquared_score": "r2_uncentred",
    "absolute_dev_explained_score": "abs_dev",
}
"""Their names of three of our metrics."""
ACTIVATIONS, LEVELS = "neuron_activations", "simulated_normalized_activations"


def files(export: Exporting) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content of each file, one for each neuron and row of the board.

    Several explanations of a neuron by one row, which people give, stand in one line.
    """
    for row in export.rows:
        folder = "/".join(safe_name(name) for name in (row.info.method, row.info.model, row.simulator) if name)
        by_unit: dict[Unit, list[Explained]] = {}
        for explained in row.explanations:
            by_unit.setdefault(explained.unit, []).append(explained)
        for unit, explanations in by_unit.items():
            line = json.dumps(_results(unit, explanations), allow_nan=False)
            yield f"{folder}/{unit.place}/{unit.index}.jsonl", f"{line}\n".encode()


def _results(unit: Unit, explanations: Sequence[Explained]) -> dict[str, Any]:
    return {
        "dataclass_name": "NeuronSimulationResults",
        "neuron_id": {"dataclass_name": "NeuronId", "layer_index": unit.place, "neuron_index": unit.index},
        "scored_explanations": [_explanation(explained) for explained in explanations],
    }


def _explanation(explained: Explained) -> dict[str, Any]:
    scores = {theirs: explained.scores.get(ours) for theirs, ours in SCORES.items()}
    return {
        "dataclass_name": "ScoredExplanation",
        "explanation": explained.text,
        "scored_simulation": {
            "dataclass_name": "ScoredSimulation",
            "scored_sequence_simulations": [_sequence(row) for row in explained.simulations],
            **scores,
        },
    }


def _sequence(row: Row) -> dict[str, Any]:
    simulation = _simulation(row["tokens"], row["simulated"], ACTIVATIONS if row["units"] == "activations" else LEVELS)
    if any(value is not None for value in row["calibrated"]):
        calibrated = _simulation(row["tokens"], row["calibrated"], ACTIVATIONS)
        simulation = {**calibrated, "uncalibrated_simulation": simulation}
    return {
        "dataclass_name": "ScoredSequenceSimulation",
        "simulation": simulation,
        "true_activations": row["real"],
        **_sequence_scores(row),
    }


def _simulation(tokens: Sequence[str], expected: Sequence[float | None], scale: str) -> dict[str, Any]:
    return {
        "dataclass_name": "SequenceSimulation",
        "tokens": tokens,
        "expected_activations": expected,
        "activation_scale": scale,
        "distribution_values": [],
        "distribution_probabilities": [],
        "uncalibrated_simulation": None,
    }


def _sequence_scores(row: Row) -> dict[str, float | None]:
    """Return the three scores of one excerpt, over the positions that count; null where one is undefined."""
    return {
        "ev_correlation_score": _score(correlation, row, "simulated"),
        "rsquared_score": _score(r2_uncentred, row, "calibrated"),
        "absolute_dev_explained_score": _score(abs_dev, row, "calibrated"),
    }


def _score(metric: Callable[[FloatArray, FloatArray], float], row: Row, column: str) -> float | None:
    pairs = zip(row["real"][row["leading"] :], row[column][row["leading"] :], strict=False)  # no simulation, no pair
    pairs_present = np.array([pair for pair in pairs if pair[1] is not None], dtype=np.float64).reshape(-1, 2)
    real, simulated = pairs_present.T
    if not real.size or (metric is correlation and is_degenerate(real, simulated)):
        return None
    try:
        return metric(real, simulated)
    except UndefinedScoreError:
        return None
