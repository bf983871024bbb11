"""Label Studio: what it is sent, what comes back, and what its own annotators say."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.humans.answers import Choice, Explained, Levels, Mode, Picked, Rated
from harness.humans.exchange import label_studio, questions
from harness.types import NeuroglossError
from tests.humans.exchange.conftest import ASKED, answer_of

ANSWERS = {
    Mode.EXPLAIN: (
        [("text", "textarea", {"text": ["rivers", "seas"]}), ("confidence", "rating", {"rating": 2})],
        Explained("rivers\nseas", 2),
    ),
    Mode.RATE: ([("choice", "choices", {"choices": ["left"]})], Rated(Choice.LEFT)),
    Mode.SIMULATE: (
        # the tokens are "A ", "<b>0</b>", " 🌊 ", "river" and an escape; browsers count the wave as two
        [("level", "labels", {"start": 14, "end": 19, "text": "river", "labels": ["9"]}),
         ("level", "labels", {"start": 2, "end": 7, "text": "<b>0<", "labels": ["4"]})],
        Levels((0, 4, 0, 9, 0)),
    ),
    Mode.INTRUDER: ([("place", "choices", {"choices": ["4"]})], Picked(3)),
}  # fmt: skip


def exported(folder: Path, mode: Mode, texts, answers=()) -> list[dict]:
    label_studio.export(folder, list(answers), [answer_of(mode).assignment], texts)
    return json.loads((folder / "tasks.json").read_text())


def returned(folder: Path, tasks: list[dict], texts, skip_bad: bool = False):
    (folder / "export.json").write_text(json.dumps(tasks))
    return label_studio.read(folder / "export.json", questions.read_key(folder / "key.json"), texts, skip_bad)


def annotated(mode: Mode, who: object = 3) -> dict:
    regions, _ = ANSWERS[mode]
    result = [
        {"id": "x", "from_name": name, "to_name": "text_shown", "type": kind, "value": dict(value), "origin": "manual"}
        for name, kind, value in regions
    ]
    created = "2026-03-09T22:16:08.728353Z"
    return {
        "id": 77,
        "result": result,
        "was_cancelled": False,
        "created_at": created,
        "lead_time": 4.5,
        "completed_by": who,
    }


@pytest.mark.parametrize("mode", list(Mode))
def test_answers_from_here_come_back_as_they_were(tmp_path: Path, texts, mode: Mode) -> None:
    answers = [answer_of(mode), answer_of(mode, 1, corrects=f"{mode}-0")]
    tasks = exported(tmp_path, mode, texts, answers)
    assert returned(tmp_path, tasks, texts).responses == tuple(answers)


@pytest.mark.parametrize("mode", list(Mode))
def test_answers_from_there_are_read(tmp_path: Path, texts, mode: Mode) -> None:
    tasks = exported(tmp_path, mode, texts)
    tasks[0]["annotations"] = [annotated(mode), {**annotated(mode), "was_cancelled": True}]
    (response,) = returned(tmp_path, tasks, texts).responses
    assert response.answer.payload == ANSWERS[mode][1]
    assert response.answer.seconds == pytest.approx(4.5, abs=1e-3)
    assert response.assignment.question == ASKED[mode][0]
    assert response.answer.page == "Label Studio"


def test_people_are_told_apart_and_nobody_is_named(tmp_path: Path, texts) -> None:
    tasks = exported(tmp_path, Mode.RATE, texts)
    tasks[0]["annotations"] = [
        {**annotated(Mode.RATE, who), "id": number}
        for number, who in enumerate([{"id": 3, "email": "ada@example.org"}, {"email": "bo@example.org"}, 3])
    ]
    people = [response.answer.annotator for response in returned(tmp_path, tasks, texts).responses]
    assert people[0] == people[2] != people[1]
    assert all(len(person) == 16 and set(person) <= set("0123456789abcdef") for person in people)


@pytest.mark.parametrize("mode", list(Mode))
def test_tasks_tell_neither_authors_nor_units_and_their_texts_are_escaped(tmp_path: Path, texts, mode: Mode) -> None:
    tasks = exported(tmp_path, mode, texts)
    sent = (tmp_path / "tasks.json").read_text()
    assert not any(word in sent for word in ("method", "L3N7", "adaptive", "intruder", "1.25", "\\u001b"))
    if mode in (Mode.EXPLAIN, Mode.INTRUDER):
        assert "&lt;b&gt;" in tasks[0]["data"]["text"]
        assert "<b>" not in tasks[0]["data"]["text"]
    config = ElementTree.fromstring((tmp_path / "config.xml").read_text())
    variables = {item.get("value", "").partition("$")[2] for item in config.iter() if "$" in item.get("value", "")}
    assert variables == set(tasks[0]["data"]) - {"question"}
    assert (tmp_path / "key.json").stat().st_mode & 0o077 == 0


def test_levels_are_shaded_on_the_scale_of_the_excerpts(tmp_path: Path, texts) -> None:
    text = exported(tmp_path, Mode.EXPLAIN, texts)[0]["data"]["text"]
    assert 'title="10"' in text  # the river; the first position is a leading one
    assert ">A </span>" not in text
    assert "title" not in exported(tmp_path / "blind", Mode.INTRUDER, texts)[0]["data"]["text"]


def test_a_key_is_not_overwritten(tmp_path: Path, texts) -> None:
    exported(tmp_path, Mode.RATE, texts)
    with pytest.raises(NeuroglossError, match="has a key already"):
        exported(tmp_path, Mode.RATE, texts)
    with pytest.raises(NeuroglossError, match="has asked for nothing yet"):
        label_studio.export(tmp_path / "new", [], [], texts)
    both = [answer_of(mode).assignment for mode in (Mode.RATE, Mode.EXPLAIN)]
    with pytest.raises(NeuroglossError, match="explain, rate; questions of one mode"):
        label_studio.export(tmp_path / "new", [], both, texts)
    foreign = replace(both[1], question=replace(both[1].question, excerpts=("abc",)))
    with pytest.raises(NeuroglossError, match="no excerpt abc"):
        label_studio.export(tmp_path / "new", [], [foreign], texts)
    assert not (tmp_path / "new").exists()


def label(**changes: object) -> dict:
    annotation = annotated(Mode.SIMULATE)
    annotation["result"][0]["value"].update(changes)
    return annotation


BAD = {
    "does not stand in the text": (Mode.SIMULATE, label(start=1)),
    "a level is 12": (Mode.SIMULATE, label(labels=["12"])),
    "none of the mode simulate": (Mode.SIMULATE, label(labels=["high", "low"])),
    "0 answers to choice": (Mode.RATE, {**annotated(Mode.RATE), "result": []}),
    "none of the mode rate": (Mode.RATE, annotated(Mode.RATE) | {"result": [
        {"from_name": "choice", "value": {"choices": ["maybe"]}}]}),
    "no list of values": (Mode.RATE, annotated(Mode.RATE) | {"result": {"choice": "left"}}),
    "nothing says who": (Mode.RATE, annotated(Mode.RATE, None)),
    "is no time": (Mode.RATE, annotated(Mode.RATE) | {"created_at": "yesterday"}),
    "place of an intruder is 8": (Mode.INTRUDER, annotated(Mode.INTRUDER) | {"result": [
        {"from_name": "place", "value": {"choices": ["9"]}}]}),
    "hidden row was changed": (Mode.RATE, annotated(Mode.RATE) | {"result": [
        *annotated(Mode.RATE)["result"], {"from_name": "row", "value": {"text": ['{"annotator": "p1"}']}}]}),
}  # fmt: skip


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_annotation_is_named_and_left_out_only_if_asked(tmp_path: Path, texts, reason: str) -> None:
    mode, annotation = BAD[reason]
    tasks = exported(tmp_path, mode, texts)
    tasks[0]["annotations"] = [copy.deepcopy(annotation), {**annotated(mode), "id": 5}]
    with pytest.raises(NeuroglossError, match=rf"export.json, task 1, annotation 1.*{reason}"):
        returned(tmp_path, tasks, texts)
    imported = returned(tmp_path, tasks, texts, skip_bad=True)
    assert len(imported.responses) == len(imported.refused) == 1


def test_what_is_no_export_of_this_study_is_refused(tmp_path: Path, texts) -> None:
    tasks = exported(tmp_path, Mode.RATE, texts)
    tasks[0]["annotations"] = [annotated(Mode.RATE)]
    tasks[0]["data"]["question"] = "0" * 16
    with pytest.raises(NeuroglossError, match="is none of the key"):
        returned(tmp_path, tasks, texts)
    with pytest.raises(NeuroglossError, match="task 1: it has no list of annotations"):
        returned(tmp_path, [{"id": 1, "choice": "left"}], texts)
    (tmp_path / "min.json").write_text('{"choice": "left"}')
    with pytest.raises(NeuroglossError, match="no list of tasks"):
        label_studio.read(tmp_path / "min.json", questions.read_key(tmp_path / "key.json"), texts)
