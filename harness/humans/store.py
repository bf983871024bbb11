"""The file of a study: a SQLite database of people, slots, assignments and answers, which survives whatever happens.

An answer is a row that is never changed; a correction is another row. Every change is one transaction that takes the
file's only write lock first, so that two people never get one slot, whether threads or processes ask for them. The
ids of people in it are random. What ties them to Prolific's ids stands in a file of its own beside it
(:mod:`harness.humans.keys`), which is never exported.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.humans.answers import Answer, Assignment, Choice, PairKind, Question, RateQuestion
from harness.humans.design import RatedBefore, Ratings, Slot
from harness.typed_json import from_json, to_json
from harness.types import NeuroglossError, Unit

BUSY_SECONDS = 30.0
"""How long a process waits for the lock of the file."""
SEEN_EVERY = 20.0
"""Seconds after which it is written again that somebody was seen."""
Clock = Callable[[], float]

_TABLES = """
CREATE TABLE study (identity TEXT NOT NULL, card TEXT NOT NULL) STRICT;
CREATE TABLE annotators (
    id TEXT PRIMARY KEY, began REAL NOT NULL, seen REAL NOT NULL, card TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, understood REAL
) STRICT;
CREATE TABLE sessions (hash TEXT PRIMARY KEY, annotator TEXT NOT NULL REFERENCES annotators) STRICT;
CREATE TABLE invitations (id TEXT PRIMARY KEY, hash TEXT NOT NULL, annotator TEXT REFERENCES annotators) STRICT;
CREATE TABLE slots (
    id INTEGER PRIMARY KEY, block INTEGER NOT NULL, treatment TEXT NOT NULL, unit TEXT NOT NULL, kind TEXT,
    question TEXT, annotator TEXT REFERENCES annotators
) STRICT;
CREATE TABLE assignments (
    id TEXT PRIMARY KEY, annotator TEXT NOT NULL REFERENCES annotators, place INTEGER NOT NULL,
    slot INTEGER REFERENCES slots, unit TEXT, kind TEXT, question TEXT, shown REAL, returned REAL,
    UNIQUE (annotator, place)
) STRICT;
CREATE TABLE answers (
    id TEXT PRIMARY KEY, annotator TEXT NOT NULL, assignment TEXT NOT NULL REFERENCES assignments, unit TEXT NOT NULL,
    mode TEXT NOT NULL, shown REAL NOT NULL, answered REAL NOT NULL, page TEXT NOT NULL, payload TEXT NOT NULL,
    corrects TEXT UNIQUE REFERENCES answers
) STRICT;
CREATE UNIQUE INDEX first_answers ON answers (assignment) WHERE corrects IS NULL;
CREATE INDEX answers_of ON answers (assignment);
CREATE INDEX slots_of ON slots (annotator);
CREATE TRIGGER answers_stay BEFORE UPDATE ON answers BEGIN SELECT RAISE(ABORT, 'answers are never changed'); END;
CREATE TRIGGER answers_remain BEFORE DELETE ON answers BEGIN SELECT RAISE(ABORT, 'answers are never removed'); END;
"""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who takes part.

    Attributes:
        id: a random one.
        tries: of the comprehension check.
        understood: whether they have passed it.
    """

    id: str
    tries: int
    understood: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a person is: questions answered, and all that they have been given."""

    answers: int
    questions: int


@dataclass(frozen=True, slots=True)
class Turn:
    """A question in the sequence of a person, which may be yet to be chosen.

    Attributes:
        assignment: its id.
        annotator: whose it is.
        place: in the sequence, from 0.
        unit: None where it is yet to be chosen, as of pairs with a known answer.
        kind: of a pair.
        question: None where it is yet to be chosen.
        shown_at: when it was first shown; None where it was not.
    """

    assignment: str
    annotator: str
    place: int
    unit: Unit | None
    kind: PairKind | None
    question: Question | None
    shown_at: float | None


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file of a study holds: what was asked, what was answered, and which study it is."""

    identity: Mapping[str, Any]
    card: Mapping[str, Any]
    assignments: tuple[Assignment, ...]
    answers: tuple[Answer, ...]


class StudyStore:
    """A study's file, open.

    Attributes:
        path: the file.
        clock: seconds since 1970-01-01 UTC.
    """

    def __init__(self, path: Path, clock: Clock = time.time) -> None:
        self.path, self.clock = path, clock
        self._lock = threading.Lock()
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("PRAGMA foreign_keys = ON")

    def close(self) -> None:
        """Close the file; all that it was given is in it."""
        self._connection.close()

    def prepare(self, identity: Mapping[str, Any], card: Mapping[str, Any], slots: Sequence[Slot]) -> None:
        """Make a new file that of a study; the card of one that is there is replaced.

        Raises:
            NeuroglossError: it holds another study, or something else.
        """
        with self._change() as database:
            if not database.execute("SELECT name FROM sqlite_master").fetchall():
                for statement in _statements(_TABLES):
                    database.execute(statement)
                database.execute("INSERT INTO study VALUES (?, ?)", (_json(identity), _json(card)))
                database.executemany("INSERT INTO slots VALUES (?, ?, ?, ?, ?, ?, NULL)", enumerate_slots(slots))
            _check_same(self.path, database, identity)
            database.execute("UPDATE study SET card = ?", (_json(card),))

    # ------------------------------------------------------------------------------------------------------ who gets in

    def invite(self, number: int) -> list[str]:
        """Make invitations, and return their tokens; the file keeps hashes alone."""
        tokens = [f"{secrets.token_hex(4)}-{secrets.token_urlsafe(18)}" for _ in range(number)]
        with self._change() as database:
            rows = [(token.partition("-")[0], _hash(token)) for token in tokens]
            database.executemany("INSERT INTO invitations VALUES (?, ?, NULL)", rows)
        return tokens

    def knows(self, token: str) -> bool:
        """Return whether a token is that of an invitation; hashes are compared in constant time."""
        with self._reading() as database:
            return self._invitation(database, token) is not None

    def _invitation(self, database: sqlite3.Connection, token: str) -> tuple[str, str | None] | None:
        """Return the id of an invitation and who has used it."""
        key = token.partition("-")[0]
        query = "SELECT id, hash, annotator FROM invitations WHERE id = ?"
        name, expected, annotator = database.execute(query, (key,)).fetchone() or ("", _hash(""), None)
        return (name, annotator) if hmac.compare_digest(expected, _hash(token)) and name else None

    def admit(self, session: str, card: str, token: str = "", holder: str = "") -> Person:
        """Let a person in who has read the card, and return them; somebody who was here goes on where they were.

        Args:
            session: the secret of their browser.
            card: the version of the card that they agreed to.
            token: of their invitation; empty where none is needed.
            holder: the id of somebody who is known otherwise (:mod:`harness.humans.keys`).

        Raises:
            NeuroglossError: the token is that of no invitation.
        """
        with self._change() as database:
            invitation = self._invitation(database, token) if token else None
            if token and invitation is None:
                raise NeuroglossError("this is no invitation to the study.")
            known_id = holder or (invitation[1] if invitation else None) or ""
            annotator = known_id or secrets.token_hex(8)
            now = self.clock()
            row = (annotator, now, now, card)
            database.execute("INSERT OR IGNORE INTO annotators (id, began, seen, card) VALUES (?, ?, ?, ?)", row)
            database.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?)", (_hash(session), annotator))
            if invitation:
                database.execute("UPDATE invitations SET annotator = ? WHERE id = ?", (annotator, invitation[0]))
            return _person(database, annotator)

    def person(self, session: str) -> Person | None:
        """Return who a browser belongs to, None where nobody was let in from it; they were seen now."""
        with self._reading() as database:
            query = "SELECT annotator, seen FROM sessions JOIN annotators ON id = annotator WHERE hash = ?"
            annotator, seen_at = database.execute(query, (_hash(session),)).fetchone() or ("", 0.0)
            person = _person(database, annotator) if annotator else None
        if person is not None and self.clock() - seen_at > SEEN_EVERY:
            with self._change() as database:
                database.execute("UPDATE annotators SET seen = ? WHERE id = ?", (self.clock(), annotator))
        return person

    def check(self, person: Person, is_right: bool) -> None:
        """Record a try of the comprehension check."""
        with self._change() as database:
            values = (self.clock() if is_right else None, person.id)
            database.execute(
                "UPDATE annotators SET tries = tries + 1, understood = coalesce(understood, ?) WHERE id = ?", values
            )

    # ------------------------------------------------------------------------------------------------------------ slots

    def claim(self, person: Person, most: int, known_pairs: int = 0, repeats: int = 0) -> int:
        """Give a person a block of questions of which they have met no treatment, and return how many it holds.

        What others have left of their blocks is given first, so that a study ends. Checks are put among the questions
        of a block: pairs with a known answer anywhere, repeats in its second half.

        Args:
            person: who asks.
            most: questions of a block.
            known_pairs: pairs with a known answer.
            repeats: earlier pairs that are asked again.
        """
        with self._change() as database:
            slots = _free_slots(database, person.id, most)
            if not slots:
                return 0
            rng = random.Random(f"{person.id} {slots[0][0]}")
            rng.shuffle(slots)
            sequence: list[tuple[int | None, str | None, str | None, str | None]] = list(slots)
            for _ in range(known_pairs):
                sequence.insert(rng.randint(0, len(sequence)), (None, None, PairKind.KNOWN, None))
            for _ in range(repeats):
                sequence.insert(
                    rng.randint((len(sequence) + 1) // 2, len(sequence)), (None, None, PairKind.REPEAT, None)
                )
            update = "UPDATE slots SET annotator = ? WHERE id = ? AND annotator IS NULL"
            database.executemany(update, [(person.id, slot[0]) for slot in slots])
            count = "SELECT count(*) FROM assignments WHERE annotator = ?"
            (first,) = database.execute(count, (person.id,)).fetchone()
            database.executemany(
                "INSERT INTO assignments VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
                [(secrets.token_hex(8), person.id, first + place, *row) for place, row in enumerate(sequence)],
            )
            return len(sequence)

    def has_more(self, person: Person) -> bool:
        """Return whether there is a question for a person that nobody has."""
        with self._reading() as database:
            return bool(_free_slots(database, person.id, 1))

    def release(self, seconds: float) -> int:
        """Return the open slots of everybody who was not seen for so long to others; return how many there were."""
        with self._change() as database:
            now = self.clock()
            query = """
                SELECT a.id, a.slot FROM assignments a JOIN annotators p ON p.id = a.annotator
                WHERE p.seen < ? AND a.returned IS NULL AND a.slot IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM answers WHERE assignment = a.id)
            """
            rows = database.execute(query, (now - seconds,)).fetchall()
            database.executemany("UPDATE assignments SET returned = ? WHERE id = ?", [(now, row[0]) for row in rows])
            database.executemany("UPDATE slots SET annotator = NULL WHERE id = ?", [(row[1],) for row in rows])
            return len(rows)

    def retake(self, person: Person) -> None:
        """Give a person who comes back the open slots that were returned and that nobody else has taken."""
        with self._change() as database:
            query = "SELECT id FROM assignments WHERE annotator = ? AND returned IS NOT NULL"
            for (assignment,) in database.execute(query, (person.id,)).fetchall():
                _retake(database, assignment, person.id)

    # -------------------------------------------------------------------------------------------------------- questions

    def next_turn(self, person: Person) -> Turn | None:
        """Return the first question of a person that is open; None where there is none."""
        query = f"{_TURN} WHERE a.annotator = ? AND a.returned IS NULL AND {_OPEN} ORDER BY a.place LIMIT 1"
        with self._reading() as database:
            return _turn(database.execute(query, (person.id,)).fetchone())

    def turn(self, person: Person, assignment: str) -> Turn | None:
        """Return a question of a person by its id; None where they were never given it."""
        query = f"{_TURN} WHERE a.annotator = ? AND a.id = ?"
        with self._reading() as database:
            return _turn(database.execute(query, (person.id, assignment)).fetchone())

    def answered_before(self, person: Person, place: int) -> Turn | None:
        """Return the last question before a place that a person has answered; None where there is none."""
        query = f"{_TURN} WHERE a.annotator = ? AND a.place < ? AND NOT {_OPEN} ORDER BY a.place DESC LIMIT 1"
        with self._reading() as database:
            return _turn(database.execute(query, (person.id, place)).fetchone())

    def show(self, turn: Turn, unit: Unit, question: Question) -> Turn:
        """Record that a question is shown now, and which it is, unless it was before; return it as it stands."""
        with self._change() as database:
            database.execute(
                "UPDATE assignments SET unit = coalesce(unit, ?), question = coalesce(question, ?), "
                "shown = coalesce(shown, ?) WHERE id = ?",
                (str(unit), _json(to_json(question)), self.clock(), turn.assignment),
            )
            changed = _turn(database.execute(f"{_TURN} WHERE a.id = ?", (turn.assignment,)).fetchone())
        assert changed is not None
        return changed

    def drop(self, turn: Turn) -> None:
        """Take a question back that cannot be asked, such as a repeat where there is nothing to repeat."""
        with self._change() as database:
            database.execute("UPDATE assignments SET returned = ? WHERE id = ?", (self.clock(), turn.assignment))

    def standing(self, person: Person) -> Standing:
        """Return how far a person is."""
        query = f"SELECT count(*), coalesce(sum(NOT {_OPEN}), 0) FROM assignments a WHERE annotator = ? AND " + (
            f"(returned IS NULL OR NOT {_OPEN})"
        )
        with self._reading() as database:
            questions, answers = database.execute(query, (person.id,)).fetchone()
            return Standing(answers, questions)

    def ratings(self, person: Person) -> Ratings:
        """Return what is known when a pair is chosen for a person."""
        everybody = """
            SELECT a.annotator, a.id, a.unit, a.question, r.payload
            FROM answers r JOIN assignments a ON a.id = r.assignment
            WHERE r.mode = 'rate' AND NOT EXISTS (SELECT 1 FROM answers c WHERE c.corrects = r.id) ORDER BY a.place
        """
        with self._reading() as database:
            rows = database.execute(everybody).fetchall()
        earlier, outcomes = [], []
        for annotator, assignment, unit, document, payload in rows:
            raw = json.loads(document)
            if annotator == person.id:
                earlier.append(RatedBefore(assignment, Unit.parse(unit), from_json(RateQuestion, raw, "question")))
            if raw["kind"] != PairKind.KNOWN:
                choice = Choice(json.loads(payload)["choice"])
                outcomes.append((raw["left"]["author"], raw["right"]["author"], choice))
        return Ratings(tuple(earlier), tuple(outcomes))

    # ---------------------------------------------------------------------------------------------------------- answers

    def put(self, answer: Answer) -> bool:
        """Keep an answer on the disk as a row; one whose id is there already is the same answer, sent again.

        A second answer to a question corrects the one that holds. A slot that was returned to others becomes the
        person's again if nobody else has it; if somebody has, the answer is kept all the same.

        Returns:
            Whether it is a new row.
        """
        with self._change(durable=True) as database:
            query = "SELECT annotator, assignment FROM answers WHERE id = ?"
            holder = database.execute(query, (answer.id,)).fetchone()
            if holder is not None:
                if holder != (answer.annotator, answer.assignment):
                    raise NeuroglossError(f"the id {answer.id} is that of another answer; send it under a new one.")
                return False
            query = """
                SELECT id FROM answers r WHERE assignment = ?
                AND NOT EXISTS (SELECT 1 FROM answers c WHERE c.corrects = r.id)
            """
            (corrects,) = database.execute(query, (answer.assignment,)).fetchone() or (None,)
            database.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(answer.id, answer.annotator, answer.assignment, str(answer.unit), answer.mode, answer.shown_at),
                    *(answer.answered_at, answer.page, _json(to_json(answer.payload)), corrects),
                ),
            )
            _retake(database, answer.assignment, answer.annotator)
            return True

    def answer_of(self, turn: Turn) -> Mapping[str, Any] | None:
        """Return the payload of the answer to a question that holds, as JSON; None where there is none."""
        query = """
            SELECT payload FROM answers r WHERE assignment = ?
            AND NOT EXISTS (SELECT 1 FROM answers c WHERE c.corrects = r.id)
        """
        with self._reading() as database:
            row = database.execute(query, (turn.assignment,)).fetchone()
        payload: Mapping[str, Any] | None = json.loads(row[0]) if row else None
        return payload

    # ----------------------------------------------------------------------------------------------------- transactions

    @contextmanager
    def _change(self, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction, which nobody else's comes between.

        It outlives the process; a durable one, and all before it, is on the disk when it ends and outlives a power cut.
        """
        with self._lock, explained(self.path):
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, explained(self.path):
            yield self._connection


# ------------------------------------------------------------------------------------------------------------- reading


def read(path: Path) -> Contents:
    """Read what a study has asked and been answered; it may be being served meanwhile.

    Raises:
        NeuroglossError: there is no such file, or it is not that of a study.
    """
    if not path.is_file():
        raise NeuroglossError(f"there is no study at {path}; `neurogloss human serve` makes one.")
    with explained(path):
        database = sqlite3.connect(f"file:{path.resolve()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        try:
            database.execute("BEGIN")
            (identity, card) = database.execute("SELECT identity, card FROM study").fetchone()
            questions = database.execute(
                "SELECT id, annotator, unit, place, question FROM assignments WHERE question IS NOT NULL "
                "ORDER BY annotator, place"
            ).fetchall()
            answers = database.execute(
                "SELECT id, annotator, assignment, unit, shown, answered, page, payload, corrects FROM answers "
                "ORDER BY rowid"
            ).fetchall()
        finally:
            database.close()
    return Contents(
        json.loads(identity),
        json.loads(card),
        tuple(_assignment(path, row) for row in questions),
        tuple(_answer(path, row) for row in answers),
    )


def _assignment(path: Path, row: tuple[str, str, str, int, str]) -> Assignment:
    keys = ("id", "annotator", "unit", "place", "question")
    document = dict(zip(keys, (*row[:4], json.loads(row[4])), strict=True))
    value: Assignment = from_json(Assignment, document, f"{path}: assignment {row[0]}")
    return value


def _answer(path: Path, row: tuple[Any, ...]) -> Answer:
    keys = ("id", "annotator", "assignment", "unit", "shown_at", "answered_at", "page", "payload", "corrects")
    document = dict(zip(keys, (*row[:7], json.loads(row[7]), row[8]), strict=True))
    value: Answer = from_json(Answer, document, f"{path}: answer {row[0]}")
    return value


# ------------------------------------------------------------------------------------------------------------- details

_TURN = "SELECT a.id, a.annotator, a.place, a.unit, a.kind, a.question, a.shown FROM assignments a"
_OPEN = "NOT EXISTS (SELECT 1 FROM answers WHERE assignment = a.id)"


def _turn(row: tuple[Any, ...] | None) -> Turn | None:
    if row is None:
        return None
    assignment, annotator, place, unit, kind, question, shown_at = row
    return Turn(
        assignment,
        annotator,
        place,
        Unit.parse(unit) if unit else None,
        PairKind(kind) if kind else None,
        from_json(Question, json.loads(question), "question") if question else None,
        shown_at,
    )


def _person(database: sqlite3.Connection, annotator: str) -> Person:
    query = "SELECT id, tries, understood IS NOT NULL FROM annotators WHERE id = ?"
    name, tries, understood = database.execute(query, (annotator,)).fetchone()
    return Person(name, tries, bool(understood))


def _free_slots(
    database: sqlite3.Connection, annotator: str, most: int
) -> list[tuple[int, str, str | None, str | None]]:
    """Return the slots for a person: what is left of begun blocks, else a whole block, never a treatment twice."""
    query = """
        WITH begun AS (SELECT block, max(annotator IS NOT NULL) AS begun FROM slots GROUP BY block)
        SELECT s.id, s.unit, s.kind, s.question, s.treatment, s.block, b.begun FROM slots s JOIN begun b USING (block)
        WHERE s.annotator IS NULL AND s.treatment NOT IN (
            SELECT t.treatment FROM slots t JOIN assignments a ON a.slot = t.id
            WHERE a.annotator = ? AND (a.returned IS NULL OR EXISTS (SELECT 1 FROM answers WHERE assignment = a.id)))
        ORDER BY b.begun DESC, s.block, s.id
    """
    selection: list[tuple[int, str, str | None, str | None]] = []
    treatments: set[str] = set()
    whole_block = None
    for number, unit, kind, question, treatment, block, is_begun in database.execute(query, (annotator,)):
        if not is_begun and not selection:
            whole_block = block
        if len(selection) == most or (whole_block is not None and block != whole_block):
            break
        if treatment not in treatments:
            treatments.add(treatment)
            selection.append((number, unit, kind, question))
    return selection


def _retake(database: sqlite3.Connection, assignment: str, annotator: str) -> None:
    """Make the slot of an assignment its person's again, if nobody has it."""
    change = database.execute(
        "UPDATE slots SET annotator = ? WHERE annotator IS NULL AND id = (SELECT slot FROM assignments WHERE id = ?)",
        (annotator, assignment),
    )
    if change.rowcount:
        database.execute("UPDATE assignments SET returned = NULL WHERE id = ?", (assignment,))


def enumerate_slots(slots: Sequence[Slot]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of slots, without the person who has them."""
    for number, slot in enumerate(slots):
        question = None if slot.question is None else _json(to_json(slot.question))
        yield number, slot.block, slot.treatment, str(slot.unit), slot.kind, question


def _check_same(path: Path, database: sqlite3.Connection, identity: Mapping[str, Any]) -> None:
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "study" not in tables:
        raise NeuroglossError(f"{path} is a database, but not that of a study; give another file by store=FILE.")
    (text,) = database.execute("SELECT identity FROM study").fetchone()
    document = json.loads(text)
    for key, value in identity.items():
        if document.get(key) != value:
            raise NeuroglossError(
                f"{path} holds another study ({document.get('mode')} of {document.get('task')}): its {key} differs; "
                "give another file by store=FILE."
            )


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of a script; a trigger holds a semicolon of its own."""
    statement = ""
    for part in script.split(";"):
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _json(document: object) -> str:
    return json.dumps(document, sort_keys=True)


def _hash(secret: str) -> str:
    """Return the hash of a secret of at least 128 random bits, which needs no salt."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say which file SQLite could not open, read or write, and what to do."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise NeuroglossError(f"the study {path} cannot be read or written: {error}; check store=FILE.") from error
