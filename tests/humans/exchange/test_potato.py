"""Potato's configuration and data: what its own checks ask for, and nothing that people may not know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from harness.humans.answers import Mode
from harness.humans.exchange import potato, questions
from harness.types import NeuroglossError
from tests.humans.exchange.conftest import ASKED, UNIT, answer_of

SCHEMES = {Mode.EXPLAIN: ["text", "likert"], Mode.RATE: ["radio"], Mode.INTRUDER: ["radio"]}


@pytest.mark.parametrize("mode", SCHEMES)
def test_a_folder_that_potato_serves(tmp_path: Path, texts, mode: Mode) -> None:
    assert potato.export(tmp_path, [answer_of(mode).assignment] * 2, texts, people=4) == 1
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert [scheme["annotation_type"] for scheme in config["annotation_schemes"]] == SCHEMES[mode]
    assert config["max_annotations_per_item"] == 4
    (row,) = [json.loads(line) for line in (tmp_path / config["data_files"][0]).read_text().splitlines()]
    assert set(row) == {config["item_properties"]["id_key"], config["item_properties"]["text_key"]}
    key = questions.read_key(tmp_path / "key.json")
    assert key.questions[row["id"]] == questions.Inquiry(UNIT, ASKED[mode][0])


@pytest.mark.parametrize("mode", SCHEMES)
def test_nothing_is_sent_that_people_may_not_know_and_texts_are_escaped(tmp_path: Path, texts, mode: Mode) -> None:
    potato.export(tmp_path, [answer_of(mode).assignment], texts)
    sent = (tmp_path / "data.jsonl").read_text() + (tmp_path / "config.yaml").read_text()
    assert not any(word in sent for word in ("method", "L3N7", "adaptive", "<i>", "\\u001b"))
    assert "&lt;b&gt;" in sent


def test_simulations_are_refused(tmp_path: Path, texts) -> None:
    with pytest.raises(NeuroglossError, match="no scale for each token"):
        potato.export(tmp_path / "new", [answer_of(Mode.SIMULATE).assignment], texts)
    assert not (tmp_path / "new").exists()
