"""What planted neurons promote is found by steering them, and only by words about their output."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from harness.scorers.steered import Steered, Steering, steer
from harness.scorers.writers.template import named
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import Unit


def test_steering_knows_the_truth_of_output_neurons_from_near_misses(planted_folder: Path) -> None:
    truths = json.loads((planted_folder / "truth.json").read_text())["units"]
    subject = TransformersSubject(str(planted_folder))
    texts = tuple(tuple(np.random.default_rng(seed).integers(3, 400, 24).tolist()) for seed in range(2))
    requests: list[Steering] = []
    for name, entry in truths.items():
        if "likelier as the next token" in entry["truth"]:
            unit = Unit.parse(name)
            activations = tuple(map(tuple, subject.read([unit], texts)[:, :, 0].tolist()))
            near = entry["near"] if isinstance(entry["near"], str) else entry["near"][0]
            requests += [
                Steering(unit, texts, activations, 1, 4.0, 0.02, named(text)) for text in (entry["truth"], near)
            ]
    assert len(requests) == 4
    replies: dict[int, Steered] = dict(steer(subject, requests))
    for place in (0, 2):
        true, false = replies[place], replies[place + 1]
        assert true.divergence >= 0.02
        assert np.mean(true.places) > 0.95
        assert np.mean(false.places) < 0.75
