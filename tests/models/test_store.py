from __future__ import annotations

import dataclasses
import json
import math
import multiprocessing
import random
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.store import CAPABILITIES, LEVELS, Store, answered, key_of, numbers, stored_replies
from harness.types import CompletionPrompt, Identity, Message, NeuroglossError, Replacement, SlottedPrompt, Unit

IDENTITY = Identity("name", "revision", "backend", "dtype", "url", "prompt")
COMPLETION = CompletionPrompt((Message("user", "text"),), 8, 0.5, 0.9, ("stop",), 1, 2, "prompt-v1")
SLOTTED = SlottedPrompt((Message("user", "text"),), ("a\t", "\nb\t"), "?", 10, "prompt-v1")


@dataclass(frozen=True)
class Measured:
    """A reply of one number."""

    value: float


REPLACEMENT = Replacement(Unit("N", 1, 2), (3, 4), (0.5, 0.25), 1)
OTHER = {str: "other", int: 99, float: 0.125}


def other(value: Any) -> Any:
    """A value of the same type that differs."""
    if isinstance(value, tuple):
        return (*value[:-1], other(value[-1]))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        first = dataclasses.fields(value)[0].name
        return dataclasses.replace(value, **{first: other(getattr(value, first))})
    return OTHER[type(value)]


@pytest.mark.parametrize("request_", [COMPLETION, SLOTTED, REPLACEMENT], ids=lambda one: type(one).__name__)
def test_every_field_of_a_request_is_in_its_key(request_: Any) -> None:
    keys = {key_of(IDENTITY, "kind", request_)}
    for item in dataclasses.fields(request_):
        changed = dataclasses.replace(request_, **{item.name: other(getattr(request_, item.name))})
        keys.add(key_of(IDENTITY, "kind", changed))
    assert len(keys) == 1 + len(dataclasses.fields(request_))


def test_every_field_of_the_identity_and_the_kind_are_in_the_key() -> None:
    keys = {key_of(IDENTITY, "kind", COMPLETION), key_of(IDENTITY, "other kind", COMPLETION)}
    for item in dataclasses.fields(IDENTITY):
        changed = dataclasses.replace(IDENTITY, **{item.name: other(getattr(IDENTITY, item.name))})
        keys.add(key_of(changed, "kind", COMPLETION))
    assert len(keys) == 2 + len(dataclasses.fields(IDENTITY))


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_texts_cut_elsewhere_have_another_key(first: list[str], second: list[str]) -> None:
    keys = [key_of(IDENTITY, "kind", dataclasses.replace(SLOTTED, parts=tuple(parts))) for parts in (first, second)]
    assert (keys[0] == keys[1]) == (first == second)


def test_a_reply_survives_another_opening(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "store.sqlite"
    with Store(path) as store:
        store.put("one", '{"text":"ü"}')
    with Store(path) as store:
        assert dict(store.get_many(["one", "two"])) == {"one": '{"text":"ü"}'}


def test_the_first_reply_stays(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.put("one", "1")
        store.put("one", "2")
        assert dict(store.get_many(["one"])) == {"one": "1"}


def test_thousands_of_keys_are_looked_up_at_once(tmp_path: Path) -> None:
    keys = [f"{index:064x}" for index in range(3000)]
    with Store(tmp_path / "store.sqlite") as store:
        for one in keys[::2]:
            store.put(one, one)
        assert dict(store.get_many(keys)) == {one: one for one in keys[::2]}


@given(st.floats())
def test_numbers_are_kept_exactly(value: float) -> None:
    kind = numbers("n", Measured)

    def ask(requests: Sequence[Replacement]) -> Iterator[tuple[int, Measured]]:
        assert requests
        yield 0, Measured(value)

    with Store(":memory:") as store:
        if math.isinf(value):
            with pytest.raises(NeuroglossError, match="cannot be stored"):
                answered(store, IDENTITY, kind, [REPLACEMENT], ask)
            return
        answered(store, IDENTITY, kind, [REPLACEMENT], ask)
        (kept,) = answered(store, IDENTITY, kind, [REPLACEMENT], never)
    assert kept.value == value or (math.isnan(kept.value) and math.isnan(value))


def never(requests: Sequence[Replacement]) -> Iterator[tuple[int, Measured]]:
    raise AssertionError("the store has it")


def _write(path: Path, first: int) -> None:
    with Store(path) as store:
        for index in range(first, first + 50):
            store.put(f"{index}", "1")


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(path, 25 * number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    with Store(path) as store:
        assert len(list(store.get_many(map(str, range(200))))) == 125


def test_a_file_that_is_no_store_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_text("my diary, " * 500)
    with pytest.raises(NeuroglossError, match=r"store\.sqlite cannot be used .*not a database"):
        Store(path)
    assert path.read_text().startswith("my diary")


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store._connection.execute("PRAGMA max_page_count = 8")
        store.put("small", "kept")
        with pytest.raises(NeuroglossError, match=r"full.*free some space"):
            store.put("large", random.Random(0).randbytes(100_000).hex())
        assert dict(store.get_many(["small", "large"])) == {"small": "kept"}


# ------------------------------------------------------------------------------------------------- shared and damaged


def _measure(path: Path, log: Path, values: Sequence[int], order: int) -> None:
    """Ask for measurements, by way of the store, as a process of a run does; each that is asked for is logged."""

    def ask(requests: Sequence[Replacement]) -> Iterator[tuple[int, Measured]]:
        for place, request in enumerate(requests):
            with log.open("a") as lines:
                lines.write(f"{request.unit.index}\n")
            time.sleep(0.002)
            yield place, Measured(random.random())

    requests = [dataclasses.replace(REPLACEMENT, unit=Unit("N", 0, value)) for value in values]
    random.Random(order).shuffle(requests)
    with Store(path) as store:
        replies = answered(store, IDENTITY, numbers("n", Measured), requests, ask)
    results = sorted((request.unit.index, reply.value) for request, reply in zip(requests, replies, strict=True))
    path.with_name(f"results-{order}").write_text(repr(results))


@pytest.mark.parametrize("count", [2, 3])
def test_processes_on_one_store_ask_each_question_once_and_end_alike(tmp_path: Path, count: int) -> None:
    path, log = tmp_path / "store.sqlite", tmp_path / "log"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_measure, args=(path, log, range(60), order)) for order in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * count
    assert sorted(map(int, log.read_text().split())) == list(range(60))
    assert len({(tmp_path / f"results-{order}").read_text() for order in range(count)}) == 1
    assert not list(tmp_path.glob("*-claims-*"))


def _claim(path: Path, keys: Sequence[str]) -> None:
    store = Store(path)
    store.claim(keys)
    time.sleep(60)


def test_claims_end_with_the_process_that_has_them(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        process = multiprocessing.get_context("fork").Process(target=_claim, args=(path, ["a", "b"]))
        process.start()
        while not list(tmp_path.glob("*-claims-*")):
            time.sleep(0.01)
        time.sleep(0.2)
        assert store.claim(["a", "c"]) == {"c"}
        process.kill()
        process.join()
        assert store.claim(["a", "b", "c"]) == {"a", "b", "c"}
        store.put("a", "1")
        store.release()
        assert store.claim(["a", "b"]) == {"b"}
    assert not list(tmp_path.glob("*-claims-*"))


def test_what_the_store_holds_is_used(tmp_path: Path) -> None:
    """Another process, whose claim nobody saw, has stored a reply meanwhile."""
    path, kind = tmp_path / "store.sqlite", numbers("n", Measured)

    def ask(requests: Sequence[Replacement]) -> Iterator[tuple[int, Measured]]:
        with Store(path) as other:
            other.put(key_of(IDENTITY, "n", REPLACEMENT), "[1.0]")
        yield 0, Measured(2.0)

    with Store(path) as store:
        assert answered(store, IDENTITY, kind, [REPLACEMENT], ask) == [Measured(1.0)]


def test_a_damaged_reply_is_never_used(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        for index in range(40):
            store.put(f"{index:064d}", repr([index / 7] * 20))
        expected = dict(store.get_many(store))
    content, outcomes = path.read_bytes(), set()
    draw = random.Random(1)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        try:
            with Store(path) as store:
                replies = dict(store.get_many(expected))
        except NeuroglossError as refusal:
            outcomes.add(str(refusal).partition("store.sqlite ")[2].split()[0])
            continue
        assert all(expected[key] == reply for key, reply in replies.items())
        outcomes.add("read")
    assert {"read", "is"} <= outcomes


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL) WITHOUT ROWID")
    with Store(path) as store, pytest.raises(NeuroglossError, match="it is no store of this program"):
        dict(store.get_many(["a"]))


def test_a_store_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        store.put("a", "1")
    monkeypatch.setattr(Store, "_can_write", lambda self: False)
    before = sorted(file.name for file in tmp_path.iterdir())
    with Store(path) as store:
        assert dict(store.get_many(["a", "b"])) == {"a": "1"}
        with pytest.raises(NeuroglossError, match=r"cannot be used .*(allow writing to it|another file)|set store="):
            store.claim(["b"])
    assert sorted(file.name for file in tmp_path.iterdir()) == before


def test_a_reading_is_kept_compactly(tmp_path: Path) -> None:
    reading = repr([[random.Random(slot).random()] * 11 for slot in range(64)])
    with Store(tmp_path / "store.sqlite") as store:
        store.put("a", reading)
        ((size,),) = store._connection.execute("SELECT length(reply) FROM replies")
    assert size < len(reading) / 4


USAGE = [1, 1, 1, 0.0]
READING = {"probabilities": [[0.1] * 10] * 2, "mass": [1.0, None], "seen": [10, 10], "outcome": "ok", "usage": USAGE}
SPOILT = [
    {"probabilities": [[5.0, *[0.0] * 9]] * 2},
    {"probabilities": [[-0.1, *[0.0] * 9]] * 2},
    {"probabilities": [[True] * 10] * 2},
    {"probabilities": [[0.1] * 10]},
    {"probabilities": [[0.1] * 11] * 2},
    {"probabilities": []},
    {"probabilities": [], "mass": [], "seen": []},
    {"mass": [1.0, 11.0]},
    {"mass": [1.0, -1.0]},
    {"seen": [10]},
    {"seen": [10, -1]},
    {"seen": [10, 0.5]},
    {"outcome": "failed"},
    {"outcome": "not_collected"},
    {"usage": [-1, 1, 1, 0.0]},
    {"usage": [1, 10**400, 1, 0.0]},
    {"usage": [1, 1, 1, -5.0]},
    {"usage": [1, 1, 1, None]},
    {"usage": [1, 1, 1, float("inf")]},
]


@pytest.mark.parametrize("change", [{}, *SPOILT], ids=str)
def test_a_store_of_a_stranger_is_believed_no_more_than_a_server(change: dict[str, Any]) -> None:
    with Store(":memory:") as store:
        store.put(key_of(IDENTITY, LEVELS.name, SLOTTED), json.dumps(READING | change))
        if not change:
            (reading,) = answered(store, IDENTITY, LEVELS, [SLOTTED], lambda _: iter(()))
            assert reading.probabilities == ((0.1,) * 10,) * 2
            return
        with pytest.raises(NeuroglossError, match="holds a level readings reply that cannot be read"):
            answered(store, IDENTITY, LEVELS, [SLOTTED], lambda _: iter(()))


@pytest.mark.parametrize("levels", [9, 12, -1, 10**9, True, "10", None])
def test_a_probe_of_a_stranger_has_levels_that_exist(levels: object) -> None:
    with Store(":memory:") as store:
        store.put("key", json.dumps({"levels": levels, "problem": "", "usage": USAGE}))
        with pytest.raises(NeuroglossError, match="cannot be read"):
            stored_replies(store, CAPABILITIES, ["key"])


@pytest.mark.parametrize("owner", ["{}/victim", "victim", "../victim", "..", "", b"\xff", "a\0b", 3])
def test_a_claim_of_a_stranger_removes_no_file(owner: object, tmp_path: Path) -> None:
    path, victim = tmp_path / "here" / "store.sqlite", tmp_path / "here" / "victim"
    Store(path).close()
    for file in (victim, tmp_path / "victim"):
        file.write_text("mine")
    with sqlite3.connect(path) as connection:
        owner = owner.format(tmp_path) if isinstance(owner, str) else owner
        connection.execute("INSERT INTO claims VALUES ('key', ?)", (owner,))
    with Store(path) as store:
        assert store.claim(["key"]) == {"key"}, "who is no process of ours keeps nobody waiting"
    assert victim.read_text() == (tmp_path / "victim").read_text() == "mine"
