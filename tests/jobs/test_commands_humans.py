"""`neurogloss human report`, `export` and `import` on a study's file; the answers are written down here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import cli
from harness.explainers.released.people import read as read_people
from harness.humans.answers import Answer, Explained, ExplainQuestion
from harness.humans.design import Slot
from harness.humans.exchange import tables
from harness.humans.store import StudyStore
from harness.tasks import catalog
from tests.fixtures import Command
from tests.humans.conftest import made_up_task

UNITS, BEGAN = 4, 1.7e9


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a study in which two people explained four units, and one of them corrected an answer."""
    task, records = made_up_task(UNITS)
    monkeypatch.setattr(catalog, "find_task", Path)
    monkeypatch.setattr(catalog, "read", lambda folder: task)
    questions = [ExplainQuestion(tuple(excerpt.digest for excerpt in record.splits.train)) for record in records]
    slots = [
        Slot(person, str(record.unit), record.unit, None, question)
        for person in range(2)
        for record, question in zip(records, questions, strict=True)
    ]
    path = tmp_path / "study.sqlite"
    store = StudyStore(path)
    rule = {"least_known": 0.0, "least_repeats": 0.0, "least_seconds": 5.0}
    store.prepare({"task": "made-up-v1", "task digest": task.digest}, {"exclusion": rule}, slots)
    for number, seconds in enumerate((9.0, 2.0)):
        person = store.admit(f"session-{number}", "card")
        store.claim(person, UNITS)
        while (turn := store.next_turn(person)) is not None:
            shown = store.show(turn, turn.unit, turn.question)
            text = f"words of person {number} on {turn.unit}"
            store.put(Answer(f"{number}-{turn.place}", person.id, shown.assignment, turn.unit, BEGAN,
                             BEGAN + seconds, "v1", Explained(text, 3)))  # fmt: skip
        if not number:
            store.put(Answer("late", person.id, shown.assignment, shown.unit, BEGAN, BEGAN + 60, "v1",
                             Explained("better words", 5)))  # fmt: skip
    store.close()
    return path


def test_a_study_is_exported_imported_and_reported_on(neurogloss: Command, study: Path, tmp_path: Path) -> None:
    status, out, _ = neurogloss("human", "export", str(study), str(tmp_path / "answers.csv"))
    assert (status, "9 answers, corrections included" in out) == (0, True)
    status, out, _ = neurogloss("human", "import", str(tmp_path / "answers.csv"), str(tmp_path / "answers.parquet"))
    assert (status, "9 answers, 0 rows left out" in out) == (0, True)
    assert tables.read(tmp_path / "answers.parquet") == tables.read(tmp_path / "answers.csv")
    status, out, _ = neurogloss("human", "report", str(study), "--write", str(tmp_path / "page.md"))
    assert status == 0
    assert "8 (explain)" in out  # the answers that hold
    assert "1 people, by the rule" in out
    assert "is left out by the rule of the study" in (tmp_path / "page.md").read_text()
    status, out, _ = neurogloss("human", "report", str(tmp_path / "answers.parquet"))
    assert (status, "0 people, by the rule" in out) == (0, True)


@pytest.mark.parametrize("of_table", [False, True])
def test_explanations_are_exported_as_a_run_reads_them(
    neurogloss: Command, study: Path, tmp_path: Path, of_table: bool
) -> None:
    if of_table:
        neurogloss("human", "export", str(study), str(tmp_path / "answers.jsonl"))
        study = tmp_path / "answers.jsonl"
    status, out, _ = neurogloss("human", "export", str(study), str(tmp_path / "people.csv"), "--as", "explanations")
    assert status == 0
    assert "8 explanations by 2 people; 0 more" in out
    assert f"human=table human.file={tmp_path / 'people.csv'}" in "".join(out.split("\n"))
    texts = [item.text for item in read_people(tmp_path / "people.csv")]
    assert len(texts) == 8
    assert "better words" in texts


def test_label_studio_and_back(neurogloss: Command, study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tool"
    assert neurogloss("human", "export", str(study), str(folder), "--as", "label-studio")[0] == 0
    words = ("human", "import", str(folder / "tasks.json"), str(tmp_path / "back.jsonl"), "--key")
    assert neurogloss(*words, str(folder / "key.json"))[0] == 0
    neurogloss("human", "export", str(study), str(tmp_path / "answers.jsonl"))
    before, after = (
        sorted(tables.read(tmp_path / name).responses, key=lambda response: response.answer.id)
        for name in ("answers.jsonl", "back.jsonl")
    )
    assert before == after
    tasks = json.loads((folder / "tasks.json").read_text())
    tasks[-1]["annotations"][-1]["result"] = []
    (folder / "tasks.json").write_text(json.dumps(tasks))
    status, _, err = neurogloss(*words, str(folder / "key.json"))
    assert status == cli.USER_ERROR
    assert f"task {UNITS}, annotation" in " ".join(err.split())
    status, out, _ = neurogloss(*words, str(folder / "key.json"), "--skip-bad")
    assert status == 0
    assert "1 rows left out" in out


def test_potato_gets_the_questions(neurogloss: Command, study: Path, tmp_path: Path) -> None:
    status, out, _ = neurogloss("human", "export", str(study), str(tmp_path / "tool"), "--as", "potato")
    assert (status, f"{UNITS} questions" in out) == (0, True)


def test_mistakes_are_one_sentence(neurogloss: Command, study: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "bad.jsonl").write_text("{}\n")
    for words, answer in [
        (("report", str(tmp_path / "nothing.sqlite")), "there is no study at"),
        (("report", str(study), str(tmp_path)), "is not a whole run"),
        (("export", str(study), str(tmp_path / "answers.txt")), "ends in one of these"),
        (("import", str(tmp_path / "empty.jsonl"), str(tmp_path / "new.jsonl")), "holds no answer."),
        (("import", str(tmp_path / "bad.jsonl"), str(tmp_path / "new.jsonl")), "bad.jsonl, line 1"),
        (("import", str(tmp_path / "bad.jsonl"), str(tmp_path / "new.jsonl"), "--skip-bad"), "holds no answer: "),
        (("import", str(study), str(tmp_path / "new.jsonl"), "--key", str(study)), "cannot be read"),
    ]:
        status, _, err = neurogloss("human", *words)
        assert status == cli.USER_ERROR, words
        assert answer in " ".join(err.split()), (words, err)
    assert not (tmp_path / "new.jsonl").exists()


@pytest.mark.parametrize("rule", [{"least_known": "most"}, {"least_known": 7.0}, [], "nobody"])
def test_a_rule_that_is_none_is_refused_in_a_sentence(neurogloss: Command, tmp_path: Path, rule: object) -> None:
    path = tmp_path / "odd.sqlite"
    store = StudyStore(path)
    store.prepare({"task": "made-up-v1"}, {"exclusion": rule}, [])
    store.close()
    status, _, err = neurogloss("human", "report", str(path))
    assert (status, "exclusion" in err, err.count("\n")) == (cli.USER_ERROR, True, 1)
