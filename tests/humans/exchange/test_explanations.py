"""People's explanations as the table that the explainer `people` reads today."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.explainers.released.people import read
from harness.humans.answers import Answer, Assignment, Explained, ExplainQuestion, Mode, Response
from harness.humans.exchange import explanations
from harness.types import NeuroglossError, Unit
from tests.humans.exchange.conftest import answer_of


def explained(unit: Unit, person: str, text: str, at: float = 0.0) -> Response:
    name = f"{unit}-{person}-{at}"
    answer = Answer(name, person, name, unit, at, at + 5, "v1", Explained(text, 3))
    return Response(answer, Assignment(name, person, unit, 0, ExplainQuestion(())))


def test_every_persons_explanation_is_read_back(tmp_path: Path) -> None:
    units = [Unit("N", 0, place) for place in range(3)]
    responses = [
        explained(units[0], "p1", 'rivers, "wide"\nones'),
        explained(units[0], "p2", "water"),
        explained(units[1], "p1", "cars"),
        explained(units[1], "p2", "  "),
        answer_of(Mode.RATE),
    ]
    written = explanations.write(tmp_path / "people.csv", responses)
    assert (written.rows, written.people, written.without_words) == (3, ("p1", "p2"), 1)
    texts = {(str(item.unit), item.annotator): item.text for item in read(tmp_path / "people.csv")}
    assert texts == {("L0N0", "p1"): 'rivers, "wide" ones', ("L0N0", "p2"): "water", ("L0N1", "p1"): "cars"}


def test_the_last_of_two_explanations_by_one_person_stands(tmp_path: Path) -> None:
    unit = Unit("N", 0, 1)
    first = explained(unit, "p1", "first", at=10)
    later = replace(first, answer=replace(first.answer, id="x", answered_at=99, payload=Explained("later", 2)))
    explanations.write(tmp_path / "people.csv", [later, first])
    assert [item.text for item in read(tmp_path / "people.csv")] == ["later"]


def test_nothing_to_write_is_said(tmp_path: Path) -> None:
    with pytest.raises(NeuroglossError, match="nobody has explained a unit in words"):
        explanations.write(tmp_path / "people.csv", [answer_of(Mode.RATE)])
    with pytest.raises(NeuroglossError, match=r"ends in \.csv"):
        explanations.write(tmp_path / "people.txt", [])
    assert list(tmp_path.iterdir()) == []
