from __future__ import annotations

import dataclasses
import multiprocessing
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.store import Store, key
from harness.types import CompletionPrompt, Identity, Message, NeuroglossError, NeuronId, Replacement, SlottedPrompt

IDENTITY = Identity("name", "revision", "backend", "dtype", "url", "prompt")
COMPLETION = CompletionPrompt((Message("user", "text"),), 8, 0.5, 0.9, ("stop",), 1, 2, "prompt-v1")
SLOTTED = SlottedPrompt((Message("user", "text"),), ("a\t", "\nb\t"), "?", 10, "prompt-v1")
REPLACEMENT = Replacement(NeuronId(1, 2), (3, 4), (0.5, 0.25), 1)
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
    keys = {key("kind", IDENTITY, request_)}
    for item in dataclasses.fields(request_):
        changed = dataclasses.replace(request_, **{item.name: other(getattr(request_, item.name))})
        keys.add(key("kind", IDENTITY, changed))
    assert len(keys) == 1 + len(dataclasses.fields(request_))


def test_every_field_of_the_identity_and_the_kind_are_in_the_key() -> None:
    keys = {key("kind", IDENTITY, COMPLETION), key("other kind", IDENTITY, COMPLETION)}
    for item in dataclasses.fields(IDENTITY):
        changed = dataclasses.replace(IDENTITY, **{item.name: other(getattr(IDENTITY, item.name))})
        keys.add(key("kind", changed, COMPLETION))
    assert len(keys) == 2 + len(dataclasses.fields(IDENTITY))


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_texts_cut_elsewhere_have_another_key(first: list[str], second: list[str]) -> None:
    keys = [key("kind", IDENTITY, dataclasses.replace(SLOTTED, parts=tuple(parts))) for parts in (first, second)]
    assert (keys[0] == keys[1]) == (first == second)


def test_a_reply_survives_another_opening(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "store.sqlite"
    with Store(path) as store:
        store.put(b"one", "kind", {"text": "ü\n\ud800", "values": [0.1, None]})
    with Store(path) as store:
        assert store.get_many([b"one", b"two"]) == {b"one": {"text": "ü\n\ud800", "values": [0.1, None]}}


def test_the_first_reply_stays(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.put(b"one", "kind", 1)
        store.put(b"one", "kind", 2)
        assert store.get_many([b"one"]) == {b"one": 1}


def test_thousands_of_keys_are_looked_up_at_once(tmp_path: Path) -> None:
    keys = [index.to_bytes(4, "big") for index in range(3000)]
    with Store(tmp_path / "store.sqlite") as store:
        for one in keys[::2]:
            store.put(one, "kind", int.from_bytes(one, "big"))
        assert store.get_many(keys) == {one: int.from_bytes(one, "big") for one in keys[::2]}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_kept_exactly(value: float) -> None:
    with Store(Path(":memory:")) as store:
        store.put(b"one", "kind", value)
        assert store.get_many([b"one"]) == {b"one": value}


def test_nan_is_never_written(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store, pytest.raises(ValueError, match="not JSON compliant"):
        store.put(b"one", "kind", float("nan"))


def _write(path: Path, first: int) -> None:
    with Store(path) as store:
        for index in range(first, first + 50):
            store.put(index.to_bytes(4, "big"), "kind", index)


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
        assert len(store) == 125


def test_a_file_that_is_no_store_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_text("my diary, " * 500)
    with pytest.raises(NeuroglossError, match=r"store\.sqlite can not be used .*not a database"):
        Store(path)
    assert path.read_text().startswith("my diary")


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(NeuroglossError, match="has version 99"):
        Store(path)


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store._connection.execute("PRAGMA max_page_count = 8")
        store.put(b"small", "kind", "kept")
        with pytest.raises(NeuroglossError, match=r"full.*free space"):
            store.put(b"large", "kind", "x" * 100_000)
        assert store.get_many([b"small", b"large"]) == {b"small": "kept"}
