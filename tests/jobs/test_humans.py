"""Studies from the command line: what is refused in one sentence, and who is asked for."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli
from harness.config.settings import CardSettings, StudySettings, TaskSettings
from harness.humans import design
from harness.humans.store import StudyStore
from harness.jobs import humans
from harness.results.run import Results
from harness.types import NeuroglossError
from tests.fixtures import Command
from tests.humans.conftest import explained, made_up_task


def settings(mode: str = "explain", **changes: object) -> StudySettings:
    return StudySettings(mode=mode, task=TaskSettings("made-up-v1"), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ([], "the config leaves mode open"),
        (["mode=guess"], "mode is 'guess'; it can be explain, rate, simulate, intruder"),
        (["mode=explain", "task=nothing-v1"], "nothing-v1"),
        (["mode=rate"], "mode=rate needs explanations for people to read; add run=FOLDER"),
        (["mode=simulate"], "mode=simulate needs explanations"),
        (["mode=rate", "run=nowhere"], "nowhere"),
        (["mode=explain", "host=0.0.0.0"], "names=[study.example.org]"),
        (["mode=rate", "questions=4"], "rate.known and rate.repeats leave none of"),
        (["mode=explain", "prolific.code=x"], "prolific.study and prolific.code belong together"),
        (["mode=explain", "people=0"], "people is 0; write 1 or more"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_sentence(neurogloss: Command, words: list[str], answer: str) -> None:
    status, _, err = neurogloss("human", "serve", *words)
    assert status == cli.USER_ERROR
    assert answer in " ".join(err.split())


def test_a_port_that_is_taken_is_named(make_results: Callable[..., Results], tmp_path: Path) -> None:
    task, records = made_up_task(4)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        study = design.build(settings(port=port, store=str(tmp_path / "s.sqlite")), task, records, None)
        with pytest.raises(NeuroglossError, match=f"port {port} is taken; write port=0"):
            humans.serve(study)


def test_a_run_of_another_task_is_refused(make_results: Callable[..., Results]) -> None:
    task, records = made_up_task(4)
    units = tuple(record.unit for record in records)
    with pytest.raises(NeuroglossError, match=r"run=r is of the task made-up-v1 \(eeee"):
        design.build(settings("rate", run="r"), task, records, explained(make_results, units, "e" * 64))
    results = explained(make_results, units)
    with pytest.raises(NeuroglossError, match="explainers names 'nobody', which explains nothing in words"):
        design.build(settings("rate", run="r", explainers=["nobody"]), task, records, results)
    with pytest.raises(NeuroglossError, match="no two different explanations"):
        design.build(settings("rate", run="r", explainers=["shuffled"]), task, records, results)


def test_units_that_cannot_be_asked_about_are_named(make_results: Callable[..., Results]) -> None:
    task, records = made_up_task(4)
    results = explained(make_results, tuple(record.unit for record in records[:3]))
    study = design.build(settings("simulate", run="r"), task, records, results)
    assert study.left_out == {records[3].unit: "the run has no explanation of it in words"}
    text = "\n".join(humans.sentences(study, Path("s.sqlite"), "http://127.0.0.1:1/"))
    assert f"left out: {records[3].unit}, for the run has no explanation of it in words." in text
    assert f"{len(study.slots)} answers on 3 units" in text


def test_beyond_loopback_a_study_says_what_people_agree_to() -> None:
    for changes in ({"host": "192.168.1.5"}, {"names": ["study.example.org"]}):
        assert humans.is_public(settings(**changes))
    assert not humans.is_public(settings())
    assert not humans.is_public(settings(host="::1"))
    with pytest.raises(NeuroglossError, match="needs a card"):
        humans._check_reach(settings(names=["a.org"], card=CardSettings("t", " ")))


def test_invitations_are_printed_once(neurogloss: Command, tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    status, _, err = neurogloss("human", "invite", str(path), "2")
    assert (status, "there is no study at" in err) == (cli.USER_ERROR, True)
    task, records = made_up_task(4)
    study = design.build(settings(), task, records, None)
    StudyStore(path).prepare(study.identity, {}, study.slots)
    assert "is no whole number of 1 or more" in neurogloss("human", "invite", str(path), "0")[2]
    status, out, _ = neurogloss("human", "invite", str(path), "2")
    first, second = out.split()
    assert StudyStore(path).knows(first)
    assert StudyStore(path).knows(second)
    assert sqlite3.connect(path).execute("SELECT count(*) FROM invitations").fetchone() == (2,)


def test_the_weights_of_simulated_excerpts_stand_in_the_questions(make_results: Callable[..., Results]) -> None:
    task, records = made_up_task(4)
    results = explained(make_results, tuple(record.unit for record in records))
    study = design.build(settings("simulate", run="r", people=2), task, records, results)
    for record in records:
        questions = [slot.question for slot in study.slots if slot.unit == record.unit]
        valid = {excerpt.digest for excerpt in record.splits.valid}
        by_author: dict[str, set[tuple[str, float]]] = {}
        for question in questions:
            assert isinstance(question, design.SimulateQuestion)
            assert question.excerpt in valid
            by_author.setdefault(question.explanation.author, set()).add((question.excerpt, question.weight))
        assert len({frozenset(drawn) for drawn in by_author.values()}) == 1, "the same for all explanations"
        assert all(weight > 0 for drawn in by_author.values() for _, weight in drawn)
