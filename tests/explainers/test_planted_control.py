"""The control that knows what was planted: truths, near misses, and files that hold neither."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.explainers.controls.planted import Planted
from harness.types import Knowing, NeuroglossError, Outcome, Role, Truth, Unit

UNITS = (Unit("N", 0, 3), Unit("N", 1, 4), Unit("N", 1, 5))
TRUTHS = [Truth(unit, ()) for unit in UNITS]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    units = {"L0N3": {"truth": "the sea", "near": ["the land", "the sky"]}, "L1N4": {"truth": "nothing", "near": []}}
    (tmp_path / "truth.json").write_text(json.dumps({"units": units}))
    return tmp_path


def test_truths_are_recalled_in_order_from_the_file_or_its_folder(folder: Path) -> None:
    for place in (folder, folder / "truth.json"):
        explanations = Planted(str(place)).recall(TRUTHS)
        assert [explanation.unit for explanation in explanations] == list(UNITS)
        assert [explanation.text for explanation in explanations] == ["the sea", "nothing", ""]
        assert explanations[2].outcome is Outcome.NOT_COLLECTED


def test_the_first_near_miss_is_recalled_and_a_unit_without_one_has_none(folder: Path) -> None:
    explanations = Planted(str(folder), near=True).recall(TRUTHS)
    assert [explanation.text for explanation in explanations] == ["the land", "", ""]
    assert [explanation.outcome for explanation in explanations[1:]] == [Outcome.NOT_COLLECTED] * 2


def test_it_is_a_control_and_never_a_method(folder: Path) -> None:
    assert isinstance(Planted(str(folder)), Knowing)
    assert (Planted(str(folder)).role, Planted(str(folder), near=True).role) == (Role.CEILING, Role.NULL)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds no truths of planted neurons"),
        ('{"units": {"L0N9": {"truth": "x", "near": []}}}', "holds the truth of none of the units"),
        ('{"units": {"L0N3": {"truth": 3, "near": []}}}', "says of L0N3 what is no truth of a planted neuron"),
        ('{"units": {"L0N3": "x"}}', "says of L0N3 what is no truth of a planted neuron"),
    ],
)
def test_a_file_without_truths_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "truth.json").write_text(content)
    with pytest.raises(NeuroglossError, match=message):
        Planted(str(tmp_path)).recall(TRUTHS)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NeuroglossError, match="cannot be read"):
        Planted(str(tmp_path / "none.json")).recall(TRUTHS)
