"""The folder of a planted model: truth and corpus beside weights, the same for the same seed, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import weights
from harness.tasks.planted.folder import FORMAT, plant
from harness.tasks.planted.text import documents
from harness.types import NeuroglossError


def test_truths_stand_beside_the_model_by_unit(planted_folder: Path) -> None:
    content = json.loads((planted_folder / "truth.json").read_text())
    assert (content["format"], content["seed"]) == (FORMAT, 5)
    for name, entry in content["units"].items():
        assert name.startswith("L")
        assert entry["truth"]
        assert entry["near"] or entry["family"] == "dead"
    assert sum(entry["by_output"] for entry in content["units"].values()) == 2


def test_the_same_seed_makes_the_same_model_and_corpus(planted_folder: Path, wordy: Path, tmp_path: Path) -> None:
    planted = plant(tmp_path / "again", str(wordy), seed=5, documents=40)
    revisions = {weights.identify(str(folder)).revision for folder in (planted_folder, tmp_path / "again")}
    assert len(revisions) == 1
    texts = [json.loads(line)["text"] for line in (tmp_path / "again" / "corpus.jsonl").read_text().splitlines()]
    assert texts == list(documents(planted, 5, 40))
    assert (tmp_path / "again" / "corpus.jsonl").read_bytes() == (planted_folder / "corpus.jsonl").read_bytes()


def test_a_folder_that_exists_and_a_narrow_layer_are_refused_and_nothing_is_left(wordy: Path, tmp_path: Path) -> None:
    with pytest.raises(NeuroglossError, match=r"exists; name a new folder\."):
        plant(tmp_path, str(wordy), seed=5)
    with pytest.raises(NeuroglossError, match=r"^neurons is 20, and layer 0 needs \d+ more beside the planted ones"):
        plant(tmp_path / "narrow", str(wordy), seed=5, neurons=20)
    assert list(tmp_path.iterdir()) == []
