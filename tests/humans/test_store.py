"""The file of a study: nobody gets another's slot, nothing is overwritten, and what is left goes to others."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.humans import blocks
from harness.humans.answers import (
    Answer,
    Choice,
    Explained,
    ExplainQuestion,
    PairKind,
    Rated,
    RateQuestion,
    Wording,
    joined,
)
from harness.humans.design import Slot
from harness.humans.keys import KeyFile, key_path
from harness.humans.store import Person, StudyStore, Turn, read
from harness.types import NeuroglossError, Unit

IDENTITY = {"mode": "explain", "task": "made-up-v1", "units": 6}
QUESTION = ExplainQuestion(("a",))


class Time:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def slots(units: int, people: int, most: int) -> list[Slot]:
    return [
        Slot(number, str(unit), Unit("N", 0, unit), None, QUESTION)
        for number, block in enumerate(blocks.deal([people] * units, most, 0))
        for unit in block
    ]


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def store(tmp_path: Path, clock: Time) -> Iterator[StudyStore]:
    opened = StudyStore(tmp_path / "study.sqlite", clock)
    opened.prepare(IDENTITY, {"title": "t"}, slots(6, 2, 4))
    yield opened
    opened.close()


def turns(store: StudyStore, person: Person, most: int = 4) -> list[Turn]:
    """Claim a block, answer all of it, and return the turns."""
    store.claim(person, most)
    taken = []
    while (turn := store.next_turn(person)) is not None:
        assert turn.unit is not None
        store.put(answer(store, person, store.show(turn, turn.unit, turn.question or QUESTION)))
        taken.append(turn)
    return taken


def answer(store: StudyStore, person: Person, turn: Turn, text: str = "x") -> Answer:
    assert turn.unit is not None
    now = store.clock()
    key = f"{turn.assignment}-{text}"
    return Answer(key, person.id, turn.assignment, turn.unit, turn.shown_at or now, now, "v", Explained(text, 3))


def test_each_unit_is_answered_by_so_many_different_people(store: StudyStore) -> None:
    for number in range(3):
        assert len(turns(store, store.admit(f"s{number}", "c"))) == 4
    assert store.claim(store.admit("s9", "c"), 4) == 0, "every slot is taken"
    contents = read(store.path)
    people = {}
    for response in joined(contents.answers, contents.assignments):
        people.setdefault(response.answer.unit, []).append(response.answer.annotator)
    assert sorted(map(len, people.values())) == [2] * 6
    assert all(len(set(names)) == 2 for names in people.values())


@settings(max_examples=5)
@given(st.integers(2, 8), st.integers(1, 4), st.integers(1, 6), st.integers(2, 8))
def test_two_people_never_get_one_slot(
    tmp_path_factory: pytest.TempPathFactory, units: int, people: int, most: int, threads: int
) -> None:
    """Threads with connections of their own, as processes have, claim at the same time."""
    path = tmp_path_factory.mktemp("claims") / "study.sqlite"
    stores = [StudyStore(path) for _ in range(threads)]
    for store in stores:
        store.prepare(IDENTITY, {}, slots(units, people, most))
    gate = threading.Barrier(threads)
    problems: list[BaseException] = []

    def claim(store: StudyStore, name: str) -> None:
        try:
            person = store.admit(name, "c")
            gate.wait()
            store.claim(person, most)
        except BaseException as error:  # noqa: BLE001  # told below, in the thread of the test
            problems.append(error)

    workers = [threading.Thread(target=claim, args=(store, f"s{place}")) for place, store in enumerate(stores)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert problems == []
    database = sqlite3.connect(path)
    taken = database.execute("SELECT slot, annotator FROM assignments").fetchall()
    held = dict(database.execute("SELECT id, annotator FROM slots WHERE annotator IS NOT NULL"))
    assert max(Counter(slot for slot, _ in taken).values()) == 1
    assert dict(taken) == held
    query = "SELECT count(*), count(DISTINCT treatment) FROM slots WHERE annotator IS NOT NULL GROUP BY annotator"
    assert all(number == different <= most for number, different in database.execute(query))
    database.close()
    for store in stores:
        store.close()


def test_what_is_abandoned_goes_to_others_and_comes_back_if_nobody_has_it(store: StudyStore, clock: Time) -> None:
    first, second = store.admit("s1", "c"), store.admit("s2", "c")
    store.claim(first, 4)
    turn = store.next_turn(first)
    assert turn is not None
    store.put(answer(store, first, turn))
    clock.now += 100
    assert store.release(200) == 0
    clock.now += 200
    store.person("s2")
    assert store.release(200) == 3, "what was answered stays"
    assert store.standing(first).questions == 1
    assert store.claim(second, 2) == 2
    store.retake(first)
    assert (store.standing(first).questions, store.standing(first).answers) == (2, 1)


def test_a_late_answer_is_kept_and_its_slot_stays_with_whom_it_went_to(store: StudyStore, clock: Time) -> None:
    first, second = store.admit("s1", "c"), store.admit("s2", "c")
    store.claim(first, 4)
    turn = store.next_turn(first)
    assert turn is not None
    clock.now += 500
    store.person("s2")
    store.release(200)
    store.claim(second, 4)
    assert store.put(answer(store, first, turn))
    held = sqlite3.connect(store.path).execute("SELECT annotator FROM slots WHERE annotator IS NOT NULL").fetchall()
    assert held == [(second.id,)] * 4
    assert len(read(store.path).answers) == 1


def test_an_answer_sent_twice_is_one_row_and_a_change_is_another(store: StudyStore, clock: Time) -> None:
    person = store.admit("s1", "c")
    store.claim(person, 4)
    turn = store.next_turn(person)
    assert turn is not None
    assert turn.unit is not None
    turn = store.show(turn, turn.unit, QUESTION)
    given_first = answer(store, person, turn, "first")
    assert [store.put(given_first), store.put(replace(given_first, answered_at=9999.0))] == [True, False]
    clock.now += 5
    for text in ("second", "third"):
        assert store.put(answer(store, person, turn, text))
    rows = read(store.path).answers
    assert [(row.id[-5:], row.corrects and row.corrects[-5:]) for row in rows] == [
        ("first", None),
        ("econd", "first"),
        ("third", "econd"),
    ]
    assert store.answer_of(turn) == {"text": "third", "confidence": 3}
    with pytest.raises(NeuroglossError, match="is that of another answer"):
        store.put(replace(given_first, annotator="somebody"))


@pytest.mark.parametrize("statement", ["UPDATE answers SET payload = 'x'", "DELETE FROM answers"])
def test_nothing_changes_or_removes_an_answer(store: StudyStore, statement: str) -> None:
    turns(store, store.admit("s1", "c"))
    with pytest.raises(sqlite3.IntegrityError, match="answers are never"):
        sqlite3.connect(store.path).execute(statement)


def test_the_file_outlives_its_process_and_is_of_one_study(store: StudyStore, tmp_path: Path) -> None:
    turns(store, store.admit("s1", "c"))
    again = StudyStore(store.path)
    again.prepare(IDENTITY, {"title": "another"}, [])
    assert again.standing(again.admit("s1", "c")).answers == 0, "a browser that is let in anew is a new person"
    assert (len(read(store.path).answers), read(store.path).card) == (4, {"title": "another"})
    with pytest.raises(NeuroglossError, match=r"holds another study \(explain of made-up-v1\): its units differs"):
        again.prepare(IDENTITY | {"units": 7}, {}, [])
    again.close()
    foreign = tmp_path / "foreign.sqlite"
    database = sqlite3.connect(foreign)
    database.execute("CREATE TABLE t (x)")
    database.close()
    with pytest.raises(NeuroglossError, match="not that of a study"):
        StudyStore(foreign).prepare(IDENTITY, {}, [])
    (tmp_path / "text.sqlite").write_text("no database at all, but long enough to look like one" * 20)
    with pytest.raises(NeuroglossError, match=r"text.sqlite cannot be read or written"):
        StudyStore(tmp_path / "text.sqlite").prepare(IDENTITY, {}, [])
    with pytest.raises(NeuroglossError, match="there is no study at"):
        read(tmp_path / "nowhere.sqlite")


def test_invitations_are_hashed_and_lead_back_to_the_same_person(store: StudyStore) -> None:
    token, other = store.invite(2)
    assert store.knows(token)
    assert not store.knows(f"{token}x")
    assert not store.knows(token.partition("-")[0])
    first = store.admit("laptop", "c", token)
    assert store.admit("phone", "c", token).id == first.id != store.admit("x", "c", other).id
    with pytest.raises(NeuroglossError, match="no invitation"):
        store.admit("y", "c", "made-up")
    content = b"".join(path.read_bytes() for path in store.path.parent.iterdir())
    assert token.partition("-")[2].encode() not in content
    assert b"laptop" not in content


def test_ids_of_prolific_stay_in_a_file_of_their_own(store: StudyStore) -> None:
    keys = KeyFile(key_path(store.path))
    assert keys.annotator("5f" * 12, "study", "s1") == keys.annotator("5f" * 12, "study", "s2")
    person = store.admit("s", "c", holder=keys.annotator("5f" * 12, "study", "s1"))
    assert store.admit("t", "c", holder=keys.annotator("5f" * 12, "study", "s1")).id == person.id
    keys.close()
    assert stat.S_IMODE(key_path(store.path).stat().st_mode) == 0o600
    assert ("5f" * 12).encode() not in store.path.read_bytes() + Path(f"{store.path}-wal").read_bytes()


def test_checks_stand_among_the_questions_and_repeats_in_the_second_half(store: StudyStore) -> None:
    person = store.admit("s1", "c")
    assert store.claim(person, 4, known_pairs=1, repeats=2) == 7
    query = "SELECT kind FROM assignments WHERE annotator = ? ORDER BY place"
    kinds = [kind for (kind,) in sqlite3.connect(store.path).execute(query, (person.id,))]
    assert Counter(kinds) == {None: 4, PairKind.KNOWN: 1, PairKind.REPEAT: 2}
    assert PairKind.REPEAT not in kinds[:2]


def test_ratings_so_far_leave_out_known_answers_and_what_was_corrected(store: StudyStore, clock: Time) -> None:
    person = store.admit("s1", "c")
    store.claim(person, 4)
    for kind, choice in ((PairKind.RANDOM, Choice.LEFT), (PairKind.KNOWN, Choice.RIGHT)):
        turn = store.next_turn(person)
        assert turn is not None
        assert turn.unit is not None
        pair = RateQuestion(Wording("p", "a", turn.unit), Wording("q", "b", turn.unit), kind, ())
        database = sqlite3.connect(store.path)
        with database:
            database.execute("UPDATE assignments SET question = NULL WHERE id = ?", (turn.assignment,))
        database.close()
        shown = store.show(turn, turn.unit, pair)
        for text, chosen in (("first", Choice.BOTH), ("then", choice)):
            store.put(replace(answer(store, person, shown, text), payload=Rated(chosen)))
    ratings = store.ratings(person)
    assert ratings.outcomes == (("a", "b", Choice.LEFT),)
    assert [item.question.kind for item in ratings.earlier] == [PairKind.RANDOM, PairKind.KNOWN]
    assert store.ratings(store.admit("s2", "c")).earlier == ()
